//! Objects of others checked against a table of their fields. Invariant: what is not in the table is an error that names
//! file, line and the nearest field that is; nothing is dropped in silence.

use prograde_kustomize::{Kind, Node, Place, Tag, Value};
use prograde_model::Diagnostic;
use serde_json::{Map, Value as Json};

use crate::codes;

/// How many findings of one object are told.
const FINDINGS_MAX: usize = 20;

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    /// A text.
    Text,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A whole number or a text.
    IntOrText,
    /// Texts by name.
    TextMap,
    /// Booleans by name.
    BoolMap,
    /// Anything.
    Any,
    /// A list.
    List(&'static Type),
    /// A mapping with these fields.
    Struct(&'static Struct),
}

/// A mapping's fields.
#[derive(Debug)]
pub(crate) struct Struct {
    /// What it is called in messages.
    pub(crate) name: &'static str,
    /// What it has.
    pub(crate) fields: &'static [Field],
    /// Whether other fields are let through, as in what the API server itself writes.
    pub(crate) open: bool,
}

/// A field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) holds: Type,
    /// When it is left out of what is written.
    pub(crate) omit: Omit,
}

/// When a field is left out of what is written, as the tags of the Go type say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Omit {
    /// When it is empty: an empty text, `false`, 0, an empty list or mapping.
    Empty,
    /// When it is not there at all.
    Absent,
    /// Never: what is not there is written as empty.
    Never,
}

/// A field that is left out when it is empty.
pub(crate) const fn field(name: &'static str, holds: Type) -> Field {
    Field { name, holds, omit: Omit::Empty }
}

/// A field that is written wherever it is there.
pub(crate) const fn pointer(name: &'static str, holds: Type) -> Field {
    Field { name, holds, omit: Omit::Absent }
}

/// A field that is always written.
pub(crate) const fn always(name: &'static str, holds: Type) -> Field {
    Field { name, holds, omit: Omit::Never }
}

/// A mapping with exactly these fields.
pub(crate) const fn exact(name: &'static str, fields: &'static [Field]) -> Struct {
    Struct { name, fields, open: false }
}

impl Struct {
    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// The value of a node as a type has it; all that does not fit goes to `found`.
pub(crate) fn check(node: &Node, holds: Type, path: &str, found: &mut Vec<Diagnostic>) -> Json {
    if node.is_null() || found.len() >= FINDINGS_MAX {
        return Json::Null;
    }
    match holds {
        Type::Struct(shape) => structure(node, shape, path, found),
        Type::List(inner) => {
            if node.kind() != Kind::List {
                return wrong(node, path, "a list", found);
            }
            let item = |(index, item)| check(item, *inner, &format!("{path}[{index}]"), found);
            node.items().iter().enumerate().map(item).collect()
        }
        Type::TextMap => mapping(node, Type::Text, path, found),
        Type::BoolMap => mapping(node, Type::Bool, path, found),
        Type::Any => any(node, found),
        Type::Text | Type::Bool | Type::Int | Type::IntOrText => scalar(node, holds, path, found),
    }
}

fn any(node: &Node, found: &mut Vec<Diagnostic>) -> Json {
    node.to_json().unwrap_or_else(|problem| {
        found.push(problem);
        Json::Null
    })
}

fn structure(node: &Node, shape: &'static Struct, path: &str, found: &mut Vec<Diagnostic>) -> Json {
    if node.kind() != Kind::Map {
        return wrong(node, path, "a mapping", found);
    }
    let mut map = Map::new();
    for entry in node.entries() {
        let Some(field) = shape.field(&entry.name) else {
            if shape.open {
                map.insert(entry.name.clone(), any(&entry.value, found));
            } else if found.len() < FINDINGS_MAX {
                found.push(unknown(&entry.place, &entry.name, shape));
            }
            continue;
        };
        let value = check(&entry.value, field.holds, &joined(path, field.name), found);
        if !value.is_null() {
            map.insert(entry.name.clone(), value);
        }
    }
    Json::Object(map)
}

fn mapping(node: &Node, inner: Type, path: &str, found: &mut Vec<Diagnostic>) -> Json {
    if node.kind() != Kind::Map {
        return wrong(node, path, "a mapping", found);
    }
    let mut map = Map::new();
    for entry in node.entries() {
        let value = check(&entry.value, inner, &joined(path, &entry.name), found);
        // Go reads nothing as an empty text where texts are expected.
        let value = if value.is_null() && matches!(inner, Type::Text) { Json::String(String::new()) } else { value };
        map.insert(entry.name.clone(), value);
    }
    Json::Object(map)
}

fn scalar(node: &Node, holds: Type, path: &str, found: &mut Vec<Diagnostic>) -> Json {
    let expected = match holds {
        Type::Text => "a text",
        Type::Bool => "`true` or `false`",
        Type::Int => "a whole number",
        Type::IntOrText => "a whole number or a text",
        Type::TextMap | Type::BoolMap | Type::Any | Type::List(_) | Type::Struct(_) => "a value",
    };
    let Value::Scalar(written) = &node.value else { return wrong(node, path, expected, found) };
    let is_text = !matches!(written.tag, Tag::Null | Tag::Bool | Tag::Int | Tag::Float);
    let value = any(node, found);
    let fits = match holds {
        Type::Text => is_text,
        Type::Bool => value.is_boolean(),
        Type::Int => value.as_i64().is_some(),
        Type::IntOrText => is_text || value.as_i64().is_some(),
        Type::TextMap | Type::BoolMap | Type::Any | Type::List(_) | Type::Struct(_) => false,
    };
    if fits { value } else { wrong(node, path, expected, found) }
}

fn wrong(node: &Node, path: &str, expected: &str, found: &mut Vec<Diagnostic>) -> Json {
    let hint = match node.kind() {
        Kind::Scalar if expected == "a text" => "put it in quotes",
        Kind::Scalar if node.raw().contains("{{") => {
            "a template fills in texts only; what is no text is set by `spec.templatePatch`"
        }
        Kind::Scalar | Kind::List | Kind::Map => "",
    };
    let message = format!("`{path}` must be {expected}, found {}", node.kind_text());
    found.push(node.place.diagnostic(codes::FIELD, message, hint));
    Json::Null
}

fn unknown(place: &Place, name: &str, shape: &Struct) -> Diagnostic {
    let names: Vec<&str> = shape.fields.iter().map(|field| field.name).collect();
    let hint = match nearest(name, &names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("it has {}", names.join(", ")),
    };
    place.diagnostic(codes::FIELD, format!("{} has no field `{}`", shape.name, shortened(name)), hint)
}

/// A text for a message.
pub(crate) fn shortened(text: &str) -> String {
    let short: String = text.chars().take(80).map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The name that a misspelt one is likely to be meant for.
pub(crate) fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_ascii_lowercase();
    let distance = |other: &&&str| distance(&lower, &other.to_ascii_lowercase());
    let best = names.iter().min_by_key(distance)?;
    (distance(&best) <= 1 + name.chars().count() / 4).then_some(*best)
}

/// How many letters have to be put in, left out or changed (Levenshtein), of the first 64.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().take(64).enumerate() {
        let mut diagonal = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (other, above) in right.iter().zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(letter != *other);
            before = changed.min(above + 1).min(before + 1);
            diagonal = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// A value as Go writes it: empty fields left out, and mappings in the order of their names.
pub(crate) fn normal(value: &Json, holds: Type) -> Json {
    match (holds, value) {
        (Type::Struct(shape), Json::Object(map)) => {
            let mut written: Vec<(String, Json)> = Vec::new();
            for (name, inner) in map {
                let Some(field) = shape.field(name) else {
                    written.push((name.clone(), sorted(inner)));
                    continue;
                };
                let inner = normal(inner, field.holds);
                let left_out = field.omit == Omit::Empty && is_empty(&inner) && !inner.is_object();
                let empty_map = matches!(field.holds, Type::TextMap | Type::BoolMap) && is_empty(&inner);
                if !(inner.is_null() || left_out || empty_map) {
                    written.push((name.clone(), inner));
                }
            }
            for field in shape.fields.iter().filter(|field| field.omit == Omit::Never) {
                if !written.iter().any(|(name, _)| name == field.name) {
                    written.push((field.name.to_owned(), zero(field.holds)));
                }
            }
            written.sort_by(|left, right| left.0.cmp(&right.0));
            Json::Object(written.into_iter().collect())
        }
        (Type::List(inner), Json::Array(items)) => items.iter().map(|item| normal(item, *inner)).collect(),
        (_, value) => sorted(value),
    }
}

fn zero(holds: Type) -> Json {
    match holds {
        Type::Text | Type::IntOrText => Json::String(String::new()),
        Type::Bool => Json::Bool(false),
        Type::Int => Json::from(0),
        Type::List(_) => Json::Array(Vec::new()),
        Type::Struct(_) => normal(&Json::Object(Map::new()), holds),
        Type::TextMap | Type::BoolMap | Type::Any => Json::Object(Map::new()),
    }
}

/// Mappings in the order of their names, all the way down. Depth is bounded by the reader.
pub(crate) fn sorted(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            let mut entries: Vec<(&String, &Json)> = map.iter().collect();
            entries.sort_by_key(|(name, _)| *name);
            Json::Object(entries.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Json::Array(items) => items.iter().map(sorted).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value.clone(),
    }
}

/// Whether a value is what Go takes for empty.
pub(crate) fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(flag) => !flag,
        Json::Number(number) => number.as_f64() == Some(0.0),
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(map) => map.is_empty(),
    }
}

/// Fills what is empty in `into` from `from`, structure by structure, as generators' templates are completed.
pub(crate) fn complete(into: &mut Json, from: &Json, holds: Type) {
    match (holds, &mut *into, from) {
        (Type::Struct(shape), Json::Object(into), Json::Object(from)) => {
            for (name, value) in from {
                let inner = shape.field(name).map_or(Type::Any, |field| field.holds);
                match into.get_mut(name) {
                    Some(present) => complete(present, value, inner),
                    None => {
                        into.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Type::TextMap | Type::BoolMap, Json::Object(into), Json::Object(from)) => {
            for (name, value) in from {
                if into.get(name).is_none_or(is_empty) {
                    into.insert(name.clone(), value.clone());
                }
            }
        }
        (_, into, from) => {
            if is_empty(into) {
                *into = from.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: Struct = exact("an inner thing", &[field("name", Type::Text), pointer("flag", Type::Bool)]);
    const OUTER: Struct = exact(
        "a thing",
        &[
            field("replicas", Type::Int),
            always("inner", Type::Struct(&INNER)),
            field("labels", Type::TextMap),
            field("list", Type::List(&Type::Text)),
        ],
    );

    fn checked(text: &str) -> (Json, Vec<String>) {
        let node = prograde_kustomize::documents("a.yaml", text).unwrap().remove(0);
        let mut found = Vec::new();
        let json = check(&node, Type::Struct(&OUTER), "", &mut found);
        (json, found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_does_not_fit_names_its_place_and_the_nearest_field() {
        let (_, found) = checked("replcas: 1\ninner: {name: 1}\nlist: x\nlabels: {a: b}\n");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("a.yaml:1:1: a thing has no field `replcas`"), "{}", found[0]);
        assert!(found[0].contains("did you mean `replicas`?"), "{}", found[0]);
        assert!(found[1].starts_with("a.yaml:2:15: `inner.name` must be a text, found a number"), "{}", found[1]);
        assert!(found[2].starts_with("a.yaml:3:7: `list` must be a list"), "{}", found[2]);
    }

    #[test]
    fn empty_fields_are_left_out_as_go_does() {
        let (json, found) = checked("replicas: 0\nlabels: {}\nlist: []\n");
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(normal(&json, Type::Struct(&OUTER)).to_string(), r#"{"inner":{}}"#);
        let (json, _) = checked("inner: {flag: false, name: ''}\n");
        assert_eq!(normal(&json, Type::Struct(&OUTER)).to_string(), r#"{"inner":{"flag":false}}"#);
    }

    #[test]
    fn only_what_is_empty_is_completed() {
        let (mut into, _) = checked("inner: {name: a, flag: false}\nlist: [x]\nlabels: {a: '1'}\n");
        let (from, _) = checked("replicas: 2\ninner: {name: b, flag: true}\nlist: [y]\nlabels: {a: '2', b: '3'}\n");
        complete(&mut into, &from, Type::Struct(&OUTER));
        let expected = r#"{"inner":{"flag":true,"name":"a"},"labels":{"a":"1","b":"3"},"list":["x"],"replicas":2}"#;
        assert_eq!(sorted(&into).to_string(), expected);
    }

    #[test]
    fn names_are_near_when_few_letters_differ() {
        assert_eq!(nearest("targetrevision", &["path", "targetRevision"]), Some("targetRevision"));
        assert_eq!(nearest("helmm", &["helm", "path"]), Some("helm"));
        assert_eq!(nearest("zzz", &["helm", "path"]), None);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
