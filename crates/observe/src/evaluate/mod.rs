//! Answers to queries.
//!
//! A query is evaluated series by series over all of its steps, not step by step over all of its series: each selector reads
//! the store once, each series is gone through once, and what an operator needs of a series' labels is worked out once for
//! the whole query. An instant query is the same with one step.
//!
//! As in Prometheus 2.x, a range holds both of its ends: `x[5m]` at 10:05 has the samples of 10:00 and of 10:05, so a series
//! that is scraped each minute shows six samples, not five. Prometheus 3 leaves out the earlier end.
//!
//! Few series have histograms. A track holds them in a list of their own beside its numbers, which is empty where there are none, so
//! that queries of numbers are what they would be without them; what is done with histograms is in `histograms` and
//! `over_histograms`. It is what Prometheus 3 does: what a function or an operator does not apply to is left out.
//!
//! Sums are added up as Prometheus 2.42 does: with Kahan's compensation (in Neumaier's form) over time, in `deriv` and in
//! `predict_linear`, and plainly over series.
//!
//! Source: Prometheus documentation, "Querying Prometheus"; Prometheus 2.42, `promql/engine.go` and `promql/functions.go`.

mod aggregate;
mod budget;
mod error;
mod histograms;
mod instant;
mod join;
mod matching;
mod over_histograms;
mod over_range;
mod select;
mod sets;
#[cfg(test)]
mod tests;
mod timeline;
mod top;
mod track;

pub use error::EvaluateError;

use std::sync::Arc;

use crate::histogram::HistogramSample;
use crate::labels::Labels;
use crate::promql::Expression;
use crate::promql::expression::Scalar;
use crate::sample::{Sample, Series};
use crate::store::Store;
use budget::Budget;
use select::Samples;
use timeline::Timeline;
use track::{Datum, Track};

/// What a query may take, and what it does not say itself.
pub struct Options<'a> {
    /// How old a sample may be to be a series' value.
    pub lookback_ms: i64,
    /// How far the steps of a subquery are apart that does not say so: Prometheus' `evaluation_interval`.
    pub subquery_step_ms: i64,
    /// How many samples may be read, and values made, on the way to the answer. Prometheus bounds those that are in memory
    /// at once; here it is their sum, which does not depend on the order of evaluation.
    pub samples_max: u64,
    /// How many steps a range query may have.
    pub steps_max: usize,
    /// Asked every few thousand samples; the query is given up once it is false. It is how a deadline or a client that has
    /// gone away stops a query.
    pub goes_on: &'a dyn Fn() -> bool,
}

impl Default for Options<'_> {
    /// Prometheus' own defaults: 5 minutes, 1 minute, 50 million samples, 11,000 steps.
    fn default() -> Self {
        Self {
            lookback_ms: 5 * 60_000,
            subquery_step_ms: 60_000,
            samples_max: 50_000_000,
            steps_max: 11_000,
            goes_on: &|| true,
        }
    }
}

/// The answer to an instant query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a scalar.
    Scalar(Sample),
    /// Of a string.
    Text(String),
    /// Of an instant vector.
    Vector(InstantVector),
    /// Of a range vector, sorted by labels.
    Matrix(Vec<Series>),
}

/// Series with what they are at one time: some are numbers, and some are histograms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InstantVector {
    /// In the order of `sort` and its kin, or else in no order that means anything.
    pub floats: Vec<(Labels, Sample)>,
    /// In no order that means anything.
    pub histograms: Vec<(Labels, HistogramSample)>,
}

/// Evaluates at one time.
pub fn instant(
    expression: &Expression,
    store: &dyn Store,
    at_ms: i64,
    options: &Options<'_>,
) -> Result<Value, EvaluateError> {
    let timeline = Timeline::instant(at_ms);
    let evaluation = Evaluation::new(store, &timeline, options);
    let sample = |value| Sample { timestamp: at_ms, value };
    match expression {
        Expression::Text(text) => Ok(Value::Text(text.clone())),
        Expression::Scalar(scalar) => {
            let values = evaluation.scalar(scalar, &timeline)?;
            Ok(Value::Scalar(sample(values.first().copied().unwrap_or(f64::NAN))))
        }
        Expression::Vector(vector) => {
            let tracks = evaluation.vector(vector, &timeline)?;
            let mut vector = InstantVector::default();
            for track in tracks {
                match track.at(0) {
                    Some(Datum::Float(value)) => vector.floats.push((track.labels, sample(value))),
                    Some(Datum::Histogram(histogram)) => {
                        let sample = HistogramSample { timestamp: at_ms, histogram: Arc::clone(histogram) };
                        vector.histograms.push((track.labels, sample));
                    }
                    None => {}
                }
            }
            Ok(Value::Vector(vector))
        }
        Expression::Range(range) => Ok(Value::Matrix(evaluation.windows_at(range, &timeline)?)),
    }
}

/// Evaluates at each step from a first time to a last one, which is reached only if the steps do. Each series has a value at
/// the steps where the expression gives one.
pub fn range(
    expression: &Expression,
    store: &dyn Store,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    options: &Options<'_>,
) -> Result<Vec<Series>, EvaluateError> {
    let timeline = Timeline::steps(start_ms, end_ms, step_ms, options.steps_max)?;
    let evaluation = Evaluation { end_ms, ..Evaluation::new(store, &timeline, options) };
    let mut series = match expression {
        Expression::Scalar(scalar) => scalar_series(&evaluation, scalar, &timeline)?,
        Expression::Vector(vector) => {
            let tracks = evaluation.vector(vector, &timeline)?;
            tracks.into_iter().map(|track| track.into_series(&timeline)).collect()
        }
        Expression::Range(_) | Expression::Text(_) => return Err(EvaluateError::Kind(expression.kind())),
    };
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(series)
}

fn scalar_series(
    evaluation: &Evaluation<'_>,
    scalar: &Scalar,
    timeline: &Timeline,
) -> Result<Vec<Series>, EvaluateError> {
    let values = evaluation.scalar(scalar, timeline)?.into_iter().map(Some).collect();
    Ok(vec![Track::of_floats(Labels::default(), values).into_series(timeline)])
}

/// One evaluation of one query.
struct Evaluation<'a> {
    store: &'a dyn Store,
    budget: Budget<'a>,
    lookback_ms: i64,
    subquery_step_ms: i64,
    /// What `start()` is.
    start_ms: i64,
    /// What `end()` is.
    end_ms: i64,
}

impl<'a> Evaluation<'a> {
    fn new(store: &'a dyn Store, timeline: &Timeline, options: &Options<'a>) -> Self {
        let budget = Budget::new(options.samples_max, options.goes_on);
        let (lookback_ms, subquery_step_ms) = (options.lookback_ms, options.subquery_step_ms.max(1));
        let (start_ms, end_ms) = (timeline.first(), timeline.last());
        Self { store, budget, lookback_ms, subquery_step_ms, start_ms, end_ms }
    }

    /// The samples of a range at the only step.
    fn windows_at(
        &self,
        range: &crate::promql::expression::Range,
        timeline: &Timeline,
    ) -> Result<Vec<Series>, EvaluateError> {
        let Samples { series, ends, range_ms } = self.samples(range, timeline)?;
        let end = ends.at(timeline.first());
        let begin = end.saturating_sub(range_ms);
        let cut = series.into_iter().map(|mut series| {
            series.samples.retain(|sample| (begin..=end).contains(&sample.timestamp));
            series.histograms.retain(|sample| (begin..=end).contains(&sample.timestamp));
            series
        });
        Ok(cut.filter(|series| !series.is_empty()).collect())
    }
}
