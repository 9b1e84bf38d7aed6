//! Bounds on a share that hold at every look at once (a confidence sequence), in closed form.
//!
//! The Krichevsky-Trofimov mixture of likelihood ratios is a martingale at the true share and at least
//! `exp(n KL(seen, p)) / (2 sqrt(n))` (Krichevsky and Trofimov 1981), so `n KL(seen, p) <= ln(1/alpha) + ln(2 sqrt(n))` at all
//! times with probability `1 - alpha`. `KL(a, b) >= (a - b)^2 / (2 max(a, b))` makes a square root of it.

use super::{float, ratio};

/// The largest share that is compatible with `part` of `of`; 1 when nothing was seen.
pub(super) fn upper(part: u64, of: u64, log_needed: f64) -> f64 {
    if of == 0 {
        return 1.0;
    }
    let (seen, radius) = (ratio(part, of), radius(of, log_needed));
    (seen + radius + (radius * radius + 2.0 * seen * radius).sqrt()).min(1.0)
}

/// The least share that is compatible with `part` of `of`; 0 when nothing was seen.
pub(super) fn lower(part: u64, of: u64, log_needed: f64) -> f64 {
    let seen = ratio(part, of);
    (seen - (2.0 * seen * radius(of.max(1), log_needed)).sqrt()).max(0.0)
}

fn radius(of: u64, log_needed: f64) -> f64 {
    (log_needed + (2.0 * float(of).sqrt()).ln()) / float(of)
}
