//! Rendered objects as a workload that the local node can run. Invariant: what is decoded behaves as Kubernetes would
//! have it behave, except where a [`Notice`] says otherwise; what would behave differently is refused.

mod autoscaler;
mod container;
mod deployment;
mod env;
mod fields;
mod limits;
mod quantity;
mod security;
mod service;
mod volumes;

use prograde_model::workload::Workload;
use prograde_model::{Diagnostic, Diagnostics, Target};

use crate::codes;
use crate::kustomize::Resource;
use crate::located::Place;
use env::Sources;
use fields::{Fields, Findings};

/// A field that is known and not enforced on this runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The field's path in its object, such as `spec.template.spec.affinity`; a kind for a whole object.
    pub field: String,
    /// Where it was written.
    pub place: Place,
    /// Why it makes no difference here.
    pub why: &'static str,
}

/// What says how many replicas there are.
const AUTOSCALER: (&str, &str) = ("autoscaling/v2", "HorizontalPodAutoscaler");

/// The most findings that are told at once.
const FINDINGS_MAX: usize = 100;

/// Kinds that are passed over with a notice, because a plain process behaves the same without them.
const NOTED_KINDS: [(&str, &str, &str); 3] = [
    ("v1", "Namespace", "the environment is the namespace"),
    ("v1", "ServiceAccount", "a workload's identity on this runtime is its service and environment"),
    ("policy/v1", "PodDisruptionBudget", "nothing on this runtime evicts replicas"),
];

/// Decodes a target's rendered objects: exactly one `Deployment`, its `Service`, and what they refer to.
pub fn decode(target: &Target, documents: &[Resource]) -> Result<(Workload, Vec<Notice>), Diagnostics> {
    let mut found = Findings::default();
    let workload = read(target, documents, &mut found);
    match workload {
        Some(workload) if found.errors.is_empty() => Ok((workload, found.notices)),
        Some(_) | None => {
            found.errors.truncate(FINDINGS_MAX);
            Err(Diagnostics(found.errors))
        }
    }
}

fn read(target: &Target, documents: &[Resource], found: &mut Findings) -> Option<Workload> {
    other_kinds(documents, found);
    let deployment = the_one(target, documents, ("apps/v1", "Deployment"), found);
    let service = the_one(target, documents, ("v1", "Service"), found);
    let (deployment, service) = (deployment?, service?);
    let namespace = deployment.effective_namespace();
    if service.effective_namespace() != namespace {
        let message = format!("the Service is in another namespace than the Deployment, which is in `{namespace}`");
        found.error(&service.tree, codes::SELECTOR, message, "set `namespace` in the kustomization");
    }
    let autoscaler = at_most_one(target, documents, AUTOSCALER, found);
    let autoscaling = autoscaler.and_then(|autoscaler| autoscaler::read(autoscaler, deployment, found));
    let sources = Sources::read(documents, namespace, found);
    let read = deployment::read(deployment, target.service.as_str(), &sources, found)?;
    let service_ports = service::read(service, &read.labels, &read.container.ports, found);
    Some(Workload {
        name: read.name,
        labels: read.labels,
        annotations: read.annotations,
        replicas: read.replicas,
        rolling: read.rolling,
        min_ready_s: read.min_ready_s,
        progress_deadline_s: read.progress_deadline_s,
        termination_grace_s: read.termination_grace_s,
        container: read.container,
        service_ports,
        autoscaling,
        confinement: read.confinement,
        unconfined: Vec::new(),
    })
}

fn other_kinds(documents: &[Resource], found: &mut Findings) {
    for resource in documents {
        let (version, kind) = (resource.api_version(), resource.kind());
        let is_read = matches!((version, kind), ("apps/v1", "Deployment") | ("v1", "Service" | "ConfigMap" | "Secret"));
        if is_read || (version, kind) == AUTOSCALER {
            continue;
        }
        let noted = NOTED_KINDS.iter().find(|(of, name, _)| *of == version && *name == kind);
        if let Some((_, _, why)) = noted {
            found.notices.push(Notice { field: kind.to_owned(), place: resource.origin().clone(), why });
        } else {
            let message = format!("`{kind}` of `{version}` can't be had on this runtime");
            let hint = if kind == AUTOSCALER.1 {
                "write it as `autoscaling/v2`"
            } else {
                "list it only in the overlay of an environment on Kubernetes"
            };
            found.error(&resource.tree, codes::KIND, message, hint);
        }
    }
}

/// The only object of a kind that must be there.
fn the_one<'a>(
    target: &Target,
    documents: &'a [Resource],
    (version, kind): (&str, &str),
    found: &mut Findings,
) -> Option<&'a Resource> {
    let one = at_most_one(target, documents, (version, kind), found);
    if one.is_none() {
        let hint = "list one under `resources` of the overlay's kustomization";
        let message = format!("there is no {kind} of `{version}` for {target}");
        let file = documents.first().map_or("kustomization.yaml", |resource| &resource.origin().file);
        found.errors.push(Diagnostic::file(codes::OBJECTS, file, message, hint));
    }
    one
}

/// The only object of a kind, if there is one.
fn at_most_one<'a>(
    target: &Target,
    documents: &'a [Resource],
    (version, kind): (&str, &str),
    found: &mut Findings,
) -> Option<&'a Resource> {
    let mut all = documents.iter().filter(|resource| resource.api_version() == version && resource.kind() == kind);
    let first = all.next();
    for other in all {
        let message = format!("there is more than one {kind} for {target}");
        let hint = if kind == AUTOSCALER.1 { "keep one, with all metrics" } else { "make each a service of its own" };
        found.error(&other.tree, codes::OBJECTS, message, hint);
    }
    first
}

/// `apiVersion`, `kind` and `metadata` of an object.
fn header(object: &mut Fields, found: &mut Findings) {
    object.get("apiVersion");
    object.get("kind");
    let Some(mut metadata) = object.fields("metadata", found) else { return };
    for name in ["name", "namespace"] {
        metadata.text(name, found);
    }
    metadata.pairs("labels", found);
    metadata.pairs("annotations", found);
    metadata.note(found, &["creationTimestamp", "finalizers", "ownerReferences"], "only an API server acts on it");
    metadata.note(
        found,
        &["generation", "managedFields", "resourceVersion", "selfLink", "uid"],
        "only an API server sets it",
    );
    metadata.refuse(found, &["generateName"], "write `name`");
    metadata.finish(found);
}
