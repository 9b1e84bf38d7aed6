//! What the proxy counts per version; every number only ever grows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prograde_model::latency::Latencies;
use prograde_model::runtime::{Counters, Tally};

/// One version's requests as all workers see them.
///
/// A request that its client gave up before the replica had answered is evidence neither for nor against the version:
/// it is in [`VersionCounters::abandoned`] and nowhere else. A client that goes away in the middle of an answer is
/// counted by that answer's status.
#[derive(Debug)]
pub struct VersionCounters {
    requests: AtomicU64,
    failures: AtomicU64,
    latency_us_sum: AtomicU64,
    abandoned: AtomicU64,
    /// By the bucket of [`Latencies`].
    latencies: [AtomicU64; Latencies::BUCKETS],
}

impl Default for VersionCounters {
    fn default() -> Self {
        let [requests, failures, latency_us_sum, abandoned] = std::array::from_fn(|_| AtomicU64::new(0));
        let latencies = std::array::from_fn(|_| AtomicU64::new(0));
        Self { requests, failures, latency_us_sum, abandoned, latencies }
    }
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

    /// How long the requests took. A [`VersionCounters::snapshot`] taken afterwards shows at least as many requests.
    pub fn latencies(&self) -> Latencies {
        let mut latencies = Latencies::default();
        for (bucket, count) in self.latencies.iter().enumerate() {
            latencies.add(bucket, count.load(Ordering::Acquire));
        }
        latencies
    }

    /// Both of them.
    pub fn tally(&self) -> Tally {
        let latencies = self.latencies();
        Tally { latencies, ..self.snapshot().into() }
    }

    /// Adds what was counted before a restart of the server; to be called once, with the last numbers taken.
    pub fn restore(&self, earlier: Counters, latencies: &Latencies) {
        self.requests.fetch_add(earlier.requests, Ordering::Relaxed);
        self.latency_us_sum.fetch_add(earlier.latency_us_sum, Ordering::Relaxed);
        for (count, earlier) in
            latencies.iter().filter_map(|(bucket, count)| Some((self.latencies.get(bucket)?, count)))
        {
            count.fetch_add(earlier, Ordering::Release);
        }
        self.failures.fetch_add(earlier.failures, Ordering::Release);
    }

    /// Requests whose client went away, or stopped sending, before the replica had answered.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, failed: bool, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.latency_us_sum.fetch_add(us, Ordering::Relaxed);
        if let Some(count) = self.latencies.get(Latencies::bucket(us)) {
            // After the request, which whoever sees this must see too.
            count.fetch_add(1, Ordering::Release);
        }
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
        let mut earlier = Latencies::default();
        for us in [3, 97, u64::MAX] {
            earlier.record(us);
        }
        counters.restore(Counters { requests: 10, failures: 1, latency_us_sum: 100 }, &earlier);
        counters.count(false, Duration::from_micros(3));
        assert_eq!(counters.snapshot(), Counters { requests: 12, failures: 2, latency_us_sum: 110 });
        for us in [3, 7] {
            earlier.record(us);
        }
        assert_eq!(counters.tally(), Tally { requests: 12, failures: 2, latency_us_sum: 110, latencies: earlier });
        assert_eq!(counters.abandoned(), 0);
    }

    #[test]
    fn whatever_is_being_counted_no_latency_or_failure_is_seen_without_its_request() {
        let counters = VersionCounters::default();
        std::thread::scope(|scope| {
            let counting = scope.spawn(|| (0..100_000).for_each(|us| counters.count(true, Duration::from_micros(us))));
            while !counting.is_finished() {
                let Tally { requests, failures, latencies, .. } = counters.tally();
                assert!(failures <= requests && latencies.total() <= requests);
            }
        });
        assert_eq!(counters.latencies().total(), 100_000);
    }
}
