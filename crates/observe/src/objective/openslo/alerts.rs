//! What an SLO's alert policies say. Without any, people are told as for Sloth's objectives: a page and a ticket.

use std::collections::BTreeMap;

use prograde_model::objective::{Alerting, Condition, Notes};
use prograde_yaml::Node;

use super::Known;
use crate::rules::reader::Reader;

impl<'r> Reader<'r> {
    pub(super) fn policies(&mut self, spec: &Node, known: &Known<'r>, name: &str) -> Option<Alerting> {
        let alert = alert_name(name);
        let policies = self.items(spec, "alertPolicies");
        if policies.is_empty() {
            let notes = Some(Notes::default());
            return Some(Alerting { name: alert, page: notes.clone(), ticket: notes, conditions: Vec::new() });
        }
        let mut conditions = Vec::new();
        for policy in policies {
            let (file, object) = match policy.get("alertPolicyRef") {
                Some(name) => known.find(self, "AlertPolicy", name)?,
                None => (self.file, policy),
            };
            conditions.extend(self.in_file(file, |reader| reader.policy(object, known))?);
        }
        Some(Alerting { name: alert, page: None, ticket: None, conditions })
    }

    fn policy(&mut self, node: &Node, known: &Known<'r>) -> Option<Vec<Condition>> {
        let spec = node.get("spec").unwrap_or(node);
        let known_fields = [
            "description",
            "alertWhenNoData",
            "alertWhenResolved",
            "alertWhenBreaching",
            "conditions",
            "notificationTargets",
        ];
        self.mapping(spec, "an AlertPolicy", &known_fields);
        if self.flag(spec, "alertWhenNoData") == Some(true) {
            let hint = "take it out, and write a rule with `absent(...)`";
            self.unsupported(spec.get("alertWhenNoData")?, "an alert for lack of data is not made of a policy", hint);
        }
        self.flag(spec, "alertWhenResolved");
        let targets = self.items(spec, "notificationTargets");
        let names: Vec<String> = targets.iter().filter_map(|target| self.target_name(target, known)).collect();
        let mut labels = BTreeMap::new();
        if !names.is_empty() {
            // Who is told is decided by routes, which may look at this.
            labels.insert("notification_target".to_owned(), names.join(","));
        }
        let items = self.items(spec, "conditions");
        let [item] = items else {
            self.report(spec, "an AlertPolicy has just one condition", "make a policy of each");
            return None;
        };
        let (file, object) = match item.get("conditionRef") {
            Some(name) => known.find(self, "AlertCondition", name)?,
            None => (self.file, item),
        };
        let condition = self.in_file(file, |reader| reader.condition(object, labels))?;
        let is_wanted = self.flag(spec, "alertWhenBreaching").unwrap_or(true);
        Some(if is_wanted { vec![condition] } else { Vec::new() })
    }

    fn target_name(&mut self, node: &Node, known: &Known<'r>) -> Option<String> {
        if let Some(name) = node.get("targetRef") {
            known.find(self, "AlertNotificationTarget", name)?;
            return self.scalar(name, "targetRef");
        }
        let metadata = node.get("metadata")?;
        self.needed(metadata, "name")
    }

    fn condition(&mut self, node: &Node, labels: BTreeMap<String, String>) -> Option<Condition> {
        let name = node.get("metadata").and_then(|metadata| self.text(metadata, "name"));
        let Some(spec) = node.get("spec") else {
            self.report(node, "the condition has no `spec`", "add it");
            return None;
        };
        self.mapping(spec, "an AlertCondition", &["description", "severity", "condition"]);
        let severity = self.needed(spec, "severity")?;
        let Some(condition) = spec.get("condition") else {
            self.report(spec, "`condition` is missing", "add it");
            return None;
        };
        self.mapping(condition, "`condition`", &["kind", "op", "threshold", "lookbackWindow", "alertAfter"]);
        if let Some(kind) = self.text(condition, "kind").filter(|kind| kind != "burnrate") {
            self.unsupported(condition, format!("a condition of kind {kind} is not known"), "write `kind: burnrate`");
        }
        if let Some(op) = self.text(condition, "op").filter(|op| op != "gt" && op != "gte") {
            self.unsupported(condition, format!("a burn rate is compared by `gt`, not `{op}`"), "write `op: gt`");
        }
        let threshold = self.figure(condition, "threshold").filter(|threshold| *threshold > 0.0);
        if threshold.is_none() {
            self.report(condition, "`threshold` must be a number above 0", "add the burn rate, such as `threshold: 2`");
        }
        let lookback_ms = self.shorthand(condition, "lookbackWindow")?;
        let after_ms = match self.text(condition, "alertAfter").as_deref() {
            None | Some("0" | "0m") => 0,
            Some(_) => self.shorthand(condition, "alertAfter")?,
        };
        let mut notes = Notes { labels, annotations: BTreeMap::new() };
        notes.labels.insert("severity".to_owned(), severity);
        if let Some(description) = self.text(spec, "description") {
            notes.annotations.insert("description".to_owned(), description);
        }
        let name = alert_name(&name.unwrap_or_else(|| "burn-rate".to_owned()));
        Some(Condition { name, burn_rate: threshold?, lookback_ms, after_ms, notes })
    }
}

/// `main-page` as alerts are called: `MainPage`.
fn alert_name(name: &str) -> String {
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let capital = |part: &str| {
        let mut letters = part.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
    };
    parts.map(capital).collect()
}
