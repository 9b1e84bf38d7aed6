//! Kubernetes' `ValidatingAdmissionPolicy` with its bindings and params, and Kyverno's `ValidatingPolicy`.
//!
//! Source: Kubernetes' documentation, "Validating Admission Policy", and the API reference of
//! `admissionregistration.k8s.io/v1`; Kyverno's documentation, "`ValidatingPolicy`".

use serde_json::{Value, json};

use crate::autogen::point;
use crate::cel::{Input, Outcome, Policy as Expressions};
use crate::exception::Exception;
use crate::kyverno::{Purpose, RuleResult};
use crate::matching::{Selector, texts};
use crate::request::{Kind, Request, at, text};
use crate::rule::Action;
use crate::validate::{Status, Verdict};
use crate::world::{Outside, is_cluster_kind};

/// Which resources and operations.
#[derive(Debug, Clone)]
struct ResourceRule {
    groups: Vec<String>,
    versions: Vec<String>,
    operations: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

/// `matchConstraints` and `matchResources`.
#[derive(Debug, Clone, Default)]
struct Constraints {
    rules: Vec<ResourceRule>,
    exclude: Vec<ResourceRule>,
    namespaces: Option<Selector>,
    objects: Option<Selector>,
}

fn resource_rules(list: Option<&Value>) -> Vec<ResourceRule> {
    let rule = |item: &Value| ResourceRule {
        groups: texts(item.get("apiGroups")),
        versions: texts(item.get("apiVersions")),
        operations: texts(item.get("operations")),
        resources: texts(item.get("resources")),
        names: texts(item.get("resourceNames")),
        scope: text(item, &["scope"]).to_owned(),
    };
    list.and_then(Value::as_array).into_iter().flatten().map(rule).collect()
}

/// The plural by which the API knows a kind.
///
/// Source: Kubernetes' `UnsafeGuessKindToResource`, which clients use without discovery, and for words such as "gateway"
/// the names in the API reference.
pub(crate) fn plural(kind: &str) -> String {
    let lower = kind.to_lowercase();
    if lower == "endpoints" || lower == "podmetrics" {
        return if lower == "podmetrics" { "pods".to_owned() } else { lower };
    }
    if let Some(stem) = lower.strip_suffix('y')
        && !stem.ends_with(['a', 'e', 'o', 'u'])
    {
        return format!("{stem}ies");
    }
    if ["s", "x", "ch", "sh"].iter().any(|end| lower.ends_with(end)) {
        format!("{lower}es")
    } else {
        format!("{lower}s")
    }
}

impl ResourceRule {
    fn fits(&self, request: &Request<'_>) -> bool {
        let one = |wanted: &[String], found: &str| wanted.iter().any(|wanted| wanted == "*" || wanted == found);
        let resource = plural(&request.kind.kind);
        let sub = request.subresource;
        let resource_fits = |wanted: &String| {
            let (name, wanted_sub) = wanted.split_once('/').unwrap_or((wanted, ""));
            let name_fits = name == "*" || name == resource || name.eq_ignore_ascii_case(&request.kind.kind);
            name_fits && (wanted_sub == sub || wanted_sub == "*" || (wanted == "*" && sub.is_empty()))
        };
        let metadata = request.resource().get("metadata").unwrap_or(&Value::Null);
        let namespaced = !text(metadata, &["namespace"]).is_empty();
        let scope_fits = match self.scope.as_str() {
            "Namespaced" => namespaced || !is_cluster_kind(&request.kind.kind),
            "Cluster" => !namespaced,
            _ => true,
        };
        one(&self.groups, &request.kind.group)
            && one(&self.versions, &request.kind.version)
            && (self.operations.is_empty() || one(&self.operations, request.operation))
            && self.resources.iter().any(resource_fits)
            && (self.names.is_empty() || self.names.iter().any(|name| name == text(metadata, &["name"])))
            && scope_fits
    }
}

impl Constraints {
    fn compile(value: Option<&Value>) -> Result<Self, String> {
        let value = value.unwrap_or(&Value::Null);
        let selector = |name: &str| value.get(name).filter(|found| !found.is_null()).map(Selector::compile).transpose();
        Ok(Self {
            rules: resource_rules(value.get("resourceRules")),
            exclude: resource_rules(value.get("excludeResourceRules")),
            namespaces: selector("namespaceSelector")?,
            objects: selector("objectSelector")?,
        })
    }

    /// Whether they select a request. A binding without rules selects everything that its policy does.
    fn select(&self, request: &Request<'_>, of_binding: bool) -> bool {
        let labels = |resource| at(resource, &["metadata", "labels"]);
        let object_fits = self.objects.as_ref().is_none_or(|selector| {
            [request.object.as_deref(), request.old.as_deref()]
                .into_iter()
                .flatten()
                .any(|found| selector.matches_json(labels(found)))
        });
        let namespace_fits = self.namespaces.as_ref().is_none_or(|selector| {
            let resource = request.resource();
            if text(resource, &["kind"]) == "Namespace" {
                return selector.matches_json(at(resource, &["metadata", "labels"]));
            }
            text(resource, &["metadata", "namespace"]).is_empty() || selector.matches_map(&request.namespace_labels)
        });
        let rules_fit = (of_binding && self.rules.is_empty()) || self.rules.iter().any(|rule| rule.fits(request));
        rules_fit && object_fits && namespace_fits && !self.exclude.iter().any(|rule| rule.fits(request))
    }
}

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

/// A binding of a `ValidatingAdmissionPolicy`.
#[derive(Debug, Clone)]
pub struct Binding {
    policy: String,
    constraints: Constraints,
    reference: Option<Value>,
    action: Action,
}

impl Binding {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let spec = value.get("spec").unwrap_or(&Value::Null);
        Ok(Self {
            policy: text(spec, &["policyName"]).to_owned(),
            constraints: Constraints::compile(spec.get("matchResources"))?,
            reference: spec.get("paramRef").cloned(),
            action: action_of(spec.get("validationActions")),
        })
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
    rule: &'static str,
}

/// What a policy sees.
struct Seen<'s> {
    request: &'s Request<'s>,
    document: &'s Value,
    outside: &'s Outside,
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
    param_kind: Option<Value>,
    action: Action,
    kubernetes: bool,
    json: bool,
}

impl AdmissionPolicy {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let spec = value.get("spec").unwrap_or(&Value::Null);
        let kind = text(value, &["kind"]);
        let kubernetes = kind == "ValidatingAdmissionPolicy";
        let mut forms = vec![Form {
            constraints: Constraints::compile(spec.get("matchConstraints"))?,
            expressions: Expressions::compile(spec, "validations")?,
            rule: "",
        }];
        if !kubernetes {
            forms.extend(autogen(spec)?);
        }
        if spec.get("validations").and_then(Value::as_array).is_none_or(Vec::is_empty) {
            return Err("the policy has no validations".to_owned());
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
            param_kind: spec.get("paramKind").cloned(),
            action: action_of(spec.get("validationActions")),
            kubernetes,
            json: mode == "JSON",
        })
    }

    /// Whether it is about JSON documents of any kind.
    pub(crate) fn is_about_json(&self) -> bool {
        self.json
    }

    /// What came of it; nothing where it does not select the request.
    pub(crate) fn run(
        &self,
        request: &Request<'_>,
        bindings: &[Binding],
        exceptions: &[Exception],
        sources: &[Value],
        outside: &Outside,
    ) -> Vec<RuleResult> {
        if !self.namespace.is_empty() && text(request.resource(), &["metadata", "namespace"]) != self.namespace {
            return Vec::new();
        }
        let form = if self.json {
            self.forms.first()
        } else {
            self.forms.iter().find(|form| form.constraints.select(request, false))
        };
        let Some(form) = form else { return Vec::new() };
        let document = admission_request(request);
        let seen = Seen { request, document: &document, outside };
        let mine: Vec<&Binding> =
            bindings.iter().filter(|binding| self.kubernetes && binding.policy == self.name).collect();
        if mine.is_empty() {
            let verdict = self.judge(form, &seen, exceptions, None);
            return verdict.map(|verdict| Self::result(form, verdict, self.action)).into_iter().collect();
        }
        let bound = mine.into_iter().filter(|binding| binding.constraints.select(request, true));
        bound.filter_map(|binding| self.run_bound(form, binding, &seen, sources)).collect()
    }

    fn run_bound(&self, form: &Form, binding: &Binding, seen: &Seen<'_>, sources: &[Value]) -> Option<RuleResult> {
        let params = match Params::compile(self.param_kind.as_ref(), binding.reference.as_ref()) {
            Ok(params) => params,
            Err(why) => return Some(Self::result(form, Verdict::new(Status::Error, why), binding.action)),
        };
        let Some(params) = params else {
            let verdict = self.judge(form, seen, &[], None)?;
            return Some(Self::result(form, verdict, binding.action));
        };
        let found = params.find(seen.request, sources);
        if found.is_empty() && !params.allow_missing {
            let verdict = Verdict::new(Status::Error, "the params that the binding refers to are not given");
            return Some(Self::result(form, verdict, binding.action));
        }
        let mut last = None;
        for param in found {
            let verdict = self.judge(form, seen, &[], Some(param))?;
            let broken = verdict.status != Status::Pass;
            last = Some(verdict);
            if broken {
                break;
            }
        }
        Some(Self::result(form, last?, binding.action))
    }

    fn result(form: &Form, verdict: Verdict, action: Action) -> RuleResult {
        RuleResult {
            rule: form.rule.to_owned(),
            purpose: Purpose::Validate,
            status: verdict.status,
            message: verdict.message,
            path: verdict.path,
            action,
            patched: None,
            targets: Vec::new(),
            generated: Vec::new(),
        }
    }

    fn judge(&self, form: &Form, seen: &Seen<'_>, exceptions: &[Exception], params: Option<&Value>) -> Option<Verdict> {
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
            outside: seen.outside,
            now: request.now,
        };
        let (mut allowed_images, mut allowed_values) = (Vec::new(), Vec::new());
        for exception in exceptions.iter().filter(|exception| exception.refers_to(&self.name, &self.kind)) {
            match exception.matches_cel(&input) {
                Err(why) => return Some(Verdict::new(Status::Error, why)),
                Ok(false) => {}
                Ok(true) if exception.images.is_empty() && exception.values.is_empty() => {
                    let status = if exception.passes { Status::Pass } else { Status::Skip };
                    return Some(Verdict::new(status, format!("excepted by {}", exception.name)));
                }
                Ok(true) => {
                    allowed_images.extend(exception.images.iter().cloned());
                    allowed_values.extend(exception.values.iter().cloned());
                }
            }
        }
        let allowed = json!({"allowedImages": allowed_images, "allowedValues": allowed_values});
        input.exceptions = Some(&allowed);
        match form.expressions.evaluate(&input) {
            Outcome::Pass => Some(Verdict::new(Status::Pass, "all expressions hold")),
            Outcome::Fail(message) => Some(Verdict::new(Status::Fail, message)),
            Outcome::Error(why) => Some(Verdict::new(Status::Error, why)),
            Outcome::Unmatched(_) if self.kubernetes => None,
            Outcome::Unmatched(name) => {
                Some(Verdict::new(Status::Skip, format!("the condition `{name}` does not hold")))
            }
        }
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
        "resource": {"group": kind.group, "version": kind.version, "resource": plural(&kind.kind)},
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
fn autogen(spec: &Value) -> Result<Vec<Form>, String> {
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
    let named = rule.get("resourceNames").and_then(Value::as_array).is_some_and(|names| !names.is_empty());
    if selects
        || excludes
        || named
        || !only("apiGroups", "")
        || !only("apiVersions", "v1")
        || !only("resources", "pods")
    {
        return Ok(Vec::new());
    }
    let asked = at(spec, &["autogen", "podControllers", "controllers"]).map(|list| texts(Some(list)));
    let wanted = |name: &str| asked.as_ref().is_none_or(|asked| asked.iter().any(|asked| asked == name));
    if let Some(unknown) = asked.iter().flatten().find(|name| name.contains('.')) {
        return Err(format!("autogen for `{unknown}` is not known here"));
    }
    let mut forms = Vec::new();
    let defaults: Vec<(&str, &str)> = DEFAULTS.into_iter().filter(|(name, _)| wanted(name)).collect();
    let groups = [
        (defaults, "spec.template", "autogen-defaults"),
        (vec![("cronjobs", "batch")], "spec.jobTemplate.spec.template", "autogen-cronjobs"),
    ];
    for (targets, path, name) in groups {
        let targets: Vec<(&str, &str)> = targets.into_iter().filter(|(name, _)| wanted(name)).collect();
        if targets.is_empty() {
            continue;
        }
        let rules: Vec<Value> = targets
            .iter()
            .map(|(resource, group)| json!({"apiGroups": [group], "apiVersions": ["v1"], "resources": [resource], "operations": rule.get("operations")}))
            .collect();
        let mut made = pointed(spec, path);
        if let Some(fields) = made.as_object_mut() {
            fields.insert(
                "matchConstraints".to_owned(),
                json!({"resourceRules": rules, "namespaceSelector": constraints.get("namespaceSelector")}),
            );
        }
        forms.push(Form {
            constraints: Constraints::compile(made.get("matchConstraints"))?,
            expressions: Expressions::compile(&made, "validations")?,
            rule: name,
        });
    }
    Ok(forms)
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
    fn plurals() {
        for (kind, want) in [
            ("Pod", "pods"),
            ("NetworkPolicy", "networkpolicies"),
            ("Ingress", "ingresses"),
            ("Gateway", "gateways"),
            ("Endpoints", "endpoints"),
            ("StorageClass", "storageclasses"),
            ("Service", "services"),
        ] {
            assert_eq!(plural(kind), want);
        }
    }
}
