//! Requests of our own, where users' are too few to judge a step: when they are sent, and how many.
//!
//! They are sent in pairs, the same request to both versions at the same time, so that the comparison is at a known split.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::Weight;
use crate::judge::{Sample, Synthetic, Undecided, Verdict};
use crate::rollout::{Phase, Rollout};
use crate::runtime::{Observation, Tally};

/// The share that either version has of requests that both get.
const HALF: u8 = 50;

/// What the pairs sent during a step showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    /// How many were sent.
    pub sent: u64,
    /// How often the candidate did not answer as said.
    pub candidate_failures: u64,
    /// How often the stable version did not answer as said.
    pub stable_failures: u64,
}

impl Pairs {
    /// Whether none was sent.
    pub fn is_empty(&self) -> bool {
        self.sent == 0
    }

    /// Counts one more pair, by whether each version failed.
    pub fn add(&mut self, candidate_failed: bool, stable_failed: bool) {
        self.sent = self.sent.saturating_add(1);
        self.candidate_failures = self.candidate_failures.saturating_add(u64::from(candidate_failed));
        self.stable_failures = self.stable_failures.saturating_add(u64::from(stable_failed));
    }

    /// Counts what others counted.
    pub fn add_all(&mut self, more: &Self) {
        self.sent = self.sent.saturating_add(more.sent);
        self.candidate_failures = self.candidate_failures.saturating_add(more.candidate_failures);
        self.stable_failures = self.stable_failures.saturating_add(more.stable_failures);
    }

    /// As the judge sees them; how long they took is no users' time and is left out.
    fn sample(&self) -> Option<Box<Sample>> {
        let tally = |failures| Tally { requests: self.sent, failures, ..Tally::default() };
        (!self.is_empty()).then(|| {
            Box::new(Sample {
                weight: Weight::new(HALF).unwrap_or_default(),
                candidate: tally(self.candidate_failures),
                stable: tally(self.stable_failures),
                ..Sample::default()
            })
        })
    }
}

/// Pairs to send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The requests in turn, and how fast they may be sent.
    pub of: Synthetic,
    /// The number of the first, so that they go on where they stopped.
    pub first: u64,
    /// How many: those of a second at the most, so that each look decides anew.
    pub pairs: u64,
}

/// What the pairs of a rollout's step showed, if any were sent.
pub(crate) fn sent(rollout: &Rollout, step: u32, seen: &Observation) -> Option<Box<Sample>> {
    pairs(rollout, step, seen).sample()
}

fn pairs(rollout: &Rollout, step: u32, seen: &Observation) -> Pairs {
    let readings = seen.readings.as_ref().filter(|r| r.flight == rollout.start.candidate && r.step == step);
    readings.map(|readings| readings.synthetic).unwrap_or_default()
}

/// What to send now: only when a step's bake time is over, nothing speaks against the candidate and requests are missing.
/// Doubt that users' requests gave is not for others to lift.
pub fn wanted(rollout: &Rollout, seen: &Observation, now: Timestamp) -> Option<Wanted> {
    let Phase::Baking(baking) = &rollout.phase else { return None };
    let analysis = rollout.start.strategy.analysis()?;
    let of = analysis.synthetic.as_ref().filter(|_| analysis.undecided == Undecided::Synthetic)?;
    let bake = rollout.step(baking.step)?.bake.duration();
    if now.duration_since(baking.since) < bake {
        return None;
    }
    let (Verdict::Inconclusive { requests_missing, doubt: None, .. }, _) = rollout.judgment(seen, now)? else {
        return None;
    };
    let first = pairs(rollout, baking.step, seen).sent;
    Some(Wanted { of: of.clone(), first, pairs: requests_missing.min(u64::from(of.per_second.max(1))) })
}

#[cfg(test)]
mod tests;
