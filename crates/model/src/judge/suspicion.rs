//! How much speaks against a candidate: a weighted average of e-processes, which is one itself.
//!
//! Its parts look at failures, at failures above the absolute limit, and at slow requests beyond three thresholds. Each
//! part is again an average over the step in which the trouble began, so that a long good past does not hide it.

use super::mixture::{Cell, Mixture};
use super::thresholds::{QUANTILES, Thresholds};
use super::verdict::{Finding, Measure, Part};
use super::{Analysis, Evidence, Sample, Shown, bounds, float, ratio};
use crate::latency::Latencies;
use crate::quantity::Share;

/// Evidence from which on a step is not left although what is to be ruled out is: it is more likely than not that
/// something is wrong, and a little more traffic tells.
const DOUBT: f64 = 2.0;
/// How many times as often as the stable version did until now the candidate may fail where nobody runs beside it: the
/// share of failures differs between times of the day.
const ALONE_RATIO: f64 = 2.0;
/// How many parts there are: failures, the absolute limit, four thresholds of latency.
const PARTS: usize = 6;
/// Their weights, which sum to 1.
const WEIGHTS: [f64; PARTS] = [0.7, 0.06, 0.06, 0.06, 0.06, 0.06];
/// Nobody is surer than this.
const ODDS_MOST: f64 = 1e9;
const FAILURES: usize = 0;
const LIMIT: usize = 1;

/// All that speaks for or against a candidate, counted.
#[derive(Debug)]
pub(super) struct Case<'a> {
    analysis: &'a Analysis,
    evidence: &'a Evidence<'a>,
    thresholds: Option<Thresholds>,
    /// By sample.
    counted: Vec<Counted>,
    /// How many draws each part gets with a further request of the candidate, if it is good.
    pace: [f64; PARTS],
}

/// What a sample says.
#[derive(Debug, Clone, Copy)]
struct Counted {
    /// By part.
    cells: [Cell; PARTS],
    failures: f64,
    requests: f64,
}

/// What speaks against a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspicion {
    /// Logarithm of the evidence.
    pub(super) log_evidence: f64,
    /// The part that says most,
    part: usize,
    /// and from which sample on.
    from: usize,
}

impl Suspicion {
    /// Whether the step should not be left.
    pub(super) fn is_doubt(&self) -> bool {
        self.log_evidence >= DOUBT.ln()
    }

    /// Whether failures speak against it more than latencies.
    pub(super) fn is_of_failures(&self) -> bool {
        self.part == FAILURES || self.part == LIMIT
    }
}

impl<'a> Case<'a> {
    pub(super) fn new(analysis: &'a Analysis, evidence: &'a Evidence<'a>) -> Self {
        let thresholds = Thresholds::new(analysis, evidence);
        let mut case = Self { analysis, evidence, thresholds, counted: Vec::new(), pace: [0.0; PARTS] };
        let alone = alone_limit(analysis, evidence);
        case.counted = evidence.samples().map(|shown| case.count(shown, alone)).collect();
        case.pace = case.pace_now();
        case
    }

    fn count(&self, Shown { step, sample, of_users }: Shown<'_>, alone: f64) -> Counted {
        let (failures, requests) = (float(sample.candidate.failures), float(sample.candidate.requests));
        let share = sample.share();
        let mut cells = [Cell::default(); PARTS];
        let [of_failures, of_limit, slow @ ..] = &mut cells;
        if let Some(w) = share {
            let w = sample.least_share(self.analysis).min(w);
            let odds = w * self.analysis.failure_ratio_max.ratio().max(1.0);
            let of = failures + float(sample.stable.failures);
            // A declared request is answered as said or it is not: what nobody would notice is no excuse there, and many
            // that are good do not outweigh what users have seen.
            let slack = if of_users { self.analysis.failure_slack.ratio() } else { 0.0 };
            *of_failures = Cell { hits: failures, of, p: odds / (odds + 1.0 - w), tries: requests, slack };
            let p = beside_limit(self.analysis, self.evidence, sample);
            *of_limit = Cell { hits: failures, of: requests, p, ..Cell::default() };
        } else {
            *of_failures = Cell { hits: failures, of: requests, p: alone, ..Cell::default() };
        }
        if let Some(thresholds) = self.thresholds.filter(|thresholds| step >= thresholds.from) {
            self.count_slow(sample, share, &thresholds, slow);
        }
        // However many of our own requests are good, what users have seen still matters.
        Counted { cells, failures, requests: if of_users { requests } else { 0.0 } }
    }

    fn count_slow(&self, sample: &Sample, share: Option<f64>, thresholds: &Thresholds, cells: &mut [Cell; 4]) {
        let candidate = &sample.candidate.latencies;
        if let Some(w) = share {
            let ours = candidate.at_least_each(thresholds.beside);
            let theirs = sample.stable.latencies.at_least_each(thresholds.stable);
            for ((cell, ours), theirs) in cells.iter_mut().zip(ours).zip(theirs) {
                *cell = Cell { hits: float(ours), of: float(ours) + float(theirs), p: w, ..Cell::default() };
            }
        } else {
            let total = float(candidate.total());
            let (slow, of) = thresholds.past;
            let ours = candidate.at_least_each(thresholds.alone);
            for ((cell, ours), theirs) in cells.iter_mut().zip(ours).zip(slow) {
                let p = bounds::upper(theirs, of, self.analysis.log_bounds_needed());
                *cell = Cell { hits: float(ours), of: total, p, ..Cell::default() };
            }
        }
    }

    /// Where somebody runs beside the candidate, a part gets a draw with every event of the stable version.
    fn pace_now(&self) -> [f64; PARTS] {
        let now = self.evidence.now;
        let (Some(w), Some(Counted { cells, .. })) = (now.share(), self.counted.last()) else { return [1.0; PARTS] };
        let beside = (1.0 - w) / w;
        let usual = [self.usual_failures(), 0.0].into_iter().chain(QUANTILES.map(|quantile| 1.0 - quantile));
        let mut pace = [1.0; PARTS];
        for (part, ((pace, usual), cell)) in pace.iter_mut().zip(usual).zip(cells).enumerate() {
            if part != LIMIT {
                let seen = (cell.of - cell.hits) / float(now.candidate.requests.max(1));
                *pace = seen.max(usual * beside);
            }
        }
        pace
    }

    fn usual_failures(&self) -> f64 {
        let (failures, requests) = self.evidence.known();
        ratio(failures, requests)
    }

    /// What speaks against the candidate once it has had `more` good requests.
    pub(super) fn suspicion(&self, more: u64) -> Suspicion {
        let mut found = Suspicion { log_evidence: f64::NEG_INFINITY, part: FAILURES, from: 0 };
        let mut largest = f64::NEG_INFINITY;
        let mut total = 0.0;
        for (part, weight) in WEIGHTS.into_iter().enumerate() {
            let mut mixture = Mixture::START;
            let (mut failures, mut requests) = (0.0, 0.0);
            for (from, counted) in self.counted.iter().enumerate().rev() {
                let Some(mut cell) = counted.cells.get(part).copied() else { continue };
                failures += counted.failures;
                requests += counted.requests;
                if from + 1 == self.counted.len() && more > 0 {
                    cell.of += self.pace.get(part).copied().unwrap_or(1.0) * float(more);
                    cell.tries += float(more);
                    requests += float(more);
                }
                mixture.add(cell);
                if part <= LIMIT && failures < self.analysis.immaterial() * requests {
                    continue;
                }
                let log = mixture.log() + (weight * began(from)).ln();
                if log > largest {
                    (largest, found.part, found.from) = (log, part, from);
                }
                total += log.exp();
            }
        }
        found.log_evidence = if total.is_finite() { total.ln() } else { largest };
        found
    }

    /// How many good requests from `least` on leave no doubt.
    pub(super) fn calm_after(&self, least: u64, most: u64) -> u64 {
        super::target::first(least, most, |more| !self.suspicion(more).is_doubt())
    }

    /// The numbers behind a suspicion.
    pub(super) fn finding(&self, suspicion: &Suspicion) -> Finding {
        let mut finding =
            Finding { odds: super::whole(suspicion.log_evidence.exp().min(ODDS_MOST)), ..Finding::default() };
        let slow = suspicion.part.checked_sub(LIMIT + 1).and_then(|at| self.slow(at));
        let (mut ours, mut theirs, mut expected) = (Part::default(), Part::default(), 0.0);
        for (counted, Shown { sample, .. }) in self.counted.iter().zip(self.evidence.samples()).skip(suspicion.from) {
            let Some(cell) = counted.cells.get(suspicion.part) else { continue };
            ours.add(super::whole(cell.hits), sample.candidate.requests);
            if sample.share().is_none() {
                expected = cell.p.max(expected);
            } else if suspicion.part == LIMIT {
                expected = cell.p.max(expected);
                theirs.add(sample.stable.failures, sample.stable.requests);
            } else {
                theirs.add(super::whole(cell.of - cell.hits), sample.stable.requests);
            }
        }
        if expected == 0.0 {
            let (ratio, slack) = (self.analysis.failure_ratio_max.ratio(), self.analysis.failure_slack.ratio());
            expected = if slow.is_some() { theirs.share() } else { theirs.share() * ratio + slack };
        }
        finding.measure = slow.unwrap_or(Measure::Failures);
        finding.limit = Share::nearest(expected);
        finding.candidate = ours;
        finding.stable = (theirs.requests > 0).then_some(theirs);
        finding
    }

    fn slow(&self, at: usize) -> Option<Measure> {
        let thresholds = self.thresholds?;
        let beside = self.evidence.now.share().is_some();
        let ours = if beside { thresholds.beside } else { thresholds.alone };
        Some(Measure::Latency {
            candidate_us: Latencies::lower_bound_us(*ours.get(at)?),
            stable_us: Latencies::lower_bound_us(*thresholds.stable.get(at)?),
        })
    }
}

/// The weight of "it began with this sample", which sum to 1 over all that may come.
fn began(from: usize) -> f64 {
    if from == 0 { 0.8 } else { 0.2 * 0.5f64.powi(i32::try_from(from).unwrap_or(i32::MAX)) }
}

/// The share above which failures are the candidate's where nobody runs beside it: what the stable version may have had,
/// with room for the time of the day; never less than would matter.
fn alone_limit(analysis: &Analysis, evidence: &Evidence<'_>) -> f64 {
    let (failures, requests) = evidence.known();
    let bound =
        bounds::upper(failures, requests, analysis.log_bounds_needed()).max(ALONE_RATIO * ratio(failures, requests));
    let bound = if failures == 0 { bound.min(analysis.failure_share_max.ratio()) } else { bound };
    bound.max(analysis.failure_share_detect.ratio() / 5.0)
}

/// The absolute limit beside a stable version: the setting, or what the stable version may suffer itself, now or usually.
fn beside_limit(analysis: &Analysis, evidence: &Evidence<'_>, sample: &Sample) -> f64 {
    let needed = analysis.log_bounds_needed();
    let excuse = |failures, requests| if failures == 0 { 0.0 } else { bounds::upper(failures, requests, needed) };
    let (failures, requests) = evidence.known();
    analysis
        .failure_share_max
        .ratio()
        .max(excuse(sample.stable.failures, sample.stable.requests))
        .max(excuse(failures, requests))
}
