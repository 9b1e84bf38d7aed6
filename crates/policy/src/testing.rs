//! Tests of policies, in the format of `kyverno-test.yaml`: which result each rule should have for each resource.
//!
//! Source: Kyverno's documentation, "kyverno CLI", "Test". A resource that no rule answers for has the result `none`, and
//! that is never what was expected.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use prograde_model::{Diagnostic, Diagnostics};
use serde_json::{Map, Value, json};

use crate::jmespath::equal;
use crate::kyverno::RuleResult;
use crate::matching::texts;
use crate::request::{Kind, Request, User, at, text};
use crate::set::{Given, Policy, PolicyResult, PolicySet};
use crate::verify::{Signature, SignedBy};
use crate::world::is_cluster_kind;

/// The code of a test that can't be run.
pub const TEST: &str = "PG1104";

/// How a test reaches the files that it names, by their paths beside it. A folder gives all YAML files within.
pub trait Files {
    /// The files at a path: name and text of each.
    fn read(&self, path: &str) -> Result<Vec<(String, String)>, String>;

    /// What is known of a signature; nothing where signatures are not looked up.
    fn signature(&self, _: &SignedBy) -> Option<Signature> {
        None
    }
}

/// What came of one expectation.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The policy, as the test writes it.
    pub policy: String,
    /// The rule, as the test writes it, else as it is.
    pub rule: String,
    /// The resource.
    pub resource: String,
    /// What was expected.
    pub expected: String,
    /// What came: a status, `none` where no rule answered, `diff` where a resource is not as expected, `invalid` where
    /// the policy can't be used.
    pub actual: String,
    /// Whether that is what was expected.
    pub ok: bool,
    /// Why it came.
    pub message: String,
}

/// What came of a test.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// The test's name.
    pub name: String,
    /// Expectations, in order.
    pub outcomes: Vec<Outcome>,
    /// Policies and files that can't be used. What is expected of them is not met.
    pub findings: Vec<Diagnostic>,
}

struct Loaded<'f> {
    files: &'f dyn Files,
    file: String,
    findings: Vec<Diagnostic>,
}

impl Loaded<'_> {
    fn texts(&mut self, path: &str) -> Vec<(String, String)> {
        self.files.read(path).unwrap_or_else(|why| {
            self.findings.push(Diagnostic::file(TEST, self.file.clone(), format!("{path}: {why}"), ""));
            Vec::new()
        })
    }

    /// All documents of files, with lists taken apart.
    fn documents(&mut self, paths: &[String]) -> Vec<Value> {
        let mut found = Vec::new();
        for path in paths {
            for (name, source) in self.texts(path) {
                match prograde_yaml::documents(&name, &source) {
                    Ok(nodes) => nodes.iter().for_each(|node| push_documents(node.to_json(), &mut found)),
                    Err(error) => self.findings.push(error),
                }
            }
        }
        found
    }
}

fn push_documents(value: Value, found: &mut Vec<Value>) {
    match value.get("items").and_then(Value::as_array) {
        Some(items) if text(&value, &["kind"]).ends_with("List") => found.extend(items.iter().cloned()),
        _ => found.push(value),
    }
}

/// Resources as they would be in a cluster: what belongs into a namespace and names none is in `default`.
fn placed(mut resources: Vec<Value>) -> Vec<Value> {
    for resource in &mut resources {
        let kind = text(resource, &["kind"]);
        if kind.is_empty() || is_cluster_kind(kind) || !text(resource, &["metadata", "namespace"]).is_empty() {
            continue;
        }
        if let Some(metadata) = resource.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("namespace".to_owned(), Value::from("default"));
        }
    }
    resources
}

/// Whether a document is a test, of the current or the older format.
pub fn is_test(document: &Value) -> bool {
    let current = text(document, &["apiVersion"]).starts_with("cli.kyverno.io/") && text(document, &["kind"]) == "Test";
    current || (document.get("policies").is_some() && document.get("results").is_some())
}

/// Runs the tests in a file.
pub fn run(file: &str, source: &str, files: &dyn Files, now: Timestamp) -> Result<Vec<Ran>, Diagnostics> {
    let mut all = Vec::new();
    for node in prograde_yaml::documents(file, source)? {
        let document = node.to_json();
        if !is_test(&document) {
            return Err(Diagnostic::file(
                TEST,
                file,
                "the document is no test",
                "a test names policies, resources and results",
            )
            .at(node.line, node.column)
            .into());
        }
        all.push(run_one(file, &document, files, now));
    }
    Ok(all)
}

fn run_one(file: &str, document: &Value, files: &dyn Files, now: Timestamp) -> Ran {
    let mut loaded = Loaded { files, file: file.to_owned(), findings: Vec::new() };
    let list = |name: &str| texts(document.get(name));
    let mut set = PolicySet::default();
    for path in list("policies").into_iter().chain(list("exceptions")) {
        for (name, source) in loaded.texts(&path) {
            if let Err(found) = set.read(&name, &source) {
                loaded.findings.extend(found.0);
            }
        }
    }
    let values = values(document, &mut loaded);
    let user = user(document, &mut loaded);
    let mut resources: Vec<Value> = Vec::new();
    for resource in placed(loaded.documents(&list("resources"))) {
        if !resources.iter().any(|known| key(known) == key(&resource)) {
            resources.push(resource);
        }
    }
    let targets = placed(loaded.documents(&list("targetResources")));
    let cluster = cluster(&list("clusterResources"), &mut loaded);
    let mut sources = loaded.documents(&list("paramResources"));
    let mut clones: Vec<String> = results(document)
        .filter_map(|r| r.get("cloneSourceResource"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    clones.dedup();
    sources.extend(loaded.documents(&clones));
    sources.extend(cluster.iter().chain(&resources).cloned());
    let mut given = Given { targets: targets.clone(), sources, ..Given::default() };
    // Tests have the same random texts each time.
    given.outside.seed = Some(0);
    outside(document, &values, &mut loaded, &mut given);
    given.outside.resources.extend(cluster.iter().cloned());
    if !given.outside.resources.is_empty() || !targets.is_empty() {
        // Where a cluster is given, what is tested is in it.
        given.outside.resources.extend(resources.iter().chain(&targets).cloned());
    }
    payloads(document, &mut loaded, &mut resources);
    let case = Case {
        set: &set,
        files,
        values: &values,
        user: &user,
        resources: &resources,
        targets: &targets,
        given: &given,
        cluster: &cluster,
        now,
    };
    let mut outcomes = Vec::new();
    let mut evaluated: BTreeMap<String, Vec<Vec<PolicyResult>>> = BTreeMap::new();
    for result in results(document) {
        let operation = text(result, &["operation"]).to_owned();
        let known = evaluated
            .entry(operation.clone())
            .or_insert_with(|| resources.iter().map(|resource| case.evaluate(resource, &operation)).collect());
        case.expect(result, known, &mut loaded, &mut outcomes);
    }
    let name = text(document, &["metadata", "name"]);
    let name = if name.is_empty() { text(document, &["name"]) } else { name };
    Ran { name: name.to_owned(), outcomes, findings: loaded.findings }
}

fn results(document: &Value) -> impl Iterator<Item = &Value> {
    document.get("results").and_then(Value::as_array).into_iter().flatten()
}

/// Kind, namespace and name, by which resources are told apart.
fn key(resource: &Value) -> (Kind, String, String) {
    if let Some((name, _)) = payload(resource) {
        return (Kind::default(), String::new(), name.to_owned());
    }
    let metadata = |name: &str| text(resource, &["metadata", name]).to_owned();
    (Kind::of(resource), metadata("namespace"), metadata("name"))
}

fn values(document: &Value, loaded: &mut Loaded<'_>) -> Value {
    if let Some(inline) = document.get("values").filter(|values| !values.is_null()) {
        return inline.clone();
    }
    match text(document, &["variables"]) {
        "" => Value::Null,
        path => loaded.documents(&[path.to_owned()]).into_iter().next().unwrap_or(Value::Null),
    }
}

fn user(document: &Value, loaded: &mut Loaded<'_>) -> User {
    let path = text(document, &["userinfo"]);
    if path.is_empty() {
        return User::default();
    }
    let found = loaded.documents(&[path.to_owned()]).into_iter().next().unwrap_or(Value::Null);
    user_of(&found)
}

/// Reads a `UserInfo` document.
pub fn user_of(document: &Value) -> User {
    let info = document.get("userInfo").cloned().unwrap_or(Value::Null);
    User {
        name: text(&info, &["username"]).to_owned(),
        groups: texts(info.get("groups")),
        roles: texts(document.get("roles")),
        cluster_roles: texts(document.get("clusterRoles")),
        info,
    }
}

fn cluster(paths: &[String], loaded: &mut Loaded<'_>) -> Vec<Value> {
    let documents = loaded.documents(paths);
    let mut found = Vec::new();
    for document in documents {
        found.extend(at(&document, &["spec", "resources"]).and_then(Value::as_array).into_iter().flatten().cloned());
    }
    found
}

/// Reads values, answers and resources into what contexts refer to.
fn outside(document: &Value, values: &Value, loaded: &mut Loaded<'_>, given: &mut Given) {
    let context = text(document, &["context"]);
    if !context.is_empty() {
        for found in loaded.documents(&[context.to_owned()]) {
            let list =
                |name: &str| at(&found, &["spec", name]).and_then(Value::as_array).into_iter().flatten().cloned();
            given.outside.resources.extend(list("resources"));
            given.outside.images.extend(list("images").map(|image| (text(&image, &["image"]).to_owned(), image)));
        }
    }
    for answer in document.get("apiCallResponses").and_then(Value::as_array).into_iter().flatten() {
        let url = if text(answer, &["url"]).is_empty() { text(answer, &["urlPath"]) } else { text(answer, &["url"]) };
        let method = text(answer, &["method"]).to_uppercase();
        let place = if method.is_empty() { url.to_owned() } else { format!("{method}:{url}") };
        let status =
            at(answer, &["response", "statusCode"]).and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        let body = at(answer, &["response", "body"]).cloned().unwrap_or(Value::Null);
        given.outside.answers.insert(place, (status.filter(|code| *code > 0).unwrap_or(200), body));
    }
    for entry in document.get("globalContextEntries").and_then(Value::as_array).into_iter().flatten() {
        let mut data = entry.get("data").or_else(|| entry.get("resources")).cloned().unwrap_or(Value::Null);
        if entry.get("resourceFiles").is_some() {
            data = Value::Array(loaded.documents(&texts(entry.get("resourceFiles"))));
        }
        for projection in entry.get("projections").and_then(Value::as_array).into_iter().flatten() {
            let path = crate::jmespath::Expression::parse(text(projection, &["path"]));
            let found = path.and_then(|path| path.search_in(&data).map_err(|error| error.to_string()));
            match (found, data.as_object_mut()) {
                (Ok(found), Some(data)) => drop(data.insert(text(projection, &["name"]).to_owned(), found)),
                (Ok(_), None) => {}
                (Err(why), _) => loaded.findings.push(Diagnostic::file(TEST, loaded.file.clone(), why, "")),
            }
        }
        given.outside.globals.insert(text(entry, &["name"]).to_owned(), data);
    }
    for policy in values.get("policies").and_then(Value::as_array).into_iter().flatten() {
        for rule in policy.get("rules").and_then(Value::as_array).into_iter().flatten() {
            let each = pairs(rule.get("foreachValues")).into_iter();
            let each = each.map(|(name, list)| (name, list.as_array().cloned().unwrap_or_default()));
            let place = (text(policy, &["name"]).to_owned(), text(rule, &["name"]).to_owned());
            given.outside.each_values.insert(place.clone(), each.collect());
            given.outside.rule_values.insert(place, pairs(rule.get("values")));
        }
    }
}

/// JSON payloads: documents that are no resources, named after their files.
fn payloads(document: &Value, loaded: &mut Loaded<'_>, resources: &mut Vec<Value>) {
    let paths = texts(document.get("jsonPayload")).into_iter().chain(texts(document.get("jsonPayloads")));
    for path in paths.collect::<Vec<_>>() {
        for payload in loaded.documents(std::slice::from_ref(&path)) {
            resources.push(json!({"\u{0}payload": path, "payload": payload}));
        }
    }
}

/// The payload of a document that stands for one, and its name.
fn payload(resource: &Value) -> Option<(&str, &Value)> {
    Some((resource.get("\u{0}payload")?.as_str()?, resource.get("payload")?))
}

fn pairs(object: Option<&Value>) -> Vec<(String, Value)> {
    let entries = object.and_then(Value::as_object).into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Values of variables for one resource, out of a `Values` document.
pub fn values_for(values: &Value, resource: &str) -> Vec<(Option<String>, String, Value)> {
    let mut found: Vec<(Option<String>, String, Value)> =
        pairs(values.get("globalValues")).into_iter().map(|(name, value)| (None, name, value)).collect();
    for policy in values.get("policies").and_then(Value::as_array).into_iter().flatten() {
        for one in policy.get("resources").and_then(Value::as_array).into_iter().flatten() {
            if text(one, &["name"]) == resource {
                let name = text(policy, &["name"]);
                found.extend(
                    pairs(one.get("values")).into_iter().map(|(key, value)| (Some(name.to_owned()), key, value)),
                );
            }
        }
    }
    found
}

struct Case<'c> {
    set: &'c PolicySet,
    values: &'c Value,
    files: &'c dyn Files,
    user: &'c User,
    resources: &'c [Value],
    targets: &'c [Value],
    given: &'c Given,
    cluster: &'c [Value],
    now: Timestamp,
}

impl Case<'_> {
    /// The namespace of a resource, as values or the cluster's resources say it.
    fn namespace(&self, name: &str) -> Option<Value> {
        let listed = |list: &str| self.values.get(list).and_then(Value::as_array).into_iter().flatten();
        let whole = listed("namespaces").find(|found| text(found, &["metadata", "name"]) == name).cloned();
        let labelled = || {
            let found = listed("namespaceSelector").find(|found| text(found, &["name"]) == name)?;
            Some(
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": found.get("labels")}}),
            )
        };
        let among = || {
            let kind =
                |found: &&Value| text(found, &["kind"]) == "Namespace" && text(found, &["metadata", "name"]) == name;
            self.cluster.iter().find(kind).cloned()
        };
        whole.or_else(labelled).or_else(among)
    }

    /// The parent's kind and the subresource, where values say that the resource is one.
    fn subresource(&self, resource: &Value) -> (Kind, String) {
        let own = Kind::of(resource);
        let kind = |value: &Value| Kind {
            group: text(value, &["group"]).to_owned(),
            version: text(value, &["version"]).to_owned(),
            kind: text(value, &["kind"]).to_owned(),
        };
        for known in self.values.get("subresources").and_then(Value::as_array).into_iter().flatten() {
            let (sub, parent) =
                (known.get("subresource").unwrap_or(&Value::Null), known.get("parentResource").unwrap_or(&Value::Null));
            if kind(sub) == own {
                let name = text(sub, &["name"]).split('/').nth(1).unwrap_or_default();
                return (kind(parent), name.to_owned());
            }
        }
        (own, String::new())
    }

    fn evaluate(&self, resource: &Value, operation: &str) -> Vec<PolicyResult> {
        let is_payload = payload(resource).is_some();
        let resource = payload(resource).map_or(resource, |(_, payload)| payload);
        let (kind, subresource) = self.subresource(resource);
        let namespace = self.namespace(text(resource, &["metadata", "namespace"]));
        let labels = namespace.as_ref().and_then(|namespace| at(namespace, &["metadata", "labels"]));
        let labels: BTreeMap<String, String> =
            pairs(labels).into_iter().map(|(name, value)| (name, crate::pattern::shown(&value).into_owned())).collect();
        let mut given = self.given.clone();
        given.values = values_for(self.values, text(resource, &["metadata", "name"]));
        if !operation.is_empty() {
            given.values.retain(|(_, name, _)| name != "request.operation");
            given.values.push((None, "request.operation".to_owned(), Value::from(operation)));
        }
        let request = Request {
            object: Some(Cow::Borrowed(resource)),
            old: None,
            operation: "CREATE",
            kind,
            subresource: &subresource,
            plural: "",
            user: Cow::Borrowed(self.user),
            namespace_labels: Cow::Owned(labels),
            namespace: namespace.map(Cow::Owned),
            now: self.now,
        };
        for asked in self.set.asks(&request, &given) {
            if let Some(signature) = self.files.signature(&asked) {
                given.verified.insert(asked, signature);
            }
        }
        let mut answers = self.set.evaluate(&request, &given);
        answers.extend(self.set.deletions(&request, &given));
        // A payload is no resource: only policies of JSON are about it.
        if is_payload {
            answers.retain(|answer| self.set.policies.get(answer.policy).is_some_and(Policy::is_about_json));
        }
        answers
    }

    /// Resources that an expectation names; all where it names none. A policy of a namespace is about those in it.
    fn named(&self, result: &Value, policy_namespace: &str) -> Vec<(String, Option<usize>)> {
        let mut names = texts(result.get("resources"));
        names.extend(texts(result.get("resource")));
        for spec in result.get("resourceSpecs").and_then(Value::as_array).into_iter().flatten() {
            let (namespace, name) = (text(spec, &["namespace"]), text(spec, &["name"]));
            names.push(if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") });
        }
        let shown = |resource: &Value| {
            let (_, namespace, name) = key(resource);
            if namespace.is_empty() { name } else { format!("{namespace}/{name}") }
        };
        if names.is_empty() {
            return self.resources.iter().enumerate().map(|(index, resource)| (shown(resource), Some(index))).collect();
        }
        let (kind, namespace) = (text(result, &["kind"]), text(result, &["namespace"]));
        let mut found = Vec::new();
        for name in names {
            let fits = |(_, resource): &(usize, &Value)| {
                let (_, own_namespace, own) = key(resource);
                let name_fits = match name.split_once('/') {
                    Some((wanted_namespace, wanted)) => wanted_namespace == own_namespace && wanted == own,
                    None => own == name,
                };
                name_fits && (namespace.is_empty() || namespace == own_namespace || own_namespace.is_empty())
            };
            let all: Vec<(usize, &Value)> = self.resources.iter().enumerate().filter(fits).collect();
            let of_kind = |(_, resource): &&(usize, &Value)| kind.is_empty() || text(resource, &["kind"]) == kind;
            let narrowed: Vec<usize> = all.iter().filter(of_kind).map(|(index, _)| *index).collect();
            let chosen = if narrowed.is_empty() { all.iter().map(|(index, _)| *index).collect() } else { narrowed };
            let within = |index: &usize| self.resources.get(*index).is_some_and(|of| key(of).1 == policy_namespace);
            let own: Vec<usize> = chosen.iter().copied().filter(within).collect();
            let chosen = if own.is_empty() || policy_namespace.is_empty() { chosen } else { own };
            if chosen.is_empty() {
                found.push((name.clone(), None));
            }
            found.extend(chosen.into_iter().map(|index| (name.clone(), Some(index))));
        }
        found
    }

    fn expect(
        &self,
        result: &Value,
        evaluated: &[Vec<PolicyResult>],
        loaded: &mut Loaded<'_>,
        outcomes: &mut Vec<Outcome>,
    ) {
        let expected = match text(result, &["result"]) {
            "" => text(result, &["status"]),
            expected => expected,
        };
        let written = text(result, &["policy"]);
        let policy = written.rsplit('/').next().unwrap_or(written);
        let rule = text(result, &["rule"]);
        let outcome = |resource: &str, rule: &str, actual: &str, message: &str| Outcome {
            policy: written.to_owned(),
            rule: rule.to_owned(),
            resource: resource.to_owned(),
            expected: expected.to_owned(),
            actual: actual.to_owned(),
            ok: actual == expected,
            message: message.to_owned(),
        };
        let mut named = self.named(result, written.split_once('/').map_or("", |(namespace, _)| namespace));
        if named.is_empty() {
            // An expectation without any resource is not met: it says so in a row of its own.
            named.push((String::new(), None));
        }
        for (name, index) in named {
            let before = outcomes.len();
            if let Some(why) = self.set.refused.get(policy) {
                outcomes.push(outcome(&name, rule, "invalid", why));
                continue;
            }
            let answers = index.and_then(|index| evaluated.get(index));
            let mut resource = index.and_then(|index| self.resources.get(index));
            for answer in answers.into_iter().flatten() {
                // A changed resource is compared as all rules of the policy, and the policies before it, leave it.
                resource = answer.results.iter().rev().find_map(|one| one.patched.as_ref()).or(resource);
                let Some(of) = self.set.policies.get(answer.policy).filter(|of| of.name() == policy) else { continue };
                for one in answer.results.iter().filter(|one| is_rule(of, &one.rule, rule)) {
                    let shown = if rule.is_empty() { one.rule.as_str() } else { rule };
                    let (actual, message) = actual(result, one, resource, loaded);
                    outcomes.push(outcome(&name, shown, &actual, &message));
                }
            }
            self.expect_target(result, &name, policy, rule, evaluated, loaded, &mut |actual, message| {
                outcomes.push(outcome(&name, rule, actual, message));
            });
            if outcomes.len() == before {
                let why = if index.is_none() { "there is no such resource" } else { "no rule answered" };
                outcomes.push(outcome(&name, rule, "none", why));
            }
        }
    }

    /// What rules did to a target that an expectation names.
    #[expect(clippy::too_many_arguments, reason = "one place that puts together what the test and the rules say")]
    fn expect_target(
        &self,
        result: &Value,
        name: &str,
        policy: &str,
        rule: &str,
        evaluated: &[Vec<PolicyResult>],
        loaded: &mut Loaded<'_>,
        say: &mut dyn FnMut(&str, &str),
    ) {
        let is_target = self.targets.iter().any(|target| {
            let (_, namespace, own) = key(target);
            name == own || name == format!("{namespace}/{own}")
        });
        if !is_target {
            return;
        }
        for answer in evaluated.iter().flatten() {
            let Some(of) = self.set.policies.get(answer.policy).filter(|of| of.name() == policy) else { continue };
            for one in answer.results.iter().filter(|one| is_rule(of, &one.rule, rule)) {
                for target in &one.targets {
                    let (_, namespace, own) = key(target);
                    if name == own || name == format!("{namespace}/{own}") {
                        let same = as_expected(text(result, &["patchedResources"]), target, loaded);
                        say(if same { one.status.as_str() } else { "diff" }, &one.message);
                    }
                }
            }
        }
    }
}

/// Whether a result is of the rule that a test names, with or without the prefix of rules for controllers.
fn is_rule(policy: &Policy, found: &str, wanted: &str) -> bool {
    let bare = found.strip_prefix("autogen-cronjob-").or_else(|| found.strip_prefix("autogen-"));
    wanted.is_empty() || policy.is_ruleless() || found == wanted || bare == Some(wanted)
}

/// What came, with resources that were changed or made compared with what is expected of them.
fn actual(result: &Value, one: &RuleResult, resource: Option<&Value>, loaded: &mut Loaded<'_>) -> (String, String) {
    let first = |names: [&str; 2]| {
        names.iter().map(|name| text(result, &[name])).find(|path| !path.is_empty()).unwrap_or_default().to_owned()
    };
    let patched = first(["patchedResources", "patchedResource"]);
    if !patched.is_empty() && one.targets.is_empty() {
        let found = resource.unwrap_or(&Value::Null);
        let strict = result.get("failOnMissingResources") == Some(&Value::Bool(true));
        let expected_to_fail = text(result, &["result"]) == "fail";
        if (strict || expected_to_fail) && !is_listed(&patched, found, loaded) {
            let actual = if strict { "diff" } else { "fail" };
            return (actual.to_owned(), format!("the resource is not in {patched}"));
        }
        if !as_expected(&patched, found, loaded) {
            return ("diff".to_owned(), format!("the resource is not the one in {patched}: {found}"));
        }
    }
    let mut generated = texts(result.get("generatedResources"));
    generated.extend(texts(result.get("generatedResource")));
    if !generated.is_empty() {
        for made in &one.generated {
            if !generated.iter().any(|path| as_expected(path, made, loaded)) {
                return ("diff".to_owned(), format!("the resource is not the one in {}: {made}", generated.join(", ")));
            }
        }
    }
    (one.status.as_str().to_owned(), one.message.clone())
}

/// Whether a file has the resource at all.
fn is_listed(path: &str, resource: &Value, loaded: &mut Loaded<'_>) -> bool {
    placed(loaded.documents(&[path.to_owned()])).iter().any(|document| key(document) == key(resource))
}

/// Whether a resource is as a file has it. A file that does not have it says nothing of it.
fn as_expected(path: &str, resource: &Value, loaded: &mut Loaded<'_>) -> bool {
    if path.is_empty() {
        return true;
    }
    let documents = placed(loaded.documents(&[path.to_owned()]));
    match documents.iter().find(|document| key(document) == key(resource)) {
        Some(expected) => equal(&tidied(expected), &tidied(resource)),
        None => true,
    }
}

/// Without empty parts, and without the labels that Kyverno adds to what it makes.
fn tidied(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut kept = Map::new();
            for (name, value) in entries {
                let value = tidied(value);
                let empty = value.is_null()
                    || value.as_object().is_some_and(Map::is_empty)
                    || value.as_array().is_some_and(Vec::is_empty);
                let made = name.starts_with("generate.kyverno.io/")
                    || (name == "app.kubernetes.io/managed-by" && value == "kyverno");
                if !empty && !made {
                    kept.insert(name.clone(), value);
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => items.iter().map(tidied).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other.clone(),
    }
}
