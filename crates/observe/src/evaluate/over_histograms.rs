//! Functions of ranges of series that have histograms.
//!
//! Source: Prometheus documentation (3.x), "Functions".

use std::sync::Arc;

use super::Evaluation;
use super::error::EvaluateError;
use super::histograms::sum;
use super::select::Samples;
use super::timeline::Timeline;
use super::track::Track;
use crate::functions::{over_time, rate};
use crate::histogram::{Histogram, HistogramSample};
use crate::labels::Labels;
use crate::promql::expression::RangeFunction;
use crate::sample::{Sample, Series};

/// What a range has at one step.
struct Window<'a> {
    floats: &'a [Sample],
    histograms: &'a [HistogramSample],
    /// When it begins and ends.
    range: (i64, i64),
}

/// What becomes of a window with histograms.
enum Outcome {
    /// What it is of its numbers alone.
    OfFloats,
    Float(f64),
    Histogram(Option<Arc<Histogram>>),
}

impl Evaluation<'_> {
    /// The function's value, or histogram, at each step. Both ends of a window belong to it.
    pub(super) fn slide_histograms(
        &self,
        function: &RangeFunction,
        samples: &Samples,
        series: &Series,
        arguments: &[Vec<f64>; 2],
        timeline: &Timeline,
    ) -> Result<Track, EvaluateError> {
        let values = self.slide(function, samples, series, arguments, timeline)?;
        let mut track = Track::of_floats(Labels::default(), values);
        for (step, now_ms) in timeline.iter().enumerate() {
            let end_ms = samples.ends.at(now_ms);
            let range = (end_ms.saturating_sub(samples.range_ms), end_ms);
            let window = Window {
                floats: inside(&series.samples, range, |sample| sample.timestamp),
                histograms: inside(&series.histograms, range, |sample| sample.timestamp),
                range,
            };
            if window.histograms.is_empty() {
                continue;
            }
            let work: usize = window.histograms.iter().map(|sample| sample.histogram.size()).sum();
            self.budget.work(u64::try_from(work).unwrap_or(u64::MAX))?;
            let outcome = outcome(function, &window);
            let Some(slot) = track.values.get_mut(step) else { continue };
            match outcome {
                Outcome::OfFloats => {}
                Outcome::Float(value) => *slot = Some(value),
                Outcome::Histogram(histogram) => {
                    *slot = None;
                    if let Some(histogram) = histogram {
                        self.budget.spend(histogram.size())?;
                        track.put_histogram(step, histogram);
                    }
                }
            }
        }
        Ok(track)
    }
}

fn inside<T>(samples: &[T], (from_ms, to_ms): (i64, i64), time: impl Fn(&T) -> i64) -> &[T] {
    let begin = samples.partition_point(|sample| time(sample) < from_ms);
    let end = samples.partition_point(|sample| time(sample) <= to_ms);
    samples.get(begin..end).unwrap_or_default()
}

fn outcome(function: &RangeFunction, window: &Window<'_>) -> Outcome {
    let Window { floats, histograms, range } = window;
    let of_histograms = |of: &dyn Fn(&[HistogramSample]) -> Option<Histogram>| {
        // Numbers and histograms together are neither.
        let only = floats.is_empty().then_some(*histograms);
        Outcome::Histogram(only.and_then(of).map(Arc::new))
    };
    match function {
        RangeFunction::Rate => of_histograms(&|all| rate::extrapolated_histogram(all, *range, true, true)),
        RangeFunction::Increase => of_histograms(&|all| rate::extrapolated_histogram(all, *range, true, false)),
        RangeFunction::Delta => of_histograms(&|all| rate::extrapolated_histogram(all, *range, false, false)),
        RangeFunction::InstantRate => of_histograms(&|all| rate::instant_histogram(all, true)),
        RangeFunction::InstantDelta => of_histograms(&|all| rate::instant_histogram(all, false)),
        RangeFunction::Sum => of_histograms(&|all| sum(all.iter().map(|sample| &*sample.histogram))),
        RangeFunction::Average => {
            of_histograms(&|all| Some(sum(all.iter().map(|sample| &*sample.histogram))?.divided(over_time::count(all))))
        }
        RangeFunction::Count => Outcome::Float(over_time::count(floats) + over_time::count(histograms)),
        RangeFunction::Present => Outcome::Float(1.0),
        RangeFunction::Last => match (floats.last(), histograms.last()) {
            (Some(float), Some(histogram)) if float.timestamp > histogram.timestamp => Outcome::Float(float.value),
            (_, last) => Outcome::Histogram(last.map(|sample| Arc::clone(&sample.histogram))),
        },
        RangeFunction::Changes => Outcome::Float(turns(window, moves)),
        RangeFunction::Resets => Outcome::Float(turns(window, falls)),
        // Of numbers alone.
        RangeFunction::Derivative
        | RangeFunction::PredictLinear(_)
        | RangeFunction::HoltWinters { .. }
        | RangeFunction::Min
        | RangeFunction::Max
        | RangeFunction::StandardDeviation
        | RangeFunction::StandardVariance
        | RangeFunction::Quantile(_) => Outcome::OfFloats,
    }
}

/// A sample of either kind.
#[derive(Clone, Copy)]
enum Either<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

/// How many samples are a turn after the one before them.
fn turns(window: &Window<'_>, is_turn: fn(Either<'_>, Either<'_>) -> bool) -> f64 {
    let floats = window.floats.iter().map(|sample| (sample.timestamp, Either::Float(sample.value)));
    let histograms = window.histograms.iter();
    let histograms = histograms.map(|sample| (sample.timestamp, Either::Histogram(&sample.histogram)));
    let mut all: Vec<(i64, Either<'_>)> = floats.chain(histograms).collect();
    all.sort_by_key(|(timestamp, _)| *timestamp);
    let turn = |pair: &&[(i64, Either<'_>)]| matches!(pair, [(_, before), (_, after)] if is_turn(*before, *after));
    all.windows(2).filter(turn).fold(0.0, |count, _| count + 1.0)
}

#[expect(clippy::float_cmp, reason = "any change counts")]
fn moves(before: Either<'_>, after: Either<'_>) -> bool {
    match (before, after) {
        (Either::Float(before), Either::Float(after)) => before != after && !(before.is_nan() && after.is_nan()),
        (Either::Histogram(before), Either::Histogram(after)) => !before.equals(after),
        (Either::Float(_), Either::Histogram(_)) | (Either::Histogram(_), Either::Float(_)) => true,
    }
}

fn falls(before: Either<'_>, after: Either<'_>) -> bool {
    match (before, after) {
        (Either::Float(before), Either::Float(after)) => after < before,
        (Either::Histogram(before), Either::Histogram(after)) => after.is_reset_after(before),
        (Either::Float(_), Either::Histogram(_)) | (Either::Histogram(_), Either::Float(_)) => true,
    }
}
