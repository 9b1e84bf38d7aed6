//! A rollout: one release entering one environment, step by step.
//!
//! [`Rollout::decide`] says which facts follow from what is seen, [`Rollout::apply`] takes a fact in, and
//! [`Rollout::shape`] says what should run and who gets which traffic. Invariants, checked by the property tests below:
//! weights sum to 100; a candidate that failed gets no traffic ever again; a canary's stable version keeps the capacity
//! for all traffic until the rollout ends; every rollout ends if time goes on and the runtime answers.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{FlightId, Weight};
use crate::judge::{self, Analysis, Evidence, Verdict};
use crate::runtime::{Counters, Observation, VersionSeen};
use crate::service::Step;

/// Restarts of a candidate's replicas, counted within a step, that are taken for a crash loop.
const CRASHES_MAX: u32 = 3;

/// How the candidate takes over; fixed when the rollout starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "strategy")]
pub enum Strategy {
    /// Replica by replica within Kubernetes' bounds.
    Rolling {
        /// How many replicas may run above the number wanted.
        surge: u32,
        /// How many may be missing.
        unavailable: u32,
    },
    /// Back to a release that served before: all of it is started beside what serves, then the traffic moves at once.
    /// It is never given up, because there is nothing better to go to.
    Return,
    /// By rising shares of traffic, each judged.
    Canary {
        /// The steps, weights rising to 100.
        steps: Vec<Step>,
        /// How each is judged.
        analysis: Analysis,
    },
}

/// A fact about a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutEvent {
    /// The candidate's replicas are being started; it has no traffic yet.
    #[serde(rename = "rollout.started")]
    Started(Start),
    /// The candidate has the capacity for a step and gets its share of traffic from now on.
    #[serde(rename = "rollout.step_entered")]
    StepEntered {
        /// The step, from 0.
        step: u32,
        /// The candidate's share.
        weight: Weight,
        /// The candidate's requests before the step.
        candidate: Counters,
        /// The stable version's requests before the step.
        stable: Counters,
        /// The candidate's restarts before the step.
        restarts: u32,
    },
    /// A step's bake time is over but it can't be judged yet: traffic stays as it is.
    #[serde(rename = "rollout.step_held")]
    StepHeld {
        /// The step, from 0.
        step: u32,
        /// What is missing.
        verdict: Verdict,
        /// On what evidence.
        evidence: Evidence,
    },
    /// A step was judged good.
    #[serde(rename = "rollout.step_passed")]
    StepPassed {
        /// The step, from 0.
        step: u32,
        /// On what evidence.
        evidence: Evidence,
    },
    /// The candidate is not good enough: its traffic ends now.
    #[serde(rename = "rollout.failed")]
    Failed {
        /// Why.
        cause: Cause,
        /// On what evidence; zero where the candidate never had traffic.
        evidence: Evidence,
    },
    /// The candidate has all traffic and is the stable version from now on.
    #[serde(rename = "rollout.promoted")]
    Promoted {
        /// The candidate's requests in this environment so far.
        candidate: Counters,
    },
    /// The candidate is gone from the environment.
    #[serde(rename = "rollout.withdrawn")]
    Withdrawn {
        /// The candidate's requests in this environment, all of them.
        candidate: Counters,
    },
}

/// How a rollout starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Start {
    /// The version that enters.
    pub candidate: FlightId,
    /// The version that serves, if any.
    pub stable: Option<FlightId>,
    /// How it takes over.
    #[serde(flatten)]
    pub strategy: Strategy,
    /// How many replicas the candidate has at 100%.
    pub replicas: u32,
    /// How many replicas the stable version has.
    pub stable_replicas: u32,
    /// How long the candidate may take to become available before it is taken for broken, in seconds.
    pub progress_deadline_s: u32,
}

/// Why a candidate was withdrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Cause {
    /// The judge's verdict on a step.
    Judged {
        /// The step, from 0.
        step: u32,
        /// The limit that was surely exceeded.
        limit: crate::quantity::Share,
    },
    /// Its replicas crash again and again.
    Crashing {
        /// How often they were restarted.
        restarts: u32,
        /// The runtime's words, if it gave any.
        detail: Option<String>,
    },
    /// Its replicas were not available in time.
    NeverAvailable {
        /// The runtime's words, if it gave any.
        detail: Option<String>,
    },
    /// A step could not be judged in the time given.
    NotJudged {
        /// The step, from 0.
        step: u32,
        /// What was missing last.
        verdict: Verdict,
    },
    /// A check in the environment failed.
    CheckFailed {
        /// What was asked and what came.
        detail: String,
    },
    /// A person ended it.
    Ordered {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let because = |f: &mut std::fmt::Formatter<'_>, detail: &Option<String>| match detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        };
        match self {
            Self::Judged { step, limit } => {
                write!(f, "step {} failed: more than {limit} of the requests fail", step + 1)
            }
            Self::Crashing { restarts, detail } => {
                write!(f, "its replicas crash: {restarts} restarts")?;
                because(f, detail)
            }
            Self::NeverAvailable { detail } => {
                f.write_str("its replicas were not available in time")?;
                because(f, detail)
            }
            Self::NotJudged { step, .. } => write!(f, "step {} could not be judged in the time given", step + 1),
            Self::CheckFailed { detail } => write!(f, "a check failed: {detail}"),
            Self::Ordered { by, reason } => write!(f, "ordered by {by}: {reason}"),
        }
    }
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// The candidate's capacity for a step is being brought up; the traffic is the last step's.
    Preparing {
        /// The step, from 0.
        step: u32,
        /// Since when.
        since: Timestamp,
    },
    /// The candidate has a step's share of traffic and is watched.
    Baking {
        /// The step, from 0.
        step: u32,
        /// Since when.
        since: Timestamp,
        /// Counters before the step: candidate, stable.
        before: (Counters, Counters),
        /// Restarts of the candidate before the step.
        restarts: u32,
        /// Whether it was already said that the step is held.
        held: bool,
    },
    /// The candidate has no traffic and is being taken away.
    Withdrawing {
        /// Why.
        cause: Cause,
    },
    /// The candidate is the stable version.
    Promoted,
    /// The candidate is gone.
    Withdrawn {
        /// Why.
        cause: Cause,
    },
}

/// What should run during a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The candidate's replicas.
    pub candidate_replicas: u32,
    /// The candidate's traffic.
    pub candidate_weight: Weight,
    /// The stable version's replicas.
    pub stable_replicas: u32,
    /// The stable version's traffic.
    pub stable_weight: Weight,
}

/// Why a fact does not fit a rollout's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rollout that is {phase} can't take in {event}")]
pub struct Conflict {
    phase: &'static str,
    event: &'static str,
}

/// A rollout's whole state: the fold of its facts.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollout {
    /// How it started.
    pub start: Start,
    /// Where it stands.
    pub phase: Phase,
    /// The share of traffic that the last step entered gave.
    pub weight: Weight,
}

impl Rollout {
    /// A rollout that starts at `at`.
    pub fn new(start: Start, at: Timestamp) -> Self {
        Self { start, phase: Phase::Preparing { step: 0, since: at }, weight: Weight::ZERO }
    }

    /// Whether nothing more happens.
    pub fn is_over(&self) -> bool {
        match self.phase {
            Phase::Promoted | Phase::Withdrawn { .. } => true,
            Phase::Preparing { .. } | Phase::Baking { .. } | Phase::Withdrawing { .. } => false,
        }
    }

    /// Why the candidate is or was withdrawn, if it is.
    pub fn failure(&self) -> Option<&Cause> {
        match &self.phase {
            Phase::Withdrawing { cause } | Phase::Withdrawn { cause } => Some(cause),
            Phase::Preparing { .. } | Phase::Baking { .. } | Phase::Promoted => None,
        }
    }

    /// The state after a fact.
    pub fn apply(&mut self, event: &RolloutEvent, at: Timestamp) -> Result<(), Conflict> {
        let phase = match (&self.phase, event) {
            (
                Phase::Preparing { step, .. },
                RolloutEvent::StepEntered { step: entered, weight, candidate, stable, restarts },
            ) if step == entered => {
                self.weight = *weight;
                Phase::Baking {
                    step: *step,
                    since: at,
                    before: (*candidate, *stable),
                    restarts: *restarts,
                    held: false,
                }
            }
            (Phase::Baking { step, since, before, restarts, .. }, RolloutEvent::StepHeld { step: held, .. })
                if step == held =>
            {
                Phase::Baking { step: *step, since: *since, before: *before, restarts: *restarts, held: true }
            }
            (Phase::Baking { step, .. }, RolloutEvent::StepPassed { step: passed, .. }) if step == passed => {
                Phase::Preparing { step: step.saturating_add(1), since: at }
            }
            (Phase::Preparing { .. } | Phase::Baking { .. }, RolloutEvent::Promoted { .. }) => {
                self.weight = Weight::ALL;
                Phase::Promoted
            }
            (Phase::Preparing { .. } | Phase::Baking { .. }, RolloutEvent::Failed { cause, .. }) => {
                self.weight = Weight::ZERO;
                Phase::Withdrawing { cause: cause.clone() }
            }
            (Phase::Withdrawing { cause }, RolloutEvent::Withdrawn { .. }) => Phase::Withdrawn { cause: cause.clone() },
            (phase, event) => return Err(Conflict { phase: phase.name(), event: event.name() }),
        };
        self.phase = phase;
        Ok(())
    }

    /// The facts that follow from what is seen now. Pure: same state, same observation, same time, same answer.
    pub fn decide(&self, seen: &Observation, now: Timestamp) -> Vec<RolloutEvent> {
        match &self.phase {
            Phase::Preparing { step, since } => self.decide_preparing(*step, *since, seen, now),
            Phase::Baking { step, since, before, restarts, held } => {
                let evidence = self.evidence(*before, *since, seen, now);
                self.decide_baking(*step, &evidence, *restarts, *held, seen)
            }
            Phase::Withdrawing { .. } => self.decide_withdrawing(seen),
            Phase::Promoted | Phase::Withdrawn { .. } => Vec::new(),
        }
    }

    fn decide_preparing(&self, step: u32, since: Timestamp, seen: &Observation, now: Timestamp) -> Vec<RolloutEvent> {
        let candidate = self.candidate_in(seen);
        let available = candidate.map_or(0, |c| c.available);
        let restarts = candidate.map_or(0, |c| c.restarts);
        let detail = candidate.and_then(|c| c.waiting.clone());
        match self.next_step(step) {
            // All steps are passed, or a rolling update has replaced every replica.
            None if available >= self.start.replicas => return vec![self.promoted(seen)],
            Some(next) if available >= self.capacity_for(next.weight) => {
                return vec![RolloutEvent::StepEntered {
                    step,
                    weight: next.weight,
                    candidate: counters(Some(&self.start.candidate), seen),
                    stable: counters(self.start.stable.as_ref(), seen),
                    restarts,
                }];
            }
            None | Some(_) => {}
        }
        if self.start.strategy == Strategy::Return {
            return Vec::new();
        }
        let waited_s = now.duration_since(since).as_secs();
        if restarts >= CRASHES_MAX && available == 0 {
            return vec![RolloutEvent::Failed {
                cause: Cause::Crashing { restarts, detail },
                evidence: Evidence::default(),
            }];
        }
        if waited_s >= i64::from(self.start.progress_deadline_s) {
            return vec![RolloutEvent::Failed {
                cause: Cause::NeverAvailable { detail },
                evidence: Evidence::default(),
            }];
        }
        Vec::new()
    }

    fn decide_baking(
        &self,
        step: u32,
        evidence: &Evidence,
        restarts_before: u32,
        held: bool,
        seen: &Observation,
    ) -> Vec<RolloutEvent> {
        let Strategy::Canary { steps, analysis } = &self.start.strategy else { return Vec::new() };
        let Some(now_at) = self.next_step(step) else { return Vec::new() };
        let candidate = self.candidate_in(seen);
        let restarts = candidate.map_or(0, |c| c.restarts).saturating_sub(restarts_before);
        if restarts >= CRASHES_MAX {
            let cause = Cause::Crashing { restarts, detail: candidate.and_then(|c| c.waiting.clone()) };
            return vec![RolloutEvent::Failed { cause, evidence: *evidence }];
        }
        let baked = u128::from(evidence.elapsed_ms) >= now_at.bake.duration().unsigned_abs().as_millis();
        let waited = now_at.bake.duration().saturating_add(analysis.wait_max.duration()).unsigned_abs().as_millis();
        let looks = u32::try_from(steps.len()).unwrap_or(u32::MAX);
        match judge::judge(analysis, evidence, looks) {
            Verdict::Fail { limit } => {
                vec![RolloutEvent::Failed { cause: Cause::Judged { step, limit }, evidence: *evidence }]
            }
            Verdict::Pass if baked => vec![RolloutEvent::StepPassed { step, evidence: *evidence }],
            verdict @ (Verdict::Inconclusive { .. } | Verdict::Error { .. })
                if u128::from(evidence.elapsed_ms) >= waited =>
            {
                vec![RolloutEvent::Failed { cause: Cause::NotJudged { step, verdict }, evidence: *evidence }]
            }
            verdict @ (Verdict::Inconclusive { .. } | Verdict::Error { .. }) if baked && !held => {
                vec![RolloutEvent::StepHeld { step, verdict, evidence: *evidence }]
            }
            Verdict::Pass | Verdict::Inconclusive { .. } | Verdict::Error { .. } => Vec::new(),
        }
    }

    /// The candidate has left once it has no replica and no traffic. It is not waited for the stable version: should
    /// that be unwell too, the rollout has to end all the same.
    fn decide_withdrawing(&self, seen: &Observation) -> Vec<RolloutEvent> {
        if self.candidate_in(seen).is_none_or(|c| c.replicas == 0 && c.weight == Weight::ZERO) {
            vec![RolloutEvent::Withdrawn { candidate: counters(Some(&self.start.candidate), seen) }]
        } else {
            Vec::new()
        }
    }

    /// What should run now. Pure as [`Rollout::decide`].
    pub fn shape(&self, seen: &Observation) -> Shape {
        let stable = self.start.stable_replicas;
        let fixed = |candidate_replicas, weight: Weight| Shape {
            candidate_replicas,
            candidate_weight: weight,
            stable_replicas: if self.start.stable.is_some() { stable } else { 0 },
            stable_weight: weight.rest(),
        };
        match (&self.phase, &self.start.strategy) {
            (Phase::Promoted, _) => Shape { stable_replicas: 0, ..fixed(self.start.replicas, Weight::ALL) },
            (Phase::Withdrawing { .. } | Phase::Withdrawn { .. }, _) => fixed(0, Weight::ZERO),
            (Phase::Preparing { .. } | Phase::Baking { .. }, Strategy::Rolling { surge, unavailable }) => {
                self.rolling_shape(*surge, *unavailable, seen)
            }
            (Phase::Preparing { .. } | Phase::Baking { .. }, Strategy::Return) => {
                fixed(self.start.replicas, Weight::ZERO)
            }
            (Phase::Preparing { step, .. } | Phase::Baking { step, .. }, Strategy::Canary { .. }) => {
                let wanted = self.next_step(*step).map_or(Weight::ALL, |s| s.weight);
                fixed(self.capacity_for(wanted), self.weight)
            }
        }
    }

    /// A `Deployment`'s rolling update (Kubernetes, `pkg/controller/deployment/rolling.go`, described in the
    /// documentation of `maxSurge` and `maxUnavailable`), as a function of what is seen.
    fn rolling_shape(&self, surge: u32, unavailable: u32, seen: &Observation) -> Shape {
        let wanted = self.start.replicas;
        let candidate = self.candidate_in(seen);
        let stable = self.start.stable.as_ref().and_then(|s| seen.version(s));
        // Both zero could never move; Kubernetes refuses that combination.
        let surge = if surge == 0 && unavailable == 0 { 1 } else { surge };
        let available = candidate.map_or(0, |c| c.available);
        let stable_replicas = if self.start.stable.is_some() {
            self.start.stable_replicas.min(wanted.saturating_sub(unavailable).saturating_sub(available))
        } else {
            0
        };
        let stable_left = stable.map_or(0, |s| s.replicas);
        let room = wanted.saturating_add(surge).saturating_sub(stable_left);
        let candidate_replicas = wanted.min(room.max(candidate.map_or(0, |c| c.replicas)));
        let (new, old) = (u64::from(candidate.map_or(0, |c| c.ready)), u64::from(stable.map_or(0, |s| s.ready)));
        let share = (100 * new).checked_div(new + old).unwrap_or(0);
        let percent = if self.start.stable.is_none() { 100 } else { share };
        let weight = u8::try_from(percent).ok().and_then(|p| Weight::new(p).ok()).unwrap_or_default();
        Shape { candidate_replicas, candidate_weight: weight, stable_replicas, stable_weight: weight.rest() }
    }

    /// The judgment of the step that bakes now, for people who watch.
    pub fn judgment(&self, seen: &Observation, now: Timestamp) -> Option<(Verdict, Evidence)> {
        let Phase::Baking { since, before, .. } = &self.phase else { return None };
        let Strategy::Canary { steps, analysis } = &self.start.strategy else { return None };
        let evidence = self.evidence(*before, *since, seen, now);
        Some((judge::judge(analysis, &evidence, u32::try_from(steps.len()).unwrap_or(u32::MAX)), evidence))
    }

    fn evidence(&self, before: (Counters, Counters), since: Timestamp, seen: &Observation, now: Timestamp) -> Evidence {
        Evidence {
            candidate: counters(Some(&self.start.candidate), seen).since(before.0),
            stable: counters(self.start.stable.as_ref(), seen).since(before.1),
            elapsed_ms: u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0),
        }
    }

    fn promoted(&self, seen: &Observation) -> RolloutEvent {
        RolloutEvent::Promoted { candidate: counters(Some(&self.start.candidate), seen) }
    }

    fn candidate_in<'a>(&self, seen: &'a Observation) -> Option<&'a VersionSeen> {
        seen.version(&self.start.candidate)
    }

    /// The step of that number. A rolling update has none; nor has a first release, which has nobody to compare with.
    fn next_step(&self, step: u32) -> Option<Step> {
        match &self.start.strategy {
            Strategy::Canary { steps, .. } if self.start.stable.is_some() => {
                steps.get(usize::try_from(step).ok()?).copied()
            }
            Strategy::Canary { .. } | Strategy::Return | Strategy::Rolling { .. } => None,
        }
    }

    /// Replicas for a share of traffic: in proportion, rounded up, at least one.
    fn capacity_for(&self, weight: Weight) -> u32 {
        let share = (u64::from(self.start.replicas) * u64::from(weight.percent())).div_ceil(100);
        u32::try_from(share).unwrap_or(u32::MAX).max(1).min(self.start.replicas.max(1))
    }
}

fn counters(revision: Option<&FlightId>, seen: &Observation) -> Counters {
    revision.and_then(|r| seen.version(r)).map(|v| v.counters).unwrap_or_default()
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Preparing { .. } => "preparing a step",
            Self::Baking { .. } => "baking",
            Self::Withdrawing { .. } => "withdrawing",
            Self::Promoted => "promoted",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

impl RolloutEvent {
    /// The event's stored type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "rollout.started",
            Self::StepEntered { .. } => "rollout.step_entered",
            Self::StepHeld { .. } => "rollout.step_held",
            Self::StepPassed { .. } => "rollout.step_passed",
            Self::Failed { .. } => "rollout.failed",
            Self::Promoted { .. } => "rollout.promoted",
            Self::Withdrawn { .. } => "rollout.withdrawn",
        }
    }
}

#[cfg(test)]
mod tests;
