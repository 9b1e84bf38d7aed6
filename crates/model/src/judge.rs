//! The judge: may a rollout step go on, on the evidence so far?
//!
//! Everything here is a pure, total function of counters: no history of single requests is needed, so a restart loses
//! nothing and a stored verdict can be judged again under other settings. `docs/concepts/judging.md` derives it.
//!
//! **Fail.** Requests are given to versions at random, the candidate's with probability `w`. If the candidate is no worse
//! than tolerated, then a request *that failed* was the candidate's with probability at most `q0 = wr / (wr + 1 - w)`
//! for a tolerated ratio `r`, whatever the common failure rate does over the day; a tolerated difference is paid for
//! request by request ([`mixture`]). So for every `theta > 1`
//! `theta^hits / (1 + q0 (theta - 1))^failures` is a non-negative supermartingale that starts at 1, and so is any
//! average of such products over `theta`, over metrics and over the step in which the trouble began, or the mark within the
//! step that is judged ([`suspicion`], [`marks`]).
//! Ville's inequality bounds the chance that it ever exceeds `1/alpha` by `alpha`, however often it is looked at.
//!
//! **Pass.** What the next step exposes must be bounded first ([`target`]).
//!
//! **Inconclusive** says how many requests are missing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Weight;
use crate::runtime::Tally;

mod alone;
mod analysis;
mod bounds;
mod counted;
mod marks;
mod mixture;
mod suspicion;
mod target;
mod thresholds;
mod verdict;

pub use analysis::{Analysis, Synthetic, Undecided};
pub use marks::{Count, Mark, Marks, SEGMENTS, mark};
pub use verdict::{Finding, Measure, Part, Verdict};

/// Both versions' requests during a step of constant weight, or the time after the last one; stored with its verdict, so
/// that it can be explained and judged again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The candidate's share of traffic.
    #[serde(default, skip_serializing_if = "Weight::is_zero")]
    pub weight: Weight,
    /// The candidate's requests.
    pub candidate: Tally,
    /// The stable version's requests over the same time.
    pub stable: Tally,
    /// Length so far, in milliseconds.
    pub elapsed_ms: u64,
    /// Declared requests that were sent to both versions alike, past the traffic, because users' were too few.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Box<Sample>>,
}

/// All that a verdict is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The stable version's requests from its start until the rollout began.
    pub reference: &'a Tally,
    /// What the steps that have passed showed, in order.
    pub earlier: &'a [Sample],
    /// What is judged.
    pub now: &'a Sample,
    /// What it had shown by some moments of it; none where steps are judged as a whole.
    pub marks: Option<&'a Marks>,
    /// The candidate's share of traffic after a pass; none at the end.
    pub next: Option<Weight>,
}

/// A sample, and whose requests it counts.
#[derive(Debug, Clone, Copy)]
struct Shown<'a> {
    /// The step, from 0.
    step: usize,
    sample: &'a Sample,
    of_users: bool,
}

impl Sample {
    /// The candidate's share of the requests, at least the one it should have: users who are sent to the candidate beyond
    /// its weight may not count against it. None where nobody runs beside it.
    fn share(&self) -> Option<f64> {
        let both = self.candidate.requests.saturating_add(self.stable.requests);
        let share = ratio(self.candidate.requests, both).max(f64::from(self.weight.percent()) / 100.0);
        (self.stable.requests > 0 && self.weight < Weight::ALL && share > 0.0 && share < 1.0).then_some(share)
    }
}

impl Sample {
    /// The candidate's share of the requests, at least: its weight, or what surely is above that.
    fn least_share(&self, analysis: &Analysis) -> f64 {
        let both = self.candidate.requests.saturating_add(self.stable.requests);
        let least = bounds::lower(self.candidate.requests, both, analysis.log_bounds_needed());
        least.max(f64::from(self.weight.percent()) / 100.0)
    }
}

impl<'a> Evidence<'a> {
    /// What users' requests showed, in order, the sample that is judged last.
    fn of_users(self) -> impl Iterator<Item = &'a Sample> + Clone {
        self.earlier.iter().chain(std::iter::once(self.now))
    }

    /// All samples in order: synthetic requests are one of their own, before their step's.
    fn samples(self) -> impl Iterator<Item = Shown<'a>> + Clone {
        let with_synthetic = |(step, of_users): (usize, &'a Sample)| {
            let synthetic = of_users.synthetic.as_deref().map(|sample| Shown { step, sample, of_users: false });
            synthetic.into_iter().chain(std::iter::once(Shown { step, sample: of_users, of_users: true }))
        };
        self.of_users().enumerate().flat_map(with_synthetic)
    }

    /// All that is known of the stable version: failures and requests.
    fn known(self) -> (u64, u64) {
        self.of_users().fold((self.reference.failures, self.reference.requests), |(failures, requests), sample| {
            (failures.saturating_add(sample.stable.failures), requests.saturating_add(sample.stable.requests))
        })
    }

    /// What can't be, if anything.
    fn contradiction(self) -> Option<String> {
        let tallies = self
            .samples()
            .flat_map(|Shown { sample, .. }| [("the candidate", &sample.candidate), ("stable", &sample.stable)]);
        let mut all = tallies.chain(std::iter::once(("the reference", self.reference)));
        let (whose, tally) = all.find(|(_, tally)| tally.failures > tally.requests)?;
        Some(format!("more failures than requests were counted: {} of {} for {whose}", tally.failures, tally.requests))
    }
}

/// Judges a step. Total: every evidence has a verdict.
pub fn judge(analysis: &Analysis, evidence: &Evidence<'_>) -> Verdict {
    if let Some(reason) = evidence.contradiction() {
        return Verdict::Error { reason };
    }
    let case = suspicion::Case::new(analysis, evidence);
    let suspicion = case.suspicion(0);
    if suspicion.log_evidence >= analysis.log_evidence_needed() {
        let finding = case.finding(&suspicion);
        return Verdict::Fail { limit: finding.limit, finding: Some(Box::new(finding)) };
    }
    let goal = target::Goal::new(analysis, evidence);
    let to_rule_out = goal.missing();
    let calm = || goal.calm(&case.suspected(&suspicion));
    let doubt = suspicion.is_doubt() && !(suspicion.is_of_failures() && calm() == 0);
    if to_rule_out == 0 && !doubt {
        return Verdict::Pass;
    }
    let requests_missing = if doubt {
        let most = if suspicion.is_of_failures() { calm() } else { u64::MAX };
        case.calm_after(to_rule_out.max(1), most.max(to_rule_out).max(1))
    } else {
        to_rule_out
    };
    let per_second = 1000.0 * ratio(evidence.now.candidate.requests, evidence.now.elapsed_ms);
    let expected_in_s = (per_second > 0.0).then(|| whole(float(requests_missing) / per_second));
    let doubt = doubt.then(|| Box::new(case.finding(&suspicion)));
    Verdict::Inconclusive { requests_missing, expected_in_s, doubt }
}

/// The weighted average of all e-processes now: evidence, in times that chance would need, that the candidate is worse
/// than tolerated. At [`Analysis::evidence_needed`] the verdict is Fail. For plots and for people who want to see how
/// near a verdict is.
pub fn evidence_of_harm(analysis: &Analysis, evidence: &Evidence<'_>) -> f64 {
    if evidence.contradiction().is_some() {
        return 0.0;
    }
    suspicion::Case::new(analysis, evidence).suspicion(0).log_evidence.exp()
}

fn ratio(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { float(part) / float(of) }
}

#[expect(clippy::cast_precision_loss, reason = "counts above 2^53 are not requests")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded up; `as` saturates and makes NaN 0"
)]
fn whole(count: f64) -> u64 {
    count.ceil() as u64
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
