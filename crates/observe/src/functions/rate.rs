//! How fast a counter grows.
//!
//! A range seldom begins or ends with a sample, so the growth between the first and the last one is extrapolated to the
//! range's ends, where these are not farther away than samples usually are from each other; else by half of that distance.
//! A counter is not extrapolated to before it was zero.
//!
//! Source: Prometheus documentation, "Functions", `rate`; Prometheus 2.42, `extrapolatedRate`.

use super::range::Window;
use crate::histogram::{Hint, Histogram, HistogramSample};
use crate::sample::Sample;

/// Between how many usual distances an end still counts as reached.
const THRESHOLD: f64 = 1.1;

#[expect(clippy::cast_precision_loss, reason = "durations and counts are far below what a float counts exactly")]
fn seconds_between(from_ms: i64, to_ms: i64) -> f64 {
    to_ms.saturating_sub(from_ms) as f64 / 1000.0
}

/// `rate`, `increase` and, without resets, `delta`. Resets are the samples of the window, by their places in the series, that
/// are lower than the one before them.
pub(crate) fn extrapolated(window: &Window<'_>, resets: Option<&[usize]>, per_second: bool) -> Option<f64> {
    let [first, between @ .., last] = window.samples() else { return None };
    let mut growth = last.value - first.value;
    for reset in resets.unwrap_or_default() {
        growth += window.series.get(reset.checked_sub(1)?)?.value;
    }
    let rises = resets.is_some() && growth > 0.0 && first.value >= 0.0;
    let between = Sampled { first_ms: first.timestamp, last_ms: last.timestamp, pairs: between.len() + 1 };
    let from_zero = rises.then(|| first.value / growth);
    Some(growth * factor(&between, (window.start_ms, window.end_ms), from_zero, per_second))
}

/// The samples that a growth was found between.
struct Sampled {
    first_ms: i64,
    last_ms: i64,
    /// How many follow the first one.
    pairs: usize,
}

/// By what a growth between samples is multiplied to be that of a range. How many times the growth it was from zero to the
/// first sample is known of what only rises.
fn factor(sampled: &Sampled, (start_ms, end_ms): (i64, i64), from_zero: Option<f64>, per_second: bool) -> f64 {
    let seconds = seconds_between(sampled.first_ms, sampled.last_ms);
    #[expect(clippy::cast_precision_loss, reason = "there are fewer samples than a float counts exactly")]
    let usual = seconds / sampled.pairs as f64;
    let mut before = seconds_between(start_ms, sampled.first_ms);
    let after = seconds_between(sampled.last_ms, end_ms);
    if let Some(from_zero) = from_zero {
        let since_zero = seconds * from_zero;
        if since_zero < before {
            before = since_zero;
        }
    }
    let mut extrapolated = seconds;
    for gap in [before, after] {
        extrapolated += if gap < usual * THRESHOLD { gap } else { usual / 2.0 };
    }
    let mut factor = extrapolated / seconds;
    if per_second {
        factor /= seconds_between(start_ms, end_ms);
    }
    factor
}

/// `rate`, `increase` and, of gauges, `delta` of histograms: of all of their counts alike, as of the number of observations.
pub(crate) fn extrapolated_histogram(
    samples: &[HistogramSample],
    range: (i64, i64),
    is_counter: bool,
    per_second: bool,
) -> Option<Histogram> {
    let [first, between @ .., last] = samples else { return None };
    let schema = samples.iter().map(|sample| sample.histogram.schema).min().unwrap_or(first.histogram.schema);
    let mut growth = last.histogram.at_schema(schema).minus(&first.histogram);
    if is_counter {
        for pair in samples.windows(2) {
            if let [before, after] = pair
                && after.histogram.is_reset_after(&before.histogram)
            {
                growth = growth.plus(&before.histogram);
            }
        }
    }
    let rises = is_counter && growth.count > 0.0 && first.histogram.count >= 0.0;
    let between = Sampled { first_ms: first.timestamp, last_ms: last.timestamp, pairs: between.len() + 1 };
    let from_zero = rises.then(|| first.histogram.count / growth.count);
    let growth = growth.times(factor(&between, range, from_zero, per_second));
    Some(Histogram { hint: Hint::Gauge, ..growth })
}

/// `irate` and `idelta` of histograms.
pub(crate) fn instant_histogram(samples: &[HistogramSample], is_rate: bool) -> Option<Histogram> {
    let [.., before, last] = samples else { return None };
    let seconds = seconds_between(before.timestamp, last.timestamp);
    if seconds <= 0.0 {
        return None;
    }
    let is_reset = is_rate && last.histogram.is_reset_after(&before.histogram);
    let growth = if is_reset { last.histogram.as_ref().clone() } else { last.histogram.minus(&before.histogram) };
    let growth = if is_rate { growth.divided(seconds) } else { growth };
    Some(Histogram { hint: Hint::Gauge, ..growth })
}

/// `irate` and `idelta`: between the last two samples.
pub(crate) fn instant(samples: &[Sample], is_rate: bool) -> Option<f64> {
    let [.., before, last] = samples else { return None };
    let growth = if is_rate && last.value < before.value { last.value } else { last.value - before.value };
    let seconds = seconds_between(before.timestamp, last.timestamp);
    if seconds <= 0.0 {
        return None;
    }
    Some(if is_rate { growth / seconds } else { growth })
}
