//! Metrics that OpenTelemetry's SDKs and collectors send: OTLP over HTTP, in Protocol Buffers.
//!
//! Taken are gauges, cumulative sums, histograms with explicit buckets, and summaries. What can't be told as Prometheus'
//! series is refused by name, and the rest of the request is taken, as the protocol wants it: deltas, whose sums would need
//! a memory of all series, and exponential histograms. Exemplars are left out.
//!
//! A resource is known by `job` and `instance`; what else it says about itself is in `target_info`.
//!
//! Source: OpenTelemetry specification, "OTLP 1.x", "Prometheus and OpenMetrics compatibility"; opentelemetry-proto 1.x.

mod message;
mod name;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use prost::Message as _;

use crate::append::{Append, Appended, Incoming};
use crate::labels::{BUCKET, Labels, METRIC_NAME};
use crate::sample::Sample;
use crate::store::StoreError;
use message::{Any, AnyValue, Data, HistogramPoint, KeyValue, Metric, Number, NumberPoint, SummaryPoint};

/// The largest request, unpacked.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Reasons that are told for one request.
const REASONS_MAX: usize = 10;
/// `DataPointFlags`: there is no value; the series has ended.
const NO_VALUE: u32 = 1;
/// `AggregationTemporality`
const CUMULATIVE: i32 = 2;

/// What is said of deltas.
const DELTA: &str = "has delta temporality, which can't be stored: set \
                     OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative, or use the collector's deltatocumulative";
/// What is said of exponential histograms.
const EXPONENTIAL: &str = "is an exponential histogram, which can't be stored: set \
                           OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=explicit_bucket_histogram";

/// Why a request is not taken at all.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// It is larger than is read.
    #[error("the request has {0} bytes, more than the {REQUEST_BYTES_MAX} that are read: send smaller batches")]
    TooLarge(usize),
    /// It is written otherwise than is read.
    #[error(
        "a request in `{0}` can't be read: send Protocol Buffers (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf), plain or in gzip"
    )]
    Encoding(String),
    /// It is not gzip.
    #[error("the request can't be unpacked: {0}")]
    Gzip(#[from] std::io::Error),
    /// It is no export request.
    #[error("the request can't be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The sender should try again.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OtlpError {
    /// The HTTP status: after 400 the sender gives up, after 503 it tries again.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge(_) => 413,
            Self::Encoding(_) => 415,
            Self::Gzip(_) | Self::Decode(_) => 400,
            Self::Store(_) => 503,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// What the store says.
    pub appended: Appended,
    /// Data points that were refused.
    pub rejected: u64,
    /// Why; empty if none were.
    pub reasons: Vec<String>,
}

impl Exported {
    /// The body of the answer, an `ExportMetricsServiceResponse`.
    pub fn response(&self) -> Vec<u8> {
        let partial = message::PartialSuccess {
            rejected_data_points: i64::try_from(self.rejected).unwrap_or(i64::MAX),
            error_message: self.reasons.join("; "),
        };
        let is_whole = self.rejected == 0 && self.reasons.is_empty();
        message::Response { partial_success: (!is_whole).then_some(partial) }.encode_to_vec()
    }
}

/// A request's body as [`receive`] takes it, given `Content-Type` and `Content-Encoding`.
pub fn unpacked<'a>(content_type: &str, encoding: &str, body: &'a [u8]) -> Result<Cow<'a, [u8]>, OtlpError> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(OtlpError::Encoding(media.chars().take(100).collect()));
    }
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(Cow::Borrowed(body));
    }
    if !encoding.eq_ignore_ascii_case("gzip") {
        return Err(OtlpError::Encoding(encoding.chars().take(100).collect()));
    }
    let mut out = Vec::new();
    // One more than is read, so that a larger one is told from one that just fits.
    flate2::read::MultiGzDecoder::new(body).take(REQUEST_BYTES_MAX as u64 + 1).read_to_end(&mut out)?;
    Ok(Cow::Owned(out))
}

/// Stores what a request's body holds.
pub fn receive(body: &[u8], append: &dyn Append) -> Result<Exported, OtlpError> {
    let translated = translate(body)?;
    let batch = translated.samples.iter().map(|(labels, sample)| Incoming { labels, sample: *sample });
    let appended = append.append(&batch.collect::<Vec<_>>())?;
    Ok(Exported { appended, rejected: translated.rejected, reasons: translated.reasons })
}

/// A request as series.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    pub(crate) samples: Vec<(Labels, Sample)>,
    pub(crate) rejected: u64,
    pub(crate) reasons: Vec<String>,
}

fn translate(body: &[u8]) -> Result<Translated, OtlpError> {
    if body.len() > REQUEST_BYTES_MAX {
        return Err(OtlpError::TooLarge(body.len()));
    }
    let request = message::Request::decode(body)?;
    let mut out = Translated::default();
    for resource in &request.resource_metrics {
        let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let identity = identity(attributes);
        let begin = out.samples.len();
        for scope in &resource.scope_metrics {
            let mut common = identity.clone();
            if let Some(scope) = &scope.scope {
                common = common.with("otel_scope_name", &scope.name).with("otel_scope_version", &scope.version);
            }
            for metric in &scope.metrics {
                out.metric(metric, &common);
            }
        }
        let last = out.samples.get(begin..).unwrap_or_default().iter().map(|(_, sample)| sample.timestamp).max();
        if let Some(timestamp) = last {
            out.samples.extend(info(attributes, &identity).map(|labels| (labels, Sample { timestamp, value: 1.0 })));
        }
    }
    Ok(out)
}

/// `job` and `instance`.
fn identity(attributes: &[KeyValue]) -> Labels {
    let get = |key: &str| attributes.iter().find(|one| one.key == key).map(text).unwrap_or_default();
    let (namespace, service) = (get("service.namespace"), get("service.name"));
    let job = if namespace.is_empty() || service.is_empty() { service } else { format!("{namespace}/{service}") };
    [("job", job), ("instance", get("service.instance.id"))].into_iter().collect()
}

/// `target_info`, where there is anything to tell and something to tell it of.
fn info(attributes: &[KeyValue], identity: &Labels) -> Option<Labels> {
    let is_identity = |key: &str| ["service.namespace", "service.name", "service.instance.id"].contains(&key);
    let others: Vec<&KeyValue> = attributes.iter().filter(|one| !is_identity(&one.key)).collect();
    if others.is_empty() || identity.is_empty() {
        return None;
    }
    Some(with_attributes(identity, others.into_iter()).with(METRIC_NAME, "target_info"))
}

/// Labels of attributes. Keys that become the same name have their values joined, in the order of the keys.
fn with_attributes<'a>(common: &Labels, attributes: impl Iterator<Item = &'a KeyValue>) -> Labels {
    let mut sorted: Vec<&KeyValue> = attributes.collect();
    sorted.sort_by(|one, other| one.key.cmp(&other.key));
    let mut named: BTreeMap<String, String> = BTreeMap::new();
    for attribute in sorted.into_iter().filter(|attribute| !attribute.key.is_empty()) {
        let value = text(attribute);
        named
            .entry(name::label(&attribute.key))
            .and_modify(|joined| {
                joined.push(';');
                joined.push_str(&value);
            })
            .or_insert(value);
    }
    let own = named.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    own.chain(common.iter().map(|label| (&*label.name, &*label.value))).collect()
}

fn text(attribute: &KeyValue) -> String {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        None => String::new(),
        Some(Any::Text(text)) => text.clone(),
        Some(other) => json(other).to_string(),
    }
}

/// A value that is no text is told as JSON. Messages nest no deeper than the decoder allows, which is 100.
fn json(value: &Any) -> serde_json::Value {
    let inner = |value: &AnyValue| value.value.as_ref().map_or(serde_json::Value::Null, json);
    match value {
        Any::Text(text) => text.as_str().into(),
        Any::Bool(flag) => (*flag).into(),
        Any::Int(number) => (*number).into(),
        Any::Double(number) => (*number).into(),
        Any::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Any::Array(array) => array.values.iter().map(inner).collect(),
        Any::Map(map) => {
            let pair = |one: &KeyValue| (one.key.clone(), one.value.as_ref().map_or(serde_json::Value::Null, inner));
            serde_json::Value::Object(map.values.iter().map(pair).collect())
        }
    }
}

fn milliseconds(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds / 1_000_000).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are floating")]
fn float(count: u64) -> f64 {
    count as f64
}

impl Translated {
    fn reject(&mut self, metric: &Metric, points: usize, why: &str) {
        self.rejected += points as u64;
        if self.reasons.len() < REASONS_MAX {
            let name: String = metric.name.chars().take(100).collect();
            self.reasons.push(format!("{name} {why}"));
        }
    }

    fn metric(&mut self, metric: &Metric, common: &Labels) {
        let (points, is_counter, is_gauge) = match &metric.data {
            None => return,
            Some(Data::Gauge(gauge)) => (gauge.points.len(), false, true),
            Some(Data::Sum(sum)) if sum.temporality != CUMULATIVE => {
                return self.reject(metric, sum.points.len(), DELTA);
            }
            Some(Data::Sum(sum)) => (sum.points.len(), sum.is_monotonic, !sum.is_monotonic),
            Some(Data::Histogram(histogram)) if histogram.temporality != CUMULATIVE => {
                return self.reject(metric, histogram.points.len(), DELTA);
            }
            Some(Data::Histogram(histogram)) => (histogram.points.len(), false, false),
            Some(Data::ExponentialHistogram(refused)) => {
                return self.reject(metric, refused.points.len(), EXPONENTIAL);
            }
            Some(Data::Summary(summary)) => (summary.points.len(), false, false),
        };
        let name = name::metric(&metric.name, &metric.unit, is_counter, is_gauge);
        if name.is_empty() {
            return self.reject(metric, points, "has no letter that a name may have");
        }
        match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.points.iter().for_each(|point| self.number(&name, point, common)),
            Some(Data::Sum(sum)) => sum.points.iter().for_each(|point| self.number(&name, point, common)),
            Some(Data::Histogram(histogram)) => {
                for point in &histogram.points {
                    self.histogram(metric, &name, point, common);
                }
            }
            Some(Data::Summary(summary)) => {
                summary.points.iter().for_each(|point| self.summary(&name, point, common));
            }
            Some(Data::ExponentialHistogram(_)) | None => {}
        }
    }

    /// One sample; its value is a marker of staleness where the point has none.
    fn push(&mut self, labels: &Labels, name: &str, (time, flags): (u64, u32), value: f64) {
        let timestamp = milliseconds(time);
        let has_value = flags & NO_VALUE == 0;
        let sample = if has_value {
            // A number that looks like the marker is still a number.
            Sample { timestamp, value: if value.is_nan() { f64::NAN } else { value } }
        } else {
            Sample::stale(timestamp)
        };
        self.samples.push((labels.with(METRIC_NAME, name), sample));
    }

    fn number(&mut self, name: &str, point: &NumberPoint, common: &Labels) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are floating")]
        let value = match point.value {
            Some(Number::Double(value)) => value,
            Some(Number::Int(value)) => value as f64,
            None => 0.0,
        };
        let labels = with_attributes(common, point.attributes.iter());
        self.push(&labels, name, (point.time_unix_nano, point.flags), value);
    }

    fn histogram(&mut self, metric: &Metric, name: &str, point: &HistogramPoint, common: &Labels) {
        let has_buckets = !point.bucket_counts.is_empty();
        if has_buckets && point.bucket_counts.len() != point.explicit_bounds.len() + 1 {
            return self.reject(metric, 1, "has other than one bucket more than bounds");
        }
        let labels = with_attributes(common, point.attributes.iter());
        let at = (point.time_unix_nano, point.flags);
        let mut total = 0_u64;
        for (count, bound) in point.bucket_counts.iter().zip(&point.explicit_bounds) {
            total = total.saturating_add(*count);
            self.push(&labels.with(BUCKET, &bound.to_string()), &format!("{name}_bucket"), at, float(total));
        }
        self.push(&labels.with(BUCKET, "+Inf"), &format!("{name}_bucket"), at, float(point.count));
        self.push(&labels, &format!("{name}_count"), at, float(point.count));
        if let Some(sum) = point.sum {
            self.push(&labels, &format!("{name}_sum"), at, sum);
        }
    }

    fn summary(&mut self, name: &str, point: &SummaryPoint, common: &Labels) {
        let labels = with_attributes(common, point.attributes.iter());
        let at = (point.time_unix_nano, point.flags);
        for quantile in &point.quantiles {
            self.push(&labels.with("quantile", &quantile.quantile.to_string()), name, at, quantile.value);
        }
        self.push(&labels, &format!("{name}_count"), at, float(point.count));
        self.push(&labels, &format!("{name}_sum"), at, point.sum);
    }
}
