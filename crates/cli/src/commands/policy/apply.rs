//! `prograde policy apply`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::report::Answered;
use prograde_policy::testing::{user_of, values_for};
use prograde_policy::{
    Action, Given, Kind, Policy, PolicyResult, PolicySet, Request, RuleResult, Status, User, shipped,
};
use prograde_yaml::Node;
use serde_json::{Value, json};

use super::{Inputs, files};
use crate::app::App;
use crate::commands::rules::files::text;
use crate::exit::Exit;
use crate::printer::one_line;
use crate::report::{self, Report};
use crate::text::counted;

/// A resource and where it stands.
pub(super) struct Resource {
    file: String,
    node: Node,
    value: Value,
}

/// What was read.
pub(super) struct Read {
    pub(super) set: PolicySet,
    resources: Vec<Resource>,
    values: Value,
    user: User,
}

/// Reads everything that the command names. What can't be used ends the command: nothing passes because it was not read.
pub(super) fn read(app: &App, inputs: &Inputs) -> Result<Read, Report> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let set = policies(inputs, &mut found)?;
    let resources = resources(inputs, &mut found);
    let mut one = |path: Option<&std::path::PathBuf>| match path.map(|path| document(path)) {
        None => Value::Null,
        Some(Ok(value)) => value,
        Some(Err(diagnostics)) => {
            found.extend(diagnostics.0);
            Value::Null
        }
    };
    let (values, user) = (one(inputs.values.as_ref()), one(inputs.userinfo.as_ref()));
    if found.is_empty() {
        return Ok(Read { set, resources, values, user: user_of(&user) });
    }
    for diagnostic in &found {
        app.printer.warning(diagnostic);
    }
    let what = format!("{} in policies or resources", counted(found.len() as u64, "mistake"));
    Err(Report::new(report::POLICY_INPUT, what).hint("`prograde explain CODE` says more about each finding"))
}

fn policies(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Result<PolicySet, Report> {
    let mut set = PolicySet::default();
    let name = match (&inputs.set, inputs.policies.is_empty()) {
        (Some(name), _) => Some(name.as_str()),
        (None, true) => Some("default"),
        (None, false) => None,
    };
    if let Some(name) = name {
        let outcome = shipped::read(name, &mut set).ok_or_else(|| {
            Report::new(report::ARGUMENT, format!("there is no set `{name}`"))
                .hint(format!("sets: {}", shipped::NAMES.join(", ")))
        })?;
        found.extend(outcome.err().into_iter().flat_map(|diagnostics| diagnostics.0));
    }
    let mut paths = inputs.policies.clone();
    paths.extend(inputs.exceptions.iter().cloned());
    match files::texts(&paths) {
        Err(diagnostics) => found.extend(diagnostics.0),
        Ok(texts) => {
            for (file, text) in texts {
                found.extend(set.read(&file, &text).err().into_iter().flat_map(|diagnostics| diagnostics.0));
            }
        }
    }
    Ok(set)
}

fn resources(inputs: &Inputs, found: &mut Vec<Diagnostic>) -> Vec<Resource> {
    let mut resources = Vec::new();
    let texts = files::texts(&inputs.resources).unwrap_or_else(|diagnostics| {
        found.extend(diagnostics.0);
        Vec::new()
    });
    for (file, text) in texts {
        let nodes = prograde_yaml::documents(&file, &text).unwrap_or_else(|error| {
            found.push(error);
            Vec::new()
        });
        for node in nodes {
            let items = node
                .get("items")
                .filter(|_| node.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List")));
            let items = items.map_or_else(|| vec![node.clone()], |items| items.items().to_vec());
            resources.extend(items.into_iter().map(|node| Resource {
                file: file.clone(),
                value: node.to_json(),
                node,
            }));
        }
    }
    resources
}

fn document(path: &std::path::Path) -> Result<Value, Diagnostics> {
    let documents = prograde_yaml::documents(&path.display().to_string(), &text(path)?)?;
    Ok(documents.first().map_or(Value::Null, Node::to_json))
}

impl Read {
    /// What the policies say to each resource.
    pub(super) fn answers(&self, app: &App) -> Vec<(&Resource, Answered<'_>)> {
        let ask = |resource: &'_ Resource| self.ask(app, resource);
        self.resources
            .iter()
            .map(|resource| (resource, Answered { resource: &resource.value, results: ask(resource) }))
            .collect()
    }

    fn ask(&self, app: &App, resource: &Resource) -> Vec<PolicyResult> {
        let field =
            |name: &str| resource.value.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_str);
        let namespace = field("namespace").and_then(|name| self.namespace(name));
        let labels = namespace
            .and_then(|found| found.get("metadata"))
            .and_then(|metadata| metadata.get("labels"))
            .and_then(Value::as_object);
        let labels: BTreeMap<String, String> = labels
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let given = Given { values: values_for(&self.values, field("name").unwrap_or_default()), ..Given::default() };
        let request = Request {
            object: Some(Cow::Borrowed(&resource.value)),
            old: None,
            operation: "CREATE",
            kind: Kind::of(&resource.value),
            subresource: "",
            user: Cow::Borrowed(&self.user),
            namespace_labels: Cow::Owned(labels),
            namespace: namespace.map(Cow::Borrowed),
            now: app.printer.now(),
        };
        self.set.evaluate(&request, &given)
    }

    /// A namespace that is among the resources.
    fn namespace(&self, name: &str) -> Option<&Value> {
        let fits = |value: &&Value| {
            let of =
                |field: &str| value.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
            value.get("kind").and_then(Value::as_str) == Some("Namespace") && of("name") == Some(name)
        };
        self.resources.iter().map(|resource| &resource.value).find(fits)
    }
}

/// The line of a place in a resource, or of the nearest part of the way that is there.
fn line(resource: &Resource, path: &str) -> u32 {
    let mut node = &resource.node;
    let mut line = node.line;
    for step in path.split('/').filter(|step| !step.is_empty()) {
        let key = node.key(step).map(|key| key.line);
        let next = node.get(step).or_else(|| step.parse::<usize>().ok().and_then(|index| node.items().get(index)));
        let Some(next) = next else { break };
        (node, line) = (next, key.unwrap_or(next.line));
    }
    line
}

/// Applies the policies and shows what is broken.
pub(super) fn run(app: &App, inputs: &Inputs) -> Result<Exit, Report> {
    let read = read(app, inputs)?;
    let (mut refused, mut told_only, mut passed) = (0_u64, 0_u64, 0_u64);
    let mut items = Vec::new();
    for (resource, answered) in read.answers(app) {
        for answer in answered.results {
            let Some(policy) = read.set.policies.get(answer.policy) else { continue };
            for result in answer.results {
                match result.status {
                    Status::Pass => passed += 1,
                    Status::Skip => {}
                    Status::Fail | Status::Warn | Status::Error if result.action == Action::Enforce => refused += 1,
                    Status::Fail | Status::Warn | Status::Error => told_only += 1,
                }
                if app.printer.style().json {
                    items.push(as_json(resource, policy, &result));
                } else if !matches!(result.status, Status::Pass | Status::Skip) {
                    told(app, resource, policy, &result)?;
                }
            }
        }
    }
    if app.printer.style().json {
        app.printer.json(&json!({"results": items, "refused": refused, "told": told_only, "passed": passed}))?;
    }
    if refused > 0 {
        let what = format!("{} refused by policy", counted(refused, "violation"));
        return Err(Report::new(report::POLICY_REFUSES, what).exit(Exit::Refused).hint("each line says how to comply"));
    }
    app.printer
        .note("Good", format_args!("{} pass, {} to look at", counted(passed, "rule"), counted(told_only, "violation")));
    Ok(Exit::Done)
}

fn named(resource: &Resource) -> String {
    let of =
        |field: &str| resource.value.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
    let kind = resource.value.get("kind").and_then(Value::as_str).unwrap_or("?");
    format!("{kind}/{}", of("name").or(of("generateName")).unwrap_or("?"))
}

fn told(app: &App, resource: &Resource, policy: &Policy, result: &RuleResult) -> Result<(), Report> {
    let action = if result.action == Action::Enforce { "refused" } else { "told" };
    let place = format!("{}:{}", resource.file, line(resource, &result.path));
    let (name, status) = (policy.name(), result.status.as_str());
    app.printer.line(format_args!(
        "{place}: {}: {name}: {status} ({action}): {}",
        named(resource),
        one_line(&result.message)
    ))?;
    match policy.annotation("prograde.dev/comply") {
        Some(comply) => app.printer.line(format_args!("  comply: {}", one_line(comply))),
        None => Ok(()),
    }
}

fn as_json(resource: &Resource, policy: &Policy, result: &RuleResult) -> Value {
    let action = if result.action == Action::Enforce { "enforce" } else { "audit" };
    json!({
        "file": resource.file, "line": line(resource, &result.path), "resource": named(resource),
        "policy": policy.name(), "rule": result.rule, "result": result.status.as_str(), "action": action,
        "message": result.message, "why": policy.annotation("policies.kyverno.io/description"),
        "comply": policy.annotation("prograde.dev/comply"),
    })
}
