//! What has to be ruled out before more traffic is exposed: the harm of the next step is bounded before it is entered.
//!
//! Before the candidate gets a share `v` of all traffic, it is ruled out that it fails with `5 detect / v` or more beyond
//! what the stable version surely has, of which `failure_share_max` is the most that counts; at the end of the rollout
//! that it fails with `detect`. The test is the mirror image of [`super::mixture`]: `theta^failures / (1 - p (1 -
//! theta))^requests` for `theta < 1` is a supermartingale if requests fail with `p` or more. Only the step itself counts,
//! because the load of an earlier one was not the same.

use super::mixture::log_sum;
use super::{Analysis, Evidence, bounds, float};
use crate::ids::Weight;
use crate::runtime::Tally;

/// The chance of a pass although the share to be ruled out is there. Smaller would cost requests in every good rollout.
const MISS_MAX: f64 = 0.05;
/// How many times the share of the end may be risked, divided by the next weight.
const STEP_RISK: f64 = 5.0;
/// No step has to rule out less than... a candidate of which every second request fails.
const STEP_MOST: f64 = 0.5;
/// By how much the odds of a failure may be lower than what is to be ruled out, and what each takes part with.
const THETA: [f64; 5] = [0.0, 1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0];
const PRIOR: f64 = 1.0 / 5.0;
/// More requests than this are never said to be missing.
const MISSING_MAX: u64 = 1 << 40;

/// What is to be ruled out.
#[derive(Debug)]
pub(super) struct Goal {
    /// Users' and synthetic requests.
    seen: Tally,
    share: f64,
    immaterial: f64,
}

impl Goal {
    pub(super) fn new(analysis: &Analysis, evidence: &Evidence<'_>) -> Self {
        let detect = analysis.failure_share_detect.ratio();
        let risked = evidence.next.map_or(detect, |next| step_share(detect, next));
        let (failures, requests) = if evidence.now.share().is_some() {
            (evidence.now.stable.failures, evidence.now.stable.requests)
        } else {
            evidence.known()
        };
        // A stable version that is ill itself excuses no more than what is acceptable: nobody knows then what passes.
        let stable = bounds::lower(failures, requests, analysis.log_bounds_needed());
        let stable = stable.min(analysis.failure_share_max.ratio());
        let beyond = |share: f64| (stable + share).clamp(1e-6, 0.999);
        let users = &evidence.now.candidate;
        let seen = evidence.now.synthetic.as_deref().map_or_else(|| users.clone(), |more| both(users, &more.candidate));
        Self { seen, share: beyond(risked), immaterial: beyond(detect / 5.0) }
    }

    /// How many more requests are needed if all of them succeed.
    pub(super) fn missing(&self) -> u64 {
        missing(&self.seen, self.share)
    }

    /// How many more requests show, if all of them succeed, that what was suspected does not matter. Users' alone, and of
    /// them those that are suspected: others may be of a kind that never fails.
    pub(super) fn calm(&self, suspected: &Tally) -> u64 {
        missing(suspected, self.immaterial)
    }
}

/// The requests of two tallies; how long they took is not asked here.
fn both(one: &Tally, other: &Tally) -> Tally {
    Tally {
        requests: one.requests.saturating_add(other.requests),
        failures: one.failures.saturating_add(other.failures),
        ..Tally::default()
    }
}

fn step_share(detect: f64, next: Weight) -> f64 {
    (STEP_RISK * detect * 100.0 / f64::from(next.percent().max(1))).clamp(detect, STEP_MOST.max(detect))
}

fn missing(seen: &Tally, share: f64) -> u64 {
    let failures = float(seen.failures);
    let slopes = THETA.map(|theta| -(share * (theta - 1.0)).ln_1p());
    let logs = THETA.map(|theta| if seen.failures == 0 { 0.0 } else { failures * theta.ln() });
    let needed = -MISS_MAX.ln();
    let enough = |more: u64| {
        let requests = float(seen.requests.saturating_add(more));
        let mut now = logs;
        now.iter_mut().zip(slopes).for_each(|(log, slope)| *log += requests * slope);
        log_sum(&now, PRIOR) >= needed
    };
    if enough(0) {
        return 0;
    }
    // The average reaches the bound not before its largest term does, and not after that term does so alone.
    let requests = float(seen.requests);
    let until = |bound: f64| {
        let each = logs.iter().zip(slopes).map(|(log, slope)| (bound - log) / slope - requests);
        each.fold(f64::INFINITY, f64::min).max(0.0)
    };
    first(
        super::whole(until(needed)).saturating_sub(2),
        super::whole(until(needed - PRIOR.ln())).saturating_add(2),
        enough,
    )
}

/// The first number from `least` to `most` from which on `enough` holds.
pub(super) fn first(least: u64, most: u64, enough: impl Fn(u64) -> bool) -> u64 {
    let most = most.min(MISSING_MAX);
    let (mut low, mut high) = (least.min(most), most);
    while low < high {
        let middle = u64::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle + 1 }
    }
    low
}
