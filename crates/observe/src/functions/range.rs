//! Functions of the samples of some time of one series.

use super::moving::Memory;
use super::{over_time, rate, regression};
use crate::evaluate::EvaluateError;
use crate::promql::expression::RangeFunction;
use crate::sample::Sample;

/// The samples of a range at one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// All samples that the range has at any step.
    pub(crate) series: &'a [Sample],
    /// Where its samples begin among them, and where they end.
    pub(crate) begin: usize,
    pub(crate) end: usize,
    /// When the range begins.
    pub(crate) start_ms: i64,
    /// When it ends.
    pub(crate) end_ms: i64,
    /// What time it is; not the end if there is an offset.
    pub(crate) now_ms: i64,
}

impl<'a> Window<'a> {
    pub(crate) fn samples(&self) -> &'a [Sample] {
        self.series.get(self.begin..self.end).unwrap_or_default()
    }
}

/// How many windows are best given together.
pub(crate) const AT_ONCE: usize = 4;

/// The function's values at some windows, each of which begins and ends no earlier than the one before; nothing where it has
/// none, as of no samples.
pub(crate) fn apply(
    function: &RangeFunction,
    windows: &[(Window<'_>, [f64; 2])],
    memory: &mut Memory,
    values: &mut Vec<Option<f64>>,
) -> Result<(), EvaluateError> {
    if let (RangeFunction::Average, [first, second, third, fourth]) = (function, windows) {
        let samples = [first, second, third, fourth].map(|(window, _)| window.samples());
        let averages = over_time::averages(samples).into_iter().zip(samples);
        values.extend(averages.map(|(average, samples)| (!samples.is_empty()).then_some(average)));
        return Ok(());
    }
    for (window, arguments) in windows {
        values.push(if window.samples().is_empty() { None } else { value(function, window, memory, *arguments)? });
    }
    Ok(())
}

/// The function's value; nothing where it has none, as `rate` of a single sample.
fn value(
    function: &RangeFunction,
    window: &Window<'_>,
    memory: &mut Memory,
    [first, second]: [f64; 2],
) -> Result<Option<f64>, EvaluateError> {
    let samples = window.samples();
    Ok(match function {
        RangeFunction::Rate => rate::extrapolated(window, Some(memory.turns(window)), true),
        RangeFunction::Increase => rate::extrapolated(window, Some(memory.turns(window)), false),
        RangeFunction::Delta => rate::extrapolated(window, None, false),
        RangeFunction::InstantRate => rate::instant(samples, true),
        RangeFunction::InstantDelta => rate::instant(samples, false),
        RangeFunction::Changes | RangeFunction::Resets => Some(over_time::count(memory.turns(window))),
        RangeFunction::Derivative => {
            let origin = samples.first().map_or(0, |sample| sample.timestamp);
            regression::line(samples, origin).map(|line| line.slope)
        }
        RangeFunction::PredictLinear(_) => {
            regression::line(samples, window.now_ms).map(|line| line.slope * first + line.intercept)
        }
        RangeFunction::HoltWinters { .. } => regression::smoothed(samples, first, second)?,
        RangeFunction::Average => Some(over_time::average(samples)),
        RangeFunction::Min | RangeFunction::Max => Some(memory.best(window)),
        RangeFunction::Sum => memory.sum(window).or_else(|| Some(over_time::sum(samples))),
        RangeFunction::Count => Some(over_time::count(samples)),
        RangeFunction::StandardDeviation => Some(over_time::variance(samples).sqrt()),
        RangeFunction::StandardVariance => Some(over_time::variance(samples)),
        RangeFunction::Quantile(_) => Some(over_time::quantile(samples, first)),
        RangeFunction::Last => samples.last().map(|sample| sample.value),
        RangeFunction::Present => Some(1.0),
    })
}
