//! The functions and aggregations of PromQL by their names, and those that are refused.
//!
//! Source: Prometheus documentation, "Functions" and "Aggregation operators", as of 2.42, and of 3.x for native
//! histograms.

use super::expression::{DatePart, Fold, HistogramFunction, PlainFunction, RangeFunction};

const NEWER: &str = "it came after Prometheus 2.42, which this evaluator follows";

/// Functions and aggregations of later versions, and of other products.
pub(super) const UNSUPPORTED: [(&str, &str); 23] = [
    ("histogram_quantiles", NEWER),
    ("double_exponential_smoothing", "it is called holt_winters here, as in Prometheus 2"),
    ("end", NEWER),
    ("first_over_time", NEWER),
    ("info", NEWER),
    ("integral", NEWER),
    ("limit_ratio", NEWER),
    ("limitk", NEWER),
    ("mad_over_time", NEWER),
    ("max_of", NEWER),
    ("min_of", NEWER),
    ("range", NEWER),
    ("sort_by_label", NEWER),
    ("sort_by_label_desc", NEWER),
    ("start", NEWER),
    ("step", NEWER),
    ("ts_of_first_over_time", NEWER),
    ("ts_of_last_over_time", NEWER),
    ("ts_of_max_over_time", NEWER),
    ("ts_of_min_over_time", NEWER),
    ("rollup", "it is a function of VictoriaMetrics"),
    ("range_median", "it is a function of VictoriaMetrics"),
    ("xrate", "it is a function of Thanos"),
];

pub(super) const PLAIN: [(&str, PlainFunction); 23] = [
    ("abs", PlainFunction::Abs),
    ("acos", PlainFunction::Acos),
    ("acosh", PlainFunction::Acosh),
    ("asin", PlainFunction::Asin),
    ("asinh", PlainFunction::Asinh),
    ("atan", PlainFunction::Atan),
    ("atanh", PlainFunction::Atanh),
    ("ceil", PlainFunction::Ceil),
    ("cos", PlainFunction::Cos),
    ("cosh", PlainFunction::Cosh),
    ("deg", PlainFunction::Deg),
    ("exp", PlainFunction::Exp),
    ("floor", PlainFunction::Floor),
    ("ln", PlainFunction::Ln),
    ("log10", PlainFunction::Log10),
    ("log2", PlainFunction::Log2),
    ("rad", PlainFunction::Rad),
    ("sgn", PlainFunction::Sgn),
    ("sin", PlainFunction::Sin),
    ("sinh", PlainFunction::Sinh),
    ("sqrt", PlainFunction::Sqrt),
    ("tan", PlainFunction::Tan),
    ("tanh", PlainFunction::Tanh),
];

/// Numbers of native histograms.
pub(super) const OF_HISTOGRAMS: [(&str, HistogramFunction); 5] = [
    ("histogram_avg", HistogramFunction::Average),
    ("histogram_count", HistogramFunction::Count),
    ("histogram_stddev", HistogramFunction::StandardDeviation),
    ("histogram_stdvar", HistogramFunction::StandardVariance),
    ("histogram_sum", HistogramFunction::Sum),
];

pub(super) const DATES: [(&str, DatePart); 8] = [
    ("day_of_month", DatePart::DayOfMonth),
    ("day_of_week", DatePart::DayOfWeek),
    ("day_of_year", DatePart::DayOfYear),
    ("days_in_month", DatePart::DaysInMonth),
    ("hour", DatePart::Hour),
    ("minute", DatePart::Minute),
    ("month", DatePart::Month),
    ("year", DatePart::Year),
];

/// Functions of a range and of nothing else.
pub(super) const OVER_RANGE: [(&str, RangeFunction); 17] = [
    ("rate", RangeFunction::Rate),
    ("increase", RangeFunction::Increase),
    ("delta", RangeFunction::Delta),
    ("irate", RangeFunction::InstantRate),
    ("idelta", RangeFunction::InstantDelta),
    ("deriv", RangeFunction::Derivative),
    ("changes", RangeFunction::Changes),
    ("resets", RangeFunction::Resets),
    ("avg_over_time", RangeFunction::Average),
    ("min_over_time", RangeFunction::Min),
    ("max_over_time", RangeFunction::Max),
    ("sum_over_time", RangeFunction::Sum),
    ("count_over_time", RangeFunction::Count),
    ("stddev_over_time", RangeFunction::StandardDeviation),
    ("stdvar_over_time", RangeFunction::StandardVariance),
    ("last_over_time", RangeFunction::Last),
    ("present_over_time", RangeFunction::Present),
];

pub(super) const FOLDS: [(&str, Fold); 8] = [
    ("sum", Fold::Sum),
    ("avg", Fold::Average),
    ("count", Fold::Count),
    ("min", Fold::Min),
    ("max", Fold::Max),
    ("group", Fold::Group),
    ("stddev", Fold::StandardDeviation),
    ("stdvar", Fold::StandardVariance),
];

/// Aggregations with an argument before the vector.
pub(super) const PARAMETRISED: [&str; 4] = ["quantile", "topk", "bottomk", "count_values"];

/// The remaining functions with the number of their arguments, at least and at most.
const OTHERS: [(&str, usize, usize); 20] = [
    ("absent", 1, 1),
    ("absent_over_time", 1, 1),
    ("clamp", 3, 3),
    ("clamp_max", 2, 2),
    ("clamp_min", 2, 2),
    ("histogram_fraction", 3, 3),
    ("histogram_quantile", 2, 2),
    ("holt_winters", 3, 3),
    ("label_join", 3, usize::MAX),
    ("label_replace", 5, 5),
    ("pi", 0, 0),
    ("predict_linear", 2, 2),
    ("quantile_over_time", 2, 2),
    ("round", 1, 2),
    ("scalar", 1, 1),
    ("sort", 1, 1),
    ("sort_desc", 1, 1),
    ("time", 0, 0),
    ("timestamp", 1, 1),
    ("vector", 1, 1),
];

/// What a table says of a name.
pub(super) fn found<T: Clone>(table: &[(&str, T)], name: &str) -> Option<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
}

/// How many arguments a function takes, at least and at most.
pub(super) fn arity(name: &str) -> Option<(usize, usize)> {
    if found(&PLAIN, name).is_some() || found(&OVER_RANGE, name).is_some() || found(&OF_HISTOGRAMS, name).is_some() {
        return Some((1, 1));
    }
    if found(&DATES, name).is_some() {
        return Some((0, 1));
    }
    OTHERS.iter().find(|(known, ..)| *known == name).map(|(_, least, most)| (*least, *most))
}
