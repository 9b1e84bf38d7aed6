//! Reading of Kubernetes objects field by field, with all findings collected. Invariant: every field that is written is
//! honoured, noted, refused or unknown; none is passed over.

use prograde_model::Diagnostic;
use prograde_model::confinement::{Asked, Part};

use super::Notice;
use crate::codes;
use crate::located::{Located, Value};

/// What was found so far.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Diagnostic>,
    pub(super) notices: Vec<Notice>,
}

impl Findings {
    pub(super) fn error(&mut self, at: &Located, code: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.errors.push(at.place.diagnostic(code, message, hint));
    }

    pub(super) fn invalid(&mut self, at: &Located, message: impl Into<String>, hint: impl Into<String>) {
        self.error(at, codes::INVALID_VALUE, message, hint);
    }
}

/// A mapping of which each field is asked for once.
pub(super) struct Fields<'a> {
    pub(super) tree: &'a Located,
    path: String,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Reads `tree`, which is at `path` of its object; `None`, with a finding, where it is no mapping.
    pub(super) fn new(tree: &'a Located, path: impl Into<String>, found: &mut Findings) -> Option<Self> {
        let path = path.into();
        if !matches!(tree.value, Value::Map(_)) {
            found.invalid(tree, format!("`{path}` must be a mapping, found {}", tree.kind()), "");
            return None;
        }
        Some(Self { tree, path, known: vec![] })
    }

    /// The path of one of its fields.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// A field, where it is given and not null.
    pub(super) fn get(&mut self, name: &'static str) -> Option<&'a Located> {
        self.known.push(name);
        self.tree.get(name).filter(|value| !value.is_null())
    }

    /// That a field asks for a part of the runtime's protection.
    pub(super) fn asks(&self, name: &str, part: Part) -> Asked {
        let place = &self.tree.get(name).unwrap_or(self.tree).place;
        Asked { part, field: self.path(name), file: place.file.to_string(), line: place.line, column: place.column }
    }

    /// A field that must be there.
    pub(super) fn required(&mut self, name: &'static str, found: &mut Findings) -> Option<&'a Located> {
        let value = self.get(name);
        if value.is_none() {
            found.invalid(self.tree, format!("`{}` is missing", self.path(name)), "Kubernetes requires it");
        }
        value
    }

    /// A mapping to read on.
    pub(super) fn fields(&mut self, name: &'static str, found: &mut Findings) -> Option<Fields<'a>> {
        let path = self.path(name);
        self.get(name).and_then(|value| Fields::new(value, path, found))
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str, found: &mut Findings) -> Option<&'a str> {
        let value = self.get(name)?;
        let text = value.as_str();
        if text.is_none() {
            let hint = match value.value {
                Value::Bool(_) | Value::Number(_) => "put it in quotes",
                Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => "",
            };
            found.invalid(value, format!("`{}` must be a text, found {}", self.path(name), value.kind()), hint);
        }
        text
    }

    /// A boolean.
    pub(super) fn flag(&mut self, name: &'static str, found: &mut Findings) -> bool {
        match self.get(name) {
            None => false,
            Some(Located { value: Value::Bool(flag), .. }) => *flag,
            Some(other) => {
                let message = format!("`{}` must be `true` or `false`, found {}", self.path(name), other.kind());
                found.invalid(other, message, "");
                false
            }
        }
    }

    /// A whole number of 0 to Kubernetes' largest, `i32::MAX`.
    pub(super) fn number(&mut self, name: &'static str, found: &mut Findings) -> Option<u32> {
        let value = self.get(name)?;
        let number = whole(value).filter(|number| i32::try_from(*number).is_ok());
        if number.is_none() {
            let message = format!("`{}` must be a whole number, 0 or more", self.path(name));
            found.invalid(value, message, "");
        }
        number
    }

    /// A list's items; none where it is not given.
    pub(super) fn list(&mut self, name: &'static str, found: &mut Findings) -> &'a [Located] {
        match self.get(name) {
            None => &[],
            Some(Located { value: Value::List(items), .. }) => items,
            Some(other) => {
                found.invalid(other, format!("`{}` must be a list, found {}", self.path(name), other.kind()), "");
                &[]
            }
        }
    }

    /// A list of texts; `None` where it is not given.
    pub(super) fn texts(&mut self, name: &'static str, found: &mut Findings) -> Option<Vec<&'a Located>> {
        self.get(name)?;
        let mut texts = Vec::new();
        for item in self.list(name, found) {
            if item.as_str().is_some() {
                texts.push(item);
            } else {
                let message = format!("`{}` must be a list of texts, found {} in it", self.path(name), item.kind());
                found.invalid(item, message, "put it in quotes");
            }
        }
        Some(texts)
    }

    /// A mapping from texts to texts.
    pub(super) fn pairs(&mut self, name: &'static str, found: &mut Findings) -> Vec<(&'a str, &'a Located)> {
        let Some(value) = self.get(name) else { return vec![] };
        if !matches!(value.value, Value::Map(_)) {
            found.invalid(value, format!("`{}` must be a mapping, found {}", self.path(name), value.kind()), "");
        }
        let mut pairs = Vec::new();
        for entry in value.entries() {
            if entry.value.as_str().is_some() {
                pairs.push((entry.name.as_str(), &entry.value));
            } else {
                let message =
                    format!("`{}.{}` must be a text, found {}", self.path(name), entry.name, entry.value.kind());
                found.invalid(&entry.value, message, "put it in quotes");
            }
        }
        pairs
    }

    /// Fields that mean nothing to a plain process, or that it can't be held to: noted where they are given.
    pub(super) fn note(&mut self, found: &mut Findings, names: &[&'static str], why: &'static str) {
        for name in names {
            let field = self.path(name);
            if let Some(value) = self.get(name) {
                found.notices.push(Notice { field, place: value.place.clone(), why });
            }
        }
    }

    /// Fields that would change what runs: refused where they say something.
    pub(super) fn refuse(&mut self, found: &mut Findings, names: &[&'static str], hint: &'static str) {
        for name in names {
            let path = self.path(name);
            if let Some(value) = self.get(name).filter(|value| says_something(value)) {
                found.error(value, codes::REFUSED_FIELD, format!("`{path}` can't be had on this runtime"), hint);
            }
        }
    }

    /// A finding for each field that nobody asked for.
    pub(super) fn finish(self, found: &mut Findings) {
        for entry in self.tree.entries().iter().filter(|entry| !self.known.contains(&entry.name.as_str())) {
            let message = format!("unknown field `{}`", self.path(&entry.name));
            let hint = match nearest(&entry.name, &self.known) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "Kubernetes has no such field here; check the spelling and the indentation".to_owned(),
            };
            found.errors.push(entry.place.diagnostic(codes::UNKNOWN_FIELD, message, hint));
        }
    }
}

/// False, 0, and empty texts, lists and mappings are what Kubernetes has where a field is left out.
fn says_something(value: &Located) -> bool {
    match &value.value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Number(_) => true,
        Value::Text(text) => !text.is_empty(),
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
    }
}

/// A whole number that is not negative.
pub(super) fn whole(value: &Located) -> Option<u32> {
    match &value.value {
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
    }
}

/// The known name that is at most two changes away.
fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    const CHANGES_MAX: usize = 2;
    let distance = |other: &str| changes(name, other);
    let best = known.iter().copied().min_by_key(|other| distance(other))?;
    (distance(best) <= CHANGES_MAX && name.len() > CHANGES_MAX).then_some(best)
}

/// How many letters have to be added, removed or replaced (Levenshtein). Names of 64 letters and more are not compared.
fn changes(one: &str, other: &str) -> usize {
    const LENGTH_MAX: usize = 64;
    if one.len() > LENGTH_MAX || other.len() > LENGTH_MAX {
        return usize::MAX;
    }
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.to_lowercase().chars().enumerate() {
        let mut next = vec![at + 1];
        for (index, candidate) in other.iter().enumerate() {
            let replaced = row.get(index).copied().unwrap_or(0) + usize::from(letter != *candidate);
            let removed = row.get(index + 1).copied().unwrap_or(0) + 1;
            let added = next.last().copied().unwrap_or(0) + 1;
            next.push(replaced.min(removed).min(added));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
