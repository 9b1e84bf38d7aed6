//! Reading of fields with messages that name what was expected. Invariant: a field that nobody asked for is an error.

use prograde_model::Diagnostic;

use crate::codes;
use crate::located::{Located, Place, Value};

/// A mapping of which each field is asked for once.
pub(super) struct Fields<'a> {
    tree: &'a Located,
    what: &'static str,
    known: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Reads `tree` as `what`.
    pub(super) fn new(tree: &'a Located, what: &'static str) -> Result<Self, Diagnostic> {
        match tree.value {
            Value::Map(_) => Ok(Self { tree, what, known: vec![] }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                Err(expected(tree, what, "a mapping"))
            }
        }
    }

    /// The mapping's place.
    pub(super) fn place(&self) -> &'a Place {
        &self.tree.place
    }

    /// A field, where it is given and not null.
    pub(super) fn get(&mut self, name: &'static str) -> Option<&'a Located> {
        self.known.push(name);
        self.tree.get(name).filter(|found| !found.is_null())
    }

    /// A text.
    pub(super) fn text(&mut self, name: &'static str) -> Result<Option<&'a str>, Diagnostic> {
        self.get(name).map(|found| text(found, name)).transpose()
    }

    /// A boolean; false where it is not given.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Diagnostic> {
        match self.get(name) {
            None => Ok(false),
            Some(Located { value: Value::Bool(flag), .. }) => Ok(*flag),
            Some(other) => Err(expected(other, name, "`true` or `false`")),
        }
    }

    /// A list's items; none where it is not given.
    pub(super) fn list(&mut self, name: &'static str) -> Result<&'a [Located], Diagnostic> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Located { value: Value::List(items), .. }) => Ok(items),
            Some(other) => Err(expected(other, name, "a list")),
        }
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &'static str) -> Result<Vec<(&'a str, &'a Place)>, Diagnostic> {
        self.list(name)?.iter().map(|item| Ok((text(item, name)?, &item.place))).collect()
    }

    /// A mapping from texts to texts, such as labels.
    pub(super) fn pairs(&mut self, name: &'static str) -> Result<Vec<(String, Located)>, Diagnostic> {
        let Some(found) = self.get(name) else { return Ok(vec![]) };
        if !matches!(found.value, Value::Map(_)) {
            return Err(expected(found, name, "a mapping of texts"));
        }
        found
            .entries()
            .iter()
            .map(|entry| {
                text(&entry.value, &entry.name)?;
                Ok((entry.name.clone(), entry.value.clone()))
            })
            .collect()
    }

    /// An error for the first field that nobody asked for.
    pub(super) fn finish(self) -> Result<(), Diagnostic> {
        match self.tree.entries().iter().find(|entry| !self.known.contains(&entry.name.as_str())) {
            None => Ok(()),
            Some(entry) => {
                let message = format!("unknown field `{}` in {}", entry.name, self.what);
                let hint = format!("the fields that are supported: {}", self.known.join(", "));
                Err(entry.place.diagnostic(codes::UNSUPPORTED_FIELD, message, hint))
            }
        }
    }
}

/// A text, or an error that says what is there instead.
pub(super) fn text<'a>(tree: &'a Located, name: &str) -> Result<&'a str, Diagnostic> {
    tree.as_str().ok_or_else(|| {
        let hint = match tree.value {
            Value::Bool(_) | Value::Number(_) => "put it in quotes",
            Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => "",
        };
        let message = format!("`{name}` must be a text, found {}", tree.kind());
        tree.place.diagnostic(codes::INVALID_FIELD, message, hint)
    })
}

fn expected(tree: &Located, name: &str, what: &str) -> Diagnostic {
    tree.place.diagnostic(codes::INVALID_FIELD, format!("`{name}` must be {what}, found {}", tree.kind()), "")
}
