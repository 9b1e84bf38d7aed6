//! Health of workloads. Rules of Argo CD, which are those of `kubectl rollout status`
//! (<https://github.com/argoproj/gitops-engine/tree/master/pkg/health>), and where kstatus is stricter on what was never
//! reported, kstatus': a workload without any status has not begun.

use serde_json::Value;

use super::conditions::{condition, said};
use super::{Health, Status};
use crate::json::{flag, text, whole};

fn number(object: &Value, path: &[&str]) -> i64 {
    whole(object, path).unwrap_or(0)
}

/// Kubernetes' default where the number is not written.
fn replicas(object: &Value) -> i64 {
    whole(object, &["spec", "replicas"]).unwrap_or(1)
}

fn is_behind(object: &Value) -> bool {
    number(object, &["metadata", "generation"]) > number(object, &["status", "observedGeneration"])
}

const UNOBSERVED: &str = "its controller has not looked at the last change yet";

/// A `Deployment`.
pub(super) fn deployment(object: &Value) -> Health {
    if flag(object, &["spec", "paused"]) {
        return Health::new(Status::Suspended, "its rollout is paused");
    }
    if is_behind(object) {
        return Health::progressing(UNOBSERVED);
    }
    let status = |name: &str| number(object, &["status", name]);
    let (wanted, all, updated, available) =
        (replicas(object), status("replicas"), status("updatedReplicas"), status("availableReplicas"));
    let progress = condition(object, "Progressing");
    if let Some(late) = progress.filter(|one| text(one, &["reason"]) == "ProgressDeadlineExceeded") {
        return Health::degraded(said(late));
    }
    if updated < wanted {
        return Health::progressing(format!("{updated} of {wanted} replicas are of the new version"));
    }
    if all > updated {
        return Health::progressing(format!("{} replicas of older versions have not ended yet", all - updated));
    }
    if available < updated {
        return Health::progressing(format!("{available} of {updated} replicas are available"));
    }
    Health::healthy(format!("{available} of {wanted} replicas are available"))
}

/// A `ReplicaSet`.
pub(super) fn replica_set(object: &Value) -> Health {
    if is_behind(object) {
        return Health::progressing(UNOBSERVED);
    }
    let failure = condition(object, "ReplicaFailure").filter(|one| text(one, &["status"]) == "True");
    if let Some(failure) = failure {
        return Health::degraded(said(failure));
    }
    let (wanted, available) = (replicas(object), number(object, &["status", "availableReplicas"]));
    let message = format!("{available} of {wanted} replicas are available");
    if available < wanted { Health::progressing(message) } else { Health::healthy(message) }
}

/// A `StatefulSet`.
pub(super) fn stateful_set(object: &Value) -> Health {
    if number(object, &["status", "observedGeneration"]) == 0 || is_behind(object) {
        return Health::progressing(UNOBSERVED);
    }
    let (wanted, ready) = (replicas(object), number(object, &["status", "readyReplicas"]));
    if ready < wanted {
        return Health::progressing(format!("{ready} of {wanted} replicas are ready"));
    }
    let updated = number(object, &["status", "updatedReplicas"]);
    let strategy = text(object, &["spec", "updateStrategy", "type"]);
    if strategy == "OnDelete" {
        return Health::healthy(format!("{ready} replicas are ready; they are updated as they are deleted"));
    }
    let rolling = crate::json::at(object, &["spec", "updateStrategy", "rollingUpdate"]);
    if strategy == "RollingUpdate" && rolling.is_some_and(|rolling| !rolling.is_null()) {
        let partition = whole(object, &["spec", "updateStrategy", "rollingUpdate", "partition"]).unwrap_or(0);
        let due = wanted.saturating_sub(partition);
        if updated < due {
            return Health::progressing(format!("{updated} of {due} replicas above the partition are updated"));
        }
        return Health::healthy(format!("{ready} replicas are ready, {updated} of them of the new revision"));
    }
    let (current, next) = (text(object, &["status", "currentRevision"]), text(object, &["status", "updateRevision"]));
    if current != next {
        return Health::progressing(format!("{updated} of {wanted} replicas are of the revision {next}"));
    }
    Health::healthy(format!("{ready} of {wanted} replicas are ready"))
}

/// A `DaemonSet`.
pub(super) fn daemon_set(object: &Value) -> Health {
    if is_behind(object) {
        return Health::progressing(UNOBSERVED);
    }
    let status = |name: &str| number(object, &["status", name]);
    if crate::json::at(object, &["status", "desiredNumberScheduled"]).is_none() {
        return Health::progressing("it is not known yet on how many nodes it should run");
    }
    let (wanted, updated) = (status("desiredNumberScheduled"), status("updatedNumberScheduled"));
    if text(object, &["spec", "updateStrategy", "type"]) == "OnDelete" {
        return Health::healthy(format!("{updated} of {wanted} pods are updated; they are as they are deleted"));
    }
    if updated < wanted {
        return Health::progressing(format!("{updated} of {wanted} pods are of the new version"));
    }
    let available = status("numberAvailable");
    let message = format!("{available} of {wanted} pods are available");
    if available < wanted { Health::progressing(message) } else { Health::healthy(message) }
}

/// A `ReplicationController`: as a `ReplicaSet`.
pub(super) fn replication_controller(object: &Value) -> Health {
    replica_set(object)
}

/// A `Job`. kstatus takes one that runs for as it should be; a sync has to wait for its end, so it is on its way.
pub(super) fn job(object: &Value) -> Health {
    let holds = |kind: &str| condition(object, kind).filter(|one| text(one, &["status"]) == "True");
    if let Some(failed) = holds("Failed") {
        return Health::degraded(said(failed));
    }
    if let Some(complete) = holds("Complete") {
        return Health::healthy(said(complete));
    }
    if let Some(suspended) = holds("Suspended") {
        return Health::new(Status::Suspended, said(suspended));
    }
    let status = |name: &str| number(object, &["status", name]);
    let (active, succeeded) = (status("active"), status("succeeded"));
    Health::progressing(format!("{active} pods run, {succeeded} have succeeded"))
}

/// A `CronJob`. Suspended is healthy as in Argo CD 3, because a sync must not wait for somebody to start it again.
pub(super) fn cron_job(object: &Value) -> Health {
    if flag(object, &["spec", "suspend"]) {
        return Health::healthy("it is suspended");
    }
    let Some(status) = object.get("status").filter(|status| !status.is_null()) else {
        return Health::progressing("its controller has not looked at it yet");
    };
    let (last, success) = (text(status, &["lastScheduleTime"]), text(status, &["lastSuccessfulTime"]));
    if last.is_empty() {
        return Health::healthy("it was not due yet");
    }
    if success.is_empty() {
        return Health::healthy("no run of it has succeeded yet");
    }
    if !crate::json::items(status, &["active"]).is_empty() {
        return Health::healthy("it runs now");
    }
    // Both are RFC 3339 in UTC, which sorts as a text.
    if success < last {
        return Health::degraded(format!("its run of {last} has not succeeded"));
    }
    Health::healthy(format!("its run of {last} has succeeded"))
}
