//! The step that bakes, as its metrics see it: what to measure, and what was measured for just that step.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Metric, MetricState, MetricSummary, Pairs};
use crate::ids::{FlightId, MetricName, Weight};
use crate::rollout::{Phase, Rollout};
use crate::runtime::Observation;

/// A step that bakes, or the watch after the last one.
#[derive(Debug, Clone, Copy)]
pub struct BakingStep<'a> {
    /// The candidate.
    pub candidate: &'a FlightId,
    /// The version that serves beside it.
    pub stable: Option<&'a FlightId>,
    /// The step, from 0; the watch counts as one more.
    pub step: u32,
    /// The candidate's share of traffic.
    pub weight: Weight,
    /// Since when.
    pub since: Timestamp,
    /// How long it is watched at least.
    pub bake: SignedDuration,
    /// What is measured meanwhile.
    pub metrics: &'a [Metric],
}

/// What was measured for one step of one flight: part of an observation, so that decisions can be replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReadings {
    /// The candidate.
    pub flight: FlightId,
    /// The step, from 0.
    pub step: u32,
    /// By metric.
    pub metrics: BTreeMap<MetricName, MetricState>,
    /// The synthetic requests.
    #[serde(default, skip_serializing_if = "Pairs::is_empty")]
    pub synthetic: Pairs,
}

/// The step of a rollout that bakes now, or the watch after the last one, if there is either.
pub fn baking(rollout: &Rollout) -> Option<BakingStep<'_>> {
    let (step, weight, since, bake, analysis) = match &rollout.phase {
        Phase::Baking(now) => {
            let rules = rollout.step(now.step)?;
            (now.step, rules.weight, now.since, rules.bake, rollout.start.strategy.analysis()?)
        }
        Phase::Promoted(now) if rollout.is_watched() => {
            let watch = rollout.start.watch.as_ref()?;
            let step = u32::try_from(rollout.passed.len()).unwrap_or(u32::MAX);
            (step, Weight::ALL, now.since, watch.period, &watch.analysis)
        }
        Phase::Promoted(_) | Phase::Preparing { .. } | Phase::Withdrawing { .. } | Phase::Withdrawn { .. } => {
            return None;
        }
    };
    Some(BakingStep {
        candidate: &rollout.start.candidate,
        stable: rollout.start.stable.as_ref(),
        step,
        weight,
        since,
        bake: bake.duration(),
        metrics: &analysis.metrics,
    })
}

/// What each metric of the step that bakes says, in the order in which they are declared. Readings of another step, or
/// none, are as if nothing was measured yet.
pub fn summaries(rollout: &Rollout, seen: &Observation, now: Timestamp) -> Vec<MetricSummary> {
    let Some(step) = baking(rollout) else { return Vec::new() };
    let nothing = MetricState::default();
    let readings = seen.readings.as_ref().filter(|r| r.flight == *step.candidate && r.step == step.step);
    let of = |metric: &Metric| {
        let state = readings.and_then(|r| r.metrics.get(&metric.name)).unwrap_or(&nothing);
        state.summary(metric, now)
    };
    step.metrics.iter().map(of).collect()
}
