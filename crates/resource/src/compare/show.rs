//! Differences as people read them.

use serde_json::Value;
use sha2::{Digest, Sha256};
use similar::TextDiff;

use super::{Difference, LAST_APPLIED, is_secret, predicted};

/// Lines around what differs.
const CONTEXT: usize = 3;

/// A secret's value as it may be shown: a piece of its hash, by which equal values are known.
pub(super) fn hidden(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), hidden(value))).collect())
        }
        Value::Null => Value::Null,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            let hash = hex::encode(Sha256::digest(super::path::bare(value)));
            Value::from(format!("(secret, sha256 {})", hash.get(..8).unwrap_or_default()))
        }
    }
}

/// The difference as a unified diff of YAML, from what is to what should be. Fields of the server are left out.
pub fn unified(live: &Value, differences: &[Difference]) -> String {
    let (from, to) = (view(live), view(&predicted(live, differences)));
    let (from, to) = (prograde_kustomize::yaml(&from), prograde_kustomize::yaml(&to));
    TextDiff::from_lines(&from, &to).unified_diff().context_radius(CONTEXT).header("live", "desired").to_string()
}

fn view(object: &Value) -> Value {
    let mut made = object.clone();
    let secret = is_secret(object);
    let Some(fields) = made.as_object_mut() else { return made };
    fields.shift_remove("status");
    for name in ["data", "stringData"] {
        if secret && let Some(data) = fields.get_mut(name) {
            *data = hidden(data);
        }
    }
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        for name in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"] {
            metadata.shift_remove(name);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.shift_remove(LAST_APPLIED);
        }
    }
    made
}
