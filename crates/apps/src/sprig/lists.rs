//! Functions of lists.

use std::cmp::Ordering;
use std::sync::Arc;

use prograde_template::{CallError, Value};

use super::{Answer, bounded_list, int, is_empty, list, no_such, to_json};
use crate::template::Missing;

pub(super) const NAMES: &[&str] = &[
    "all",
    "any",
    "append",
    "chunk",
    "compact",
    "concat",
    "first",
    "has",
    "initial",
    "last",
    "list",
    "mustAppend",
    "mustChunk",
    "mustCompact",
    "mustFirst",
    "mustHas",
    "mustInitial",
    "mustLast",
    "mustPrepend",
    "mustPush",
    "mustRest",
    "mustReverse",
    "mustSlice",
    "mustUniq",
    "mustWithout",
    "prepend",
    "push",
    "rest",
    "reverse",
    "slice",
    "sortAlpha",
    "toStrings",
    "tuple",
    "uniq",
    "without",
];

pub(super) fn call(name: &str, arguments: &[Value], _: Missing) -> Answer {
    let plain = name.strip_prefix("must").map_or_else(
        || name.to_owned(),
        |rest| {
            let mut letters = rest.chars();
            letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
        },
    );
    match (plain.as_str(), arguments) {
        ("list" | "tuple", items) => bounded_list(items.to_vec()),
        ("all", values) => Ok(Value::Bool(!values.iter().any(is_empty))),
        ("any", values) => Ok(Value::Bool(values.iter().any(|value| !is_empty(value)))),
        ("toStrings", [value]) => super::texts_list(super::texts::strings(value)),
        ("sortAlpha", [value]) => {
            let mut texts = super::texts::strings(value);
            texts.sort();
            super::texts_list(texts)
        }
        ("concat", lists) => {
            let mut all = Vec::new();
            for one in lists {
                all.extend(list(one)?.iter().cloned());
                if all.len() > super::ITEMS_MAX {
                    break;
                }
            }
            bounded_list(all)
        }
        ("has", [needle, items]) => {
            let items = list(items)?;
            Ok(Value::Bool(items.iter().any(|item| same(item, needle))))
        }
        ("append" | "push", [items, value]) => {
            let mut items = list(items)?.to_vec();
            items.push(value.clone());
            bounded_list(items)
        }
        ("prepend", [items, value]) => {
            let items = list(items)?;
            bounded_list(std::iter::once(value.clone()).chain(items.iter().cloned()).collect())
        }
        ("without", [items, values @ ..]) => {
            let items = list(items)?;
            let stays = |item: &&Value| !values.iter().any(|value| same(item, value));
            bounded_list(items.iter().filter(stays).cloned().collect())
        }
        ("chunk", [size, items]) => {
            let size = usize::try_from(int(size)?).unwrap_or(0).max(1);
            bounded_list(list(items)?.chunks(size).map(|part| Value::from(part.to_vec())).collect())
        }
        ("slice", [items, bounds @ ..]) => slice(items, bounds),
        ("first" | "last", [value]) => ends(&plain, value),
        (_, [items]) => of_one(&plain, &list(items)?, arguments),
        _ => Err(no_such(name, arguments)),
    }
}

fn of_one(name: &str, items: &Arc<[Value]>, arguments: &[Value]) -> Answer {
    let count = items.len();
    let out: Vec<Value> = match name {
        "rest" => items.iter().skip(1).cloned().collect(),
        "initial" => items.iter().take(count.saturating_sub(1)).cloned().collect(),
        "reverse" => items.iter().rev().cloned().collect(),
        "compact" => items.iter().filter(|item| !is_empty(item)).cloned().collect(),
        "uniq" => {
            let mut seen = std::collections::BTreeSet::new();
            let mut kept = Vec::new();
            for item in items.iter() {
                if seen.insert(format!("{}:{}", item.kind(), to_json(item, 50)?)) {
                    kept.push(item.clone());
                }
            }
            kept
        }
        _ => return Err(no_such(name, arguments)),
    };
    bounded_list(out)
}

fn ends(name: &str, value: &Value) -> Answer {
    let items = list(value)?;
    Ok(if name == "first" { items.first() } else { items.last() }.cloned().unwrap_or_default())
}

fn slice(items: &Value, bounds: &[Value]) -> Answer {
    let items = list(items)?;
    let place = |bound: Option<&Value>, none: usize| {
        bound.map_or(Ok(none), |bound| {
            usize::try_from(int(bound)?).map_err(|_| CallError::new("a bound can't be negative"))
        })
    };
    let (from, to) = (place(bounds.first(), 0)?, place(bounds.get(1), items.len())?);
    let part = items.get(from..to).ok_or_else(|| CallError::new("a bound is out of range"))?;
    bounded_list(part.to_vec())
}

/// Whether two values are of one kind and equal, all the way down.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left.plain(), right.plain()) {
        (Value::Nil, Value::Nil) => true,
        (Value::Text(left), Value::Text(right)) => left == right,
        (Value::Int(left), Value::Int(right)) => left == right,
        (Value::Bool(left), Value::Bool(right)) => left == right,
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(&right) == Some(Ordering::Equal),
        (Value::List(left), Value::List(right)) => {
            left.len() == right.len() && left.iter().zip(right.iter()).all(|(left, right)| same(left, right))
        }
        (left @ Value::Map(_), right @ Value::Map(_)) => {
            matches!((to_json(&left, 50), to_json(&right, 50)), (Ok(left), Ok(right)) if left == right)
        }
        _ => false,
    }
}
