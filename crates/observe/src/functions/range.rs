//! Functions of the samples of some time of one series.

use super::{over_time, rate, regression};
use crate::evaluate::EvaluateError;
use crate::promql::expression::RangeFunction;
use crate::sample::Sample;

/// The samples of a range at one step: at least one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    pub(crate) samples: &'a [Sample],
    /// When the range begins.
    pub(crate) start_ms: i64,
    /// When it ends.
    pub(crate) end_ms: i64,
    /// What time it is; not the end if there is an offset.
    pub(crate) now_ms: i64,
}

/// The function's value; nothing where it has none, as `rate` of a single sample.
pub(crate) fn apply(
    function: &RangeFunction,
    window: &Window<'_>,
    [first, second]: [f64; 2],
) -> Result<Option<f64>, EvaluateError> {
    let samples = window.samples;
    Ok(match function {
        RangeFunction::Rate => rate::extrapolated(window, true, true),
        RangeFunction::Increase => rate::extrapolated(window, true, false),
        RangeFunction::Delta => rate::extrapolated(window, false, false),
        RangeFunction::InstantRate => rate::instant(samples, true),
        RangeFunction::InstantDelta => rate::instant(samples, false),
        RangeFunction::Changes => Some(over_time::changes(samples)),
        RangeFunction::Resets => Some(over_time::resets(samples)),
        RangeFunction::Derivative => {
            let origin = samples.first().map_or(0, |sample| sample.timestamp);
            regression::line(samples, origin).map(|line| line.slope)
        }
        RangeFunction::PredictLinear(_) => {
            regression::line(samples, window.now_ms).map(|line| line.slope * first + line.intercept)
        }
        RangeFunction::HoltWinters { .. } => regression::smoothed(samples, first, second)?,
        RangeFunction::Average => Some(over_time::average(samples)),
        RangeFunction::Min => Some(over_time::least(samples)),
        RangeFunction::Max => Some(over_time::most(samples)),
        RangeFunction::Sum => Some(over_time::sum(samples)),
        RangeFunction::Count => Some(over_time::count(samples)),
        RangeFunction::StandardDeviation => Some(over_time::variance(samples).sqrt()),
        RangeFunction::StandardVariance => Some(over_time::variance(samples)),
        RangeFunction::Quantile(_) => Some(over_time::quantile(samples, first)),
        RangeFunction::Last => samples.last().map(|sample| sample.value),
        RangeFunction::Present => Some(1.0),
    })
}
