//! How many replicas a version should have for what it is seen to use.
//!
//! The algorithm is that of Kubernetes: "Horizontal Pod Autoscaling", sections "Algorithm details" and "Configurable
//! scaling behavior", with the fields and defaults of the API reference of autoscaling/v2. It is computed in whole
//! numbers, as ratios, so that a value exactly at the tolerance is within it. Invariants, checked by the property tests:
//! the answer lies between `minReplicas` and `maxReplicas`, no policy is exceeded, and no number is lower than one that
//! was recommended within the window of `scaleDown`.

mod metric;
mod pace;
mod spec;

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

pub use metric::{Beside, Reading, Readings, Stage};
pub use spec::{Autoscaling, Metric, Policies, Policy, PolicySize, ScalingRules, Select, Target};

/// The longest `stabilizationWindowSeconds`.
const WINDOW_MAX: SignedDuration = SignedDuration::from_hours(1);
/// How many recommendations are kept at most: an hour of them at the default period, and far more than that needs.
const RECOMMENDATIONS_MAX: usize = 4_000;

/// How the number of replicas has changed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// When.
    pub at: Timestamp,
    /// From how many.
    pub before: u32,
    /// To how many.
    pub replicas: u32,
}

/// What is to be scaled, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// The time.
    pub at: Timestamp,
    /// How many replicas are wanted now.
    pub replicas: u32,
    /// Whether there may be fewer: not while a rollout may give the traffic back.
    pub may_shrink: bool,
}

/// A number that is better than the one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// How many replicas.
    pub replicas: u32,
    /// What asks for it, and what limits it.
    pub reason: String,
}

/// What is remembered of one target between looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Autoscaler {
    /// What the metrics alone asked for, the oldest first.
    recommendations: VecDeque<(Timestamp, u32)>,
}

impl Autoscaler {
    /// Whether there should be another number of replicas, and which. `before` is how the number has changed so far.
    ///
    /// The first look after a start knows of no recommendation but the number now, as Kubernetes' controller does: for
    /// the length of its window nothing is scaled below that.
    pub fn decide(
        &mut self,
        spec: &Autoscaling,
        now: Situation,
        before: &[Scaling],
        readings: &Readings,
    ) -> Option<Scale> {
        let current = now.replicas;
        if current == 0 {
            return None;
        }
        let scale = self.scale(spec, now, before, readings)?;
        (scale.replicas > current || (scale.replicas < current && now.may_shrink)).then_some(scale)
    }

    fn scale(&mut self, spec: &Autoscaling, now: Situation, before: &[Scaling], readings: &Readings) -> Option<Scale> {
        let current = now.replicas;
        if current > spec.max_replicas {
            let reason = format!("maxReplicas is {}", spec.max_replicas);
            return Some(Scale { replicas: spec.max_replicas, reason });
        }
        if current < spec.min_replicas {
            let reason = format!("minReplicas is {}", spec.min_replicas);
            return Some(Scale { replicas: spec.min_replicas, reason });
        }
        let asked = metric::largest(spec, current, readings)?;
        if self.recommendations.is_empty() {
            self.recommendations.push_back((now.at, current));
        }
        let steady = self.steady(spec, current, asked.replicas, now.at);
        self.remember(now.at, asked.replicas);
        let (replicas, limit) = pace::limit(spec, current, steady, before, now.at);
        let reason = match limit {
            Some(limit) => format!("{}; {limit}", asked.reason),
            None => asked.reason,
        };
        Some(Scale { replicas, reason })
    }

    /// Kubernetes' stabilisation: the lowest recommendation of the window of `scaleUp` where that is higher than the
    /// number now, the highest of the window of `scaleDown` where that is lower.
    fn steady(&self, spec: &Autoscaling, current: u32, asked: u32, at: Timestamp) -> u32 {
        let within = |window_s: u32| {
            let window = SignedDuration::from_secs(window_s.into());
            self.recommendations.iter().filter(move |(then, _)| at.duration_since(*then) < window).map(|(_, n)| *n)
        };
        let lowest = within(spec.scale_up.stabilization_s).fold(asked, u32::min);
        let highest = within(spec.scale_down.stabilization_s).fold(asked, u32::max);
        current.max(lowest).min(highest)
    }

    fn remember(&mut self, at: Timestamp, asked: u32) {
        self.recommendations.push_back((at, asked));
        let is_old = |then: Timestamp| at.duration_since(then) > WINDOW_MAX;
        while self.recommendations.len() > RECOMMENDATIONS_MAX
            || self.recommendations.front().is_some_and(|(then, _)| is_old(*then))
        {
            self.recommendations.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
