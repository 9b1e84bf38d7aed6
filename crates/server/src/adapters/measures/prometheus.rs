//! Prometheus' HTTP API v1, `/api/v1/query` (Prometheus documentation, "HTTP API", sections "Format overview", "Instant
//! queries" and "Expression query result formats"). Thanos, Mimir and `VictoriaMetrics` answer the same.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use jiff::Timestamp;
use prograde_control::ports::{MeasureError, Measurement};
use prograde_model::metric::{Found, PrometheusQuery};
use prograde_observe::{evaluate, promql};
use serde::Deserialize;
use serde_json::Value;

use super::{ANSWER_BYTES_MAX, HttpMeasures};
use crate::adapters::client::{Ask, Client};

/// How far a sample's time may be from ours, in seconds: Prometheus looks back for five minutes by default, and a sample
/// further away is a cache's, or the clocks differ.
const AGE_MAX_S: f64 = 300.0;
const NO_SERIES: &str = "the query gave no series";
const HISTOGRAM: &str = "has no number; use a function such as `histogram_quantile` on a native histogram";
const RANGE: &str = "is a range of samples; use an instant query, such as with `avg_over_time`";

/// Asks once. The time of evaluation is left to the provider, so that its clock and ours may differ by a little.
pub(super) async fn measure(
    measures: &HttpMeasures,
    query: &PrometheusQuery,
    measurement: &Measurement,
) -> Result<Found, MeasureError> {
    let Some(url) = &query.url else {
        return match &measures.elsewhere {
            Some(elsewhere) => elsewhere.number(&query.query, measurement.at, measurement.timeout).await,
            None => embedded(measures, query, measurement).await,
        };
    };
    let url = format!("{}/api/v1/query", url.trim_end_matches('/'));
    let uri = url.parse().map_err(|_| MeasureError::Answer("its address can't be used".into()))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    measures.tokens.add(&mut headers, &uri, query.bearer_token_file.as_deref()).await?;
    ask(&measures.client, (uri, headers), &query.query, measurement.at, measurement.timeout).await
}

/// Asks a query at an address, with what it is shown.
pub(crate) async fn ask(
    client: &Client,
    (uri, mut headers): (Uri, HeaderMap),
    query: &str,
    at: Timestamp,
    timeout: Duration,
) -> Result<Found, MeasureError> {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    let body = form(&[("query", query), ("timeout", &format!("{}ms", timeout.as_millis()))]);
    let bytes_max = ANSWER_BYTES_MAX;
    let answer = client.send(Ask { method: Method::POST, uri, headers, body, timeout, bytes_max }).await?;
    if !answer.whole {
        return Err(MeasureError::Answer(format!(
            "the answer is longer than {} KiB; aggregate the query to one number",
            ANSWER_BYTES_MAX / 1024
        )));
    }
    read(answer.status, &answer.body, at)
}

/// Asks the embedded store.
async fn embedded(
    measures: &HttpMeasures,
    query: &PrometheusQuery,
    measurement: &Measurement,
) -> Result<Found, MeasureError> {
    let expression =
        promql::parse(&query.query).map_err(|error| MeasureError::Answer(format!("the query: {error}")))?;
    let at_ms = measurement.at.as_millisecond();
    let asked = measures
        .store
        .ask(measurement.timeout, move |store, options| evaluate::instant(&expression, store, at_ms, options));
    let answer = asked.await.map_err(|error| MeasureError::Unreachable(error.to_string()))?;
    match answer.map_err(|error| MeasureError::Answer(format!("the query: {error}")))? {
        evaluate::Value::Scalar(sample) => Ok(Found::number(sample.value)),
        evaluate::Value::Vector(vector) => match (vector.floats.as_slice(), vector.histograms.len()) {
            ([], 0) => Ok(Found::Nothing { why: NO_SERIES.into() }),
            ([], 1) => Err(strange(HISTOGRAM)),
            ([(_, sample)], 0) => Ok(Found::number(sample.value)),
            (floats, histograms) => Err(several(floats.len() + histograms)),
        },
        evaluate::Value::Matrix(_) => Err(strange(RANGE)),
        evaluate::Value::Text(_) => Err(strange("is a string, not a number")),
    }
}

/// Names and values as a form has them (WHATWG URL, section 5.2).
fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::new();
    for (name, value) in fields {
        if !body.is_empty() {
            body.push('&');
        }
        body.push_str(name);
        body.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => body.push(byte.into()),
                b' ' => body.push('+'),
                _ => body.extend([format!("%{byte:02X}")]),
            }
        }
    }
    body.into_bytes()
}

#[derive(Deserialize)]
struct ApiAnswer {
    status: String,
    data: Option<Data>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: Value,
}

/// What an answer means at `at`, our time.
fn read(status: StatusCode, body: &[u8], at: Timestamp) -> Result<Found, MeasureError> {
    let parsed = serde_json::from_slice::<ApiAnswer>(body);
    if status != StatusCode::OK {
        let detail = match &parsed {
            _ if status.is_redirection() => "redirects are not followed".to_owned(),
            Ok(answer) => answer.error.clone(),
            Err(_) => String::new(),
        };
        return Err(MeasureError::Refused { status: status.as_u16(), detail });
    }
    let answer = parsed.map_err(|_| strange("is not an answer of Prometheus' HTTP API"))?;
    let ("success", Some(data)) = (answer.status.as_str(), answer.data) else {
        return Err(strange(&format!("says that it failed: {}", answer.error)));
    };
    // What a provider warns of may be incomplete, such as an answer without one of its stores.
    if let Some(warning) = answer.warnings.first() {
        return Err(strange(&format!("comes with a warning: {warning}")));
    }
    match data.kind.as_str() {
        "scalar" => sample(&data.result, at),
        "vector" => vector(&data.result, at),
        "matrix" => Err(strange(RANGE)),
        kind @ "string" => Err(strange(&format!("is a {kind}, not a number"))),
        _ => Err(strange("is of an unknown kind")),
    }
}

fn vector(result: &Value, at: Timestamp) -> Result<Found, MeasureError> {
    let series = result.as_array().ok_or_else(|| strange("has no list of series"))?;
    match series.as_slice() {
        [] => Ok(Found::Nothing { why: NO_SERIES.into() }),
        [one] => match one.get("value") {
            Some(value) => sample(value, at),
            None => Err(strange(HISTOGRAM)),
        },
        more => Err(several(more.len())),
    }
}

/// `[seconds since 1970, "number"]`.
fn sample(value: &Value, at: Timestamp) -> Result<Found, MeasureError> {
    let strange_sample = || strange("has a sample that is not one");
    let [time, number] = value.as_array().map(Vec::as_slice).unwrap_or_default() else { return Err(strange_sample()) };
    let time = time.as_f64().ok_or_else(strange_sample)?;
    let number: f64 = number.as_str().and_then(|text| text.parse().ok()).ok_or_else(strange_sample)?;
    let age_s = at.as_duration().as_secs_f64() - time;
    if age_s.abs() > AGE_MAX_S {
        let direction = if age_s > 0.0 { "old" } else { "ahead" };
        let why =
            format!("its sample is {:.0} s {direction}: it comes from a cache, or the clocks differ", age_s.abs());
        return Ok(Found::Nothing { why });
    }
    Ok(Found::number(number))
}

fn several(count: usize) -> MeasureError {
    strange(&format!("has {count} series; aggregate them to one, such as with `max(...)`"))
}

fn strange(what: &str) -> MeasureError {
    MeasureError::Answer(format!("the answer {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(kind: &str, result: &Value) -> String {
        let whole = json!({"status": "success", "data": {"resultType": kind, "result": result}});
        match read(StatusCode::OK, whole.to_string().as_bytes(), Timestamp::from_second(1_000).unwrap()) {
            Ok(found) => format!("{found:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn one_number_is_a_number() {
        for (text, found) in [
            ("1.5", "Value(1.5)"),
            ("1e+06", "Value(1000000.0)"),
            ("+Inf", "Infinite { positive: true }"),
            ("-Inf", "Infinite { positive: false }"),
        ] {
            assert_eq!(answer("scalar", &json!([1_000.1, text])), found);
            assert_eq!(answer("vector", &json!([{"metric": {"a": "b"}, "value": [999, text]}])), found);
        }
        assert!(answer("scalar", &json!([1_000, "NaN"])).starts_with("Nothing"));
    }

    #[test]
    fn everything_else_says_what_it_is() {
        let one = json!({"metric": {}, "value": [1_000, "1"]});
        for (kind, result, told) in [
            ("vector", json!([]), "the query gave no series"),
            ("vector", json!([one, one]), "has 2 series; aggregate them"),
            ("vector", json!([{"metric": {}, "histogram": [1_000, {"count": "1"}]}]), "native histogram"),
            ("vector", json!({}), "has no list of series"),
            ("vector", json!([{"metric": {}, "value": [1_000, 1]}]), "a sample that is not one"),
            ("vector", json!([{"metric": {}, "value": []}]), "a sample that is not one"),
            ("scalar", json!("1"), "a sample that is not one"),
            ("scalar", json!([1_000, "one"]), "a sample that is not one"),
            ("scalar", json!([699, "1"]), "its sample is 301 s old"),
            ("scalar", json!([1_301, "1"]), "its sample is 301 s ahead"),
            ("string", json!([1_000, "1"]), "is a string, not a number"),
            ("matrix", json!([{"metric": {}, "values": [[1_000, "1"]]}]), "is a range of samples"),
            ("cube", json!([]), "of an unknown kind"),
        ] {
            let found = answer(kind, &result);
            assert!(found.contains(told), "{kind} {result}: {found}");
        }
        assert_eq!(answer("scalar", &json!([700, "1"])), "Value(1.0)");
    }

    #[test]
    fn failures_and_warnings_are_errors() {
        let told = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            read(status, body.as_bytes(), Timestamp::UNIX_EPOCH).unwrap_err().to_string()
        };
        let refused = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}"#;
        assert_eq!(told(400, refused), "answered 400: parse error: unexpected end");
        assert_eq!(told(500, "<html>"), "answered 500");
        assert_eq!(told(302, refused), "answered 302: redirects are not followed");
        assert_eq!(told(200, refused), "the answer says that it failed: parse error: unexpected end");
        for body in ["", "<html>", "null", "[]", "{\"status\":1}", &"[".repeat(60_000)] {
            assert_eq!(told(200, body), "the answer is not an answer of Prometheus' HTTP API", "{body:.20}");
        }
        let warned =
            r#"{"status":"success","warnings":["a store is down"],"data":{"resultType":"scalar","result":[0,"1"]}}"#;
        assert_eq!(told(200, warned), "the answer comes with a warning: a store is down");
    }

    #[test]
    fn queries_are_encoded_byte_by_byte() {
        let body = form(&[("query", "sum(rate(x{a=\"é&b=c\"}[5m])) + 1"), ("timeout", "10ms")]);
        let expected = "query=sum%28rate%28x%7Ba%3D%22%C3%A9%26b%3Dc%22%7D%5B5m%5D%29%29+%2B+1&timeout=10ms";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}
