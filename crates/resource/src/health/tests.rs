//! Tests of health over all kinds.

use super::*;
use serde_json::json;

fn check(api_version: &str, kind: &str, mut rest: Value, expected: Status) {
    rest["apiVersion"] = json!(api_version);
    rest["kind"] = json!(kind);
    let health = assess(&rest, &Rules::default(), Timestamp::UNIX_EPOCH);
    assert_eq!(health.status, expected, "{rest}: {}", health.message);
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({"status": {"conditions": [{"type": kind, "status": status, "reason": reason, "message": "why"}]}})
}

#[test]
fn workloads() {
    let deployment = |replicas: i64, all: i64, updated: i64, available: i64| {
        json!({"metadata": {"generation": 2}, "spec": {"replicas": replicas},
            "status": {"observedGeneration": 2, "replicas": all, "updatedReplicas": updated, "availableReplicas": available}})
    };
    check("apps/v1", "Deployment", deployment(3, 3, 3, 3), Status::Healthy);
    check("apps/v1", "Deployment", deployment(0, 0, 0, 0), Status::Healthy);
    check("apps/v1", "Deployment", deployment(3, 3, 2, 3), Status::Progressing);
    check("apps/v1", "Deployment", deployment(3, 4, 3, 3), Status::Progressing);
    check("apps/v1", "Deployment", deployment(3, 3, 3, 1), Status::Progressing);
    check("apps/v1", "Deployment", json!({}), Status::Progressing);
    check(
        "apps/v1",
        "Deployment",
        json!({"metadata": {"generation": 3}, "status": {"observedGeneration": 2}}),
        Status::Progressing,
    );
    check("apps/v1", "Deployment", json!({"spec": {"paused": true}}), Status::Suspended);
    check("apps/v1", "Deployment", condition("Progressing", "False", "ProgressDeadlineExceeded"), Status::Degraded);
    check("apps/v1", "ReplicaSet", condition("ReplicaFailure", "True", "FailedCreate"), Status::Degraded);
    check(
        "apps/v1",
        "ReplicaSet",
        json!({"spec": {"replicas": 1}, "status": {"availableReplicas": 1}}),
        Status::Healthy,
    );
    check("apps/v1", "StatefulSet", json!({}), Status::Progressing);
    let set =
        |strategy: Value, status: Value| json!({"spec": {"replicas": 2, "updateStrategy": strategy}, "status": status});
    let rolling = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}});
    check(
        "apps/v1",
        "StatefulSet",
        set(rolling.clone(), json!({"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 1})),
        Status::Healthy,
    );
    check(
        "apps/v1",
        "StatefulSet",
        set(rolling, json!({"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 0})),
        Status::Progressing,
    );
    check(
        "apps/v1",
        "StatefulSet",
        set(json!({"type": "OnDelete"}), json!({"observedGeneration": 1, "readyReplicas": 2})),
        Status::Healthy,
    );
    let revisions = json!({"observedGeneration": 1, "readyReplicas": 2, "currentRevision": "a", "updateRevision": "b"});
    check("apps/v1", "StatefulSet", set(json!({}), revisions), Status::Progressing);
    check(
        "apps/v1",
        "DaemonSet",
        json!({"status": {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 1}}),
        Status::Progressing,
    );
    check("apps/v1", "DaemonSet", json!({"status": {"desiredNumberScheduled": 0}}), Status::Healthy);
    check("apps/v1", "DaemonSet", json!({}), Status::Progressing);
}

#[test]
fn work_that_ends() {
    check("batch/v1", "Job", json!({}), Status::Progressing);
    check("batch/v1", "Job", condition("Complete", "True", ""), Status::Healthy);
    check("batch/v1", "Job", condition("Failed", "True", ""), Status::Degraded);
    check("batch/v1", "Job", condition("Failed", "False", ""), Status::Progressing);
    check("batch/v1", "Job", condition("Suspended", "True", ""), Status::Suspended);
    check("batch/v1", "CronJob", json!({"spec": {"suspend": true}}), Status::Healthy);
    check(
        "batch/v1",
        "CronJob",
        json!({"status": {"lastScheduleTime": "2026-01-02T00:00:00Z", "lastSuccessfulTime": "2026-01-01T00:00:00Z"}}),
        Status::Degraded,
    );
}

#[test]
fn pods() {
    let pod = |phase: &str, more: Value| {
        let mut made = json!({"spec": {"restartPolicy": "Always"}, "status": {"phase": phase}});
        for (name, field) in more.as_object().into_iter().flatten() {
            made["status"][name] = field.clone();
        }
        made
    };
    let waiting =
        |reason: &str| json!({"containerStatuses": [{"name": "a", "state": {"waiting": {"reason": reason}}}]});
    check("v1", "Pod", pod("Pending", json!({})), Status::Progressing);
    check("v1", "Pod", pod("Pending", waiting("ImagePullBackOff")), Status::Degraded);
    check("v1", "Pod", pod("Pending", waiting("ContainerCreating")), Status::Progressing);
    check("v1", "Pod", pod("Running", waiting("CrashLoopBackOff")), Status::Degraded);
    check("v1", "Pod", pod("Running", json!({"conditions": [{"type": "Ready", "status": "True"}]})), Status::Healthy);
    check("v1", "Pod", pod("Running", json!({})), Status::Progressing);
    check(
        "v1",
        "Pod",
        pod("Running", json!({"containerStatuses": [{"lastState": {"terminated": {"exitCode": 1}}}]})),
        Status::Degraded,
    );
    check("v1", "Pod", pod("Succeeded", json!({})), Status::Healthy);
    check("v1", "Pod", pod("Failed", json!({})), Status::Degraded);
    check(
        "v1",
        "Pod",
        json!({"spec": {"restartPolicy": "Never"}, "status": {"phase": "Running"}}),
        Status::Progressing,
    );
    check("v1", "Pod", pod("Odd", json!({})), Status::Unknown);
}

#[test]
fn other_kinds_of_kubernetes() {
    check("v1", "Service", json!({"spec": {"type": "ClusterIP"}}), Status::Healthy);
    check("v1", "Service", json!({"spec": {"type": "LoadBalancer"}}), Status::Progressing);
    check("networking.k8s.io/v1", "Ingress", json!({}), Status::Progressing);
    check(
        "networking.k8s.io/v1",
        "Ingress",
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
        Status::Healthy,
    );
    for (phase, status) in [
        ("Bound", Status::Healthy),
        ("Pending", Status::Progressing),
        ("Lost", Status::Degraded),
        ("", Status::Unknown),
    ] {
        check("v1", "PersistentVolumeClaim", json!({"status": {"phase": phase}}), status);
    }
    check("v1", "PersistentVolume", json!({"status": {"phase": "Failed"}}), Status::Degraded);
    check("v1", "Namespace", json!({"status": {"phase": "Terminating"}}), Status::Progressing);
    check("v1", "Namespace", json!({"status": {"phase": "Active"}}), Status::Healthy);
    check("v1", "Node", condition("Ready", "Unknown", "NodeStatusUnknown"), Status::Degraded);
    check("v1", "ConfigMap", json!({}), Status::Healthy);
    check(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        condition("ScalingActive", "False", "FailedGetResourceMetric"),
        Status::Degraded,
    );
    check(
        "autoscaling/v2",
        "HorizontalPodAutoscaler",
        condition("AbleToScale", "True", "ReadyForNewScale"),
        Status::Healthy,
    );
    check("autoscaling/v2", "HorizontalPodAutoscaler", json!({}), Status::Progressing);
    check(
        "policy/v1",
        "PodDisruptionBudget",
        condition("DisruptionAllowed", "False", "InsufficientPods"),
        Status::Healthy,
    );
    check("policy/v1", "PodDisruptionBudget", condition("DisruptionAllowed", "False", "SyncFailed"), Status::Degraded);
    check(
        "apiregistration.k8s.io/v1",
        "APIService",
        condition("Available", "False", "MissingEndpoints"),
        Status::Progressing,
    );
    let crd = "apiextensions.k8s.io/v1";
    check(crd, "CustomResourceDefinition", condition("Established", "True", ""), Status::Healthy);
    check(crd, "CustomResourceDefinition", condition("Established", "False", "Installing"), Status::Progressing);
    check(crd, "CustomResourceDefinition", condition("NamesAccepted", "False", "Conflict"), Status::Degraded);
}

#[test]
fn other_kinds_by_their_conditions() {
    let widget = |rest: Value, status: Status| check("example.com/v1", "Widget", rest, status);
    widget(json!({}), Status::Healthy);
    widget(json!({"status": {"conditions": "none", "observedGeneration": []}}), Status::Healthy);
    widget(condition("Ready", "True", ""), Status::Healthy);
    widget(condition("Ready", "False", "Waiting"), Status::Progressing);
    widget(condition("Ready", "Unknown", ""), Status::Progressing);
    widget(condition("Reconciling", "True", ""), Status::Progressing);
    widget(condition("Stalled", "True", ""), Status::Degraded);
    widget(condition("Stalled", "False", ""), Status::Healthy);
    widget(json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 1}}), Status::Progressing);
    let old = json!({"metadata": {"generation": 2}, "status": {"conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}]}});
    widget(old, Status::Progressing);
    widget(
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}}),
        Status::Progressing,
    );
    let hook = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [HOOK_FINALIZER]}});
    widget(hook, Status::Healthy);
}

#[test]
fn a_script_that_fails_is_unknown_and_the_worst_counts() {
    let mut rules = Rules::default();
    rules.scripts.insert("", "ConfigMap", Script::new("s", "return obj.a.b").unwrap()).unwrap();
    let health = assess(&json!({"apiVersion": "v1", "kind": "ConfigMap"}), &rules, Timestamp::UNIX_EPOCH);
    assert!(health.status == Status::Unknown && health.message.starts_with("s:1: "), "{health:?}");
    assert_eq!(worst([Status::Healthy, Status::Degraded, Status::Progressing]), Status::Degraded);
    assert_eq!(worst([]), Status::Healthy);
}
