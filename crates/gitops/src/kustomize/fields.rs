//! Where labels, annotations, replicas and namespaces are in each kind, and how to get there. The tables are those of
//! Kustomize's built-in configuration (`builtinpluginconsts`).

use prograde_model::Diagnostic;

use super::resource::{Resource, split_api_version};
use crate::codes;
use crate::located::{Located, Place, Value};

/// A field of a kind. Empty texts match any group, version or kind.
#[derive(Clone, Copy)]
pub(super) struct FieldSpec {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
    pub(super) path: &'static str,
    /// Whether mappings on the way are made where there are none.
    pub(super) create: bool,
}

const fn spec(group: &'static str, version: &'static str, kind: &'static str, path: &'static str) -> FieldSpec {
    FieldSpec { group, version, kind, path, create: true }
}

const fn existing(group: &'static str, kind: &'static str, path: &'static str) -> FieldSpec {
    FieldSpec { group, version: "", kind, path, create: false }
}

/// Labels of the object itself.
pub(super) const OWN_LABELS: [FieldSpec; 1] = [spec("", "", "", "metadata/labels")];

/// Labels of pod templates.
pub(super) const TEMPLATE_LABELS: [FieldSpec; 9] = [
    spec("", "v1", "ReplicationController", "spec/template/metadata/labels"),
    spec("", "", "Deployment", "spec/template/metadata/labels"),
    spec("", "", "ReplicaSet", "spec/template/metadata/labels"),
    spec("", "", "DaemonSet", "spec/template/metadata/labels"),
    spec("apps", "", "StatefulSet", "spec/template/metadata/labels"),
    spec("apps", "", "StatefulSet", "spec/volumeClaimTemplates/metadata/labels"),
    spec("batch", "", "Job", "spec/template/metadata/labels"),
    spec("batch", "", "CronJob", "spec/jobTemplate/metadata/labels"),
    spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/labels"),
];

/// Labels of selectors.
pub(super) const SELECTOR_LABELS: [FieldSpec; 22] = [
    spec("", "v1", "Service", "spec/selector"),
    spec("", "v1", "ReplicationController", "spec/selector"),
    spec("", "", "Deployment", "spec/selector/matchLabels"),
    spec("", "", "ReplicaSet", "spec/selector/matchLabels"),
    spec("", "", "DaemonSet", "spec/selector/matchLabels"),
    spec("apps", "", "StatefulSet", "spec/selector/matchLabels"),
    existing(
        "apps",
        "Deployment",
        "spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    ),
    existing(
        "apps",
        "Deployment",
        "spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    ),
    existing(
        "apps",
        "Deployment",
        "spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    ),
    existing(
        "apps",
        "Deployment",
        "spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    ),
    existing("apps", "Deployment", "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels"),
    existing(
        "apps",
        "StatefulSet",
        "spec/template/spec/affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    ),
    existing(
        "apps",
        "StatefulSet",
        "spec/template/spec/affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    ),
    existing(
        "apps",
        "StatefulSet",
        "spec/template/spec/affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    ),
    existing(
        "apps",
        "StatefulSet",
        "spec/template/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    ),
    existing("apps", "StatefulSet", "spec/template/spec/topologySpreadConstraints/labelSelector/matchLabels"),
    existing("batch", "Job", "spec/selector/matchLabels"),
    existing("batch", "CronJob", "spec/jobTemplate/spec/selector/matchLabels"),
    existing("policy", "PodDisruptionBudget", "spec/selector/matchLabels"),
    existing("networking.k8s.io", "NetworkPolicy", "spec/podSelector/matchLabels"),
    existing("networking.k8s.io", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels"),
    existing("networking.k8s.io", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels"),
];

/// Annotations.
pub(super) const ANNOTATIONS: [FieldSpec; 9] = [
    spec("", "", "", "metadata/annotations"),
    spec("", "v1", "ReplicationController", "spec/template/metadata/annotations"),
    spec("", "", "Deployment", "spec/template/metadata/annotations"),
    spec("", "", "ReplicaSet", "spec/template/metadata/annotations"),
    spec("", "", "DaemonSet", "spec/template/metadata/annotations"),
    spec("", "", "StatefulSet", "spec/template/metadata/annotations"),
    spec("batch", "", "Job", "spec/template/metadata/annotations"),
    spec("batch", "", "CronJob", "spec/jobTemplate/metadata/annotations"),
    spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/annotations"),
];

/// Kinds with `spec.replicas`.
pub(super) const REPLICAS: [&str; 4] = ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"];

/// Namespaces, other than the object's own.
pub(super) const NAMESPACES: [FieldSpec; 3] = [
    spec("", "v1", "Namespace", "metadata/name"),
    spec("apiregistration.k8s.io", "", "APIService", "spec/service/namespace"),
    existing(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        "spec/conversion/webhook/clientConfig/service/namespace",
    ),
];

impl FieldSpec {
    /// Whether the field is one of this object's.
    pub(super) fn is_of(&self, resource: &Resource) -> bool {
        let (group, version) = split_api_version(resource.api_version());
        let fits = |wanted: &str, found: &str| wanted.is_empty() || wanted == found;
        fits(self.group, group) && fits(self.version, version) && fits(self.kind, resource.kind())
    }

    /// Changes the field wherever it is; lists on the way are gone through.
    pub(super) fn change(
        &self,
        resource: &mut Resource,
        place: &Place,
        change: &mut dyn FnMut(&mut Located) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let path: Vec<&str> = self.path.split('/').collect();
        walk(&mut resource.tree, &path, self.create.then_some(place), change)
    }
}

/// Follows `path` and calls `change` at its end. With `create`, what is missing is made as an empty mapping there.
pub(super) fn walk(
    tree: &mut Located,
    path: &[&str],
    create: Option<&Place>,
    change: &mut dyn FnMut(&mut Located) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    let Some((name, rest)) = path.split_first() else { return change(tree) };
    match &mut tree.value {
        Value::Null => Ok(()),
        Value::List(items) => items.iter_mut().try_for_each(|item| walk(item, path, create, change)),
        Value::Map(_) => {
            if let Some(place) = create
                && tree.get(name).is_none_or(Located::is_null)
            {
                tree.set(name, Located::map(place));
            }
            match tree.get_mut(name) {
                Some(found) if !found.is_null() => walk(found, rest, create, change),
                Some(_) | None => Ok(()),
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) => {
            let message = format!("expected a mapping with `{name}`, found {}", tree.kind());
            Err(tree.place.diagnostic(
                codes::STRUCTURE,
                message,
                "correct the object; the kustomization changes this field",
            ))
        }
    }
}

/// Puts texts into the mapping at a field, replacing those with the same keys.
pub(super) fn put_pairs(tree: &mut Located, pairs: &[(String, Located)]) -> Result<(), Diagnostic> {
    if !matches!(tree.value, Value::Map(_)) {
        let message = format!("expected a mapping of texts, found {}", tree.kind());
        return Err(tree.place.diagnostic(
            codes::STRUCTURE,
            message,
            "correct the object; the kustomization adds to it",
        ));
    }
    for (key, value) in pairs {
        tree.set(key, value.clone());
    }
    Ok(())
}
