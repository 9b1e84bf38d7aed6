//! What should run during a rollout, and whose requests go where. Pure functions of its state and of what is seen.

use super::{Phase, Rollout, Strategy};
use crate::ids::Weight;
use crate::runtime::{Audience, Mirror, Observation, Routing, VersionSeen};

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

impl Rollout {
    /// What should run now. Same state, same observation, same answer.
    pub fn shape(&self, seen: &Observation) -> Shape {
        let all = self.start.replicas;
        match (&self.phase, &self.start.strategy) {
            (Phase::Promoted(_), _) => Shape { stable_replicas: 0, ..self.fixed(all, Weight::ALL) },
            (Phase::Withdrawing { .. } | Phase::Withdrawn { .. }, _) => self.fixed(0, Weight::ZERO),
            (Phase::Preparing { .. } | Phase::Baking(_), Strategy::Recreate) => self.recreated(seen),
            (Phase::Preparing { .. } | Phase::Baking(_), Strategy::Rolling { surge, unavailable }) => {
                self.rolled(*surge, *unavailable, seen)
            }
            (Phase::Preparing { .. } | Phase::Baking(_), Strategy::Return) => self.fixed(all, self.weight),
            (Phase::Preparing { .. } | Phase::Baking(_), Strategy::BlueGreen { .. }) => {
                self.fixed(all, self.weight_now(seen))
            }
            (Phase::Preparing { step, .. }, Strategy::Canary { .. }) => {
                self.fixed(self.capacity_at(*step), self.weight_now(seen))
            }
            (Phase::Baking(baking), Strategy::Canary { .. }) => {
                self.fixed(self.capacity_at(baking.step), self.weight_now(seen))
            }
        }
    }

    /// The candidate's share of traffic where there are steps: the step's, but it does not rise while no replica is ready. Between
    /// the fact that a step was entered and its share being in force lie a crash, or a runtime that does not answer.
    fn weight_now(&self, seen: &Observation) -> Weight {
        let candidate = self.candidate_in(seen);
        if self.start.stable.is_none() || candidate.is_some_and(|candidate| candidate.ready > 0) {
            return self.weight;
        }
        candidate.map_or(Weight::ZERO, |candidate| candidate.weight).min(self.weight)
    }

    fn fixed(&self, candidate_replicas: u32, weight: Weight) -> Shape {
        Shape {
            candidate_replicas,
            candidate_weight: weight,
            stable_replicas: if self.start.stable.is_some() { self.start.stable_replicas } else { 0 },
            stable_weight: weight.rest(),
        }
    }

    /// First nothing of the old, then all of the new. In between nobody serves, and nobody has a weight.
    fn recreated(&self, seen: &Observation) -> Shape {
        let old = self.stable_in(seen).map_or(0, |stable| stable.replicas);
        let serves = self.candidate_in(seen).is_some_and(|candidate| candidate.ready > 0);
        Shape {
            candidate_replicas: if old == 0 { self.start.replicas } else { 0 },
            candidate_weight: if serves { Weight::ALL } else { Weight::ZERO },
            stable_replicas: 0,
            stable_weight: Weight::ZERO,
        }
    }

    /// A `Deployment`'s rolling update (Kubernetes, `pkg/controller/deployment/rolling.go`, described in the
    /// documentation of `maxSurge` and `maxUnavailable`), as a function of what is seen.
    fn rolled(&self, surge: u32, unavailable: u32, seen: &Observation) -> Shape {
        let wanted = self.start.replicas;
        let candidate = self.candidate_in(seen);
        let stable = self.stable_in(seen);
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

    /// How requests are told apart beyond the weights.
    pub fn routing(&self) -> Routing {
        let candidate = &self.start.candidate;
        let baking = match &self.phase {
            Phase::Baking(baking) => Some(baking),
            Phase::Preparing { .. } => None,
            Phase::Withdrawing { .. } | Phase::Promoted(_) | Phase::Withdrawn { .. } => return Routing::default(),
        };
        if self.start.stable.is_none() {
            return Routing::default();
        }
        // A step that has passed leaves its audience with the candidate while the next one is prepared.
        let entered = baking.is_some() || !self.passed.is_empty();
        let audience = self.start.strategy.audience().filter(|_| entered);
        let audiences = audience.map(|rule| Audience {
            key: rule.key.clone(),
            value: rule.value.clone(),
            version: candidate.clone(),
        });
        let share = baking.and_then(|baking| self.step(baking.step)).map_or(Weight::ZERO, |step| step.mirror);
        Routing {
            audiences: audiences.into_iter().collect(),
            sticky: match &self.start.strategy {
                Strategy::Canary { stick_to, .. } => stick_to.clone(),
                Strategy::BlueGreen { .. } | Strategy::Recreate | Strategy::Rolling { .. } | Strategy::Return => None,
            },
            mirror: (share > Weight::ZERO).then(|| Mirror { version: candidate.clone(), share }),
            preview: matches!(self.start.strategy, Strategy::BlueGreen { .. }).then(|| candidate.clone()),
        }
    }

    /// The candidate's replicas for a step: in proportion to all that reaches it, rounded up, at least one. An audience
    /// may be anybody, so it gets the capacity for all.
    pub(super) fn capacity_at(&self, step: u32) -> u32 {
        let all = self.start.replicas;
        let Some(step) = self.step(step).filter(|_| self.start.strategy.audience().is_none()) else { return all };
        if matches!(self.start.strategy, Strategy::BlueGreen { .. }) {
            return all;
        }
        let percent = u64::from(step.weight.percent().max(step.mirror.percent()));
        let share = (u64::from(all) * percent).div_ceil(100);
        u32::try_from(share).unwrap_or(u32::MAX).max(1).min(all.max(1))
    }

    pub(super) fn candidate_in<'a>(&self, seen: &'a Observation) -> Option<&'a VersionSeen> {
        seen.version(&self.start.candidate)
    }

    pub(super) fn stable_in<'a>(&self, seen: &'a Observation) -> Option<&'a VersionSeen> {
        self.start.stable.as_ref().and_then(|stable| seen.version(stable))
    }
}
