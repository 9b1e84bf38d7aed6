//! How long a value holds, with expected values of our own: these need no peer.

use prograde_observe::evaluate::{Options, Value, instant, range};
use prograde_observe::{Labels, Memory, Sample, promql};

fn store(samples: &[Sample]) -> Memory {
    let mut memory = Memory::default();
    let labels: Labels = [("__name__", "a"), ("i", "1")].into_iter().collect();
    for sample in samples {
        memory.push(&labels, *sample);
    }
    memory
}

fn sample(seconds: i64, value: f64) -> Sample {
    Sample { timestamp: seconds * 1000, value }
}

/// The values of the only series at a second, or in a range query from 0 to 600 seconds by a minute.
fn at(store: &Memory, query: &str, seconds: i64) -> Option<f64> {
    let expression = promql::parse(query).unwrap();
    match instant(&expression, store, seconds * 1000, &Options::default()).unwrap() {
        Value::Vector(vector) => vector.floats.first().map(|(_, sample)| sample.value),
        other @ (Value::Scalar(_) | Value::Text(_) | Value::Matrix(_)) => panic!("{other:?}"),
    }
}

#[test]
fn a_value_holds_for_five_minutes_to_the_millisecond() {
    let store = store(&[sample(10, 7.0)]);
    assert_eq!([9, 10, 310, 311].map(|seconds| at(&store, "a", seconds)), [None, Some(7.0), Some(7.0), None]);
}

#[test]
fn a_marker_ends_a_series_at_once_and_another_nan_does_not() {
    let ends = store(&[sample(10, 7.0), Sample::stale(20_000), sample(60, 8.0)]);
    assert_eq!([19, 20, 59, 60].map(|seconds| at(&ends, "a", seconds)), [Some(7.0), None, None, Some(8.0)]);
    assert_eq!(at(&ends, "count_over_time(a[1m])", 60), Some(2.0));
    assert_eq!(at(&ends, "sum_over_time(a[1m])", 60), Some(15.0));
    let continues = store(&[sample(10, 7.0), sample(20, f64::NAN), sample(30, f64::from_bits(0x7ff0_0000_0000_0001))]);
    assert!(at(&continues, "a", 25).unwrap().is_nan());
    assert!(at(&continues, "a", 35).unwrap().is_nan());
    assert_eq!(at(&continues, "count_over_time(a[1m])", 35), Some(3.0));
}

#[test]
fn a_range_holds_both_of_its_ends() {
    let store = store(&[sample(0, 1.0), sample(60, 2.0), sample(120, 3.0)]);
    assert_eq!(at(&store, "count_over_time(a[1m])", 120), Some(2.0));
    assert_eq!(at(&store, "count_over_time(a[59s])", 120), Some(1.0));
    assert_eq!(at(&store, "count_over_time(a[2m])", 120), Some(3.0));
    assert_eq!(at(&store, "count_over_time(a[1m])", 180), Some(1.0));
}

#[test]
fn a_range_query_has_points_only_where_there_are_values() {
    let store = store(&[sample(0, 1.0), Sample::stale(60_000), sample(180, 2.0)]);
    let expression = promql::parse("a").unwrap();
    let series = range(&expression, &store, 0, 600_000, 60_000, &Options::default()).unwrap();
    let points: Vec<(i64, f64)> =
        series[0].samples.iter().map(|sample| (sample.timestamp / 1000, sample.value)).collect();
    assert_eq!(points, [(0, 1.0), (180, 2.0), (240, 2.0), (300, 2.0), (360, 2.0), (420, 2.0), (480, 2.0)]);
}
