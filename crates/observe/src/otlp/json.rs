//! The messages of OTLP's metrics out of JSON.
//!
//! Keys are in camel case and no others, whole numbers of 64 bits are texts or numbers, enumerations are numbers, and what is
//! not known is passed over. Ids, which JSON has in hexadecimal, are only in exemplars, which are not read.
//!
//! Source: OpenTelemetry specification, "OTLP/HTTP", "JSON Protobuf Encoding"; Protocol Buffers, "`ProtoJSON` Format".

use base64::Engine as _;
use serde_json::{Map, Value};

use super::message::{
    Any, AnyValue, ArrayValue, Buckets, Data, ExponentialHistogram, ExponentialPoint, Gauge, Histogram, HistogramPoint,
    KeyValue, KeyValueList, Metric, Number, NumberPoint, Quantile, Request, Resource, ResourceMetrics, Scope,
    ScopeMetrics, Sum, Summary, SummaryPoint,
};

/// What is wrong with a body.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON, or nests deeper than 128 times.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// A field holds something else.
    #[error("`{field}` is not {wanted}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

type Object = Map<String, Value>;
type Read<T> = Result<T, JsonError>;

/// Reads a body.
pub(super) fn request(body: &[u8]) -> Read<Request> {
    let value: Value = serde_json::from_slice(body)?;
    let body = as_object(&value, "the body")?;
    Ok(Request { resource_metrics: list(body, "resourceMetrics", resource_metrics)? })
}

fn wrong<T>(field: &'static str, wanted: &'static str) -> Read<T> {
    Err(JsonError::Field { field, wanted })
}

fn as_object<'a>(value: &'a Value, field: &'static str) -> Read<&'a Object> {
    value.as_object().map_or_else(|| wrong(field, "an object"), Ok)
}

/// A field's value; `null` is the same as nothing.
fn given<'a>(object: &'a Object, field: &str) -> Option<&'a Value> {
    object.get(field).filter(|value| !value.is_null())
}

fn one<T>(object: &Object, field: &'static str, read: impl Fn(&Object) -> Read<T>) -> Read<Option<T>> {
    given(object, field).map(|value| read(as_object(value, field)?)).transpose()
}

fn values<'a>(object: &'a Object, field: &'static str) -> Read<&'a [Value]> {
    let Some(value) = given(object, field) else { return Ok(&[]) };
    value.as_array().map_or_else(|| wrong(field, "a list"), |list| Ok(list.as_slice()))
}

fn list<T>(object: &Object, field: &'static str, read: impl Fn(&Object) -> Read<T>) -> Read<Vec<T>> {
    values(object, field)?.iter().map(|value| read(as_object(value, field)?)).collect()
}

fn text(object: &Object, field: &'static str) -> Read<String> {
    let Some(value) = given(object, field) else { return Ok(String::new()) };
    value.as_str().map_or_else(|| wrong(field, "a text"), |text| Ok(text.to_owned()))
}

fn flag(object: &Object, field: &'static str) -> Read<bool> {
    let Some(value) = given(object, field) else { return Ok(false) };
    value.as_bool().map_or_else(|| wrong(field, "true or false"), Ok)
}

/// A whole number, as a number or as a text of digits. `1e3` is one as well.
fn as_whole(value: &Value, field: &'static str) -> Read<i128> {
    let found = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => {
            number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).or_else(|| {
                #[expect(clippy::cast_possible_truncation, reason = "a whole number of at most 64 bits")]
                number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1.9e19).map(|float| float as i128)
            })
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    found.map_or_else(|| wrong(field, "a whole number"), Ok)
}

fn whole<T: TryFrom<i128> + Default>(object: &Object, field: &'static str) -> Read<T> {
    let Some(value) = given(object, field) else { return Ok(T::default()) };
    T::try_from(as_whole(value, field)?).map_or_else(|_| wrong(field, "a number of its size"), Ok)
}

fn as_float(value: &Value, field: &'static str) -> Read<f64> {
    let found = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            text => text.parse().ok().filter(|float: &f64| float.is_finite()),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    found.map_or_else(|| wrong(field, "a number"), Ok)
}

fn maybe_float(object: &Object, field: &'static str) -> Read<Option<f64>> {
    given(object, field).map(|value| as_float(value, field)).transpose()
}

fn float(object: &Object, field: &'static str) -> Read<f64> {
    Ok(maybe_float(object, field)?.unwrap_or_default())
}

fn counts(object: &Object, field: &'static str) -> Read<Vec<u64>> {
    let count = |value| u64::try_from(as_whole(value, field)?).map_or_else(|_| wrong(field, "a list of counts"), Ok);
    values(object, field)?.iter().map(count).collect()
}

fn resource_metrics(object: &Object) -> Read<ResourceMetrics> {
    Ok(ResourceMetrics {
        resource: one(object, "resource", |resource| Ok(Resource { attributes: attributes(resource)? }))?,
        scope_metrics: list(object, "scopeMetrics", |scope| {
            let name = |scope: &Object| Ok(Scope { name: text(scope, "name")?, version: text(scope, "version")? });
            Ok(ScopeMetrics { scope: one(scope, "scope", name)?, metrics: list(scope, "metrics", metric)? })
        })?,
    })
}

fn metric(object: &Object) -> Read<Metric> {
    let data = if let Some(gauge) = one(object, "gauge", |of| Ok(Gauge { points: list(of, "dataPoints", number)? }))? {
        Some(Data::Gauge(gauge))
    } else if let Some(sum) = one(object, "sum", sum)? {
        Some(Data::Sum(sum))
    } else if let Some(histogram) = one(object, "histogram", histogram)? {
        Some(Data::Histogram(histogram))
    } else if let Some(histogram) = one(object, "exponentialHistogram", exponential)? {
        Some(Data::ExponentialHistogram(histogram))
    } else {
        let summary = one(object, "summary", |of| Ok(Summary { points: list(of, "dataPoints", summary)? }))?;
        summary.map(Data::Summary)
    };
    Ok(Metric { name: text(object, "name")?, unit: text(object, "unit")?, data })
}

fn sum(object: &Object) -> Read<Sum> {
    Ok(Sum {
        points: list(object, "dataPoints", number)?,
        temporality: whole(object, "aggregationTemporality")?,
        is_monotonic: flag(object, "isMonotonic")?,
    })
}

fn histogram(object: &Object) -> Read<Histogram> {
    let points = list(object, "dataPoints", histogram_point)?;
    Ok(Histogram { points, temporality: whole(object, "aggregationTemporality")? })
}

fn exponential(object: &Object) -> Read<ExponentialHistogram> {
    let points = list(object, "dataPoints", exponential_point)?;
    Ok(ExponentialHistogram { points, temporality: whole(object, "aggregationTemporality")? })
}

fn number(object: &Object) -> Read<NumberPoint> {
    let value = match (given(object, "asInt"), given(object, "asDouble")) {
        (Some(_), _) => Some(Number::Int(whole(object, "asInt")?)),
        (None, Some(value)) => Some(Number::Double(as_float(value, "asDouble")?)),
        (None, None) => None,
    };
    Ok(NumberPoint {
        attributes: attributes(object)?,
        start_time_unix_nano: whole(object, "startTimeUnixNano")?,
        time_unix_nano: whole(object, "timeUnixNano")?,
        value,
        flags: whole(object, "flags")?,
    })
}

fn histogram_point(object: &Object) -> Read<HistogramPoint> {
    let bounds = values(object, "explicitBounds")?;
    Ok(HistogramPoint {
        attributes: attributes(object)?,
        start_time_unix_nano: whole(object, "startTimeUnixNano")?,
        time_unix_nano: whole(object, "timeUnixNano")?,
        count: whole(object, "count")?,
        sum: maybe_float(object, "sum")?,
        bucket_counts: counts(object, "bucketCounts")?,
        explicit_bounds: bounds.iter().map(|bound| as_float(bound, "explicitBounds")).collect::<Read<_>>()?,
        flags: whole(object, "flags")?,
    })
}

fn exponential_point(object: &Object) -> Read<ExponentialPoint> {
    let buckets =
        |of: &Object| Ok(Buckets { offset: whole(of, "offset")?, bucket_counts: counts(of, "bucketCounts")? });
    Ok(ExponentialPoint {
        attributes: attributes(object)?,
        start_time_unix_nano: whole(object, "startTimeUnixNano")?,
        time_unix_nano: whole(object, "timeUnixNano")?,
        count: whole(object, "count")?,
        sum: maybe_float(object, "sum")?,
        scale: whole(object, "scale")?,
        zero_count: whole(object, "zeroCount")?,
        positive: one(object, "positive", buckets)?,
        negative: one(object, "negative", buckets)?,
        flags: whole(object, "flags")?,
        zero_threshold: float(object, "zeroThreshold")?,
    })
}

fn summary(object: &Object) -> Read<SummaryPoint> {
    let quantile = |of: &Object| Ok(Quantile { quantile: float(of, "quantile")?, value: float(of, "value")? });
    Ok(SummaryPoint {
        attributes: attributes(object)?,
        time_unix_nano: whole(object, "timeUnixNano")?,
        count: whole(object, "count")?,
        sum: float(object, "sum")?,
        quantiles: list(object, "quantileValues", quantile)?,
        flags: whole(object, "flags")?,
    })
}

fn attributes(object: &Object) -> Read<Vec<KeyValue>> {
    list(object, "attributes", key_value)
}

fn key_value(object: &Object) -> Read<KeyValue> {
    Ok(KeyValue { key: text(object, "key")?, value: one(object, "value", any_value)? })
}

/// Nests no deeper than the JSON does.
fn any_value(object: &Object) -> Read<AnyValue> {
    let value = if given(object, "stringValue").is_some() {
        Some(Any::Text(text(object, "stringValue")?))
    } else if given(object, "boolValue").is_some() {
        Some(Any::Bool(flag(object, "boolValue")?))
    } else if given(object, "intValue").is_some() {
        Some(Any::Int(whole(object, "intValue")?))
    } else if let Some(value) = maybe_float(object, "doubleValue")? {
        Some(Any::Double(value))
    } else if let Some(values) = one(object, "arrayValue", |of| list(of, "values", any_value))? {
        Some(Any::Array(ArrayValue { values }))
    } else if let Some(values) = one(object, "kvlistValue", |of| list(of, "values", key_value))? {
        Some(Any::Map(KeyValueList { values }))
    } else if given(object, "bytesValue").is_some() {
        let bytes = base64::engine::general_purpose::STANDARD.decode(text(object, "bytesValue")?);
        Some(Any::Bytes(bytes.or_else(|_| wrong("bytesValue", "base64"))?))
    } else {
        None
    };
    Ok(AnyValue { value })
}
