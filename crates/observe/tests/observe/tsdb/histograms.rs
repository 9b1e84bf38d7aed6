//! Histograms go the way that samples go: into the log, memory, blocks and longer blocks, and out again.

use std::sync::Arc;

use prograde_observe::histogram::{BUCKETS_MAX, Bucket, Hint};
use prograde_observe::{Histogram, HistogramSample, IncomingHistogram};

use super::*;

const HOUR_MS: i64 = 3_600_000;

/// A histogram that counts up, with more buckets from time to time, begins anew, and ends.
pub(super) fn histogram(step: i64) -> Histogram {
    if step % 50 == 49 {
        return Histogram::stale();
    }
    let since = f64::from(i32::try_from(step % 120).unwrap());
    let width = i32::try_from(step % 120 / 10).unwrap() + 1;
    let buckets = |from: i32| -> Vec<Bucket> {
        (from..from + width).map(|index| Bucket { index: index * 2, count: since + f64::from(index) + 10.0 }).collect()
    };
    let (positive, negative) = (buckets(-3), buckets(4));
    let count: f64 = positive.iter().chain(&negative).map(|bucket| bucket.count).sum();
    let hint = if step % 120 == 0 { Hint::Reset } else { Hint::Unknown };
    let schema = if step < 300 { 3 } else { 2 };
    // From here on as a rule writes it.
    let count = if step > 400 { count / 3.0 } else { count };
    Histogram { schema, zero_threshold: 1e-9, zero_count: 0.0, count, sum: since * 0.1, positive, negative, hint }
}

pub(super) fn sample(step: i64) -> HistogramSample {
    HistogramSample { timestamp: NOW_MS + step * 15_000, histogram: Arc::new(histogram(step)) }
}

pub(super) fn append_histogram(database: &Database, labels: &Labels, sample: &HistogramSample) -> Appended {
    database.append_histograms(&[IncomingHistogram { labels, sample }]).unwrap()
}

/// All of a series, to the bit: numbers as they are, histograms as text that tells all of them.
pub(super) fn told(store: &impl Store, name: &str, from_ms: i64, to_ms: i64) -> Vec<(i64, String)> {
    let mut told = Vec::new();
    for series in store.select(&[matcher("__name__", "=", name)], from_ms, to_ms).unwrap() {
        told.extend(series.samples.iter().map(|sample| (sample.timestamp, format!("{:x}", sample.value.to_bits()))));
        told.extend(series.histograms.iter().map(|sample| (sample.timestamp, format!("{:?}", sample.histogram))));
    }
    told.sort();
    told
}

fn wanted(steps: std::ops::Range<i64>) -> Vec<(i64, String)> {
    steps.map(sample).map(|sample| (sample.timestamp, format!("{:?}", sample.histogram))).collect()
}

#[test]
fn histograms_are_there_after_each_step_of_their_way() {
    let fixture = Fixture::new();
    let name = labels(&[("__name__", "h")]);
    let database = fixture.open();
    database.maintain(NOW_MS + 2 * HOUR_MS).unwrap();
    for step in 0..600 {
        assert_eq!(append_histogram(&database, &name, &sample(step)).kept, 1, "{step}");
    }
    let all = |database: &Database| told(database, "h", i64::MIN, i64::MAX);
    assert_eq!(all(&database), wanted(0..600));
    assert_eq!(told(&database, "h", sample(100).timestamp, sample(110).timestamp), wanted(100..111));
    drop(database);
    let database = fixture.open();
    assert_eq!(all(&database), wanted(0..600));
    database.maintain(NOW_MS + 3 * HOUR_MS + HOUR_MS / 2).unwrap();
    assert!(database.stats().unwrap().blocks > 0);
    assert_eq!(all(&database), wanted(0..600));
    for step in 600..2400 {
        assert_eq!(append_histogram(&database, &name, &sample(step)).kept, 1, "{step}");
        if step % 240 == 0 {
            database.maintain(sample(step).timestamp + HOUR_MS / 2).unwrap();
        }
    }
    let maintained = database.maintain(sample(2400).timestamp + 3 * HOUR_MS).unwrap();
    assert!(maintained.blocks_cut > 0, "{maintained:?}");
    assert_eq!(all(&database), wanted(0..2400));
    drop(database);
    assert_eq!(all(&fixture.open()), wanted(0..2400));
}

#[test]
fn a_series_may_become_one_of_histograms_and_go_back() {
    let fixture = Fixture::new();
    let name = labels(&[("__name__", "h")]);
    let database = fixture.open();
    let mut wanted = Vec::new();
    for step in 0..60 {
        let timestamp = sample(step).timestamp;
        if step / 7 % 2 == 0 {
            assert_eq!(append(&database, &name, &[(timestamp, 0.5)]).kept, 1);
            wanted.push((timestamp, format!("{:x}", 0.5_f64.to_bits())));
        } else {
            assert_eq!(append_histogram(&database, &name, &sample(step)).kept, 1);
            wanted.push((timestamp, format!("{:?}", histogram(step))));
        }
    }
    assert_eq!(told(&database, "h", i64::MIN, i64::MAX), wanted);
    drop(database);
    let database = fixture.open();
    assert_eq!(told(&database, "h", i64::MIN, i64::MAX), wanted);
    let latest = sample(59).timestamp;
    assert_eq!(append(&database, &name, &[(latest - 1, 0.5)]).out_of_order, 1);
    assert_eq!(append_histogram(&database, &name, &sample(59)).duplicate, 1);
    assert_eq!(append_histogram(&database, &name, &sample(58)).out_of_order, 1);
    database.maintain(NOW_MS + 4 * HOUR_MS).unwrap();
    assert_eq!(told(&database, "h", i64::MIN, i64::MAX), wanted);
}

#[test]
fn the_same_histogram_twice_is_kept_once_and_another_is_not() {
    let fixture = Fixture::new();
    let name = labels(&[("__name__", "h")]);
    let database = fixture.open();
    append_histogram(&database, &name, &sample(1));
    drop(database);
    let database = fixture.open();
    assert_eq!(append_histogram(&database, &name, &sample(1)).kept, 1);
    let other = HistogramSample { histogram: sample(2).histogram, ..sample(1) };
    assert_eq!(append_histogram(&database, &name, &other).duplicate, 1);
    assert_eq!(told(&database, "h", i64::MIN, i64::MAX).len(), 1);
}

#[test]
fn a_histogram_that_is_too_large_is_left_out() {
    let fixture = Fixture::new();
    let database = fixture.open();
    let name = labels(&[("__name__", "h")]);
    let buckets =
        |count: usize| -> Vec<Bucket> { (0..).take(count).map(|index| Bucket { index, count: 0.1 }).collect() };
    let of = |timestamp, count: usize| {
        let positive = buckets(count);
        let histogram = Histogram { count: 1.0, positive, ..Histogram::default() };
        HistogramSample { timestamp: NOW_MS + timestamp, histogram: Arc::new(histogram) }
    };
    assert_eq!(append_histogram(&database, &name, &of(0, BUCKETS_MAX + 1)).over_limit, 1);
    for timestamp in 0..300 {
        assert_eq!(append_histogram(&database, &name, &of(timestamp, BUCKETS_MAX)).kept, 1);
    }
    drop(database);
    let database = fixture.open();
    assert_eq!(told(&database, "h", i64::MIN, i64::MAX).len(), 300);
    database.maintain(NOW_MS + 4 * HOUR_MS).unwrap();
    assert_eq!(told(&database, "h", i64::MIN, i64::MAX).len(), 300);
}
