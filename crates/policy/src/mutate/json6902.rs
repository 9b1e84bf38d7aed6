//! JSON patches.
//!
//! Source: RFC 6902 and RFC 6901. As Kyverno applies them: indexes may be negative, a path that is missing is made when
//! something is added, and what is missing need not be removed.

use serde_json::{Map, Value};

use crate::jmespath::equal;
use crate::request::text;

/// How many operations one patch may have.
const OPERATIONS_MAX: usize = 1_000;

/// Reads a patch that is written as YAML or JSON.
pub(crate) fn read(source: &str) -> Result<Vec<Value>, String> {
    let documents = prograde_yaml::documents("patchesJson6902", source).map_err(|error| error.message)?;
    let Some(Value::Array(operations)) = documents.first().map(prograde_yaml::Node::to_json) else {
        return Err("patchesJson6902 is a list of operations".to_owned());
    };
    if operations.len() > OPERATIONS_MAX {
        return Err(format!("the patch has more than {OPERATIONS_MAX} operations"));
    }
    Ok(operations)
}

/// Applies operations one after the other.
pub(crate) fn apply(resource: &Value, operations: &[Value]) -> Result<Value, String> {
    let mut patched = resource.clone();
    for operation in operations {
        let path = steps(text(operation, &["path"]))?;
        let from = || steps(text(operation, &["from"]));
        let value = || operation.get("value").cloned().unwrap_or(Value::Null);
        match text(operation, &["op"]) {
            "add" => add(&mut patched, &path, value())?,
            "remove" => drop(remove(&mut patched, &path)),
            "replace" => {
                let slot =
                    find(&mut patched, &path).ok_or_else(|| format!("nothing to replace at /{}", path.join("/")))?;
                *slot = value();
            }
            "move" => {
                let moved = remove(&mut patched, &from()?).ok_or("nothing to move")?;
                add(&mut patched, &path, moved)?;
            }
            "copy" => {
                let copied = find(&mut patched, &from()?).cloned().ok_or("nothing to copy")?;
                add(&mut patched, &path, copied)?;
            }
            "test" => {
                let found = find(&mut patched, &path).map_or(Value::Null, |found| found.clone());
                if !equal(&found, &value()) {
                    return Err(format!("the test at /{} fails", path.join("/")));
                }
            }
            other => return Err(format!("unknown operation `{other}` of a JSON patch")),
        }
    }
    Ok(patched)
}

fn steps(path: &str) -> Result<Vec<String>, String> {
    if path.is_empty() {
        return Ok(Vec::new());
    }
    let rest = path.strip_prefix('/').ok_or_else(|| format!("the path `{path}` does not begin with /"))?;
    Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

/// The place of an index in a list; one past the end only for adding.
fn index(step: &str, length: usize) -> Option<usize> {
    let number: i64 = step.parse().ok()?;
    if number < 0 {
        return length.checked_sub(usize::try_from(number.unsigned_abs()).ok()?);
    }
    usize::try_from(number).ok()
}

fn find<'v>(value: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Object(entries) => entries.get_mut(step),
        Value::Array(items) => {
            let at = index(step, items.len())?;
            items.get_mut(at)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    })
}

fn remove(value: &mut Value, path: &[String]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    match find(value, way)? {
        Value::Object(entries) => entries.shift_remove(last),
        Value::Array(items) => {
            let at = index(last, items.len()).filter(|at| *at < items.len())?;
            Some(items.remove(at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Adds, and makes what is missing on the way: lists where an index or `-` follows, else objects.
fn add(value: &mut Value, path: &[String], added: Value) -> Result<(), String> {
    let Some((last, way)) = path.split_last() else {
        *value = added;
        return Ok(());
    };
    let mut at = value;
    for (step, next) in way.iter().zip(path.iter().skip(1)) {
        let empty = if next == "-" || next.parse::<usize>().is_ok() {
            Value::Array(Vec::new())
        } else {
            Value::Object(Map::new())
        };
        if at.is_null() {
            *at = Value::Object(Map::new());
        }
        at = match at {
            Value::Object(entries) => {
                let slot = entries.entry(step.clone()).or_insert(Value::Null);
                if slot.is_null() {
                    *slot = empty;
                }
                slot
            }
            Value::Array(items) => {
                let place = index(step, items.len()).ok_or_else(|| format!("`{step}` is no index"))?;
                if place == items.len() || step == "-" {
                    items.push(empty);
                }
                items.get_mut(place).ok_or_else(|| format!("the index {step} is out of bounds"))?
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                return Err(format!("`{step}` is within a single value"));
            }
        };
    }
    match at {
        Value::Object(entries) => {
            entries.insert(last.clone(), added);
        }
        Value::Array(items) if last == "-" => items.push(added),
        Value::Array(items) => {
            let place = index(last, items.len()).filter(|place| *place <= items.len());
            items.insert(place.ok_or_else(|| format!("the index {last} is out of bounds"))?, added);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            return Err(format!("nothing can be added at /{}", path.join("/")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(patch: &str, want: Value) {
        let resource = json!({"a": {"b": [1, 2]}, "c/d": "x"});
        assert_eq!(apply(&resource, &read(patch).unwrap()), Ok(want), "{patch}");
    }

    #[test]
    fn operations() {
        check("[{op: add, path: /a/b/-, value: 3}]", json!({"a": {"b": [1, 2, 3]}, "c/d": "x"}));
        check("[{op: add, path: /a/b/0, value: 3}]", json!({"a": {"b": [3, 1, 2]}, "c/d": "x"}));
        check("[{op: replace, path: /c~1d, value: y}]", json!({"a": {"b": [1, 2]}, "c/d": "y"}));
        check("[{op: remove, path: /a/b/-1}, {op: remove, path: /none/there}]", json!({"a": {"b": [1]}, "c/d": "x"}));
        check("[{op: add, path: /n/l/-, value: 1}]", json!({"a": {"b": [1, 2]}, "c/d": "x", "n": {"l": [1]}}));
        check("[{op: move, from: /a/b, path: /e}]", json!({"a": {}, "c/d": "x", "e": [1, 2]}));
        check("[{op: copy, from: /a/b/0, path: /e}]", json!({"a": {"b": [1, 2]}, "c/d": "x", "e": 1}));
    }

    #[test]
    fn what_can_not_be_applied() {
        let fails =
            |patch: &str| assert!(read(patch).and_then(|ops| apply(&json!({"a": 1}), &ops)).is_err(), "{patch}");
        fails("[{op: replace, path: /b, value: 1}]");
        fails("[{op: test, path: /a, value: 2}]");
        fails("[{op: add, path: a, value: 2}]");
        fails("[{op: frob, path: /a}]");
        fails("op: add");
        fails("[{op: add, path: /a/b/c, value: 1}]");
    }
}
