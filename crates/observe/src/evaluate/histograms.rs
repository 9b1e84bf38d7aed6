//! Native histograms at one step: what operators, aggregations and functions make of them.
//!
//! Source: Prometheus documentation (3.x), "Operators", "Functions", "Native histograms".

use std::collections::HashMap;
use std::sync::Arc;

use super::Evaluation;
use super::error::EvaluateError;
use super::timeline::Timeline;
use super::track::{Datum, Track};
use crate::functions::over_time;
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::promql::expression::{Arithmetic, Comparing, Fold, HistogramFunction, Operator, Scalar, Vector};

/// What an operator gives.
pub(super) enum Joined {
    Float(f64),
    Histogram(Arc<Histogram>),
}

/// An operator between a histogram and a number: it is multiplied or divided, and nothing else.
pub(super) fn scaled(
    operator: Operator,
    histogram: &Histogram,
    scalar: f64,
    scalar_is_left: bool,
) -> Option<Histogram> {
    match operator {
        Operator::Arithmetic(Arithmetic::Multiply) => Some(histogram.times(scalar)),
        Operator::Arithmetic(Arithmetic::Divide) if !scalar_is_left => Some(histogram.divided(scalar)),
        Operator::Arithmetic(_) | Operator::Filter(_) | Operator::Truth(_) => None,
    }
}

/// An operator between two, of which at least one is a histogram.
pub(super) fn joined(operator: Operator, left: Datum<'_>, right: Datum<'_>) -> Option<Joined> {
    let histogram = |histogram| Some(Joined::Histogram(Arc::new(histogram)));
    let (left, right) = match (left, right) {
        (Datum::Histogram(left), Datum::Histogram(right)) => (left, right),
        (Datum::Histogram(left), Datum::Float(right)) => {
            return scaled(operator, left, right, false).and_then(histogram);
        }
        (Datum::Float(left), Datum::Histogram(right)) => {
            return scaled(operator, right, left, true).and_then(histogram);
        }
        (Datum::Float(_), Datum::Float(_)) => return None,
    };
    let holds = |comparing| match comparing {
        Comparing::Equal => Some(left.equals(right)),
        Comparing::NotEqual => Some(!left.equals(right)),
        Comparing::Greater | Comparing::Less | Comparing::GreaterOrEqual | Comparing::LessOrEqual => None,
    };
    match operator {
        Operator::Arithmetic(Arithmetic::Add) => histogram(left.plus(right)),
        Operator::Arithmetic(Arithmetic::Subtract) => histogram(left.minus(right)),
        Operator::Arithmetic(_) => None,
        Operator::Filter(comparing) => holds(comparing)?.then(|| Joined::Histogram(Arc::clone(left))),
        Operator::Truth(comparing) => Some(Joined::Float(f64::from(u8::from(holds(comparing)?)))),
    }
}

/// All of them together; nothing of nothing.
pub(super) fn sum<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Option<Histogram> {
    histograms.fold(None, |sum: Option<Histogram>, next| Some(sum.map_or_else(|| next.clone(), |sum| sum.plus(next))))
}

/// Quantiles of native histograms, by the labels that these have.
pub(super) struct NativeQuantiles(HashMap<Labels, Track>);

impl NativeQuantiles {
    /// Takes one away, and says whether it was there.
    pub(super) fn take_at(&mut self, labels: &Labels, step: usize) -> bool {
        let slot = self.0.get_mut(labels).and_then(|track| track.values.get_mut(step));
        slot.and_then(Option::take).is_some()
    }

    /// What is left, by labels.
    pub(super) fn into_tracks(self) -> Vec<Track> {
        let mut tracks: Vec<Track> = self.0.into_values().collect();
        tracks.sort_by(|one, other| one.labels.cmp(&other.labels));
        for track in &mut tracks {
            track.labels = track.labels.without_metric_name();
        }
        tracks
    }
}

impl Evaluation<'_> {
    /// Adds to an aggregation of a group's numbers what its histograms make of it.
    pub(super) fn fold_histograms(
        &self,
        fold: Fold,
        tracks: &[Track],
        result: &mut Track,
    ) -> Result<(), EvaluateError> {
        let mut tracks: Vec<&Track> = tracks.iter().collect();
        tracks.sort_by(|one, other| one.labels.cmp(&other.labels));
        for step in 0..result.values.len() {
            let histograms: Vec<&Histogram> =
                tracks.iter().filter_map(|track| track.histogram_at(step)).map(|histogram| &**histogram).collect();
            let Some(slot) = result.values.get_mut(step).filter(|_| !histograms.is_empty()) else { continue };
            match fold {
                Fold::Count => *slot = Some(slot.unwrap_or(0.0) + over_time::count(&histograms)),
                Fold::Group => *slot = Some(1.0),
                Fold::Sum | Fold::Average => {
                    // Numbers and histograms have no sum.
                    if slot.take().is_some() {
                        continue;
                    }
                    let Some(mut sum) = sum(histograms.iter().copied()) else { continue };
                    if fold == Fold::Average {
                        sum = sum.divided(over_time::count(&histograms));
                    }
                    self.budget.spend(sum.size())?;
                    result.put_histogram(step, Arc::new(sum));
                }
                // Of numbers alone.
                Fold::Min | Fold::Max | Fold::StandardDeviation | Fold::StandardVariance => {}
            }
        }
        Ok(())
    }

    pub(super) fn of_histogram(
        &self,
        function: &HistogramFunction,
        of: &Vector,
        timeline: &Timeline,
    ) -> Result<Vec<Track>, EvaluateError> {
        let mut tracks = self.vector(of, timeline)?;
        let scalar = |of: &Scalar| self.scalar(of, timeline);
        let bounds = match function {
            HistogramFunction::Fraction { lower, upper } => Some((scalar(lower)?, scalar(upper)?)),
            HistogramFunction::Count
            | HistogramFunction::Sum
            | HistogramFunction::Average
            | HistogramFunction::StandardDeviation
            | HistogramFunction::StandardVariance => None,
        };
        let bounds_at = |step: usize| {
            let (lower, upper) = bounds.as_ref()?;
            Some((*lower.get(step)?, *upper.get(step)?))
        };
        for track in &mut tracks {
            for (step, value) in track.values.iter_mut().enumerate() {
                let histogram = track.histograms.get_mut(step).and_then(Option::take);
                *value = histogram.map(|histogram| told(function, &histogram, bounds_at(step)));
            }
        }
        self.each_datum(tracks, timeline, Labels::without_metric_name, |_, value| Some(value), |_, _| None)
    }

    pub(super) fn native_quantiles(
        &self,
        quantiles: &[f64],
        tracks: &[Track],
        timeline: &Timeline,
    ) -> Result<NativeQuantiles, EvaluateError> {
        let mut all = HashMap::with_capacity(tracks.len());
        for track in tracks {
            self.budget.spend(timeline.count())?;
            let at = |(step, share): (usize, &f64)| Some(track.histogram_at(step)?.quantile(*share));
            let values = quantiles.iter().enumerate().map(at).collect();
            all.insert(track.labels.clone(), Track::of_floats(track.labels.clone(), values));
        }
        Ok(NativeQuantiles(all))
    }
}

fn told(function: &HistogramFunction, histogram: &Histogram, bounds: Option<(f64, f64)>) -> f64 {
    match function {
        HistogramFunction::Count => histogram.count,
        HistogramFunction::Sum => histogram.sum,
        HistogramFunction::Average => histogram.sum / histogram.count,
        HistogramFunction::StandardDeviation => histogram.variance().sqrt(),
        HistogramFunction::StandardVariance => histogram.variance(),
        HistogramFunction::Fraction { .. } => {
            bounds.map_or(f64::NAN, |(lower, upper)| histogram.fraction(lower, upper))
        }
    }
}
