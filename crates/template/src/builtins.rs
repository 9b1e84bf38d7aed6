//! Go's own functions, but for `and` and `or`, which [`evaluate`](crate::evaluate) knows.
//!
//! Source: Go 1.26, documentation of `text/template`, "Functions".

use std::cmp::Ordering;

use crate::compare;
use crate::error::CallError;
use crate::escape;
use crate::format;
use crate::value::Value;

const NAMES: [&str; 19] = [
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

/// Whether Go has a function of this name.
pub(crate) fn knows(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls one of Go's functions.
pub(crate) fn call(name: &str, arguments: &[Value], bytes_max: usize) -> Result<Value, CallError> {
    match (name, arguments) {
        ("not", [value]) => Ok(Value::Bool(!value.is_true())),
        ("len", [value]) => length(value),
        ("index", [Value::Nil, ..]) => Err(CallError::new("nothing can't be indexed")),
        ("index", [value, keys @ ..]) => keys.iter().try_fold(value.clone(), |value, key| index(&value, key)),
        ("slice", [value, bounds @ ..]) => slice(value, bounds),
        ("print", _) => bounded(arguments, bytes_max).map(|()| Value::from(format::print(arguments))),
        ("println", _) => bounded(arguments, bytes_max).map(|()| Value::from(format::println(arguments))),
        ("printf", [template, values @ ..]) => {
            let template = text(template)?;
            format::printf(&template, values, bytes_max).map(Value::from)
        }
        ("html", _) => escaped(arguments, bytes_max, escape::html),
        ("js", _) => escaped(arguments, bytes_max, escape::js),
        ("urlquery", _) => escaped(arguments, bytes_max, escape::query),
        ("eq", [first, others @ ..]) => compare::equals_any(first, others).map(Value::Bool),
        ("ne", [left, right]) => Ok(Value::Bool(!compare::equals(left, right)?)),
        // As in Go, `gt` is what `le` is not: a value that is no number is greater than any.
        ("lt", [left, right]) => is(left, right, |order| order == Some(Ordering::Less)),
        ("le", [left, right]) => is(left, right, |order| order.is_some_and(Ordering::is_le)),
        ("gt", [left, right]) => is(left, right, |order| !order.is_some_and(Ordering::is_le)),
        ("ge", [left, right]) => is(left, right, |order| order != Some(Ordering::Less)),
        ("call", [Value::Function(function), arguments @ ..]) => function.call(arguments),
        ("call", [other, ..]) => Err(CallError::new(format!("a {} can't be called", other.kind()))),
        _ => Err(CallError::new(format!("it does not take {} arguments", arguments.len()))),
    }
}

/// Refuses to print more than may come out. Lists and maps are as long as whoever calls the template has made them.
fn bounded(arguments: &[Value], bytes_max: usize) -> Result<(), CallError> {
    let bytes: usize = arguments.iter().filter_map(Value::as_text).map(|text| text.len()).sum();
    if bytes > bytes_max { Err(CallError::new(format!("this makes more than {bytes_max} bytes"))) } else { Ok(()) }
}

fn escaped(arguments: &[Value], bytes_max: usize, escape: fn(&str) -> String) -> Result<Value, CallError> {
    bounded(arguments, bytes_max)?;
    let shown = |value: &Value| if let Value::Nil = value { Value::from("<no value>") } else { value.clone() };
    let arguments: Vec<Value> = arguments.iter().map(shown).collect();
    Ok(Value::from(escape(&format::print(&arguments))))
}

fn is(left: &Value, right: &Value, holds: fn(Option<Ordering>) -> bool) -> Result<Value, CallError> {
    compare::order(left, right).map(|order| Value::Bool(holds(order)))
}

fn text(value: &Value) -> Result<std::sync::Arc<str>, CallError> {
    value.as_text().ok_or_else(|| CallError::new(format!("expected a string, found a {}", value.kind())))
}

fn length(value: &Value) -> Result<Value, CallError> {
    let length = match value.plain() {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.entries.len(),
        other => return Err(CallError::new(format!("a {} has no length", other.kind()))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn position(key: &Value, length: usize) -> Result<usize, CallError> {
    let Value::Int(at) = key.plain() else {
        return Err(CallError::new(format!("expected an int as index, found a {}", key.kind())));
    };
    usize::try_from(at)
        .ok()
        .filter(|at| *at <= length)
        .ok_or_else(|| CallError::new(format!("the index {at} is out of range: there are {length}")))
}

fn index(value: &Value, key: &Value) -> Result<Value, CallError> {
    let found = match value.plain() {
        Value::Map(map) => Some(map.get(&text(key)?).clone()),
        Value::List(list) => list.get(position(key, list.len())?).cloned(),
        // A text is indexed by byte.
        Value::Text(text) => text.as_bytes().get(position(key, text.len())?).map(|byte| Value::Int(i64::from(*byte))),
        other => return Err(CallError::new(format!("a {} can't be indexed", other.kind()))),
    };
    found.ok_or_else(|| CallError::new("the index is out of range"))
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, CallError> {
    let value = value.plain();
    let length = match &value {
        Value::Text(text) => text.len(),
        Value::List(list) => list.len(),
        other => return Err(CallError::new(format!("a {} can't be sliced", other.kind()))),
    };
    if bounds.len() > 3 || (bounds.len() == 3 && matches!(value, Value::Text(_))) {
        return Err(CallError::new(format!("it does not take {} bounds", bounds.len())));
    }
    let bounds: Vec<usize> = bounds.iter().map(|bound| position(bound, length)).collect::<Result<_, _>>()?;
    if !bounds.is_sorted() {
        return Err(CallError::new("a bound is before the one before it"));
    }
    let from = bounds.first().copied().unwrap_or(0);
    let to = bounds.get(1).copied().unwrap_or(length);
    let cut = match value {
        Value::Text(text) => text.get(from..to).map(Value::from),
        Value::List(list) => list.get(from..to).map(|items| Value::from(items.to_vec())),
        _ => None,
    };
    cut.ok_or_else(|| CallError::new("a bound is inside of a character"))
}
