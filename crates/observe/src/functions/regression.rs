//! Lines through samples, and smoothing.
//!
//! Source: Prometheus documentation, "Functions", `deriv`, `predict_linear`, `holt_winters`; simple linear regression by
//! least squares; Holt, "Forecasting seasonals and trends by exponentially weighted moving averages", 1957.

use super::kahan::Sum;
use crate::evaluate::EvaluateError;
use crate::sample::Sample;

/// A line through samples.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// By second.
    pub(crate) slope: f64,
    /// Its value at the origin.
    pub(crate) intercept: f64,
}

/// The line of least squares through at least two samples, with time counted from an origin.
pub(crate) fn line(samples: &[Sample], origin_ms: i64) -> Option<Line> {
    let (first, rest) = samples.split_first()?;
    if rest.is_empty() {
        return None;
    }
    #[expect(clippy::float_cmp, reason = "exactly constant, or it is calculated")]
    if rest.iter().all(|sample| sample.value == first.value) {
        let of_infinite = Line { slope: f64::NAN, intercept: f64::NAN };
        let constant = Line { slope: 0.0, intercept: first.value };
        return Some(if first.value.is_infinite() { of_infinite } else { constant });
    }
    let (mut xs, mut ys, mut products, mut squares) = (Sum::default(), Sum::default(), Sum::default(), Sum::default());
    let mut count = 0.0;
    for sample in samples {
        #[expect(clippy::cast_precision_loss, reason = "a range is far below what a float counts exactly")]
        let x = sample.timestamp.saturating_sub(origin_ms) as f64 / 1e3;
        count += 1.0;
        xs.add(x);
        ys.add(sample.value);
        products.add(x * sample.value);
        squares.add(x * x);
    }
    let covariance = products.total() - xs.total() * ys.total() / count;
    let variance = squares.total() - xs.total() * xs.total() / count;
    let slope = covariance / variance;
    Some(Line { slope, intercept: ys.total() / count - slope * xs.total() / count })
}

/// `holt_winters`: the last value, smoothed together with its trend.
pub(crate) fn smoothed(samples: &[Sample], smoothing: f64, trend: f64) -> Result<Option<f64>, EvaluateError> {
    for (name, value) in [("smoothing", smoothing), ("trend", trend)] {
        // NaN passes, as in Prometheus, and gives NaN.
        if value <= 0.0 || value >= 1.0 {
            return Err(EvaluateError::SmoothingFactor { name, value });
        }
    }
    let [first, second, ..] = samples else { return Ok(None) };
    let (mut before, mut now) = (0.0, first.value);
    let mut slope = second.value - first.value;
    for (index, sample) in samples.iter().enumerate().skip(1) {
        if index > 1 {
            slope = trend * (now - before) + (1.0 - trend) * slope;
        }
        let next = smoothing * sample.value + (1.0 - smoothing) * (now + slope);
        (before, now) = (now, next);
    }
    Ok(Some(now))
}
