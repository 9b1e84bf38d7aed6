//! What `prograde policy apply` and `report` are given.

use std::collections::BTreeMap;
use std::sync::Arc;

use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::testing::user_of;
use prograde_policy::{PolicySet, User, shipped};
use prograde_yaml::Node;
use serde_json::Value;

use super::signatures::Lookup;
use super::{Inputs, files};
use crate::app::App;
use crate::commands::rules::files::text;
use crate::report::{self, Report};
use crate::text::counted;

/// A resource and where it stands.
pub(super) struct Resource {
    pub(super) file: Arc<str>,
    pub(super) node: Node,
    pub(super) value: Value,
}

/// What was read, and who looks signatures up, if anybody does.
pub(super) struct Read<'a> {
    pub(super) lookup: Option<Lookup<'a>>,
    pub(super) set: PolicySet,
    pub(super) resources: Vec<Resource>,
    /// The namespaces that are among the resources, by name.
    pub(super) namespaces: BTreeMap<String, Value>,
    pub(super) values: Value,
    pub(super) user: User,
}

impl Resource {
    /// A text in it.
    pub(super) fn field(&self, path: &[&str]) -> Option<&str> {
        path.iter().try_fold(&self.value, |value, name| value.get(name))?.as_str()
    }

    /// `KIND/NAME`.
    pub(super) fn named(&self) -> String {
        let kind = self.field(&["kind"]).unwrap_or("?");
        let name = self.field(&["metadata", "name"]).or_else(|| self.field(&["metadata", "generateName"]));
        [kind, "/", name.unwrap_or("?")].concat()
    }

    /// The line of a place in it, or of the nearest part of the way that is there.
    pub(super) fn line(&self, path: &str) -> u32 {
        let mut node = &self.node;
        let mut line = node.line;
        for step in path.split('/').filter(|step| !step.is_empty()) {
            let key = node.key(step).map(|key| key.line);
            let next = node.get(step).or_else(|| step.parse::<usize>().ok().and_then(|index| node.items().get(index)));
            let Some(next) = next else { break };
            (node, line) = (next, key.unwrap_or(next.line));
        }
        line
    }
}

/// Reads everything that the command names. What can't be used ends the command: nothing passes because it was not read.
pub(super) fn read<'a>(app: &'a App, inputs: &'a Inputs) -> Result<Read<'a>, Report> {
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
        let namespaces = resources.iter().filter(|one| one.field(&["kind"]) == Some("Namespace"));
        let namespaces =
            namespaces.filter_map(|one| Some((one.field(&["metadata", "name"])?.to_owned(), one.value.clone())));
        let lookup = inputs.signatures.lookup(app)?;
        return Ok(Read { lookup, namespaces: namespaces.collect(), set, resources, values, user: user_of(&user) });
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
        let file: Arc<str> = Arc::from(file);
        for node in nodes {
            let items = node
                .get("items")
                .filter(|_| node.get("kind").and_then(Node::as_str).is_some_and(|kind| kind.ends_with("List")));
            let items = items.map_or_else(|| vec![node.clone()], |items| items.items().to_vec());
            resources.extend(items.into_iter().map(|node| Resource {
                file: Arc::clone(&file),
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
