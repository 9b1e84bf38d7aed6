//! Values of expressions. Resources are borrowed as JSON and looked into only where an expression asks.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::rc::Rc;

use jiff::Timestamp;
use semver::Version;
use serde_json::{Map, Number, Value};

use super::Error;
use crate::image::Image;
use crate::jmespath::float;
use crate::quantity::Quantity;

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'a, str>),
    Bytes(Rc<[u8]>),
    List(Rc<Vec<Val<'a>>>),
    Map(Rc<Vec<(Val<'a>, Val<'a>)>>),
    /// A list or an object of a document.
    Json(&'a Value),
    Duration(i64),
    Time(Timestamp),
    Optional(Option<Rc<Val<'a>>>),
    Type(&'static str),
    Quantity(Quantity),
    Url(Rc<Url>),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Version(Rc<Version>),
    Image(Rc<Image>),
    /// The policy's variables, worked out when they are asked for.
    Variables,
}

/// A URL in parts, as Kubernetes' functions show it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) hostname: String,
    pub(super) port: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
}

/// A key, to find entries of maps by.
pub(super) fn json(value: &Value) -> Val<'_> {
    match value {
        Value::Null => Val::Null,
        Value::Bool(flag) => Val::Bool(*flag),
        Value::Number(number) => from_number(number),
        Value::String(text) => Val::Text(Cow::Borrowed(text)),
        Value::Array(_) | Value::Object(_) => Val::Json(value),
    }
}

fn from_number(number: &Number) -> Val<'static> {
    number
        .as_i64()
        .map(Val::Int)
        .or_else(|| number.as_u64().map(Val::Uint))
        .unwrap_or_else(|| Val::Double(float(number)))
}

/// A document that nobody else owns.
pub(super) fn owned_json<'a>(value: Value) -> Val<'a> {
    match value {
        Value::String(text) => Val::Text(Cow::Owned(text)),
        Value::Array(items) => Val::List(Rc::new(items.into_iter().map(owned_json).collect())),
        Value::Object(entries) => {
            Val::Map(Rc::new(entries.into_iter().map(|(name, value)| (text(name), owned_json(value))).collect()))
        }
        Value::Number(number) => from_number(&number),
        Value::Bool(flag) => Val::Bool(flag),
        Value::Null => Val::Null,
    }
}

pub(super) fn text<'a>(text: impl Into<String>) -> Val<'a> {
    Val::Text(Cow::Owned(text.into()))
}

pub(super) fn list(items: Vec<Val<'_>>) -> Val<'_> {
    Val::List(Rc::new(items))
}

impl<'a> Val<'a> {
    /// The type's name, as `type()` says it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) | Self::Json(Value::Array(_)) => "list",
            Self::Map(_) | Self::Json(_) | Self::Variables => "map",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::Time(_) => "google.protobuf.Timestamp",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
            Self::Version(_) => "kubernetes.Semver",
            Self::Image(_) => "kyverno.Image",
        }
    }

    /// Items, where this is a list.
    pub(super) fn items(&self) -> Option<Vec<Val<'a>>> {
        match self {
            Self::List(items) => Some(items.to_vec()),
            Self::Json(Value::Array(items)) => Some(items.iter().map(json).collect()),
            _ => None,
        }
    }

    /// Keys and values, where this is a map.
    pub(super) fn entries(&self) -> Option<Vec<(Val<'a>, Val<'a>)>> {
        match self {
            Self::Map(entries) => Some(entries.to_vec()),
            Self::Json(Value::Object(entries)) => {
                Some(entries.iter().map(|(name, value)| (Val::Text(Cow::Borrowed(name)), json(value))).collect())
            }
            _ => None,
        }
    }

    /// How many items, entries, characters or bytes.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            Self::Bytes(bytes) => Some(bytes.len()),
            Self::List(items) => Some(items.len()),
            Self::Map(entries) => Some(entries.len()),
            Self::Json(Value::Array(items)) => Some(items.len()),
            Self::Json(Value::Object(entries)) => Some(entries.len()),
            _ => None,
        }
    }

    /// The entry of a map.
    pub(super) fn entry(&self, key: &Val<'_>) -> Option<Val<'a>> {
        match (self, key) {
            (Self::Json(Value::Object(entries)), Val::Text(name)) => entries.get(name.as_ref()).map(json),
            (Self::Map(entries), key) => {
                entries.iter().find(|(known, _)| equal(known, key)).map(|(_, value)| value.clone())
            }
            _ => None,
        }
    }

    /// The item of a list.
    pub(super) fn item(&self, index: usize) -> Option<Val<'a>> {
        match self {
            Self::List(items) => items.get(index).cloned(),
            Self::Json(Value::Array(items)) => items.get(index).map(json),
            _ => None,
        }
    }

    /// Whether it has at most so many parts and bytes of text, which are counted off. It is asked before values are
    /// copied: an expression can hold one document many times.
    pub(super) fn is_within(&self, left: &mut usize) -> bool {
        let taken = match self {
            Self::Text(text) => 1 + text.len() / 16,
            Self::Bytes(bytes) => 1 + bytes.len() / 16,
            _ => 1,
        };
        let Some(rest) = left.checked_sub(taken) else { return false };
        *left = rest;
        match self {
            Self::List(items) => items.iter().all(|item| item.is_within(left)),
            Self::Map(entries) => entries.iter().all(|(key, value)| key.is_within(left) && value.is_within(left)),
            Self::Json(value) => json_within(value, left),
            Self::Optional(Some(value)) => value.is_within(left),
            _ => true,
        }
    }

    /// As JSON, for messages and for `format`.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Null | Self::Variables | Self::Optional(None) => Value::Null,
            Self::Bool(flag) => Value::Bool(*flag),
            Self::Int(number) => Value::from(*number),
            Self::Uint(number) => Value::from(*number),
            Self::Double(number) => crate::jmespath::number(*number),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::List(items) => items.iter().map(Val::to_json).collect(),
            Self::Map(entries) => {
                Value::Object(entries.iter().map(|(k, v)| (k.shown(), v.to_json())).collect::<Map<_, _>>())
            }
            Self::Json(value) => (*value).clone(),
            Self::Optional(Some(value)) => value.to_json(),
            other => Value::String(other.shown()),
        }
    }

    /// As `string()` writes it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null | Self::Variables => "null".to_owned(),
            Self::Bool(flag) => flag.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Uint(number) => number.to_string(),
            Self::Double(number) => number.to_string(),
            Self::Text(text) => text.clone().into_owned(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::List(_) | Self::Map(_) | Self::Json(_) => self.to_json().to_string(),
            Self::Duration(nano) => crate::duration::format(*nano),
            Self::Time(at) => at.to_string(),
            Self::Optional(value) => value.as_ref().map_or_else(|| "none".to_owned(), |value| value.shown()),
            Self::Type(name) => (*name).to_owned(),
            Self::Quantity(quantity) => quantity.to_string(),
            Self::Url(url) => format!("{}://{}{}", url.scheme, url.host, url.path),
            Self::Ip(address) => address.to_string(),
            Self::Cidr(address, bits) => format!("{address}/{bits}"),
            Self::Version(version) => version.to_string(),
            Self::Image(image) => image.to_string(),
        }
    }
}

fn json_within(value: &Value, left: &mut usize) -> bool {
    let taken = value.as_str().map_or(1, |text| 1 + text.len() / 16);
    let Some(rest) = left.checked_sub(taken) else { return false };
    *left = rest;
    match value {
        Value::Array(items) => items.iter().all(|item| json_within(item, left)),
        Value::Object(entries) => entries.values().all(|value| json_within(value, left)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Equality: numbers by value whatever their type, everything else only within its type.
#[expect(clippy::float_cmp, reason = "CEL compares doubles as they are")]
pub(super) fn equal(left: &Val<'_>, right: &Val<'_>) -> bool {
    if let (Some(left), Some(right)) = (as_f64(left), as_f64(right)) {
        return match (as_i128(left.1), as_i128(right.1)) {
            (Some(a), Some(b)) => a == b,
            _ => left.0 == right.0,
        };
    }
    match (left, right) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(a), Val::Bool(b)) => a == b,
        (Val::Text(a), Val::Text(b)) => a == b,
        (Val::Bytes(a), Val::Bytes(b)) => a == b,
        (Val::Duration(a), Val::Duration(b)) => a == b,
        (Val::Time(a), Val::Time(b)) => a == b,
        (Val::Type(a), Val::Type(b)) => a == b,
        (Val::Quantity(a), Val::Quantity(b)) => a.nano == b.nano,
        (Val::Url(a), Val::Url(b)) => a == b,
        (Val::Ip(a), Val::Ip(b)) => a == b,
        (Val::Cidr(a, x), Val::Cidr(b, y)) => (a, x) == (b, y),
        (Val::Version(a), Val::Version(b)) => a.cmp_precedence(b).is_eq(),
        (Val::Image(a), Val::Image(b)) => a == b,
        (Val::Optional(a), Val::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(a, b),
            (None, None) => true,
            _ => false,
        },
        _ => {
            if let (Some(a), Some(b)) = (left.items(), right.items()) {
                return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| equal(a, b));
            }
            if let (Some(a), Some(b)) = (left.entries(), right.entries()) {
                return a.len() == b.len() && a.iter().all(|(key, a)| right.entry(key).is_some_and(|b| equal(a, &b)));
            }
            false
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "whole numbers are compared as such before")]
fn as_f64<'v, 'a>(value: &'v Val<'a>) -> Option<(f64, &'v Val<'a>)> {
    match value {
        Val::Int(number) => Some((*number as f64, value)),
        Val::Uint(number) => Some((*number as f64, value)),
        Val::Double(number) => Some((*number, value)),
        _ => None,
    }
}

fn as_i128(value: &Val<'_>) -> Option<i128> {
    match value {
        Val::Int(number) => Some(i128::from(*number)),
        Val::Uint(number) => Some(i128::from(*number)),
        _ => None,
    }
}

/// Order of two values of one kind.
pub(super) fn compare(left: &Val<'_>, right: &Val<'_>) -> Result<Ordering, Error> {
    if let (Some(a), Some(b)) = (as_f64(left), as_f64(right)) {
        let whole = as_i128(a.1).zip(as_i128(b.1)).map(|(a, b)| a.cmp(&b));
        return whole.or_else(|| a.0.partial_cmp(&b.0)).ok_or_else(|| Error::new("NaN has no order"));
    }
    match (left, right) {
        (Val::Text(a), Val::Text(b)) => Ok(a.cmp(b)),
        (Val::Bool(a), Val::Bool(b)) => Ok(a.cmp(b)),
        (Val::Bytes(a), Val::Bytes(b)) => Ok(a.cmp(b)),
        (Val::Duration(a), Val::Duration(b)) => Ok(a.cmp(b)),
        (Val::Time(a), Val::Time(b)) => Ok(a.cmp(b)),
        (Val::Quantity(a), Val::Quantity(b)) => Ok(a.nano.cmp(&b.nano)),
        (Val::Version(a), Val::Version(b)) => Ok(a.cmp_precedence(b)),
        _ => Err(Error::new(format!("{} and {} have no order", left.type_name(), right.type_name()))),
    }
}
