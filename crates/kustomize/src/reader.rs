//! Fields of kustomizations and configurations, read one by one; what is not known is an error that lists what is.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use serde_json::Value as Json;

use crate::codes;
use crate::fields::FieldSpec;
use crate::id::Gvk;
use crate::load::Named;
use crate::node::{Kind, Node, Value};
use crate::scalar::{Rules, Tag, resolve};

/// How strictly fields are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As in kustomizations: unknown fields, and numbers for texts, are errors.
    Strict,
    /// As in the configurations of transformers: unknown fields are left alone, and numbers are texts.
    Loose,
}

/// Reads the fields of one mapping.
pub(crate) struct Reader<'a> {
    pub(crate) node: &'a Node,
    what: &'static str,
    mode: Mode,
    known: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    /// The fields of a mapping; nothing has none.
    pub(crate) fn new(node: &'a Node, what: &'static str, mode: Mode) -> Result<Self, Diagnostic> {
        if node.kind() == Kind::Map || node.is_null() {
            return Ok(Self { node, what, mode, known: Vec::new() });
        }
        let message = format!("{what} must be a mapping, found {}", node.kind_text());
        Err(node.place.diagnostic(codes::INVALID_FIELD, message, ""))
    }

    /// A field that is there and is not nothing. Field names are compared as Go does: exactly, else without case.
    pub(crate) fn get(&mut self, name: &'static str) -> Option<&'a Node> {
        self.known.push(name);
        let entries = self.node.entries();
        let exact = entries.iter().rev().find(|entry| entry.name == name);
        let found = exact.or_else(|| entries.iter().rev().find(|entry| entry.name.eq_ignore_ascii_case(name)))?;
        (!found.value.is_null()).then_some(&found.value)
    }

    /// Whether a field is written, even as nothing.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.node.entries().iter().any(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, Diagnostic> {
        let mode = self.mode;
        self.get(name).map(|node| text_of(node, name, mode)).transpose()
    }

    /// A text, or an empty one.
    pub(crate) fn text_or_empty(&mut self, name: &'static str) -> Result<String, Diagnostic> {
        Ok(self.text(name)?.unwrap_or_default())
    }

    /// A boolean; none is no.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Diagnostic> {
        let Some(node) = self.get(name) else { return Ok(false) };
        match (node.as_scalar(), plain_value(node)) {
            (Some(_), Some(Json::Bool(flag))) => Ok(flag),
            (_, _) => Err(expected(node, name, "`true` or `false`")),
        }
    }

    /// An integer.
    pub(crate) fn integer(&mut self, name: &'static str) -> Result<Option<i64>, Diagnostic> {
        let Some(node) = self.get(name) else { return Ok(None) };
        match plain_value(node).as_ref().and_then(Json::as_i64) {
            Some(number) => Ok(Some(number)),
            None => Err(expected(node, name, "an integer")),
        }
    }

    /// The items of a list.
    pub(crate) fn items(&mut self, name: &'static str) -> Result<&'a [Node], Diagnostic> {
        match self.get(name) {
            None => Ok(&[]),
            Some(node) => match &node.value {
                Value::List(items) => Ok(items),
                Value::Scalar(_) | Value::Map(_) => Err(expected(node, name, "a list")),
            },
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<Named>, Diagnostic> {
        let mode = self.mode;
        self.items(name)?
            .iter()
            .map(|item| {
                let text = if item.is_null() { String::new() } else { text_of(item, name, mode)? };
                Ok(Named { text, place: item.place.clone() })
            })
            .collect()
    }

    /// A mapping of texts.
    pub(crate) fn pairs(&mut self, name: &'static str) -> Result<BTreeMap<String, String>, Diagnostic> {
        let mode = self.mode;
        let Some(node) = self.get(name) else { return Ok(BTreeMap::new()) };
        if node.kind() != Kind::Map {
            return Err(expected(node, name, "a mapping"));
        }
        node.entries()
            .iter()
            .map(|entry| {
                let text =
                    if entry.value.is_null() { String::new() } else { text_of(&entry.value, &entry.name, mode)? };
                Ok((entry.name.clone(), text))
            })
            .collect()
    }

    /// Group, version and kind.
    pub(crate) fn gvk(&mut self) -> Result<Gvk, Diagnostic> {
        Ok(Gvk {
            group: self.text_or_empty("group")?,
            version: self.text_or_empty("version")?,
            kind: self.text_or_empty("kind")?,
        })
    }

    /// A list of fields of kinds.
    pub(crate) fn field_specs(&mut self, name: &'static str) -> Result<Vec<FieldSpec>, Diagnostic> {
        let mode = self.mode;
        self.items(name)?
            .iter()
            .map(|item| {
                let mut inner = Reader::new(item, "a field of a kind", mode)?;
                let spec = FieldSpec {
                    gvk: inner.gvk()?,
                    path: inner.text_or_empty("path")?.into(),
                    create: inner.flag("create")?,
                };
                inner.finish()?;
                Ok(spec)
            })
            .collect()
    }

    /// How strictly this is read.
    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Refuses what was not asked for.
    pub(crate) fn finish(self) -> Result<(), Diagnostic> {
        if self.mode == Mode::Loose {
            return Ok(());
        }
        let unknown = |name: &str| !self.known.iter().any(|known| known.eq_ignore_ascii_case(name));
        match self.node.entries().iter().find(|entry| unknown(&entry.name)) {
            None => Ok(()),
            Some(entry) => {
                let shown: String = entry.name.chars().take(100).collect();
                let message = format!("{} has no field `{shown}`", self.what);
                let hint = format!("the fields are: {}", self.known.join(", "));
                Err(entry.place.diagnostic(codes::UNSUPPORTED_FIELD, message, hint))
            }
        }
    }
}

/// The value as the reader of kustomizations sees it, by YAML 1.1's rules.
fn plain_value(node: &Node) -> Option<Json> {
    let scalar = node.as_scalar()?;
    if scalar.style != prograde_yaml::Style::Plain || scalar.tag == Tag::Other {
        return Some(Json::String(scalar.text.clone()));
    }
    Some(resolve(&scalar.text, Rules::V2).1)
}

fn text_of(node: &Node, name: &str, mode: Mode) -> Result<String, Diagnostic> {
    match plain_value(node) {
        Some(Json::String(text)) => Ok(text),
        Some(value @ (Json::Number(_) | Json::Bool(_))) if mode == Mode::Loose => Ok(value.to_string()),
        Some(Json::Number(_) | Json::Bool(_)) => Err(node.place.diagnostic(
            codes::INVALID_FIELD,
            format!("`{name}` must be a text, found `{}`", node.raw()),
            "put it in quotes",
        )),
        _ => Err(expected(node, name, "a text")),
    }
}

fn expected(node: &Node, name: &str, what: &str) -> Diagnostic {
    let shown: String = name.chars().take(100).collect();
    let message = format!("`{shown}` must be {what}, found {}", node.kind_text());
    node.place.diagnostic(codes::INVALID_FIELD, message, "")
}
