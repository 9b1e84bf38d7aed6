//! Fields of a tree, with findings for those that are otherwise than they should be.

use prograde_model::diagnostic::Diagnostic;
use prograde_yaml::{Key, Node, Value};

use crate::labels::is_label_name;
use prograde_model::duration;

use super::{CODE, CODE_ASIDE, CODE_UNSUPPORTED, size};

pub(crate) struct Reader<'a> {
    pub(crate) file: &'a str,
    /// Why the file can't be used.
    pub(crate) found: Vec<Diagnostic>,
    /// What is left aside without harm.
    pub(crate) notices: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str) -> Self {
        Self { file, found: Vec::new(), notices: Vec::new() }
    }

    pub(crate) fn report(&mut self, node: &Node, message: impl Into<String>, hint: &str) {
        self.found.push(Diagnostic::file(CODE, self.file, message, hint).at(node.line, node.column));
    }

    pub(crate) fn report_key(&mut self, key: &Key, message: impl Into<String>, hint: impl Into<String>) {
        self.found.push(Diagnostic::file(CODE, self.file, message, hint).at(key.line, key.column));
    }

    /// A field that Prometheus has and that can't be left out without harm.
    pub(crate) fn refuse(&mut self, node: &Node, field: &str, way_out: &str) {
        if let Some(key) = node.key(field) {
            let message = format!("`{field}` is not supported");
            self.found.push(Diagnostic::file(CODE_UNSUPPORTED, self.file, message, way_out).at(key.line, key.column));
        }
    }

    /// A value that Prometheus has and that can't be left out without harm.
    pub(crate) fn refuse_value(&mut self, node: &Node, message: String, way_out: &str) {
        self.found.push(Diagnostic::file(CODE_UNSUPPORTED, self.file, message, way_out).at(node.line, node.column));
    }

    /// A field that Prometheus has and that means nothing here.
    pub(crate) fn leave_aside(&mut self, node: &Node, field: &str, why: &str) {
        if let Some(key) = node.key(field) {
            let message = format!("`{field}` is left aside: {why}");
            let hint = "take it out to be told no more";
            self.notices.push(Diagnostic::file(CODE_ASIDE, self.file, message, hint).at(key.line, key.column));
        }
    }

    /// Refuses what is no mapping, and fields that are not among the known ones.
    pub(crate) fn mapping(&mut self, node: &Node, what: &str, known: &[&[&str]]) -> bool {
        if !matches!(node.value, Value::Mapping(_)) {
            self.report(node, format!("expected {what}, found {}", node.kind()), "");
            return false;
        }
        for (key, _) in node.entries() {
            if !known.iter().any(|fields| fields.contains(&key.name.as_str())) {
                // What is only known to be refused is nothing to hint at.
                let read = ["file_sd_configs", "kubernetes_sd_configs"];
                let useful = |name: &&str| read.contains(name) || !name.ends_with("_sd_configs");
                let useful: Vec<&str> = known.concat().into_iter().filter(useful).collect();
                let hint = format!("known are {}", useful.join(", "));
                self.report_key(key, format!("unknown field `{}` in {what}", key.name), hint);
            }
        }
        true
    }

    /// A field that has a value.
    fn value<'n>(node: &'n Node, field: &str) -> Option<&'n Node> {
        node.get(field).filter(|value| !matches!(value.value, Value::Null))
    }

    /// The items of a list; none where it is left out.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, field: &str) -> &'n [Node] {
        let Some(list) = Self::value(node, field) else { return &[] };
        if !matches!(list.value, Value::Sequence(_)) {
            self.report(list, format!("expected a list in `{field}`, found {}", list.kind()), "");
        }
        list.items()
    }

    /// The fields of a mapping; none where it is left out.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, field: &str) -> &'n [(Key, Node)] {
        let Some(mapping) = Self::value(node, field) else { return &[] };
        if !matches!(mapping.value, Value::Mapping(_)) {
            self.report(mapping, format!("expected a mapping in `{field}`, found {}", mapping.kind()), "");
        }
        mapping.entries()
    }

    /// A text as YAML has it; a plain whole number or boolean is taken as it would be written.
    pub(crate) fn scalar(&mut self, node: &Node, field: &str) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) if !number.is_f64() => Some(number.to_string()),
            Value::Null => Some(String::new()),
            Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => {
                self.report(node, format!("expected a text in `{field}`, found {}", node.kind()), "put it in quotes");
                None
            }
        }
    }

    pub(crate) fn text(&mut self, node: &Node, field: &str) -> Option<String> {
        Self::value(node, field).and_then(|value| self.scalar(value, field))
    }

    pub(crate) fn texts(&mut self, node: &Node, field: &str) -> Vec<String> {
        self.items(node, field).iter().filter_map(|item| self.scalar(item, field)).collect()
    }

    pub(crate) fn boolean(&mut self, node: &Node, field: &str, default: bool) -> bool {
        let Some(value) = Self::value(node, field) else { return default };
        let flag = match &value.value {
            Value::Bool(flag) => Some(*flag),
            // Prometheus' YAML 1.1 has more words for it.
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => Some(true),
                "no" | "off" | "n" => Some(false),
                _ => None,
            },
            Value::Null | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => None,
        };
        if flag.is_none() {
            self.report(value, format!("expected true or false in `{field}`, found {}", value.kind()), "");
        }
        flag.unwrap_or(default)
    }

    /// Milliseconds; none where it is left out or nothing.
    pub(crate) fn duration(&mut self, node: &Node, field: &str) -> Option<i64> {
        let value = Self::value(node, field)?;
        let text = self.scalar(value, field)?;
        let parsed = duration::parse_or_nothing(&text);
        if parsed.is_none() {
            let message = format!("`{text}` in `{field}` is not a duration");
            self.report(value, message, "write a duration such as 15s or 1m30s");
        }
        parsed.filter(|ms| *ms > 0)
    }

    /// A whole number; none where it is left out or 0.
    pub(crate) fn count(&mut self, node: &Node, field: &str) -> Option<u64> {
        let value = Self::value(node, field)?;
        let number = match &value.value {
            Value::Number(number) => number.as_u64(),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Sequence(_) | Value::Mapping(_) => None,
        };
        if number.is_none() {
            self.report(value, format!("expected a whole number in `{field}`"), "leave it out for no limit");
        }
        number.filter(|number| *number > 0)
    }

    /// A number of bytes; none where it is left out or 0.
    pub(crate) fn bytes(&mut self, node: &Node, field: &str) -> Option<u64> {
        let value = Self::value(node, field)?;
        let text = self.scalar(value, field)?;
        let parsed = if text.is_empty() { Some(0) } else { size::parse(&text) };
        if parsed.is_none() {
            self.report(value, format!("`{text}` in `{field}` is not a size"), "write a size such as 10MB or 512KiB");
        }
        parsed.filter(|bytes| *bytes > 0)
    }

    /// Labels that are set on something.
    pub(crate) fn labels(&mut self, node: &Node, field: &str) -> Vec<(String, String)> {
        let mut labels = Vec::new();
        for (key, value) in self.entries(node, field) {
            if !is_label_name(&key.name) {
                let message = format!("`{}` is not a label's name", key.name);
                self.report_key(key, message, "use letters, digits and `_`");
            }
            labels.extend(self.scalar(value, field).map(|value| (key.name.clone(), value)));
        }
        labels
    }
}
