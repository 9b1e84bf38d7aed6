//! What samples say, part by part: hits among draws, and how probable a hit is if the candidate is no worse than tolerated.

use super::marks::Mark;
use super::mixture::{Cell, Null};
use super::thresholds::Thresholds;
use super::{Analysis, Evidence, Sample, Shown, alone, bounds, float, ratio};

/// How many times as often as the stable version did until now the candidate may fail where nobody runs beside it: the
/// share of failures differs between times of the day.
const ALONE_RATIO: f64 = 2.0;
/// How many parts there are: failures, the absolute limit, four thresholds of latency.
pub(super) const PARTS: usize = 6;
pub(super) const FAILURES: usize = 0;
pub(super) const LIMIT: usize = 1;

/// What a sample says, or the rest of one since a mark.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// By part.
    pub(super) cells: [Cell; PARTS],
    /// By part, the place among [`Counter::nulls`].
    nulls: [usize; PARTS],
    /// The candidate's, as far as they are users'.
    pub(super) failures: f64,
    pub(super) requests: f64,
    /// The candidate's share, at least; 0 where nobody runs beside it.
    share: f64,
}

/// Counts evidence.
#[derive(Debug)]
pub(super) struct Counter<'a> {
    analysis: &'a Analysis,
    evidence: &'a Evidence<'a>,
    pub(super) thresholds: Option<Thresholds>,
    alone: f64,
    /// Those that were needed so far, after that of what is not asked: most cells share theirs with others.
    nulls: Vec<Null>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(analysis: &'a Analysis, evidence: &'a Evidence<'a>) -> Self {
        let (thresholds, alone) = (Thresholds::new(analysis, evidence), alone_limit(analysis, evidence));
        Self { analysis, evidence, thresholds, alone, nulls: vec![Null::NONE] }
    }

    /// What is so in a part if the candidate is no worse than tolerated.
    pub(super) fn null(&self, counted: &Counted, part: usize) -> Option<&Null> {
        self.nulls.get(*counted.nulls.get(part)?)
    }

    fn place(&mut self, p: f64, slack: f64) -> usize {
        let same = |null: &Null| null.p.to_bits() == p.to_bits() && null.slack.to_bits() == slack.to_bits();
        self.nulls.iter().position(same).unwrap_or_else(|| {
            self.nulls.push(Null::new(p, slack));
            self.nulls.len() - 1
        })
    }

    /// The place of what is so of failures where the candidate has a share `w` of the requests.
    fn beside(&mut self, w: f64, slack: f64) -> usize {
        let odds = w * self.analysis.failure_ratio_max.ratio().max(1.0);
        self.place(odds / (odds + 1.0 - w), slack)
    }

    pub(super) fn sample(&mut self, shown: Shown<'_>) -> Counted {
        let Shown { step, sample, of_users } = shown;
        let (failures, requests) = (float(sample.candidate.failures), float(sample.candidate.requests));
        let share = sample.share().map(|w| sample.least_share(self.analysis).min(w));
        let (mut cells, mut nulls) = ([Cell::default(); PARTS], [0; PARTS]);
        let ([of_failures, of_limit, slow @ ..], [fails, limits, slows @ ..]) = (&mut cells, &mut nulls);
        if let Some(w) = share {
            let of = failures + float(sample.stable.failures);
            // A declared request is answered as said or it is not: what nobody would notice is no excuse there, and many
            // that are good do not outweigh what users have seen.
            let slack = if of_users { self.analysis.failure_slack.ratio() } else { 0.0 };
            *of_failures = Cell { hits: failures, of, tries: requests };
            *fails = self.beside(w, slack);
            *of_limit = Cell { hits: failures, of: requests, ..Cell::default() };
            *limits = self.place(beside_limit(self.analysis, self.evidence, sample), 0.0);
        } else {
            *of_failures = Cell { hits: failures, of: requests, ..Cell::default() };
            *fails = self.place(self.alone, 0.0);
        }
        if let Some(thresholds) = self.thresholds.filter(|thresholds| step >= thresholds.from) {
            self.slow(shown, share, &thresholds, (slow, slows));
        }
        // However many of our own requests are good, what users have seen still matters.
        Counted { cells, nulls, failures, requests: if of_users { requests } else { 0.0 }, share: share.unwrap_or(0.0) }
    }

    fn slow(
        &mut self,
        Shown { step, sample, .. }: Shown<'_>,
        share: Option<f64>,
        thresholds: &Thresholds,
        (cells, nulls): (&mut [Cell; 4], &mut [usize; 4]),
    ) {
        let candidate = &sample.candidate.latencies;
        if sample.share().is_some() {
            let ours = candidate.at_least_each(thresholds.beside);
            let theirs = sample.stable.latencies.at_least_each(thresholds.stable);
            *nulls = [self.place(share.unwrap_or(0.0), 0.0); 4];
            for ((cell, ours), theirs) in cells.iter_mut().zip(ours).zip(theirs) {
                *cell = Cell { hits: float(ours), of: float(ours) + float(theirs), ..Cell::default() };
            }
        } else {
            let total = float(candidate.total());
            let (slow, of) = thresholds.past;
            let ours = candidate.at_least_each(thresholds.alone);
            let is_judged = step == self.evidence.earlier.len();
            for (at, (((cell, null), ours), theirs)) in cells.iter_mut().zip(nulls).zip(ours).zip(slow).enumerate() {
                let share = bounds::upper(theirs, of, self.analysis.log_bounds_needed());
                *null = self.place(share, 0.0);
                let all = Cell { hits: float(ours), of: total, ..Cell::default() };
                *cell = match self.evidence.marks {
                    None => all,
                    Some(marks) if is_judged => alone::calmest(marks, None, all, thresholds.alone.get(at), share),
                    // Its parts are not kept, so what was a moment of it can't be told from the rest.
                    Some(_) => Cell::default(),
                };
            }
        }
    }

    /// What the judged sample says since a mark, of which `whole` is all. None where nothing came since, and where a
    /// counter went back. The absolute limit has no part in it: what the stable version suffers for a moment excuses much.
    pub(super) fn since(&mut self, whole: &Counted, mark: &Mark) -> Option<Counted> {
        let now = self.evidence.now;
        let (failures, requests) = mark.candidate.since(&now.candidate)?;
        let (their_failures, their_requests) = mark.stable.since(&now.stable)?;
        let alone = whole.share <= 0.0;
        if requests == 0 || (!alone && their_requests == 0) {
            return None;
        }
        let mut since =
            Counted { cells: [Cell::default(); PARTS], failures: float(failures), requests: float(requests), ..*whole };
        if !alone {
            // An audience may come more often now than before: their share is the larger one.
            let least =
                bounds::lower(requests, requests.saturating_add(their_requests), self.analysis.log_bounds_needed());
            if least > whole.share {
                since.share = least;
                let fails = self.beside(least, self.analysis.failure_slack.ratio());
                let slow = self.place(least, 0.0);
                since.nulls = std::array::from_fn(|part| if part == FAILURES { fails } else { slow });
            }
        }
        let [of_failures, _, slow @ ..] = &mut since.cells;
        *of_failures = if alone {
            Cell { hits: float(failures), of: float(requests), tries: 0.0 }
        } else {
            Cell { hits: float(failures), of: float(failures) + float(their_failures), tries: float(requests) }
        };
        if let Some(thresholds) = self.thresholds {
            if alone {
                self.slow_since_alone(mark, &since.nulls, &thresholds, slow);
            } else {
                let [_, _, all @ ..] = &whole.cells;
                for (((cell, all), ours), theirs) in
                    slow.iter_mut().zip(all).zip(thresholds.beside).zip(thresholds.stable)
                {
                    *cell = slow_since(mark, *all, ours, theirs).unwrap_or_default();
                }
            }
        }
        Some(since)
    }

    fn slow_since_alone(&self, mark: &Mark, nulls: &[usize; PARTS], thresholds: &Thresholds, cells: &mut [Cell; 4]) {
        let Evidence { marks: Some(marks), now, .. } = self.evidence else { return };
        let ours = now.candidate.latencies.at_least_each(thresholds.alone);
        let of = float(now.candidate.latencies.total());
        let [_, _, nulls @ ..] = nulls;
        for (((cell, ours), bucket), null) in cells.iter_mut().zip(ours).zip(&thresholds.alone).zip(nulls) {
            let all = Cell { hits: float(ours), of, ..Cell::default() };
            let share = self.nulls.get(*null).map_or(1.0, |null| null.p);
            *cell = alone::calmest(marks, Some(mark), all, Some(bucket), share);
        }
    }
}

fn slow_since(mark: &Mark, all: Cell, ours: usize, theirs: usize) -> Option<Cell> {
    let hits = mark.candidate.slow_since(ours, all.hits)?;
    let of = hits + mark.stable.slow_since(theirs, all.of - all.hits)?;
    Some(Cell { hits, of, ..Cell::default() })
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
