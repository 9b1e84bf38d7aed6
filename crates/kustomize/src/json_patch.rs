//! JSON 6902 patches (RFC 6902) with JSON pointers (RFC 6901), with the leniences of the library that Kustomize uses
//! (evanphx/json-patch 4): positions may count from the end.

use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::codes;
use crate::node::{Kind, Node};
use crate::place::Place;

/// How large an object may grow, in values and bytes together.
const GROWTH_MAX: usize = 8 * 1024 * 1024;

/// How deeply an object may nest.
const DEPTH_MAX: usize = prograde_yaml::SYNTAX_DEPTH_MAX;

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    name: String,
    path: String,
    from: Option<String>,
    value: Option<Json>,
    place: Place,
}

#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("there is no such value in the object")]
    Missing,
    #[error("the list has no such position")]
    Position,
    #[error("what is above it is neither a mapping nor a list")]
    Scalar,
    #[error("the value is not the one that the patch tests for")]
    Differs,
    #[error("the operation has no `from`")]
    NoFrom,
    #[error("the operation is none of `add`, `remove`, `replace`, `move`, `copy` and `test`")]
    Unknown,
    #[error("the object grows to more than {GROWTH_MAX} bytes, or {DEPTH_MAX} levels")]
    TooLarge,
}

/// Reads a patch: a list of operations.
pub(crate) fn read(document: &Node) -> Result<Vec<Operation>, Diagnostic> {
    if document.kind() != Kind::List {
        let message = format!("a JSON patch must be a list of operations, found {}", document.kind_text());
        return Err(document.place.diagnostic(codes::PATCH, message, "see RFC 6902"));
    }
    document
        .items()
        .iter()
        .map(|item| {
            if item.kind() != Kind::Map {
                return Err(item.place.diagnostic(codes::PATCH, "an operation must be a mapping", "see RFC 6902"));
            }
            let text = |name: &str| item.get(name).map(|node| node.raw().to_owned());
            Ok(Operation {
                name: text("op").unwrap_or_default(),
                path: text("path").unwrap_or_default(),
                from: text("from"),
                value: item.get("value").map(Node::to_json).transpose()?,
                place: item.place.clone(),
            })
        })
        .collect()
}

/// Applies all operations to an object.
pub(crate) fn apply(object: &Node, operations: &[Operation]) -> Result<Node, Diagnostic> {
    let mut json = object.to_json()?;
    for operation in operations {
        step(&mut json, operation).map_err(|problem| {
            let message = format!("`{}` of `{}`: {problem}", operation.name, operation.path);
            let code = if matches!(problem, Problem::TooLarge) { codes::TOO_LARGE } else { codes::PATCH };
            operation.place.diagnostic(code, message, "the object is the one that earlier patches left")
        })?;
    }
    Ok(placed(Node::from_json(&json, &object.place), object))
}

/// Whether all annotations are replaced or taken away, and with them those that tell of origins.
pub(crate) fn replaces_annotations(operations: &[Operation]) -> bool {
    let all = |path: &str| matches!(path, "/metadata" | "/metadata/annotations");
    operations.iter().any(|operation| match operation.name.as_str() {
        "add" | "replace" | "remove" | "copy" => all(&operation.path),
        "move" => all(&operation.path) || operation.from.as_deref().is_some_and(all),
        _ => false,
    })
}

/// Puts the places of the old object on what is still there.
fn placed(mut node: Node, old: &Node) -> Node {
    node.place = old.place.clone();
    if let Some(entries) = node.entries_mut() {
        for entry in entries {
            if let Some(known) = old.entries().iter().find(|known| known.name == entry.name) {
                entry.place = known.place.clone();
                let value = std::mem::replace(&mut entry.value, Node::null(&known.place));
                entry.value = placed(value, &known.value);
            }
        }
    } else if let Some(items) = node.items_mut() {
        for (item, known) in items.iter_mut().zip(old.items()) {
            let value = std::mem::replace(item, Node::null(&known.place));
            *item = placed(value, known);
        }
    }
    node
}

fn weight(json: &Json) -> usize {
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
        Json::String(text) => 8 + text.len(),
        Json::Array(items) => 8 + items.iter().map(weight).sum::<usize>(),
        Json::Object(map) => 8 + map.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>(),
    }
}

fn step(json: &mut Json, operation: &Operation) -> Result<(), Problem> {
    let from = || operation.from.as_deref().ok_or(Problem::NoFrom);
    match operation.name.as_str() {
        // The library takes an operation without a value for one with nothing.
        "add" => add(json, &operation.path, operation.value.clone().unwrap_or(Json::Null)),
        "remove" => take(json, &operation.path).map(|_| ()),
        "replace" => {
            let new = operation.value.clone().unwrap_or(Json::Null);
            if operation.path.split('/').count() + depth(&new) > DEPTH_MAX {
                return Err(Problem::TooLarge);
            }
            *find(json, &operation.path)? = new;
            Ok(())
        }
        "move" => {
            let moved = take(json, from()?)?;
            add(json, &operation.path, moved)
        }
        "copy" => {
            let copied = find(json, from()?)?.clone();
            if weight(json) + weight(&copied) > GROWTH_MAX {
                return Err(Problem::TooLarge);
            }
            add(json, &operation.path, copied)
        }
        "test" => {
            let wanted = operation.value.clone().unwrap_or(Json::Null);
            let found = find(json, &operation.path);
            let same = match found {
                Ok(found) => equal(found, &wanted),
                Err(Problem::Missing) => wanted.is_null(),
                Err(problem) => return Err(problem),
            };
            if same { Ok(()) } else { Err(Problem::Differs) }
        }
        _ => Err(Problem::Unknown),
    }
}

fn equal(one: &Json, other: &Json) -> bool {
    match (one, other) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        (one, other) => one == other,
    }
}

/// What is above a pointer's last part, and that part.
fn parent<'a>(json: &'a mut Json, pointer: &str) -> Result<(&'a mut Json, String), Problem> {
    let mut parts: Vec<String> = pointer.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    if parts.len() < 2 {
        return Err(Problem::Missing);
    }
    let last = parts.pop().unwrap_or_default();
    let mut at = json;
    for part in parts.into_iter().skip(1) {
        at = child(at, &part)?;
    }
    Ok((at, last))
}

fn child<'a>(json: &'a mut Json, part: &str) -> Result<&'a mut Json, Problem> {
    match json {
        Json::Object(map) => map.get_mut(part).ok_or(Problem::Missing),
        Json::Array(items) => {
            let at = position(part, items.len(), items.len())?;
            items.get_mut(at).ok_or(Problem::Position)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Err(Problem::Scalar),
    }
}

/// A position in a list; negative ones count from the end.
fn position(part: &str, length: usize, from_end: usize) -> Result<usize, Problem> {
    let number: i64 = part.parse().map_err(|_| Problem::Position)?;
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_end = i64::try_from(from_end).unwrap_or(i64::MAX);
    let at = if number < 0 { number + from_end } else { number };
    if at < 0 || at >= length { Err(Problem::Position) } else { usize::try_from(at).map_err(|_| Problem::Position) }
}

fn find<'a>(json: &'a mut Json, pointer: &str) -> Result<&'a mut Json, Problem> {
    let (above, last) = parent(json, pointer)?;
    child(above, &last)
}

fn depth(json: &Json) -> usize {
    let below = match json {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
        Json::Array(items) => items.iter().map(depth).max(),
        Json::Object(map) => map.values().map(depth).max(),
    };
    1 + below.unwrap_or(0)
}

fn add(json: &mut Json, pointer: &str, value: Json) -> Result<(), Problem> {
    if pointer.split('/').count() + depth(&value) > DEPTH_MAX {
        return Err(Problem::TooLarge);
    }
    let (above, last) = parent(json, pointer)?;
    match above {
        Json::Object(map) => {
            map.insert(last, value);
        }
        Json::Array(items) if last == "-" => items.push(value),
        Json::Array(items) => {
            let at = position(&last, items.len() + 1, items.len() + 1)?;
            items.insert(at, value);
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => return Err(Problem::Scalar),
    }
    Ok(())
}

fn take(json: &mut Json, pointer: &str) -> Result<Json, Problem> {
    let (above, last) = parent(json, pointer)?;
    match above {
        Json::Object(map) => map.shift_remove(&last).ok_or(Problem::Missing),
        Json::Array(items) => {
            let at = position(&last, items.len(), items.len())?;
            Ok(items.remove(at))
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Err(Problem::Scalar),
    }
}
