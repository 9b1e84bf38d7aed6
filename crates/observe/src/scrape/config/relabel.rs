//! Rules of relabelling as `prometheus.yml` has them.

use prograde_yaml::{Node, Value};

use super::reader::Reader;
use crate::labels::is_label_name;
use crate::pattern::Pattern;
use crate::relabel::{Action, Rule, is_name_template};

const FIELDS: [&str; 7] = ["source_labels", "separator", "regex", "modulus", "target_label", "replacement", "action"];
const ACTIONS: &str = "known are replace, keep, drop, keepequal, dropequal, hashmod, labelmap, labeldrop, labelkeep, \
                       lowercase and uppercase";

/// The fields of a rule, each with what it is where it is left out.
struct Fields {
    source_labels: Vec<String>,
    separator: String,
    regex: Pattern,
    modulus: u64,
    target: String,
    replacement: String,
}

impl Reader<'_> {
    pub(super) fn relabelling(&mut self, node: &Node, field: &str) -> Vec<Rule> {
        self.items(node, field).iter().filter_map(|item| self.rule(item)).collect()
    }

    fn rule(&mut self, node: &Node) -> Option<Rule> {
        if !self.mapping(node, "a rule of relabelling", &[&FIELDS]) {
            return None;
        }
        let action = self.text(node, "action").unwrap_or_else(|| "replace".to_owned()).to_lowercase();
        let regex = self.text(node, "regex").unwrap_or_else(|| "(.*)".to_owned());
        let place = node.get("regex").unwrap_or(node);
        let regex = match Pattern::new(&regex) {
            Ok(pattern) => pattern,
            Err(error) => {
                self.report(place, error.to_string(), "write it in RE2's syntax");
                return None;
            }
        };
        let source_labels = self.texts(node, "source_labels");
        if let Some(wrong) = source_labels.iter().find(|name| !is_label_name(name)) {
            let place = node.get("source_labels").unwrap_or(node);
            self.report(place, format!("`{wrong}` is not a label's name"), "use letters, digits and `_`");
        }
        let fields = Fields {
            source_labels,
            separator: self.text(node, "separator").unwrap_or_else(|| ";".to_owned()),
            regex,
            modulus: self.count(node, "modulus").unwrap_or(0),
            target: self.text(node, "target_label").unwrap_or_default(),
            replacement: self.text(node, "replacement").unwrap_or_else(|| "$1".to_owned()),
        };
        self.check_target(node, &action, &fields);
        self.check_unused(node, &action);
        let Fields { source_labels, separator, regex, modulus, target, replacement } = fields;
        let action = match action.as_str() {
            "replace" => Action::Replace { regex, target, replacement },
            "keep" => Action::Keep(regex),
            "drop" => Action::Drop(regex),
            "keepequal" => Action::KeepEqual(target),
            "dropequal" => Action::DropEqual(target),
            "hashmod" if modulus == 0 => {
                self.report(node, "`hashmod` needs a `modulus` of at least 1", "add `modulus`");
                return None;
            }
            "hashmod" => Action::HashMod { modulus, target },
            "labelmap" if !is_name_template(&replacement) => {
                let place = node.get("replacement").unwrap_or(node);
                self.report(place, format!("`{replacement}` can't be a label's name"), "use letters, digits and `_`");
                return None;
            }
            "labelmap" => Action::LabelMap { regex, replacement },
            "labeldrop" => Action::LabelDrop(regex),
            "labelkeep" => Action::LabelKeep(regex),
            "lowercase" => Action::Lowercase(target),
            "uppercase" => Action::Uppercase(target),
            _ => {
                let place = node.get("action").unwrap_or(node);
                self.report(place, format!("unknown action `{action}`"), ACTIONS);
                return None;
            }
        };
        Some(Rule { source_labels, separator, action })
    }

    fn check_target(&mut self, node: &Node, action: &str, fields: &Fields) {
        let sets = matches!(action, "replace" | "hashmod" | "lowercase" | "uppercase" | "keepequal" | "dropequal");
        if !sets {
            return;
        }
        if fields.target.is_empty() {
            self.report(node, format!("`{action}` needs a `target_label`"), "add `target_label`");
            return;
        }
        let is_name =
            if action == "hashmod" { is_label_name(&fields.target) } else { is_name_template(&fields.target) };
        if !is_name {
            let place = node.get("target_label").unwrap_or(node);
            self.report(place, format!("`{}` can't be a label's name", fields.target), "use letters, digits and `_`");
        }
    }

    /// Fields that an action does not look at, where Prometheus refuses them.
    fn check_unused(&mut self, node: &Node, action: &str) {
        let (unused, only): (&[&str], &str) = match action {
            "labeldrop" | "labelkeep" => {
                (&["source_labels", "target_label", "modulus", "separator", "replacement"], "`regex`")
            }
            "keepequal" | "dropequal" => {
                (&["regex", "modulus", "separator", "replacement"], "`source_labels` and `target_label`")
            }
            "lowercase" | "uppercase" => (&["replacement"], "others"),
            _ => return,
        };
        for field in unused {
            let is_default = |value: &Node| match (*field, &value.value) {
                (_, Value::Null) => true,
                ("separator", Value::String(text)) => text == ";",
                ("replacement", Value::String(text)) => text == "$1",
                ("modulus", Value::Number(number)) => number.as_u64() == Some(0),
                _ => false,
            };
            if let Some(value) = node.get(field).filter(|value| !is_default(value)) {
                let message = format!("`{field}` is of no use with `{action}`, which needs {only}");
                self.report(value, message, "take it out");
            }
        }
    }
}
