//! Answers as JSON, written as they come: a panel of a dashboard has a million numbers.

use std::io::Write as _;

use prograde_observe::evaluate::Value;
use prograde_observe::{Labels, Sample, Series};

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
            for (at, (labels, sample)) in vector.iter().enumerate() {
                begin(&mut out, at, labels);
                out.extend(br#","value":"#);
                point(&mut out, sample);
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
        out.extend(br#","values":["#);
        for (at, sample) in series.samples.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            point(&mut out, sample);
        }
        out.extend(b"]}");
    }
    out.extend(b"]}");
    out
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
    let (seconds, ms) = (sample.timestamp.div_euclid(1_000), sample.timestamp.rem_euclid(1_000));
    out.push(b'[');
    if sample.timestamp < 0 && ms != 0 {
        // Towards zero, as the sign stands before all of it.
        let (seconds, ms) = ((-sample.timestamp) / 1_000, (-sample.timestamp) % 1_000);
        put(out, format_args!("-{seconds}.{ms:03}"));
    } else if ms == 0 {
        put(out, format_args!("{seconds}"));
    } else {
        put(out, format_args!("{seconds}.{ms:03}"));
    }
    out.extend(b",\"");
    number(out, sample.value);
    out.extend(b"\"]");
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
    fn what_is_written_is_json() {
        let labels: Labels = [("__name__", "a"), ("path", "\"\\\n\u{1}ü")].into_iter().collect();
        let sample = Sample { timestamp: 1_500, value: 2.0 };
        let series = Series { labels: labels.clone(), samples: vec![sample, sample] };
        let read = |json: &[u8]| serde_json::from_slice::<serde_json::Value>(json).unwrap();
        let metric = serde_json::json!({"__name__": "a", "path": "\"\\\n\u{1}ü"});
        let point = serde_json::json!([1.5, "2"]);
        assert_eq!(
            read(&matrix(&[series.clone(), series])),
            serde_json::json!({"resultType": "matrix", "result": [
                {"metric": metric, "values": [point, point]}, {"metric": metric, "values": [point, point]}
            ]})
        );
        let vector = Value::Vector(vec![(labels.clone(), sample), (labels, sample)]);
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
