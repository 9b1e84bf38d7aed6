//! Reads values out of a located tree, and collects what is wrong with them.

use jiff::SignedDuration;
use prograde_model::diagnostic::{Diagnostic, Diagnostics};
use prograde_model::duration;
use prograde_yaml::{Node, Value};

use super::{CODE, CODE_SETTING};

const DURATION: &str = "write a duration such as 5m or 1h30m";

/// What has been found so far in a file.
pub(super) struct Reader<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str) -> Self {
        Self { file, found: Vec::new() }
    }

    /// The result, where nothing was found.
    pub(super) fn finish<T>(mut self, result: Option<T>) -> Result<T, Diagnostics> {
        self.found.sort_by_key(|finding| (finding.line, finding.column));
        match result {
            Some(result) if self.found.is_empty() => Ok(result),
            Some(_) | None => Err(Diagnostics(self.found)),
        }
    }

    pub(super) fn report(&mut self, node: &Node, message: impl Into<String>, hint: &str) {
        self.report_as(CODE, node, message, hint);
    }

    pub(super) fn report_as(&mut self, code: &str, node: &Node, message: impl Into<String>, hint: &str) {
        self.found.push(Diagnostic::file(code, self.file, message, hint).at(node.line, node.column));
    }

    /// A setting that the format has and we do not.
    pub(super) fn refuse(&mut self, node: &Node, fields: &[(&str, &str)]) {
        for (key, _) in node.entries() {
            if let Some((name, hint)) = fields.iter().find(|(name, _)| *name == key.name) {
                let message = format!("`{name}` is not supported");
                let found = Diagnostic::file(CODE_SETTING, self.file, message, *hint);
                self.found.push(found.at(key.line, key.column));
            }
        }
    }

    /// Refuses what is no mapping, and fields that are not among the known ones. Nothing is an empty mapping.
    pub(super) fn mapping(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        if !matches!(node.value, Value::Mapping(_) | Value::Null) {
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

    /// A field that is there and not nothing.
    pub(super) fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
        node.get(name).filter(|value| !matches!(value.value, Value::Null))
    }

    /// The items of a field; nothing where it is left out.
    pub(super) fn items<'n>(&mut self, node: &'n Node, name: &str) -> &'n [Node] {
        let Some(list) = Self::field(node, name) else { return &[] };
        if !matches!(list.value, Value::Sequence(_)) {
            self.report(list, format!("expected a list in `{name}`, found {}", list.kind()), "put it in brackets");
        }
        list.items()
    }

    /// A text as YAML has it; a plain number or boolean is taken as it would be written.
    pub(super) fn scalar(&mut self, node: &Node, name: &str) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null => Some(String::new()),
            Value::Sequence(_) | Value::Mapping(_) => {
                self.report(node, format!("expected a text in `{name}`, found {}", node.kind()), "put it in quotes");
                None
            }
        }
    }

    /// The text of a field; `None` where it is left out.
    pub(super) fn text(&mut self, node: &Node, name: &str) -> Option<String> {
        Self::field(node, name).and_then(|value| self.scalar(value, name))
    }

    /// The texts of a field's list.
    pub(super) fn texts(&mut self, node: &Node, name: &str) -> Vec<String> {
        let items = self.items(node, name);
        items.iter().filter_map(|item| self.scalar(item, name)).collect()
    }

    /// The texts of a field's mapping, with the places of the values.
    pub(super) fn pairs<'n>(&mut self, node: &'n Node, name: &str) -> Vec<(String, String, &'n Node)> {
        let Some(mapping) = Self::field(node, name) else { return Vec::new() };
        if !matches!(mapping.value, Value::Mapping(_)) {
            self.report(mapping, format!("expected a mapping in `{name}`, found {}", mapping.kind()), "");
        }
        let entries = mapping.entries().iter();
        entries.filter_map(|(key, value)| Some((key.name.clone(), self.scalar(value, name)?, value))).collect()
    }

    /// A boolean, also in the words of YAML 1.1, which Alertmanager reads.
    pub(super) fn flag(&mut self, node: &Node, name: &str) -> Option<bool> {
        let value = Self::field(node, name)?;
        let word = match &value.value {
            Value::Bool(flag) => return Some(*flag),
            Value::String(word) => word.as_str(),
            Value::Null | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => "",
        };
        match word {
            "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
            "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
            _ => {
                self.report(value, format!("expected true or false in `{name}`, found {}", value.kind()), "");
                None
            }
        }
    }

    pub(super) fn duration(&mut self, node: &Node, name: &str) -> Option<SignedDuration> {
        let value = Self::field(node, name)?;
        let text = self.scalar(value, name)?;
        let parsed = duration::parse_or_nothing(&text).map(SignedDuration::from_millis);
        if parsed.is_none() {
            self.report(value, format!("`{text}` in `{name}` is not a duration"), DURATION);
        }
        parsed
    }

    /// An address on the web.
    pub(super) fn url(&mut self, node: &Node, name: &str) -> Option<String> {
        let value = Self::field(node, name)?;
        let text = self.scalar(value, name)?;
        if let Err(why) = check_url(&text) {
            // The address itself may be a secret.
            self.report(value, format!("`{name}` {why}"), "write an address such as https://example.org/hook");
            return None;
        }
        Some(text)
    }
}

/// Whether a text is an address on the web.
pub(super) fn check_url(text: &str) -> Result<(), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("has no scheme")?;
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err("has a scheme that is neither http nor https");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err("has no host");
    }
    if text.contains(|c: char| c.is_control() || c == ' ') {
        return Err("has a character that an address can't have");
    }
    Ok(())
}
