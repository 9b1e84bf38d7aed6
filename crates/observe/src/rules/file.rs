//! Prometheus' rule files.
//!
//! Strict: a field that is not known is refused, as by Prometheus, so that a slip in `keep_firing_for` is no alert that ends
//! too early. All findings of a file are told at once.
//!
//! Source: Prometheus documentation, "Recording rules", "Syntax-checking rules"; Prometheus 2.42, `model/rulefmt`.

use prograde_model::diagnostic::{Diagnostic, Diagnostics};
use prograde_model::duration;
use prograde_yaml::{Node, Value};

use super::{Alerting, Group, Recording, Rule};
use crate::labels::{METRIC_NAME, is_label_name};
use crate::promql::expression::Kind;
use crate::promql::{self, Expression};

/// The code of every finding but those about YAML itself.
pub const CODE: &str = "PG0601";

const GROUP_FIELDS: [&str; 4] = ["name", "interval", "limit", "rules"];
const RULE_FIELDS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];
const DURATION: &str = "write a duration such as 5m or 1h30m";

/// Reads a rule file; `file` is only for messages.
pub fn parse(file: &str, text: &str) -> Result<Vec<Group>, Diagnostics> {
    let documents = prograde_yaml::documents(file, text)?;
    let mut reader = Reader { file, found: Vec::new() };
    let groups = match documents.as_slice() {
        [] => Vec::new(),
        [document] => reader.document(document),
        [_, second, ..] => {
            reader.report(second, "a rule file is one document", "put all groups under one `groups`");
            Vec::new()
        }
    };
    reader.found.sort_by_key(|finding| (finding.line, finding.column));
    if reader.found.is_empty() { Ok(groups) } else { Err(Diagnostics(reader.found)) }
}

struct Reader<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn report(&mut self, node: &Node, message: impl Into<String>, hint: &str) {
        self.found.push(Diagnostic::file(CODE, self.file, message, hint).at(node.line, node.column));
    }

    /// Refuses what is no mapping, and fields that are not among the known ones.
    fn mapping(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        if !matches!(node.value, Value::Mapping(_)) {
            self.report(node, format!("expected {what}, found {}", node.kind()), "");
            return false;
        }
        for (key, _) in node.entries() {
            if !known.contains(&key.name.as_str()) {
                let message = format!("unknown field `{}` in {what}", key.name);
                let hint = format!("known are {}", known.join(", "));
                self.found.push(Diagnostic::file(CODE, self.file, message, hint).at(key.line, key.column));
            }
        }
        true
    }

    /// The items of a field; nothing where it is left out.
    fn items<'n>(&mut self, node: &'n Node, field: &str) -> &'n [Node] {
        let Some(list) = node.get(field) else { return &[] };
        if !matches!(list.value, Value::Sequence(_) | Value::Null) {
            self.report(list, format!("expected a list in `{field}`, found {}", list.kind()), "");
        }
        list.items()
    }

    fn document(&mut self, node: &Node) -> Vec<Group> {
        if !self.mapping(node, "a rule file", &["groups"]) {
            return Vec::new();
        }
        let mut groups: Vec<Group> = Vec::new();
        for item in self.items(node, "groups") {
            let Some(group) = self.group(item) else { continue };
            if groups.iter().any(|other| other.name == group.name) {
                let place = item.get("name").unwrap_or(item);
                self.report(place, format!("there are two groups called `{}`", group.name), "give one another name");
            }
            groups.push(group);
        }
        groups
    }

    fn group(&mut self, node: &Node) -> Option<Group> {
        if !self.mapping(node, "a group", &GROUP_FIELDS) {
            return None;
        }
        let name = self.text(node, "name").filter(|name| !name.is_empty());
        if name.is_none() {
            self.report(node, "a group must have a name", "add `name`");
        }
        let interval_ms = self.duration(node, "interval").filter(|interval| *interval > 0);
        let limit = self.limit(node);
        let rules = self.items(node, "rules").iter().filter_map(|rule| self.rule(rule)).collect();
        Some(Group { name: name.unwrap_or_default(), interval_ms, limit, rules })
    }

    /// 0 is no limit.
    fn limit(&mut self, node: &Node) -> Option<usize> {
        let field = node.get("limit")?;
        if let Value::Number(number) = &field.value
            && let Some(limit) = number.as_u64().and_then(|limit| usize::try_from(limit).ok())
        {
            return Some(limit).filter(|limit| *limit > 0);
        }
        self.report(field, "expected a whole number in `limit`", "leave it out for no limit");
        None
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        if !self.mapping(node, "a rule", &RULE_FIELDS) {
            return None;
        }
        let (record, alert) = (self.text(node, "record"), self.text(node, "alert"));
        let expression = self.expression(node);
        let labels = self.labels(node, "labels");
        match (record, alert) {
            (Some(record), None) => {
                for field in ["for", "keep_firing_for", "annotations"] {
                    if let Some(value) = node.get(field) {
                        self.report(value, format!("`{field}` is of no use in a recording rule"), "take it out");
                    }
                }
                self.metric_name(node, &record);
                Some(Rule::Recording(Recording { record, expression: expression?, labels }))
            }
            (None, Some(alert)) => {
                if alert.is_empty() {
                    self.report(node, "an alert must have a name", "fill in `alert`");
                }
                let for_ms = self.duration(node, "for").unwrap_or(0);
                let keep_firing_for_ms = self.duration(node, "keep_firing_for").unwrap_or(0);
                let annotations = self.labels(node, "annotations");
                let expression = expression?;
                Some(Rule::Alerting(Alerting { alert, expression, for_ms, keep_firing_for_ms, labels, annotations }))
            }
            (Some(_), Some(_)) => {
                self.report(node, "a rule has either `record` or `alert`, not both", "make two rules of it");
                None
            }
            (None, None) => {
                self.report(node, "a rule must have `record` or `alert`", "add one of them");
                None
            }
        }
    }

    fn metric_name(&mut self, node: &Node, name: &str) {
        let letters = name.replace(':', "_");
        if !is_label_name(&letters) {
            let place = node.get("record").unwrap_or(node);
            self.report(place, format!("`{name}` is not a metric's name"), "use letters, digits, `_` and `:`");
        }
    }

    /// A text as YAML has it; a plain whole number or boolean is taken as it would be written.
    fn scalar(&mut self, node: &Node, field: &str) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            Value::Null | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => {
                let message = format!("expected a text in `{field}`, found {}", node.kind());
                self.report(node, message, "put it in quotes");
                None
            }
        }
    }

    fn text(&mut self, node: &Node, field: &str) -> Option<String> {
        let value = node.get(field)?;
        self.scalar(value, field)
    }

    fn duration(&mut self, node: &Node, field: &str) -> Option<i64> {
        let value = node.get(field)?;
        let text = self.scalar(value, field)?;
        let parsed = duration::parse_or_nothing(&text);
        if parsed.is_none() {
            self.report(value, format!("`{text}` in `{field}` is not a duration"), DURATION);
        }
        parsed
    }

    fn expression(&mut self, node: &Node) -> Option<Expression> {
        let Some(value) = node.get("expr") else {
            self.report(node, "a rule must have an expression", "add `expr`");
            return None;
        };
        // A number is an expression, with or without a fraction.
        let text = match &value.value {
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Sequence(_) | Value::Mapping(_) => {
                self.scalar(value, "expr")?
            }
        };
        match promql::parse(&text) {
            Ok(expression) if matches!(expression.kind(), Kind::Scalar | Kind::Vector) => Some(expression),
            Ok(expression) => {
                let message =
                    format!("a rule's expression gives a scalar or an instant vector, not {}", expression.kind());
                self.report(value, message, "aggregate it over time, such as with `avg_over_time(...)`");
                None
            }
            Err(error) => {
                self.report(
                    value,
                    format!("the expression can't be read: {error}"),
                    "the first numbers count lines and characters of the expression",
                );
                None
            }
        }
    }

    fn labels(&mut self, node: &Node, field: &str) -> Vec<(String, String)> {
        let Some(mapping) = node.get(field) else { return Vec::new() };
        if !matches!(mapping.value, Value::Mapping(_) | Value::Null) {
            self.report(mapping, format!("expected a mapping in `{field}`, found {}", mapping.kind()), "");
        }
        let mut labels = Vec::new();
        for (key, value) in mapping.entries() {
            let is_name = is_label_name(&key.name) && (field == "annotations" || key.name != METRIC_NAME);
            if !is_name {
                let message = format!("`{}` can't be a name in `{field}`", key.name);
                let hint = "use letters, digits and `_`";
                self.found.push(Diagnostic::file(CODE, self.file, message, hint).at(key.line, key.column));
            }
            labels.extend(self.scalar(value, field).map(|value| (key.name.clone(), value)));
        }
        labels
    }
}
