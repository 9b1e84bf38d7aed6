//! `JMESPath`'s own functions.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::super::{Error, float, number};
use super::{Call, Function, function, go_string, kind};

pub(super) static FUNCTIONS: [Function; 26] = [
    function("abs", 1, 1, |c| Ok(number(c.number(0)?.abs()))),
    function("avg", 1, 1, avg),
    function("ceil", 1, 1, |c| Ok(number(c.number(0)?.ceil()))),
    function("contains", 2, 2, contains),
    function("ends_with", 2, 2, |c| Ok(Value::Bool(c.text(0)?.ends_with(c.text(1)?)))),
    function("floor", 1, 1, |c| Ok(number(c.number(0)?.floor()))),
    function("join", 2, 2, join),
    function("keys", 1, 1, keys),
    function("length", 1, 1, length),
    function("map", 2, 2, map),
    function("max", 1, 1, |c| extreme(c, Ordering::Greater)),
    function("max_by", 2, 2, |c| extreme_by(c, Ordering::Greater)),
    function("merge", 1, 64, merge),
    function("min", 1, 1, |c| extreme(c, Ordering::Less)),
    function("min_by", 2, 2, |c| extreme_by(c, Ordering::Less)),
    function("not_null", 1, 64, not_null),
    function("reverse", 1, 1, reverse),
    function("sort", 1, 1, |c| sort(c, c.list(0)?.to_vec(), |_, item| Ok(item.clone()))),
    function("sort_by", 2, 2, |c| sort(c, c.list(0)?.to_vec(), |c, item| c.run.apply(c.reference(1)?, item.clone()))),
    function("starts_with", 2, 2, |c| Ok(Value::Bool(c.text(0)?.starts_with(c.text(1)?)))),
    function("to_array", 1, 1, |c| {
        let value = c.value(0)?.clone();
        Ok(if value.is_array() { value } else { Value::Array(vec![value]) })
    }),
    function("to_number", 1, 1, to_number),
    function("to_string", 1, 1, |c| c.made(go_string(c.value(0)?))),
    function("type", 1, 1, type_of),
    function("values", 1, 1, |c| Ok(c.object(0)?.values().cloned().collect())),
    function("to_object", 1, 1, |c| c.object(0).cloned().map(Value::Object)),
];

fn avg(c: &Call<'_, '_>) -> Result<Value, Error> {
    let items = c.list(0)?;
    let numbers: Option<Vec<f64>> = items.iter().map(Value::as_f64).collect();
    let numbers = numbers.ok_or_else(|| c.wrong(0, "a list of numbers"))?;
    #[expect(clippy::cast_precision_loss, reason = "a list of 2^52 numbers does not fit into memory")]
    let count = numbers.len() as f64;
    Ok(number(numbers.iter().sum::<f64>() / count))
}

fn contains(c: &Call<'_, '_>) -> Result<Value, Error> {
    let found = match (c.value(0)?, c.value(1)?) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::String(_), _) => false,
        (Value::Array(items), wanted) => items.iter().any(|item| super::super::equal(item, wanted)),
        _ => return Err(c.wrong(0, "a text or a list")),
    };
    Ok(Value::Bool(found))
}

fn join(c: &Call<'_, '_>) -> Result<Value, Error> {
    let separator = c.text(0)?;
    let texts: Option<Vec<&str>> = c.list(1)?.iter().map(Value::as_str).collect();
    let texts = texts.ok_or_else(|| c.wrong(1, "a list of texts"))?;
    let size: usize = texts.iter().map(|text| text.len() + separator.len()).sum();
    if size > super::TEXT_MAX {
        return Err(c.failed(format!("the text would have more than {} bytes", super::TEXT_MAX)));
    }
    c.made(texts.join(separator))
}

fn keys(c: &Call<'_, '_>) -> Result<Value, Error> {
    let mut names: Vec<&String> = c.object(0)?.keys().collect();
    names.sort();
    Ok(names.into_iter().map(|name| Value::String(name.clone())).collect())
}

fn length(c: &Call<'_, '_>) -> Result<Value, Error> {
    let length = match c.value(0)? {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => return Err(c.wrong(0, "a text, a list or an object")),
    };
    Ok(Value::from(length))
}

fn map(c: &Call<'_, '_>) -> Result<Value, Error> {
    let node = c.reference(0)?;
    let items: Result<Vec<Value>, Error> = c.list(1)?.iter().map(|item| c.run.apply(node, item.clone())).collect();
    Ok(Value::Array(items?))
}

/// Numbers among numbers, texts among texts.
fn order(c: &Call<'_, '_>, left: &Value, right: &Value) -> Result<Ordering, Error> {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => Ok(float(a).total_cmp(&float(b))),
        (Value::String(a), Value::String(b)) => Ok(a.cmp(b)),
        _ => Err(c.failed(format!("can't compare {} with {}", kind(left), kind(right)))),
    }
}

fn extreme(c: &Call<'_, '_>, wanted: Ordering) -> Result<Value, Error> {
    best(c, wanted, |item| Ok(item.clone()))
}

fn extreme_by(c: &Call<'_, '_>, wanted: Ordering) -> Result<Value, Error> {
    let node = c.reference(1)?;
    best(c, wanted, |item| c.run.apply(node, item.clone()))
}

fn best(c: &Call<'_, '_>, wanted: Ordering, key: impl Fn(&Value) -> Result<Value, Error>) -> Result<Value, Error> {
    let mut found: Option<(Value, &Value)> = None;
    for item in c.list(0)? {
        let this = key(item)?;
        let better = match &found {
            Some((best, _)) => order(c, &this, best)? == wanted,
            None => true,
        };
        if better {
            found = Some((this, item));
        }
    }
    Ok(found.map_or(Value::Null, |(_, item)| item.clone()))
}

fn merge(c: &Call<'_, '_>) -> Result<Value, Error> {
    let mut merged = Map::new();
    for index in 0..c.arguments.len() {
        merged.extend(c.object(index)?.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    Ok(Value::Object(merged))
}

fn not_null(c: &Call<'_, '_>) -> Result<Value, Error> {
    for index in 0..c.arguments.len() {
        if !c.value(index)?.is_null() {
            return c.value(index).cloned();
        }
    }
    Ok(Value::Null)
}

fn reverse(c: &Call<'_, '_>) -> Result<Value, Error> {
    match c.value(0)? {
        Value::String(text) => Ok(Value::String(text.chars().rev().collect())),
        Value::Array(items) => Ok(items.iter().rev().cloned().collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(c.wrong(0, "a text or a list")),
    }
}

fn sort(
    c: &Call<'_, '_>,
    items: Vec<Value>,
    key: impl Fn(&Call<'_, '_>, &Value) -> Result<Value, Error>,
) -> Result<Value, Error> {
    let mut keyed: Vec<(Value, Value)> = Vec::with_capacity(items.len());
    for item in items {
        let this = key(c, &item)?;
        if let Some((first, _)) = keyed.first() {
            order(c, &this, first)?;
        } else if !this.is_number() && !this.is_string() {
            return Err(c.wrong(0, "a list of numbers or of texts"));
        }
        keyed.push((this, item));
    }
    keyed.sort_by(|(a, _), (b, _)| order(c, a, b).unwrap_or(Ordering::Equal));
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

fn to_number(c: &Call<'_, '_>) -> Result<Value, Error> {
    Ok(match c.value(0)? {
        Value::String(text) => text.parse::<f64>().map_or(Value::Null, number),
        value @ Value::Number(_) => value.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => Value::Null,
    })
}

fn type_of(c: &Call<'_, '_>) -> Result<Value, Error> {
    let name = match c.value(0)? {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Ok(Value::from(name))
}
