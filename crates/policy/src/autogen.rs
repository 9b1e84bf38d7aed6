//! Rules for pod controllers from rules for pods.
//!
//! Source: Kyverno's documentation, "Auto-Gen Rules". A rule about `Pod` alone is repeated for everything that has a pod
//! template, as `autogen-NAME`, and for `CronJob` as `autogen-cronjob-NAME`; patterns move under the template, and
//! expressions about the pod's `spec` and `metadata` are pointed there.

use serde_json::{Map, Value, json};

use crate::matching::{KindSelector, texts};

const CONTROLLERS: [&str; 7] =
    ["DaemonSet", "Deployment", "Job", "StatefulSet", "ReplicaSet", "ReplicationController", "CronJob"];

/// The annotation that says for which controllers rules are made.
const ANNOTATION: &str = "pod-policies.kyverno.io/autogen-controllers";

/// The longest name of a rule, in bytes.
const NAME_MAX: usize = 63;

/// The rules of a policy with those that are made of them.
pub(crate) fn rules(metadata: &Value, rules: &[Value]) -> Vec<Value> {
    let controllers = controllers(metadata, rules);
    let mut all: Vec<Value> = rules.to_vec();
    if controllers.is_empty() {
        return all;
    }
    let mut made = Vec::new();
    for rule in rules {
        let without: Vec<&str> = controllers.iter().map(String::as_str).filter(|name| *name != "CronJob").collect();
        let name = crate::request::text(rule, &["name"]);
        if name.starts_with("autogen-") || !about_pods(rule) {
            continue;
        }
        if !without.is_empty()
            && let Some(rule) = generated(rule, &format!("autogen-{name}"), "template", &without, false)
        {
            made.push(pointed(&rule, "spec.template"));
        }
        let template = generated(rule, name, "template", &without, false);
        if controllers.iter().any(|name| name == "CronJob")
            && let Some(rule) = template
            && let Some(rule) = generated(&rule, &format!("autogen-cronjob-{name}"), "jobTemplate", &["CronJob"], true)
        {
            made.push(pointed(&rule, "spec.jobTemplate.spec.template"));
        }
    }
    if !made.is_empty() {
        all.retain(|rule| !crate::request::text(rule, &["name"]).starts_with("autogen-"));
    }
    all.extend(made);
    all
}

/// Controllers for which rules are made.
fn controllers(metadata: &Value, rules: &[Value]) -> Vec<String> {
    if !possible(rules) {
        return Vec::new();
    }
    let annotation = metadata.get("annotations").and_then(|found| found.get(ANNOTATION)).and_then(Value::as_str);
    let all = || CONTROLLERS.iter().map(|name| (*name).to_owned()).collect();
    match annotation {
        None | Some("all") => all(),
        Some("none") => Vec::new(),
        Some(names) => {
            names.split(',').map(str::trim).filter(|name| CONTROLLERS.contains(name)).map(str::to_owned).collect()
        }
    }
}

/// Whether all rules are such that they can be repeated, and one is about pods or what runs them.
fn possible(rules: &[Value]) -> bool {
    let mut needed = false;
    for rule in rules {
        let patches =
            |value: &Value| value.get("patchesJson6902").and_then(Value::as_str).is_some_and(|text| !text.is_empty());
        let mutate = rule.get("mutate");
        let each = mutate.and_then(|mutate| mutate.get("foreach")).and_then(Value::as_array);
        if rule.get("generate").is_some() || mutate.is_some_and(patches) || each.into_iter().flatten().any(patches) {
            return false;
        }
        for resources in blocks(rule) {
            let kinds = texts(resources.get("kinds"));
            let set = |name: &str| resources.get(name).is_some_and(|value| !value.is_null() && value != "");
            let many = kinds.len() > 1 && contains_kind(&kinds, "Pod");
            if set("name") || set("names") || set("selector") || set("annotations") || many {
                return false;
            }
            needed |= kinds.iter().any(|kind| kind == "Pod" || CONTROLLERS.contains(&kind.as_str()));
        }
    }
    needed
}

/// The blocks of resources in `match` and `exclude`.
fn blocks(rule: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    for part in ["match", "exclude"] {
        let Some(part) = rule.get(part) else { continue };
        found.extend(part.get("resources"));
        for list in ["any", "all"] {
            let items = part.get(list).and_then(Value::as_array);
            found.extend(items.into_iter().flatten().filter_map(|item| item.get("resources")));
        }
    }
    found
}

fn contains_kind(kinds: &[String], wanted: &str) -> bool {
    kinds.iter().any(|kind| KindSelector::parse(kind).is_kind(wanted))
}

/// Whether a rule is about pods, and leaves out none but pods.
fn about_pods(rule: &Value) -> bool {
    let kinds = |part: &str| -> Vec<String> {
        let Some(part) = rule.get(part) else { return Vec::new() };
        let mut found = texts(part.get("resources").and_then(|resources| resources.get("kinds")));
        for list in ["any", "all"] {
            for item in part.get(list).and_then(Value::as_array).into_iter().flatten() {
                found.extend(texts(item.get("resources").and_then(|resources| resources.get("kinds"))));
            }
        }
        found
    };
    let excluded = kinds("exclude");
    contains_kind(&kinds("match"), "Pod") && (excluded.is_empty() || contains_kind(&excluded, "Pod"))
}

fn full_kind(kind: &str) -> String {
    match kind {
        "Job" | "CronJob" => format!("batch/v1/{kind}"),
        "ReplicationController" => format!("v1/{kind}"),
        other => format!("apps/v1/{other}"),
    }
}

/// Puts other kinds into a block of `match` or `exclude`.
fn with_kinds(part: &Value, kinds: &[&str], every: bool, only_if_set: bool) -> Value {
    let full: Vec<String> = kinds.iter().map(|kind| full_kind(kind)).collect();
    let mut part = part.clone();
    for list in ["any", "all"] {
        if let Some(items) = part.get_mut(list).and_then(Value::as_array_mut).filter(|items| !items.is_empty()) {
            for item in items {
                let own = texts(item.get("resources").and_then(|resources| resources.get("kinds")));
                if (every || contains_kind(&own, "Pod"))
                    && let Some(resources) = item.get_mut("resources").and_then(Value::as_object_mut)
                {
                    resources.insert("kinds".to_owned(), json!(full));
                }
            }
            return part;
        }
    }
    let has_kinds = part.get("resources").and_then(|resources| resources.get("kinds")).is_some();
    if let Some(resources) = part.get_mut("resources").and_then(Value::as_object_mut)
        && (has_kinds || !only_if_set)
    {
        resources.insert("kinds".to_owned(), json!(full));
    }
    part
}

/// A rule for other kinds, with its patterns moved under a key of `spec`.
fn generated(rule: &Value, name: &str, key: &str, kinds: &[&str], every: bool) -> Option<Value> {
    let mut made = rule.as_object()?.clone();
    let name: String = name.chars().take(NAME_MAX).collect();
    made.insert("name".to_owned(), Value::String(name));
    if let Some(part) = rule.get("match") {
        made.insert("match".to_owned(), with_kinds(part, kinds, every, false));
    }
    if let Some(part) = rule.get("exclude").filter(|part| !part.is_null()) {
        made.insert("exclude".to_owned(), with_kinds(part, kinds, every, true));
    }
    let moved = |value: &Value| json!({"spec": {key: value}});
    if let Some(mutate) = rule.get("mutate").and_then(Value::as_object) {
        made.insert("mutate".to_owned(), moved_mutation(mutate, &moved)?);
        return Some(Value::Object(made));
    }
    if let Some(validate) = rule.get("validate").and_then(Value::as_object) {
        let mut validate = validate.clone();
        if let Some(pattern) = validate.get_mut("pattern").filter(|pattern| !pattern.is_null()) {
            *pattern = moved(pattern);
        } else if validate.get("deny").is_none()
            && let Some(patterns) = validate.get_mut("anyPattern").and_then(Value::as_array_mut)
        {
            for pattern in patterns {
                *pattern = moved(pattern);
            }
        }
        made.insert("validate".to_owned(), Value::Object(validate));
        return Some(Value::Object(made));
    }
    rule.get("verifyImages").map(|_| Value::Object(made))
}

fn moved_mutation(mutate: &Map<String, Value>, moved: &dyn Fn(&Value) -> Value) -> Option<Value> {
    if let Some(patch) = mutate.get("patchStrategicMerge").filter(|patch| !patch.is_null()) {
        return Some(json!({"patchStrategicMerge": moved(patch)}));
    }
    let each = mutate.get("foreach")?.as_array()?;
    let moved_each = |item: &Value| {
        let mut made = Map::new();
        for name in ["list", "context", "preconditions"] {
            made.extend(item.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        let patch = item.get("patchStrategicMerge").unwrap_or(&Value::Null);
        made.insert("patchStrategicMerge".to_owned(), moved(patch));
        Value::Object(made)
    };
    Some(json!({"foreach": each.iter().map(moved_each).collect::<Vec<_>>()}))
}

/// Points expressions about the pod to the template.
fn pointed(rule: &Value, path: &str) -> Value {
    let cel = rule.get("validate").is_some_and(|validate| validate.get("cel").is_some());
    replaced(rule, path, cel)
}

fn replaced(value: &Value, path: &str, cel: bool) -> Value {
    match value {
        Value::String(text) => Value::String(point(text, path, cel)),
        Value::Array(items) => items.iter().map(|item| replaced(item, path, cel)).collect(),
        Value::Object(entries) => Value::Object(
            entries.iter().map(|(name, value)| (point(name, path, cel), replaced(value, path, cel))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// One text, with `object.spec` and `object.metadata` pointed to the template.
pub(crate) fn point(text: &str, path: &str, cel: bool) -> String {
    let mut text = text.to_owned();
    for part in ["spec", "metadata"] {
        for object in ["object", "oldObject"] {
            let root = if cel { object.to_owned() } else { format!("request.{object}") };
            text = text.replace(&format!("{root}.{part}"), &format!("{root}.{path}.{part}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rules: &[Value]) -> Vec<&str> {
        rules.iter().map(|rule| crate::request::text(rule, &["name"])).collect()
    }

    #[test]
    fn a_rule_for_pods_is_repeated() {
        let rule = json!({
            "name": "r", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "validate": {"message": "{{ request.object.spec.x }}", "pattern": {"spec": {"x": "y"}}},
        });
        let all = rules(&json!({}), std::slice::from_ref(&rule));
        assert_eq!(names(&all), ["r", "autogen-r", "autogen-cronjob-r"]);
        assert_eq!(all[1]["validate"]["pattern"]["spec"]["template"]["spec"]["x"], "y");
        assert_eq!(all[1]["validate"]["message"], "{{ request.object.spec.template.spec.x }}");
        assert_eq!(all[2]["validate"]["pattern"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["x"], "y");
        assert_eq!(all[2]["match"]["any"][0]["resources"]["kinds"], json!(["batch/v1/CronJob"]));
        let none = json!({"annotations": {ANNOTATION: "none"}});
        assert_eq!(names(&rules(&none, std::slice::from_ref(&rule))), ["r"]);
        let some = json!({"annotations": {ANNOTATION: "Deployment,Job"}});
        let all = rules(&some, &[rule]);
        assert_eq!(all[1]["match"]["any"][0]["resources"]["kinds"], json!(["apps/v1/Deployment", "batch/v1/Job"]));
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn rules_with_names_or_more_kinds_are_not() {
        let rule =
            |resources: Value| json!({"name": "r", "match": {"resources": resources}, "validate": {"pattern": {}}});
        for resources in [
            json!({"kinds": ["Pod", "Deployment"]}),
            json!({"kinds": ["Pod"], "name": "x"}),
            json!({"kinds": ["Pod"], "selector": {"matchLabels": {}}}),
            json!({"kinds": ["Service"]}),
        ] {
            assert_eq!(rules(&json!({}), &[rule(resources)]).len(), 1);
        }
    }
}
