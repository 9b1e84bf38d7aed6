//! Answers as JSON, written as they come: a panel of a dashboard has a million numbers.

use std::io::Write as _;

use prograde_observe::evaluate::Value;
use prograde_observe::histogram::{Bounded, Edges};
use prograde_observe::{HistogramSample, Labels, Sample, Series};

/// The answer to an instant query.
pub(super) fn value(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::Scalar(sample) => {
            out.extend(br#"{"resultType":"scalar","result":"#);
            point(&mut out, sample);
        }
        Value::Text(text) => {
            out.extend(br#"{"resultType":"string","result":[0,"#);
            string(&mut out, text);
            out.push(b']');
        }
        Value::Vector(vector) => {
            out.extend(br#"{"resultType":"vector","result":["#);
            for (at, (labels, sample)) in vector.floats.iter().enumerate() {
                begin(&mut out, at, labels);
                out.extend(br#","value":"#);
                point(&mut out, sample);
                out.push(b'}');
            }
            for (at, (labels, sample)) in vector.histograms.iter().enumerate() {
                begin(&mut out, vector.floats.len() + at, labels);
                out.extend(br#","histogram":"#);
                histogram(&mut out, sample);
                out.push(b'}');
            }
            out.push(b']');
        }
        Value::Matrix(all) => return matrix(all),
    }
    out.push(b'}');
    out
}

/// The answer to a range query.
pub(super) fn matrix(all: &[Series]) -> Vec<u8> {
    let mut out = br#"{"resultType":"matrix","result":["#.to_vec();
    for (at, series) in all.iter().enumerate() {
        begin(&mut out, at, &series.labels);
        if !series.samples.is_empty() || series.histograms.is_empty() {
            out.extend(br#","values":"#);
            list(&mut out, &series.samples, point);
        }
        if !series.histograms.is_empty() {
            out.extend(br#","histograms":"#);
            list(&mut out, &series.histograms, histogram);
        }
        out.push(b'}');
    }
    out.extend(b"]}");
    out
}

fn list<T>(out: &mut Vec<u8>, all: &[T], one: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (at, item) in all.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        one(out, item);
    }
    out.push(b']');
}

fn begin(out: &mut Vec<u8>, at: usize, of: &Labels) {
    if at > 0 {
        out.push(b',');
    }
    out.extend(br#"{"metric":"#);
    labels(out, of);
}

/// A set of labels as an object.
pub(super) fn labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (at, label) in labels.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(out, &label.name);
        out.push(b':');
        string(out, &label.value);
    }
    out.push(b'}');
}

fn point(out: &mut Vec<u8>, sample: &Sample) {
    out.push(b'[');
    time(out, sample.timestamp);
    out.push(b',');
    quoted(out, sample.value);
    out.push(b']');
}

/// A histogram: of each bucket which bounds belong to it (0 the upper, 1 the lower, 3 both), these, and how many observations
/// are in it.
fn histogram(out: &mut Vec<u8>, sample: &HistogramSample) {
    out.push(b'[');
    time(out, sample.timestamp);
    out.extend(br#",{"count":"#);
    quoted(out, sample.histogram.count);
    out.extend(br#","sum":"#);
    quoted(out, sample.histogram.sum);
    let buckets: Vec<Bounded> = sample.histogram.buckets().collect();
    if !buckets.is_empty() {
        out.extend(br#","buckets":"#);
        list(out, &buckets, |out, bucket| {
            out.extend(match bucket.edges {
                Edges::Upper => b"[0",
                Edges::Lower => b"[1",
                Edges::Both => b"[3",
            });
            for number in [bucket.lower, bucket.upper, bucket.count] {
                out.push(b',');
                quoted(out, number);
            }
            out.push(b']');
        });
    }
    out.extend(b"}]");
}

fn quoted(out: &mut Vec<u8>, value: f64) {
    out.push(b'"');
    number(out, value);
    out.push(b'"');
}

fn time(out: &mut Vec<u8>, timestamp: i64) {
    let (seconds, ms) = (timestamp.div_euclid(1_000), timestamp.rem_euclid(1_000));
    if timestamp < 0 && ms != 0 {
        // Towards zero, as the sign stands before all of it.
        let (seconds, ms) = ((-timestamp) / 1_000, (-timestamp) % 1_000);
        put(out, format_args!("-{seconds}.{ms:03}"));
    } else if ms == 0 {
        put(out, format_args!("{seconds}"));
    } else {
        put(out, format_args!("{seconds}.{ms:03}"));
    }
}

/// As Prometheus writes numbers in its API: the shortest text that reads back as the same number, with an exponent where it
/// is below 1e-6 or from 1e21 on.
pub(super) fn number(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if value.is_nan() {
        out.extend(b"NaN");
    } else if value.is_infinite() {
        out.extend(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
        put(out, format_args!("{digits}e{sign}{exponent:0>2}"));
    } else {
        put(out, format_args!("{value}"));
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    // A string can always be written, and so can memory be written to.
    let _written = serde_json::to_writer(out, text);
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _written = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prograde_observe::Histogram;
    use prograde_observe::evaluate::InstantVector;
    use prograde_observe::histogram::Bucket;

    use super::*;

    fn text(value: f64) -> String {
        let mut out = Vec::new();
        number(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        for (value, wanted) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (-2.5e-10, "-2.5e-10"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(value), wanted);
        }
    }

    #[test]
    fn times_are_seconds_with_as_many_places_as_there_are() {
        for (timestamp, wanted) in [
            (1_435_781_451_781, "[1435781451.781,\"1\"]"),
            (1_000, "[1,\"1\"]"),
            (1, "[0.001,\"1\"]"),
            (-1, "[-0.001,\"1\"]"),
            (-1_500, "[-1.500,\"1\"]"),
            (-2_000, "[-2,\"1\"]"),
        ] {
            let mut out = Vec::new();
            point(&mut out, &Sample { timestamp, value: 1.0 });
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }

    #[test]
    fn histograms_are_written_with_their_bounds() {
        let bucket = |(index, count): (i32, f64)| Bucket { index, count };
        let histogram = Histogram {
            zero_threshold: 0.25,
            zero_count: 1.0,
            count: 4.5,
            sum: -0.5,
            positive: vec![bucket((1, 2.0))],
            negative: vec![bucket((0, 1.5))],
            ..Histogram::default()
        };
        let labels: Labels = [("__name__", "h")].into_iter().collect();
        let sample = HistogramSample { timestamp: 1_500, histogram: Arc::new(histogram) };
        let empty = HistogramSample { timestamp: 2_000, histogram: Arc::default() };
        let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        let written = serde_json::json!([1.5, {"count": "4.5", "sum": "-0.5", "buckets": [
            [1, "-1", "-0.5", "1.5"], [3, "-0.25", "0.25", "1"], [0, "1", "2", "2"]]}]);
        let vector = InstantVector { floats: Vec::new(), histograms: vec![(labels.clone(), sample.clone())] };
        assert_eq!(
            read(&value(&Value::Vector(vector)))["result"],
            serde_json::json!([{"metric": {"__name__": "h"}, "histogram": written}])
        );
        let series = Series { labels, samples: Vec::new(), histograms: vec![sample, empty] };
        assert_eq!(
            read(&matrix(&[series]))["result"],
            serde_json::json!([{"metric": {"__name__": "h"}, "histograms": [written, [2, {"count": "0", "sum": "0"}]]}])
        );
    }

    #[test]
    fn what_is_written_is_json() {
        let labels: Labels = [("__name__", "a"), ("path", "\"\\\n\u{1}ü")].into_iter().collect();
        let sample = Sample { timestamp: 1_500, value: 2.0 };
        let series = Series::of_floats(labels.clone(), vec![sample, sample]);
        let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        let metric = serde_json::json!({"__name__": "a", "path": "\"\\\n\u{1}ü"});
        let point = serde_json::json!([1.5, "2"]);
        assert_eq!(
            read(&matrix(&[series.clone(), series])),
            serde_json::json!({"resultType": "matrix", "result": [
                {"metric": metric, "values": [point, point]}, {"metric": metric, "values": [point, point]}
            ]})
        );
        let floats = vec![(labels.clone(), sample), (labels, sample)];
        let vector = Value::Vector(InstantVector { floats, histograms: Vec::new() });
        let of_vector = serde_json::json!({"metric": metric, "value": point});
        assert_eq!(
            read(&value(&vector)),
            serde_json::json!({"resultType": "vector", "result": [of_vector, of_vector]})
        );
        let scalar = serde_json::json!({"resultType": "scalar", "result": point});
        assert_eq!(read(&value(&Value::Scalar(sample))), scalar);
        let text = serde_json::json!({"resultType": "string", "result": [0, "\""]});
        assert_eq!(read(&value(&Value::Text("\"".into()))), text);
    }
}
