//! Values of an export that know where they are, and what was found so far.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::civil::DateTime;
use prograde_model::{Diagnostic, Diagnostics};
use serde_json::Value;

use crate::{CODE, CODE_LOST};

/// How many errors are told at once.
const ERRORS_MAX: usize = 100;
/// How much of a text stands in a message, in characters.
const SHOWN_MAX: usize = 80;

/// A value and the way to it from the top of its file.
#[derive(Debug, Clone)]
pub(crate) struct At<'a> {
    pub(crate) file: &'a str,
    pub(crate) path: String,
    pub(crate) value: &'a Value,
}

impl<'a> At<'a> {
    pub(crate) fn root(file: &'a str, value: &'a Value) -> Self {
        Self { file, path: String::new(), value }
    }

    /// That this can't be used.
    pub(crate) fn wrong(&self, message: impl std::fmt::Display, hint: &str) -> Diagnostic {
        self.diagnostic(CODE, message, hint)
    }

    /// That this can't be carried over.
    pub(crate) fn lost(&self, message: impl std::fmt::Display, hint: &str) -> Diagnostic {
        self.diagnostic(CODE_LOST, message, hint)
    }

    fn diagnostic(&self, code: &str, message: impl std::fmt::Display, hint: &str) -> Diagnostic {
        let message = if self.path.is_empty() { message.to_string() } else { format!("{}: {message}", self.path) };
        Diagnostic::file(code, self.file, message, hint)
    }

    /// A field that is there and not null.
    pub(crate) fn get(&self, name: &str) -> Option<At<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Some(At { file: self.file, path, value })
    }

    pub(crate) fn need(&self, name: &str) -> Result<At<'a>, Diagnostic> {
        self.get(name).ok_or_else(|| self.wrong(format!("`{name}` is missing"), "export it as the API answers"))
    }

    fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    pub(crate) fn items(&self) -> Result<Vec<At<'a>>, Diagnostic> {
        let items = self.value.as_array();
        let items = items.ok_or_else(|| self.wrong(format!("expected a list, found {}", self.kind()), ""))?;
        let one = |(index, value)| At { file: self.file, path: format!("{}[{index}]", self.path), value };
        Ok(items.iter().enumerate().map(one).collect())
    }

    /// The items of a field that may be left out.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<At<'a>>, Diagnostic> {
        self.get(name).map_or(Ok(Vec::new()), |list| list.items())
    }

    pub(crate) fn text(&self) -> Result<&'a str, Diagnostic> {
        self.value.as_str().ok_or_else(|| self.wrong(format!("expected a text, found {}", self.kind()), ""))
    }

    /// The text of a field that may be left out.
    pub(crate) fn text_of(&self, name: &str) -> Result<Option<&'a str>, Diagnostic> {
        self.get(name).map(|field| field.text()).transpose()
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, least: i64, most: i64) -> Result<i64, Diagnostic> {
        let number = self.value.as_i64().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| {
            let shown = if self.value.is_number() { self.value.to_string() } else { self.kind().to_owned() };
            self.wrong(format!("expected a whole number from {least} to {most}, found {shown}"), "")
        })
    }

    /// A moment with an offset (RFC 3339).
    pub(crate) fn instant(&self) -> Result<Timestamp, Diagnostic> {
        let text = self.text()?;
        text.parse().map_err(|_| {
            self.wrong(format!("{:?} is no time", shown(text)), "expected one such as 2026-01-05T09:00:00+01:00")
        })
    }

    /// A time on the wall clock.
    pub(crate) fn wall(&self) -> Result<DateTime, Diagnostic> {
        let text = self.text()?;
        // Some answers end in `Z` although the wall clock of the time zone is meant.
        text.trim_end_matches('Z').parse().map_err(|_| {
            self.wrong(format!("{:?} is no time", shown(text)), "expected one such as 2026-01-05T09:00:00")
        })
    }

    /// Notes the fields that are neither read nor known to have no effect on who is called.
    pub(crate) fn known(&self, what: &'static str, read: &[&str], idle: &[&str], found: &mut Found) {
        for (name, value) in self.value.as_object().into_iter().flatten() {
            let is_empty = match value {
                Value::Null | Value::Bool(false) => true,
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Object(fields) => fields.is_empty(),
                Value::Bool(true) | Value::Number(_) => false,
            };
            if is_empty || read.contains(&name.as_str()) || idle.contains(&name.as_str()) {
                continue;
            }
            if found.unknown.insert((what, shown(name))) {
                let message = format!("`{}` of {what} is not known, and is left out", shown(name));
                found.lost(self.lost(message, "look whether it matters to who is called"));
            }
        }
    }
}

/// A text of somebody else, short enough for a message.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect();
    if text.chars().count() > SHOWN_MAX {
        shown.push('…');
    }
    shown
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    errors: Vec<Diagnostic>,
    findings: Vec<Diagnostic>,
    /// Fields that are not known, each told once.
    unknown: BTreeSet<(&'static str, String)>,
}

impl Found {
    pub(crate) fn error(&mut self, error: Diagnostic) {
        self.errors.push(error);
    }

    pub(crate) fn lost(&mut self, finding: Diagnostic) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// The value, or nothing with the error noted.
    pub(crate) fn take<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|error| self.error(error)).ok()
    }

    /// The findings, where there are no errors.
    pub(crate) fn finish(mut self) -> Result<Vec<Diagnostic>, Diagnostics> {
        if self.errors.is_empty() {
            return Ok(self.findings);
        }
        let more = self.errors.len().saturating_sub(ERRORS_MAX);
        self.errors.truncate(ERRORS_MAX);
        if let (Some(last), true) = (self.errors.last(), more > 0) {
            let message = format!("and {more} more of such errors");
            self.errors.push(Diagnostic::file(CODE, last.file.clone(), message, ""));
        }
        Err(Diagnostics(self.errors))
    }
}
