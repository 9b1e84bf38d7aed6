//! Policies of expressions: Kubernetes' `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy` with their bindings and
//! params, and Kyverno's `ValidatingPolicy`, `MutatingPolicy`, `GeneratingPolicy` and `DeletingPolicy`.
//!
//! Source: Kubernetes' documentation, "Validating Admission Policy" and "Mutating Admission Policy", and the API reference
//! of `admissionregistration.k8s.io/v1`; Kyverno's documentation, "`ValidatingPolicy`" and the like.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::autogen::point;
use crate::cel::{Input, Outcome, Policy as Expressions, Program};
use crate::constraints::Constraints;
use crate::effect::Effect;
use crate::exception::Exception;
use crate::kyverno::{Purpose, RuleResult};
use crate::matching::{Selector, texts};
use crate::request::{Kind, Request, at, text};
use crate::rule::{Action, flag};
use crate::set::Stage;
use crate::validate::{Status, Verdict};
use crate::verification::Verification;
use crate::world::Outside;

/// Which resources are a policy's params.
#[derive(Debug, Clone)]
pub(crate) struct Params {
    kind: Kind,
    name: String,
    namespace: String,
    selector: Option<Selector>,
    pub(crate) allow_missing: bool,
}

impl Params {
    pub(crate) fn compile(kind: Option<&Value>, reference: Option<&Value>) -> Result<Option<Self>, String> {
        let (Some(kind), Some(reference)) = (kind, reference) else { return Ok(None) };
        Ok(Some(Self {
            kind: Kind::of(kind),
            name: text(reference, &["name"]).to_owned(),
            namespace: text(reference, &["namespace"]).to_owned(),
            selector: reference.get("selector").map(Selector::compile).transpose()?,
            allow_missing: text(reference, &["parameterNotFoundAction"]) == "Allow",
        }))
    }

    /// The params for a request among the resources that are given.
    pub(crate) fn find<'s>(&self, request: &Request<'_>, sources: &'s [Value]) -> Vec<&'s Value> {
        let own = text(request.resource(), &["metadata", "namespace"]);
        let namespace = if self.namespace.is_empty() { own } else { &self.namespace };
        let fits = |source: &&Value| {
            let place = text(source, &["metadata", "namespace"]);
            Kind::of(source) == self.kind
                && (self.name.is_empty() || text(source, &["metadata", "name"]) == self.name)
                && (place.is_empty() || place == namespace)
                && self
                    .selector
                    .as_ref()
                    .is_none_or(|selector| selector.matches_json(at(source, &["metadata", "labels"])))
        };
        sources.iter().filter(fits).collect()
    }
}

/// A binding of a `ValidatingAdmissionPolicy` or a `MutatingAdmissionPolicy`.
#[derive(Debug, Clone)]
pub struct Binding {
    kind: String,
    policy: String,
    constraints: Constraints,
    reference: Option<Value>,
    action: Action,
}

impl Binding {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let spec = value.get("spec").unwrap_or(&Value::Null);
        Ok(Self {
            kind: text(value, &["kind"]).trim_end_matches("Binding").to_owned(),
            policy: text(spec, &["policyName"]).to_owned(),
            constraints: Constraints::compile(spec.get("matchResources"))?,
            reference: spec.get("paramRef").cloned(),
            action: action_of(spec.get("validationActions")),
        })
    }

    fn binds(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.policy == name
    }
}

fn action_of(actions: Option<&Value>) -> Action {
    if texts(actions).iter().any(|action| action == "Deny") { Action::Enforce } else { Action::Audit }
}

/// A form of a policy for some kinds: the policy itself, or what autogen makes of it.
#[derive(Debug, Clone)]
struct Form {
    constraints: Constraints,
    expressions: Expressions,
    effect: Effect,
    rule: &'static str,
}

/// Which resources a `MutatingPolicy` changes instead of the one that was asked about.
#[derive(Debug, Clone)]
struct Targets {
    constraints: Constraints,
    /// The target itself, worked out.
    one: Option<Program>,
    conditions: Expressions,
}

impl Targets {
    fn compile(spec: &Value) -> Result<Option<Self>, String> {
        let enabled = at(spec, &["evaluation", "mutateExisting", "enabled"]) == Some(&Value::Bool(true));
        let Some(wanted) = spec.get("targetMatchConstraints").filter(|wanted| enabled && !wanted.is_null()) else {
            return Ok(None);
        };
        let source = text(wanted, &["expression"]);
        let conditions = json!({
            "variables": spec.get("variables"), "matchConditions": spec.get("targetMatchConditions"),
        });
        Ok(Some(Self {
            constraints: Constraints::compile(Some(wanted))?,
            one: (!source.is_empty()).then(|| Program::compile(source)).transpose()?,
            conditions: Expressions::compile(&conditions, "")?,
        }))
    }

    /// The targets among the resources that are given.
    fn find<'t>(&self, form: &Form, input: &Input<'_>, among: &Among<'t>) -> Result<Vec<Cow<'t, Value>>, String> {
        if let Some(program) = &self.one {
            let found = form.expressions.value(program, input)?;
            return Ok(if found.is_object() { vec![Cow::Owned(found)] } else { Vec::new() });
        }
        let fits = |target: &&Value| {
            let request = Request { operation: "UPDATE", ..Request::create(target, input.now) };
            self.constraints.select(&request, false)
        };
        Ok(among.targets.iter().filter(fits).map(Cow::Borrowed).collect())
    }
}

/// What a policy may be about beside the request.
pub(crate) struct Among<'g> {
    pub(crate) bindings: &'g [Binding],
    pub(crate) exceptions: &'g [Exception],
    pub(crate) sources: &'g [Value],
    pub(crate) targets: &'g [Value],
    pub(crate) outside: &'g Outside,
    pub(crate) stage: Stage,
}

/// What a policy sees.
struct Seen<'s> {
    request: &'s Request<'s>,
    document: &'s Value,
    among: &'s Among<'s>,
}

/// A policy of expressions.
#[derive(Debug, Clone)]
pub struct AdmissionPolicy {
    /// Its name.
    pub name: String,
    /// Its namespace; nothing for one of the cluster.
    pub namespace: String,
    /// Its kind.
    pub kind: String,
    /// Annotations: title, category, severity and the like.
    pub annotations: Value,
    forms: Vec<Form>,
    targets: Option<Targets>,
    verification: Option<Verification>,
    param_kind: Option<Value>,
    action: Action,
    kubernetes: bool,
    json: bool,
    /// Whether it is asked at admission.
    pub(crate) admission: bool,
}

impl AdmissionPolicy {
    /// Whether a kind stands in it by its name.
    pub(crate) fn names_kind(&self, kind: &Kind) -> bool {
        self.forms.iter().any(|form| form.constraints.names_kind(kind))
    }

    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let spec = value.get("spec").unwrap_or(&Value::Null);
        let kind = text(value, &["kind"]);
        let kubernetes = kind.ends_with("AdmissionPolicy");
        let mut constraints = Constraints::compile(spec.get("matchConstraints"))?;
        let deletes = kind.ends_with("DeletingPolicy");
        let expressions = if deletes {
            constraints.rules.iter_mut().for_each(|rule| rule.operations.clear());
            // Conditions of a deletion are its match conditions.
            Expressions::compile(
                &json!({"variables": spec.get("variables"), "matchConditions": spec.get("conditions")}),
                "",
            )?
        } else {
            Expressions::compile(spec, "validations")?
        };
        let mut forms = vec![Form { constraints, expressions, effect: Effect::compile(kind, spec, &[])?, rule: "" }];
        if !kubernetes && (kind.ends_with("ValidatingPolicy") || kind.ends_with("MutatingPolicy")) {
            forms.extend(autogen(kind, spec)?);
        }
        let mode = text(spec, &["evaluation", "mode"]);
        if !matches!(mode, "" | "Kubernetes" | "JSON") {
            return Err(format!("policies of the evaluation mode `{mode}` are not evaluated here"));
        }
        let metadata = value.get("metadata").unwrap_or(&Value::Null);
        Ok(Self {
            name: text(metadata, &["name"]).to_owned(),
            namespace: if kind.starts_with("Namespaced") {
                text(metadata, &["namespace"]).to_owned()
            } else {
                String::new()
            },
            kind: kind.to_owned(),
            annotations: metadata.get("annotations").cloned().unwrap_or(Value::Null),
            forms,
            targets: Targets::compile(spec)?,
            verification: kind.ends_with("ImageValidatingPolicy").then(|| Verification::compile(spec)).transpose()?,
            param_kind: spec.get("paramKind").cloned(),
            // Kyverno's default is to deny; Kubernetes has the actions in its bindings.
            action: if texts(spec.get("validationActions")).is_empty() && kind.ends_with("ValidatingPolicy") {
                Action::Enforce
            } else {
                action_of(spec.get("validationActions"))
            },
            kubernetes,
            json: mode == "JSON",
            admission: flag(at(spec, &["evaluation", "admission", "enabled"])).unwrap_or(true),
        })
    }

    /// Which requests it selects, its forms for controllers among them.
    pub(crate) fn constraints(&self) -> impl Iterator<Item = &Constraints> {
        self.forms.iter().map(|form| &form.constraints)
    }

    /// Whether it is about JSON documents of any kind.
    pub(crate) fn is_about_json(&self) -> bool {
        self.json || self.purpose().is_none()
    }

    /// What it is for; nothing where it deletes, which no request asks for.
    pub(crate) fn purpose(&self) -> Option<Purpose> {
        match self.forms.first().map(|form| &form.effect) {
            Some(Effect::Validate) => Some(Purpose::Validate),
            Some(Effect::Mutate(_)) => Some(Purpose::Mutate),
            Some(Effect::Generate(_)) => Some(Purpose::Generate),
            Some(Effect::Delete) | None => None,
        }
    }

    /// What came of it; nothing where it does not select the request.
    pub(crate) fn run(&self, request: &Request<'_>, among: &Among<'_>) -> Vec<RuleResult> {
        if !self.namespace.is_empty() && text(request.resource(), &["metadata", "namespace"]) != self.namespace {
            return Vec::new();
        }
        // Documents of no kind have nothing that constraints could select.
        let form = if self.json || (self.purpose().is_none() && request.kind.kind.is_empty()) {
            self.forms.first()
        } else {
            self.forms.iter().find(|form| form.constraints.select(request, false))
        };
        let Some(form) = form else { return Vec::new() };
        let document = admission_request(request);
        let seen = Seen { request, document: &document, among };
        let mine: Vec<&Binding> =
            among.bindings.iter().filter(|binding| self.kubernetes && binding.binds(&self.kind, &self.name)).collect();
        if mine.is_empty() {
            return self.result(form, &seen, among.exceptions, None, self.action).into_iter().collect();
        }
        let bound = mine.into_iter().filter(|binding| binding.constraints.select(request, true));
        bound.filter_map(|binding| self.run_bound(form, binding, &seen)).collect()
    }

    fn run_bound(&self, form: &Form, binding: &Binding, seen: &Seen<'_>) -> Option<RuleResult> {
        let error = |why: String| Some(self.told(form, Verdict::new(Status::Error, why), binding.action));
        let params = match Params::compile(self.param_kind.as_ref(), binding.reference.as_ref()) {
            Ok(params) => params,
            Err(why) => return error(why),
        };
        let Some(params) = params else { return self.result(form, seen, &[], None, binding.action) };
        let found = params.find(seen.request, seen.among.sources);
        if found.is_empty() && !params.allow_missing {
            return error("the params that the binding refers to are not given".to_owned());
        }
        if matches!(form.effect, Effect::Mutate(_)) && params.selector.is_some() {
            // As Kyverno shows them to a mutation: all that are selected, as one list.
            let list = json!({"apiVersion": "v1", "kind": "List", "items": found});
            return self.result(form, seen, &[], Some(&list), binding.action);
        }
        let mut last = None;
        for param in found {
            let result = self.result(form, seen, &[], Some(param), binding.action)?;
            let broken = result.status != Status::Pass;
            last = Some(result);
            if broken {
                break;
            }
        }
        last
    }

    fn told(&self, form: &Form, verdict: Verdict, action: Action) -> RuleResult {
        RuleResult {
            rule: form.rule.to_owned(),
            purpose: self.purpose().unwrap_or(Purpose::Validate),
            status: verdict.status,
            message: verdict.message,
            path: verdict.path,
            action,
            patched: None,
            targets: Vec::new(),
            generated: Vec::new(),
        }
    }

    /// What came of one form of the policy.
    fn result(
        &self,
        form: &Form,
        seen: &Seen<'_>,
        exceptions: &[Exception],
        params: Option<&Value>,
        action: Action,
    ) -> Option<RuleResult> {
        let mut result = self.told(form, Verdict::new(Status::Pass, ""), action);
        let verdict = self.judge(form, seen, exceptions, params, &mut result)?;
        Some(RuleResult { status: verdict.status, message: verdict.message, path: verdict.path, ..result })
    }

    fn judge(
        &self,
        form: &Form,
        seen: &Seen<'_>,
        exceptions: &[Exception],
        params: Option<&Value>,
        result: &mut RuleResult,
    ) -> Option<Verdict> {
        let request = seen.request;
        let named = if self.kubernetes { crate::kyverno::named_namespace(request) } else { None };
        let images = image_lists(request.resource());
        let mut input = Input {
            object: request.object.as_deref(),
            old: request.old.as_deref(),
            request: seen.document,
            namespace: named.as_ref().or(request.namespace.as_deref()),
            params,
            exceptions: None,
            images: Some(&images),
            attestors: None,
            reference: None,
            outside: seen.among.outside,
            now: request.now,
        };
        let allowed = match self.excepted(exceptions, &input) {
            Ok(allowed) => allowed,
            Err(verdict) => return Some(verdict),
        };
        input.exceptions = Some(&allowed);
        let about = match &self.verification {
            None => None,
            Some(verification) => match verification.images(&images, &form.expressions, &input) {
                Ok(about) => Some(about),
                Err(why) => return Some(Verdict::new(Status::Error, why)),
            },
        };
        if let (Some(verification), Some(about)) = (&self.verification, &about) {
            input.images = Some(about);
            input.attestors = Some((&verification.attestors, &verification.attestations));
        }
        if matches!(form.effect, Effect::Validate) {
            let verdict = validated(form.expressions.evaluate(&input));
            let lists = about.as_ref().filter(|_| verdict.status == Status::Pass);
            let settled = seen.among.stage.is_settled();
            let unmet = self
                .verification
                .as_ref()
                .zip(lists)
                .and_then(|(verification, lists)| verification.unmet(lists, settled));
            return Some(unmet.map_or(verdict, |why| Verdict::new(Status::Fail, why)));
        }
        match form.expressions.unmatched(&input) {
            Err(why) => return Some(Verdict::new(Status::Error, why)),
            Ok(Some(name)) => return unmatched(&form.effect, &name),
            Ok(None) => {}
        }
        let outcome = match &form.effect {
            Effect::Validate | Effect::Delete => Ok(()),
            Effect::Mutate(_) => self.mutate(form, input, seen, result),
            Effect::Generate(generations) => {
                let mut made = generations.iter().map(|one| one.run(&form.expressions, &input));
                made.try_for_each(|made| made.map(|made| result.generated.extend(made)))
            }
        };
        let done = || Verdict::new(Status::Pass, "all expressions hold");
        Some(outcome.map_or_else(|why| Verdict::new(Status::Error, why), |()| done()))
    }

    /// What exceptions allow; the verdict where one lets the resource through as a whole.
    fn excepted(&self, exceptions: &[Exception], input: &Input<'_>) -> Result<Value, Verdict> {
        let (mut images, mut values) = (Vec::new(), Vec::new());
        for exception in exceptions.iter().filter(|exception| exception.refers_to(&self.name, &self.kind)) {
            if !exception.matches_cel(input).map_err(|why| Verdict::new(Status::Error, why))? {
                continue;
            }
            if exception.images.is_empty() && exception.values.is_empty() {
                let status = if exception.passes { Status::Pass } else { Status::Skip };
                return Err(Verdict::new(status, format!("excepted by {}", exception.name)));
            }
            images.extend(exception.images.iter().cloned());
            values.extend(exception.values.iter().cloned());
        }
        Ok(json!({"allowedImages": images, "allowedValues": values}))
    }

    /// Changes the resource, or the targets that the policy names instead.
    fn mutate(&self, form: &Form, input: Input<'_>, seen: &Seen<'_>, result: &mut RuleResult) -> Result<(), String> {
        let Some(targets) = &self.targets else {
            result.patched = Some(patched(form, &input, seen.request.resource())?);
            return Ok(());
        };
        for target in targets.find(form, &input, seen.among)? {
            if !self.namespace.is_empty() && text(&target, &["metadata", "namespace"]) != self.namespace {
                continue;
            }
            let inner = Input { object: Some(target.as_ref()), ..input };
            if targets.conditions.unmatched(&inner)?.is_none() {
                result.targets.push(patched(form, &inner, &target)?);
            }
        }
        Ok(())
    }
}

/// The resource with one change after the other, each of which sees those before it.
fn patched(form: &Form, input: &Input<'_>, resource: &Value) -> Result<Value, String> {
    let Effect::Mutate(mutations) = &form.effect else { return Ok(resource.clone()) };
    let mut patched = resource.clone();
    for mutation in mutations {
        let seen = Input { object: Some(&patched), ..*input };
        patched = mutation.apply(&patched, &form.expressions, &seen)?;
    }
    Ok(patched)
}

fn validated(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Pass => Verdict::new(Status::Pass, "all expressions hold"),
        Outcome::Fail(message) => Verdict::new(Status::Fail, message),
        Outcome::Error(why) => Verdict::new(Status::Error, why),
        Outcome::Unmatched(name) => Verdict::new(Status::Skip, format!("the condition `{name}` does not hold")),
    }
}

/// What a condition that does not hold means: nothing follows, and what is not to be deleted fails.
fn unmatched(effect: &Effect, name: &str) -> Option<Verdict> {
    let why = format!("the condition `{name}` does not hold");
    match effect {
        Effect::Delete => Some(Verdict::new(Status::Fail, why)),
        Effect::Generate(_) => None,
        Effect::Validate | Effect::Mutate(_) => Some(Verdict::new(Status::Skip, why)),
    }
}

/// The request as expressions see it.
fn admission_request(request: &Request<'_>) -> Value {
    let resource = request.resource();
    let kind = &request.kind;
    let (name, namespace) = (text(resource, &["metadata", "name"]), text(resource, &["metadata", "namespace"]));
    let user = if request.user.info.is_null() { json!({}) } else { request.user.info.clone() };
    json!({
        "kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "resource": {"group": kind.group, "version": kind.version, "resource": request.plural()},
        "subResource": request.subresource,
        "requestKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "name": name, "namespace": namespace, "operation": request.operation, "userInfo": user, "dryRun": false,
        "object": request.object.as_deref(), "oldObject": request.old.as_deref(),
    })
}

/// References to images by list, as Kyverno's variable `images` has them.
fn image_lists(resource: &Value) -> Value {
    let mut lists = json!({"containers": [], "initContainers": [], "ephemeralContainers": []});
    let Some(pod) = crate::request::pod_path(text(resource, &["kind"])).and_then(|path| at(resource, path)) else {
        return lists;
    };
    for (list, _, container) in crate::pss::containers(pod) {
        if let Some(items) = lists.get_mut(list).and_then(Value::as_array_mut) {
            items.extend(container.get("image").cloned());
        }
    }
    lists
}

/// Forms for controllers of a policy about nothing but pods.
fn autogen(kind: &str, spec: &Value) -> Result<Vec<Form>, String> {
    const DEFAULTS: [(&str, &str); 5] = [
        ("daemonsets", "apps"),
        ("deployments", "apps"),
        ("replicasets", "apps"),
        ("statefulsets", "apps"),
        ("jobs", "batch"),
    ];
    let constraints = spec.get("matchConstraints").unwrap_or(&Value::Null);
    let Some([rule]) = constraints.get("resourceRules").and_then(Value::as_array).map(Vec::as_slice) else {
        return Ok(Vec::new());
    };
    let only = |name: &str, wanted: &str| texts(rule.get(name)) == [wanted];
    let selects =
        constraints.get("objectSelector").and_then(Value::as_object).is_some_and(|selector| !selector.is_empty());
    let excludes =
        constraints.get("excludeResourceRules").and_then(Value::as_array).is_some_and(|rules| !rules.is_empty());
    let resources = texts(rule.get("resources"));
    let about_pods = resources.iter().any(|resource| resource == "pods")
        && resources.iter().all(|resource| resource == "pods" || resource == "pods/ephemeralcontainers");
    let named = rule.get("resourceNames").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    if selects || excludes || named || !only("apiGroups", "") || !only("apiVersions", "v1") || !about_pods {
        return Ok(Vec::new());
    }
    let asked = at(spec, &["autogen", "podControllers", "controllers"]).map(|list| texts(Some(list)));
    let wanted = |name: &str| asked.as_ref().is_none_or(|asked| asked.iter().any(|asked| asked == name));
    if let Some(unknown) = asked.iter().flatten().find(|name| name.contains('.')) {
        return Err(format!("autogen for `{unknown}` is not known here"));
    }
    let mut forms = Vec::new();
    let defaults: Vec<(&str, &str)> = DEFAULTS.into_iter().filter(|(name, _)| wanted(name)).collect();
    let mutates = kind.ends_with("MutatingPolicy");
    let groups: [(_, _, &'static [&'static str], _); 2] = [
        (defaults, "spec.template", &["spec", "template"], "autogen-defaults"),
        (
            vec![("cronjobs", "batch")],
            "spec.jobTemplate.spec.template",
            &["spec", "jobTemplate", "spec", "template"],
            "autogen-cronjobs",
        ),
    ];
    for (targets, path, steps, name) in groups {
        let targets: Vec<(&str, &str)> = targets.into_iter().filter(|(name, _)| wanted(name)).collect();
        if targets.is_empty() {
            continue;
        }
        let rules: Vec<Value> = targets
            .iter()
            .map(|(resource, group)| json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": rule.get("operations")}))
            .collect();
        let mut made = if mutates { pointed_mutation(spec, path) } else { pointed(spec, path) };
        if let Some(fields) = made.as_object_mut() {
            fields.insert(
                "matchConstraints".to_owned(),
                json!({"resourceRules": rules, "namespaceSelector": constraints.get("namespaceSelector")}),
            );
        }
        forms.push(Form {
            constraints: Constraints::compile(made.get("matchConstraints"))?,
            expressions: Expressions::compile(&made, "validations")?,
            effect: Effect::compile(kind, &made, steps)?,
            rule: name,
        });
    }
    Ok(forms)
}

/// The same for mutations: conditions and apply configurations are pointed, variables and JSON patches stay as they are.
fn pointed_mutation(spec: &Value, path: &str) -> Value {
    let mut made = spec.clone();
    let point = |slot: Option<&mut Value>| {
        if let Some(slot) = slot
            && let Some(source) = slot.as_str()
        {
            *slot = Value::String(point_labels(source, path));
        }
    };
    let lists = ["matchConditions", "mutations"];
    for name in lists {
        for item in made.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            if name == "mutations" {
                point(item.get_mut("applyConfiguration").and_then(|apply| apply.get_mut("expression")));
            } else {
                point(item.get_mut("expression"));
            }
        }
    }
    made
}

/// `object.spec` and an object's labels and annotations, pointed to the template. Names of types need no change.
fn point_labels(source: &str, path: &str) -> String {
    let mut made = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((place, object)) =
        ["object.", "oldObject."].iter().filter_map(|name| rest.find(name).map(|place| (place, *name))).min()
    {
        let (before, found) = rest.split_at(place);
        let after = found.get(object.len()..).unwrap_or_default();
        made.push_str(before);
        made.push_str(object);
        let own = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if own && ["spec", "metadata.labels", "metadata.annotations"].iter().any(|field| after.starts_with(field)) {
            made.push_str(path);
            made.push('.');
        }
        rest = after;
    }
    made + rest
}

/// Expressions pointed to the template; an object's namespace stays its own.
fn pointed(value: &Value, path: &str) -> Value {
    const KEPT: &str = "\u{1}";
    match value {
        Value::String(text) => {
            let kept = text
                .replace("object.metadata.namespace", &format!("object.{KEPT}"))
                .replace("oldObject.metadata.namespace", &format!("oldObject.{KEPT}"));
            Value::String(point(&kept, path, true).replace(KEPT, "metadata.namespace"))
        }
        Value::Array(items) => items.iter().map(|item| pointed(item, path)).collect(),
        Value::Object(entries) => {
            Value::Object(entries.iter().map(|(name, value)| (name.clone(), pointed(value, path))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutations_are_pointed_to_the_template() {
        let check = |source: &str, want: &str| assert_eq!(point_labels(source, "spec.template"), want);
        check("object.spec.x", "object.spec.template.spec.x");
        check("namespaceObject.metadata.labels", "namespaceObject.metadata.labels");
        check("has(oldObject.metadata.labels)", "has(oldObject.spec.template.metadata.labels)");
        check(
            "object.metadata.name + object.metadata.annotations.a",
            "object.metadata.name + object.spec.template.metadata.annotations.a",
        );
        check("Object{spec: Object.spec{a: 1}}", "Object{spec: Object.spec{a: 1}}");
    }
}
