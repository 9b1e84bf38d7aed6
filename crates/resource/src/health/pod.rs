//! Health of a pod. Rules of Argo CD; a pod that can't be scheduled is on its way there, while kstatus takes it for failed
//! after 15 seconds: autoscalers add nodes in minutes, and a sync should not give up for that.

use serde_json::Value;

use super::conditions::{condition, has, said};
use super::{Health, Status};
use crate::json::{at, items, text, whole};

/// A `Pod`.
pub(super) fn pod(object: &Value) -> Health {
    // The API's default; others are for pods that end, and are often hooks: a sync waits for them.
    let always = matches!(text(object, &["spec", "restartPolicy"]), "Always" | "");
    let containers = items(object, &["status", "containerStatuses"]);
    if always {
        let stuck: Vec<String> = containers.iter().filter_map(stuck).collect();
        if !stuck.is_empty() {
            return Health::degraded(stuck.join(", "));
        }
    }
    let message = text(object, &["status", "message"]);
    match text(object, &["status", "phase"]) {
        "Succeeded" => Health::healthy(message),
        "Failed" => Health::degraded(failure(object)),
        "Running" if !always => Health::progressing(message),
        "Running" if has(object, "Ready", "True") => Health::healthy(message),
        "Running" => running(object, containers, message),
        "Pending" => match condition(object, "PodScheduled") {
            Some(unplaced) if text(unplaced, &["status"]) == "False" => Health::progressing(said(unplaced)),
            Some(_) | None => Health::progressing(message),
        },
        "" => Health::progressing("nothing is known of it yet"),
        _ => Health::new(Status::Unknown, message),
    }
}

fn running(object: &Value, containers: &[Value], message: &str) -> Health {
    let ended = containers.iter().find(|one| at(one, &["lastState", "terminated"]).is_some_and(|last| !last.is_null()));
    if let Some(ended) = ended {
        let (name, code) = (text(ended, &["name"]), whole(ended, &["lastState", "terminated", "exitCode"]));
        let why = match code {
            Some(code) => format!("container {name} is not ready, and ended before with the exit code {code}"),
            None => format!("container {name} is not ready, and ended before"),
        };
        return Health::degraded(if message.is_empty() { why } else { message.to_owned() });
    }
    let why = condition(object, "Ready").map(said).unwrap_or_default();
    Health::progressing(if message.is_empty() { why } else { message.to_owned() })
}

/// Why a container waits, where it waits in vain.
fn stuck(container: &Value) -> Option<String> {
    let waiting = at(container, &["state", "waiting"])?;
    let reason = text(waiting, &["reason"]);
    let failed = reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff");
    failed.then(|| match text(waiting, &["message"]) {
        "" => format!("container {}: {reason}", text(container, &["name"])),
        message => message.to_owned(),
    })
}

fn failure(object: &Value) -> String {
    let message = text(object, &["status", "message"]);
    if !message.is_empty() {
        return message.to_owned();
    }
    let all = items(object, &["status", "initContainerStatuses"]).iter();
    let mut all = all.chain(items(object, &["status", "containerStatuses"]));
    let why = all.find_map(|container| {
        let ended = at(container, &["state", "terminated"])?;
        let (message, reason) = (text(ended, &["message"]), text(ended, &["reason"]));
        if !message.is_empty() {
            return Some(message.to_owned());
        }
        if reason == "OOMKilled" {
            return Some(format!("container {} used more memory than it may", text(container, &["name"])));
        }
        let code = whole(ended, &["exitCode"]).filter(|code| *code != 0)?;
        Some(format!("container {} ended with the exit code {code}", text(container, &["name"])))
    });
    why.unwrap_or_else(|| text(object, &["status", "reason"]).to_owned())
}
