//! Strategic merge patches with anchors.
//!
//! First the patch is made fit for the resource: conditions are looked at, what is only to be added is left out where it
//! is there, and items of lists whose conditions hold are written out by name. Then the patch is merged: objects by key,
//! lists of objects by the key that Kubernetes merges them by, everything else replaced.
//!
//! Source: Kyverno's documentation, "Mutate Rules", "Strategic Merge Patch"; Kubernetes' documentation, "Update API
//! Objects in Place Using kubectl patch"; merge keys: `x-kubernetes-patch-merge-key` in Kubernetes' API reference.

use serde_json::{Map, Value};

use crate::anchor::{self, Anchor};
use crate::jmespath::equal;
use crate::pattern::Pattern;

/// Why a patch does not apply.
enum Trouble {
    /// A condition does not hold here.
    Condition,
    /// A global condition does not hold.
    Global,
    Failed(String),
}

/// The resource with the patch merged into it.
pub(crate) fn apply(resource: &Value, patch: &Value) -> Result<Value, String> {
    let mut patch = patch.clone();
    match prepare(&mut patch, Some(resource)) {
        Ok(()) => {}
        Err(Trouble::Condition | Trouble::Global) => return Ok(resource.clone()),
        Err(Trouble::Failed(why)) => return Err(why),
    }
    if let Value::Object(fields) = &mut patch {
        let names: Vec<String> = fields.keys().cloned().collect();
        for name in names {
            let condition = is_condition(&name);
            if fields.get_mut(&name).is_some_and(|value| drop_anchors(value, condition)) {
                fields.shift_remove(&name);
            }
        }
    }
    let mut merged = resource.clone();
    merge(&mut merged, &patch, "");
    Ok(merged)
}

fn is_condition(key: &str) -> bool {
    matches!(anchor::parse(key), Some((Anchor::Condition | Anchor::Global, _)))
}

fn is_anchor(key: &str) -> bool {
    matches!(anchor::parse(key), Some((Anchor::Condition | Anchor::Global | Anchor::AddIfNotPresent, _)))
}

fn prepare(patch: &mut Value, resource: Option<&Value>) -> Result<(), Trouble> {
    match patch {
        Value::Object(fields) => prepare_map(fields, resource),
        Value::Array(items) if items.first().is_some_and(Value::is_object) => prepare_list(items, resource),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Ok(()),
    }
}

fn prepare_map(fields: &mut Map<String, Value>, resource: Option<&Value>) -> Result<(), Trouble> {
    add_if_not_present(fields, resource);
    conditions(fields, resource, Anchor::Global, &Trouble::Global)?;
    conditions(fields, resource, Anchor::Condition, &Trouble::Condition)?;
    for (name, value) in fields.iter_mut().filter(|(name, _)| !is_anchor(name)) {
        prepare(value, resource.and_then(|resource| resource.get(name)))?;
    }
    Ok(())
}

/// Leaves out what is there, and takes the anchor off what is not. How many there were.
fn add_if_not_present(fields: &mut Map<String, Value>, resource: Option<&Value>) -> usize {
    let mut made = Map::new();
    let mut count = 0;
    for (name, value) in std::mem::take(fields) {
        match anchor::parse(&name) {
            Some((Anchor::AddIfNotPresent, key)) => {
                count += 1;
                if resource.and_then(|resource| resource.get(key)).is_none() {
                    made.insert(key.to_owned(), value);
                }
            }
            Some(_) | None => {
                made.insert(name, value);
            }
        }
    }
    *fields = made;
    count
}

fn conditions(
    fields: &mut Map<String, Value>,
    resource: Option<&Value>,
    wanted: Anchor,
    trouble: &Trouble,
) -> Result<(), Trouble> {
    let failed = || match trouble {
        Trouble::Global => Trouble::Global,
        Trouble::Condition | Trouble::Failed(_) => Trouble::Condition,
    };
    for (name, value) in fields.iter_mut() {
        let Some((found, key)) = anchor::parse(name) else { continue };
        if found != wanted {
            continue;
        }
        let there = resource.and_then(|resource| resource.get(key)).ok_or_else(failed)?;
        if let Value::Object(inner) = value
            && add_if_not_present(inner, Some(there)) > 0
        {
            continue;
        }
        let pattern = Pattern::compile(value).map_err(Trouble::Failed)?;
        pattern.check(there).map_err(|_| failed())?;
    }
    Ok(())
}

fn has_anchors(value: &Value, test: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| test(name) || has_anchors(value, test)),
        Value::Array(items) => items.iter().any(|item| has_anchors(item, test)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Items with anchors are tried on every item of the resource; those that hold are appended by the item's name.
fn prepare_list(items: &mut Vec<Value>, resource: Option<&Value>) -> Result<(), Trouble> {
    let none = Vec::new();
    let there = resource.and_then(Value::as_array).unwrap_or(&none);
    let mut appended = Vec::new();
    for item in items.iter().filter(|item| has_anchors(item, &is_anchor)) {
        let global = has_anchors(item, &|name| matches!(anchor::parse(name), Some((Anchor::Global, _))));
        let mut passed = false;
        let mut global_failed = false;
        for element in there {
            let mut working = item.clone();
            match prepare(&mut working, Some(element)) {
                Ok(()) if global => passed = true,
                Ok(()) => appended.extend(named(&working, element)),
                Err(Trouble::Condition) => {}
                Err(Trouble::Global) => global_failed = true,
                Err(trouble @ Trouble::Failed(_)) => return Err(trouble),
            }
        }
        if resource.is_none() {
            match prepare(&mut item.clone(), None) {
                Ok(()) => passed |= global,
                Err(Trouble::Condition) => {}
                Err(trouble @ (Trouble::Global | Trouble::Failed(_))) => return Err(trouble),
            }
        }
        if global_failed && !passed {
            return Err(Trouble::Global);
        }
    }
    items.extend(appended);
    Ok(())
}

/// The item for one element of the resource, without anchors and with the element's name.
fn named(item: &Value, element: &Value) -> Option<Value> {
    let name = element.get("name").filter(|name| !name.is_null())?;
    let mut made = item.clone();
    if drop_anchors(&mut made, true) {
        return None;
    }
    made.as_object_mut()?.insert("name".to_owned(), name.clone());
    Some(made)
}

/// Takes conditions out; true where nothing is left.
fn drop_anchors(value: &mut Value, drop_scalar: bool) -> bool {
    match value {
        Value::Object(fields) => drop_from_map(fields),
        Value::Array(items) => {
            let before = items.len();
            items.retain_mut(|item| !has_anchors(item, &is_anchor) && !drop_anchors(item, false));
            items.is_empty() && before > 0
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => drop_scalar,
    }
}

fn drop_from_map(fields: &mut Map<String, Value>) -> bool {
    let mut made = Map::new();
    for (name, mut value) in std::mem::take(fields) {
        match anchor::parse(&name) {
            Some((Anchor::Condition | Anchor::Global, key)) => {
                if !drop_anchors(&mut value, true) {
                    made.insert(key.to_owned(), value);
                }
            }
            Some(_) | None => {
                made.insert(name, value);
            }
        }
    }
    let mut empty = true;
    made.retain(|_, value| {
        let drop = drop_anchors(value, false);
        empty &= drop;
        !drop
    });
    *fields = made;
    empty
}

/// Keys by which lists are merged, by the list's name.
const MERGE_KEYS: [(&str, &[&str]); 16] = [
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("volumes", &["name"]),
    ("env", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("imagePullSecrets", &["name"]),
    ("hostAliases", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("ports", &["containerPort", "protocol"]),
    ("secrets", &["name"]),
    ("conditions", &["type"]),
    ("ownerReferences", &["uid"]),
    ("resourceClaims", &["name"]),
    ("schedulingGates", &["name"]),
];

/// The keys of a list, where its items have the first of them.
pub(crate) fn merge_keys(list: &str, items: &[Value]) -> Option<&'static [&'static str]> {
    let has = |key: &str| !items.is_empty() && items.iter().all(|item| item.get(key).is_some());
    let (_, keys) = MERGE_KEYS.iter().find(|(name, _)| *name == list)?;
    if keys.first().is_some_and(|key| has(key)) {
        return Some(keys);
    }
    (list == "ports" && has("port")).then_some(&["port"][..])
}

fn merge(into: &mut Value, patch: &Value, list: &str) {
    match (into, patch) {
        (Value::Object(fields), Value::Object(changes)) => {
            match changes.get("$patch").and_then(Value::as_str) {
                Some("delete") => return fields.clear(),
                Some("replace") => fields.clear(),
                _ => {}
            }
            for (name, change) in changes.iter().filter(|(name, _)| name.as_str() != "$patch") {
                if change.is_null() || change.get("$patch").and_then(Value::as_str) == Some("delete") {
                    fields.shift_remove(name);
                } else {
                    merge(fields.entry(name.clone()).or_insert(Value::Null), change, name);
                }
            }
        }
        (Value::Array(items), Value::Array(changes)) => merge_list(items, changes, list),
        (slot, Value::Object(changes)) => {
            *slot = Value::Object(Map::new());
            merge(slot, &Value::Object(changes.clone()), list);
        }
        (slot, change) => *slot = without_directives(change),
    }
}

fn without_directives(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let kept = items.iter().filter(|item| item.get("$patch").is_none());
            kept.map(without_directives).collect()
        }
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_directives(value))).collect())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other.clone(),
    }
}

fn merge_list(items: &mut Vec<Value>, changes: &[Value], list: &str) {
    let replace = changes.iter().any(|change| change.get("$patch").and_then(Value::as_str) == Some("replace"));
    let Some(keys) = merge_keys(list, changes).filter(|_| !replace) else {
        if list == "finalizers" {
            let new: Vec<Value> = changes.iter().filter(|change| !items.contains(change)).cloned().collect();
            items.splice(0..0, new);
            return;
        }
        *items = changes.iter().map(without_directives).filter(|change| change.get("$patch").is_none()).collect();
        return;
    };
    // What the patch names comes first, in the patch's order.
    let mut front: Vec<Value> = Vec::new();
    for change in changes {
        let same = |item: &Value| {
            keys.iter().all(|key| match (item.get(*key), change.get(*key)) {
                (Some(a), Some(b)) => equal(a, b),
                (None, None) => true,
                // Kubernetes' default protocol is TCP.
                (Some(one), None) | (None, Some(one)) => *key == "protocol" && one == "TCP",
            })
        };
        let delete = change.get("$patch").and_then(Value::as_str) == Some("delete");
        let known = items.iter().position(same).map(|place| items.remove(place));
        match (known, front.iter().position(same)) {
            (known, Some(place)) => {
                front.extend(known);
                if delete {
                    front.remove(place);
                } else if let Some(item) = front.get_mut(place) {
                    merge(item, change, "");
                }
            }
            (_, None) if delete => {}
            (Some(mut item), None) => {
                merge(&mut item, change, "");
                front.push(item);
            }
            (None, None) => front.push(without_directives(change)),
        }
    }
    items.splice(0..0, front);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(patch: Value, want: Value) {
        let resource = json!({
            "metadata": {"name": "x", "labels": {"a": "1"}},
            "spec": {"containers": [{"name": "c", "image": "i:latest"}, {"name": "d", "image": "j:1"}], "tolerations": [{"key": "t"}]},
        });
        let patched = apply(&resource, &patch).unwrap();
        assert!(equal(&patched, &want), "{patch}\n{patched}");
    }

    fn base() -> Value {
        json!({
            "metadata": {"name": "x", "labels": {"a": "1"}},
            "spec": {"containers": [{"name": "c", "image": "i:latest"}, {"name": "d", "image": "j:1"}], "tolerations": [{"key": "t"}]},
        })
    }

    #[test]
    fn objects_and_lists() {
        let mut want = base();
        want["metadata"]["labels"]["b"] = json!("2");
        check(json!({"metadata": {"labels": {"b": "2"}}}), want);
        let mut want = base();
        want["metadata"] = json!({"name": "x"});
        check(json!({"metadata": {"labels": null}}), want);
        let mut want = base();
        want["spec"]["tolerations"] = json!([{"key": "u"}]);
        check(json!({"spec": {"tolerations": [{"key": "u"}]}}), want);
        let mut want = base();
        want["spec"]["containers"] = json!([{"name": "d", "image": "k"}, {"name": "c", "image": "i:latest"}]);
        check(json!({"spec": {"containers": [{"name": "d", "image": "k"}]}}), want);
    }

    #[test]
    fn anchors() {
        let mut want = base();
        want["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
        check(json!({"spec": {"containers": [{"(image)": "*:latest", "imagePullPolicy": "Always"}]}}), want);
        check(json!({"metadata": {"+(labels)": {"b": "2"}}}), base());
        let mut want = base();
        want["metadata"]["labels"]["b"] = json!("2");
        check(json!({"metadata": {"labels": {"+(b)": "2", "+(a)": "9"}}}), want);
        check(json!({"metadata": {"labels": {"(a)": "2", "b": "2"}}}), base());
        let mut want = base();
        want["spec"]["containers"] = json!([{"name": "c", "image": "i:latest", "tty": true}, {"name": "d", "image": "j:1", "tty": true, "stdin": true}]);
        check(
            json!({"spec": {"containers": [{"(name)": "*", "tty": true}, {"(name)": "d", "+(image)": "x", "stdin": true}]}}),
            want,
        );
        let mut want = base();
        want["spec"]["x"] = json!(true);
        check(json!({"spec": {"<(tolerations)": [{"key": "t"}], "x": true}}), want);
    }
}
