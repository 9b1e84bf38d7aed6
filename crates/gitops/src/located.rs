//! A YAML value of which every part knows the file, line and column that it came from, also after values of several
//! files were merged. Invariant: no tree is nested deeper than [`DEPTH_MAX`], so that every walk may recurse.

use std::fmt;

use prograde_kustomize::Node;
pub use prograde_kustomize::Place;
use prograde_model::Diagnostic;

use crate::codes;

/// How deeply a value may be nested. Kubernetes' objects need about 20.
pub const DEPTH_MAX: usize = 60;

/// How many entries a list or a mapping may have; keys are looked for one by one.
pub const ENTRIES_MAX: usize = 5_000;

/// One value and its place. `Debug` shows the place and the kind only, because the value may be a secret.
#[derive(Clone, PartialEq)]
pub struct Located {
    /// Where it was written.
    pub place: Place,
    /// What was written.
    pub value: Value,
}

/// A value in the JSON data model.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer or a finite float.
    Number(serde_json::Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Located>),
    /// A mapping in the order in which it was written.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// Where the key was written.
    pub place: Place,
    /// The value.
    pub value: Located,
}

impl Located {
    /// A rendered value with its types decided.
    pub(crate) fn from_node(node: &Node) -> Result<Self, Diagnostic> {
        Self::convert(node, 0)
    }

    fn convert(node: &Node, depth: usize) -> Result<Self, Diagnostic> {
        let at = node.place.clone();
        if depth > DEPTH_MAX {
            let message = format!("values are nested more than {DEPTH_MAX} deep");
            return Err(at.diagnostic(codes::TOO_LARGE, message, "no Kubernetes object needs this; flatten it"));
        }
        if node.items().len().max(node.entries().len()) > ENTRIES_MAX {
            let message = format!("{} has more than {ENTRIES_MAX} entries", node.kind_text());
            return Err(at.diagnostic(codes::TOO_LARGE, message, "keep data that is not configuration elsewhere"));
        }
        let value = match &node.value {
            prograde_kustomize::Value::Scalar(_) => match node.to_json()? {
                serde_json::Value::Bool(flag) => Value::Bool(flag),
                serde_json::Value::Number(number) => Value::Number(number),
                serde_json::Value::String(text) => Value::Text(text),
                serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => Value::Null,
            },
            prograde_kustomize::Value::List(items) => {
                Value::List(items.iter().map(|item| Self::convert(item, depth + 1)).collect::<Result<_, _>>()?)
            }
            prograde_kustomize::Value::Map(entries) => {
                let entry = |entry: &prograde_kustomize::Entry| {
                    let value = Self::convert(&entry.value, depth + 1)?;
                    Ok(Entry { place: entry.place.clone(), name: entry.name.clone(), value })
                };
                Value::Map(entries.iter().map(entry).collect::<Result<_, Diagnostic>>()?)
            }
        };
        Ok(Self { place: at, value })
    }

    /// The entries, where this is a mapping; else none.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => &[],
        }
    }

    /// The items, where this is a list; else none.
    pub fn items(&self) -> &[Located] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => &[],
        }
    }

    /// The entries to change, where this is a mapping.
    pub(crate) fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.value {
            Value::Map(entries) => Some(entries),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
        }
    }

    /// The text, where this is one.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether this is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The value at a key, where this is a mapping that has it.
    pub fn get(&self, name: &str) -> Option<&Located> {
        self.entries().iter().find(|entry| entry.name == name).map(|entry| &entry.value)
    }

    /// The value below several keys.
    pub fn at(&self, path: &[&str]) -> Option<&Located> {
        path.iter().try_fold(self, |tree, name| tree.get(name))
    }

    /// The text below several keys.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).and_then(Self::as_str)
    }

    /// The value at a key, to change it.
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Located> {
        self.entries_mut()?.iter_mut().find(|entry| entry.name == name).map(|entry| &mut entry.value)
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The same without places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => serde_json::Value::Bool(*flag),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) => serde_json::Value::String(text.clone()),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|entry| (entry.name.clone(), entry.value.to_json())).collect(),
            ),
        }
    }
}

impl fmt::Debug for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind(), self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: u32, column: u32) -> Place {
        Place { file: "a.yaml".into(), line, column }
    }

    fn read(text: &str) -> Result<Located, Diagnostic> {
        Located::from_node(&prograde_kustomize::documents("a.yaml", text)?.remove(0))
    }

    #[test]
    fn places_survive_and_values_are_not_shown() {
        let tree = read("a:\n  b: hunter2\n").unwrap();
        assert_eq!(tree.at(&["a", "b"]).unwrap().place, place(2, 6));
        assert_eq!(format!("{:?}", tree.at(&["a", "b"])), "Some(a text at a.yaml:2)");
    }

    #[test]
    fn depth_is_bounded() {
        let deep = format!("{}1{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        assert_eq!(read(&deep).unwrap_err().code, codes::TOO_LARGE);
        assert!(read(&deep[2..deep.len() - 2]).is_ok());
    }
}
