//! `Deployment` of apps/v1, down to its pod template (Kubernetes API reference, `DeploymentSpec` and `PodSpec`).

use std::collections::BTreeMap;

use prograde_model::confinement::Confinement;
use prograde_model::workload::{Container, IntOrPercent, RollingUpdate};

use super::container;
use super::env::Sources;
use super::fields::{Fields, Findings, whole};
use super::security;
use crate::codes;
use crate::kustomize::Resource;
use crate::located::{Located, Value};

/// What a `Deployment` says.
pub(super) struct Deployment {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) replicas: u32,
    pub(super) rolling: RollingUpdate,
    pub(super) min_ready_s: u32,
    pub(super) progress_deadline_s: u32,
    pub(super) termination_grace_s: u32,
    pub(super) container: Container,
    pub(super) confinement: Option<Confinement>,
}

/// Reads a `Deployment`; `None` with findings where it can't be run.
pub(super) fn read(resource: &Resource, service: &str, sources: &Sources, found: &mut Findings) -> Option<Deployment> {
    let mut object = Fields::new(&resource.tree, "", found)?;
    super::header(&mut object, found);
    object.note(found, &["status"], "the runtime writes it");
    let spec = object.fields("spec", found);
    if spec.is_none() {
        found.invalid(&resource.tree, "`spec` is missing", "");
    }
    object.finish(found);
    let mut spec = spec?;
    let replicas = spec.number("replicas", found).unwrap_or(1);
    let min_ready_s = spec.number("minReadySeconds", found).unwrap_or(0);
    let progress_deadline_s = spec.number("progressDeadlineSeconds", found).unwrap_or(600);
    if progress_deadline_s <= min_ready_s {
        let at = spec.get("progressDeadlineSeconds").unwrap_or(spec.tree);
        found.invalid(at, "`spec.progressDeadlineSeconds` must be greater than `spec.minReadySeconds`", "");
    }
    spec.note(found, &["revisionHistoryLimit"], "the deployment repository keeps the whole history");
    spec.refuse(found, &["paused"], "remove it; a rollout is held by its gate, or aborted");
    let rolling = rolling(&mut spec, found);
    let selector = spec.required("selector", found);
    let template = spec.required("template", found);
    spec.finish(found);
    let Template { labels, annotations, grace, container, confinement } =
        template_of(template?, service, sources, found)?;
    check_selector(selector?, &labels, found);
    Some(Deployment {
        name: resource.name().to_owned(),
        labels,
        annotations,
        replicas,
        rolling,
        min_ready_s,
        progress_deadline_s,
        termination_grace_s: grace,
        container,
        confinement,
    })
}

fn rolling(spec: &mut Fields, found: &mut Findings) -> RollingUpdate {
    let mut update = RollingUpdate::default();
    let Some(mut strategy) = spec.fields("strategy", found) else { return update };
    if let Some(kind) = strategy.get("type").filter(|kind| kind.as_str() != Some("RollingUpdate")) {
        let hint = "use `RollingUpdate`: a canary needs the old version beside the new one";
        found.error(kind, codes::REFUSED_FIELD, "`spec.strategy.type` must be `RollingUpdate`", hint);
    }
    if let Some(mut rolling) = strategy.fields("rollingUpdate", found) {
        for (name, value) in [("maxSurge", &mut update.max_surge), ("maxUnavailable", &mut update.max_unavailable)] {
            if let Some(given) = rolling.get(name) {
                match int_or_percent(given) {
                    Some(read) => *value = read,
                    None => found.invalid(
                        given,
                        format!("`{}` must be a whole number or a percentage", rolling.path(name)),
                        "write `1` or `25%`",
                    ),
                }
            }
        }
        let zero = |value| matches!(value, IntOrPercent::Int(0) | IntOrPercent::Percent(0));
        if zero(update.max_surge) && zero(update.max_unavailable) {
            let message = "`maxSurge` and `maxUnavailable` can't both be 0: no replica could ever be replaced";
            found.invalid(rolling.tree, message, "set `maxSurge: 1`");
        }
        if matches!(update.max_unavailable, IntOrPercent::Percent(101..)) {
            found.invalid(rolling.tree, "`maxUnavailable` can't be more than 100%", "");
        }
        rolling.finish(found);
    }
    strategy.finish(found);
    update
}

fn int_or_percent(value: &Located) -> Option<IntOrPercent> {
    match &value.value {
        Value::Text(text) => {
            let digits = text.strip_suffix('%').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse().ok().map(IntOrPercent::Percent)
        }
        Value::Number(_) => whole(value).map(IntOrPercent::Int),
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    }
}

fn check_selector(selector: &Located, labels: &BTreeMap<String, String>, found: &mut Findings) {
    let Some(mut fields) = Fields::new(selector, "spec.selector", found) else { return };
    fields.refuse(found, &["matchExpressions"], "use `matchLabels`");
    let pairs = fields.pairs("matchLabels", found);
    fields.finish(found);
    if pairs.is_empty() {
        found.error(
            selector,
            codes::SELECTOR,
            "`spec.selector.matchLabels` is empty",
            "repeat the labels of the pod template",
        );
    }
    for (name, value) in pairs {
        if labels.get(name).map(String::as_str) != value.as_str() {
            let message = format!("the selector's label `{name}` is not that of the pod template");
            found.error(value, codes::SELECTOR, message, "give `spec.template.metadata.labels` the same label");
        }
    }
}

/// What is read of the pod template.
struct Template {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    grace: u32,
    container: Container,
    confinement: Option<Confinement>,
}

fn template_of(tree: &Located, service: &str, sources: &Sources, found: &mut Findings) -> Option<Template> {
    let mut template = Fields::new(tree, "spec.template", found)?;
    let (mut labels, mut annotations) = (BTreeMap::new(), BTreeMap::new());
    if let Some(mut metadata) = template.fields("metadata", found) {
        for (field, read) in [("labels", &mut labels), ("annotations", &mut annotations)] {
            for (name, value) in metadata.pairs(field, found) {
                read.insert(name.to_owned(), value.as_str().unwrap_or_default().to_owned());
            }
        }
        metadata.note(found, &["name", "namespace", "creationTimestamp"], "the runtime names each replica");
        metadata.finish(found);
    }
    let pod = template.fields("spec", found);
    if pod.is_none() {
        found.invalid(tree, "`spec.template.spec` is missing", "");
    }
    template.finish(found);
    let (grace, (container, confinement)) = pod_of(pod?, service, sources, found)?;
    Some(Template { labels, annotations, grace, container, confinement })
}

/// The grace period, and the one container with what it is held to.
type ReadPod = (u32, (Container, Option<Confinement>));

fn pod_of(mut pod: Fields, service: &str, sources: &Sources, found: &mut Findings) -> Option<ReadPod> {
    pod_notes(&mut pod, found);
    pod_refusals(&mut pod, found);
    if let Some(policy) = pod.get("restartPolicy").filter(|policy| policy.as_str() != Some("Always")) {
        found.invalid(policy, "`restartPolicy` of a Deployment must be `Always`", "remove it");
    }
    let grace = pod.number("terminationGracePeriodSeconds", found).unwrap_or(30);
    let path = pod.path("containers");
    let given = pod.required("containers", found);
    let containers = pod.list("containers", found);
    let held_to = security::pod(&mut pod, found);
    pod.finish(found);
    match containers {
        [one] => {
            let read = container::read(one, &format!("{path}[0]"), service, sources, held_to, found);
            read.map(|read| (grace, read))
        }
        [] => {
            if let Some(given) = given {
                found.invalid(given, format!("`{path}` is empty"), "a workload needs one container");
            }
            None
        }
        [_, second, ..] => {
            let message = format!("`{path}` has {} containers; this runtime runs one", containers.len());
            let hint = "make the others services of their own, or use an environment on Kubernetes";
            found.error(second, codes::REFUSED_FIELD, message, hint);
            None
        }
    }
}

fn pod_notes(pod: &mut Fields, found: &mut Findings) {
    const IDENTITY: &str = "a workload's identity on this runtime is its service and environment";
    const PLACEMENT: &str = "there is one machine, so there is nothing to choose";
    pod.note(found, &["serviceAccountName", "serviceAccount", "automountServiceAccountToken"], IDENTITY);
    pod.note(found, &["imagePullSecrets"], "images come from the embedded registry");
    pod.note(found, &["affinity", "nodeName", "nodeSelector", "schedulerName", "tolerations"], PLACEMENT);
    pod.note(found, &["topologySpreadConstraints", "priority", "priorityClassName", "preemptionPolicy"], PLACEMENT);
    pod.note(
        found,
        &["runtimeClassName", "hostUsers"],
        "there is one kind of container here, with the machine's users",
    );
    pod.note(found, &["overhead"], "nothing is placed by it");
    pod.note(found, &["dnsPolicy", "os"], "replicas use the machine's own");
    pod.note(found, &["enableServiceLinks", "shareProcessNamespace"], "it makes no difference to one container");
}

fn pod_refusals(pod: &mut Fields, found: &mut Findings) {
    const INSIDE: &str = "do it in the program, or use an environment on Kubernetes";
    pod.refuse(found, &["initContainers", "ephemeralContainers"], "do it when the program starts, or in the pipeline");
    pod.refuse(found, &["hostNetwork", "hostPID", "hostIPC"], "remove it; the network is the machine's anyway");
    pod.refuse(found, &["resources"], "write it at the container");
    pod.refuse(found, &["hostAliases", "dnsConfig", "hostname", "subdomain", "setHostnameAsFQDN"], INSIDE);
    pod.refuse(found, &["activeDeadlineSeconds", "readinessGates", "resourceClaims", "schedulingGates"], INSIDE);
}
