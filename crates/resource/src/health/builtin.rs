//! Health of Kubernetes' own kinds. Where Argo CD has a rule it holds, because syncs that wait are written for it; kinds
//! that it says nothing of follow kstatus, or the fields that their controllers report in.

use serde_json::Value;

use super::conditions::{self, condition, has, said};
use super::{Health, Status, pod, workload};
use crate::json::{annotation, at, items, text};

/// The health of an object of a kind that is known; none for other kinds.
pub(super) fn health(group: &str, kind: &str, object: &Value) -> Option<Health> {
    let found = match (group, kind) {
        ("apps" | "extensions", "Deployment") => workload::deployment(object),
        ("apps" | "extensions", "ReplicaSet") => workload::replica_set(object),
        ("apps" | "extensions", "DaemonSet") => workload::daemon_set(object),
        ("apps", "StatefulSet") => workload::stateful_set(object),
        ("batch", "Job") => workload::job(object),
        ("batch", "CronJob") => workload::cron_job(object),
        ("", "ReplicationController") => workload::replication_controller(object),
        ("", "Pod") => pod::pod(object),
        ("", "Service") => service(object),
        ("", "PersistentVolumeClaim") => claim(object),
        ("", "PersistentVolume") => volume(object),
        ("", "Namespace") => namespace(object),
        ("", "Node") => node(object),
        ("networking.k8s.io" | "extensions", "Ingress") => ingress(object),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(object),
        ("policy", "PodDisruptionBudget") => budget(object),
        ("apiregistration.k8s.io", "APIService") => api_service(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition(object),
        ("certificates.k8s.io", "CertificateSigningRequest") => signing_request(object),
        ("storage.k8s.io", "VolumeAttachment") => attachment(object),
        ("argoproj.io", "Workflow") => workflow(object),
        _ => return None,
    };
    Some(found)
}

fn has_address(object: &Value) -> bool {
    !items(object, &["status", "loadBalancer", "ingress"]).is_empty()
}

fn service(object: &Value) -> Health {
    if text(object, &["spec", "type"]) != "LoadBalancer" || has_address(object) {
        return Health::healthy("");
    }
    Health::progressing("the load balancer has no address yet")
}

fn ingress(object: &Value) -> Health {
    if has_address(object) { Health::healthy("") } else { Health::progressing("it has no address yet") }
}

fn claim(object: &Value) -> Health {
    match text(object, &["status", "phase"]) {
        "Bound" => Health::healthy(""),
        "Lost" => Health::degraded("the volume that it was bound to is lost"),
        "Pending" => Health::progressing("no volume is bound yet"),
        phase => Health::new(Status::Unknown, format!("the phase `{phase}` is not known")),
    }
}

fn volume(object: &Value) -> Health {
    let message = text(object, &["status", "message"]);
    match text(object, &["status", "phase"]) {
        "Available" | "Bound" | "Released" => Health::healthy(message),
        "Failed" => Health::degraded(message),
        "Pending" | "" => Health::progressing(message),
        phase => Health::new(Status::Unknown, format!("the phase `{phase}` is not known")),
    }
}

fn namespace(object: &Value) -> Health {
    if text(object, &["status", "phase"]) != "Terminating" {
        return Health::healthy("");
    }
    let held = items(object, &["status", "conditions"]).iter().find(|one| text(one, &["status"]) == "True");
    Health::progressing(held.map_or_else(|| "it is being deleted".to_owned(), said))
}

fn node(object: &Value) -> Health {
    match condition(object, "Ready") {
        Some(ready) if text(ready, &["status"]) == "True" => Health::healthy(said(ready)),
        Some(ready) => Health::degraded(said(ready)),
        None => Health::progressing("nothing is known of it yet"),
    }
}

/// The reasons for which Argo CD takes an autoscaler for failed.
const AUTOSCALER_FAILURES: [(&str, &str); 4] = [
    ("AbleToScale", "FailedGetScale"),
    ("AbleToScale", "FailedUpdateScale"),
    ("ScalingActive", "FailedGetResourceMetric"),
    ("ScalingActive", "InvalidSelector"),
];

fn autoscaler(object: &Value) -> Health {
    // Version 1 of the API keeps conditions in an annotation.
    let kept = annotation(object, "autoscaling.alpha.kubernetes.io/conditions");
    let kept: Option<Vec<Value>> = match kept.map(serde_json::from_str) {
        Some(Ok(all)) => Some(all),
        Some(Err(_)) => return Health::new(Status::Unknown, "the annotation with its conditions is no JSON"),
        None => None,
    };
    let all = kept.as_deref().unwrap_or_else(|| items(object, &["status", "conditions"]));
    for one in all {
        let (kind, reason) = (text(one, &["type"]), text(one, &["reason"]));
        if AUTOSCALER_FAILURES.contains(&(kind, reason)) {
            return Health::degraded(said(one));
        }
        if matches!(kind, "AbleToScale" | "ScalingLimited") && text(one, &["status"]) == "True" {
            return Health::healthy(said(one));
        }
    }
    Health::progressing("it has not scaled anything yet")
}

fn budget(object: &Value) -> Health {
    let all = items(object, &["status", "conditions"]);
    // Too few pods is what a budget is there to say, and no fault of its own.
    let failed = |one: &&Value| text(one, &["status"]) == "False" && text(one, &["reason"]) != "InsufficientPods";
    if let Some(failed) = all.iter().find(failed) {
        return Health::degraded(said(failed));
    }
    match all.last() {
        Some(last) => Health::healthy(said(last)),
        // Servers before 1.22 give it no conditions.
        None if at(object, &["status", "disruptionsAllowed"]).is_some() => Health::healthy(""),
        None => Health::progressing("it was not worked out yet"),
    }
}

fn api_service(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(available) if text(available, &["status"]) == "True" => Health::healthy(said(available)),
        Some(available) => Health::progressing(said(available)),
        None => Health::progressing("nobody has looked at it yet"),
    }
}

fn definition(object: &Value) -> Health {
    let holds = |kind: &str, status: &str| condition(object, kind).filter(|one| text(one, &["status"]) == status);
    if items(object, &["status", "conditions"]).is_empty() {
        return Health::progressing("nobody has looked at it yet");
    }
    if let Some(ending) = holds("Terminating", "True") {
        return Health::progressing(said(ending));
    }
    if let Some(refused) = holds("NamesAccepted", "False").or_else(|| holds("NonStructuralSchema", "True")) {
        return Health::degraded(said(refused));
    }
    if has(object, "Established", "True") {
        return Health::healthy("");
    }
    match condition(object, "Established") {
        // kstatus: it is being set up.
        Some(not_yet) if text(not_yet, &["reason"]) == "Installing" => Health::progressing(said(not_yet)),
        Some(not_yet) => Health::degraded(said(not_yet)),
        None => Health::degraded("it is not established"),
    }
}

fn signing_request(object: &Value) -> Health {
    let holds = |kind: &str| condition(object, kind);
    if let Some(refused) = holds("Denied").or_else(|| holds("Failed")) {
        return Health::degraded(said(refused));
    }
    if !text(object, &["status", "certificate"]).is_empty() {
        return Health::healthy("");
    }
    Health::progressing("no certificate has been issued yet")
}

fn attachment(object: &Value) -> Health {
    for failed in ["attachError", "detachError"] {
        if let Some(error) = at(object, &["status", failed]) {
            return Health::degraded(text(error, &["message"]));
        }
    }
    if crate::json::flag(object, &["status", "attached"]) {
        return Health::healthy("");
    }
    Health::progressing("it is not attached yet")
}

fn workflow(object: &Value) -> Health {
    let message = text(object, &["status", "message"]);
    match text(object, &["status", "phase"]) {
        "" | "Pending" | "Running" => Health::progressing(message),
        "Succeeded" => Health::healthy(message),
        "Failed" | "Error" => Health::degraded(message),
        phase => conditions::unobserved(object)
            .unwrap_or_else(|| Health::new(Status::Unknown, format!("the phase `{phase}` is not known"))),
    }
}
