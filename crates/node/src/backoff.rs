//! How long a replica that failed waits before it is started again: the kubelet's rule.

use std::time::Duration;

/// A shorter wait would be a busy loop.
const BASE_MIN: Duration = Duration::from_millis(10);

/// The kubelet restarts a container at once after its first exit, then waits `base`, doubling up to `max`, and forgets
/// earlier failures once a container ran for `reset_after` (Kubernetes, "Pod Lifecycle", section "Container restarts").
#[derive(Debug, Clone)]
pub(crate) struct BackOff {
    base: Duration,
    max: Duration,
    reset_after: Duration,
    next: Duration,
}

impl BackOff {
    /// A back-off that has seen no failure.
    pub(crate) fn new(base: Duration, max: Duration, reset_after: Duration) -> Self {
        let base = base.max(BASE_MIN);
        Self { base, max: max.max(base), reset_after, next: Duration::ZERO }
    }

    /// How long to wait after a container ended that had run for `ran`.
    pub(crate) fn after(&mut self, ran: Duration) -> Duration {
        if ran >= self.reset_after {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next = if wait.is_zero() { self.base } else { wait.saturating_mul(2).min(self.max) };
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_maximum_and_are_forgotten_after_a_long_run() {
        let seconds = Duration::from_secs;
        let mut backoff = BackOff::new(seconds(10), seconds(300), seconds(600));
        let waits: Vec<u64> = (0..8).map(|_| backoff.after(seconds(1)).as_secs()).collect();
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.after(seconds(599)).as_secs(), 300, "not long enough");
        assert_eq!(backoff.after(seconds(600)).as_secs(), 0);
        assert_eq!(backoff.after(seconds(0)).as_secs(), 10);
        let mut none = BackOff::new(Duration::ZERO, Duration::ZERO, seconds(600));
        none.after(seconds(0));
        assert_eq!(none.after(seconds(0)), BASE_MIN);
    }
}
