//! Health by expressions in CEL, in the format of Flux' `healthCheckExprs`: for a kind, when an object is as it should be
//! (`current`), on its way (`inProgress`) or has failed (`failed`).
//!
//! Expressions see the object's fields by name (`status`, `metadata`, …) as in Flux, and the whole as `self`.
//! Source: <https://fluxcd.io/flux/cheatsheets/cel-healthchecks/>.

use jiff::Timestamp;
use prograde_kustomize::{Kind, Node};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_policy::Condition;
use serde_json::Value;

use super::conditions::unobserved;
use super::{Health, Status};
use crate::codes;
use crate::json::text;

/// The most kinds that expressions are read for.
const RULES_MAX: usize = 10_000;
/// The fields of objects that expressions see by name.
const NAMES: [&str; 6] = ["apiVersion", "kind", "metadata", "spec", "status", "data"];

/// The expressions for one kind.
#[derive(Debug)]
struct Rule {
    api_version: String,
    kind: String,
    in_progress: Option<Condition>,
    failed: Option<Condition>,
    current: Option<Condition>,
}

/// Expressions by kind.
#[derive(Debug, Default)]
pub struct Expressions(Vec<Rule>);

impl Expressions {
    /// Takes in a file: a list of rules, a mapping with `healthCheckExprs`, or Flux' `Kustomization` and `HelmRelease`
    /// with it in their `spec`.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), Diagnostics> {
        for document in prograde_kustomize::documents(file, text)? {
            let nested = document.at(&["spec", "healthCheckExprs"]).or_else(|| document.get("healthCheckExprs"));
            let list = nested.unwrap_or(&document);
            if list.kind() != Kind::List {
                let hint = "write a list of apiVersion, kind and current, inProgress or failed, alone or as `healthCheckExprs`";
                let place = &list.place;
                return Err(place.diagnostic(codes::EXPRESSION, "there are no health expressions here", hint).into());
            }
            for item in list.items() {
                self.rule(item)?;
            }
        }
        Ok(())
    }

    fn rule(&mut self, node: &Node) -> Result<(), Diagnostic> {
        let wrong = |node: &Node, message: String| {
            let hint = "fields are apiVersion, kind, current, inProgress and failed; all are texts";
            node.place.diagnostic(codes::EXPRESSION, message, hint)
        };
        let known = ["apiVersion", "kind", "current", "inProgress", "failed"];
        if let Some(other) = node.entries().iter().find(|entry| !known.contains(&entry.name.as_str())) {
            return Err(wrong(&other.value, format!("the field `{}` is not known", other.name)));
        }
        if self.0.len() >= RULES_MAX {
            return Err(wrong(node, format!("there are more than {RULES_MAX} rules")));
        }
        let (api_version, kind) = (node.text_at(&["apiVersion"]), node.text_at(&["kind"]));
        if api_version.is_empty() || kind.is_empty() {
            return Err(wrong(node, "a rule names the apiVersion and the kind that it is for".to_owned()));
        }
        let condition = |name: &str| {
            let Some(node) = node.get(name) else { return Ok(None) };
            Condition::compile(node.raw()).map(Some).map_err(|why| wrong(node, format!("`{name}`: {why}")))
        };
        let made = Rule {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            in_progress: condition("inProgress")?,
            failed: condition("failed")?,
            current: condition("current")?,
        };
        if made.current.is_none() {
            return Err(wrong(node, "a rule says when objects are `current`".to_owned()));
        }
        self.0.push(made);
        Ok(())
    }

    /// The health of an object whose kind there are expressions for.
    pub(super) fn health(&self, object: &Value, now: Timestamp) -> Option<Health> {
        let (api_version, kind) = (text(object, &["apiVersion"]), text(object, &["kind"]));
        // The last rule that was read counts.
        let rule = self.0.iter().rev().find(|rule| rule.kind == kind && rule.api_version == api_version)?;
        if let Some(waiting) = unobserved(object) {
            return Some(waiting);
        }
        let mut names: Vec<(&'static str, &Value)> = vec![("self", object)];
        names.extend(NAMES.into_iter().filter_map(|name| Some((name, object.get(name)?))));
        let steps = [
            (&rule.in_progress, Status::Progressing),
            (&rule.failed, Status::Degraded),
            (&rule.current, Status::Healthy),
        ];
        for (condition, status) in steps {
            let Some(condition) = condition else { continue };
            match condition.holds(&names, now) {
                Ok(true) if status == Status::Healthy => return Some(Health::healthy("")),
                Ok(true) => return Some(Health::new(status, format!("`{}` holds", condition.source()))),
                Ok(false) => {}
                // What has no status yet has nothing that expressions could look at.
                Err(_) if object.get("status").is_none_or(Value::is_null) => {
                    return Some(Health::progressing("it has no status yet"));
                }
                Err(why) => return Some(Health::new(Status::Unknown, why)),
            }
        }
        Some(Health::progressing("it is not current yet"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn expressions_tell_health() {
        let rules = "- apiVersion: bitnami.com/v1alpha1\n  kind: SealedSecret\n  inProgress: status.observedGeneration < 2\n  failed: status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')\n  current: self.status.conditions.exists(e, e.type == 'Synced' && e.status == 'True')\n";
        let mut all = Expressions::default();
        all.read("health.yaml", rules).unwrap();
        let check = |generation: i64, status: &str| {
            let object = json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"generation": generation},
                "status": {"observedGeneration": generation, "conditions": [{"type": "Synced", "status": status}]}});
            all.health(&object, Timestamp::UNIX_EPOCH).unwrap().status
        };
        assert_eq!(check(1, "True"), Status::Progressing);
        assert_eq!(check(2, "True"), Status::Healthy);
        assert_eq!(check(2, "False"), Status::Degraded);
        let bare = json!({"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret"});
        assert_eq!(all.health(&bare, Timestamp::UNIX_EPOCH).unwrap().status, Status::Progressing);
        let other = json!({"apiVersion": "v1", "kind": "SealedSecret"});
        assert!(all.health(&other, Timestamp::UNIX_EPOCH).is_none());
        for wrong in [
            "a: 1",
            "- kind: X",
            "- {apiVersion: v1, kind: X, current: 'a +'}",
            "- {apiVersion: v1, kind: X}",
            "- {apiVersion: v1, kind: X, current: 'true', ready: x}",
        ] {
            let found = Expressions::default().read("h.yaml", wrong).unwrap_err();
            assert_eq!(found.0[0].code, "PG1324", "{wrong}");
        }
    }
}
