//! OpenTelemetry's own SDK for Python sends metrics of every kind.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use prograde_observe::otlp::{Encoding, Receiver};
use prograde_observe::{Labels, Sample};

use super::peer;
use super::receiving::{Recorder, take_in};

const PROGRAM: &str = r#"
import sys
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

resource = Resource.create({"service.name": "shop", "service.instance.id": "i-1", "host.name": "pad"})
reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=sys.argv[1], timeout=30), 3_600_000)
views = [
    View(instrument_name="duration", aggregation=ExplicitBucketHistogramAggregation([0.1, 1])),
    View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation()),
]
provider = MeterProvider(resource=resource, metric_readers=[reader], views=views)
meter = provider.get_meter("tests", "1.2")
meter.create_counter("http.requests", unit="{request}").add(3, {"http.method": "GET"})
meter.create_up_down_counter("queue.length").add(-2)
meter.create_observable_gauge("pressure", [lambda _: [Observation(0.5, {"tank": "é"})]], unit="1")
meter.create_histogram("exponential").record(1)
duration = meter.create_histogram("duration", unit="s")
for value in (0.05, 0.5, 5):
    duration.record(value)
provider.shutdown()
"#;

/// Numbers, and histograms as text.
type Written = (Vec<(Labels, Sample)>, Vec<String>);

/// What a program of the SDK sends, given the preferred temporality, and what was said of it.
fn sent(program: &str, temporality: &str) -> Option<(Written, Vec<String>)> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/opentelemetry/bin/python");
    if !python.exists() {
        peer::missing("opentelemetry");
        return None;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1/metrics", listener.local_addr().unwrap());
    let (recorder, reasons) = (Arc::new(Recorder::default()), Arc::<Mutex<Vec<String>>>::default());
    let (kept, told) = (Arc::clone(&recorder), Arc::clone(&reasons));
    std::thread::spawn(move || {
        let receiver = Receiver::default();
        take_in(&listener, |body| match receiver.receive(body, Encoding::Protobuf, &*kept) {
            Ok(exported) => {
                told.lock().unwrap().extend(exported.reasons.clone());
                (200, exported.response(Encoding::Protobuf))
            }
            Err(error) => {
                told.lock().unwrap().push(error.to_string());
                (error.status(), Vec::new())
            }
        });
    });
    let output = Command::new(python)
        .args(["-c", program, &url])
        .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = (recorder.0.lock().unwrap().clone(), recorder.1.lock().unwrap().clone());
    let reasons = reasons.lock().unwrap().clone();
    Some((written, reasons))
}

#[test]
fn the_sdk_for_python_sends_metrics() {
    let Some(((written, histograms), reasons)) = sent(PROGRAM, "cumulative") else { return };
    let common = r#"instance="i-1", job="shop""#;
    let scope = r#"otel_scope_name="tests", otel_scope_version="1.2""#;
    let mut lines: Vec<String> = written.iter().map(|(labels, sample)| format!("{labels} {}", sample.value)).collect();
    lines.retain(|line| !line.starts_with("target_info"));
    lines.sort();
    let wanted = [
        format!(r#"duration_seconds_bucket{{{common}, le="+Inf", {scope}}} 3"#),
        format!(r#"duration_seconds_bucket{{{common}, le="0.1", {scope}}} 1"#),
        format!(r#"duration_seconds_bucket{{{common}, le="1", {scope}}} 2"#),
        format!("duration_seconds_count{{{common}, {scope}}} 3"),
        format!("duration_seconds_sum{{{common}, {scope}}} 5.55"),
        format!(r#"http_requests_total{{http_method="GET", {common}, {scope}}} 3"#),
        format!(r#"pressure_ratio{{{common}, {scope}, tank="é"}} 0.5"#),
        format!("queue_length{{{common}, {scope}}} -2"),
    ];
    assert_eq!(lines, wanted);
    let info = written.iter().find(|(labels, _)| labels.get("__name__") == "target_info").unwrap();
    assert_eq!((info.0.get("host_name"), info.0.get("telemetry_sdk_language")), ("pad", "python"));
    assert!(reasons.is_empty(), "{reasons:?}");
    // One observation of 1, which is the upper bound of its bucket, at the SDK's narrowest scale, which is too narrow here.
    let [histogram] = histograms.as_slice() else { panic!("{histograms:?}") };
    let wanted = format!("exponential{{{common}, {scope}}} {{count:1, sum:1, (0.9972");
    assert!(histogram.starts_with(&wanted) && histogram.ends_with(",1]:1}"), "{histogram}");
}

const DELTAS: &str = r#"
import sys
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, ExplicitBucketHistogramAggregation, View

reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=sys.argv[1], timeout=30), 3_600_000)
views = [
    View(instrument_name="duration", aggregation=ExplicitBucketHistogramAggregation([1])),
    View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation(max_scale=0)),
]
provider = MeterProvider(metric_readers=[reader], views=views)
meter = provider.get_meter("tests")
counter, duration = meter.create_counter("requests"), meter.create_histogram("duration")
exponential = meter.create_histogram("exponential")
for value in (3, 4):
    counter.add(value)
    duration.record(value / 3)
    exponential.record(value)
    provider.force_flush()
provider.shutdown()
"#;

#[test]
fn the_sdk_for_python_sends_deltas() {
    let Some(((written, histograms), reasons)) = sent(DELTAS, "delta") else { return };
    assert!(reasons.is_empty(), "{reasons:?}");
    let of = |name: &str, le: &str| -> Vec<f64> {
        let found = written.iter().filter(|(labels, _)| labels.get("__name__") == name && labels.get("le") == le);
        found.map(|(_, sample)| sample.value).collect()
    };
    assert_eq!(of("requests_total", ""), [3.0, 7.0], "{written:?}");
    assert_eq!(of("duration_bucket", "1"), [1.0, 1.0]);
    assert_eq!(of("duration_bucket", "+Inf"), [1.0, 2.0]);
    assert_eq!(of("duration_sum", ""), [1.0, 1.0 + 4.0 / 3.0]);
    let told: Vec<&str> = histograms.iter().filter_map(|line| line.split_once("} ")).map(|(_, told)| told).collect();
    assert_eq!(told, ["{count:1, sum:3, (2,4]:1}", "{count:2, sum:7, (2,4]:2}"]);
}
