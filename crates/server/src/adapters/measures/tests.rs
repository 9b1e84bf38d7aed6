//! Providers that answer as they should, and those that do anything else: over real connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::ports::{JobEnd, JobRun, Jobs, MeasureError, Measurement, Measures as _};
use prograde_model::ids::{Target, Weight};
use prograde_model::metric::{Found, MetricSource, PrometheusQuery, Request, Told, Webhook};
use prograde_observe::tsdb::{self, Database};
use prograde_observe::{Append as _, Incoming, Labels, Sample};
use serde_json::json;

use crate::metrics::Asking;

use super::HttpMeasures;

pub(super) fn measurement(source: MetricSource) -> Measurement {
    Measurement {
        source,
        target: Target { environment: "production".parse().unwrap(), service: "pad".parse().unwrap() },
        flight: "c".repeat(32).parse().unwrap(),
        commit: "d".repeat(40).parse().unwrap(),
        step: 1,
        weight: Weight::new(10).unwrap(),
        since: Timestamp::from_second(1_000).unwrap(),
        addresses: Vec::new(),
        timeout: Duration::from_secs(20),
        at: Timestamp::from_second(1_060).unwrap(),
    }
}

/// What a request said: its head, and its body.
type Said = (String, String);

/// A server on a port of its own that lets `act` do what it likes with each connection, and tells what was asked.
fn server(act: impl Fn(&mut TcpStream) + Send + 'static) -> (SocketAddr, Receiver<Said>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut top, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                top.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            // The test may have heard enough.
            drop(told.send((top, String::from_utf8(body).unwrap())));
            act(&mut stream);
            drop(stream.shutdown(Shutdown::Both));
        }
    });
    (address, heard)
}

/// A server that answers everything with a status line, headers and a body.
fn answers(status: &str, headers: &str, body: &str) -> (SocketAddr, Receiver<Said>) {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
    server(move |stream| drop(stream.write_all(text.as_bytes())))
}

fn prometheus(address: SocketAddr) -> MetricSource {
    let query =
        PrometheusQuery { url: Some(format!("http://{address}/prom/")), query: "up".into(), bearer_token_file: None };
    MetricSource::Prometheus(query)
}

fn webhook(address: SocketAddr) -> MetricSource {
    let headers = [("x-team".to_owned(), "pad".to_owned())].into();
    MetricSource::Webhook(Webhook { url: format!("http://{address}/judge?a=b"), headers, bearer_token_file: None })
}

pub(super) async fn measure(measurement: Measurement) -> Result<Found, MeasureError> {
    let dir = tempfile::tempdir().unwrap();
    HttpMeasures::new(None, Arc::new(NoJobs), store(dir.path(), &[])).measure(&measurement).await
}

/// A store that has series at the time of measurements.
fn store(folder: &Path, series: &[(&str, f64)]) -> Arc<Asking> {
    let timestamp = measurement(MetricSource::Requests(Vec::new())).at.as_millisecond();
    let database = Database::open(tsdb::Options::new(folder, timestamp)).unwrap();
    for (name, value) in series {
        let labels: Labels = [("__name__", "depth"), ("of", *name)].into_iter().collect();
        let sample = Sample { timestamp, value: *value };
        database.append(&[Incoming { labels: &labels, sample }]).unwrap();
    }
    Arc::new(Asking::new(Arc::new(database)))
}

#[tokio::test]
async fn the_embedded_store_answers_where_no_server_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), &[("a", 3.0), ("b", 4.0)]);
    let measures = HttpMeasures::new(None, Arc::new(NoJobs), store);
    let ask = async |query: &str| {
        let query = PrometheusQuery { url: None, query: query.into(), bearer_token_file: None };
        match measures.measure(&measurement(MetricSource::Prometheus(query))).await {
            Ok(found) => format!("{found:?}"),
            Err(error) => error.to_string(),
        }
    };
    assert_eq!(ask("sum(depth)").await, "Value(7.0)");
    assert_eq!(ask("scalar(max(depth)) / 2").await, "Value(2.0)");
    assert_eq!(ask("depth{of='c'}").await, "Nothing { why: \"the query gave no series\" }");
    assert!(ask("depth").await.contains("has 2 series; aggregate them to one"));
    assert!(ask("depth[5m]").await.contains("is a range of samples"));
    assert!(ask("'text'").await.contains("is a string"));
    assert!(ask("sum(").await.contains("the query: 1:5"), "{}", ask("sum(").await);
    assert!(ask("depth + on() group_left() depth").await.contains("the query: several series"));
}

const ONE: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1060,"1"]}]}}"#;

#[tokio::test]
async fn prometheus_is_asked_as_its_documentation_says() {
    let (address, heard) = answers("200 OK", "", ONE);
    assert_eq!(measure(measurement(prometheus(address))).await, Ok(Found::Value(1.0)));
    let (top, body) = heard.recv().unwrap();
    assert!(top.starts_with("POST /prom/api/v1/query HTTP/1.1\r\n"), "{top}");
    assert!(top.to_lowercase().contains("content-type: application/x-www-form-urlencoded"), "{top}");
    assert!(!top.to_lowercase().contains("authorization"), "{top}");
    assert_eq!(body, "query=up&timeout=20000ms");
}

#[tokio::test]
async fn a_token_goes_to_its_address_and_into_no_error() {
    let (address, heard) = answers("401 Unauthorized", "", "no");
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(address.to_string())).unwrap();
    std::fs::write(dir.path().join(address.to_string()).join("reader"), "s3cret").unwrap();
    let measures =
        HttpMeasures::new(Some(dir.path().to_owned()), Arc::new(NoJobs), store(&dir.path().join("metrics"), &[]));
    let mut asked = measurement(prometheus(address));
    let MetricSource::Prometheus(query) = &mut asked.source else { unreachable!() };
    query.bearer_token_file = Some("reader".into());
    let error = measures.measure(&asked).await.unwrap_err();
    assert!(heard.recv().unwrap().0.contains("Bearer s3cret"));
    assert_eq!(error.to_string(), "answered 401");
    assert!(!format!("{error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_webhook_is_told_what_is_judged() {
    let (address, heard) = answers("200 OK", "", r#"{"verdict":"fail","value":7.5,"reason":"too slow","more":1}"#);
    let found = measure(measurement(webhook(address))).await;
    assert_eq!(found, Ok(Found::Judged { told: Told::Fail, value: Some(7.5), reason: "too slow".into() }));
    let (top, body) = heard.recv().unwrap();
    assert!(top.starts_with("POST /judge?a=b HTTP/1.1\r\n") && top.to_lowercase().contains("x-team: pad"), "{top}");
    let expected = json!({"flight": "c".repeat(32), "service": "pad", "environment": "production",
        "commit": "d".repeat(40), "step": 1, "weight": 10, "since": "1970-01-01T00:16:40Z"});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn a_webhooks_answer_is_a_verdict_or_a_number() {
    for (status, body, told) in [
        ("200 OK", r#"{"verdict":"pass"}"#, r#"Ok(Judged { told: Pass, value: None, reason: "" })"#),
        ("200 OK", r#"{"verdict":"inconclusive","reason":"soon"}"#, "Inconclusive"),
        ("200 OK", r#"{"value":3}"#, "Ok(Value(3.0))"),
        ("200 OK", "{}", "not understood"),
        ("200 OK", r#"{"verdict":"maybe"}"#, "not understood"),
        ("200 OK", r#"{"verdict":"pass","value":NaN}"#, "not understood"),
        ("200 OK", "OK", "not understood"),
        ("204 No Content", "", "status: 204"),
        ("201 Created", r#"{"verdict":"pass"}"#, "status: 201"),
        ("500 Internal Server Error", r#"{"verdict":"pass"}"#, "status: 500"),
    ] {
        let (address, _heard) = answers(status, "", body);
        let found = format!("{:?}", measure(measurement(webhook(address))).await);
        assert!(found.contains(told), "{status} {body}: {found}");
    }
}

/// Both providers: what is hostile to one is hostile to the other.
async fn both(address: SocketAddr) -> [Result<Found, MeasureError>; 2] {
    [measure(measurement(prometheus(address))).await, measure(measurement(webhook(address))).await]
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (elsewhere, visits) = answers("200 OK", "", ONE);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let (address, _heard) = answers(status, &format!("location: http://{elsewhere}/\r\n"), "");
        for found in both(address).await {
            let error = found.unwrap_err().to_string();
            assert!(error.ends_with("redirects are not followed"), "{error}");
        }
    }
    assert!(visits.try_recv().is_err(), "nobody went there");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (address, _heard) = server(|stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"));
        let block = vec![b' '; 64 * 1024];
        for _ in 0..16_000 {
            if stream.write_all(&block).is_err() {
                return;
            }
        }
        unreachable!("all of it was read");
    });
    for found in both(address).await {
        let error = found.unwrap_err().to_string();
        assert!(error.contains("longer than 64 KiB"), "{error}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_in_time_is_left() {
    // One accepts and says nothing; one sends a byte now and then, for ever.
    let (silent, _heard) = server(|stream| drop(stream.read(&mut [0; 1])));
    let (slow, _heard) = server(|stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"));
        while stream.write_all(b" ").is_ok() {
            drop(stream.set_read_timeout(Some(Duration::from_millis(20))));
            drop(stream.read(&mut [0; 1]));
        }
    });
    for address in [silent, slow] {
        for source in [prometheus(address), webhook(address)] {
            let asked = Measurement { timeout: Duration::from_millis(300), ..measurement(source) };
            assert_eq!(measure(asked).await, Err(MeasureError::Timeout(Duration::from_millis(300))));
        }
    }
}

#[tokio::test]
async fn what_is_not_http_or_not_there_is_not_reached() {
    let (noise, _heard) = server(|stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")));
    let (closed, _heard) = server(|_| ());
    let (half, _heard) = server(|stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{")));
    let gone = SocketAddr::from(([127, 0, 0, 1], prograde_ports::free()));
    for address in [noise, closed, half, gone] {
        for found in both(address).await {
            let error = found.unwrap_err();
            assert!(matches!(error, MeasureError::Unreachable(_)), "{error:?}");
            assert!(!error.to_string().contains("judge"), "no address in it: {error}");
        }
    }
}

fn requests(fields: &serde_json::Value) -> MetricSource {
    MetricSource::Requests(serde_json::from_value::<Vec<Request>>(fields.clone()).unwrap())
}

async fn asked_of(addresses: &[SocketAddr], fields: &serde_json::Value) -> String {
    let measurement =
        Measurement { addresses: addresses.to_vec(), timeout: Duration::from_secs(2), ..measurement(requests(fields)) };
    match measure(measurement).await {
        Ok(Found::Judged { told, reason, .. }) => format!("{told:?}: {reason}"),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_are_answered_as_said_or_not() {
    let (one, first) = answers("200 OK", "", "status: well");
    let (two, second) = answers("404 Not Found", "location: http://127.0.0.1:1/\r\n", "");
    let good = json!([{"get": "/healthz", "body_contains": "well"}, {"get": "/none?a=1", "status": 404}]);
    assert_eq!(asked_of(&[one, two], &good).await, "Pass: 2 requests were answered as said");
    assert!(first.recv().unwrap().0.starts_with("GET /healthz HTTP/1.1"), "the replicas in turn");
    assert!(second.recv().unwrap().0.starts_with("GET /none?a=1 HTTP/1.1"));

    let get = |fields: serde_json::Value| json!([fields]);
    assert_eq!(asked_of(&[two], &get(json!({"get": "/"}))).await, "Fail: GET / answered 404, expected 200");
    assert_eq!(
        asked_of(&[one], &get(json!({"get": "/", "body_contains": "ill"}))).await,
        "Fail: the answer to GET / does not contain \"ill\""
    );
    let (moved, _heard) = answers("302 Found", &format!("location: http://{one}/\r\n"), "");
    assert_eq!(asked_of(&[moved], &get(json!({"get": "/"}))).await, "Fail: GET / answered 302, expected 200");
    assert_eq!(
        asked_of(&[moved], &get(json!({"get": "/", "status": 302}))).await,
        "Pass: the request was answered as said"
    );
    assert_eq!(asked_of(&[], &good).await, "Err(NoReplica)");
}

#[tokio::test]
async fn a_candidate_that_does_not_answer_fails() {
    let gone = SocketAddr::from(([127, 0, 0, 1], prograde_ports::free()));
    let told = asked_of(&[gone], &json!([{"get": "/"}])).await;
    assert!(told.starts_with("Fail: GET / was not answered: not reached"), "{told}");
    let (silent, _heard) = server(|stream| drop(stream.read(&mut [0; 1])));
    assert_eq!(asked_of(&[silent], &json!([{"get": "/"}])).await, "Fail: GET / was not answered within 2 s");
    let (endless, _heard) = server(|stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"));
        while stream.write_all(&[b' '; 4096]).is_ok() {}
    });
    let told = asked_of(&[endless], &json!([{"get": "/", "body_contains": "x"}])).await;
    assert_eq!(told, "Fail: the answer to GET / does not contain \"x\" in its first MiB");
}

/// Ends every job as its first argument says.
pub(super) struct NoJobs;

#[async_trait]
impl Jobs for NoJobs {
    async fn run(&self, job: JobRun) -> Result<JobEnd, String> {
        match job.args[0].as_str() {
            "good" => Ok(JobEnd::Passed),
            "env" => Ok(JobEnd::Failed { reason: format!("{:?}", job.env) }),
            _ => Err("no such program".into()),
        }
    }
}

#[tokio::test]
async fn a_job_ends_well_or_not_or_can_not_be_had() {
    let asked = async |what: &str, addresses: &[SocketAddr]| {
        let job = serde_json::from_value(json!({"args": [what], "env": {"DEEP": "1"}})).unwrap();
        let asked = Measurement { addresses: addresses.to_vec(), ..measurement(MetricSource::Job(job)) };
        match measure(asked).await {
            Ok(Found::Judged { told, reason, .. }) => format!("{told:?}: {reason}"),
            other => format!("{other:?}"),
        }
    };
    let address = SocketAddr::from(([127, 0, 0, 1], 4000));
    assert_eq!(asked("good", &[address]).await, "Pass: the job ended well");
    let told = asked("env", &[address]).await;
    assert!(
        told.starts_with("Fail: the job failed: {\"DEEP\": \"1\", \"PROGRADE_CANDIDATE\": \"127.0.0.1:4000\""),
        "{told}"
    );
    assert_eq!(asked("none", &[address]).await, "Err(Answer(\"the job did not run: no such program\"))");
    assert_eq!(asked("good", &[]).await, "Err(NoReplica)");
}
