//! Names: prefixes, suffixes, namespaces and the hashes of generated objects, and afterwards every reference from one
//! object to another, so that it still finds the object whose name has changed.

use prograde_model::Diagnostic;

use super::fields::{NAMESPACES, walk};
use super::kustomization::Named;
use super::resource::{Id, Resource};
use super::strategic::POD_SPECS;
use crate::codes;
use crate::located::{Located, Value};

/// Puts a prefix before every name.
pub(super) fn prefix(resources: &mut [Resource], prefix: &Named) {
    for resource in resources.iter_mut().filter(|resource| is_renamed(resource)) {
        resource.remember_id();
        resource.prefixes.push(prefix.text.clone());
        resource.set_name(format!("{}{}", prefix.text, resource.name()));
    }
}

/// Puts a suffix behind every name.
pub(super) fn suffix(resources: &mut [Resource], suffix: &Named) {
    for resource in resources.iter_mut().filter(|resource| is_renamed(resource)) {
        resource.remember_id();
        resource.suffixes.push(suffix.text.clone());
        resource.set_name(format!("{}{}", resource.name(), suffix.text));
    }
}

/// Kinds whose name is not free to change.
fn is_renamed(resource: &Resource) -> bool {
    let id = resource.original();
    !(matches!(id.kind.as_str(), "CustomResourceDefinition" | "Namespace")
        || (id.kind == "APIService" && id.group == "apiregistration.k8s.io"))
}

/// Puts every object that can be in a namespace into this one.
pub(super) fn namespace(resources: &mut [Resource], namespace: &Named) -> Result<(), Diagnostic> {
    let text = || Located::text(&namespace.place, namespace.text.as_str());
    for resource in resources.iter_mut() {
        resource.remember_id();
        if !resource.id().is_cluster_scoped()
            && let Some(metadata) = resource.tree.map_at("metadata", &namespace.place)
        {
            metadata.set("namespace", text());
        }
        for spec in NAMESPACES.iter().filter(|spec| spec.is_of(resource)).copied().collect::<Vec<_>>() {
            spec.change(resource, &namespace.place, &mut |found| {
                *found = text();
                Ok(())
            })?;
        }
        if matches!(resource.kind(), "RoleBinding" | "ClusterRoleBinding")
            && let Some(subjects) = resource.tree.get_mut("subjects").and_then(Located::items_mut)
        {
            for subject in subjects.iter_mut().filter(|subject| subject.text_at(&["name"]) == Some("default")) {
                subject.set("namespace", text());
            }
        }
    }
    super::refuse_duplicates(resources)
}

/// A kind that is referred to by name: its group and kind.
type Referred = (&'static str, &'static str);

/// A reference: the kind that is referred to, the kind that refers, and the field that holds the name.
struct Reference {
    to: Referred,
    from: &'static str,
    path: Vec<&'static str>,
}

/// References from pod specifications: the kind, and the field below the pod specification.
const POD_REFERENCES: [(Referred, &str); 16] = [
    (("", "ConfigMap"), "volumes/configMap/name"),
    (("", "ConfigMap"), "volumes/projected/sources/configMap/name"),
    (("", "ConfigMap"), "containers/env/valueFrom/configMapKeyRef/name"),
    (("", "ConfigMap"), "containers/envFrom/configMapRef/name"),
    (("", "ConfigMap"), "initContainers/env/valueFrom/configMapKeyRef/name"),
    (("", "ConfigMap"), "initContainers/envFrom/configMapRef/name"),
    (("", "Secret"), "volumes/secret/secretName"),
    (("", "Secret"), "volumes/projected/sources/secret/name"),
    (("", "Secret"), "containers/env/valueFrom/secretKeyRef/name"),
    (("", "Secret"), "containers/envFrom/secretRef/name"),
    (("", "Secret"), "initContainers/env/valueFrom/secretKeyRef/name"),
    (("", "Secret"), "initContainers/envFrom/secretRef/name"),
    (("", "Secret"), "imagePullSecrets/name"),
    (("", "ServiceAccount"), "serviceAccountName"),
    (("", "PersistentVolumeClaim"), "volumes/persistentVolumeClaim/claimName"),
    (("scheduling.k8s.io", "PriorityClass"), "priorityClassName"),
];

/// All other references.
const REFERENCES: [(Referred, &str, &str); 34] = [
    (("", "ConfigMap"), "Role", "rules/resourceNames"),
    (("", "ConfigMap"), "ClusterRole", "rules/resourceNames"),
    (("", "Secret"), "Role", "rules/resourceNames"),
    (("", "Secret"), "ClusterRole", "rules/resourceNames"),
    (("", "Secret"), "Ingress", "spec/tls/secretName"),
    (("", "Secret"), "ServiceAccount", "imagePullSecrets/name"),
    (("", "Secret"), "StorageClass", "parameters/secretName"),
    (("", "Secret"), "StorageClass", "parameters/adminSecretName"),
    (("", "Secret"), "StorageClass", "parameters/userSecretName"),
    (("", "Secret"), "StorageClass", "parameters/secretRef"),
    (("", "Secret"), "PersistentVolume", "spec/azureFile/secretName"),
    (("", "Service"), "StatefulSet", "spec/serviceName"),
    (("", "Service"), "Ingress", "spec/rules/http/paths/backend/serviceName"),
    (("", "Service"), "Ingress", "spec/backend/serviceName"),
    (("", "Service"), "Ingress", "spec/rules/http/paths/backend/service/name"),
    (("", "Service"), "Ingress", "spec/defaultBackend/service/name"),
    (("", "Service"), "APIService", "spec/service/name"),
    (("", "Service"), "ValidatingWebhookConfiguration", "webhooks/clientConfig/service"),
    (("", "Service"), "MutatingWebhookConfiguration", "webhooks/clientConfig/service"),
    (("", "ServiceAccount"), "RoleBinding", "subjects"),
    (("", "ServiceAccount"), "ClusterRoleBinding", "subjects"),
    (("rbac.authorization.k8s.io", "Role"), "RoleBinding", "roleRef/name"),
    (("rbac.authorization.k8s.io", "ClusterRole"), "RoleBinding", "roleRef/name"),
    (("rbac.authorization.k8s.io", "ClusterRole"), "ClusterRoleBinding", "roleRef/name"),
    (("apps", "Deployment"), "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    (("apps", "StatefulSet"), "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    (("apps", "ReplicaSet"), "HorizontalPodAutoscaler", "spec/scaleTargetRef/name"),
    (("", "PersistentVolume"), "PersistentVolumeClaim", "spec/volumeName"),
    (("storage.k8s.io", "StorageClass"), "PersistentVolumeClaim", "spec/storageClassName"),
    (("storage.k8s.io", "StorageClass"), "PersistentVolume", "spec/storageClassName"),
    (("storage.k8s.io", "StorageClass"), "StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"),
    (("networking.k8s.io", "IngressClass"), "Ingress", "spec/ingressClassName"),
    (
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
        "ValidatingAdmissionPolicyBinding",
        "spec/policyName",
    ),
    (("", "PersistentVolume"), "ClusterRole", "rules/resourceNames"),
];

fn references() -> Vec<Reference> {
    let of_pods = POD_SPECS.iter().flat_map(|(_, from, pod)| {
        POD_REFERENCES.iter().map(|(to, below)| Reference {
            to: *to,
            from,
            path: pod.iter().copied().chain(below.split('/')).collect(),
        })
    });
    let others = REFERENCES.iter().map(|(to, from, path)| Reference { to: *to, from, path: path.split('/').collect() });
    of_pods.chain(others).collect()
}

/// Makes every reference follow the names that have changed.
pub(super) fn follow(resources: &mut [Resource]) -> Result<(), Diagnostic> {
    let references = references();
    // Only objects that were renamed can be meant by a reference that has to change.
    let renamed: Vec<Candidate> =
        resources.iter().filter(|resource| !resource.previous.is_empty()).map(Candidate::new).collect();
    for resource in resources.iter_mut() {
        let referrer = Referrer::new(resource);
        for reference in references.iter().filter(|reference| reference.from == referrer.id.kind) {
            let candidates: Vec<&Candidate> =
                renamed.iter().filter(|candidate| candidate.was(reference.to) && referrer.reaches(candidate)).collect();
            if candidates.is_empty() {
                continue;
            }
            walk(&mut resource.tree, &reference.path, None, &mut |found| change(found, &candidates, &referrer))?;
        }
    }
    Ok(())
}

/// What is known of an object that may be referred to.
struct Candidate {
    now: Id,
    namespace: String,
    before: Vec<Id>,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
}

impl Candidate {
    fn new(resource: &Resource) -> Self {
        Self {
            now: resource.id(),
            namespace: resource.namespace().to_owned(),
            before: resource.previous.clone(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
        }
    }

    fn was(&self, (group, kind): Referred) -> bool {
        self.before.iter().any(|id| id.group == group && id.kind == kind)
    }

    fn was_named(&self, name: &str) -> bool {
        self.before.iter().any(|id| id.name == name)
    }
}

/// What is known of the object that refers.
struct Referrer {
    id: Id,
    prefixes: Vec<String>,
    suffixes: Vec<String>,
    /// Group and kind of `roleRef`, where there is one.
    role: Option<(String, String)>,
}

impl Referrer {
    fn new(resource: &Resource) -> Self {
        let role = |field: &str| resource.tree.text_at(&["roleRef", field]).map(str::to_owned);
        Self {
            id: resource.id(),
            prefixes: resource.prefixes.clone(),
            suffixes: resource.suffixes.clone(),
            role: role("apiGroup").zip(role("kind")),
        }
    }

    /// Objects are referred to within a namespace, except by and to those that have none, and service accounts.
    fn reaches(&self, candidate: &Candidate) -> bool {
        self.id.is_cluster_scoped()
            || candidate.now.is_cluster_scoped()
            || candidate.now.kind == "ServiceAccount"
            || candidate.now.namespace == self.id.namespace
    }

    /// Of several objects with the same old name, the one that went through the same kustomizations.
    fn is_beside(&self, candidate: &Candidate, or_unchanged: bool) -> bool {
        let fits = |ours: &[String], theirs: &[String]| {
            (or_unchanged && (ours.is_empty() || theirs.is_empty())) || ours.ends_with(theirs) || theirs.ends_with(ours)
        };
        fits(&self.prefixes, &candidate.prefixes) && fits(&self.suffixes, &candidate.suffixes)
    }
}

/// Changes one reference: a name, a list of names, or mappings with `name`.
fn change(found: &mut Located, candidates: &[&Candidate], referrer: &Referrer) -> Result<(), Diagnostic> {
    match &mut found.value {
        Value::Text(name) => {
            if let Some(meant) = choose(name, candidates, referrer, &found.place)? {
                name.clone_from(&meant.now.name);
            }
            Ok(())
        }
        Value::List(items) => items.iter_mut().try_for_each(|item| change(item, candidates, referrer)),
        Value::Map(_) => {
            let namespace = found.text_at(&["namespace"]);
            let inside: Vec<&Candidate> = candidates
                .iter()
                .filter(|candidate| {
                    namespace.is_none_or(|namespace| {
                        candidate.now.namespace == namespace
                            || candidate.before.iter().any(|id| id.namespace == namespace)
                    })
                })
                .copied()
                .collect();
            let Some(name) = found.text_at(&["name"]) else { return Ok(()) };
            let Some(meant) = choose(name, &inside, referrer, &found.place)? else { return Ok(()) };
            let place = found.place.clone();
            found.set("name", Located::text(&place, meant.now.name.as_str()));
            if !meant.namespace.is_empty() {
                found.set("namespace", Located::text(&place, meant.namespace.as_str()));
            }
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn choose<'a>(
    name: &str,
    candidates: &[&'a Candidate],
    referrer: &Referrer,
    place: &crate::located::Place,
) -> Result<Option<&'a Candidate>, Diagnostic> {
    let role_fits = |candidate: &Candidate| match &referrer.role {
        Some((group, kind)) if candidate.now.group == "rbac.authorization.k8s.io" => {
            candidate.before.iter().any(|id| id.group == *group && id.kind == *kind)
        }
        Some(_) | None => true,
    };
    let mut found: Vec<&Candidate> =
        candidates.iter().filter(|candidate| candidate.was_named(name) && role_fits(candidate)).copied().collect();
    if found.len() > 1 {
        found.retain(|candidate| referrer.is_beside(candidate, true));
    }
    if found.len() > 1 {
        found.retain(|candidate| referrer.is_beside(candidate, false));
    }
    let Some(first) = found.first() else { return Ok(None) };
    if found.iter().all(|other| other.now.name == first.now.name) {
        return Ok(Some(first));
    }
    let names: Vec<String> = found.iter().map(|candidate| format!("`{}`", candidate.now.name)).collect();
    let message = format!("`{name}` may mean {}", names.join(" or "));
    Err(place.diagnostic(codes::STRUCTURE, message, "give the objects different names before prefixes are added"))
}
