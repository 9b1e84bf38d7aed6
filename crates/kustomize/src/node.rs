//! A YAML value as Kustomize works on it: texts keep their type and style until they are printed, because a text that
//! takes the place of another takes over its style. Invariant: no mapping that was read has a key twice.

use std::borrow::Cow;
use std::fmt;

use prograde_model::Diagnostic;
use prograde_yaml::{Style, Syntax, SyntaxValue};
use serde_json::{Map, Number, Value as Json};

use crate::codes;
use crate::emit::{Printed, Shown};
use crate::folded;
use crate::place::Place;
use crate::scalar::{Rules, Tag, go_float_text, resolve, tag_of};

/// One value and its place. `Debug` shows the place and the kind only, because the value may be a secret.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// Where it was written.
    pub place: Place,
    /// What was written.
    pub value: Value,
}

/// A value.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// A text, number, boolean or nothing.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order in which it was written.
    Map(Vec<Entry>),
}

/// A text with its type and style.
#[derive(Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The type.
    pub tag: Tag,
    /// The style that it is written in.
    pub style: Style,
    /// The text.
    pub text: String,
}

/// One entry of a mapping.
#[derive(Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub name: String,
    /// Whether the key is a text, and not a number or a boolean.
    pub text_key: bool,
    /// Where the key was written.
    pub place: Place,
    /// The value.
    pub value: Node,
}

/// What kind of value stands somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A scalar.
    Scalar,
    /// A list.
    List,
    /// A mapping.
    Map,
}

impl Scalar {
    fn new(tag: Tag, text: impl Into<String>) -> Self {
        Self { tag, style: Style::Plain, text: text.into() }
    }

    /// The text once Kustomize has printed it in its style and read it again, which it does with all objects in the end.
    fn printed(&self) -> Cow<'_, str> {
        if self.style == Style::Folded { folded::again(&self.text) } else { Cow::Borrowed(&self.text) }
    }

    /// Whether it is a text, or not decided yet.
    pub fn is_text(&self) -> bool {
        matches!(self.tag, Tag::Str | Tag::Open)
    }
}

impl Node {
    /// A scalar of a type.
    pub fn scalar(place: &Place, tag: Tag, text: impl Into<String>) -> Self {
        Self { place: place.clone(), value: Value::Scalar(Scalar::new(tag, text)) }
    }

    /// A text.
    pub fn text(place: &Place, text: impl Into<String>) -> Self {
        Self::scalar(place, Tag::Str, text)
    }

    /// An empty mapping.
    pub fn map(place: &Place) -> Self {
        Self { place: place.clone(), value: Value::Map(Vec::new()) }
    }

    /// An empty value of a kind; a scalar is not decided.
    pub fn empty(place: &Place, kind: Kind, tag: Tag) -> Self {
        let value = match kind {
            Kind::Scalar => Value::Scalar(Scalar::new(tag, "")),
            Kind::List => Value::List(Vec::new()),
            Kind::Map => Value::Map(Vec::new()),
        };
        Self { place: place.clone(), value }
    }

    /// Nothing.
    pub fn null(place: &Place) -> Self {
        Self::scalar(place, Tag::Null, "null")
    }

    /// The kind of value.
    pub fn kind(&self) -> Kind {
        match self.value {
            Value::Scalar(_) => Kind::Scalar,
            Value::List(_) => Kind::List,
            Value::Map(_) => Kind::Map,
        }
    }

    /// What kind of value this is, for messages.
    pub fn kind_text(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => match scalar.tag {
                Tag::Null => "nothing",
                Tag::Bool => "a boolean",
                Tag::Int | Tag::Float => "a number",
                Tag::Open | Tag::Str | Tag::Timestamp | Tag::Merge | Tag::Binary | Tag::Other => "a text",
            },
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Whether nothing is written here.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.tag == Tag::Null)
    }

    /// Whether nothing, an empty list or an empty mapping is written here.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => scalar.tag == Tag::Null,
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        }
    }

    /// The scalar, where this is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The scalar to change, where this is one.
    pub fn as_scalar_mut(&mut self) -> Option<&mut Scalar> {
        match &mut self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text of a scalar of any type; empty for lists and mappings.
    pub fn raw(&self) -> &str {
        self.as_scalar().map_or("", |scalar| scalar.text.as_str())
    }

    /// The items, where this is a list; else none.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The items to change, where this is a list.
    pub fn items_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::List(items) => Some(items),
            Value::Scalar(_) | Value::Map(_) => None,
        }
    }

    /// The entries, where this is a mapping; else none.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// The entries to change, where this is a mapping.
    pub fn entries_mut(&mut self) -> Option<&mut Vec<Entry>> {
        match &mut self.value {
            Value::Map(entries) => Some(entries),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The value at a key.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.name == name).map(|entry| &entry.value)
    }

    /// The value at a key, to change.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.entries_mut()?.iter_mut().find(|entry| entry.name == name).map(|entry| &mut entry.value)
    }

    /// The value at a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| node.get(name))
    }

    /// The text at a path of keys; empty where there is none.
    pub fn text_at(&self, path: &[&str]) -> &str {
        self.at(path).map_or("", Node::raw)
    }

    /// Takes a key away.
    pub fn remove(&mut self, name: &str) -> Option<Node> {
        let entries = self.entries_mut()?;
        let index = entries.iter().position(|entry| entry.name == name)?;
        Some(entries.remove(index).value)
    }

    /// Puts a value at a key as it is.
    pub fn set(&mut self, name: &str, value: Node) {
        match self.get_mut(name) {
            Some(found) => *found = value,
            None => self.push_entry(name, value),
        }
    }

    fn push_entry(&mut self, name: &str, value: Node) {
        self.push_keyed(name, value, is_text_key(name));
    }

    fn push_keyed(&mut self, name: &str, value: Node, text_key: bool) {
        let place = value.place.clone();
        if let Some(entries) = self.entries_mut() {
            entries.push(Entry { name: name.to_owned(), text_key, place, value });
        }
    }

    /// The mapping at a key, made where it is missing or nothing.
    pub fn map_at(&mut self, name: &str) -> Option<&mut Node> {
        let place = self.place.clone();
        if self.get(name).is_none_or(Node::is_null) {
            self.set(name, Node::map(&place));
        }
        self.get_mut(name).filter(|node| node.kind() == Kind::Map)
    }

    /// Puts a value at a key as Kustomize does: nothing takes the key away, and a scalar takes over the style of the
    /// one that it replaces.
    pub fn put(&mut self, name: &str, value: Node) {
        self.put_keyed(name, value, is_text_key(name));
    }

    /// The same, with the key as another mapping has it.
    pub(crate) fn put_keyed(&mut self, name: &str, mut value: Node, text_key: bool) {
        if value.is_null() {
            self.remove(name);
            return;
        }
        if let Some(found) = self.get_mut(name) {
            found.replace_with(value);
        } else {
            if let Some(scalar) = value.as_scalar_mut()
                && scalar.is_text()
                && scalar.style == Style::Plain
                && looks_like_no_text(&scalar.text)
            {
                scalar.style = Style::Double;
            }
            self.push_keyed(name, value, text_key);
        }
    }

    /// Becomes another value; a scalar keeps the style that was here.
    pub fn replace_with(&mut self, mut value: Node) {
        if let Some(scalar) = value.as_scalar_mut() {
            scalar.style = self.as_scalar().map_or(Style::Plain, |old| old.style);
        }
        *self = value;
    }

    /// Takes away what Kustomize would print otherwise than it is written.
    pub(crate) fn keep_texts(&mut self) {
        match &mut self.value {
            Value::Scalar(scalar) if scalar.style == Style::Folded => scalar.style = Style::Literal,
            Value::Scalar(scalar) if scalar.tag == Tag::Null && scalar.text.is_empty() => scalar.style = Style::Plain,
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(Self::keep_texts),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| entry.value.keep_texts()),
        }
    }

    /// How many levels there are; a scalar has one.
    pub(crate) fn depth(&self) -> usize {
        let below = match &self.value {
            Value::Scalar(_) => None,
            Value::List(items) => items.iter().map(Node::depth).max(),
            Value::Map(entries) => entries.iter().map(|entry| entry.value.depth()).max(),
        };
        1 + below.unwrap_or(0)
    }

    /// How many bytes this is worth, about.
    pub fn weight(&self) -> usize {
        match &self.value {
            Value::Scalar(scalar) => 16 + scalar.text.len(),
            Value::List(items) => 16 + items.iter().map(Node::weight).sum::<usize>(),
            Value::Map(entries) => {
                16 + entries.iter().map(|entry| 16 + entry.name.len() + entry.value.weight()).sum::<usize>()
            }
        }
    }

    /// The value as it is printed in the end.
    pub fn to_json(&self) -> Result<Json, Diagnostic> {
        self.json(true)
    }

    fn json(&self, top: bool) -> Result<Json, Diagnostic> {
        match &self.value {
            Value::Scalar(scalar) => scalar_json(scalar, &self.place),
            Value::List(items) => items.iter().map(|item| item.json(false)).collect(),
            Value::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for entry in entries {
                    entry.check_key(top)?;
                    map.insert(entry.name.clone(), entry.value.json(false)?);
                }
                Ok(Json::Object(map))
            }
        }
    }

    /// A value of the JSON data model, as if it had been written at `place`; numbers are floats of 64 bits, as Go's
    /// reader of JSON has them.
    pub fn from_json(json: &Json, place: &Place) -> Self {
        match json {
            Json::Null => Self::null(place),
            Json::Bool(flag) => Self::scalar(place, Tag::Bool, flag.to_string()),
            Json::Number(number) => {
                let text = number.as_f64().map_or_else(|| number.to_string(), |number| go_float_text(number, 6));
                let tag = tag_of(&text, Rules::V3);
                Self::scalar(place, tag, text)
            }
            Json::String(text) => Self::text(place, text.as_str()),
            Json::Array(items) => {
                let items = items.iter().map(|item| Self::from_json(item, place)).collect();
                Self { place: place.clone(), value: Value::List(items) }
            }
            Json::Object(map) => {
                let entry = |(name, value): (&String, &Json)| Entry {
                    name: name.clone(),
                    text_key: true,
                    place: place.clone(),
                    value: Self::from_json(value, place),
                };
                Self { place: place.clone(), value: Value::Map(map.iter().map(entry).collect()) }
            }
        }
    }

    /// A value that was read from a file; `place` turns a position there into the one to report.
    pub(crate) fn from_syntax(
        syntax: Syntax,
        place: &dyn Fn(u32, u32) -> Place,
        repeated: Repeated,
    ) -> Result<Self, Diagnostic> {
        let at = place(syntax.line, syntax.column);
        let value = match syntax.value {
            SyntaxValue::Scalar(text, style) => {
                let mut scalar = scalar_of(text, style, syntax.tag.as_deref());
                // Between brackets Kustomize prints nothing in quotes, and then takes it for a text.
                if syntax.flow && repeated == Repeated::Refused && scalar.tag == Tag::Null && scalar.text.is_empty() {
                    scalar.style = Style::Single;
                }
                Value::Scalar(scalar)
            }
            SyntaxValue::Sequence(items) => Value::List(
                items.into_iter().map(|item| Self::from_syntax(item, place, repeated)).collect::<Result<_, _>>()?,
            ),
            SyntaxValue::Mapping(pairs) => Value::Map(entries_of(pairs, &at, place, repeated)?),
        };
        Ok(Self { place: at, value })
    }
}

impl Entry {
    /// Refuses a key that is no text where one is needed: anywhere but in the outermost mapping.
    fn check_key(&self, is_top: bool) -> Result<(), Diagnostic> {
        if self.text_key || is_top {
            return Ok(());
        }
        let message = format!("the key `{}` is not a text", self.name);
        Err(self.place.diagnostic(codes::VALUE, message, "put the key in quotes"))
    }
}

impl Printed for Node {
    type Problem = Diagnostic;

    fn shown(&self, is_top: bool) -> Result<Shown<'_, Self>, Diagnostic> {
        Ok(match &self.value {
            Value::Scalar(scalar) if matches!(scalar.tag, Tag::Str | Tag::Other | Tag::Merge) => {
                Shown::Text(scalar.printed())
            }
            Value::Scalar(scalar) => Shown::Json(scalar_json(scalar, &self.place)?),
            Value::List(items) => Shown::List(items),
            Value::Map(entries) => {
                entries.iter().try_for_each(|entry| entry.check_key(is_top))?;
                Shown::Map(entries.iter().map(|entry| (entry.name.as_str(), &entry.value)).collect())
            }
        })
    }
}

fn entries_of(
    pairs: Vec<(Syntax, Syntax)>,
    at: &Place,
    place: &dyn Fn(u32, u32) -> Place,
    repeated: Repeated,
) -> Result<Vec<Entry>, Diagnostic> {
    let mut entries: Vec<Entry> = Vec::with_capacity(pairs.len());
    let mut merged: Vec<Node> = Vec::new();
    for (key, value) in pairs {
        let key_place = place(key.line, key.column);
        let SyntaxValue::Scalar(name, style) = key.value else {
            return Err(key_place.diagnostic(codes::VALUE, "a key must be a text", ""));
        };
        let scalar = scalar_of(name, style, key.tag.as_deref());
        let value = Node::from_syntax(value, place, repeated)?;
        if scalar.text == "<<" && scalar.style == Style::Plain && key.tag.is_none() {
            merged.extend(mergeable(value, &key_place)?);
            continue;
        }
        let loose = repeated == Repeated::LastCounts && scalar.style == Style::Plain;
        let text_key = loose || matches!(scalar.tag, Tag::Str | Tag::Other | Tag::Binary);
        let name = if loose { key_text(&scalar.text) } else { scalar.text };
        entries.push(Entry { name, text_key, place: key_place, value });
    }
    match repeated {
        Repeated::Refused => refuse_repeated(&entries)?,
        Repeated::LastCounts => keep_last(&mut entries),
    }
    for other in merged {
        if let Value::Map(more) = other.value {
            for entry in more {
                if !entries.iter().any(|own| own.name == entry.name) {
                    entries.push(entry);
                }
            }
        }
    }
    if entries.len() > ENTRIES_MAX {
        return Err(at.diagnostic(codes::TOO_LARGE, format!("a mapping has more than {ENTRIES_MAX} entries"), ""));
    }
    Ok(entries)
}

/// How many entries a mapping may have; keys are looked for one by one.
pub const ENTRIES_MAX: usize = 10_000;

/// What becomes of a key that is there twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeated {
    /// It is an error: the text is an object's.
    Refused,
    /// The last one counts: the text is a kustomization's, and Kustomize reads those so.
    LastCounts,
}

fn keep_last(entries: &mut Vec<Entry>) {
    let mut seen = std::collections::HashSet::new();
    let last: Vec<bool> = entries.iter().rev().map(|entry| seen.insert(entry.name.clone())).collect();
    let mut kept = last.into_iter().rev();
    entries.retain(|_| kept.next().unwrap_or(true));
}

fn refuse_repeated(entries: &[Entry]) -> Result<(), Diagnostic> {
    /// So few are compared with each other faster than they are hashed.
    const FEW: usize = 16;
    let repeated = if entries.len() <= FEW {
        let is_before = |at: usize, name: &str| entries.iter().take(at).any(|earlier| earlier.name == name);
        entries.iter().enumerate().find(|(at, entry)| is_before(*at, &entry.name)).map(|(_, entry)| entry)
    } else {
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        entries.iter().find(|entry| !seen.insert(entry.name.as_str()))
    };
    match repeated {
        None => Ok(()),
        Some(entry) => {
            let message = format!("the key `{}` is there twice", entry.name);
            Err(entry.place.diagnostic(prograde_yaml::CODE, message, "remove one of them"))
        }
    }
}

fn mergeable(value: Node, place: &Place) -> Result<Vec<Node>, Diagnostic> {
    let wrong = || place.diagnostic(codes::VALUE, "`<<` takes a mapping or a list of mappings", "");
    match value.value {
        Value::Map(_) => Ok(vec![value]),
        Value::List(items) if items.iter().all(|item| item.kind() == Kind::Map) => Ok(items),
        Value::List(_) | Value::Scalar(_) => Err(wrong()),
    }
}

fn scalar_of(text: String, style: Style, tag: Option<&str>) -> Scalar {
    let tag = match tag {
        None | Some("!") if style == Style::Plain => tag_of(&text, Rules::V3),
        None | Some("!!str" | "!") => Tag::Str,
        Some("!!int") => return Scalar { tag: Tag::Int, style: Style::Plain, text },
        Some("!!float") => return Scalar { tag: Tag::Float, style: Style::Plain, text },
        Some("!!bool") => return Scalar { tag: Tag::Bool, style: Style::Plain, text },
        Some("!!null") => return Scalar { tag: Tag::Null, style: Style::Plain, text },
        Some("!!timestamp") => return Scalar { tag: Tag::Timestamp, style: Style::Plain, text },
        Some("!!binary") => Tag::Binary,
        Some(_) => Tag::Other,
    };
    Scalar { tag, style, text }
}

/// Whether a key that is written without quotes is a text.
fn is_text_key(name: &str) -> bool {
    name.is_empty() || tag_of(name, Rules::V3) == Tag::Str
}

/// A key as the reader of kustomizations turns it into a text.
fn key_text(name: &str) -> String {
    match resolve(name, Rules::V2).1 {
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => name.to_owned(),
    }
}

/// Whether a YAML 1.1 reader takes the plain text for something that is no text.
pub(crate) fn looks_like_no_text(text: &str) -> bool {
    !text.is_empty() && !text.contains('\n') && tag_of(text, Rules::V2) != Tag::Str
}

fn scalar_json(scalar: &Scalar, place: &Place) -> Result<Json, Diagnostic> {
    let quoted = scalar.style != Style::Plain || scalar.text.contains('\n');
    let text = || Ok(Json::String(scalar.printed().into_owned()));
    match scalar.tag {
        Tag::Str | Tag::Other | Tag::Merge => return text(),
        Tag::Binary => {
            use base64::Engine as _;
            let compact: String = scalar.text.split_whitespace().collect();
            let decoded = base64::engine::general_purpose::STANDARD.decode(compact).unwrap_or_default();
            return Ok(Json::String(String::from_utf8_lossy(&decoded).into_owned()));
        }
        Tag::Open | Tag::Null | Tag::Bool | Tag::Int | Tag::Float | Tag::Timestamp => {}
    }
    let (found, value) = resolve(&scalar.text, Rules::V3);
    if scalar.tag == Tag::Open || scalar.tag == found {
        if quoted {
            return text();
        }
        if found == Tag::Float && value.is_null() {
            return Err(place.diagnostic(codes::VALUE, format!("`{}` can't be printed", scalar.text), "quote it"));
        }
        return Ok(value);
    }
    if scalar.tag == Tag::Float && found == Tag::Int {
        return Ok(value.as_f64().and_then(Number::from_f64).map_or(value, Json::Number));
    }
    if scalar.tag == Tag::Null && scalar.text.is_empty() {
        return Ok(Json::Null);
    }
    let message = format!("`{}` is no value of the type that the field has", scalar.text.escape_debug());
    Err(place.diagnostic(codes::VALUE, message, "the field was a number or a boolean: put its value in quotes"))
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind_text(), self.place)
    }
}
