//! Where time comes from. The one place that reads the clock for decisions.
//!
//! Invariant: the time that decisions see never goes back, neither when the machine's clock is set nor over a restart.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// By which part time goes slower while it is ahead of the machine's clock.
const SLOWER: i32 = 10;

/// A clock that is never set back. When the clock below it is, time goes on from where it was, a tenth slower until the
/// other has caught up: a step that bakes for five minutes bakes for five and a half at the most, and not for the hour that
/// the clock went back by. When the clock below goes forward it is followed at once: a machine that slept has to know.
pub(crate) struct SteadyClock {
    below: Arc<dyn Clock>,
    /// The last time that was told, and when.
    last: Mutex<(Timestamp, Instant)>,
}

impl SteadyClock {
    /// Begins no earlier than with `last`, the time of the last fact.
    pub(crate) fn new(below: Arc<dyn Clock>, last: Option<Timestamp>) -> Self {
        let begin = below.now();
        Self { below, last: Mutex::new((last.map_or(begin, |last| last.max(begin)), Instant::now())) }
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> Timestamp {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let (wall, instant) = (self.below.now(), Instant::now());
        let elapsed = SignedDuration::try_from(instant.duration_since(last.1)).unwrap_or(SignedDuration::MAX);
        let slowed = last.0.saturating_add(elapsed - elapsed / SLOWER).unwrap_or(Timestamp::MAX);
        *last = (wall.max(slowed), instant);
        last.0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A clock that is wrong by so many seconds.
    struct Wrong {
        begin: Instant,
        by_s: Mutex<i64>,
    }

    impl Clock for Wrong {
        fn now(&self) -> Timestamp {
            let seconds = i64::try_from(self.begin.elapsed().as_secs()).unwrap() + *self.by_s.lock().unwrap();
            Timestamp::from_second(1_800_000_000 + seconds).unwrap()
        }
    }

    fn clocks(last: Option<i64>) -> (Arc<Wrong>, SteadyClock) {
        let wrong = Arc::new(Wrong { begin: Instant::now(), by_s: Mutex::new(0) });
        let last = last.map(|second| Timestamp::from_second(1_800_000_000 + second).unwrap());
        (Arc::clone(&wrong), SteadyClock::new(wrong, last))
    }

    fn told(clock: &SteadyClock) -> i64 {
        clock.now().as_second() - 1_800_000_000
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_back_slows_time_until_it_has_caught_up() {
        let (wrong, clock) = clocks(None);
        pass(100).await;
        assert_eq!(told(&clock), 100);
        *wrong.by_s.lock().unwrap() = -60;
        assert_eq!(told(&clock), 100, "it does not go back");
        pass(300).await;
        assert_eq!(told(&clock), 370, "five minutes are four and a half");
        pass(300).await;
        assert_eq!(told(&clock), 640, "the machine's clock says so too");
        pass(10).await;
        assert_eq!(told(&clock), 650);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_is_followed_and_the_way_back_is_slow() {
        let (wrong, clock) = clocks(None);
        *wrong.by_s.lock().unwrap() = 3_600;
        pass(10).await;
        assert_eq!(told(&clock), 3_610);
        *wrong.by_s.lock().unwrap() = 0;
        pass(100).await;
        assert_eq!(told(&clock), 3_700);
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_from_the_last_fact() {
        let (_, clock) = clocks(Some(1_000));
        assert_eq!(told(&clock), 1_000, "written before the clock was put right");
        pass(100).await;
        assert_eq!(told(&clock), 1_090);
        let (_, clock) = clocks(Some(-1_000));
        assert_eq!(told(&clock), 0);
    }
}
