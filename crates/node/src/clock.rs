//! The wall clock, read in one place. Intervals are measured with `tokio::time::Instant` instead.

use jiff::Timestamp;

/// The time now, for what outlives this process: log lines and replica records.
#[expect(clippy::disallowed_methods, reason = "the node is an edge: it stamps what it sees as it sees it")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
