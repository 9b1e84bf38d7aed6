use std::sync::Mutex;

use super::message::*;
use super::translate::{CUMULATIVE, DELTA, NO_VALUE, Sums, translate};
use super::*;
use crate::labels::Labels;
use crate::sample::Sample;

fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }) }
}

fn word(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::Text(value.into()))
}

fn point(value: f64, attributes: Vec<KeyValue>) -> NumberPoint {
    NumberPoint {
        attributes,
        start_time_unix_nano: 0,
        time_unix_nano: 1_500_000_000,
        value: Some(Number::Double(value)),
        flags: 0,
    }
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
    let request = message::Request::decode(body(metrics).as_slice()).unwrap();
    let translated = translate(&request, &mut Sums::default());
    let common = r#"instance="1", job="web/shop", otel_scope_name="meter", otel_scope_version="2""#;
    let line = |(labels, sample): &(Labels, Sample)| {
        let value = if sample.is_stale() { "stale".to_owned() } else { sample.value.to_string() };
        format!("{} {value} at {}", labels.to_string().replace(common, "COMMON"), sample.timestamp)
    };
    let refused = translated.reasons.iter().map(|reason| format!("{} refused: {reason}", translated.rejected));
    let native = translated.histograms.iter();
    let native = native.map(|(labels, sample)| {
        let told = if sample.histogram.is_stale() { "stale".to_owned() } else { sample.histogram.to_string() };
        format!("{} {told} at {}", labels.to_string().replace(common, "COMMON"), sample.timestamp)
    });
    translated.samples.iter().map(line).chain(native).chain(refused).collect::<Vec<_>>().join("\n")
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
        start_time_unix_nano: 0,
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
    let point = ExponentialPoint { scale: -5, ..ExponentialPoint::default() };
    let exponential = ExponentialHistogram { points: vec![point; 2], temporality: CUMULATIVE };
    let metrics = vec![
        metric("unsaid", "", sum(true, 0)),
        metric("exponential", "", Data::ExponentialHistogram(exponential)),
        metric("é", "", sum(false, CUMULATIVE)),
        metric("good", "", sum(false, CUMULATIVE)),
    ];
    let told = told(metrics);
    assert!(told.contains("4 refused: unsaid does not say"), "{told}");
    assert!(told.contains("4 refused: exponential can't be stored: its schema is -5"), "{told}");
    assert!(told.starts_with("good{"), "{told}");
}

#[test]
fn exponential_histograms_become_native_ones() {
    let buckets = |offset, counts: &[u64]| Some(Buckets { offset, bucket_counts: counts.to_vec() });
    let point = ExponentialPoint {
        time_unix_nano: 2_000_000,
        count: 6,
        sum: Some(1.25),
        scale: 1,
        zero_count: 1,
        positive: buckets(0, &[2, 0]),
        negative: buckets(2, &[3]),
        zero_threshold: 0.5,
        ..ExponentialPoint::default()
    };
    let gone = ExponentialPoint { flags: NO_VALUE, time_unix_nano: 3_000_000, ..ExponentialPoint::default() };
    let data = ExponentialHistogram { points: vec![point, gone], temporality: CUMULATIVE };
    insta::assert_snapshot!(told(vec![metric("size", "By", Data::ExponentialHistogram(data))]), @r#"
    target_info{host_name="pad", instance="1", job="web/shop", tags="[1]"} 1 at 3
    size_bytes{COMMON} {count:6, sum:1.25, [-2.8284271247461903,-2):3, [-0.5,0.5]:1, (1,1.4142135623730951]:2} at 2
    size_bytes{COMMON} stale at 3
    "#);
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
    assert_eq!(unpacked("gzip", &zip(b"abc")).unwrap(), &b"abc"[..]);
    assert_eq!(unpacked("", b"abc").unwrap(), &b"abc"[..]);
    let bomb = zip(&vec![0; 4 * REQUEST_BYTES_MAX]);
    assert_eq!(unpacked("gzip", &bomb).unwrap().len(), REQUEST_BYTES_MAX + 1);
    assert_eq!(unpacked("gzip", b"abc").unwrap_err().status(), 400);
    assert_eq!(unpacked("zstd", b"abc").unwrap_err().status(), 415);
    assert_eq!(Encoding::of("application/JSON; charset=utf-8").unwrap(), Encoding::Json);
    assert_eq!(Encoding::of("application/x-protobuf").unwrap(), Encoding::Protobuf);
    let text = Encoding::of("text/plain").unwrap_err();
    assert!(text.status() == 415 && text.to_string().contains("http/protobuf"), "{text}");
}

/// Keeps how many samples came.
struct Counter(Mutex<usize>);

impl Append for Counter {
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
        *self.0.lock().unwrap() += batch.len();
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }
}

fn receive(body: &[u8], counter: &Counter) -> Result<Exported, OtlpError> {
    Receiver::default().receive(body, Encoding::Protobuf, counter)
}

#[test]
fn broken_and_hostile_requests_are_refused() {
    let counter = Counter(Mutex::new(0));
    let whole = body(vec![metric("unsaid", "", sum(true, 0)), metric("good", "", sum(false, CUMULATIVE))]);
    for end in 1..whole.len() {
        assert_eq!(receive(&whole[..end], &counter).unwrap_err().status(), 400, "{end}");
    }
    assert_eq!(*counter.0.lock().unwrap(), 0);
    let exported = receive(&whole, &counter).unwrap();
    let answer =
        message::Response::decode(exported.response(Encoding::Protobuf).as_slice()).unwrap().partial_success.unwrap();
    assert_eq!(answer.rejected_data_points, 1);
    assert!(receive(b"", &counter).unwrap().response(Encoding::Protobuf).is_empty());
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

#[test]
fn exponential_deltas_in_json_are_added_up_at_the_wider_scale() {
    let receiver = Receiver::default();
    let send = |to: u32, scale: i32, offset: i32| {
        let point = format!(
            r#"{{"name": "e", "exponentialHistogram": {{"aggregationTemporality": 1, "dataPoints": [
                {{"startTimeUnixNano": "0", "timeUnixNano": "{to}000000", "count": "3", "sum": 0.5, "scale": {scale},
                  "zeroCount": "1", "positive": {{"offset": {offset}, "bucketCounts": ["1", "1"]}}}}]}}}}"#
        );
        in_json(&receiver, &point).0
    };
    let zero = "[-1e-128,1e-128]";
    assert_eq!(
        send(1, 1, 0),
        format!(
            r#"e{{job="shop"}} {{count:3, sum:0.5, {zero}:1, (1,1.4142135623730951]:1, (1.4142135623730951,2]:1}} at 1"#
        )
    );
    assert_eq!(
        send(2, 0, 1),
        format!(r#"e{{job="shop"}} {{count:6, sum:1, {zero}:2, (1,2]:2, (2,4]:1, (4,8]:1}} at 2"#)
    );
}

/// Writes what came as lines.
#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl Append for Lines {
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
        let line = |one: &Incoming<'_>| format!("{} {} at {}", one.labels, one.sample.value, one.sample.timestamp);
        self.0.lock().unwrap().extend(batch.iter().map(line));
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }

    fn append_histograms(&self, batch: &[IncomingHistogram<'_>]) -> Result<Appended, StoreError> {
        let line = |one: &IncomingHistogram<'_>| {
            format!("{} {} at {}", one.labels, one.sample.histogram, one.sample.timestamp)
        };
        self.0.lock().unwrap().extend(batch.iter().map(line));
        Ok(Appended { kept: batch.len(), ..Appended::default() })
    }
}

fn in_json(receiver: &Receiver, metrics: &str) -> (String, String) {
    let lines = Lines::default();
    let body = format!(
        r#"{{"resourceMetrics": [{{"resource": {{"attributes": [
            {{"key": "service.name", "value": {{"stringValue": "shop"}}}}]}}, "later": [1],
            "scopeMetrics": [{{"scope": null, "metrics": [{metrics}], "schemaUrl": "x"}}]}}]}}"#
    );
    let answer = match receiver.receive(body.as_bytes(), Encoding::Json, &lines) {
        Ok(exported) => String::from_utf8(exported.response(Encoding::Json)).unwrap(),
        Err(error) => error.to_string(),
    };
    (lines.0.into_inner().unwrap().join("\n"), answer)
}

#[test]
fn json_is_read_as_the_specification_writes_it() {
    let metrics = r#"
        {"name": "a", "gauge": {"dataPoints": [
            {"timeUnixNano": "1500000000", "asInt": "-9223372036854775808", "exemplars": [{"traceId": "5b8e"}]},
            {"timeUnixNano": 1600000000, "asDouble": "NaN", "attributes": [
                {"key": "k", "value": {"arrayValue": {"values": [{"intValue": 1}, {"boolValue": true}]}}},
                {"key": "b", "value": {"bytesValue": "AAE="}}]}]}},
        {"name": "b", "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": "2000000", "count": "3", "sum": 1.5, "bucketCounts": ["1", 2], "explicitBounds": [0.5]}]}},
        {"name": "c", "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [
            {"timeUnixNano": 2e6, "asDouble": 2.5, "flags": null}]}},
        {"name": "d", "summary": {"dataPoints": [
            {"timeUnixNano": "2000000", "count": 1, "sum": 2, "quantileValues": [{"quantile": 0.5, "value": 2}]}]}},
        {"name": "e"}"#;
    let (lines, answer) = in_json(&Receiver::default(), metrics);
    insta::assert_snapshot!(lines, @r#"
    a{job="shop"} -9223372036854776000 at 1500
    a{b="\"AAE=\"", job="shop", k="[1,true]"} NaN at 1600
    b_seconds_bucket{job="shop", le="0.5"} 1 at 2
    b_seconds_bucket{job="shop", le="+Inf"} 3 at 2
    b_seconds_count{job="shop"} 3 at 2
    b_seconds_sum{job="shop"} 1.5 at 2
    c_total{job="shop"} 2.5 at 2
    d{job="shop", quantile="0.5"} 2 at 2
    d_count{job="shop"} 1 at 2
    d_sum{job="shop"} 2 at 2
    "#);
    assert_eq!(answer, "{}");
}

#[test]
fn what_is_no_such_json_is_refused_by_field() {
    let of = |point: &str| {
        let metric = format!(r#"{{"name": "a", "gauge": {{"dataPoints": [{point}]}}}}"#);
        in_json(&Receiver::default(), &metric).1
    };
    assert!(of(r#"{"timeUnixNano": "x"}"#).ends_with("`timeUnixNano` is not a whole number"));
    assert!(of(r#"{"timeUnixNano": 1.5}"#).ends_with("`timeUnixNano` is not a whole number"));
    assert!(of(r#"{"timeUnixNano": -1}"#).ends_with("`timeUnixNano` is not a number of its size"));
    assert!(of(r#"{"asDouble": "five"}"#).ends_with("`asDouble` is not a number"));
    assert!(of("5").ends_with("`dataPoints` is not an object"));
    assert!(of(r#"{"attributes": {}}"#).ends_with("`attributes` is not a list"));
    assert!(of("{").contains("can't be read as JSON"));
    let deep = r#"{"arrayValue": {"values": ["#.repeat(100_000);
    let deep = Receiver::default().receive(deep.as_bytes(), Encoding::Json, &Lines::default()).unwrap_err();
    assert_eq!(deep.status(), 400);
    let answer: serde_json::Value = serde_json::from_slice(&deep.response(Encoding::Json, "deep")).unwrap();
    assert_eq!(answer, serde_json::json!({"code": 3, "message": "deep"}));
}

#[test]
fn deltas_are_added_up() {
    let receiver = Receiver::default();
    let send = |from: u32, to: u32, value: u32| {
        let times = format!(r#""startTimeUnixNano": "{from}000000", "timeUnixNano": "{to}000000""#);
        let sum = format!(
            r#"{{"name": "a", "sum": {{"aggregationTemporality": {DELTA}, "isMonotonic": true, "dataPoints": [
                {{{times}, "asInt": "{value}"}}]}}}}"#
        );
        let histogram = format!(
            r#"{{"name": "h", "histogram": {{"aggregationTemporality": {DELTA}, "dataPoints": [
                {{{times}, "count": {value}, "sum": 0.5, "bucketCounts": [{value}, 0], "explicitBounds": [1]}}]}}}}"#
        );
        in_json(&receiver, &format!("{sum}, {histogram}"))
    };
    assert!(send(1, 2, 3).0.starts_with("a_total{job=\"shop\"} 3 at 2"));
    let (lines, _) = send(2, 3, 4);
    insta::assert_snapshot!(lines, @r#"
    a_total{job="shop"} 7 at 3
    h_bucket{job="shop", le="1"} 7 at 3
    h_bucket{job="shop", le="+Inf"} 7 at 3
    h_count{job="shop"} 7 at 3
    h_sum{job="shop"} 1 at 3
    "#);
    let (lines, answer) = send(2, 3, 4);
    assert_eq!(lines, "");
    let partial = r#""errorMessage":"a has a delta that is not later than the one before it; h has a delta"#;
    assert!(answer.contains(partial) && answer.contains(r#""rejectedDataPoints":"2""#), "{answer}");
    let replaced = in_json_start(&receiver);
    assert!(replaced.contains("whose time begins before"), "{replaced}");
}

/// A delta of `a` whose time begins before the first one did.
fn in_json_start(receiver: &Receiver) -> String {
    let sum = r#"{"name": "a", "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [
        {"startTimeUnixNano": "5", "timeUnixNano": "9000000", "asInt": "1"}]}}"#;
    in_json(receiver, sum).1
}
