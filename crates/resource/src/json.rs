//! Looking into JSON without copying it.

use serde_json::Value;

/// The value at a path of field names.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// The text at a path; empty where there is none.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> &'a str {
    at(value, path).and_then(Value::as_str).unwrap_or_default()
}

/// The whole number at a path. Numbers that are written as texts count: some controllers do so.
pub(crate) fn whole(value: &Value, path: &[&str]) -> Option<i64> {
    let found = at(value, path)?;
    found.as_i64().or_else(|| found.as_str()?.parse().ok())
}

/// Whether the value at a path is `true`.
pub(crate) fn flag(value: &Value, path: &[&str]) -> bool {
    at(value, path).and_then(Value::as_bool).unwrap_or(false)
}

/// The items of the list at a path; none where there is no list.
pub(crate) fn items<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// An annotation.
pub(crate) fn annotation<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    at(value, &["metadata", "annotations"])?.get(name)?.as_str()
}

/// The parts of an annotation that is a list with commas.
pub(crate) fn annotation_list<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    let text = annotation(value, name).unwrap_or_default();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()
}
