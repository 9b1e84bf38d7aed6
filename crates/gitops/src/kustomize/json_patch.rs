//! JSON 6902 patches (RFC 6902) with JSON pointers (RFC 6901) on located values.

use prograde_model::Diagnostic;

use super::reader::Fields;
use crate::codes;
use crate::located::{Located, Place, Value};

/// One operation.
pub(super) struct Operation {
    action: Action,
    path: Vec<String>,
    place: Place,
}

enum Action {
    Add(Located),
    Remove,
    Replace(Located),
    Move(Vec<String>),
    Copy(Vec<String>),
    Test(Located),
}

/// Reads a patch: a list of operations.
pub(super) fn read(tree: &Located) -> Result<Vec<Operation>, Diagnostic> {
    tree.items().iter().map(operation).collect()
}

fn operation(item: &Located) -> Result<Operation, Diagnostic> {
    let wrong = |message: &str| item.place.diagnostic(codes::PATCH, message, "see RFC 6902, section 4");
    let mut fields = Fields::new(item, "an operation of a JSON patch")?;
    let name = fields.text("op")?.unwrap_or_default();
    let path = pointer(fields.text("path")?.ok_or_else(|| wrong("the operation has no `path`"))?)
        .ok_or_else(|| wrong("`path` must be a JSON pointer such as `/spec/replicas`"))?;
    let from = fields.text("from")?.map(|from| pointer(from).ok_or_else(|| wrong("`from` must be a JSON pointer")));
    fields.get("value");
    // A null is a value here, unlike elsewhere.
    let value = item.get("value").cloned();
    fields.finish()?;
    let value = || value.ok_or_else(|| wrong("the operation has no `value`"));
    let from = || from.unwrap_or_else(|| Err(wrong("the operation has no `from`")));
    let action = match name {
        "add" => Action::Add(value()?),
        "remove" => Action::Remove,
        "replace" => Action::Replace(value()?),
        "move" => Action::Move(from()?),
        "copy" => Action::Copy(from()?),
        "test" => Action::Test(value()?),
        _ => return Err(wrong("`op` must be `add`, `remove`, `replace`, `move`, `copy` or `test`")),
    };
    Ok(Operation { action, path, place: item.place.clone() })
}

fn pointer(text: &str) -> Option<Vec<String>> {
    if text.is_empty() {
        return Some(vec![]);
    }
    let rest = text.strip_prefix('/')?;
    Some(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

/// Carries one operation out. `placing` may refuse a value that is about to be put at a depth.
pub(super) fn apply(
    object: &mut Located,
    operation: &Operation,
    placing: &mut dyn FnMut(&Located, usize) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    let wrong = |problem: Problem| {
        let at = operation.path.join("/");
        operation.place.diagnostic(
            codes::PATCH,
            format!("`/{at}`: {problem}"),
            "the object is the one that earlier patches left",
        )
    };
    let depth = operation.path.len();
    match &operation.action {
        Action::Add(value) => {
            placing(value, depth)?;
            add(object, &operation.path, value.clone()).map_err(wrong)
        }
        Action::Remove => take(object, &operation.path).map(|_| ()).map_err(wrong),
        Action::Replace(value) => {
            placing(value, depth)?;
            find(object, &operation.path).map(|found| *found = value.clone()).map_err(wrong)
        }
        Action::Move(from) => {
            if operation.path.len() > from.len() && operation.path.starts_with(from) {
                return Err(wrong(Problem::IntoItself));
            }
            let value = take(object, from).map_err(wrong)?;
            placing(&value, depth)?;
            add(object, &operation.path, value).map_err(wrong)
        }
        Action::Copy(from) => {
            let value = find(object, from).map_err(wrong)?.clone();
            placing(&value, depth)?;
            add(object, &operation.path, value).map_err(wrong)
        }
        Action::Test(value) => {
            let found = find(object, &operation.path).map_err(wrong)?;
            if equal(&found.to_json(), &value.to_json()) { Ok(()) } else { Err(wrong(Problem::Differs)) }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("there is no such value in the object")]
    Missing,
    #[error("the list has no such position")]
    Position,
    #[error("what is above it is neither a mapping nor a list")]
    Scalar,
    #[error("a value can't be moved into itself")]
    IntoItself,
    #[error("the value is not the one that the patch tests for")]
    Differs,
    #[error("the whole object can't be removed; use `$patch: delete`")]
    Root,
}

fn find<'a>(tree: &'a mut Located, path: &[String]) -> Result<&'a mut Located, Problem> {
    let mut at = tree;
    for part in path {
        at = match &mut at.value {
            Value::Map(entries) => entries
                .iter_mut()
                .find(|entry| entry.name == *part)
                .map(|entry| &mut entry.value)
                .ok_or(Problem::Missing)?,
            Value::List(items) => {
                let index = index(part).ok_or(Problem::Position)?;
                items.get_mut(index).ok_or(Problem::Position)?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => return Err(Problem::Scalar),
        };
    }
    Ok(at)
}

/// A position in a list: digits without leading zeros (RFC 6901, section 4).
fn index(part: &str) -> Option<usize> {
    let plain = part == "0" || (!part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit()));
    if plain { part.parse().ok() } else { None }
}

fn add(object: &mut Located, path: &[String], value: Located) -> Result<(), Problem> {
    let Some((last, above)) = path.split_last() else {
        *object = value;
        return Ok(());
    };
    let parent = find(object, above)?;
    match &mut parent.value {
        Value::Map(_) => parent.set(last, value),
        Value::List(items) => {
            let at = if last == "-" { items.len() } else { index(last).ok_or(Problem::Position)? };
            if at > items.len() {
                return Err(Problem::Position);
            }
            items.insert(at, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => return Err(Problem::Scalar),
    }
    Ok(())
}

fn take(object: &mut Located, path: &[String]) -> Result<Located, Problem> {
    let (last, above) = path.split_last().ok_or(Problem::Root)?;
    let parent = find(object, above)?;
    match &mut parent.value {
        Value::Map(_) => parent.remove(last).ok_or(Problem::Missing),
        Value::List(items) => {
            let at = index(last).filter(|at| *at < items.len()).ok_or(Problem::Position)?;
            Ok(items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => Err(Problem::Scalar),
    }
}

/// Equality as RFC 6902, section 4.6, has it: numbers by value, mappings without order.
fn equal(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    match (one, other) {
        (serde_json::Value::Number(one), serde_json::Value::Number(other)) => {
            one == other || one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.total_cmp(&other).is_eq())
        }
        (serde_json::Value::Array(one), serde_json::Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (serde_json::Value::Object(one), serde_json::Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, one)| other.get(key).is_some_and(|other| equal(one, other)))
        }
        (one, other) => one == other,
    }
}
