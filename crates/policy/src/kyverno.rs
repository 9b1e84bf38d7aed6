//! `ClusterPolicy` and `Policy`: compiled, and evaluated rule by rule.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::autogen;
use crate::cel::{self, Input, Outcome, Program};
use crate::context::{Frame, Ground};
use crate::exception::Exception;
use crate::image::Image;
use crate::jmespath::Expression;
use crate::pss::PodSecurity;
use crate::request::{Request, at, images, text};
use crate::rule::{Action, Actions, Body, Rule, flag};
use crate::set::Stage;
use crate::validate::{Status, Validation, Verdict};
use crate::verify::{SignedBy, Verified, all_images};
use crate::world::Outside;

/// What a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To refuse.
    Validate,
    /// To change.
    Mutate,
    /// To make other resources.
    Generate,
    /// To verify images.
    VerifyImages,
}

/// What came of one rule.
#[derive(Debug, Clone)]
pub struct RuleResult {
    /// The rule's name, with the prefix of rules that were made for controllers.
    pub rule: String,
    /// What it is for.
    pub purpose: Purpose,
    /// What came of it.
    pub status: Status,
    /// Why.
    pub message: String,
    /// Where in the resource, as `/spec/containers/0/image/`, or nothing.
    pub path: String,
    /// Whether what breaks it is refused.
    pub action: Action,
    /// The changed resource, where it was changed.
    pub patched: Option<Value>,
    /// Changed targets.
    pub targets: Vec<Value>,
    /// Resources that follow.
    pub generated: Vec<Value>,
}

/// A policy of the group `kyverno.io`.
#[derive(Debug, Clone)]
pub struct KyvernoPolicy {
    /// Its name.
    pub name: String,
    /// Its namespace; nothing for a `ClusterPolicy`.
    pub namespace: String,
    /// Annotations: title, category, severity and the like.
    pub annotations: Value,
    namespaced: bool,
    actions: Actions,
    apply_one: bool,
    /// Whether it is looked at outside of admission.
    pub background: bool,
    /// Whether it is asked at admission.
    pub(crate) admission: bool,
    conditions: Vec<(String, Program)>,
    pub(crate) rules: Vec<Rule>,
}

/// What lies around an evaluation.
pub(crate) struct Surroundings<'s> {
    /// What variables see, with the values in it.
    pub(crate) document: &'s Value,
    pub(crate) outside: &'s Outside,
    pub(crate) values: &'s [(String, Value)],
    pub(crate) exceptions: &'s [Exception],
    pub(crate) targets: &'s [Value],
    pub(crate) sources: &'s [Value],
    pub(crate) verified: &'s Verified,
    pub(crate) stage: Stage,
}

impl KyvernoPolicy {
    /// Compiles a policy whose fields are known. An error says which rule it is about.
    pub(crate) fn compile(value: &Value) -> Result<Self, (Option<usize>, String)> {
        let whole = |why: String| (None, why);
        let spec = value.get("spec").unwrap_or(&Value::Null);
        let metadata = value.get("metadata").unwrap_or(&Value::Null);
        let rules = spec.get("rules").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if rules.is_empty() {
            return Err(whole("the policy has no rules".to_owned()));
        }
        let mut compiled = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let name = text(rule, &["name"]);
            Rule::compile(rule).map_err(|why| (Some(index), format!("rule `{name}`: {why}")))?;
        }
        for rule in autogen::rules(metadata, rules) {
            let name = text(&rule, &["name"]).to_owned();
            compiled.push(Rule::compile(&rule).map_err(|why| whole(format!("rule `{name}`: {why}")))?);
        }
        let mut conditions = Vec::new();
        for condition in
            at(spec, &["webhookConfiguration", "matchConditions"]).and_then(Value::as_array).into_iter().flatten()
        {
            let program = Program::compile(text(condition, &["expression"])).map_err(whole)?;
            conditions.push((text(condition, &["name"]).to_owned(), program));
        }
        let actions =
            Actions::compile(spec.get("validationFailureAction"), spec.get("validationFailureActionOverrides"));
        let namespaced = text(value, &["kind"]) == "Policy";
        let namespace = text(metadata, &["namespace"]);
        let namespace = if namespaced && namespace.is_empty() { "default" } else { namespace };
        Ok(Self {
            name: text(metadata, &["name"]).to_owned(),
            namespace: if namespaced { namespace.to_owned() } else { String::new() },
            annotations: metadata.get("annotations").cloned().unwrap_or(Value::Null),
            namespaced,
            actions: actions.map_err(whole)?.unwrap_or_else(Actions::audit),
            apply_one: text(spec, &["applyRules"]) == "One",
            background: flag(spec.get("background")).unwrap_or(true),
            admission: flag(spec.get("admission")).unwrap_or(true),
            conditions,
            rules: compiled,
        })
    }

    /// Whether any rule is for something.
    pub(crate) fn has(&self, purpose: Purpose) -> bool {
        self.rules.iter().any(|rule| rule.purpose() == purpose)
    }

    /// Whether the policy looks at the request at all.
    fn looks_at(&self, request: &Request<'_>, document: &Value, outside: &Outside) -> bool {
        if self.namespaced && text(request.resource(), &["metadata", "namespace"]) != self.namespace {
            return false;
        }
        if self.conditions.is_empty() {
            return true;
        }
        cel::matches(&self.conditions, &input(request, document, outside)).unwrap_or(true)
    }

    /// The results of all rules for one purpose, in order. The resource is the last that mutation left.
    pub(crate) fn run(&self, purpose: Purpose, request: &Request<'_>, around: &Surroundings<'_>) -> Vec<RuleResult> {
        if !self.looks_at(request, around.document, around.outside) {
            return Vec::new();
        }
        let mut results = Vec::new();
        let mut changed: Option<Value> = None;
        for rule in self.rules.iter().filter(|rule| rule.purpose() == purpose) {
            let result = match &changed {
                None => self.run_rule(rule, request, around.document, around),
                Some(resource) => {
                    let mut request = request.clone();
                    request.object = Some(std::borrow::Cow::Borrowed(resource));
                    let document = with_values(request.document(), around.values);
                    self.run_rule(rule, &request, &document, around)
                }
            };
            let Some(result) = result else { continue };
            if let Some(patched) = &result.patched {
                changed = Some(patched.clone());
            }
            let applied = matches!(result.status, Status::Pass | Status::Fail);
            results.push(result);
            if self.apply_one && applied {
                break;
            }
        }
        results
    }

    /// Which signatures its rules would have to know of.
    pub(crate) fn asks(&self, request: &Request<'_>, stage: Stage, into: &mut BTreeSet<SignedBy>) {
        for rule in &self.rules {
            let Body::VerifyImages(images) = &rule.body else { continue };
            if !request.is_delete() && selects(rule, request) {
                images.asks(&asked_images(rule, request, stage), into);
            }
        }
    }

    /// Which images its rules want digests of, by their places.
    pub(crate) fn pins(&self, request: &Request<'_>, into: &mut BTreeMap<String, String>) {
        for rule in &self.rules {
            let Body::VerifyImages(verify) = &rule.body else { continue };
            if let Some(lists) = images(request.resource()).filter(|_| selects(rule, request)) {
                verify.pins(&lists, into);
            }
        }
    }

    /// A rule that asks for somebody without a key.
    pub(crate) fn names_identities(&self) -> Option<&str> {
        let asks = |rule: &&Rule| matches!(&rule.body, Body::VerifyImages(images) if images.names_identities());
        self.rules.iter().find(asks).map(|rule| rule.name.as_str())
    }

    fn run_rule(
        &self,
        rule: &Rule,
        request: &Request<'_>,
        document: &Value,
        around: &Surroundings<'_>,
    ) -> Option<RuleResult> {
        if !selects(rule, request) {
            return None;
        }
        let ground = Ground {
            document,
            outside: around.outside,
            now: request.now,
            delete: request.is_delete(),
            depth: Cell::new(0),
            seed: around.outside.seed.map(|seed| self.seed(seed, rule, request)),
            draws: Cell::new(0),
            each: around.outside.each(&self.name, &rule.name, rule.base_name()),
        };
        let values = around.outside.values(&self.name, &rule.name, rule.base_name());
        let base = Frame::new(&ground, None, &[]).with_each(0).with_dotted(values);
        let base = match rule.extracted(request) {
            None => base,
            Some(images) => base.with("images", images),
        };
        let frame = base.child(&rule.context);
        let mut result = RuleResult {
            rule: rule.name.clone(),
            purpose: rule.purpose(),
            status: Status::Skip,
            message: String::new(),
            path: String::new(),
            action: self.action(rule, request),
            patched: None,
            targets: Vec::new(),
            generated: Vec::new(),
        };
        let verdict = match rule.preconditions.evaluate(&frame, frame.delete()) {
            Err(error) => Some(Verdict::error("the preconditions can't be evaluated", &error)),
            Ok(outcome) if !outcome.holds => Some(Verdict::new(
                Status::Skip,
                format!("preconditions not met {}", outcome.message).trim_end().to_owned(),
            )),
            Ok(_) => self.body(rule, request, document, &frame, around, &mut result),
        };
        let verdict = verdict?;
        result.status = verdict.status;
        result.message = verdict.message;
        result.path = verdict.path;
        Some(result)
    }

    /// The seed of a rule about a resource: other rules and resources have other random texts.
    fn seed(&self, seed: u64, rule: &Rule, request: &Request<'_>) -> u64 {
        let resource = request.resource();
        let metadata = |name: &str| text(resource, &["metadata", name]).to_owned();
        let about =
            [self.name.as_str(), &rule.name, text(resource, &["kind"]), &metadata("namespace"), &metadata("name")];
        let digest = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(about.join("\0")).finalize();
        digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    }

    fn action(&self, rule: &Rule, request: &Request<'_>) -> Action {
        let namespace = text(request.resource(), &["metadata", "namespace"]);
        rule.actions.as_ref().unwrap_or(&self.actions).of(namespace, &request.namespace_labels)
    }

    /// Exceptions that let this request through, by their names.
    fn exceptions<'e>(
        &self,
        rule: &Rule,
        request: &Request<'_>,
        frame: &Frame<'_>,
        around: &Surroundings<'e>,
    ) -> Vec<&'e Exception> {
        let name = if self.namespaced { format!("{}/{}", self.namespace, self.name) } else { self.name.clone() };
        around
            .exceptions
            .iter()
            .filter(|exception| exception.is_about(&name, &rule.name) && exception.covers(request, frame))
            .collect()
    }

    fn body(
        &self,
        rule: &Rule,
        request: &Request<'_>,
        document: &Value,
        frame: &Frame<'_>,
        around: &Surroundings<'_>,
        result: &mut RuleResult,
    ) -> Option<Verdict> {
        let exceptions = self.exceptions(rule, request, frame, around);
        let excepted = || {
            let names: Vec<&str> = exceptions.iter().map(|exception| exception.name.as_str()).collect();
            Verdict::new(Status::Skip, format!("excepted by {}", names.join(", ")))
        };
        match &rule.body {
            Body::PodSecurity(standard) => {
                if exceptions.iter().any(|exception| exception.pod_security.is_empty()) {
                    return Some(excepted());
                }
                let verdict = pod_security(rule, standard, request, &exceptions)?;
                Some(self.unless_broken_before(rule, request, around, result.action, verdict))
            }
            _ if !exceptions.is_empty() => Some(excepted()),
            Body::Validate(check) => {
                let resource = request.resource();
                let verdict = Validation { rule, request, resource }.run(check, frame, None, 0)?;
                Some(self.unless_broken_before(rule, request, around, result.action, verdict))
            }
            // Nobody pulls what is deleted.
            Body::Manifests(_) | Body::VerifyImages(_) if request.is_delete() => None,
            Body::Manifests(manifests) => Some(manifests.run(request.resource())),
            Body::Cel(check) => Some(cel_verdict(rule, check, request, document, around)),
            Body::Mutate(mutate) if mutate.targets.is_empty() => {
                let (verdict, patched) = mutate.run(request.resource(), frame);
                result.patched = patched;
                Some(verdict)
            }
            Body::Mutate(mutate) => targets(mutate, frame, around, result),
            Body::Generate(generate) => {
                let (verdict, made) = generate.run(frame, around.sources);
                result.generated = made;
                Some(verdict)
            }
            Body::VerifyImages(images) => {
                let found = asked_images(rule, request, around.stage);
                images.run(&found, (around.verified, around.stage), frame)
            }
        }
    }

    /// On UPDATE a violation that the old resource has as well is let through, unless the rule says otherwise.
    fn unless_broken_before(
        &self,
        rule: &Rule,
        request: &Request<'_>,
        around: &Surroundings<'_>,
        action: Action,
        verdict: Verdict,
    ) -> Verdict {
        let lenient = action == Action::Enforce && request.operation == "UPDATE" && rule.allow_existing;
        let (Some(old), true) = (&request.old, lenient && verdict.status == Status::Fail) else { return verdict };
        let mut before = request.clone();
        before.object = Some(old.clone());
        before.old = None;
        before.operation = "CREATE";
        let document = with_values(before.document(), around.values);
        match self.run_rule(rule, &before, &document, around) {
            Some(result) if result.status == Status::Fail => {
                Verdict::new(Status::Skip, "the resource broke the rule before, which is let through")
            }
            Some(_) | None => verdict,
        }
    }
}

fn selects(rule: &Rule, request: &Request<'_>) -> bool {
    rule.matches.includes(request) && !rule.exclude.as_ref().is_some_and(|exclude| exclude.excludes(request))
}

/// The images that a rule asks about. At admission those do not count that an update leaves as they were: what runs already
/// has to be changed also while a registry does not answer.
fn asked_images(rule: &Rule, request: &Request<'_>, stage: Stage) -> Vec<Image> {
    let of = |request: &Request<'_>| -> Vec<Image> {
        let found = rule.extracted(request).or_else(|| images(request.resource()));
        found.iter().flat_map(all_images).collect()
    };
    let mut found = of(request);
    if let (true, "UPDATE", Some(old)) = (stage.is_settled(), request.operation, &request.old) {
        let before = of(&Request { object: Some(old.clone()), ..request.clone() });
        found.retain(|image| !before.contains(image));
    }
    found
}

/// A document with values set in it, by their dotted names.
pub(crate) fn with_values(document: Value, values: &[(String, Value)]) -> Value {
    let mut document = document;
    for (name, value) in values {
        crate::context::set_dotted(&mut document, name, value.clone());
    }
    document
}

fn pod_security(
    rule: &Rule,
    standard: &PodSecurity,
    request: &Request<'_>,
    exceptions: &[&Exception],
) -> Option<Verdict> {
    if request.is_delete() {
        return None;
    }
    let resource = request.resource();
    let Some(mut violations) = standard.violations(resource) else {
        return Some(Verdict::new(Status::Error, "the resource has no pod"));
    };
    if violations.is_empty() {
        return Some(Verdict::new(Status::Pass, format!("rule {} holds", rule.name)));
    }
    for exclusion in exceptions.iter().flat_map(|exception| &exception.pod_security) {
        PodSecurity::exempt(&mut violations, exclusion);
    }
    if violations.is_empty() {
        return Some(Verdict::new(Status::Skip, "excepted from the Pod Security Standards"));
    }
    let told = crate::pss::told(&violations);
    let message = if rule.message.is_empty() { format!("breaks {told}") } else { format!("{}: {told}", rule.message) };
    let path = crate::pss::place(resource, &violations);
    Some(Verdict { path, ..Verdict::new(Status::Fail, message) })
}

fn input<'i>(request: &'i Request<'_>, document: &'i Value, outside: &'i Outside) -> Input<'i> {
    Input {
        object: request.object.as_deref(),
        old: request.old.as_deref(),
        request: document.get("request").unwrap_or(&Value::Null),
        namespace: request.namespace.as_deref(),
        params: None,
        exceptions: None,
        images: None,
        attestors: None,
        reference: None,
        outside,
        now: request.now,
    }
}

/// The namespace as far as it is known: at least its name.
pub(crate) fn named_namespace(request: &Request<'_>) -> Option<Value> {
    if let Some(namespace) = &request.namespace {
        return Some(namespace.as_ref().clone());
    }
    let name = text(request.resource(), &["metadata", "namespace"]);
    let labels = json!(*request.namespace_labels);
    (!name.is_empty())
        .then(|| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}))
}

fn cel_verdict(
    rule: &Rule,
    check: &crate::rule::CelCheck,
    request: &Request<'_>,
    document: &Value,
    around: &Surroundings<'_>,
) -> Verdict {
    let named = named_namespace(request);
    let mut base = input(request, document, around.outside);
    base.namespace = named.as_ref();
    match cel::matches(&rule.cel_preconditions, &base) {
        Ok(true) => {}
        Ok(false) => return Verdict::new(Status::Skip, "cel preconditions not met"),
        Err(why) => return Verdict::new(Status::Error, why),
    }
    let mut params = check.params.as_ref().map_or_else(Vec::new, |wanted| wanted.find(request, around.sources));
    if check.params.is_some() && params.is_empty() {
        let allowed = check.params.as_ref().is_some_and(|wanted| wanted.allow_missing);
        return if allowed {
            Verdict::new(Status::Pass, "there are no params")
        } else {
            Verdict::new(Status::Error, "the params that the rule refers to are not given")
        };
    }
    if check.params.is_none() {
        params.push(&Value::Null);
    }
    for param in params {
        let mut with = input(request, document, around.outside);
        with.namespace = named.as_ref();
        with.params = check.params.is_some().then_some(param);
        match check.program.evaluate(&with) {
            Outcome::Pass => {}
            Outcome::Fail(message) => {
                let plain = message.starts_with("failed expression") && !rule.message.is_empty();
                return Verdict::new(Status::Fail, if plain { rule.message.clone() } else { message });
            }
            Outcome::Error(why) => return Verdict::new(Status::Error, why),
            Outcome::Unmatched(name) => {
                return Verdict::new(Status::Skip, format!("the condition `{name}` does not hold"));
            }
        }
    }
    Verdict::new(Status::Pass, format!("rule {} holds", rule.name))
}

/// Changes resources other than the one that was asked about.
fn targets(
    mutate: &crate::mutate::Mutate,
    frame: &Frame<'_>,
    around: &Surroundings<'_>,
    result: &mut RuleResult,
) -> Option<Verdict> {
    let mut last = None;
    for target in &mutate.targets {
        for resource in around.targets {
            match target.selects(resource, frame) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => return Some(Verdict::error("the targets can't be found", &error)),
            }
            let named = frame.child(&[]).with("target", resource.clone());
            let inner = named.child(&target.context);
            let verdict = match target.preconditions.evaluate(&inner, inner.delete()) {
                Err(error) => Verdict::error("the target's preconditions can't be evaluated", &error),
                Ok(outcome) if !outcome.holds => Verdict::new(Status::Skip, "the target's preconditions are not met"),
                Ok(_) => {
                    let (verdict, patched) = mutate.run(resource, &inner);
                    result.targets.extend(patched);
                    verdict
                }
            };
            if last
                .as_ref()
                .is_none_or(|known: &Verdict| verdict.status < known.status || verdict.status == Status::Error)
            {
                last = Some(verdict);
            }
        }
    }
    last
}

impl Rule {
    /// What it is for.
    pub(crate) fn purpose(&self) -> Purpose {
        match &self.body {
            Body::Validate(_) | Body::PodSecurity(_) | Body::Manifests(_) | Body::Cel(_) => Purpose::Validate,
            Body::Mutate(_) => Purpose::Mutate,
            Body::Generate(_) => Purpose::Generate,
            Body::VerifyImages(_) => Purpose::VerifyImages,
        }
    }

    /// The name without the prefix of rules that were made for controllers.
    pub(crate) fn base_name(&self) -> &str {
        let name = self.name.as_str();
        name.strip_prefix("autogen-cronjob-").or_else(|| name.strip_prefix("autogen-")).unwrap_or(name)
    }

    /// Images of custom resources, as `imageExtractors` says where they are.
    fn extracted(&self, request: &Request<'_>) -> Option<Value> {
        let kind = &request.kind.kind;
        let extractors = self.extractors.as_ref()?.get(kind)?.as_array()?;
        let mut found = images(request.resource()).unwrap_or_else(|| json!({}));
        for (index, extractor) in extractors.iter().enumerate() {
            let name = text(extractor, &["name"]);
            let group = if name.is_empty() { "custom" } else { name };
            let path: Vec<&str> = text(extractor, &["path"]).trim_matches('/').split('/').collect();
            let (value_key, key_key) = (text(extractor, &["value"]), text(extractor, &["key"]));
            for (place, at_path) in reached(request.resource(), &path).into_iter().enumerate() {
                let image = if value_key.is_empty() {
                    at_path.as_str()
                } else {
                    at_path.get(value_key).and_then(Value::as_str)
                };
                let transformed = match (image, text(extractor, &["jmesPath"])) {
                    (Some(image), source) if !source.is_empty() => Expression::parse(source)
                        .ok()
                        .and_then(|path| path.search_in(&Value::from(image)).ok())
                        .and_then(|found| found.as_str().map(str::to_owned)),
                    (image, _) => image.map(str::to_owned),
                };
                let Some(Ok(image)) = transformed.as_deref().map(crate::image::Image::parse) else { continue };
                let key =
                    if key_key.is_empty() { format!("{index}-{place}") } else { text(at_path, &[key_key]).to_owned() };
                let group = found.as_object_mut()?.entry(group).or_insert_with(|| json!({}));
                group.as_object_mut()?.insert(key, image.to_json(""));
            }
        }
        Some(found)
    }
}

/// Values at a path in which `*` is every item.
fn reached<'v>(value: &'v Value, path: &[&str]) -> Vec<&'v Value> {
    let Some((step, rest)) = path.split_first() else { return vec![value] };
    match (value, *step) {
        (Value::Array(items), "*") => items.iter().flat_map(|item| reached(item, rest)).collect(),
        (Value::Object(entries), "*") => entries.values().flat_map(|item| reached(item, rest)).collect(),
        (value, step) => value.get(step).map_or_else(Vec::new, |item| reached(item, rest)),
    }
}
