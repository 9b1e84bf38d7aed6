//! How fast a counter grows.
//!
//! A range seldom begins or ends with a sample, so the growth between the first and the last one is extrapolated to the
//! range's ends, where these are not farther away than samples usually are from each other; else by half of that distance.
//! A counter is not extrapolated to before it was zero.
//!
//! Source: Prometheus documentation, "Functions", `rate`; Prometheus 2.42, `extrapolatedRate`.

use super::range::Window;
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
    let sampled = seconds_between(first.timestamp, last.timestamp);
    #[expect(clippy::cast_precision_loss, reason = "there are fewer samples than a float counts exactly")]
    let usual = sampled / (between.len() + 1) as f64;
    let mut before = seconds_between(window.start_ms, first.timestamp);
    let after = seconds_between(last.timestamp, window.end_ms);
    if resets.is_some() && growth > 0.0 && first.value >= 0.0 {
        let since_zero = sampled * (first.value / growth);
        if since_zero < before {
            before = since_zero;
        }
    }
    let mut extrapolated = sampled;
    for gap in [before, after] {
        extrapolated += if gap < usual * THRESHOLD { gap } else { usual / 2.0 };
    }
    let mut factor = extrapolated / sampled;
    if per_second {
        factor /= seconds_between(window.start_ms, window.end_ms);
    }
    Some(growth * factor)
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
