//! The order of rendered objects: what others need comes first, as Kustomize and `kubectl` order them.

use super::resource::Resource;

/// Kinds that come first, in this order.
const FIRST: [&str; 22] = [
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
];

/// Kinds that come last, in this order.
const LAST: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// Sorts the objects.
pub(super) fn sort(resources: &mut [Resource]) {
    resources.sort_by_cached_key(|resource| {
        let (group, version) = resource.group_version();
        let or = |text: &str, missing: &str| if text.is_empty() { missing.to_owned() } else { text.to_owned() };
        let kind = resource.kind();
        (
            rank(kind),
            format!("{}_{}_{kind}", or(group, "~G"), or(version, "~V")),
            format!("{}|{}", or(resource.namespace(), "~X"), resource.name()),
        )
    });
}

fn rank(kind: &str) -> usize {
    let at = |kinds: &[&str]| kinds.iter().position(|other| *other == kind);
    match (at(&FIRST), at(&LAST)) {
        (Some(index), _) => index,
        (None, None) => FIRST.len(),
        (None, Some(index)) => FIRST.len() + 1 + index,
    }
}
