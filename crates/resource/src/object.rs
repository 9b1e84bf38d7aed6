//! Objects of manifests and of dumps: who each is, and where it was written. Invariant: a set of objects has no identity
//! twice, and its number, size and depth are bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use prograde_kustomize::{Node, Place, is_cluster_scoped};
use prograde_model::{Diagnostic, Diagnostics};
use serde::Serialize;
use serde_json::Value;

use crate::codes;
use crate::json::text;

/// The most objects that are read at once.
pub const OBJECTS_MAX: usize = 200_000;
/// The largest file that is read, in bytes.
pub const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How deep objects may be nested.
pub const DEPTH_MAX: usize = 200;
/// Longer texts are read in parts.
const PART_BYTES: usize = 1024 * 1024;
/// How many lines of one text are moved to where they should stand.
const REPAIRS_MAX: usize = 100;
/// Farther to the right than anything stands.
const INDENT: &str =
    "                                                                                                    ";
/// How deep lists may stand in lists.
const LISTS_MAX: usize = 4;

/// Who an object is. The API version does not count: a server shows the same object under each of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Identity {
    /// The API's group; empty for the core.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, " {}{slash}{}", self.namespace, self.name)
    }
}

/// One object.
#[derive(Clone, PartialEq)]
pub struct Object {
    /// Who it is.
    pub identity: Identity,
    /// Where it was written; `None` for what comes from elsewhere.
    pub place: Option<Place>,
    /// The object itself.
    pub value: Value,
}

/// The object may be a secret.
impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.identity)
    }
}

/// Why a value is no object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnObject {
    /// It is not a mapping.
    #[error("a Kubernetes object is a mapping")]
    NotAMapping,
    /// A field that every object has is missing or no text.
    #[error("a Kubernetes object needs `{0}`, which is a text")]
    Missing(&'static str),
    /// It is nested too deeply.
    #[error("the object is nested more than {DEPTH_MAX} deep")]
    TooDeep,
}

/// The group of an `apiVersion`; empty for the core.
pub fn group_of(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

impl Object {
    /// An object as an API gives it. What stands in a namespace by its kind but names none is in `namespace`.
    pub fn new(value: Value, namespace: &str) -> Result<Self, NotAnObject> {
        let made = Self::looked_at(value, namespace)?;
        if made.identity.name.is_empty() { Err(NotAnObject::Missing("metadata.name")) } else { Ok(made) }
    }

    /// The same, for what is only looked at: it may have no name.
    fn looked_at(value: Value, namespace: &str) -> Result<Self, NotAnObject> {
        if !value.is_object() {
            return Err(NotAnObject::NotAMapping);
        }
        let (api_version, kind) = (text(&value, &["apiVersion"]), text(&value, &["kind"]));
        let name = match text(&value, &["metadata", "name"]) {
            "" => text(&value, &["metadata", "generateName"]),
            name => name,
        };
        for (found, what) in [(api_version, "apiVersion"), (kind, "kind")] {
            if found.is_empty() {
                return Err(NotAnObject::Missing(what));
            }
        }
        if depth(&value) > DEPTH_MAX {
            return Err(NotAnObject::TooDeep);
        }
        let own = text(&value, &["metadata", "namespace"]);
        let namespace = match is_cluster_scoped(api_version, kind) {
            Some(true) => "",
            Some(false) if own.is_empty() => namespace,
            Some(false) | None => own,
        };
        let identity = Identity {
            group: group_of(api_version).to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        Ok(Self { identity, place: None, value })
    }

    /// The `apiVersion`.
    pub fn api_version(&self) -> &str {
        text(&self.value, &["apiVersion"])
    }
}

/// How deep a value is, without recursion.
fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut open = vec![(value, 1)];
    while let Some((value, level)) = open.pop() {
        deepest = deepest.max(level);
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, level + 1))),
            Value::Object(fields) => open.extend(fields.values().map(|field| (field, level + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    deepest
}

/// Reads objects from the texts of files.
#[derive(Debug, Default)]
pub struct Reader {
    /// Where objects without a namespace are.
    namespace: String,
    /// Whether the last of two keys counts, for what is only looked at.
    lenient: bool,
    objects: Vec<Object>,
}

impl Reader {
    /// A reader that takes what names no namespace to be in this one.
    pub fn new(namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), lenient: false, objects: Vec::new() }
    }

    /// The same, for what is only looked at and not applied: of two keys the last counts, and a name may be missing.
    #[must_use]
    pub fn lenient(self) -> Self {
        Self { lenient: true, ..self }
    }

    /// Takes in all objects of a file: YAML documents or JSON, lists and all.
    pub fn read(&mut self, file: &str, text: &str) -> Result<(), Diagnostic> {
        if text.len() > FILE_BYTES_MAX {
            let message = format!("the file has {} bytes, more than the {FILE_BYTES_MAX} that are read", text.len());
            return Err(Diagnostic::file(codes::TOO_LARGE, file, message, "split it"));
        }
        if text.trim_start().starts_with('{')
            && let Ok(value) = serde_json::from_str::<Value>(text)
        {
            let place = Place { file: Arc::from(file), line: 1, column: 1 };
            return self.take(value, &place, 0);
        }
        for (skipped, part) in parts(text) {
            let documents = documents(file, part, self.lenient).map_err(|found| Diagnostic {
                line: if found.line == 0 { 0 } else { found.line + skipped },
                ..found
            })?;
            for document in &documents {
                self.node(document, skipped, 0)?;
            }
        }
        Ok(())
    }

    /// Takes in one document with its place.
    fn node(&mut self, node: &Node, skipped: u32, lists: usize) -> Result<(), Diagnostic> {
        let place = Place { line: node.place.line + skipped, ..node.place.clone() };
        if is_list(node.text_at(&["kind"]), node.get("items").is_some()) && node.get("metadata").is_none_or(unnamed) {
            if lists >= LISTS_MAX {
                return Err(place.diagnostic(codes::TOO_LARGE, format!("lists nest more than {LISTS_MAX} deep"), ""));
            }
            let items = node.get("items").map_or(&[][..], Node::items);
            return items.iter().try_for_each(|item| self.node(item, skipped, lists + 1));
        }
        // A part of a list that was too long to be read as a whole.
        if lists == 0 && skipped > 0 && !node.items().is_empty() {
            return node.items().iter().try_for_each(|item| self.node(item, skipped, 1));
        }
        self.one(node.to_json()?, place)
    }

    fn take(&mut self, value: Value, place: &Place, lists: usize) -> Result<(), Diagnostic> {
        if is_list(text(&value, &["kind"]), value.get("items").is_some()) && lists < LISTS_MAX {
            let Value::Object(mut fields) = value else { return Ok(()) };
            let Some(Value::Array(items)) = fields.remove("items") else { return Ok(()) };
            return items.into_iter().try_for_each(|item| self.take(item, place, lists + 1));
        }
        self.one(value, place.clone())
    }

    fn one(&mut self, value: Value, place: Place) -> Result<(), Diagnostic> {
        if self.objects.len() >= OBJECTS_MAX {
            return Err(place.diagnostic(codes::TOO_LARGE, format!("there are more than {OBJECTS_MAX} objects"), ""));
        }
        let read = if self.lenient { Object::looked_at } else { Object::new };
        let made = read(value, &self.namespace).map_err(|why| {
            let hint = "take it out, or name a folder that holds only Kubernetes objects";
            place.diagnostic(codes::NOT_AN_OBJECT, why.to_string(), hint)
        })?;
        self.objects.push(Object { place: Some(place), ..made });
        Ok(())
    }

    /// All objects as they came; an identity may be there twice.
    pub fn all(self) -> Vec<Object> {
        self.objects
    }

    /// The objects by identity. Two with the same are an error that names both places.
    pub fn finish(self) -> Result<BTreeMap<Identity, Object>, Diagnostics> {
        unique(self.objects)
    }
}

/// Objects by identity. Two with the same are an error that names both places.
pub fn unique(objects: impl IntoIterator<Item = Object>) -> Result<BTreeMap<Identity, Object>, Diagnostics> {
    let mut set: BTreeMap<Identity, Object> = BTreeMap::new();
    let mut wrong = Vec::new();
    for object in objects {
        let Some(first) = set.get(&object.identity) else {
            set.insert(object.identity.clone(), object);
            continue;
        };
        let shown = |object: &Object| object.place.as_ref().map_or("elsewhere".to_owned(), ToString::to_string);
        let message = format!("{} is already written at {}", object.identity, shown(first));
        let place = object.place.clone().unwrap_or_else(|| Place::file("objects"));
        wrong.push(place.diagnostic(codes::DUPLICATE, message, "take one of them out, or rename it"));
    }
    if wrong.is_empty() { Ok(set) } else { Err(Diagnostics(wrong)) }
}

/// The documents of a text. Lines of a quoted text that stand too far to the left are read as other readers of
/// Kubernetes' manifests do: what stands in front of them does not count.
fn documents(file: &str, text: &str, lenient: bool) -> Result<Vec<Node>, Diagnostic> {
    let parse = if lenient { prograde_kustomize::documents_last_counts } else { prograde_kustomize::documents };
    let mut repaired: Option<String> = None;
    for _ in 0..REPAIRS_MAX {
        let found = match parse(file, repaired.as_deref().unwrap_or(text)) {
            Err(found) if found.message.contains("multiline quoted scalar") && found.line > 0 => found,
            outcome => return outcome,
        };
        let at = usize::try_from(found.line).unwrap_or(usize::MAX).saturating_sub(1);
        let lines = repaired.as_deref().unwrap_or(text).split_inclusive('\n').enumerate();
        let moved = lines.flat_map(|(number, line)| [if number == at { INDENT } else { "" }, line]).collect();
        repaired = Some(moved);
    }
    parse(file, repaired.as_deref().unwrap_or(text))
}

fn is_list(kind: &str, has_items: bool) -> bool {
    kind == "List" || (kind.ends_with("List") && has_items)
}

fn unnamed(metadata: &Node) -> bool {
    metadata.get("name").is_none()
}

/// A text that is longer than the YAML reader takes, in parts at documents and at the items of `kubectl`'s lists, each
/// with the number of lines before it.
fn parts(text: &str) -> Vec<(u32, &str)> {
    if text.len() <= PART_BYTES {
        return vec![(0, text)];
    }
    let documents = cut(text, 0, &|line, _| line.trim_end() == "---");
    let mut parts = Vec::new();
    for (skipped, document) in documents {
        let lists = document.lines().any(|line| line.starts_with("kind: ") && line.trim_end().ends_with("List"));
        if document.len() <= PART_BYTES || !lists || !document.lines().any(|line| line.trim_end() == "items:") {
            parts.push((skipped, document));
            continue;
        }
        // Items of such a list begin with `- ` in the first column; nothing within them does, nor do other fields.
        let items = cut(document, skipped, &|line, part| {
            line.starts_with("- ") || (part.starts_with("- ") && line.starts_with(|c: char| c.is_ascii_alphabetic()))
        });
        parts.extend(items.into_iter().filter(|(_, part)| part.starts_with("- ")));
    }
    parts
}

/// Cuts a text in front of lines; `cuts` is given a line and the part before it.
fn cut<'t>(text: &'t str, skipped: u32, cuts: &dyn Fn(&str, &str) -> bool) -> Vec<(u32, &'t str)> {
    let mut parts = Vec::new();
    let (mut start, mut start_line, mut at) = (0, skipped, 0);
    for (number, line) in (skipped..).zip(text.split_inclusive('\n')) {
        let before = text.get(start..at).unwrap_or_default();
        if at > start && cuts(line, before) {
            parts.push((start_line, before));
            (start, start_line) = (at, number);
        }
        at += line.len();
    }
    parts.push((start_line, text.get(start..).unwrap_or_default()));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let mut reader = Reader::new("default");
        reader.read("a.yaml", text).map_err(|found| found.to_string())?;
        let all = reader.finish().map_err(|found| found.to_string())?;
        Ok(all.into_values().map(|object| format!("{} at {}", object.identity, object.place.unwrap())).collect())
    }

    #[test]
    fn objects_are_read_with_their_places() {
        let text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: ignored}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: b}\n";
        assert_eq!(
            read(text).unwrap(),
            ["Namespace a at a.yaml:1", "Deployment.apps default/b at a.yaml:5"],
            "by identity"
        );
        let quoted = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: 'a\n  b'\n  namespace: n\n";
        assert_eq!(read(quoted).unwrap(), ["ConfigMap n/a b at a.yaml:1"]);
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: c, namespace: n}\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: d}\nmetadata: {resourceVersion: ''}\n";
        assert_eq!(read(list).unwrap(), ["ConfigMap default/d at a.yaml:7", "ConfigMap n/c at a.yaml:4"]);
        let json = r#"{"apiVersion":"v1","kind":"ConfigMapList","items":[{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"}}]}"#;
        assert_eq!(read(json).unwrap(), ["ConfigMap default/c at a.yaml:1"]);
    }

    #[test]
    fn what_is_wrong_names_the_place() {
        let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
        let told = read(twice).unwrap_err();
        assert!(told.contains("a.yaml:5:1: ConfigMap default/c is already written at a.yaml:1 [PG1321]"), "{told}");
        for (text, what) in [
            ("apiVersion: v1\nkind: ConfigMap\n", "metadata.name"),
            ("kind: X\nmetadata: {name: a}\n", "apiVersion"),
            ("apiVersion: v1\nmetadata: {name: a}\n", "`kind`"),
            ("- a\n", "mapping"),
            ("just text\n", "mapping"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(what) && told.contains("PG1320"), "{told}");
        }
    }

    #[test]
    fn a_long_dump_is_read_in_parts() {
        let mut text = String::from("apiVersion: v1\nitems:\n");
        for number in 0..20_000 {
            text +=
                "- apiVersion: v1\n  data:\n    key: |\n      a long text\n  kind: ConfigMap\n  metadata:\n    name: c";
            text.extend([number.to_string(), "\n".to_owned()]);
        }
        text += "kind: List\nmetadata:\n  resourceVersion: \"\"\n";
        let all = read(&text).unwrap();
        assert_eq!(all.len(), 20_000);
        assert!(all.contains(&"ConfigMap default/c7 at a.yaml:52".to_owned()), "{:?}", all.first());
    }

    #[test]
    fn hostile_input_is_refused() {
        assert!(read(&"[".repeat(10_000)).is_err());
        assert!(read(&"{".repeat(10_000)).is_err());
        let deep =
            format!("apiVersion: v1\nkind: A\nmetadata: {{name: a}}\nx: {}1{}\n", "[".repeat(190), "]".repeat(190));
        assert!(read(&deep).is_ok());
        let mut nested = "[]".to_owned();
        for _ in 0..20 {
            nested = format!("[{{apiVersion: v1, kind: List, items: {nested}}}]");
        }
        assert!(read(&format!("apiVersion: v1\nkind: List\nitems: {nested}\n")).unwrap_err().contains("PG1322"));
    }
}
