//! What all readers of rules' files need: fields that are known, texts, lists and durations, and all findings at once.

use prograde_model::diagnostic::{Diagnostic, Diagnostics};
use prograde_yaml::{Node, Value};

use prograde_model::duration;

const DURATION: &str = "write a duration such as 5m or 1h30m";

/// Reads one file.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a str,
    /// The code of findings.
    pub(crate) code: &'static str,
    pub(crate) found: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: &'a str, code: &'static str) -> Self {
        Self { file, code, found: Vec::new() }
    }

    /// What was read if nothing is wrong, or else all findings in the order of their lines.
    pub(crate) fn finished<T>(mut self, read: T) -> Result<T, Diagnostics> {
        self.found.sort_by_key(|finding| (finding.line, finding.column));
        if self.found.is_empty() { Ok(read) } else { Err(Diagnostics(self.found)) }
    }

    pub(crate) fn report(&mut self, node: &Node, message: impl Into<String>, hint: &str) {
        self.found.push(Diagnostic::file(self.code, self.file, message, hint).at(node.line, node.column));
    }

    /// Refuses what is no mapping, and fields that are not among the known ones.
    pub(crate) fn mapping(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        if !matches!(node.value, Value::Mapping(_)) {
            self.report(node, format!("expected {what}, found {}", node.kind()), "");
            return false;
        }
        for (key, _) in node.entries() {
            if !known.contains(&key.name.as_str()) {
                let message = format!("unknown field `{}` in {what}", key.name);
                let hint = format!("known are {}", known.join(", "));
                self.found.push(Diagnostic::file(self.code, self.file, message, hint).at(key.line, key.column));
            }
        }
        true
    }

    /// The items of a field; nothing where it is left out.
    pub(crate) fn items<'n>(&mut self, node: &'n Node, field: &str) -> &'n [Node] {
        let Some(list) = node.get(field) else { return &[] };
        if !matches!(list.value, Value::Sequence(_) | Value::Null) {
            self.report(list, format!("expected a list in `{field}`, found {}", list.kind()), "");
        }
        list.items()
    }

    /// A text as YAML has it; a plain whole number or boolean is taken as it would be written.
    pub(crate) fn scalar(&mut self, node: &Node, field: &str) -> Option<String> {
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

    pub(crate) fn text(&mut self, node: &Node, field: &str) -> Option<String> {
        let value = node.get(field)?;
        self.scalar(value, field)
    }

    pub(crate) fn duration(&mut self, node: &Node, field: &str) -> Option<i64> {
        let value = node.get(field)?;
        let text = self.scalar(value, field)?;
        let parsed = duration::parse_or_nothing(&text);
        if parsed.is_none() {
            self.report(value, format!("`{text}` in `{field}` is not a duration"), DURATION);
        }
        parsed
    }
}
