//! How much speaks against a candidate: a weighted average of e-processes, which is one itself.
//!
//! Its parts look at failures, at failures above the absolute limit, and at slow requests beyond four thresholds. Each
//! part is again an average over the step in which the trouble began, and over the marks of the step that is judged, so that
//! a long good past does not hide it.

use super::counted::{Counted, Counter, FAILURES, LIMIT, PARTS};
use super::marks::{MARKS_PART, Mark};
use super::mixture::Mixture;
use super::thresholds::QUANTILES;
use super::verdict::{Finding, Measure, Part};
use super::{Analysis, Evidence, Shown, float, ratio};
use crate::latency::Latencies;
use crate::quantity::Share;
use crate::runtime::Tally;

/// Evidence from which on a step is not left although what is to be ruled out is: it is more likely than not that
/// something is wrong, and a little more traffic tells.
const DOUBT: f64 = 2.0;
/// The parts' weights, which sum to 1.
const WEIGHTS: [f64; PARTS] = [0.7, 0.06, 0.06, 0.06, 0.06, 0.06];
/// Nobody is surer than this.
const ODDS_MOST: f64 = 1e9;
/// Logarithm of what a mark may add to the evidence without being worth the time of adding it.
const LEAST: f64 = -8.0;

/// All that speaks for or against a candidate, counted.
#[derive(Debug)]
pub(super) struct Case<'a> {
    analysis: &'a Analysis,
    evidence: &'a Evidence<'a>,
    counter: Counter<'a>,
    /// By sample.
    counted: Vec<Counted>,
    /// What the last sample says since each of its marks that can be asked.
    since: Vec<Since<'a>>,
    /// The weight of "it began with a sample" as a part of those that began with or within it.
    whole: f64,
    /// How many draws each part gets with a further request of the candidate, if it is good.
    pace: [f64; PARTS],
}

/// What the last sample says since a mark.
#[derive(Debug)]
struct Since<'a> {
    mark: &'a Mark,
    /// Logarithm of the weight of "it began here".
    log_weight: f64,
    counted: Counted,
}

/// What speaks against a candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Suspicion {
    /// Logarithm of the evidence.
    pub(super) log_evidence: f64,
    /// The part that says most,
    part: usize,
    /// and from which sample on,
    from: usize,
    /// or from which place in [`Case::since`].
    since: Option<usize>,
}

impl Suspicion {
    const NONE: Self = Self { log_evidence: f64::NEG_INFINITY, part: FAILURES, from: 0, since: None };

    /// Whether the step should not be left.
    pub(super) fn is_doubt(&self) -> bool {
        self.log_evidence >= DOUBT.ln()
    }

    /// Whether failures speak against it more than latencies.
    pub(super) fn is_of_failures(&self) -> bool {
        self.part == FAILURES || self.part == LIMIT
    }
}

/// An average of which terms are added one by one.
#[derive(Debug)]
struct Average {
    total: f64,
    largest: f64,
    of_largest: Suspicion,
}

impl Average {
    const EMPTY: Self = Self { total: 0.0, largest: f64::NEG_INFINITY, of_largest: Suspicion::NONE };

    fn add(&mut self, log: f64, part: usize, from: usize, since: Option<usize>) {
        if log > self.largest {
            self.largest = log;
            self.of_largest = Suspicion { part, from, since, ..Suspicion::NONE };
        }
        self.total += log.exp();
    }

    fn suspicion(self) -> Suspicion {
        let log_evidence = if self.total.is_finite() { self.total.ln() } else { self.largest };
        Suspicion { log_evidence, ..self.of_largest }
    }
}

impl<'a> Case<'a> {
    pub(super) fn new(analysis: &'a Analysis, evidence: &'a Evidence<'a>) -> Self {
        let mut counter = Counter::new(analysis, evidence);
        let all: Vec<Counted> = evidence.samples().map(|shown| counter.sample(shown)).collect();
        let mut case =
            Self { analysis, evidence, counter, counted: all, since: Vec::new(), whole: 1.0, pace: [0.0; PARTS] };
        case.pace = case.pace_now();
        case.count_since_marks();
        case
    }

    fn count_since_marks(&mut self) {
        let (Some(marks), Some(whole)) = (self.evidence.marks, self.counted.last()) else { return };
        self.whole = 1.0 - MARKS_PART;
        let began = began(self.counted.len() - 1);
        for (weight, mark) in marks.weighted() {
            let log_weight = (weight * began).ln();
            let counted = self.counter.since(whole, mark);
            self.since.extend(counted.map(|counted| Since { mark, log_weight, counted }));
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
        let mut average = Average::EMPTY;
        for (part, weight) in WEIGHTS.into_iter().enumerate() {
            self.add_since_marks(&mut average, part, weight.ln(), more);
            let mut mixture = Mixture::START;
            let (mut failures, mut requests) = (0.0, 0.0);
            for (from, counted) in self.counted.iter().enumerate().rev() {
                let more = if from + 1 == self.counted.len() { more } else { 0 };
                self.multiply(&mut mixture, counted, part, more);
                failures += counted.failures;
                requests += counted.requests + float(more);
                if part <= LIMIT && failures < self.analysis.immaterial() * requests {
                    continue;
                }
                let log = mixture.log() + (weight * (self.whole * began(from))).ln();
                average.add(log, part, from, None);
            }
        }
        average.suspicion()
    }

    fn add_since_marks(&self, average: &mut Average, part: usize, log_of_part: f64, more: u64) {
        let from = self.counted.len().saturating_sub(1);
        for (at, Since { log_weight, counted, .. }) in self.since.iter().enumerate() {
            if part == LIMIT || counted.cells.get(part).is_none_or(|cell| cell.hits <= 0.0) {
                continue;
            }
            if part == FAILURES && counted.failures < self.analysis.immaterial() * (counted.requests + float(more)) {
                continue;
            }
            let mut mixture = Mixture::START;
            self.multiply(&mut mixture, counted, part, more);
            let log_weight = log_of_part + log_weight;
            average.add(mixture.log_from(LEAST - log_weight) + log_weight, part, from, Some(at));
        }
    }

    fn multiply(&self, mixture: &mut Mixture, counted: &Counted, part: usize, more: u64) {
        let (Some(cell), Some(null)) = (counted.cells.get(part), self.counter.null(counted, part)) else { return };
        let mut cell = *cell;
        if more > 0 {
            cell.of += self.pace.get(part).copied().unwrap_or(1.0) * float(more);
            cell.tries += float(more);
        }
        mixture.add(cell, null);
    }

    /// Users' requests of the step that is judged, as far as they are suspected.
    pub(super) fn suspected(&self, suspicion: &Suspicion) -> Tally {
        let mark = suspicion.since.and_then(|at| self.since.get(at)).map(|since| since.mark);
        let now = &self.evidence.now.candidate;
        match mark.and_then(|mark| mark.candidate.since(now)) {
            Some((failures, requests)) => Tally { requests, failures, ..Tally::default() },
            None => Tally { requests: now.requests, failures: now.failures, ..Tally::default() },
        }
    }

    /// How many good requests from `least` on leave no doubt.
    pub(super) fn calm_after(&self, least: u64, most: u64) -> u64 {
        super::target::first(least, most, |more| !self.suspicion(more).is_doubt())
    }

    /// The numbers behind a suspicion.
    pub(super) fn finding(&self, suspicion: &Suspicion) -> Finding {
        let slow = suspicion.part.checked_sub(LIMIT + 1).and_then(|at| self.slow(at));
        let mut seen = Seen::default();
        let since = suspicion.since.and_then(|at| self.since.get(at));
        if let Some(since) = since {
            let Evidence { now, .. } = self.evidence;
            let theirs = since.mark.stable.since(&now.stable).unwrap_or_default();
            let ours = since.mark.candidate.since(&now.candidate).map_or(0, |(_, requests)| requests);
            self.see(&mut seen, &since.counted, suspicion.part, (ours, theirs), now.share().is_none());
        } else {
            let all = self.counted.iter().zip(self.evidence.samples()).skip(suspicion.from);
            for (counted, Shown { sample, .. }) in all {
                let theirs = (sample.stable.failures, sample.stable.requests);
                let requests = (sample.candidate.requests, theirs);
                self.see(&mut seen, counted, suspicion.part, requests, sample.share().is_none());
            }
        }
        let Seen { ours, theirs, mut expected } = seen;
        if expected == 0.0 {
            let (ratio, slack) = (self.analysis.failure_ratio_max.ratio(), self.analysis.failure_slack.ratio());
            expected = if slow.is_some() { theirs.share() } else { theirs.share() * ratio + slack };
        }
        Finding {
            measure: slow.unwrap_or(Measure::Failures),
            candidate: ours,
            stable: (theirs.requests > 0).then_some(theirs),
            limit: Share::nearest(expected),
            odds: super::whole(suspicion.log_evidence.exp().min(ODDS_MOST)),
            since_ms: since.map(|since| since.mark.elapsed_ms),
        }
    }

    /// Takes in what one sample, or the rest of one, shows of a part.
    fn see(&self, seen: &mut Seen, counted: &Counted, part: usize, (ours, theirs): (u64, (u64, u64)), alone: bool) {
        let (Some(cell), Some(null)) = (counted.cells.get(part), self.counter.null(counted, part)) else { return };
        let of_parts = alone && part > LIMIT && self.evidence.marks.is_some();
        seen.ours.add(super::whole(cell.hits), if of_parts { super::whole(cell.of) } else { ours });
        let (their_failures, their_requests) = theirs;
        if alone {
            seen.expected = null.p.max(seen.expected);
        } else if part == LIMIT {
            seen.expected = null.p.max(seen.expected);
            seen.theirs.add(their_failures, their_requests);
        } else {
            seen.theirs.add(super::whole(cell.of - cell.hits), their_requests);
        }
    }

    fn slow(&self, at: usize) -> Option<Measure> {
        let thresholds = self.counter.thresholds?;
        let beside = self.evidence.now.share().is_some();
        let ours = if beside { thresholds.beside } else { thresholds.alone };
        Some(Measure::Latency {
            candidate_us: Latencies::lower_bound_us(*ours.get(at)?),
            stable_us: Latencies::lower_bound_us(*thresholds.stable.get(at)?),
        })
    }
}

/// Numbers of both versions.
#[derive(Debug, Default)]
struct Seen {
    ours: Part,
    theirs: Part,
    /// The share that is tolerated, where it does not come from theirs.
    expected: f64,
}

/// The weight of "it began with this sample", which sum to 1 over all that may come.
fn began(from: usize) -> f64 {
    if from == 0 { 0.8 } else { 0.2 * 0.5f64.powi(i32::try_from(from).unwrap_or(i32::MAX)) }
}
