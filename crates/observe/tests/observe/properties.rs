//! What holds of any query and any series.

use prograde_observe::evaluate::{EvaluateError, InstantVector, Options, Value, instant, range};
use prograde_observe::histogram::{Bucket, Hint};
use prograde_observe::pattern::Pattern;
use prograde_observe::{Histogram, HistogramSample, Labels, Memory, Sample, promql};
use proptest::prelude::*;
use proptest::sample::select;

use super::generator::{self, METRICS};

const BEGIN_MS: i64 = 1_600_000_000_000;

#[derive(Debug, Clone)]
enum Either {
    Float(f64),
    Histogram(Histogram),
}

/// Histograms of two schemas and thresholds, some of which have ended.
fn histogram() -> impl Strategy<Value = Histogram> {
    let buckets = || proptest::collection::btree_map(-6_i32..6, (1_u32..9).prop_map(f64::from), 0..5);
    let hint = select(vec![Hint::Unknown, Hint::Gauge, Hint::Reset]);
    let any = (0_i32..2, 0_u32..2, buckets(), buckets(), hint).prop_map(|(schema, wide, positive, negative, hint)| {
        let of = |buckets: std::collections::BTreeMap<i32, f64>| -> Vec<Bucket> {
            buckets.into_iter().map(|(index, count)| Bucket { index, count }).collect()
        };
        let (positive, negative) = (of(positive), of(negative));
        let count: f64 = positive.iter().chain(&negative).map(|bucket| bucket.count).sum();
        let zero_threshold = f64::from(wide) * 0.3;
        Histogram { schema, zero_threshold, count, sum: count / 3.0, positive, negative, hint, zero_count: 0.0 }
    });
    prop_oneof![9 => any, 1 => Just(Histogram::stale())]
}

/// Series of all metrics, with gaps, ends, resets and numbers of all kinds.
fn store() -> impl Strategy<Value = Memory> {
    let value = prop_oneof![
        6 => (-20_i32..100).prop_map(f64::from),
        1 => select(vec![0.0, -0.0, 0.1, 1e300, -1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        1 => Just(Sample::stale(0).value),
    ];
    let value = prop_oneof![9 => value.prop_map(Either::Float), 1 => histogram().prop_map(Either::Histogram)];
    let samples = proptest::collection::vec((1_i64..150_000, value), 0..30);
    let series = (select(METRICS.to_vec()), select(vec!["1", "2", "3"]), select(vec!["", "p", "q"]), samples);
    proptest::collection::vec(series, 0..8).prop_map(|all| {
        let mut memory = Memory::default();
        for (name, x, y, samples) in all {
            let labels: Labels = [("__name__", name), ("x", x), ("y", y)].into_iter().collect();
            let mut timestamp = BEGIN_MS;
            for (after, value) in samples {
                timestamp += after;
                match value {
                    Either::Float(value) => memory.push(&labels, Sample { timestamp, value }),
                    Either::Histogram(histogram) => {
                        memory.push_histogram(&labels, HistogramSample { timestamp, histogram: histogram.into() });
                    }
                }
            }
        }
        memory
    })
}

/// An instant query's answer as text, to the last bit, without an order that means nothing.
fn told(value: Value) -> Vec<String> {
    let bits = |value: f64| if value.is_nan() { "NaN".to_owned() } else { format!("{:x}", value.to_bits()) };
    let mut lines = match value {
        Value::Vector(vector) => {
            let floats = vector.floats.into_iter().map(|(labels, sample)| format!("{labels} {}", bits(sample.value)));
            let histograms = vector.histograms.into_iter();
            floats.chain(histograms.map(|(labels, sample)| format!("{labels} {:?}", sample.histogram))).collect()
        }
        Value::Scalar(sample) => vec![bits(sample.value)],
        other @ (Value::Text(_) | Value::Matrix(_)) => panic!("{other:?}"),
    };
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_query_or_an_error(text in generator::any_text()) {
        if let Ok(expression) = promql::parse(&text) {
            let memory = Memory::default();
            let options = Options { samples_max: 100_000, ..Options::default() };
            // It may well have no answer.
            drop(instant(&expression, &memory, 0, &options));
            drop(range(&expression, &memory, -5, 5, 1, &options));
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(pattern in "[ab{}()|*+?^$0-9,.\\[\\]\\\\:dwsbQEpLnxé&~<>=!iP-]{0,24}", value in "[ab0-9 é]{0,6}") {
        if let Ok(pattern) = Pattern::new(&pattern) {
            prop_assert_eq!(pattern.is_match(&value), pattern.expand(&value, "$1").is_some());
        }
    }

    /// But for `start()` and `end()`, which are times of the query as a whole.
    #[test]
    fn a_range_query_is_its_instant_queries(query in generator::vector(), memory in store(), step_ms in 1_i64..200_000) {
        let query = query.replace("start()", "1600000100").replace("end()", "1600000900");
        let expression = promql::parse(&query).map_err(|error| TestCaseError::fail(format!("{query}: {error}")))?;
        let options = Options { samples_max: 2_000_000, ..Options::default() };
        let start_ms = BEGIN_MS + 30_000;
        let end_ms = start_ms + step_ms * 9;
        match range(&expression, &memory, start_ms, end_ms, step_ms, &options) {
            Ok(series) => {
                for at_ms in (0..10).map(|index| start_ms + step_ms * index) {
                    let mut at_step = InstantVector::default();
                    for series in &series {
                        let float = series.samples.iter().find(|sample| sample.timestamp == at_ms);
                        at_step.floats.extend(float.map(|sample| (series.labels.clone(), *sample)));
                        let histogram = series.histograms.iter().find(|sample| sample.timestamp == at_ms);
                        at_step.histograms.extend(histogram.map(|sample| (series.labels.clone(), sample.clone())));
                    }
                    let instant = instant(&expression, &memory, at_ms, &options).unwrap();
                    prop_assert_eq!(told(Value::Vector(at_step)), told(instant), "{} at {}", query, at_ms);
                }
            }
            // What fails at a step fails as a whole; two series of one name may also never be there at once.
            Err(EvaluateError::SameLabels(_)) => {}
            Err(_) => {
                let fails = |at_ms| instant(&expression, &memory, at_ms, &options).is_err();
                prop_assert!((0..10).any(|index| fails(start_ms + step_ms * index)), "{}", query);
            }
        }
    }

    #[test]
    fn a_limit_is_an_error_and_nothing_else(query in generator::vector(), memory in store(), samples_max in 0_u64..3000) {
        let expression = promql::parse(&query).map_err(|error| TestCaseError::fail(format!("{query}: {error}")))?;
        let unlimited = instant(&expression, &memory, BEGIN_MS + 600_000, &Options::default());
        let options = Options { samples_max, ..Options::default() };
        match instant(&expression, &memory, BEGIN_MS + 600_000, &options) {
            Ok(limited) => prop_assert_eq!(told(limited), told(unlimited.unwrap())),
            Err(EvaluateError::TooManySamples { max }) => prop_assert_eq!(max, samples_max),
            Err(other) => prop_assert_eq!(other.to_string(), unlimited.unwrap_err().to_string()),
        }
    }
}
