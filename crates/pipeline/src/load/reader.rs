//! Reading one file: keys, texts and expressions with their places, and what was found wrong so far.

use prograde_model::Diagnostic;
use prograde_yaml::{Key, Node, Value};
use serde_json::Value as Json;

use crate::codes;
use crate::expression::check::{Facts, Place, check, names_status, nearest};
use crate::expression::{Part, Template};
use crate::workflow::{Condition, Tree};

/// The most findings that are told of one file.
const FINDINGS_MAX: usize = 100;

/// One file being read. Findings are gathered, so that all are told at once.
pub(super) struct Reader<'a> {
    file: &'a str,
    lines: Vec<&'a str>,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) notes: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, lines: text.lines().collect(), findings: Vec::new(), notes: Vec::new() }
    }

    /// Notes a finding at a line and column.
    pub(super) fn report(&mut self, code: &str, at: (u32, u32), message: impl Into<String>, hint: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Diagnostic::file(code, self.file, message, hint).at(at.0, at.1));
        }
    }

    /// Notes a finding at a value.
    pub(super) fn at_node(&mut self, code: &str, node: &Node, message: impl Into<String>, hint: impl Into<String>) {
        self.report(code, (node.line, node.column), message, hint);
    }

    /// Notes a key that is accepted and has no effect.
    pub(super) fn without_effect(&mut self, key: &Key, message: impl Into<String>, hint: impl Into<String>) {
        if self.notes.len() < FINDINGS_MAX {
            let note = Diagnostic::file(codes::NO_EFFECT, self.file, message, hint);
            self.notes.push(note.at(key.line, key.column));
        }
    }

    /// Reports that a value is of the wrong kind.
    pub(super) fn wrong_kind(&mut self, node: &Node, what: &str, expected: &str) {
        let what = if what.contains('`') || what.starts_with("a ") { what.to_owned() } else { format!("`{what}`") };
        let message = format!("{what} must be {expected}, and this is {}", found(node));
        self.at_node(codes::SHAPE, node, message, "");
    }

    /// The entries of a mapping; reports anything else, and every key that is not known.
    pub(super) fn mapping<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&str],
        unsupported: &[(&str, &str)],
    ) -> &'n [(Key, Node)] {
        // What is a noun of its own is said as it is, a key in quotes.
        let quoted = if what.starts_with("a ") { what.to_owned() } else { format!("`{what}`") };
        if !matches!(node.value, Value::Mapping(_)) {
            self.wrong_kind(node, &quoted, "a mapping");
        }
        for (key, _) in node.entries() {
            let name = key.name.as_str();
            if let Some((_, hint)) = unsupported.iter().find(|(own, _)| *own == name) {
                self.report(codes::KEY, (key.line, key.column), format!("`{name}` is not supported"), *hint);
            } else if !known.contains(&name) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("{quoted} takes {}", listed(known)),
                };
                self.report(codes::KEY, (key.line, key.column), format!("`{name}` is not a key of {quoted}"), hint);
            }
        }
        node.entries()
    }

    /// A text without expressions.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
                self.wrong_kind(node, what, "a text");
                None
            }
        }
    }

    /// One text or a list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Vec<(String, (u32, u32))> {
        let nodes = if matches!(node.value, Value::Sequence(_)) { node.items() } else { std::slice::from_ref(node) };
        nodes.iter().filter_map(|item| self.text(item, what).map(|text| (text, (item.line, item.column)))).collect()
    }

    /// A scalar whose expressions may use what is known at `place`.
    pub(super) fn template(&mut self, node: &Node, place: Place, facts: &Facts) -> Template {
        let text = match &node.value {
            Value::String(text) => text,
            Value::Null => return Template::of(Json::String(String::new())),
            Value::Bool(_) | Value::Number(_) => return Template::of(node.to_json()),
            Value::Sequence(_) | Value::Mapping(_) => {
                let message = format!("a text, a number or a boolean is expected here, and this is {}", found(node));
                self.at_node(codes::SHAPE, node, message, "");
                return Template::default();
            }
        };
        match Template::parse(text) {
            Ok(template) => {
                for (nth, part) in expressions(&template).enumerate() {
                    self.expression(node, part.0, nth, part.1, text, place, facts);
                }
                template
            }
            Err(unclosed) => {
                let nth = text.get(..unclosed.0).unwrap_or_default().matches("${{").count();
                let at = self.place_of(node, nth).unwrap_or((node.line, node.column));
                self.report(codes::EXPRESSION, at, "this `${{` is never closed", "close it with `}}`");
                Template::default()
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that a finding's place and text depend on, in one private call")]
    fn expression(
        &mut self,
        node: &Node,
        source: &str,
        nth: usize,
        offset: usize,
        text: &str,
        place: Place,
        facts: &Facts,
    ) {
        // From the `${{` that opens it to where the expression itself starts.
        let opened = text.get(..offset).and_then(|before| before.rfind("${{")).unwrap_or(offset);
        let indent = text.get(opened..offset).unwrap_or_default().chars().count();
        for problem in check(source, place, facts) {
            let before = source.get(..problem.offset).unwrap_or_default();
            let at = match self.place_of(node, nth) {
                Some((line, column)) if !before.contains('\n') => {
                    (line, column + count(indent + before.chars().count()))
                }
                Some(at) => at,
                None => (node.line, node.column),
            };
            self.report(problem.code, at, problem.message, problem.hint);
        }
    }

    /// Where the `nth` `${{` after the start of a value stands in the file.
    fn place_of(&self, node: &Node, nth: usize) -> Option<(u32, u32)> {
        let first = usize::try_from(node.line).ok()?.checked_sub(1)?;
        let indent = usize::try_from(node.column).ok()?.saturating_sub(1);
        let mut left = nth;
        for (index, line) in self.lines.iter().enumerate().skip(first) {
            let skipped =
                if index == first { line.char_indices().nth(indent).map_or(line.len(), |(at, _)| at) } else { 0 };
            for (at, _) in line.match_indices("${{").filter(|(at, _)| *at >= skipped) {
                if left == 0 {
                    let column = line.get(..at)?.chars().count() + 1;
                    return Some((count(index + 1), count(column)));
                }
                left -= 1;
            }
        }
        None
    }

    /// `if`: an expression with or without `${{ }}` around it.
    pub(super) fn condition(&mut self, node: &Node, place: Place, facts: &Facts) -> Condition {
        let text = match &node.value {
            Value::String(text) if text.contains("${{") => {
                let template = self.template(node, place, facts);
                let [Part::Expression { source, .. }] = template.parts() else {
                    if !template.parts().is_empty() {
                        let hint = "put the whole condition into one `${{ }}`, or leave the braces out";
                        self.at_node(codes::EXPRESSION, node, "text around `${{ }}` makes this `if` always true", hint);
                    }
                    return Condition::default();
                };
                source.clone()
            }
            Value::String(text) => {
                let source = text.trim();
                if source.is_empty() {
                    return Condition::default();
                }
                for problem in check(source, place, facts) {
                    let at = self.place_in_plain(node, text, source, problem.offset);
                    self.report(problem.code, at, problem.message, problem.hint);
                }
                source.to_owned()
            }
            Value::Bool(flag) => flag.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Null => return Condition::default(),
            Value::Sequence(_) | Value::Mapping(_) => {
                self.wrong_kind(node, place.name, "an expression");
                return Condition::default();
            }
        };
        Condition { names_status: names_status(&text), source: text }
    }

    /// Where `offset` of an `if` without braces stands: on its line where it has one line, else at its start.
    fn place_in_plain(&self, node: &Node, text: &str, source: &str, offset: usize) -> (u32, u32) {
        let start = (node.line, node.column);
        let Some(line) = usize::try_from(node.line).ok().and_then(|line| self.lines.get(line.checked_sub(1)?)) else {
            return start;
        };
        let from: String = line.chars().skip(usize::try_from(node.column).unwrap_or(1).saturating_sub(1)).collect();
        let Some(at) = from.find(source).filter(|_| !text.trim().contains('\n')) else { return start };
        let ahead = from.get(..at).unwrap_or_default().chars().count();
        let inside = source.get(..offset).unwrap_or_default().chars().count();
        (node.line, node.column + count(ahead + inside))
    }

    /// A mapping of names to scalars, or nothing.
    pub(super) fn templates(
        &mut self,
        node: &Node,
        what: &str,
        place: Place,
        facts: &Facts,
    ) -> Vec<(String, Template)> {
        if !matches!(node.value, Value::Mapping(_) | Value::Null) {
            self.wrong_kind(node, what, "a mapping of names to values");
        }
        node.entries().iter().map(|(key, value)| (key.name.clone(), self.template(value, place, facts))).collect()
    }

    /// Any value, its texts as templates.
    pub(super) fn tree(&mut self, node: &Node, place: Place, facts: &Facts) -> Tree {
        match &node.value {
            Value::Sequence(items) => Tree::List(items.iter().map(|item| self.tree(item, place, facts)).collect()),
            Value::Mapping(entries) => Tree::Map(
                entries.iter().map(|(key, value)| (key.name.clone(), self.tree(value, place, facts))).collect(),
            ),
            Value::Null | Value::Bool(_) | Value::Number(_) => Tree::Leaf(Template::of(node.to_json())),
            Value::String(_) => Tree::Leaf(self.template(node, place, facts)),
        }
    }
}

fn expressions(template: &Template) -> impl Iterator<Item = (&str, usize)> {
    template.parts().iter().filter_map(|part| match part {
        Part::Expression { source, offset } => Some((source.as_str(), *offset)),
        Part::Text(_) | Part::Value(_) => None,
    })
}

/// What a value of the wrong kind is, for messages.
fn found(node: &Node) -> String {
    match &node.value {
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => format!("`{flag}`"),
        Value::Sequence(items) if items.is_empty() => "an empty list".to_owned(),
        Value::Mapping(entries) if entries.is_empty() => "an empty mapping".to_owned(),
        Value::Null | Value::String(_) | Value::Sequence(_) | Value::Mapping(_) => node.kind().to_owned(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
