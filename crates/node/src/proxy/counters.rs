//! What the proxy counts per version; every number only ever grows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prograde_model::runtime::Counters;

/// One version's requests as all workers see them.
///
/// A request that its client gave up before the replica had answered is evidence neither for nor against the version:
/// it is in [`VersionCounters::abandoned`] and nowhere else. A client that goes away in the middle of an answer is
/// counted by that answer's status.
#[derive(Debug, Default)]
pub struct VersionCounters {
    requests: AtomicU64,
    failures: AtomicU64,
    latency_us_sum: AtomicU64,
    abandoned: AtomicU64,
}

impl VersionCounters {
    /// The numbers now. Never shows more failures than requests, whatever is being counted at the same time.
    pub fn snapshot(&self) -> Counters {
        // Failures are read first and written last, so that a request is always seen before its failure.
        let failures = self.failures.load(Ordering::Acquire);
        Counters {
            requests: self.requests.load(Ordering::Relaxed),
            failures,
            latency_us_sum: self.latency_us_sum.load(Ordering::Relaxed),
        }
    }

    /// Adds what was counted before a restart of the server; to be called once, with the last snapshot taken.
    pub fn restore(&self, earlier: Counters) {
        self.requests.fetch_add(earlier.requests, Ordering::Relaxed);
        self.latency_us_sum.fetch_add(earlier.latency_us_sum, Ordering::Relaxed);
        self.failures.fetch_add(earlier.failures, Ordering::Release);
    }

    /// Requests whose client went away, or stopped sending, before the replica had answered.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, failed: bool, latency: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.latency_us_sum.fetch_add(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if failed {
            self.failures.fetch_add(1, Ordering::Release);
        }
    }

    pub(super) fn count_abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_before_a_restart_stays_counted() {
        let counters = VersionCounters::default();
        counters.count(true, Duration::from_micros(7));
        counters.restore(Counters { requests: 10, failures: 1, latency_us_sum: 100 });
        counters.count(false, Duration::from_micros(3));
        assert_eq!(counters.snapshot(), Counters { requests: 12, failures: 2, latency_us_sum: 110 });
        assert_eq!(counters.abandoned(), 0);
    }
}
