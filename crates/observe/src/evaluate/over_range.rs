//! Functions of ranges, over all steps: a window that moves along each series.

use super::Evaluation;
use super::error::EvaluateError;
use super::select::Samples;
use super::timeline::Timeline;
use super::track::{Track, check_unique};
use crate::functions::moving::Memory;
use crate::functions::range::{self, Window};
use crate::labels::Labels;
use crate::promql::expression::{Range, RangeFunction, Scalar};
use crate::sample::Series;

impl Evaluation<'_> {
    pub(super) fn over_range(
        &self,
        function: &RangeFunction,
        range: &Range,
        timeline: &Timeline,
    ) -> Result<Vec<Track>, EvaluateError> {
        let samples = self.samples(range, timeline)?;
        let (first, second) = arguments(function);
        let values = |of: Option<&Scalar>| of.map_or(Ok(Vec::new()), |scalar| self.scalar(scalar, timeline));
        let arguments = [values(first)?, values(second)?];
        let mut tracks = Vec::with_capacity(samples.series.len());
        for series in &samples.series {
            self.budget.spend(timeline.count())?;
            let track = if series.histograms.is_empty() {
                Track::of_floats(Labels::default(), self.slide(function, &samples, series, &arguments, timeline)?)
            } else {
                self.slide_histograms(function, &samples, series, &arguments, timeline)?
            };
            let keeps_name = matches!(function, RangeFunction::Last);
            let labels = if keeps_name { series.labels.clone() } else { series.labels.without_metric_name() };
            tracks.push(Track { labels, ..track });
        }
        tracks.retain(Track::has_values);
        check_unique(&tracks)?;
        Ok(tracks)
    }

    /// The function's value at each step. Both ends of a window belong to it.
    pub(super) fn slide(
        &self,
        function: &RangeFunction,
        samples: &Samples,
        series: &Series,
        arguments: &[Vec<f64>; 2],
        timeline: &Timeline,
    ) -> Result<Vec<Option<f64>>, EvaluateError> {
        let all = series.samples.as_slice();
        let mut memory = Memory::new(function, all);
        let (mut begin, mut end) = (0, 0);
        let window_at = |(step, now_ms): (usize, i64)| {
            let end_ms = samples.ends.at(now_ms);
            let start_ms = end_ms.saturating_sub(samples.range_ms);
            let after = |from: usize| all.get(from..).unwrap_or_default().iter();
            end += after(end).take_while(|sample| sample.timestamp <= end_ms).count();
            begin += after(begin).take_while(|sample| sample.timestamp < start_ms).count();
            let argument = |index: usize| arguments.get(index).and_then(|values| values.get(step)).copied();
            let arguments = [argument(0).unwrap_or(f64::NAN), argument(1).unwrap_or(f64::NAN)];
            (Window { series: all, begin, end, start_ms, end_ms, now_ms }, arguments)
        };
        let windows: Vec<(Window<'_>, [f64; 2])> = timeline.iter().enumerate().map(window_at).collect();
        let mut values = Vec::with_capacity(timeline.count());
        for some in windows.chunks(range::AT_ONCE) {
            let samples: usize = some.iter().map(|(window, _)| window.samples().len()).sum();
            self.budget.work(u64::try_from(samples).unwrap_or(u64::MAX))?;
            range::apply(function, some, &mut memory, &mut values)?;
        }
        Ok(values)
    }
}

/// The numbers that a function takes beside its range.
fn arguments(function: &RangeFunction) -> (Option<&Scalar>, Option<&Scalar>) {
    match function {
        RangeFunction::PredictLinear(of) | RangeFunction::Quantile(of) => (Some(of), None),
        RangeFunction::HoltWinters { smoothing, trend } => (Some(smoothing), Some(trend)),
        RangeFunction::Rate
        | RangeFunction::Increase
        | RangeFunction::Delta
        | RangeFunction::InstantRate
        | RangeFunction::InstantDelta
        | RangeFunction::Derivative
        | RangeFunction::Changes
        | RangeFunction::Resets
        | RangeFunction::Average
        | RangeFunction::Min
        | RangeFunction::Max
        | RangeFunction::Sum
        | RangeFunction::Count
        | RangeFunction::StandardDeviation
        | RangeFunction::StandardVariance
        | RangeFunction::Last
        | RangeFunction::Present => (None, None),
    }
}
