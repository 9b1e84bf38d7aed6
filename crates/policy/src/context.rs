//! What variables can see while a rule is evaluated: the request, values that were given, and the rule's `context`, whose
//! entries are worked out when they are first used.
//!
//! Source: Kyverno's documentation, "External Data Sources" and "Variables".

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::jmespath::{Error, Expression, Scope};
use crate::template::Template;
use crate::world::Outside;

/// How deep entries may refer to entries.
const DEPTH_MAX: u32 = 32;

/// One entry of a rule's `context`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    name: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Variable { path: Option<Template>, value: Option<Template>, default: Option<Template> },
    ConfigMap { name: Template, namespace: Template },
    ApiCall { call: Box<Template>, path: Option<Template>, default: Option<Template> },
    Global { name: String, path: Option<Template> },
    Registry { reference: Template },
}

impl Entry {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let name = value.get("name").and_then(Value::as_str).ok_or("a context entry needs a name")?.to_owned();
        let template = |value: Option<&Value>| value.filter(|v| !v.is_null()).map(Template::compile).transpose();
        let source = if let Some(variable) = value.get("variable") {
            Source::Variable {
                path: template(variable.get("jmesPath"))?,
                value: template(variable.get("value"))?,
                default: template(variable.get("default"))?,
            }
        } else if let Some(map) = value.get("configMap") {
            let field = |name: &str, default: &str| Template::compile(map.get(name).unwrap_or(&Value::from(default)));
            Source::ConfigMap { name: field("name", "")?, namespace: field("namespace", "default")? }
        } else if let Some(call) = value.get("apiCall") {
            Source::ApiCall {
                path: template(call.get("jmesPath"))?,
                default: template(call.get("default"))?,
                call: Box::new(Template::compile(call)?),
            }
        } else if let Some(global) = value.get("globalReference") {
            let name = global.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
            Source::Global { name, path: template(global.get("jmesPath"))? }
        } else if let Some(registry) = value.get("imageRegistry") {
            Source::Registry { reference: Template::compile(registry.get("reference").unwrap_or(&Value::Null))? }
        } else {
            return Err(format!("context entry `{name}` has no source that is known"));
        };
        Ok(Self { name, source })
    }
}

/// What frames share: the request's document and what lies outside.
pub(crate) struct Ground<'g> {
    pub(crate) document: &'g Value,
    pub(crate) outside: &'g Outside,
    pub(crate) now: Timestamp,
    pub(crate) delete: bool,
    pub(crate) depth: Cell<u32>,
    /// What random texts are made from.
    pub(crate) seed: Option<u64>,
    /// How many of them were made.
    pub(crate) draws: Cell<u64>,
    /// Values of variables by the place of an element in the list that `foreach` goes through.
    pub(crate) each: &'g [(String, Vec<Value>)],
}

impl Ground<'_> {
    fn draw(&self) -> Option<(u64, u64)> {
        let draw = self.draws.get();
        self.draws.set(draw + 1);
        self.seed.map(|seed| (seed, draw))
    }
}

/// One layer of names over another.
pub(crate) struct Frame<'f> {
    ground: &'f Ground<'f>,
    parent: Option<&'f Frame<'f>>,
    values: Vec<(String, Value)>,
    entries: &'f [Entry],
    memo: Vec<OnceCell<Result<Value, Error>>>,
    busy: Vec<Cell<bool>>,
    foreign: bool,
}

impl<'f> Frame<'f> {
    pub(crate) fn new(ground: &'f Ground<'f>, parent: Option<&'f Frame<'f>>, entries: &'f [Entry]) -> Self {
        Self {
            ground,
            parent,
            values: Vec::new(),
            entries,
            memo: entries.iter().map(|_| OnceCell::new()).collect(),
            busy: entries.iter().map(|_| Cell::new(false)).collect(),
            foreign: false,
        }
    }

    /// A frame over this one.
    pub(crate) fn child<'c>(&'c self, entries: &'c [Entry]) -> Frame<'c> {
        Frame::new(self.ground, Some(self), entries)
    }

    /// The same with values from somebody whose texts are no part of the policy.
    pub(crate) fn with_foreign(mut self, values: impl Iterator<Item = (String, Value)>) -> Self {
        self.values.extend(values);
        self.foreign = true;
        self
    }

    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.values.push((name.to_owned(), value));
        self
    }

    /// Sets values by dotted names, into what is there.
    pub(crate) fn with_dotted(mut self, values: &[(String, Value)]) -> Self {
        for (name, value) in values {
            let first = split_dotted(name).first().cloned().unwrap_or_default();
            let mut document = Map::new();
            let known = self.values.iter().position(|(known, _)| *known == first);
            if let Some(at) = known {
                let (name, value) = self.values.swap_remove(at);
                document.insert(name, value);
            } else if let Some(found) = self.ground.document.get(&first) {
                document.insert(first.clone(), found.clone());
            }
            let mut whole = Value::Object(document);
            set_dotted(&mut whole, name, value.clone());
            if let Some(value) = whole.get_mut(&first) {
                self.values.push((first, value.take()));
            }
        }
        self
    }

    /// Sets the values that are given for an element at a place in the list that `foreach` goes through.
    pub(crate) fn with_each(self, place: usize) -> Self {
        let each = self.ground.each.iter();
        let of_place = |(name, list): &(String, Vec<Value>)| list.get(place).map(|value| (name.clone(), value.clone()));
        let values: Vec<(String, Value)> = each.filter_map(of_place).collect();
        self.with_dotted(&values)
    }

    /// Whether a name stands for anything, however that would be worked out.
    pub(crate) fn knows(&self, name: &str) -> bool {
        let own = self.entries.iter().any(|entry| entry.name == name);
        own || self.values.iter().any(|(known, _)| known == name)
            || match self.parent {
                Some(parent) => parent.knows(name),
                None => self.ground.document.get(name).is_some(),
            }
    }

    pub(crate) fn delete(&self) -> bool {
        self.ground.delete
    }

    /// A name, where only entries before one of this frame's are seen first.
    fn find(&self, name: &str, before: usize) -> Result<Option<&Value>, Error> {
        let own = |at: &usize| self.entries.get(*at).is_some_and(|entry| entry.name == name && !self.is_busy(*at));
        let found = (0..before).rev().find(own).or_else(|| (before..self.entries.len()).find(own));
        if let Some(at) = found
            && let Some(value) = self.entry(at)?
        {
            return Ok(Some(value));
        }
        if let Some((_, value)) = self.values.iter().rev().find(|(known, _)| known == name) {
            return Ok(Some(value));
        }
        match self.parent {
            Some(parent) => parent.find(name, parent.entries.len()),
            None => Ok(self.ground.document.get(name)),
        }
    }

    fn is_busy(&self, at: usize) -> bool {
        self.busy.get(at).is_some_and(Cell::get)
    }

    /// The value of an entry; nothing where its source is not provided.
    fn entry(&self, at: usize) -> Result<Option<&Value>, Error> {
        let (Some(entry), Some(memo), Some(busy)) = (self.entries.get(at), self.memo.get(at), self.busy.get(at)) else {
            return Ok(None);
        };
        if memo.get().is_none() {
            let depth = self.ground.depth.get() + 1;
            if depth > DEPTH_MAX {
                return Err(Error::new(format!("context entries refer to each other deeper than {DEPTH_MAX}")));
            }
            self.ground.depth.set(depth);
            busy.set(true);
            let value = self.load(entry, at);
            busy.set(false);
            self.ground.depth.set(depth - 1);
            match value {
                Ok(None) => return Ok(None),
                Ok(Some(value)) => drop(memo.set(Ok(value))),
                Err(error) => drop(memo.set(Err(error))),
            }
        }
        match memo.get() {
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(None),
        }
    }

    fn load(&self, entry: &Entry, at: usize) -> Result<Option<Value>, Error> {
        let scope = Before { frame: self, before: at };
        let rendered = |template: &Template| template.render(&scope, self.ground.delete).map(Cow::into_owned);
        let wrap = |error: Error| Error::new(format!("context entry `{}`: {error}", entry.name));
        match &entry.source {
            Source::Variable { path, value, default } => {
                let default = default.as_ref().map(rendered).transpose().map_err(wrap)?.filter(|v| !v.is_null());
                let path = path.as_ref().map(rendered).transpose().map_err(wrap)?;
                let found = variable(&scope, path.as_ref(), value.as_ref().map(rendered).transpose().map_err(wrap)?);
                let value = match found {
                    Ok(value) if !value.is_null() => Some(value),
                    Err(error) if default.is_none() => return Err(wrap(error)),
                    Ok(_) | Err(_) => default,
                };
                value.map(Some).ok_or_else(|| wrap(Error::new("it is null and has no default")))
            }
            Source::ConfigMap { name, namespace } => {
                let (name, namespace) = (rendered(name).map_err(wrap)?, rendered(namespace).map_err(wrap)?);
                let (namespace, name) = (crate::pattern::shown(&namespace), crate::pattern::shown(&name));
                Ok(self.ground.outside.resource("v1", "configmaps", &namespace, &name).cloned())
            }
            Source::ApiCall { call, path, default } => {
                let outside = self.ground.outside;
                if outside.answers.is_empty() && outside.resources.is_empty() {
                    return default.as_ref().map(rendered).transpose().map_err(wrap);
                }
                let call = rendered(call).map_err(wrap)?;
                let default = default.as_ref().map(rendered).transpose().map_err(wrap)?;
                match self.answer(&call) {
                    Err(error) if default.is_none() => Err(wrap(error)),
                    Ok(None) | Err(_) => Ok(default),
                    Ok(Some(body)) => self.query(path.as_ref(), body, &scope).map(Some).map_err(wrap),
                }
            }
            Source::Global { name, path } => match self.ground.outside.globals.get(name) {
                None => Ok(None),
                Some(value) => self.query(path.as_ref(), value.clone(), &scope).map(Some).map_err(wrap),
            },
            Source::Registry { reference } => {
                let reference = rendered(reference).map_err(wrap)?;
                let why = format!("registries are not asked here; give `{}` for {reference} as a value", entry.name);
                if self.known_below(&entry.name) { Ok(None) } else { Err(wrap(Error::new(why))) }
            }
        }
    }

    fn known_below(&self, name: &str) -> bool {
        self.values.iter().any(|(known, _)| known == name)
            || self.parent.is_some_and(|parent| parent.known_below(name))
            || self.ground.document.get(name).is_some()
    }

    /// The answer that was given for an API call.
    fn answer(&self, call: &Value) -> Result<Option<Value>, Error> {
        let text = |path: &[&str]| crate::request::text(call, path);
        let url = if call.get("service").is_some() { text(&["service", "url"]) } else { text(&["urlPath"]) };
        let method = if text(&["method"]).is_empty() { "GET" } else { text(&["method"]) };
        match self.ground.outside.answer(method, url) {
            None => Ok(None),
            Some((status, body)) if (200..300).contains(&status) => Ok(Some(body)),
            Some((status, _)) => Err(Error::new(format!("{method} {url} was answered with {status}"))),
        }
    }

    fn query(&self, path: Option<&Template>, body: Value, scope: &dyn Scope) -> Result<Value, Error> {
        let Some(path) = path else { return Ok(body) };
        let path = path.render(scope, self.ground.delete)?;
        Expression::parse(&crate::pattern::shown(&path)).map_err(Error::new)?.search_in(&body)
    }
}

fn variable(scope: &dyn Scope, path: Option<&Value>, value: Option<Value>) -> Result<Value, Error> {
    let path = path.map(|path| Expression::parse(&crate::pattern::shown(path)).map_err(Error::new)).transpose()?;
    match (path, value) {
        (Some(path), Some(value)) => path.search_in(&value),
        (Some(path), None) => path.search(scope).map(Cow::into_owned),
        (None, Some(value)) => Ok(value),
        (None, None) => Ok(Value::Null),
    }
}

/// What an entry of a frame sees: itself only as it was before.
struct Before<'b, 'f> {
    frame: &'b Frame<'f>,
    before: usize,
}

impl Scope for Before<'_, '_> {
    fn lookup(&self, name: &str) -> Result<Option<&Value>, Error> {
        self.frame.find(name, self.before)
    }
    fn whole(&self) -> Cow<'_, Value> {
        self.frame.whole()
    }
    fn now(&self) -> Timestamp {
        self.frame.ground.now
    }
    fn draw(&self) -> Option<(u64, u64)> {
        self.frame.ground.draw()
    }
}

impl Scope for Frame<'_> {
    fn lookup(&self, name: &str) -> Result<Option<&Value>, Error> {
        self.find(name, self.entries.len())
    }

    fn whole(&self) -> Cow<'_, Value> {
        let mut all = match self.parent {
            Some(parent) => parent.whole().into_owned(),
            None => self.ground.document.clone(),
        };
        if let Some(entries) = all.as_object_mut() {
            for (name, value) in &self.values {
                entries.insert(name.clone(), value.clone());
            }
        }
        Cow::Owned(all)
    }

    fn now(&self) -> Timestamp {
        self.ground.now
    }

    fn draw(&self) -> Option<(u64, u64)> {
        self.ground.draw()
    }

    fn is_foreign(&self) -> bool {
        self.foreign
    }
}

/// Steps of a dotted name; what stands in quotes is one step.
fn split_dotted(name: &str) -> Vec<String> {
    let mut steps = vec![String::new()];
    let mut quoted = false;
    for character in name.chars() {
        match character {
            '"' => quoted = !quoted,
            '.' if !quoted => steps.push(String::new()),
            other => {
                if let Some(step) = steps.last_mut() {
                    step.push(other);
                }
            }
        }
    }
    steps
}

/// Sets a value at a dotted name, making objects on the way; objects are merged.
pub(crate) fn set_dotted(document: &mut Value, name: &str, value: Value) {
    let mut at = document;
    let steps = split_dotted(name);
    let Some((last, way)) = steps.split_last() else { return };
    for step in way {
        at = enter(at, step);
    }
    let slot = enter(at, last);
    merge(slot, value);
}

fn enter<'v>(value: &'v mut Value, step: &str) -> &'v mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(entries) => entries.entry(step.to_owned()).or_insert(Value::Null),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => other,
    }
}

fn merge(slot: &mut Value, value: Value) {
    match (slot, value) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                merge(old.entry(name).or_insert(Value::Null), value);
            }
        }
        (slot, value) => *slot = value,
    }
}
