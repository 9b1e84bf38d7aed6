//! Sprig's functions, as far as they only calculate, and those that Argo CD adds. What depends on the clock, on randomness
//! or on keys is refused: the same files have to give the same applications.
//!
//! Source: Masterminds/sprig 3.3, documentation; Argo CD 3.4, documentation, "Go Template". As there, `env`, `expandenv`
//! and `getHostByName` do not exist.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what works on some kinds of values names them, and refuses all others alike"
)]

mod dicts;
mod encoding;
mod lists;
pub(crate) mod names;
mod numbers;
mod patterns;
mod texts;

use std::sync::Arc;

use prograde_template::{CallError, Functions, Map, Value, print};
use serde_json::{Number, Value as Json};

use crate::data::Data;
use crate::template::Missing;

/// What a function gives.
type Answer = Result<Value, CallError>;

/// How long a list may get.
const ITEMS_MAX: usize = 100_000;
/// How long a text may get, in bytes.
const BYTES_MAX: usize = 256 * 1024;

/// Functions of one kind: their names, and what calls them.
type Group = (&'static [&'static str], fn(&str, &[Value], Missing) -> Answer);

const GROUPS: [Group; 7] = [
    (texts::NAMES, texts::call),
    (names::NAMES, names::call),
    (numbers::NAMES, numbers::call),
    (lists::NAMES, lists::call),
    (dicts::NAMES, dicts::call),
    (encoding::NAMES, encoding::call),
    (patterns::NAMES, patterns::call),
];

/// What gives another answer each time.
const REFUSED: [&str; 36] = [
    "ago",
    "bcrypt",
    "buildCustomCert",
    "date",
    "dateInZone",
    "dateModify",
    "date_in_zone",
    "date_modify",
    "decryptAES",
    "derivePassword",
    "duration",
    "durationRound",
    "encryptAES",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "mustDateModify",
    "mustToDate",
    "must_date_modify",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "toDate",
    "uuidv4",
];

/// The functions for templates in which missing keys are what is said.
pub(crate) fn functions(missing: Missing) -> Functions<'static> {
    let mut functions = Functions::new();
    for (names, call) in GROUPS {
        for name in names {
            functions = functions.with(name, move |arguments| call(name, arguments, missing));
        }
    }
    for name in REFUSED {
        let refused = move |_: &[Value]| {
            Err(CallError::new(format!("`{name}` gives another answer each time: the same files must give the same")))
        };
        functions = functions.with(name, refused);
    }
    functions
}

/// Whether Sprig takes a value for not set.
fn is_empty(value: &Value) -> bool {
    match value.plain() {
        Value::Record(_) | Value::Function(_) | Value::Object(_) => false,
        plain => !plain.is_true(),
    }
}

fn no_such(name: &str, arguments: &[Value]) -> CallError {
    let kinds: Vec<&str> = arguments.iter().map(Value::kind).collect();
    CallError::new(format!("`{name}` does not take these arguments: {}", kinds.join(", ")))
}

/// The text that an argument is.
fn text(value: &Value) -> Result<Arc<str>, CallError> {
    value.as_text().ok_or_else(|| CallError::new(format!("expected a string, found a {}", value.kind())))
}

/// The whole number that an argument is.
fn int(value: &Value) -> Result<i64, CallError> {
    match value.plain() {
        Value::Int(number) => Ok(number),
        _ => Err(CallError::new(format!("expected an int, found a {}", value.kind()))),
    }
}

/// The list that an argument is; nothing is an empty one.
fn list(value: &Value) -> Result<Arc<[Value]>, CallError> {
    match value.plain() {
        Value::List(items) => Ok(items),
        Value::Nil => Ok(Arc::from(Vec::new())),
        _ => Err(CallError::new(format!("expected a list, found a {}", value.kind()))),
    }
}

/// The mapping that an argument is, as it is now.
fn map(value: &Value) -> Result<Arc<Map>, CallError> {
    match value.plain() {
        Value::Map(map) => Ok(map),
        _ => Err(CallError::new(format!("expected a dict, found a {}", value.kind()))),
    }
}

/// A value as Sprig turns it into a text.
fn shown(value: &Value) -> String {
    match value.plain() {
        Value::Nil => "<nil>".to_owned(),
        Value::Text(text) => text.to_string(),
        plain => print(&[plain]),
    }
}

/// A text that is not longer than texts may be.
fn bounded(text: String) -> Answer {
    if text.len() > BYTES_MAX {
        return Err(CallError::new(format!("this makes more than {BYTES_MAX} bytes")));
    }
    Ok(Value::from(text))
}

/// A list that is not longer than lists may be.
fn bounded_list(items: Vec<Value>) -> Answer {
    if items.len() > ITEMS_MAX {
        return Err(CallError::new(format!("this makes a list of more than {ITEMS_MAX}")));
    }
    Ok(Value::from(items))
}

fn texts_list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> Answer {
    bounded_list(items.into_iter().map(|item| Value::from(item.as_ref())).collect())
}

/// A number as Go's JSON has it: without a fraction where it has none.
pub(crate) fn json_number(number: f64) -> Json {
    #[expect(clippy::cast_possible_truncation, reason = "whole, and small enough to be exact")]
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return Json::from(number as i64);
    }
    Number::from_f64(number).map_or(Json::Null, Json::Number)
}

/// A value as JSON, with mappings in the order of their names.
fn to_json(value: &Value, depth: usize) -> Result<Json, CallError> {
    let deeper = depth.checked_sub(1).ok_or_else(|| CallError::new("the value is nested too deeply"))?;
    Ok(match value.plain() {
        Value::Nil => Json::Null,
        Value::Bool(flag) => Json::Bool(flag),
        Value::Int(number) => Json::from(number),
        Value::Float(number) => json_number(number),
        Value::Text(text) => Json::from(&*text),
        Value::List(items) => items.iter().map(|item| to_json(item, deeper)).collect::<Result<_, _>>()?,
        Value::Map(map) => Json::Object(
            map.entries
                .iter()
                .map(|(name, value)| Ok((name.to_string(), to_json(value, deeper)?)))
                .collect::<Result<_, CallError>>()?,
        ),
        Value::Record(_) | Value::Object(_) | Value::Function(_) => {
            return Err(CallError::new(format!("a {} is no JSON", value.kind())));
        }
    })
}

fn from_json(json: &Json, missing: Missing) -> Value {
    Data::from_json(json).to_value(missing)
}

#[cfg(test)]
mod tests;
