//! Policies over the manifests of a release: the same on a developer's machine (`prograde check`) and at a push, before
//! anything is built or deployed.

pub mod files;
pub(crate) mod images;
mod reaches;
pub mod signatures;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use prograde_gitops::kustomize::Resource;
use prograde_gitops::located::{Located, Place};
use prograde_model::policy::PolicyAnswers;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::{
    Action, Demand, Given, POLICY, Policy, PolicySet, Request, RuleResult, Signature, SignedBy, Status, shipped,
};
use prograde_resource::Object;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

pub use reaches::NOT_AT_ADMISSION;

use crate::options::ServerOptions;
use images::Way;

/// The code of what policies refuse.
pub const REFUSED: &str = "PG1106";
/// The set that holds where none is named.
pub const DEFAULT_SET: &str = "baseline";
/// The word for no set at all.
pub const NO_SET: &str = "none";
/// Where workloads have their pods' form; a `Pod` is one itself.
const POD_TEMPLATES: [&str; 2] = ["/spec/template", "/spec/jobTemplate/spec/template"];
/// Whose signature of a pod's image holds.
const SIGNED_BY: &str = "prograde.dev/signed-by";
/// Whether the commit was looked through; `passed`, or absent.
const SCAN: &str = "prograde.dev/scan";
/// How many violations are told at once.
const TOLD_MAX: usize = 100;

/// Policies that are in force.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// All of them.
    all: PolicySet,
    /// Those that are about images on their way into the registry.
    pushes: PolicySet,
    /// Those that are about images on their way out of it.
    pulls: PolicySet,
}

/// The policies of a server, which can be read again while it serves.
#[derive(Debug, Clone)]
pub(crate) struct InForce(Arc<Read>);

#[derive(Debug)]
struct Read {
    set: String,
    paths: Vec<PathBuf>,
    /// Whether the server's trust has a root, which proves identities.
    rooted: bool,
    /// Whether Kubernetes asks, and whether somebody looks namespaces up then.
    admission: Option<bool>,
    policies: watch::Sender<Arc<Policies>>,
}

impl InForce {
    /// Reads them for the first time. Where the server's trust has no root, policies that need one are refused.
    pub(crate) fn read(options: &ServerOptions, rooted: bool) -> Result<Self, Diagnostics> {
        let (set, paths) = (options.policy_set.clone(), options.policies.clone());
        let admission = options.admission.as_ref().map(|of| of.kubeconfig.is_some());
        let policies = Policies::read_all(&set, &paths, rooted)?.held(admission)?;
        let policies = watch::Sender::new(Arc::new(policies));
        Ok(Self(Arc::new(Read { set, paths, rooted, admission, policies })))
    }

    /// Reads them again. Where they can't be read, those before stay in force.
    pub(crate) fn read_again(&self) -> Result<(), Diagnostics> {
        let policies = Policies::read_all(&self.0.set, &self.0.paths, self.0.rooted)?.held(self.0.admission)?;
        self.0.policies.send_replace(Arc::new(policies));
        Ok(())
    }

    /// Those that are in force now.
    pub(crate) fn now(&self) -> Arc<Policies> {
        Arc::clone(&self.0.policies.borrow())
    }

    /// Tells when others are.
    pub(crate) fn changed(&self) -> watch::Receiver<Arc<Policies>> {
        self.0.policies.subscribe()
    }
}

/// What policies say to a release.
#[derive(Debug, Default)]
pub struct Judged {
    /// Violations of what is enforced, where they were written.
    pub refused: Vec<Diagnostic>,
    /// Violations of what is only told.
    pub told: Vec<Diagnostic>,
    /// Which policies hold, and which do not.
    pub answers: PolicyAnswers,
}

/// What is known of the images of a pod, by its `spec`.
type OfPods<'a> = &'a dyn Fn(&Value) -> Vouched;

/// What is known of a release beside its manifests. Policies find it as annotations of its pods, whatever the manifests
/// say there themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vouched {
    /// Whose signature of the image holds: the key, by the SHA-256 of its DER form in hex.
    pub signed_by: Option<String>,
    /// Whether the commit was looked through for what may not be there, and let past.
    pub scanned: bool,
}

impl Vouched {
    /// Of a commit before it is built: the server signs every image that it builds, and looks through every commit first.
    pub fn to_be() -> Self {
        Self { signed_by: Some("this server".to_owned()), scanned: true }
    }

    /// Whether somebody will have signed an image, where it is not known who the server signs as, and what it attests: the
    /// server says.
    pub fn to_be_signed(asked: &SignedBy) -> Signature {
        match &asked.demand {
            Demand::Signature(_) => Signature::Good,
            Demand::Attestation { .. } => Signature::Promised,
        }
    }

    pub(crate) fn note(&self, resource: &mut Value) {
        let Some(pod) = pod(resource) else { return };
        let metadata = pod.entry("metadata").or_insert_with(|| json!({}));
        let Some(metadata) = metadata.as_object_mut() else { return };
        let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
        let Some(annotations) = annotations.as_object_mut() else { return };
        let passed = self.scanned.then(|| "passed".to_owned());
        for (name, value) in [(SIGNED_BY, self.signed_by.clone()), (SCAN, passed)] {
            match value {
                Some(value) => annotations.insert(name.to_owned(), Value::String(value)),
                None => annotations.remove(name),
            };
        }
    }
}

/// The form of the pods that a resource brings, if it brings any.
pub(crate) fn pod(resource: &mut Value) -> Option<&mut Map<String, Value>> {
    let is_pod = resource.get("kind").and_then(Value::as_str) == Some("Pod");
    let has_spec = |at: &&str| resource.pointer(at).is_some_and(|pod| pod.get("spec").is_some());
    let at = if is_pod { Some("").filter(has_spec) } else { POD_TEMPLATES.into_iter().find(|at| has_spec(at)) };
    resource.pointer_mut(at?)?.as_object_mut()
}

impl Policies {
    /// A set that ships, by its name, and policies in files and folders. What can't be evaluated is an error.
    pub fn read(set: &str, paths: &[PathBuf]) -> Result<Self, Diagnostics> {
        Self::read_all(set, paths, true)
    }

    /// The same; without a trusted root, policies that ask for identities are errors.
    fn read_all(set: &str, paths: &[PathBuf], rooted: bool) -> Result<Self, Diagnostics> {
        let mut policies = PolicySet::default();
        let mut found = Vec::new();
        if set != NO_SET {
            if let Some(read) = shipped::read(set, &mut policies) {
                found.extend(read.err().into_iter().flat_map(|diagnostics| diagnostics.0));
            } else {
                let hint = format!("sets are {} and {NO_SET}", shipped::NAMES.join(", "));
                found.push(Diagnostic::file(POLICY, "--policy-set", format!("there is no set `{set}`"), hint));
            }
        }
        for (file, text) in files::texts(paths)? {
            let before = policies.policies.len();
            found.extend(policies.read(&file, &text).err().into_iter().flat_map(|diagnostics| diagnostics.0));
            let added = policies.policies.iter().skip(before).filter(|_| !rooted);
            found.extend(added.filter_map(|policy| unproven(&file, policy)));
        }
        let (pushes, pulls) = (policies.naming(&Way::Push.kind()), policies.naming(&Way::Pull.kind()));
        if found.is_empty() { Ok(Self { all: policies, pushes, pulls }) } else { Err(Diagnostics(found)) }
    }

    /// Judges what was rendered for a release. `signed` says whether a key signed the image that a policy names.
    pub fn judge(
        &self,
        resources: &[Resource],
        (vouched, signed): (&Vouched, &dyn Fn(&SignedBy) -> Signature),
        now: Timestamp,
    ) -> Judged {
        let mut judged = Judged::default();
        for resource in resources {
            let mut value = resource.to_json();
            vouched.note(&mut value);
            self.ask(&value, signed, now, &mut judged, &|policy, result| violation(resource, policy, result));
        }
        judged.bounded()
    }

    /// Judges what goes to a cluster.
    pub(crate) fn judge_objects(
        &self,
        objects: &[Object],
        (vouched, signed): (OfPods<'_>, &dyn Fn(&SignedBy) -> Signature),
        now: Timestamp,
    ) -> Judged {
        let mut judged = Judged::default();
        for object in objects {
            let mut value = object.value.clone();
            if let Some(spec) = pod(&mut value).and_then(|pod| pod.get("spec")) {
                vouched(spec).note(&mut value);
            }
            self.ask(&value, signed, now, &mut judged, &|policy, result| {
                let (message, hint) = words(policy, &object.identity, result);
                match &object.place {
                    Some(place) => place.diagnostic(REFUSED, message, hint),
                    None => Diagnostic::file(REFUSED, object.identity.to_string(), message, hint),
                }
            });
        }
        judged.bounded()
    }

    fn ask(
        &self,
        value: &Value,
        signed: &dyn Fn(&SignedBy) -> Signature,
        now: Timestamp,
        judged: &mut Judged,
        violation: &dyn Fn(&Policy, &RuleResult) -> Diagnostic,
    ) {
        let (request, mut given) = (Request::create(value, now), Given::default());
        let asked = self.all.asks(&request, &given).into_iter();
        given.verified = asked.map(|asked| (asked.clone(), signed(&asked))).collect();
        for answer in self.all.evaluate(&request, &given) {
            let Some(policy) = self.all.policies.get(answer.policy) else { continue };
            for result in answer.results {
                let broken = matches!(result.status, Status::Fail | Status::Error | Status::Warn);
                // A warning refuses nothing, whatever its policy does else.
                let enforced = result.action == Action::Enforce && result.status != Status::Warn;
                if broken || result.status == Status::Pass {
                    judged.answers.take(policy.name(), broken);
                }
                if broken {
                    let list = if enforced { &mut judged.refused } else { &mut judged.told };
                    list.push(violation(policy, &result));
                }
            }
        }
    }
}

impl Judged {
    /// The same without what is said twice, and no more of it than people read.
    fn bounded(mut self) -> Self {
        for list in [&mut self.refused, &mut self.told] {
            list.dedup();
            list.truncate(TOLD_MAX);
        }
        self
    }
}

/// A policy that asks for the signature of an identity, which nobody here could prove.
fn unproven(file: &str, policy: &Policy) -> Option<Diagnostic> {
    let rule = policy.names_identities()?;
    let what =
        format!("rule `{rule}` of `{}` asks for signatures without a key, and there is no trusted root", policy.name());
    let hint = "name a `trusted_root` in the file of `serve --trust`, or keys in the policy";
    Some(Diagnostic::file(POLICY, file, what, hint))
}

fn violation(resource: &Resource, policy: &Policy, result: &RuleResult) -> Diagnostic {
    let (message, hint) = words(policy, &resource.id(), result);
    place(resource.tree(), &result.path).diagnostic(REFUSED, message, hint)
}

/// What is wrong, and what can be done about it.
fn words<'p>(policy: &'p Policy, of: &dyn std::fmt::Display, result: &RuleResult) -> (String, &'p str) {
    let message = format!("{}: {of}: {}", policy.name(), result.message.trim());
    let comply = policy.annotation("prograde.dev/comply");
    (message, comply.unwrap_or("comply with the policy, or give a reason in a PolicyException"))
}

/// Where a path leads in a resource, or the nearest part of the way that is there.
fn place<'r>(tree: &'r Located, path: &str) -> &'r Place {
    let (mut node, mut place) = (tree, &tree.place);
    for step in path.split('/').filter(|step| !step.is_empty()) {
        let entry = node.entries().iter().find(|entry| entry.name == step);
        let item = || step.parse::<usize>().ok().and_then(|index| node.items().get(index));
        match (entry, item()) {
            (Some(entry), _) => (node, place) = (&entry.value, &entry.place),
            (None, Some(item)) => (node, place) = (item, &item.place),
            (None, None) => break,
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_word_replaces_what_manifests_say_of_themselves() {
        let claimed = json!({ "a": "b", SIGNED_BY: "me", SCAN: "passed" });
        let spec = json!({ "metadata": { "annotations": claimed }, "spec": { "containers": [] } });
        let mut pod = spec.clone();
        pod["kind"] = json!("Pod");
        let mut deployment = json!({ "kind": "Deployment", "spec": { "template": spec.clone() } });
        let mut job = json!({ "kind": "CronJob", "spec": { "jobTemplate": { "spec": { "template": spec } } } });
        let [template, of_job] = POD_TEMPLATES;
        for (resource, at) in [(&mut pod, ""), (&mut deployment, template), (&mut job, of_job)] {
            let mut check = |vouched: Vouched, expected: Value| {
                vouched.note(resource);
                assert_eq!(resource.pointer(at).unwrap()["metadata"]["annotations"], expected);
            };
            check(Vouched { signed_by: None, scanned: false }, json!({ "a": "b" }));
            let known = Vouched { signed_by: Some("key".to_owned()), scanned: true };
            check(known, json!({ "a": "b", SIGNED_BY: "key", SCAN: "passed" }));
        }
    }

    #[test]
    fn without_a_root_policies_do_not_ask_for_identities() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("policy.yaml");
        let read = |entry: Value, rooted: bool| {
            let rule = json!({"name": "by-ci", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                "verifyImages": [{"imageReferences": ["*"], "attestations": [{"type": "x", "attestors": [{"entries": [entry]}]}]}]});
            let policy = json!({"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "signed"},
                "spec": {"rules": [rule]}});
            std::fs::write(&file, policy.to_string()).unwrap();
            let read = Policies::read_all(NO_SET, std::slice::from_ref(&file), rooted);
            read.map(|_| ()).map_err(|found| found.to_string())
        };
        let keyless = json!({"keyless": {"issuer": "https://i", "subject": "s"}});
        assert_eq!(read(keyless.clone(), true), Ok(()));
        assert_eq!(read(json!({"keys": {"publicKeys": "x"}}), false), Ok(()));
        let nested = json!({"attestor": {"entries": [keyless.clone()]}});
        for entry in [keyless, nested] {
            let told = read(entry, false).unwrap_err();
            assert!(told.contains("policy.yaml") && told.contains("rule `by-ci` of `signed`"), "{told}");
        }
        let told = read(json!({"keyless": {"isuer": "https://i"}}), true).unwrap_err();
        assert!(told.contains("isuer"), "{told}");
    }

    #[test]
    fn what_has_no_pods_is_left_as_it_is() {
        for resource in [json!({ "kind": "Service", "spec": {} }), json!([]), json!({ "spec": { "template": [] } })] {
            let mut noted = resource.clone();
            Vouched::to_be().note(&mut noted);
            assert_eq!(noted, resource);
        }
    }
}
