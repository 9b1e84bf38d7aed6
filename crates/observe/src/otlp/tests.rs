use std::sync::Mutex;

use super::message::*;
use super::*;

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

fn word(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::Text(value.into()))
}

fn point(value: f64, attributes: Vec<KeyValue>) -> NumberPoint {
    NumberPoint { attributes, time_unix_nano: 1_500_000_000, value: Some(Number::Double(value)), flags: 0 }
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.into(), unit: unit.into(), data: Some(data) }
}

fn sum(is_monotonic: bool, temporality: i32) -> Data {
    Data::Sum(message::Sum { points: vec![point(5.0, vec![word("http.method", "GET")])], temporality, is_monotonic })
}

fn body(metrics: Vec<Metric>) -> Vec<u8> {
    let attributes = vec![
        word("service.name", "shop"),
        word("service.namespace", "web"),
        word("service.instance.id", "1"),
        word("host.name", "pad"),
        attribute("tags", Any::Array(ArrayValue { values: vec![AnyValue { value: Some(Any::Int(1)) }] })),
    ];
    let scope = Scope { name: "meter".into(), version: "2".into() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics }];
    let resource = ResourceMetrics { resource: Some(Resource { attributes }), scope_metrics };
    message::Request { resource_metrics: vec![resource] }.encode_to_vec()
}

fn told(metrics: Vec<Metric>) -> String {
    let translated = translate(&body(metrics)).unwrap();
    let common = r#"instance="1", job="web/shop", otel_scope_name="meter", otel_scope_version="2""#;
    let line = |(labels, sample): &(Labels, Sample)| {
        let value = if sample.is_stale() { "stale".to_owned() } else { sample.value.to_string() };
        format!("{} {value} at {}", labels.to_string().replace(common, "COMMON"), sample.timestamp)
    };
    let refused = translated.reasons.iter().map(|reason| format!("{} refused: {reason}", translated.rejected));
    translated.samples.iter().map(line).chain(refused).collect::<Vec<_>>().join("\n")
}

#[test]
fn numbers_become_series_with_units_and_totals() {
    let gone = NumberPoint { flags: NO_VALUE, ..point(1.0, Vec::new()) };
    let metrics = vec![
        metric("requests", "{request}", sum(true, CUMULATIVE)),
        metric("queue", "1", sum(false, CUMULATIVE)),
        metric("temp", "Cel", Data::Gauge(message::Gauge { points: vec![gone] })),
    ];
    insta::assert_snapshot!(told(metrics), @r#"
    requests_total{http_method="GET", COMMON} 5 at 1500
    queue_ratio{http_method="GET", COMMON} 5 at 1500
    temp_celsius{COMMON} stale at 1500
    target_info{host_name="pad", instance="1", job="web/shop", tags="[1]"} 1 at 1500
    "#);
}

#[test]
fn histograms_become_cumulative_buckets() {
    let histogram = HistogramPoint {
        attributes: Vec::new(),
        time_unix_nano: 2_000_000,
        count: 6,
        sum: Some(1.25),
        bucket_counts: vec![1, 2, 3],
        explicit_bounds: vec![0.5, 10.0],
        flags: 0,
    };
    let summary = SummaryPoint {
        attributes: Vec::new(),
        time_unix_nano: 2_000_000,
        count: 2,
        sum: 3.0,
        quantiles: vec![Quantile { quantile: 0.99, value: 2.0 }],
        flags: 0,
    };
    let metrics = vec![
        metric(
            "duration",
            "s",
            Data::Histogram(message::Histogram { points: vec![histogram], temporality: CUMULATIVE }),
        ),
        metric("size", "By", Data::Summary(message::Summary { points: vec![summary] })),
    ];
    insta::assert_snapshot!(told(metrics), @r#"
    duration_seconds_bucket{instance="1", job="web/shop", le="0.5", otel_scope_name="meter", otel_scope_version="2"} 1 at 2
    duration_seconds_bucket{instance="1", job="web/shop", le="10", otel_scope_name="meter", otel_scope_version="2"} 3 at 2
    duration_seconds_bucket{instance="1", job="web/shop", le="+Inf", otel_scope_name="meter", otel_scope_version="2"} 6 at 2
    duration_seconds_count{COMMON} 6 at 2
    duration_seconds_sum{COMMON} 1.25 at 2
    size_bytes{COMMON, quantile="0.99"} 2 at 2
    size_bytes_count{COMMON} 2 at 2
    size_bytes_sum{COMMON} 3 at 2
    target_info{host_name="pad", instance="1", job="web/shop", tags="[1]"} 1 at 2
    "#);
}

#[test]
fn what_can_not_be_told_is_refused_by_name_and_the_rest_is_taken() {
    let exponential = Uncounted { points: vec![Vec::new(), Vec::new()] };
    let metrics = vec![
        metric("delta", "", sum(true, 1)),
        metric("exponential", "", Data::ExponentialHistogram(exponential)),
        metric("é", "", sum(false, CUMULATIVE)),
        metric("good", "", sum(false, CUMULATIVE)),
    ];
    let told = told(metrics);
    assert!(told.contains("4 refused: delta has delta temporality"), "{told}");
    assert!(told.contains("4 refused: exponential is an exponential histogram"), "{told}");
    assert!(told.starts_with("good{"), "{told}");
}

#[test]
fn keys_that_become_the_same_name_are_joined() {
    let attributes = vec![word("a.b", "2"), word("a_b", "3"), word("a-b", "1"), word("", "x")];
    let metrics = vec![metric("m", "", Data::Gauge(message::Gauge { points: vec![point(1.0, attributes)] }))];
    assert!(told(metrics).starts_with(r#"m{a_b="1;2;3", COMMON} 1"#));
}

#[test]
fn a_number_that_looks_like_a_marker_is_a_number() {
    let value = Sample::stale(0).value;
    let metrics = vec![metric("m", "", Data::Gauge(message::Gauge { points: vec![point(value, Vec::new())] }))];
    assert!(told(metrics).starts_with("m{COMMON} NaN"));
}

#[test]
fn bodies_are_unpacked_within_their_limit() {
    let zip = |body: &[u8]| {
        let mut out = Vec::new();
        flate2::read::GzEncoder::new(body, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
        out
    };
    let protobuf = "application/x-protobuf";
    assert_eq!(unpacked(protobuf, "gzip", &zip(b"abc")).unwrap(), &b"abc"[..]);
    assert_eq!(unpacked(protobuf, "", b"abc").unwrap(), &b"abc"[..]);
    let bomb = zip(&vec![0; 4 * REQUEST_BYTES_MAX]);
    assert_eq!(unpacked(protobuf, "gzip", &bomb).unwrap().len(), REQUEST_BYTES_MAX + 1);
    assert_eq!(unpacked(protobuf, "gzip", b"abc").unwrap_err().status(), 400);
    assert_eq!(unpacked(protobuf, "zstd", b"abc").unwrap_err().status(), 415);
    let json = unpacked("application/json; charset=utf-8", "", b"{}").unwrap_err();
    assert!(json.status() == 415 && json.to_string().contains("http/protobuf"), "{json}");
}

/// Keeps how many samples came.
struct Counter(Mutex<usize>);

impl Append for Counter {
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
        *self.0.lock().unwrap() += batch.len();
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }
}

#[test]
fn broken_and_hostile_requests_are_refused() {
    let counter = Counter(Mutex::new(0));
    let whole = body(vec![metric("delta", "", sum(true, 1)), metric("good", "", sum(false, CUMULATIVE))]);
    for end in 1..whole.len() {
        assert_eq!(receive(&whole[..end], &counter).unwrap_err().status(), 400, "{end}");
    }
    assert_eq!(*counter.0.lock().unwrap(), 0);
    let exported = receive(&whole, &counter).unwrap();
    let answer = message::Response::decode(exported.response().as_slice()).unwrap().partial_success.unwrap();
    assert_eq!(answer.rejected_data_points, 1);
    assert!(receive(b"", &counter).unwrap().response().is_empty());
    assert_eq!(receive(&vec![0; REQUEST_BYTES_MAX + 1], &counter).unwrap_err().status(), 413);
    // Values that nest deeper than the decoder allows.
    let mut deep = AnyValue { value: Some(Any::Bool(true)) };
    for _ in 0..200 {
        deep = AnyValue { value: Some(Any::Array(ArrayValue { values: vec![deep] })) };
    }
    let attribute = KeyValue { key: "k".into(), value: Some(deep) };
    let resource =
        ResourceMetrics { resource: Some(Resource { attributes: vec![attribute] }), scope_metrics: Vec::new() };
    let deep = message::Request { resource_metrics: vec![resource] }.encode_to_vec();
    assert_eq!(receive(&deep, &counter).unwrap_err().status(), 400);
}
