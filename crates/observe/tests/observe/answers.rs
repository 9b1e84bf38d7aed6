//! Answers in one form, whoever gave them, and what counts as the same.

use prograde_observe::evaluate::{self, Options, Value};
use prograde_observe::{Labels, Memory, promql};
use serde_json::Value as Json;

use super::corpus::Times;

/// An answer: `Err` holds why there is none, which nobody compares.
pub(crate) type Answer = Result<Found, String>;

#[derive(Debug, Clone)]
pub(crate) enum Found {
    Text(String),
    /// Time and value of each point.
    Scalar(i64, f64),
    Vector(Vec<(Labels, Points)>),
    Matrix(Vec<(Labels, Points)>),
}

type Points = Vec<(i64, f64)>;

pub(crate) fn ours(store: &Memory, query: &str, times: Times) -> (Answer, Answer) {
    let expression = match promql::parse(query) {
        Ok(expression) => expression,
        Err(error) => return (Err(error.to_string()), Err(error.to_string())),
    };
    let options = Options::default();
    let instant = evaluate::instant(&expression, store, times.at, &options);
    let Times { start, end, step, .. } = times;
    let range = evaluate::range(&expression, store, start, end, step, &options);
    let points = |series: prograde_observe::Series| {
        (series.labels, series.samples.iter().map(|sample| (sample.timestamp, sample.value)).collect())
    };
    let instant = instant.map(|value| match value {
        Value::Text(text) => Found::Text(text),
        Value::Scalar(sample) => Found::Scalar(sample.timestamp, sample.value),
        Value::Vector(vector) => Found::Vector(
            vector
                .floats
                .into_iter()
                .map(|(labels, sample)| (labels, vec![(sample.timestamp, sample.value)]))
                .collect(),
        ),
        Value::Matrix(series) => Found::Matrix(series.into_iter().map(points).collect()),
    });
    let range = range.map(|series| Found::Matrix(series.into_iter().map(points).collect()));
    (instant.map_err(|error| error.to_string()), range.map_err(|error| error.to_string()))
}

/// Reads the body of an answer of Prometheus' HTTP API.
pub(crate) fn theirs(body: &Json) -> Answer {
    if body["status"] != "success" {
        return Err(body["error"].as_str().unwrap().to_owned());
    }
    let result = &body["data"]["result"];
    Ok(match body["data"]["resultType"].as_str().unwrap() {
        "string" => Found::Text(result[1].as_str().unwrap().to_owned()),
        "scalar" => {
            let (time, value) = point(result);
            Found::Scalar(time, value)
        }
        "vector" => Found::Vector(series(result, |one| vec![point(&one["value"])])),
        "matrix" => Found::Matrix(series(result, |one| one["values"].as_array().unwrap().iter().map(point).collect())),
        other => panic!("what is a {other}?"),
    })
}

fn series(result: &Json, points: impl Fn(&Json) -> Points) -> Vec<(Labels, Points)> {
    let all = result.as_array().unwrap().iter();
    all.map(|one| {
        let metric = one["metric"].as_object().unwrap().iter();
        (metric.map(|(name, value)| (name, value.as_str().unwrap())).collect(), points(one))
    })
    .collect()
}

fn point(pair: &Json) -> (i64, f64) {
    let value = match pair[1].as_str().unwrap() {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        number => number.parse().unwrap(),
    };
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of this century")]
    let at_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
    (at_ms, value)
}

/// The same but for the last few bits. Exactly would be wrong: Go has its own `pow`, `exp` and trigonometry, and a range
/// query of Prometheus adds up calculated series in the order of a hash map, another one each time.
fn close(a: f64, b: f64) -> bool {
    const RELATIVE: f64 = 1e-12;
    a.total_cmp(&b).is_eq() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= RELATIVE * a.abs().max(b.abs())
}

fn same_series(ours: &[(Labels, Points)], theirs: &[(Labels, Points)], ordered: bool) -> bool {
    let sorted = |series: &[(Labels, Points)]| {
        let mut series = series.to_vec();
        if !ordered {
            series.sort_by(|a, b| a.0.cmp(&b.0));
        }
        series
    };
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    let same_points = |ours: &Points, theirs: &Points| {
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| a.0 == b.0 && close(a.1, b.1))
    };
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(a, b)| a.0 == b.0 && same_points(&a.1, &b.1))
}

/// True if both failed, or both found the same. The order of an instant vector counts if the query asks for one.
pub(crate) fn agree(ours: &Answer, theirs: &Answer, ordered: bool) -> bool {
    match (ours, theirs) {
        (Err(_), Err(_)) => true,
        (Ok(Found::Text(ours)), Ok(Found::Text(theirs))) => ours == theirs,
        (Ok(Found::Scalar(at, ours)), Ok(Found::Scalar(at_theirs, theirs))) => at == at_theirs && close(*ours, *theirs),
        (Ok(Found::Vector(ours)), Ok(Found::Vector(theirs))) => same_series(ours, theirs, ordered),
        (Ok(Found::Matrix(ours)), Ok(Found::Matrix(theirs))) => same_series(ours, theirs, false),
        (Ok(_) | Err(_), Ok(_) | Err(_)) => false,
    }
}

#[test]
fn answers_that_differ_do_not_agree() {
    let vector = |value: f64, labels: &[(&str, &str)]| {
        Ok(Found::Vector(vec![(labels.iter().copied().collect(), vec![(0, value)])]))
    };
    let one = vector(1.0, &[("a", "b")]);
    assert!(agree(&one, &vector(1.0 + 1e-13, &[("a", "b")]), true));
    for other in [
        vector(1.0 + 1e-11, &[("a", "b")]),
        vector(1.0, &[("a", "c")]),
        vector(f64::NAN, &[("a", "b")]),
        Err(String::new()),
    ] {
        assert!(!agree(&one, &other, false), "{other:?}");
    }
}
