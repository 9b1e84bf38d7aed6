//! What Kubernetes' API server fills in where a manifest says nothing.
//!
//! Source: the reference of the API (<https://kubernetes.io/docs/reference/kubernetes-api/>), "Defaults to …" of each field.
//! The table is asked in two cases: a field that was given up and stands at its default needs no change, and a default
//! that is written out is the same as nothing. What it does not hold is never taken for a default.

use serde_json::{Map, Value, json};

use crate::json::text;

/// The default of a field. `parent` is the name of the nearest field around it, which for items is that of their list,
/// and `siblings` are the fields beside it.
pub(super) fn default_of(kind: &str, parent: &str, field: &str, siblings: &Map<String, Value>) -> Option<Value> {
    let has = |name: &str| siblings.contains_key(name);
    let found = match parent {
        "spec" if has("containers") => pod(field),
        "spec" => spec(kind, field, siblings),
        "containers" | "initContainers" | "ephemeralContainers" => container(field, siblings),
        "livenessProbe" | "readinessProbe" | "startupProbe" => probe(field),
        "ports" => port(kind, field, siblings),
        "" => top(kind, field),
        _ => nested(kind, parent, field, siblings),
    };
    found.or_else(|| workload_part(kind, parent, field))
}

fn pod(field: &str) -> Option<Value> {
    Some(match field {
        "restartPolicy" => json!("Always"),
        "dnsPolicy" => json!("ClusterFirst"),
        "schedulerName" => json!("default-scheduler"),
        "terminationGracePeriodSeconds" => json!(30),
        "securityContext" => json!({}),
        "enableServiceLinks" => json!(true),
        "serviceAccountName" | "serviceAccount" => json!("default"),
        "preemptionPolicy" => json!("PreemptLowerPriority"),
        "priority" => json!(0),
        _ => return None,
    })
}

fn container(field: &str, siblings: &Map<String, Value>) -> Option<Value> {
    Some(match field {
        "terminationMessagePath" => json!("/dev/termination-log"),
        "terminationMessagePolicy" => json!("File"),
        "resources" => json!({}),
        "imagePullPolicy" => {
            let image = siblings.get("image").and_then(Value::as_str)?;
            let name = image.rsplit('/').next().unwrap_or_default();
            let floats = !name.contains('@') && name.split_once(':').is_none_or(|(_, tag)| tag == "latest");
            json!(if floats { "Always" } else { "IfNotPresent" })
        }
        _ => return None,
    })
}

fn probe(field: &str) -> Option<Value> {
    Some(match field {
        "timeoutSeconds" | "successThreshold" => json!(1),
        "periodSeconds" => json!(10),
        "failureThreshold" => json!(3),
        "initialDelaySeconds" => json!(0),
        _ => return None,
    })
}

fn port(kind: &str, field: &str, siblings: &Map<String, Value>) -> Option<Value> {
    match field {
        "protocol" => Some(json!("TCP")),
        "targetPort" if kind == "Service" => siblings.get("port").cloned(),
        _ => None,
    }
}

fn top(kind: &str, field: &str) -> Option<Value> {
    Some(match (kind, field) {
        ("Secret", "type") => json!("Opaque"),
        ("StorageClass", "reclaimPolicy") => json!("Delete"),
        ("StorageClass", "volumeBindingMode") => json!("Immediate"),
        ("PriorityClass", "preemptionPolicy") => json!("PreemptLowerPriority"),
        _ => return None,
    })
}

/// Fields of the `spec` of what is no pod.
fn spec(kind: &str, field: &str, siblings: &Map<String, Value>) -> Option<Value> {
    // The pod's and the job's own specs stand in those of others, and are told apart by what is beside.
    let is_job = kind == "Job" || (kind == "CronJob" && !siblings.contains_key("schedule"));
    Some(match (kind, field) {
        ("Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController", "replicas")
        | ("CronJob", "failedJobsHistoryLimit")
        | ("HorizontalPodAutoscaler", "minReplicas") => json!(1),
        ("Deployment" | "StatefulSet" | "DaemonSet", "revisionHistoryLimit") => json!(10),
        ("Deployment", "progressDeadlineSeconds") => json!(600),
        ("Deployment", "strategy") => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
        }
        ("StatefulSet", "podManagementPolicy") => json!("OrderedReady"),
        ("StatefulSet", "updateStrategy") => json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}),
        ("StatefulSet", "persistentVolumeClaimRetentionPolicy") => {
            json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
        }
        ("DaemonSet", "updateStrategy") => {
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
        }
        (_, "backoffLimit") if is_job => json!(6),
        (_, "completions" | "parallelism") if is_job => json!(1),
        (_, "completionMode") if is_job => json!("NonIndexed"),
        (_, "podReplacementPolicy") if is_job => json!("TerminatingOrFailed"),
        ("CronJob", "concurrencyPolicy") => json!("Allow"),
        ("CronJob", "successfulJobsHistoryLimit") => json!(3),
        ("Job" | "CronJob", "suspend") => json!(false),
        ("Service", "type") => json!("ClusterIP"),
        ("Service", "sessionAffinity") => json!("None"),
        ("Service", "internalTrafficPolicy" | "externalTrafficPolicy") => json!("Cluster"),
        ("Service", "ipFamilyPolicy") => json!("SingleStack"),
        ("Service", "allocateLoadBalancerNodePorts") | ("CSIDriver", "attachRequired") => json!(true),
        ("PersistentVolumeClaim" | "PersistentVolume" | "StatefulSet", "volumeMode") => json!("Filesystem"),
        ("PersistentVolume", "persistentVolumeReclaimPolicy") => json!("Retain"),
        ("NetworkPolicy", "policyTypes") => json!(["Ingress"]),
        ("CustomResourceDefinition", "conversion") => json!({"strategy": "None"}),
        ("CSIDriver", "fsGroupPolicy") => json!("ReadWriteOnceWithFSType"),
        _ => return None,
    })
}

fn nested(kind: &str, parent: &str, field: &str, siblings: &Map<String, Value>) -> Option<Value> {
    Some(match (parent, field) {
        ("httpGet", "scheme") => json!("HTTP"),
        ("httpGet", "path") => json!("/"),
        ("grpc" | "hostPath", "service" | "type") => json!(""),
        ("configMap" | "secret" | "projected" | "downwardAPI", "defaultMode") => json!(420),
        ("serviceAccountToken", "expirationSeconds") => json!(3600),
        ("fieldRef", "apiVersion") => json!("v1"),
        ("resourceFieldRef", "divisor") => json!("0"),
        ("webhooks", "failurePolicy") => json!("Fail"),
        ("webhooks", "matchPolicy") => json!("Equivalent"),
        ("webhooks", "timeoutSeconds") => json!(10),
        ("webhooks", "reinvocationPolicy") => json!("Never"),
        ("volumes", "emptyDir") | ("webhooks", "namespaceSelector" | "objectSelector") => json!({}),
        ("rules", "scope") => json!("*"),
        ("service", "port") if kind.ends_with("WebhookConfiguration") || kind == "APIService" => json!(443),
        ("roleRef", "apiGroup") => json!("rbac.authorization.k8s.io"),
        ("subjects", "apiGroup") => {
            let own = siblings.get("kind").and_then(Value::as_str) == Some("ServiceAccount");
            json!(if own { "" } else { "rbac.authorization.k8s.io" })
        }
        ("clientIP", "timeoutSeconds") => json!(10_800),
        ("names", "listKind") if kind == "CustomResourceDefinition" => json!(format!("{}List", named(siblings))),
        ("names", "singular") if kind == "CustomResourceDefinition" => json!(named(siblings).to_lowercase()),
        ("topologySpreadConstraints", "nodeAffinityPolicy") => json!("Honor"),
        ("topologySpreadConstraints", "nodeTaintsPolicy") => json!("Ignore"),
        _ => return None,
    })
}

fn named(siblings: &Map<String, Value>) -> String {
    siblings.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Parts of strategies, whose defaults the kind decides.
fn workload_part(kind: &str, parent: &str, field: &str) -> Option<Value> {
    Some(match (kind, parent, field) {
        ("Deployment", "strategy", "type") | ("StatefulSet" | "DaemonSet", "updateStrategy", "type") => {
            json!("RollingUpdate")
        }
        ("Deployment", "rollingUpdate", "maxSurge" | "maxUnavailable") => json!("25%"),
        ("DaemonSet", "rollingUpdate", "maxUnavailable") => json!(1),
        ("DaemonSet", "rollingUpdate", "maxSurge") | ("StatefulSet", "rollingUpdate", "partition") => json!(0),
        ("Deployment", "strategy", "rollingUpdate") => json!({"maxSurge": "25%", "maxUnavailable": "25%"}),
        ("StatefulSet", "updateStrategy", "rollingUpdate") => json!({"partition": 0}),
        ("DaemonSet", "updateStrategy", "rollingUpdate") => json!({"maxSurge": 0, "maxUnavailable": 1}),
        _ => return None,
    })
}

/// Whether to write a value is the same as to write nothing, in Kubernetes' own kinds: their types leave out what is
/// empty. `open` says that the field stands in a mapping from any name, where nothing is left out but nothing itself.
pub(super) fn is_nothing(known: bool, open: bool, field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        // A selector of everything, and a volume that is there and empty, are no nothing.
        Value::Object(fields) if fields.is_empty() => {
            known && !open && !field.ends_with("elector") && field != "emptyDir"
        }
        Value::Object(fields) => {
            known && !open && fields.iter().all(|(name, value)| is_nothing(known, open, name, value))
        }
        Value::Array(items) => known && items.is_empty(),
        Value::String(text) => known && !open && text.is_empty(),
        Value::Bool(flag) => known && !open && !flag,
        Value::Number(number) => known && !open && number.as_f64() == Some(0.0),
    }
}

/// What no manifest decides, at the top and in `metadata`.
pub(super) fn is_of_the_server(steps: usize, parent: &str, field: &str) -> bool {
    match (steps, parent) {
        (0, _) => matches!(field, "apiVersion" | "kind" | "status"),
        (1, "metadata") => matches!(
            field,
            "name"
                | "generateName"
                | "namespace"
                | "uid"
                | "resourceVersion"
                | "generation"
                | "creationTimestamp"
                | "deletionTimestamp"
                | "deletionGracePeriodSeconds"
                | "managedFields"
                | "selfLink"
        ),
        (2, "annotations") => matches!(
            field,
            super::LAST_APPLIED | "deployment.kubernetes.io/revision" | "control-plane.alpha.kubernetes.io/leader"
        ),
        _ => false,
    }
}

/// Whether a field is worked out by a controller from other fields of the same object.
pub(super) fn is_derived(object: &Value, steps: usize, field: &str) -> bool {
    // The rules of an aggregated role are those of the roles that it selects.
    steps == 0
        && field == "rules"
        && text(object, &["kind"]) == "ClusterRole"
        && object.get("aggregationRule").is_some_and(|rule| !rule.is_null())
}
