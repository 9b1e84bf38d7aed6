//! The wall clock, read in one place. Intervals are measured with `tokio::time::Instant` instead.

use std::time::Duration;

use jiff::Timestamp;

/// The time now, for what outlives this process: log lines and replica records.
#[expect(clippy::disallowed_methods, reason = "the node is an edge: it stamps what it sees as it sees it")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// How long ago `at` was; zero when the clock was set back meanwhile.
pub(crate) fn age(at: Timestamp) -> Duration {
    Duration::try_from(now().duration_since(at)).unwrap_or(Duration::ZERO)
}
