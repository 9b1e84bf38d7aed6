//! What is not to be compared, in Argo CD's format: `ignoreDifferences` of an `Application`, or of `argocd-cm`.
//!
//! A rule names fields by JSON pointers, by jq expressions that are paths, or by the managers that own them. Such fields
//! are left out of the comparison on both sides. Invariant: a rule that can't be understood is an error, never one that
//! ignores nothing or everything.

mod jq;

use prograde_kustomize::{Kind, Node};
use prograde_model::{Diagnostic, Diagnostics};
use serde_json::Value;

use crate::codes;
use crate::compare::{Difference, Options, Path, Step, compare, managed};
use crate::health::is_like;
use crate::object::Identity;

use jq::Filter;

/// The keys of `argocd-cm`.
const KEY: &str = "resource.customizations.ignoreDifferences.";
/// The most rules that are read.
const RULES_MAX: usize = 10_000;
/// The most fields that a rule takes out of one object.
const PATHS_MAX: usize = 10_000;

/// One rule.
#[derive(Debug, Default)]
struct Rule {
    group: String,
    kind: String,
    name: String,
    namespace: String,
    pointers: Vec<Vec<String>>,
    expressions: Vec<Filter>,
    managers: Vec<String>,
}

/// Rules of what is not to be compared.
#[derive(Debug, Default)]
pub struct IgnoreRules(Vec<Rule>);

impl IgnoreRules {
    /// Takes in a file: `Application`s, a mapping with `ignoreDifferences`, a list of rules, or `argocd-cm`.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), Diagnostics> {
        for document in prograde_kustomize::documents(file, text)? {
            self.take(file, &document)?;
        }
        Ok(())
    }

    /// Takes in one document of a file.
    pub fn take(&mut self, file: &str, document: &Node) -> Result<(), Diagnostics> {
        if let Some(data) = document.get("data").filter(|_| document.text_at(&["kind"]) == "ConfigMap") {
            return self.config(file, data);
        }
        let nested = document.at(&["spec", "ignoreDifferences"]).or_else(|| document.get("ignoreDifferences"));
        match nested {
            Some(list) => Ok(self.list(list)?),
            None if document.kind() == Kind::List => Ok(self.list(document)?),
            // An application that ignores nothing.
            None if document.text_at(&["kind"]) == "Application" => Ok(()),
            None => {
                let hint = "write `ignoreDifferences:` with a list of rules, as in an Application";
                Err(document.place.diagnostic(codes::IGNORE, "there are no rules here", hint).into())
            }
        }
    }

    fn config(&mut self, file: &str, data: &Node) -> Result<(), Diagnostics> {
        for entry in data.entries() {
            let Some(name) = entry.name.strip_prefix(KEY) else { continue };
            let (group, kind) = if name == "all" { ("*", "*") } else { name.rsplit_once('_').unwrap_or(("", name)) };
            let inner = prograde_kustomize::documents(file, entry.value.raw()).map_err(|found| Diagnostic {
                line: found.line.saturating_add(entry.value.place.line).saturating_sub(1),
                ..found
            })?;
            for rule in &inner {
                let read = Self::rule(rule)?;
                self.push(Rule { group: group.to_owned(), kind: kind.to_owned(), ..read }, rule)?;
            }
        }
        Ok(())
    }

    fn list(&mut self, list: &Node) -> Result<(), Diagnostic> {
        if list.kind() != Kind::List {
            return Err(list.place.diagnostic(codes::IGNORE, "ignoreDifferences is a list of rules", ""));
        }
        for item in list.items() {
            let rule = Self::rule(item)?;
            if rule.kind.is_empty() {
                let hint = "name one, or `*` for all";
                return Err(item.place.diagnostic(codes::IGNORE, "a rule names the kind that it is for", hint));
            }
            self.push(rule, item)?;
        }
        Ok(())
    }

    fn push(&mut self, rule: Rule, node: &Node) -> Result<(), Diagnostic> {
        if self.0.len() >= RULES_MAX {
            let message = format!("there are more than the {RULES_MAX} rules that are read");
            return Err(node.place.diagnostic(codes::IGNORE, message, ""));
        }
        self.0.push(rule);
        Ok(())
    }

    fn rule(node: &Node) -> Result<Rule, Diagnostic> {
        let known =
            ["group", "kind", "name", "namespace", "jsonPointers", "jqPathExpressions", "managedFieldsManagers"];
        if let Some(other) = node.entries().iter().find(|entry| !known.contains(&entry.name.as_str())) {
            let hint = format!("fields are {}", known.join(", "));
            let message = format!("the field `{}` is not known", other.name);
            return Err(other.place.diagnostic(codes::IGNORE, message, hint));
        }
        let own = |name: &str| node.text_at(&[name]).to_owned();
        let texts = |name: &str| node.get(name).map_or(&[][..], Node::items);
        let mut rule = Rule {
            group: own("group"),
            kind: own("kind"),
            name: own("name"),
            namespace: own("namespace"),
            managers: texts("managedFieldsManagers").iter().map(|item| item.raw().to_owned()).collect(),
            ..Rule::default()
        };
        for pointer in texts("jsonPointers") {
            let parts = pointer_parts(pointer.raw()).ok_or_else(|| {
                let hint = "pointers are like /spec/replicas; `~1` stands for a slash";
                pointer.place.diagnostic(codes::IGNORE, format!("`{}` is no JSON pointer", pointer.raw()), hint)
            })?;
            rule.pointers.push(parts);
        }
        for expression in texts("jqPathExpressions") {
            let hint = "paths, `..`, `|`, `,`, `//`, `select` with comparisons, and functions such as test and startswith are supported";
            let filter = Filter::parse(expression.raw()).map_err(|why| {
                let message = format!("the jq expression `{}` can't be used: {why}", expression.raw());
                expression.place.diagnostic(codes::IGNORE, message, hint)
            })?;
            rule.expressions.push(filter);
        }
        Ok(rule)
    }

    /// Whether any rule is about an object.
    fn of<'r>(&'r self, identity: &'r Identity) -> impl Iterator<Item = &'r Rule> {
        self.0.iter().filter(|rule| {
            let named = |pattern: &str, text: &str| pattern.is_empty() || is_like(pattern, text);
            is_like(&rule.group, &identity.group)
                && is_like(&rule.kind, &identity.kind)
                && named(&rule.name, &identity.name)
                && named(&rule.namespace, &identity.namespace)
        })
    }

    /// The differences of an object beside what is ignored: desired, live, and what was applied last.
    pub fn compare(
        &self,
        identity: &Identity,
        (desired, live, applied): (&Value, &Value, Option<&Value>),
        options: &Options,
    ) -> Vec<Difference> {
        if self.of(identity).next().is_none() {
            return compare(desired, live, applied, options);
        }
        let without = |value: &Value| {
            let mut made = value.clone();
            for path in self.paths(identity, value, live) {
                path.put(&mut made, None);
            }
            made
        };
        let (desired, is) = (without(desired), without(live));
        // What was applied has to be stripped too, also where it is written in an annotation.
        let written = crate::json::annotation(live, crate::compare::LAST_APPLIED);
        let written = written.and_then(|text| serde_json::from_str::<Value>(text).ok());
        let applied = applied.or(written.as_ref()).map(without);
        compare(&desired, &is, applied.as_ref(), options)
    }

    /// What to apply so that ignored fields keep the values that they have (`RespectIgnoreDifferences=true`).
    pub fn respecting(&self, identity: &Identity, desired: &Value, live: &Value) -> Value {
        let mut made = desired.clone();
        for path in self.paths(identity, desired, live) {
            if path.find(live).is_none() {
                path.put(&mut made, None);
            }
        }
        let mut there = self.paths(identity, live, live);
        there.reverse();
        for path in there {
            let value = path.find(live);
            if value.is_some() {
                path.put(&mut made, value);
            }
        }
        made
    }

    /// The ignored fields that a value has; those of lists from the back, so that they can be taken out one by one.
    fn paths(&self, identity: &Identity, value: &Value, live: &Value) -> Vec<Path> {
        let mut found = Vec::new();
        for rule in self.of(identity) {
            for pointer in &rule.pointers {
                found.extend(pointed(pointer, value));
            }
            for expression in &rule.expressions {
                found.extend(expression.paths(value).into_iter().take(PATHS_MAX));
            }
            if !rule.managers.is_empty() {
                let theirs = managed(live).into_iter().filter(|one| rule.managers.contains(&one.author.manager));
                for one in theirs {
                    owned(one.fields, &mut Vec::new(), &mut found);
                }
            }
        }
        found.retain(|path| path.find(value).is_some());
        found.sort_by_key(order);
        found.dedup();
        found.reverse();
        found
    }
}

/// A text that sorts the items of a list by their places.
fn order(path: &Path) -> String {
    let part = |step: &Step| match step {
        Step::Index(index) => format!("#{index:012}"),
        Step::Field(name) => format!(".{name}"),
        Step::Key(_) | Step::Item(_) => format!("[{}", Path(vec![step.clone()])),
    };
    path.0.iter().map(part).collect::<Vec<_>>().join("\u{1}")
}

/// RFC 6901.
fn pointer_parts(pointer: &str) -> Option<Vec<String>> {
    let rest = pointer.strip_prefix('/')?;
    Some(rest.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

fn pointed(pointer: &[String], value: &Value) -> Option<Path> {
    let mut at = value;
    let mut steps = Vec::with_capacity(pointer.len());
    for part in pointer {
        if at.is_array() {
            let index: usize = part.parse().ok()?;
            at = at.get(index)?;
            steps.push(Step::Index(index));
        } else {
            at = at.get(part)?;
            steps.push(Step::Field(part.clone()));
        }
    }
    Some(Path(steps))
}

/// The leaves of managed fields as paths.
fn owned(fields: &serde_json::Map<String, Value>, at: &mut Vec<Step>, found: &mut Vec<Path>) {
    for (name, below) in fields {
        let step = if let Some(name) = name.strip_prefix("f:") {
            Step::Field(name.to_owned())
        } else if let Some(keys) = name.strip_prefix("k:").and_then(|text| serde_json::from_str(text).ok()) {
            let keys: serde_json::Map<String, Value> = keys;
            Step::Key(keys.into_iter().collect())
        } else if let Some(item) = name.strip_prefix("v:").and_then(|text| serde_json::from_str(text).ok()) {
            Step::Item(item)
        } else {
            continue;
        };
        if found.len() >= PATHS_MAX {
            return;
        }
        at.push(step);
        match below.as_object() {
            Some(below) if below.keys().any(|name| name != ".") => owned(below, at, found),
            Some(_) | None => found.push(Path(at.clone())),
        }
        at.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules(text: &str) -> IgnoreRules {
        let mut made = IgnoreRules::default();
        made.read("app.yaml", text).unwrap();
        made
    }

    fn left(rule: &str) -> Vec<String> {
        let desired = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
            "replicas": 1, "template": {"spec": {"containers": [{"name": "web", "image": "a"}, {"name": "side", "image": "b"}]}}}});
        let live = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a", "managedFields": [
                {"manager": "hpa", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}, "spec": {
            "replicas": 5, "template": {"spec": {"containers": [{"name": "web", "image": "x"}, {"name": "side", "image": "y"}]}}}});
        let identity = crate::Object::new(desired.clone(), "default").unwrap().identity;
        let rules = rules(&format!("ignoreDifferences:\n- group: apps\n  kind: Deployment\n  {rule}\n"));
        let found = rules.compare(&identity, (&desired, &live, None), &Options::default());
        let respected = rules.respecting(&identity, &desired, &live);
        let after = compare(&respected, &live, None, &Options::default());
        assert_eq!(after.len(), found.len(), "{rule}: {after:?}");
        found.iter().map(|one| one.path.to_string()).collect()
    }

    const WEB: &str = "spec.template.spec.containers[name=web].image";
    const SIDE: &str = "spec.template.spec.containers[name=side].image";

    #[test]
    fn what_is_ignored_is_no_difference() {
        assert_eq!(left("jsonPointers: [/spec/replicas]"), [WEB, SIDE]);
        assert_eq!(left("jsonPointers: [/spec/template/spec/containers/1/image, /nothing]"), ["spec.replicas", WEB]);
        assert_eq!(
            left("jqPathExpressions: ['.spec.template.spec.containers[] | select(.name == \"web\") | .image']"),
            ["spec.replicas", SIDE]
        );
        assert_eq!(left("jqPathExpressions: ['.spec.template.spec.containers[]?.image', .spec.replicas]"), [""; 0]);
        assert_eq!(left("managedFieldsManagers: [hpa]"), [WEB, SIDE]);
        assert_eq!(left("name: other\n  jsonPointers: [/spec/replicas]"), ["spec.replicas", WEB, SIDE]);
    }

    #[test]
    fn rules_come_from_applications_and_config_maps() {
        let config = "kind: ConfigMap\ndata:\n  resource.customizations.ignoreDifferences.apps_Deployment: |\n    jsonPointers:\n    - /spec/replicas\n  resource.customizations.ignoreDifferences.all: |\n    managedFieldsManagers:\n    - hpa\n";
        assert_eq!(rules(config).0.len(), 2);
        assert_eq!(rules("kind: Application\nspec:\n  ignoreDifferences:\n  - kind: '*'\n    group: '*'\n").0.len(), 1);
        for wrong in [
            "a: b",
            "- {group: apps}",
            "- {kind: X, jsonPointers: [spec]}",
            "- {kind: X, jqPathExpressions: ['.a |']}",
            "- {kind: X, pointers: []}",
        ] {
            let found = IgnoreRules::default().read("app.yaml", wrong).unwrap_err();
            assert_eq!(found.0[0].code, "PG1325", "{wrong}");
        }
    }
}
