//! Sets of policies: read from files, compiled once, asked about many resources.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use prograde_model::{Diagnostic, Diagnostics};
use prograde_yaml::Node;
use serde_json::Value;

use crate::admission::{AdmissionPolicy, Among, Binding};
use crate::exception::Exception;
use crate::kyverno::{KyvernoPolicy, Purpose, RuleResult, Surroundings};
use crate::reach::{self, Reach};
use crate::request::{Kind, Request, text};
use crate::schema::{self, Shape};
use crate::validate::Status;
use crate::verify::{SignedBy, Verified};
use crate::world::Outside;

/// The code of a policy that can't be compiled.
pub const POLICY: &str = "PG1102";
/// The code of a kind that is no policy that is evaluated here.
pub const KIND: &str = "PG1103";

/// Which part of an answer is asked for. Kubernetes asks twice: first what changes the resource, then whether what came of
/// that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// All of it at once.
    Whole,
    /// What mutation makes of the resource.
    Mutate,
    /// Whether the resource may be as it is. What mutation would change is changed by then, or was not.
    Validate,
}

impl Stage {
    /// What rules are for that are asked, in order.
    fn purposes(self) -> &'static [Purpose] {
        match self {
            Self::Whole => &[Purpose::Mutate, Purpose::VerifyImages, Purpose::Validate, Purpose::Generate],
            Self::Mutate => &[Purpose::Mutate],
            Self::Validate => &[Purpose::VerifyImages, Purpose::Validate],
        }
    }

    /// Whether mutation has been.
    pub(crate) fn is_settled(self) -> bool {
        self == Self::Validate
    }
}

/// Any policy.
#[derive(Debug, Clone)]
pub enum Policy {
    /// `ClusterPolicy` or `Policy`.
    Kyverno(Box<KyvernoPolicy>),
    /// A policy of expressions: `ValidatingPolicy`, `MutatingAdmissionPolicy` and the like.
    Admission(Box<AdmissionPolicy>),
}

impl Policy {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Kyverno(policy) => &policy.name,
            Self::Admission(policy) => &policy.name,
        }
    }

    /// Its namespace, or nothing.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Kyverno(policy) => &policy.namespace,
            Self::Admission(policy) => &policy.namespace,
        }
    }

    /// Whether results are not told apart by rules.
    pub fn is_ruleless(&self) -> bool {
        matches!(self, Self::Admission(_))
    }

    /// Whether it is about JSON documents of any kind.
    pub(crate) fn is_about_json(&self) -> bool {
        matches!(self, Self::Admission(policy) if policy.is_about_json())
    }

    /// Whether a part of an answer is asked of it: some are not for admission.
    pub(crate) fn is_asked(&self, stage: Stage) -> bool {
        stage == Stage::Whole
            || match self {
                Self::Kyverno(policy) => policy.admission,
                Self::Admission(policy) => policy.admission && !policy.is_about_json(),
            }
    }

    /// A rule of it that asks for the signature of an identity, which only a trusted root proves.
    pub fn names_identities(&self) -> Option<&str> {
        match self {
            Self::Kyverno(policy) => policy.names_identities(),
            Self::Admission(_) => None,
        }
    }

    /// Whether it names a kind among those that it is about, and not just by a wildcard.
    fn names_kind(&self, kind: &Kind) -> bool {
        match self {
            Self::Kyverno(policy) => policy.rules.iter().any(|rule| rule.matches.names_kind(kind)),
            Self::Admission(policy) => policy.names_kind(kind),
        }
    }

    /// Whether any of its rules is for something.
    pub(crate) fn has(&self, purpose: Purpose) -> bool {
        match self {
            Self::Kyverno(policy) => policy.has(purpose),
            Self::Admission(policy) => policy.purpose() == Some(purpose),
        }
    }

    /// An annotation such as `policies.kyverno.io/severity`.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let annotations = match self {
            Self::Kyverno(policy) => &policy.annotations,
            Self::Admission(policy) => &policy.annotations,
        };
        annotations.get(name).and_then(Value::as_str)
    }
}

/// Policies, bindings and exceptions.
#[derive(Debug, Clone, Default)]
pub struct PolicySet {
    /// Policies in the order in which they were read.
    pub policies: Vec<Policy>,
    /// Bindings of `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy`.
    pub bindings: Vec<Binding>,
    /// Exceptions.
    pub exceptions: Vec<Exception>,
    /// Policies that were refused, by name: what is asked of them is never answered with a pass.
    pub refused: BTreeMap<String, String>,
    /// What policies, bindings and exceptions ask for that no request brings with it.
    pub reaches: Vec<Reach>,
}

/// What is given beside the resource. Nothing is asked of a cluster or a registry.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// What contexts refer to.
    pub outside: Outside,
    /// Values of variables by policy; `None` for all policies.
    pub values: Vec<(Option<String>, String, Value)>,
    /// Resources that `mutate.targets` may change.
    pub targets: Vec<Value>,
    /// Resources that may be copied, and params.
    pub sources: Vec<Value>,
    /// Signatures of images that were looked up; [`PolicySet::asks`] says which are needed.
    pub verified: Verified,
}

/// What came of one policy.
#[derive(Debug, Clone)]
pub struct PolicyResult {
    /// Which policy, in the set.
    pub policy: usize,
    /// What came of its rules; none where no rule selected the resource.
    pub results: Vec<RuleResult>,
}

impl PolicySet {
    /// Reads policies, bindings and exceptions from a file. What is wrong is said of each document; the rest is read.
    pub fn read(&mut self, file: &str, source: &str) -> Result<(), Diagnostics> {
        let mut found = Vec::new();
        for node in prograde_yaml::documents(file, source)? {
            let items = node.get("items").filter(|_| node.get("kind").and_then(Node::as_str) == Some("List"));
            match items {
                Some(items) => items.items().iter().for_each(|item| self.add(file, item, &mut found)),
                None => self.add(file, &node, &mut found),
            }
        }
        if found.is_empty() { Ok(()) } else { Err(Diagnostics(found)) }
    }

    fn add(&mut self, file: &str, node: &Node, found: &mut Vec<Diagnostic>) {
        let value = node.to_json();
        let before = found.len();
        let outcome = match shape_of(&value) {
            Ok(shape) => {
                schema::check(file, node, shape, found);
                if found.len() > before {
                    self.refuse(&value, &found.get(before).map(ToString::to_string).unwrap_or_default());
                    return;
                }
                reach::add(file, node, &mut self.reaches);
                self.compile(node, &value)
            }
            Err(why) => {
                let hint = "evaluated here: ClusterPolicy, Policy, ValidatingPolicy, MutatingPolicy, GeneratingPolicy, DeletingPolicy, ValidatingAdmissionPolicy and MutatingAdmissionPolicy with bindings, and PolicyException";
                found.push(Diagnostic::file(KIND, file, why.clone(), hint).at(node.line, node.column));
                self.refuse(&value, &why);
                return;
            }
        };
        if let Err((line, column, why)) = outcome {
            found.push(
                Diagnostic::file(POLICY, file, why.clone(), "`prograde explain PG1102` says what can be evaluated")
                    .at(line, column),
            );
            self.refuse(&value, &why);
        }
    }

    fn refuse(&mut self, value: &Value, why: &str) {
        self.refused.insert(text(value, &["metadata", "name"]).to_owned(), why.to_owned());
    }

    fn compile(&mut self, node: &Node, value: &Value) -> Result<(), (u32, u32, String)> {
        let here = |why: String| (node.line, node.column, why);
        match text(value, &["kind"]) {
            "ClusterPolicy" | "Policy" => {
                let policy = KyvernoPolicy::compile(value).map_err(|(rule, why)| {
                    let rules = node.get("spec").and_then(|spec| spec.get("rules"));
                    let place = rule.and_then(|index| rules.and_then(|rules| rules.items().get(index)));
                    place.map_or_else(|| here(why.clone()), |rule| (rule.line, rule.column, why.clone()))
                })?;
                self.policies.push(Policy::Kyverno(Box::new(policy)));
            }
            "PolicyException" => self.exceptions.push(Exception::compile(value).map_err(here)?),
            "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
                self.bindings.push(Binding::compile(value).map_err(here)?);
            }
            _ => self.policies.push(Policy::Admission(Box::new(AdmissionPolicy::compile(value).map_err(here)?))),
        }
        Ok(())
    }

    /// Those of its policies that name a kind, with their bindings and exceptions.
    #[must_use]
    pub fn naming(&self, kind: &Kind) -> Self {
        let mut named = self.clone();
        named.policies.retain(|policy| policy.names_kind(kind));
        named
    }

    /// What all policies say to a request, in the order mutate, verify, validate, generate, as at admission: what mutation
    /// changes is seen by what follows.
    pub fn evaluate(&self, request: &Request<'_>, given: &Given) -> Vec<PolicyResult> {
        self.evaluate_at(Stage::Whole, request, given)
    }

    /// One part of that.
    pub fn evaluate_at(&self, stage: Stage, request: &Request<'_>, given: &Given) -> Vec<PolicyResult> {
        let mut all = Vec::new();
        let mut current: Option<Value> = None;
        // What variables see is the same for all policies as long as none has values of its own or changes the resource.
        let mut document = request.document();
        for purpose in stage.purposes() {
            for (index, policy) in self.policies.iter().enumerate() {
                if !policy.has(*purpose) || !policy.is_asked(stage) {
                    continue;
                }
                let mut changed = request.clone();
                if let Some(resource) = &current {
                    changed.object = Some(Cow::Borrowed(resource));
                }
                let mut results = self.run(policy, (stage, Some(*purpose)), changed, &document, given);
                if policy.annotation("policies.kyverno.io/scored") == Some("false") {
                    results
                        .iter_mut()
                        .filter(|result| result.status == Status::Fail)
                        .for_each(|result| result.status = Status::Warn);
                }
                let patched = results.iter().rev().find_map(|result| result.patched.clone());
                all.push(PolicyResult { policy: index, results });
                if let Some(resource) = patched {
                    let mut changed = request.clone();
                    changed.object = Some(Cow::Borrowed(&resource));
                    document = changed.document();
                    current = Some(resource);
                }
            }
        }
        all
    }

    /// Which signatures somebody would have to look up for the answer to a request. Where mutation changes an image, that
    /// image is not among them, and what is asked of it ends in an error.
    pub fn asks(&self, request: &Request<'_>, given: &Given) -> BTreeSet<SignedBy> {
        self.asks_at(Stage::Whole, request, given)
    }

    /// The same for one part of the answer.
    pub fn asks_at(&self, stage: Stage, request: &Request<'_>, given: &Given) -> BTreeSet<SignedBy> {
        let mut found = BTreeSet::new();
        for policy in self.policies.iter().filter(|policy| policy.is_asked(stage)) {
            if let Policy::Kyverno(policy) = policy {
                let mut request = request.clone();
                with_values_of(policy, &mut request, given);
                policy.asks(&request, stage, &mut found);
            }
        }
        found
    }

    /// Images whose digests are to be written behind their tags (`mutateDigest`), by where they stand in the resource.
    pub fn pins(&self, request: &Request<'_>) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for policy in self.policies.iter().filter(|policy| policy.is_asked(Stage::Mutate)) {
            if let Policy::Kyverno(policy) = policy {
                policy.pins(request, &mut found);
            }
        }
        found
    }

    /// What deleting policies say of a resource, which no request asks them: pass where it is to be deleted.
    pub fn deletions(&self, request: &Request<'_>, given: &Given) -> Vec<PolicyResult> {
        let deletes = |policy: &Policy| matches!(policy, Policy::Admission(policy) if policy.purpose().is_none());
        let policies = self.policies.iter().enumerate().filter(|(_, policy)| deletes(policy));
        let answers = policies.map(|(index, policy)| PolicyResult {
            policy: index,
            results: self.run(policy, (Stage::Whole, None), request.clone(), &Value::Null, given),
        });
        answers.collect()
    }

    fn run(
        &self,
        policy: &Policy,
        (stage, purpose): (Stage, Option<Purpose>),
        mut request: Request<'_>,
        document: &Value,
        given: &Given,
    ) -> Vec<RuleResult> {
        match policy {
            Policy::Kyverno(policy) => {
                let values = with_values_of(policy, &mut request, given);
                let own = (!values.is_empty()).then(|| crate::kyverno::with_values(request.document(), &values));
                let around = Surroundings {
                    document: own.as_ref().unwrap_or(document),
                    outside: &given.outside,
                    values: &values,
                    exceptions: &self.exceptions,
                    targets: &given.targets,
                    sources: &given.sources,
                    verified: &given.verified,
                    stage,
                };
                purpose.map_or_else(Vec::new, |purpose| policy.run(purpose, &request, &around))
            }
            Policy::Admission(policy) => {
                let everywhere = given.values.iter().filter(|(of, _, _)| of.is_none());
                let values: Vec<(String, Value)> =
                    everywhere.map(|(_, name, value)| (name.clone(), value.clone())).collect();
                with_operation(&mut request, &values);
                let among = Among {
                    bindings: &self.bindings,
                    exceptions: &self.exceptions,
                    sources: &given.sources,
                    targets: &given.targets,
                    outside: &given.outside,
                    stage,
                };
                policy.run(&request, &among)
            }
        }
    }
}

/// The values of a policy, after those that are about the request itself have been put into it.
fn with_values_of(policy: &KyvernoPolicy, request: &mut Request<'_>, given: &Given) -> Vec<(String, Value)> {
    let of_policy = given.values.iter().filter(|(of, _, _)| of.as_ref().is_none_or(|of| *of == policy.name));
    let values: Vec<(String, Value)> = of_policy.map(|(_, name, value)| (name.clone(), value.clone())).collect();
    with_operation(request, &values);
    with_injected(request, &values);
    values
}

/// Values may say what is done with the resource: on DELETE there is only the old one, on UPDATE there are both.
fn with_operation(request: &mut Request<'_>, values: &[(String, Value)]) {
    let wanted =
        values.iter().rev().find(|(name, _)| name == "request.operation").and_then(|(_, value)| value.as_str());
    match wanted {
        Some("DELETE") => {
            request.operation = "DELETE";
            request.old = request.object.take().or(request.old.take());
        }
        Some("UPDATE") => {
            request.operation = "UPDATE";
            request.old = request.old.take().or_else(|| request.object.clone());
        }
        Some("CONNECT") => request.operation = "CONNECT",
        Some(_) | None => {}
    }
}

/// Values may set parts of the resource itself.
fn with_injected(request: &mut Request<'_>, values: &[(String, Value)]) {
    for (name, value) in values {
        let part = match (name.strip_prefix("request.object."), name.strip_prefix("request.oldObject.")) {
            (Some(path), _) => request.object.as_mut().map(|object| (object, path)),
            (None, Some(path)) => request.old.as_mut().map(|object| (object, path)),
            (None, None) => None,
        };
        if let Some((object, path)) = part {
            crate::context::set_dotted(object.to_mut(), path, value.clone());
        }
    }
}

fn shape_of(value: &Value) -> Result<&'static Shape, String> {
    let (api, kind) = (text(value, &["apiVersion"]), text(value, &["kind"]));
    let group = api.split('/').next().unwrap_or_default();
    match (group, kind) {
        ("kyverno.io", "ClusterPolicy" | "Policy") => Ok(&schema::KYVERNO),
        ("kyverno.io" | "policies.kyverno.io", "PolicyException") => Ok(&schema::EXCEPTION),
        ("policies.kyverno.io", "ValidatingPolicy" | "NamespacedValidatingPolicy") => Ok(&schema::VALIDATING),
        ("policies.kyverno.io", "MutatingPolicy" | "NamespacedMutatingPolicy") => Ok(&schema::MUTATING),
        ("policies.kyverno.io", "GeneratingPolicy" | "NamespacedGeneratingPolicy") => Ok(&schema::GENERATING),
        ("policies.kyverno.io", "DeletingPolicy" | "NamespacedDeletingPolicy") => Ok(&schema::DELETING),
        ("policies.kyverno.io", "ImageValidatingPolicy" | "NamespacedImageValidatingPolicy") => {
            Ok(&schema::IMAGE_VALIDATING)
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => Ok(&schema::ADMISSION),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => Ok(&schema::MUTATING_ADMISSION),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding") => {
            Ok(&schema::BINDING)
        }
        _ if kind.is_empty() => Err("the document is no policy: it has no kind".to_owned()),
        _ => Err(format!("policies of the kind {kind} ({api}) are not evaluated here")),
    }
}
