//! Functions of one value.

use std::cmp::Ordering;

use super::date;
use crate::promql::expression::{PlainFunction, ValueFunction};

/// The function's value, given its arguments; nothing where `clamp` leaves no room.
pub(crate) fn apply(function: &ValueFunction, value: f64, first: f64, second: f64) -> Option<f64> {
    match function {
        ValueFunction::Plain(function) => Some(plain(*function, value)),
        ValueFunction::Date(part) => Some(date::part(*part, value)),
        ValueFunction::Round(_) => Some(round(value, first)),
        ValueFunction::AtLeast(_) => Some(larger(first, value)),
        ValueFunction::AtMost(_) => Some(smaller(first, value)),
        ValueFunction::Between { .. } if second < first => None,
        ValueFunction::Between { .. } => Some(larger(first, smaller(second, value))),
    }
}

/// To the nearest multiple, half up. Multiplied by the inverse, which is exact for 0.1 where dividing is not.
fn round(value: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (value * inverse + 0.5).floor() / inverse
}

/// As Go's `math.Max`: NaN if either is, but for an infinity that nothing exceeds.
fn larger(a: f64, b: f64) -> f64 {
    if [a, b].contains(&f64::INFINITY) {
        return f64::INFINITY;
    }
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// As Go's `math.Min`.
fn smaller(a: f64, b: f64) -> f64 {
    -larger(-a, -b)
}

fn plain(function: PlainFunction, value: f64) -> f64 {
    match function {
        PlainFunction::Abs => value.abs(),
        PlainFunction::Acos => value.acos(),
        PlainFunction::Acosh => value.acosh(),
        PlainFunction::Asin => value.asin(),
        PlainFunction::Asinh => value.asinh(),
        PlainFunction::Atan => value.atan(),
        PlainFunction::Atanh => value.atanh(),
        PlainFunction::Ceil => value.ceil(),
        PlainFunction::Cos => value.cos(),
        PlainFunction::Cosh => value.cosh(),
        PlainFunction::Deg => value * 180.0 / std::f64::consts::PI,
        PlainFunction::Exp => value.exp(),
        PlainFunction::Floor => value.floor(),
        PlainFunction::Ln => value.ln(),
        PlainFunction::Log10 => value.log10(),
        PlainFunction::Log2 => value.log2(),
        PlainFunction::Rad => value * std::f64::consts::PI / 180.0,
        PlainFunction::Sgn if value < 0.0 => -1.0,
        PlainFunction::Sgn if value > 0.0 => 1.0,
        PlainFunction::Sgn => value,
        PlainFunction::Sin => value.sin(),
        PlainFunction::Sinh => value.sinh(),
        PlainFunction::Sqrt => value.sqrt(),
        PlainFunction::Tan => value.tan(),
        PlainFunction::Tanh => value.tanh(),
    }
}

/// By size, NaN before all numbers.
pub(crate) fn nan_first(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// By size from either end, NaN after all numbers.
pub(crate) fn nan_last(descending: bool, a: f64, b: f64) -> Ordering {
    let by_size = if descending { b.partial_cmp(&a) } else { a.partial_cmp(&b) };
    by_size.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}
