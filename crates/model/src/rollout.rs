//! A rollout: one release entering one environment, step by step.
//!
//! [`Rollout::decide`] says which facts follow from what is seen, [`Rollout::apply`] takes a fact in,
//! [`Rollout::shape`] says what should run and who gets which traffic, [`Rollout::routing`] how requests are told apart
//! beyond that. Invariants, checked by the property tests below: weights sum to 100, or all are 0 while nothing can
//! serve; a candidate that failed gets no traffic ever again; where a strategy has steps, the stable version keeps the
//! capacity for all traffic until the rollout ends; every rollout ends if time goes on and the runtime answers.

mod decide;
mod event;
mod pace;
mod shape;
mod strategy;

use jiff::Timestamp;

pub use event::{Bounds, Cause, RolloutEvent, Start};
pub use pace::Caution;
pub use shape::Shape;
pub use strategy::{AudienceRule, Strategy, Watch};

use crate::ids::Weight;
use crate::judge::{Marks, Sample};
use crate::runtime::Tally;
use crate::service::Step;

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
    Baking(Baking),
    /// The candidate has no traffic and is being taken away.
    Withdrawing {
        /// Why.
        cause: Cause,
    },
    /// The candidate is the stable version.
    Promoted(Promoted),
    /// The candidate is gone.
    Withdrawn {
        /// Why.
        cause: Cause,
    },
}

/// A step under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Baking {
    /// The step, from 0.
    pub step: u32,
    /// Since when.
    pub since: Timestamp,
    /// The candidate's requests before the step.
    pub candidate: Tally,
    /// The stable version's requests before the step.
    pub stable: Tally,
    /// Copies of requests that the candidate had before the step.
    pub mirrored: Tally,
    /// Restarts of the candidate before the step.
    pub restarts: u32,
    /// Whether it was already said that the step is held.
    pub held: bool,
    /// What it had shown by some moments of it; none where steps are judged as a whole.
    pub marks: Option<Marks>,
}

/// The candidate has all traffic.
#[derive(Debug, Clone, PartialEq)]
pub struct Promoted {
    /// Since when.
    pub since: Timestamp,
    /// Its requests until then.
    pub before: Tally,
    /// Whether it is still watched.
    pub watched: Watched,
    /// What it had shown by some moments of the watch, while that goes on.
    pub marks: Option<Marks>,
}

/// How the watch after the last step goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Watched {
    /// It goes on.
    Watching,
    /// It is over, or there was none.
    Over,
    /// The candidate was found bad.
    Failed {
        /// Why.
        cause: Cause,
    },
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
    /// The stable version's requests until the rollout began.
    pub reference: Tally,
    /// What the steps that have passed showed, in order.
    pub passed: Vec<Sample>,
}

impl Rollout {
    /// A rollout that starts at `at`.
    pub fn new(start: Start, at: Timestamp) -> Self {
        Self {
            start,
            phase: Phase::Preparing { step: 0, since: at },
            weight: Weight::ZERO,
            reference: Tally::default(),
            passed: Vec::new(),
        }
    }

    /// With the numbers of replicas that are right now: the stable version may have been scaled up since it started, and
    /// the candidate has to carry as much. Neither is ever lowered.
    #[must_use]
    pub fn sized(&self, stable_replicas: u32) -> Self {
        let mut sized = self.clone();
        sized.start.stable_replicas = self.start.stable_replicas.max(stable_replicas);
        if let Some(bounds) = self.start.autoscaled {
            sized.start.replicas = self.start.replicas.max(bounds.clamp(sized.start.stable_replicas));
        }
        sized
    }

    /// Whether traffic does not move any more.
    pub fn is_over(&self) -> bool {
        match self.phase {
            Phase::Promoted(_) | Phase::Withdrawn { .. } => true,
            Phase::Preparing { .. } | Phase::Baking(_) | Phase::Withdrawing { .. } => false,
        }
    }

    /// Whether the candidate serves everybody and is still watched.
    pub fn is_watched(&self) -> bool {
        matches!(&self.phase, Phase::Promoted(Promoted { watched: Watched::Watching, .. }))
    }

    /// Why the candidate is or was withdrawn, if it is.
    pub fn failure(&self) -> Option<&Cause> {
        match &self.phase {
            Phase::Withdrawing { cause } | Phase::Withdrawn { cause } => Some(cause),
            Phase::Preparing { .. } | Phase::Baking(_) | Phase::Promoted(_) => None,
        }
    }

    /// The state after a fact. One that does not fit is an error and changes nothing.
    pub fn apply(&mut self, event: &RolloutEvent, at: Timestamp) -> Result<(), Conflict> {
        let phase = match (&self.phase, event) {
            (
                Phase::Preparing { step, .. },
                RolloutEvent::StepEntered { step: entered, weight, candidate, stable, mirrored, restarts },
            ) if step == entered => {
                self.weight = *weight;
                if *step == 0 {
                    self.reference.clone_from(stable);
                }
                Phase::Baking(Baking {
                    step: *step,
                    since: at,
                    candidate: candidate.clone(),
                    stable: stable.clone(),
                    mirrored: mirrored.clone(),
                    restarts: *restarts,
                    held: false,
                    marks: Marks::new(self.start.segments),
                })
            }
            (Phase::Baking(baking), RolloutEvent::Marked { step, mark }) if baking.step == *step => {
                let mut baking = baking.clone();
                baking.marks.iter_mut().for_each(|marks| marks.add(mark.clone()));
                Phase::Baking(baking)
            }
            (Phase::Promoted(now), RolloutEvent::Marked { mark, .. }) if now.watched == Watched::Watching => {
                let mut now = now.clone();
                now.marks.iter_mut().for_each(|marks| marks.add(mark.clone()));
                Phase::Promoted(now)
            }
            (Phase::Baking(baking), RolloutEvent::StepHeld { step, .. }) if baking.step == *step => {
                Phase::Baking(Baking { held: true, ..baking.clone() })
            }
            (Phase::Baking(baking), RolloutEvent::StepPassed { step, evidence, .. }) if baking.step == *step => {
                self.passed.push(evidence.clone());
                Phase::Preparing { step: step.saturating_add(1), since: at }
            }
            (Phase::Preparing { .. } | Phase::Baking(_), RolloutEvent::Promoted { candidate, stable }) => {
                self.weight = Weight::ALL;
                if self.reference.is_empty() {
                    self.reference.clone_from(stable);
                }
                let (watched, marks) = match self.start.watch {
                    Some(_) => (Watched::Watching, Marks::new(self.start.segments)),
                    None => (Watched::Over, None),
                };
                Phase::Promoted(Promoted { since: at, before: candidate.clone(), watched, marks })
            }
            (Phase::Preparing { .. } | Phase::Baking(_), RolloutEvent::Failed { cause, .. }) => {
                self.weight = Weight::ZERO;
                Phase::Withdrawing { cause: cause.clone() }
            }
            (Phase::Withdrawing { cause }, RolloutEvent::Withdrawn { .. }) => Phase::Withdrawn { cause: cause.clone() },
            (Phase::Promoted(now), RolloutEvent::Watched { .. }) if now.watched == Watched::Watching => {
                Phase::Promoted(Promoted { watched: Watched::Over, marks: None, ..now.clone() })
            }
            (Phase::Promoted(now), RolloutEvent::Failed { cause, .. }) if now.watched == Watched::Watching => {
                Phase::Promoted(Promoted {
                    watched: Watched::Failed { cause: cause.clone() },
                    marks: None,
                    ..now.clone()
                })
            }
            (phase, event) => return Err(Conflict { phase: phase.name(), event: event.name() }),
        };
        self.phase = phase;
        Ok(())
    }

    /// What the step that bakes, or the watch, had shown by some moments of it; none where steps are judged as a whole.
    pub fn marks(&self) -> Option<&Marks> {
        match &self.phase {
            Phase::Baking(baking) => baking.marks.as_ref(),
            Phase::Promoted(promoted) => promoted.marks.as_ref(),
            Phase::Preparing { .. } | Phase::Withdrawing { .. } | Phase::Withdrawn { .. } => None,
        }
    }

    /// The step of that number. A first release has none, as it has nobody to be compared with.
    pub fn step(&self, step: u32) -> Option<Step> {
        self.start.stable.as_ref()?;
        self.start.strategy.step(step)
    }
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Preparing { .. } => "preparing a step",
            Self::Baking(_) => "baking",
            Self::Withdrawing { .. } => "withdrawing",
            Self::Promoted(_) => "promoted",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

#[cfg(test)]
mod tests;
