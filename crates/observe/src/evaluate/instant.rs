//! Expressions over a timeline: what each kind of expression is made of. The work is done in the files beside this one and
//! in `functions`.

use std::sync::Arc;

use super::Evaluation;
use super::error::EvaluateError;
use super::histograms::scaled;
use super::timeline::Timeline;
use super::track::{Collector, Track, any_present, check_unique};
use crate::functions::{arithmetic, histogram, relabel, values};
use crate::histogram::Histogram;
use crate::labels::{BUCKET, Labels, METRIC_NAME};
use crate::promql::expression::{Absence, Operator, Relabelling, Scalar, ValueFunction, Vector};

type Tracks = Result<Vec<Track>, EvaluateError>;

impl Evaluation<'_> {
    /// A number at each step.
    pub(super) fn scalar(&self, scalar: &Scalar, timeline: &Timeline) -> Result<Vec<f64>, EvaluateError> {
        self.budget.spend(timeline.count())?;
        let both = |left: &Scalar, right: &Scalar, of: &dyn Fn(f64, f64) -> f64| {
            let (left, right) = (self.scalar(left, timeline)?, self.scalar(right, timeline)?);
            Ok(left.into_iter().zip(right).map(|(left, right)| of(left, right)).collect())
        };
        match scalar {
            Scalar::Number(number) => Ok(vec![*number; timeline.count()]),
            Scalar::Time => Ok(timeline.iter().map(seconds).collect()),
            Scalar::Of(vector) => Ok(only_values(&self.vector(vector, timeline)?, timeline.count())),
            Scalar::Negated(of) => Ok(self.scalar(of, timeline)?.into_iter().map(|value| -value).collect()),
            Scalar::Calculated { operator, left, right } => {
                both(left, right, &|left, right| arithmetic::calculate(*operator, left, right))
            }
            Scalar::Compared { operator, left, right } => {
                both(left, right, &|left, right| f64::from(u8::from(arithmetic::holds(*operator, left, right))))
            }
        }
    }

    /// Series with a value at each step, or at some.
    pub(super) fn vector(&self, vector: &Vector, timeline: &Timeline) -> Tracks {
        match vector {
            Vector::Selected(selector) => self.selected(selector, timeline),
            Vector::Of(scalar) => {
                let values = self.scalar(scalar, timeline)?.into_iter().map(Some).collect();
                Ok(vec![Track::of_floats(Labels::default(), values)])
            }
            Vector::Negated(of) => self.negated(of, timeline),
            Vector::Affirmed(of) => self.vector(of, timeline),
            Vector::WithScalar { operator, vector, scalar, scalar_is_left } => {
                self.with_scalar(*operator, vector, scalar, *scalar_is_left, timeline)
            }
            Vector::Joined { operator, left, right, matching, cardinality } => {
                let (left, right) = (self.vector(left, timeline)?, self.vector(right, timeline)?);
                self.joined(*operator, left, right, matching, cardinality, timeline)
            }
            Vector::Set { operator, left, right, matching } => {
                let (left, right) = (self.vector(left, timeline)?, self.vector(right, timeline)?);
                self.set(*operator, left, right, matching, timeline)
            }
            Vector::Aggregated { aggregation, of, grouping } => self.aggregated(aggregation, of, grouping, timeline),
            Vector::OverRange { function, range } => self.over_range(function, range, timeline),
            Vector::Absent { labels, of } => self.absent(labels, of, timeline),
            Vector::Mapped { function, of } => self.mapped(function, of, timeline),
            Vector::Timestamp(of) => self.timestamp(of, timeline),
            Vector::Sorted { descending, of } => self.sorted(*descending, of, timeline),
            Vector::Relabelled { relabelling, of } => self.relabelled(relabelling, of, timeline),
            Vector::HistogramQuantile { quantile, of } => self.histogram_quantile(quantile, of, timeline),
            Vector::OfHistogram { function, of } => self.of_histogram(function, of, timeline),
        }
    }

    fn negated(&self, of: &Vector, timeline: &Timeline) -> Tracks {
        let mut tracks = self.vector(of, timeline)?;
        for track in &mut tracks {
            track.labels = track.labels.without_metric_name();
            for value in track.values.iter_mut().flatten() {
                *value = -*value;
            }
            for histogram in track.histograms.iter_mut().flatten() {
                *histogram = Arc::new(histogram.times(-1.0));
            }
        }
        check_unique(&tracks)?;
        Ok(tracks)
    }

    /// Each track of numbers changed on its own, and put together with those that get the same labels.
    fn each(
        &self,
        tracks: Vec<Track>,
        timeline: &Timeline,
        labels: impl Fn(&Labels) -> Labels,
        value: impl Fn(usize, f64) -> Option<f64>,
    ) -> Tracks {
        self.each_datum(tracks, timeline, labels, value, |_, _| None)
    }

    /// The same with what becomes of histograms.
    pub(super) fn each_datum(
        &self,
        tracks: Vec<Track>,
        timeline: &Timeline,
        labels: impl Fn(&Labels) -> Labels,
        value: impl Fn(usize, f64) -> Option<f64>,
        histogram: impl Fn(usize, &Histogram) -> Option<Histogram>,
    ) -> Tracks {
        let mut collector = Collector::new(timeline, &self.budget);
        for mut track in tracks {
            self.budget.spend(timeline.count())?;
            track.labels = labels(&track.labels);
            for (step, slot) in track.histograms.iter_mut().enumerate() {
                let changed = slot.take().and_then(|present| histogram(step, &present));
                if let Some(changed) = changed {
                    self.budget.spend(changed.size())?;
                    *slot = Some(Arc::new(changed));
                }
            }
            for (step, slot) in track.values.iter_mut().enumerate() {
                *slot = slot.and_then(|present| value(step, present));
            }
            collector.push(track)?;
        }
        Ok(collector.finish())
    }

    fn with_scalar(
        &self,
        operator: Operator,
        vector: &Vector,
        scalar: &Scalar,
        scalar_is_left: bool,
        timeline: &Timeline,
    ) -> Tracks {
        let tracks = self.vector(vector, timeline)?;
        let scalars = self.scalar(scalar, timeline)?;
        let drops_name = arithmetic::drops_metric_name(operator) || matches!(operator, Operator::Truth(_));
        let labels = |labels: &Labels| if drops_name { labels.without_metric_name() } else { labels.clone() };
        let of_histogram = |step: usize, histogram: &Histogram| {
            scaled(operator, histogram, scalars.get(step).copied()?, scalar_is_left)
        };
        let of_value = |step: usize, value: f64| {
            let scalar = scalars.get(step).copied()?;
            let (left, right) = if scalar_is_left { (scalar, value) } else { (value, scalar) };
            let result = arithmetic::apply(operator, left, right)?;
            // A filter gives what stands in the vector, on whichever side it is.
            Some(if matches!(operator, Operator::Filter(_)) { value } else { result })
        };
        self.each_datum(tracks, timeline, labels, of_value, of_histogram)
    }

    fn absent(&self, labels: &Labels, of: &Absence, timeline: &Timeline) -> Tracks {
        let tracks = match of {
            Absence::Now(vector) => self.vector(vector, timeline)?,
            Absence::OverTime(range) => {
                self.over_range(&crate::promql::expression::RangeFunction::Present, range, timeline)?
            }
        };
        let present = any_present(&tracks, timeline.count());
        let values = present.into_iter().map(|present| (!present).then_some(1.0)).collect();
        let track = Track::of_floats(labels.clone(), values);
        Ok(Some(track).filter(Track::has_values).into_iter().collect())
    }

    fn mapped(&self, function: &ValueFunction, of: &Vector, timeline: &Timeline) -> Tracks {
        let tracks = self.vector(of, timeline)?;
        let (first, second) = match function {
            ValueFunction::Plain(_) | ValueFunction::Date(_) => (Vec::new(), Vec::new()),
            ValueFunction::Round(of) | ValueFunction::AtLeast(of) | ValueFunction::AtMost(of) => {
                (self.scalar(of, timeline)?, Vec::new())
            }
            ValueFunction::Between { least, most } => (self.scalar(least, timeline)?, self.scalar(most, timeline)?),
        };
        self.each(tracks, timeline, Labels::without_metric_name, |step, value| {
            let argument = |values: &[f64]| values.get(step).copied().unwrap_or(f64::NAN);
            values::apply(function, value, argument(&first), argument(&second))
        })
    }

    fn timestamp(&self, of: &Vector, timeline: &Timeline) -> Tracks {
        if let Vector::Selected(selector) = of {
            let tracks = self.times(selector, timeline)?;
            return self.each(tracks, timeline, Labels::without_metric_name, |_, value| Some(value));
        }
        // What has been calculated is of the time of the calculation.
        let mut tracks = self.vector(of, timeline)?;
        for track in &mut tracks {
            for (value, histogram) in track.values.iter_mut().zip(std::mem::take(&mut track.histograms)) {
                *value = value.or(histogram.map(|_| 0.0));
            }
        }
        self.each(tracks, timeline, Labels::without_metric_name, |step, _| Some(seconds(timeline.at(step))))
    }

    /// Sorts what an instant query shows; the series of a range query are sorted by their labels in the end.
    fn sorted(&self, descending: bool, of: &Vector, timeline: &Timeline) -> Tracks {
        let mut tracks = self.vector(of, timeline)?;
        for track in &mut tracks {
            // A histogram is neither large nor small.
            track.histograms.clear();
        }
        tracks.retain(Track::has_values);
        if timeline.count() == 1 {
            let value = |track: &Track| track.values.first().copied().flatten().unwrap_or(f64::NAN);
            tracks.sort_by(|a, b| values::nan_last(descending, value(a), value(b)));
        }
        Ok(tracks)
    }

    fn relabelled(&self, relabelling: &Relabelling, of: &Vector, timeline: &Timeline) -> Tracks {
        let mut collector = Collector::new(timeline, &self.budget);
        for mut track in self.vector(of, timeline)? {
            track.labels = relabel::apply(relabelling, &track.labels);
            self.budget.work(16)?;
            collector.push(track)?;
        }
        Ok(collector.finish())
    }

    fn histogram_quantile(&self, quantile: &Scalar, of: &Vector, timeline: &Timeline) -> Tracks {
        let quantiles = self.scalar(quantile, timeline)?;
        let mut groups: Vec<(Labels, Vec<(f64, Track)>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let (native, classic): (Vec<Track>, Vec<Track>) =
            self.vector(of, timeline)?.into_iter().partition(|track| !track.histograms.is_empty());
        let mut native = self.native_quantiles(&quantiles, &native, timeline)?;
        for track in classic {
            let Some(bound) = histogram::bound(track.labels.get(BUCKET)) else { continue };
            let key = track.labels.retain(|name| name != BUCKET);
            let place = *places.entry(key.clone()).or_insert(groups.len());
            if place == groups.len() {
                groups.push((key, Vec::new()));
            }
            if let Some((_, buckets)) = groups.get_mut(place) {
                buckets.push((bound, track));
            }
        }
        let mut collector = Collector::new(timeline, &self.budget);
        for (key, mut buckets) in groups {
            buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let place = collector.place(key.retain(|name| name != METRIC_NAME))?;
            for (step, quantile) in quantiles.iter().enumerate() {
                let at_step = |(bound, track): &(f64, Track)| Some((*bound, (*track.values.get(step)?)?));
                let present: Vec<(f64, f64)> = buckets.iter().filter_map(at_step).collect();
                // Which of a classic and a native histogram of the same labels is meant is not known: as in Prometheus 3, none.
                if !present.is_empty() && !native.take_at(&key, step) {
                    collector.put(place, step, histogram::quantile(*quantile, &present))?;
                }
            }
        }
        for track in native.into_tracks() {
            collector.push(track)?;
        }
        Ok(collector.finish())
    }
}

/// Milliseconds as the seconds that PromQL counts in.
#[expect(clippy::cast_precision_loss, reason = "PromQL's times are floats")]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// At each step the value of the only track that has one, or else NaN.
fn only_values(tracks: &[Track], steps: usize) -> Vec<f64> {
    let mut only: Vec<Option<Option<f64>>> = vec![None; steps];
    for track in tracks {
        for (slot, value) in only.iter_mut().zip(&track.values) {
            if value.is_some() {
                *slot = if slot.is_none() { Some(*value) } else { Some(None) };
            }
        }
    }
    only.into_iter().map(|found| found.flatten().unwrap_or(f64::NAN)).collect()
}
