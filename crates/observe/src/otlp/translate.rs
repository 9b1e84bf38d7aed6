//! A request as Prometheus' series.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;

use super::delta::{Add, Deltas, Span};
use super::message::{
    Any, AnyValue, Data, ExponentialPoint, HistogramPoint, KeyValue, Metric, Number, NumberPoint, Request,
    ResourceMetrics, SummaryPoint,
};
use super::{exponential, name};
use crate::histogram::{Histogram, HistogramSample};
use crate::labels::{BUCKET, Labels, METRIC_NAME};
use crate::sample::Sample;

/// Reasons that are told for one request.
const REASONS_MAX: usize = 10;
/// `DataPointFlags`: there is no value; the series has ended.
pub(super) const NO_VALUE: u32 = 1;
/// `AggregationTemporality`
pub(super) const DELTA: i32 = 1;
/// `AggregationTemporality`
pub(super) const CUMULATIVE: i32 = 2;

/// A request as series.
#[derive(Debug, Default)]
pub(super) struct Translated {
    pub(super) samples: Vec<(Labels, Sample)>,
    pub(super) histograms: Vec<(Labels, HistogramSample)>,
    pub(super) rejected: u64,
    pub(super) reasons: Vec<String>,
}

/// A request as series. The sums of deltas are not kept yet.
pub(super) fn translate(request: &Request, sums: &mut Sums) -> Translated {
    let mut translation = Translation { out: Translated::default(), sums };
    for resource in &request.resource_metrics {
        translation.resource(resource);
    }
    translation.out
}

/// What has been counted in deltas.
#[derive(Debug, Default)]
pub(super) struct Sums {
    numbers: Deltas<f64>,
    histograms: Deltas<Counted>,
    exponential: Deltas<Histogram>,
}

impl Sums {
    /// Keeps what a request added, or forgets it.
    pub(super) fn end(&mut self, is_kept: bool) {
        if is_kept {
            self.numbers.keep();
            self.histograms.keep();
            self.exponential.keep();
        } else {
            self.numbers.forget();
            self.histograms.forget();
            self.exponential.forget();
        }
    }
}

/// What a histogram has counted.
#[derive(Debug, Clone)]
struct Counted {
    count: u64,
    sum: Option<f64>,
    buckets: Vec<u64>,
    bounds: Vec<f64>,
}

impl Add for Counted {
    fn add(&mut self, delta: &Self) -> bool {
        if self.bounds != delta.bounds || self.buckets.len() != delta.buckets.len() {
            return false;
        }
        self.count = self.count.saturating_add(delta.count);
        self.sum = self.sum.zip(delta.sum).map(|(one, other)| one + other);
        for (bucket, more) in self.buckets.iter_mut().zip(&delta.buckets) {
            *bucket = bucket.saturating_add(*more);
        }
        true
    }
}

/// A request on its way.
struct Translation<'a> {
    out: Translated,
    sums: &'a mut Sums,
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
        let name: String = metric.name.chars().take(100).collect();
        let reason = format!("{name} {why}");
        if self.reasons.len() < REASONS_MAX && !self.reasons.contains(&reason) {
            self.reasons.push(reason);
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
}

impl Translation<'_> {
    fn resource(&mut self, resource: &ResourceMetrics) {
        let attributes = resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let identity = identity(attributes);
        let (begin, begin_histograms) = (self.out.samples.len(), self.out.histograms.len());
        for scope in &resource.scope_metrics {
            let mut common = identity.clone();
            if let Some(scope) = &scope.scope {
                common = common.with("otel_scope_name", &scope.name).with("otel_scope_version", &scope.version);
            }
            for metric in &scope.metrics {
                self.metric(metric, &common);
            }
        }
        let floats = self.out.samples.get(begin..).unwrap_or_default().iter().map(|(_, sample)| sample.timestamp);
        let histograms = self.out.histograms.get(begin_histograms..).unwrap_or_default().iter();
        let last = floats.chain(histograms.map(|(_, sample)| sample.timestamp)).max();
        if let Some(timestamp) = last {
            let info = info(attributes, &identity);
            self.out.samples.extend(info.map(|labels| (labels, Sample { timestamp, value: 1.0 })));
        }
    }

    fn metric(&mut self, metric: &Metric, common: &Labels) {
        let Some(data) = &metric.data else { return };
        let (points, temporality, is_counter, is_gauge) = match data {
            Data::Gauge(gauge) => (gauge.points.len(), CUMULATIVE, false, true),
            Data::Sum(sum) => (sum.points.len(), sum.temporality, sum.is_monotonic, !sum.is_monotonic),
            Data::Histogram(histogram) => (histogram.points.len(), histogram.temporality, false, false),
            Data::ExponentialHistogram(histogram) => (histogram.points.len(), histogram.temporality, false, false),
            Data::Summary(summary) => (summary.points.len(), CUMULATIVE, false, false),
        };
        if ![DELTA, CUMULATIVE].contains(&temporality) {
            return self.out.reject(metric, points, "does not say whether it is cumulative or in deltas");
        }
        let name = name::metric(&metric.name, &metric.unit, is_counter, is_gauge);
        if name.is_empty() {
            return self.out.reject(metric, points, "has no letter that a name may have");
        }
        let of = Of { metric, name: &name, common, is_delta: temporality == DELTA };
        match data {
            Data::Gauge(gauge) => gauge.points.iter().for_each(|point| self.number(&of, point)),
            Data::Sum(sum) => sum.points.iter().for_each(|point| self.number(&of, point)),
            Data::Histogram(histogram) => histogram.points.iter().for_each(|point| self.histogram(&of, point)),
            Data::Summary(summary) => summary.points.iter().for_each(|point| self.summary(&of, point)),
            Data::ExponentialHistogram(histogram) => {
                histogram.points.iter().for_each(|point| self.exponential(&of, point));
            }
        }
    }

    fn number(&mut self, of: &Of<'_>, point: &NumberPoint) {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus' numbers are floating")]
        let mut value = match point.value {
            Some(Number::Double(value)) => value,
            Some(Number::Int(value)) => value as f64,
            None => 0.0,
        };
        let labels = with_attributes(of.common, point.attributes.iter());
        if of.is_delta && point.flags & NO_VALUE == 0 {
            let span = Span { start_ns: point.start_time_unix_nano, end_ns: point.time_unix_nano };
            match self.sums.numbers.add(&labels.with(METRIC_NAME, of.name), span, value) {
                Ok(total) => value = total,
                Err(error) => return self.out.reject(of.metric, 1, error.why()),
            }
        }
        self.out.push(&labels, of.name, (point.time_unix_nano, point.flags), value);
    }

    fn histogram(&mut self, of: &Of<'_>, point: &HistogramPoint) {
        let has_buckets = !point.bucket_counts.is_empty();
        if has_buckets && point.bucket_counts.len() != point.explicit_bounds.len() + 1 {
            return self.out.reject(of.metric, 1, "has other than one bucket more than bounds");
        }
        let labels = with_attributes(of.common, point.attributes.iter());
        let mut counted = Counted {
            count: point.count,
            sum: point.sum,
            buckets: point.bucket_counts.clone(),
            bounds: point.explicit_bounds.clone(),
        };
        if of.is_delta && point.flags & NO_VALUE == 0 {
            let span = Span { start_ns: point.start_time_unix_nano, end_ns: point.time_unix_nano };
            match self.sums.histograms.add(&labels.with(METRIC_NAME, of.name), span, counted) {
                Ok(total) => counted = total,
                Err(error) => return self.out.reject(of.metric, 1, error.why()),
            }
        }
        let at = (point.time_unix_nano, point.flags);
        let bucket = format!("{}_bucket", of.name);
        let mut total = 0_u64;
        for (count, bound) in counted.buckets.iter().zip(&counted.bounds) {
            total = total.saturating_add(*count);
            self.out.push(&labels.with(BUCKET, &bound.to_string()), &bucket, at, float(total));
        }
        self.out.push(&labels.with(BUCKET, "+Inf"), &bucket, at, float(counted.count));
        self.out.push(&labels, &format!("{}_count", of.name), at, float(counted.count));
        if let Some(sum) = counted.sum {
            self.out.push(&labels, &format!("{}_sum", of.name), at, sum);
        }
    }

    fn exponential(&mut self, of: &Of<'_>, point: &ExponentialPoint) {
        let labels = with_attributes(of.common, point.attributes.iter()).with(METRIC_NAME, of.name);
        let timestamp = milliseconds(point.time_unix_nano);
        let mut histogram = if point.flags & NO_VALUE == 0 {
            match exponential::native(point) {
                Ok(histogram) => histogram,
                Err(error) => return self.out.reject(of.metric, 1, &format!("can't be stored: {error}")),
            }
        } else {
            Histogram::stale()
        };
        if of.is_delta && !histogram.is_stale() {
            let span = Span { start_ns: point.start_time_unix_nano, end_ns: point.time_unix_nano };
            match self.sums.exponential.add(&labels, span, histogram) {
                Ok(total) => histogram = total,
                Err(error) => return self.out.reject(of.metric, 1, error.why()),
            }
        }
        self.out.histograms.push((labels, HistogramSample { timestamp, histogram: Arc::new(histogram) }));
    }

    fn summary(&mut self, of: &Of<'_>, point: &SummaryPoint) {
        let labels = with_attributes(of.common, point.attributes.iter());
        let at = (point.time_unix_nano, point.flags);
        for quantile in &point.quantiles {
            self.out.push(&labels.with("quantile", &quantile.quantile.to_string()), of.name, at, quantile.value);
        }
        self.out.push(&labels, &format!("{}_count", of.name), at, float(point.count));
        self.out.push(&labels, &format!("{}_sum", of.name), at, point.sum);
    }
}

/// Of what a point is.
struct Of<'a> {
    metric: &'a Metric,
    name: &'a str,
    common: &'a Labels,
    is_delta: bool,
}
