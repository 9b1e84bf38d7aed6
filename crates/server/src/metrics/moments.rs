//! When a group of rules is evaluated: at the moments of its period, and in between where an alert could be told earlier.
//!
//! Prometheus evaluates once a period, so that with its default of a minute half a minute is lost between a scrape that shows
//! a symptom and the page. Here alerts, not recordings, are evaluated as well right after scrapes, and at the moment at which
//! one that is pending has been so for as long as its `for`. These evaluations take a tenth of one processor at most, for all
//! groups together: one that took some time is followed by nine times as much rest. Where rules are too many or too slow for
//! that, what is left is Prometheus' behaviour.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use prograde_observe::rules::Rule;
use prograde_observe::rules::alert::Standing;
use siphasher::sip::SipHasher13;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep_until};

use super::rules::GroupState;

/// How far apart one group's evaluations right after scrapes are at least.
const EARLY_PERIOD: Duration = Duration::from_millis(500);
/// How much longer than such an evaluation the rest after it is.
const REST: u32 = 9;

/// What all groups' early evaluations share: when the next one may begin.
#[derive(Debug, Default)]
pub(super) struct Early(Arc<Mutex<Option<Instant>>>);

/// One group's turn: no other is evaluated early meanwhile.
#[derive(Debug)]
pub(super) struct Turn {
    free_at: OwnedMutexGuard<Option<Instant>>,
    begun: Instant,
}

impl Early {
    /// Waits for a turn. Whoever does not wait any more leaves it to the next.
    pub(super) async fn turn(&self) -> Turn {
        let free_at = Arc::clone(&self.0).lock_owned().await;
        if let Some(at) = *free_at {
            sleep_until(at).await;
        }
        Turn { free_at, begun: Instant::now() }
    }
}

impl Turn {
    /// Says that the evaluation has ended.
    pub(super) fn end(mut self) {
        let now = Instant::now();
        *self.free_at = Some(now + now.duration_since(self.begun) * REST);
    }
}

/// When a group may be evaluated early again.
pub(super) fn early_from(last: Instant) -> Instant {
    last + EARLY_PERIOD
}

/// The first moment at which a pending alert of a group begins to fire if it stays, in milliseconds since 1970.
pub(super) fn due_ms(group: &GroupState) -> Option<i64> {
    let states = group.states();
    let of_rule = |(rule, state): (&Rule, &super::rules::RuleState)| match rule {
        Rule::Recording(_) => None,
        Rule::Alerting(rule) => {
            let pending = state.alerts.values().filter(|alert| alert.standing == Standing::Pending);
            pending.map(|alert| alert.active_since_ms.saturating_add(rule.for_ms)).min()
        }
    };
    group.group.rules.iter().zip(states.iter()).filter_map(of_rule).min()
}

/// The times at which a group is evaluated: exactly a period apart, whenever it really happens. A timer that is late by a
/// millisecond would otherwise make an alert with a `for` of some periods wait for one more. Groups are spread over the
/// period, each always at the same part of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moments {
    period_ms: i64,
    offset_ms: i64,
}

impl Moments {
    pub(super) fn of(group: &GroupState) -> Self {
        let mut hasher = SipHasher13::new();
        (&group.file, &group.group.name).hash(&mut hasher);
        let offset_ms = i64::try_from(hasher.finish() >> 1).unwrap_or(0).rem_euclid(group.interval_ms);
        Self { period_ms: group.interval_ms, offset_ms }
    }

    /// The latest one that is not after a time.
    pub(super) fn latest(self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(now_ms.saturating_sub(self.offset_ms).rem_euclid(self.period_ms))
    }

    /// The one that follows another.
    pub(super) fn after(self, moment_ms: i64) -> i64 {
        moment_ms.saturating_add(self.period_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_a_period_apart_however_late_one_looks() {
        let moments = Moments { period_ms: 1000, offset_ms: 300 };
        assert_eq!([1299, 1300, 1301, 2299, 2300].map(|now| moments.latest(now)), [300, 1300, 1300, 1300, 2300]);
        assert_eq!(moments.after(moments.latest(1999)), 2300);
        assert_eq!(moments.latest(-1), -700);
    }
}
