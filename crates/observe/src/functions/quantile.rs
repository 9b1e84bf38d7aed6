//! Quantiles of values.

use super::values::nan_first;

/// The quantile, between two values by their distance: outside of 0 to 1 an infinity, of nothing NaN. Sorts the values.
///
/// Source: Prometheus documentation, "Functions", `quantile_over_time`.
pub(crate) fn quantile(share: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || share.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&share) {
        return if share < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.sort_by(|a, b| nan_first(*a, *b));
    let last = values.len() - 1;
    #[expect(clippy::cast_precision_loss, reason = "there are fewer values than a float counts exactly")]
    let rank = share * last as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the last index")]
    let lower = rank.floor() as usize;
    let weight = rank - rank.floor();
    let value = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    value(lower) * (1.0 - weight) + value((lower + 1).min(last)) * weight
}
