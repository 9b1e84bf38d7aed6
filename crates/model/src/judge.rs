//! The judge: is a candidate's failure share acceptable, on the evidence so far?
//!
//! Two tests run side by side, both valid however often they are looked at, because each is a non-negative
//! supermartingale under its null hypothesis and Ville's inequality bounds the chance that it ever exceeds `1/alpha`
//! (Ville 1939; Howard, Ramdas, `McAuliffe` and Sekhon, *Time-uniform Chernoff bounds via nonnegative supermartingales*,
//! 2020). For requests that fail with probability `p`:
//!
//! * **fail**: against "`p` is at most `p0`", the mixture over shares `q > p0` of the likelihood ratio
//!   `(q/p0)^failures * ((1-q)/(1-p0))^successes`;
//! * **pass**: against "`p` is at least `p1`", the same mixture over shares `q < p1`.
//!
//! A finite mixture is a mixture: the grids below cost nothing in validity and a little in power. `p0` is the larger of
//! `failure_share_max` and an upper bound of the stable version's share over the same time, so that a candidate is not
//! blamed for an outage that both suffer. Between `p0` and `p1` (`failure_share_detect`) either answer is acceptable
//! (Wald's indifference zone). When neither test has reached its bound, the verdict is Inconclusive and says how many
//! more requests the pass test needs if all of them succeed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Weight;
use crate::metric::Metric;
use crate::quantity::{Period, Share};
use crate::runtime::{Counters, Tally};

/// How a canary's steps are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// The share of failed requests that is acceptable; default `1%`.
    pub failure_share_max: Share,
    /// The share that a step must rule out before it passes; default `5%`. Lower needs more requests: about
    /// `4.6 / share` when none fails.
    pub failure_share_detect: Share,
    /// The chance that a good release is rolled back, over the whole rollout; default `1%`.
    pub false_alarm_max: Share,
    /// How long a step without enough requests is held after its bake time before it is rolled back; default `1h`.
    pub wait_max: Period,
    /// What is done meanwhile; default `extend`.
    #[serde(skip_serializing_if = "Undecided::is_default")]
    pub undecided: Undecided,
    /// What is measured beside the requests, at most 32 metrics; each must pass as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
}

/// What is done with a step that can't be judged when its bake time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// It is held until there are requests enough.
    #[default]
    Extend,
    /// As `extend`, and a person may let it pass with `prograde approve`.
    Ask,
}

impl Undecided {
    /// Whether it need not be written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            failure_share_max: Share::basis_points(100),
            failure_share_detect: Share::basis_points(500),
            false_alarm_max: Share::basis_points(100),
            wait_max: Period::seconds(3600),
            undecided: Undecided::Extend,
            metrics: Vec::new(),
        }
    }
}

impl Analysis {
    /// What is wrong with the numbers together, if anything is.
    pub fn problem(&self) -> Option<String> {
        let (max, detect) = (self.failure_share_max.ratio(), self.failure_share_detect.ratio());
        if max <= 0.0 {
            Some(
                "`failure_share_max` must be above 0%: one failed request would prove nothing and roll back everything"
                    .into(),
            )
        } else if detect <= max || detect >= 1.0 {
            Some(format!(
                "`failure_share_detect` ({}) must lie above `failure_share_max` ({}) and below 100%",
                self.failure_share_detect, self.failure_share_max
            ))
        } else if self.false_alarm_max.ratio() <= 0.0 || self.false_alarm_max.ratio() >= 0.5 {
            Some(format!("`false_alarm_max` ({}) must lie above 0% and below 50%", self.false_alarm_max))
        } else {
            None
        }
    }
}

/// The judgment of a step on the evidence so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// The intolerable share is ruled out.
    Pass,
    /// The candidate fails more often than is acceptable.
    Fail {
        /// The limit that it surely exceeds: the larger of the setting and what the stable version suffered.
        limit: Share,
    },
    /// Not enough requests to say.
    Inconclusive {
        /// How many more are needed if all succeed.
        requests_missing: u64,
        /// When they will be there at the present rate, in seconds; none when nothing arrives.
        expected_in_s: Option<u64>,
    },
    /// The numbers can't be judged.
    Error {
        /// Why.
        reason: String,
    },
}

/// What one step showed, or the time after the last one; stored with its verdict, so that it can be explained and judged
/// again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sample {
    /// The candidate's share of traffic.
    #[serde(default, skip_serializing_if = "Weight::is_zero")]
    pub weight: Weight,
    /// The candidate's requests.
    pub candidate: Tally,
    /// The stable version's requests over the same time.
    pub stable: Tally,
    /// How long it has lasted, in milliseconds.
    pub elapsed_ms: u64,
}

/// All that a verdict is based on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence<'a> {
    /// The stable version from its start until the rollout began.
    pub reference: &'a Tally,
    /// What the steps that have passed showed, in order.
    pub earlier: &'a [Sample],
    /// What is judged.
    pub now: &'a Sample,
    /// The traffic that passing exposes; none at the end.
    pub next: Option<Weight>,
}

/// The chance of a pass although the intolerable share is there. Smaller would cost requests in every good rollout.
const MISS_MAX: f64 = 0.05;

/// Judges a step.
pub fn judge(analysis: &Analysis, evidence: &Evidence<'_>) -> Verdict {
    let seen = Counters::from(&evidence.now.candidate);
    let stable = Counters::from(&evidence.now.stable);
    let looks = u32::try_from(evidence.earlier.len().max(3)).unwrap_or(u32::MAX);
    if seen.failures > seen.requests || stable.failures > stable.requests {
        return Verdict::Error { reason: "more failures than requests were counted".into() };
    }
    // Half of the allowance goes to the bound on the stable version's share, half to the test itself.
    let alpha = analysis.false_alarm_max.ratio() / f64::from(looks.max(1)) / 2.0;
    let stable_upper = upper_bound(stable, alpha);
    let limit = analysis.failure_share_max.ratio().max(stable_upper);
    if limit < 1.0 && log_evidence_above(seen, limit) >= -alpha.ln() {
        return Verdict::Fail { limit: share(limit) };
    }
    let detect = analysis.failure_share_detect.ratio();
    if log_evidence_below(seen, detect) >= -MISS_MAX.ln() {
        return Verdict::Pass;
    }
    if stable_upper > detect {
        let reason = format!(
            "up to {} of the stable version's requests fail as well; nothing can be said of the candidate until that ends",
            share(stable_upper)
        );
        return Verdict::Error { reason };
    }
    let requests_missing = requests_missing(seen, detect);
    let per_ms = ratio(seen.requests, evidence.now.elapsed_ms);
    let expected_in_s = (per_ms > 0.0).then(|| to_u64(requests_missing, per_ms));
    Verdict::Inconclusive { requests_missing, expected_in_s }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate in whole seconds; `as` saturates"
)]
fn to_u64(requests: u64, per_ms: f64) -> u64 {
    (requests as f64 / per_ms / 1000.0).ceil() as u64
}

#[expect(clippy::cast_precision_loss, reason = "counts above 2^53 are not requests")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 0 to 1 in basis points")]
fn share(ratio: f64) -> Share {
    Share::basis_points((ratio * 10_000.0).round() as u16)
}

/// Shares of the alternative to "at most `p0`": 32 points from `p0` to 1 in equal steps of their logarithm.
const GRID_ABOVE: u32 = 32;
/// Shares of the alternative to "at least `p1`", as parts of `p1`.
const GRID_BELOW: [f64; 5] = [0.0, 1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0];

/// Logarithm of the evidence against "fails with at most `p0`".
fn log_evidence_above(seen: Counters, p0: f64) -> f64 {
    let terms = (0..GRID_ABOVE).map(|k| {
        let part = (f64::from(k) + 0.5) / f64::from(GRID_ABOVE);
        log_likelihood_ratio(seen, p0.powf(1.0 - part), p0)
    });
    log_mean_exp(terms, f64::from(GRID_ABOVE))
}

/// Logarithm of the evidence against "fails with at least `p1`".
fn log_evidence_below(seen: Counters, p1: f64) -> f64 {
    log_mean_exp(GRID_BELOW.iter().map(|part| log_likelihood_ratio(seen, p1 * part, p1)), 5.0)
}

#[expect(clippy::cast_precision_loss, reason = "counts above 2^53 are not requests")]
fn log_likelihood_ratio(seen: Counters, q: f64, p: f64) -> f64 {
    let (failures, successes) = (seen.failures as f64, (seen.requests - seen.failures) as f64);
    let from_failures = if seen.failures == 0 { 0.0 } else { failures * (q / p).ln() };
    from_failures + successes * ((1.0 - q) / (1.0 - p)).ln()
}

/// `ln(sum(exp(terms)) / count)` without overflow.
fn log_mean_exp(terms: impl Iterator<Item = f64> + Clone, count: f64) -> f64 {
    let largest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + (terms.map(|t| (t - largest).exp()).sum::<f64>() / count).ln()
}

/// The smallest share that `seen` rules out from above at level `alpha`, at any time: the upper end of a confidence
/// sequence. Zero without failures, so that a short history of the stable version does not loosen the limit.
fn upper_bound(seen: Counters, alpha: f64) -> f64 {
    if seen.failures == 0 || seen.failures > seen.requests {
        return 0.0;
    }
    let (mut low, mut high) = (ratio(seen.failures, seen.requests), 1.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if middle < 1.0 && log_evidence_below(seen, middle) >= -alpha.ln() {
            high = middle;
        } else if middle >= 1.0 {
            break;
        } else {
            low = middle;
        }
    }
    high
}

/// How many more requests let the pass test reach its bound if all of them succeed.
fn requests_missing(seen: Counters, p1: f64) -> u64 {
    let enough = |more: u64| {
        let then = Counters { requests: seen.requests.saturating_add(more), ..seen };
        log_evidence_below(then, p1) >= -MISS_MAX.ln()
    };
    let mut high = 1u64;
    while !enough(high) && high < 1 << 40 {
        high *= 2;
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = u64::midpoint(low, high);
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(analysis: &Analysis, candidate: (u64, u64), stable: (u64, u64)) -> Verdict {
        let tally = |(requests, failures)| Tally { requests, failures, ..Tally::default() };
        let (candidate, stable) = (tally(candidate), tally(stable));
        let now = Sample { weight: Weight::default(), candidate, stable, elapsed_ms: 10_000 };
        judge(analysis, &Evidence { reference: &Tally::default(), earlier: &[], now: &now, next: None })
    }

    fn verdict(requests: u64, failures: u64) -> Verdict {
        judged(&Analysis::default(), (requests, failures), (10_000, 5))
    }

    #[test]
    fn four_answers_to_four_situations() {
        assert_eq!(verdict(200, 0), Verdict::Pass);
        assert!(matches!(verdict(20, 6), Verdict::Fail { .. }));
        assert!(matches!(verdict(3, 0), Verdict::Inconclusive { .. }));
        assert!(matches!(verdict(3, 4), Verdict::Error { .. }));
    }

    #[test]
    fn missing_requests_are_exactly_what_is_missing() {
        let Verdict::Inconclusive { requests_missing, expected_in_s } = verdict(10, 0) else { panic!() };
        assert_eq!(verdict(10 + requests_missing, 0), Verdict::Pass);
        assert_ne!(verdict(10 + requests_missing - 1, 0), Verdict::Pass);
        assert_eq!(expected_in_s, Some(requests_missing), "one request a second");
        let Verdict::Inconclusive { expected_in_s, .. } = verdict(0, 0) else { panic!() };
        assert_eq!(expected_in_s, None);
    }

    #[test]
    fn an_outage_that_both_suffer_is_not_the_candidates() {
        assert!(matches!(judged(&Analysis::default(), (400, 40), (40_000, 4_000)), Verdict::Error { .. }));
        assert!(matches!(judged(&Analysis::default(), (400, 40), (40_000, 4)), Verdict::Fail { .. }));
    }

    /// A small generator (xorshift64*, Vigna 2014) so that runs are the same everywhere.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn uniform(state: &mut u64) -> f64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1u64 << 53) as f64
    }

    #[test]
    fn looking_after_every_request_keeps_the_promised_error_rates() {
        let analysis = Analysis::default();
        let (mut false_alarms, mut misses) = (0, 0);
        let mut state = 42;
        for _ in 0..500 {
            let (mut good, mut bad) = (Counters::default(), Counters::default());
            let (mut alarmed, mut passed) = (false, false);
            for _ in 0..1_000 {
                good.requests += 1;
                good.failures += u64::from(uniform(&mut state) < 0.01);
                bad.requests += 1;
                bad.failures += u64::from(uniform(&mut state) < 0.05);
                alarmed |= matches!(judged(&analysis, (good.requests, good.failures), (0, 0)), Verdict::Fail { .. });
                passed |= matches!(judged(&analysis, (bad.requests, bad.failures), (0, 0)), Verdict::Pass);
            }
            false_alarms += u32::from(alarmed);
            misses += u32::from(passed);
        }
        assert!(false_alarms <= 5, "{false_alarms} of 500 at the limit itself, promised 1%");
        assert!(misses <= 25, "{misses} of 500 at the share to detect, promised 5%");
    }

    #[test]
    fn a_clear_failure_is_seen_after_tens_of_requests() {
        let needed =
            |share: u64| (1..1_000).find(|n| matches!(verdict(*n, n * share / 100), Verdict::Fail { .. })).unwrap();
        assert!(needed(100) <= 4, "{}", needed(100));
        assert!(needed(20) <= 30, "{}", needed(20));
    }
}
