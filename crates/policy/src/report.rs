//! Policy reports in the standard format.
//!
//! Source: the API `wgpolicyk8s.io/v1alpha2` of the Kubernetes policy working group
//! (<https://htmlpreview.github.io/?https://github.com/kubernetes-sigs/wg-policy-prototypes>).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::kyverno::RuleResult;
use crate::request::text;
use crate::rule::Action;
use crate::set::{Policy, PolicyResult, PolicySet};
use crate::validate::Status;

/// What policies said to one resource.
#[derive(Debug)]
pub struct Answered<'a> {
    /// The resource.
    pub resource: &'a Value,
    /// What they said.
    pub results: Vec<PolicyResult>,
}

/// One report a namespace, and one for resources that have none.
pub fn reports(set: &PolicySet, answered: &[Answered<'_>]) -> Vec<Value> {
    let mut by_namespace: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for one in answered {
        let namespace = text(one.resource, &["metadata", "namespace"]).to_owned();
        for answer in &one.results {
            let Some(policy) = set.policies.get(answer.policy) else { continue };
            let results = answer.results.iter().map(|result| entry(policy, result, one.resource));
            by_namespace.entry(namespace.clone()).or_default().extend(results);
        }
    }
    by_namespace.into_iter().map(|(namespace, results)| report(&namespace, &results)).collect()
}

fn report(namespace: &str, results: &[Value]) -> Value {
    let count = |status: Status| results.iter().filter(|result| text(result, &["result"]) == status.as_str()).count();
    let summary = json!({
        "pass": count(Status::Pass), "fail": count(Status::Fail), "warn": count(Status::Warn),
        "error": count(Status::Error), "skip": count(Status::Skip),
    });
    let (kind, metadata) = if namespace.is_empty() {
        ("ClusterPolicyReport", json!({"name": "prograde"}))
    } else {
        ("PolicyReport", json!({"name": "prograde", "namespace": namespace}))
    };
    json!({"apiVersion": "wgpolicyk8s.io/v1alpha2", "kind": kind, "metadata": metadata, "results": results, "summary": summary})
}

fn entry(policy: &Policy, result: &RuleResult, resource: &Value) -> Value {
    let mut made = Map::new();
    let mut set = |name: &str, value: Value| drop(made.insert(name.to_owned(), value));
    set("source", Value::from("prograde"));
    set("policy", Value::from(policy.name()));
    if !result.rule.is_empty() {
        set("rule", Value::from(result.rule.as_str()));
    }
    set("result", Value::from(result.status.as_str()));
    set("scored", Value::from(policy.annotation("policies.kyverno.io/scored") != Some("false")));
    for (field, annotation) in
        [("category", "policies.kyverno.io/category"), ("severity", "policies.kyverno.io/severity")]
    {
        if let Some(value) = policy.annotation(annotation) {
            set(field, Value::from(value));
        }
    }
    set("message", Value::from(result.message.as_str()));
    let place = |name: &str| text(resource, &["metadata", name]);
    let mut reference = json!({
        "apiVersion": text(resource, &["apiVersion"]), "kind": text(resource, &["kind"]), "name": place("name"),
    });
    if let (Some(fields), false) = (reference.as_object_mut(), place("namespace").is_empty()) {
        fields.insert("namespace".to_owned(), Value::from(place("namespace")));
    }
    set("resources", json!([reference]));
    let action = if result.action == Action::Enforce { "enforce" } else { "audit" };
    set("properties", json!({"action": action}));
    Value::Object(made)
}
