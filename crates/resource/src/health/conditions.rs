//! Health by conditions, for every kind that is not known, after kstatus.
//!
//! Source: kstatus of sigs.k8s.io/cli-utils (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>):
//! an observed generation that is not the object's means that its controller has not looked yet; `Reconciling` and
//! `Stalled` say that work goes on or has failed; `Ready` that is not true is work that goes on. What says nothing about
//! itself counts as it should be. Beyond kstatus, a condition that was made for an older generation is not believed.

use serde_json::Value;

use super::Health;
use crate::json::{items, text, whole};

/// A condition of a type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, &["status", "conditions"]).iter().find(|one| text(one, &["type"]) == kind)
}

/// Whether a condition is there with a status.
pub(super) fn has(object: &Value, kind: &str, status: &str) -> bool {
    condition(object, kind).is_some_and(|one| text(one, &["status"]) == status)
}

/// What a condition says, else its reason.
pub(super) fn said(condition: &Value) -> String {
    let (reason, message) = (text(condition, &["reason"]), text(condition, &["message"]));
    match (reason, message) {
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// What to say where the controller has not looked at the present object yet.
pub(super) fn unobserved(object: &Value) -> Option<Health> {
    let generation = whole(object, &["metadata", "generation"])?;
    let observed = whole(object, &["status", "observedGeneration"])?;
    (observed != generation).then(|| {
        Health::progressing(format!("generation {generation} is not observed yet; the last that was is {observed}"))
    })
}

/// The health of an object of any kind.
pub(super) fn health(object: &Value) -> Health {
    if let Some(waiting) = unobserved(object) {
        return waiting;
    }
    let generation = whole(object, &["metadata", "generation"]);
    let fresh = |one: &&Value| match (whole(one, &["observedGeneration"]), generation) {
        (Some(observed), Some(generation)) => observed >= generation,
        (None | Some(_), _) => true,
    };
    let all = items(object, &["status", "conditions"]);
    let is = |one: &Value, kind: &str, status: &str| text(one, &["type"]) == kind && text(one, &["status"]) == status;
    for one in all.iter().filter(fresh) {
        if is(one, "Reconciling", "True") {
            return Health::progressing(said(one));
        }
        if is(one, "Stalled", "True") {
            return Health::degraded(said(one));
        }
    }
    match all.iter().find(|one| text(one, &["type"]) == "Ready") {
        Some(ready) if !fresh(&ready) => Health::progressing("the condition Ready is about an older generation"),
        Some(ready) if text(ready, &["status"]) == "True" => Health::healthy(said(ready)),
        Some(ready) => Health::progressing(said(ready)),
        None => Health::healthy(""),
    }
}
