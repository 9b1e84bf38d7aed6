//! Apply configurations: what an expression says a resource should hold, merged into it as server-side apply does.
//!
//! Objects are merged by key. Lists of Kubernetes' own kinds that have keys are merged by them, with what is new after what
//! it follows; all other lists are replaced. A null takes a field out.
//!
//! Source: Kubernetes' documentation, "Server-Side Apply", "Merge strategy" and "Comparison with Client-Side Apply".

use serde_json::{Map, Value};

use super::strategic::merge_keys;
use crate::jmespath::equal;
use crate::request::Kind;

/// The resource with the configuration merged into it.
pub(crate) fn apply(resource: &Value, configuration: &Value) -> Value {
    let kind = Kind::of(resource);
    let keyed = !kind.group.contains('.') || kind.group.ends_with(".k8s.io");
    let mut merged = resource.clone();
    merge(&mut merged, configuration, "", keyed);
    merged
}

fn merge(into: &mut Value, change: &Value, list: &str, keyed: bool) {
    match (into, change) {
        (Value::Object(fields), Value::Object(changes)) => {
            for (name, change) in changes {
                if change.is_null() {
                    fields.shift_remove(name);
                } else {
                    merge(fields.entry(name.clone()).or_insert(Value::Null), change, name, keyed);
                }
            }
        }
        (slot, Value::Object(changes)) => {
            *slot = Value::Object(Map::new());
            merge(slot, &Value::Object(changes.clone()), list, keyed);
        }
        (Value::Array(items), Value::Array(changes)) if keyed => merge_list(items, changes, list),
        (slot, change) => *slot = change.clone(),
    }
}

/// Items of both sides in the order of both: what only the resource has stands before what only the change has.
fn merge_list(items: &mut Vec<Value>, changes: &[Value], list: &str) {
    if list == "finalizers" {
        let new: Vec<Value> = changes.iter().filter(|change| !items.contains(change)).cloned().collect();
        items.extend(new);
        return;
    }
    let Some(keys) = merge_keys(list, changes) else {
        *items = changes.to_vec();
        return;
    };
    let same = |item: &Value, change: &Value| {
        keys.iter().all(|key| match (item.get(*key), change.get(*key)) {
            (Some(a), Some(b)) => equal(a, b),
            (None, None) => true,
            // Kubernetes' default protocol is TCP.
            (Some(one), None) | (None, Some(one)) => *key == "protocol" && one == "TCP",
        })
    };
    let mut left = std::mem::take(items).into_iter().peekable();
    let mut done: Vec<Value> = Vec::new();
    for change in changes {
        while let Some(item) = left.next_if(|item| !changes.iter().any(|change| same(item, change))) {
            items.push(item);
        }
        let mut item = left.next_if(|item| same(item, change));
        if item.is_none() {
            // It stands further on: it is taken from there, and what is before it stays for later.
            let rest: Vec<Value> = left.by_ref().collect();
            let (mut found, others): (Vec<Value>, Vec<Value>) = rest.into_iter().partition(|item| same(item, change));
            item = found.pop();
            done = others;
            left = std::mem::take(&mut done).into_iter().peekable();
        }
        let mut item = item.unwrap_or(Value::Null);
        merge(&mut item, change, "", true);
        items.push(item);
    }
    items.extend(left);
    items.extend(done);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(resource: Value, change: Value, want: Value) {
        let merged = apply(&resource, &change);
        assert!(equal(&merged, &want), "{change}\n{merged}");
    }

    #[test]
    fn lists_with_keys_are_merged_by_them() {
        let pod = |containers: Value| json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": containers}});
        let change = |containers: Value| json!({"spec": {"containers": containers}});
        let two = || pod(json!([{"name": "a", "image": "i"}, {"name": "b", "image": "j"}]));
        check(
            two(),
            change(json!([{"name": "b", "image": "k"}])),
            pod(json!([{"name": "a", "image": "i"}, {"name": "b", "image": "k"}])),
        );
        check(
            two(),
            change(json!([{"name": "new"}])),
            pod(json!([{"name": "a", "image": "i"}, {"name": "b", "image": "j"}, {"name": "new"}])),
        );
        check(
            two(),
            change(json!([{"name": "b", "x": 1}, {"name": "a", "x": 2}])),
            pod(json!([{"name": "b", "image": "j", "x": 1}, {"name": "a", "image": "i", "x": 2}])),
        );
        check(
            two(),
            json!({"metadata": {"labels": {"x": "y"}}, "spec": {"tolerations": [{"key": "t"}]}}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"labels": {"x": "y"}}, "spec": {
                "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "j"}], "tolerations": [{"key": "t"}]}}),
        );
    }

    #[test]
    fn lists_of_other_kinds_are_replaced_and_nulls_take_out() {
        let made = |env: Value| json!({"apiVersion": "x.example/v1", "kind": "X", "spec": {"env": env, "a": 1}});
        check(made(json!([{"name": "a"}])), json!({"spec": {"env": [{"name": "b"}]}}), made(json!([{"name": "b"}])));
        check(
            made(json!([])),
            json!({"spec": {"a": null, "env": null}}),
            json!({"apiVersion": "x.example/v1", "kind": "X", "spec": {}}),
        );
    }
}
