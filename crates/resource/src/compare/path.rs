//! Paths to fields, as people read them and as managed fields spell them.

use std::fmt;

use serde_json::{Map, Value};

/// One step into a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A field.
    Field(String),
    /// The item of a list with these keys.
    Key(Vec<(String, Value)>),
    /// The item of a list at a place.
    Index(usize),
    /// The item of a set.
    Item(Value),
}

/// The steps to a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Path(pub Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) => {
                    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                    match (plain, number) {
                        (true, 0) => write!(f, "{name}")?,
                        (true, _) => write!(f, ".{name}")?,
                        (false, _) => write!(f, "[{name:?}]")?,
                    }
                }
                Step::Key(keys) => {
                    let shown: Vec<String> =
                        keys.iter().map(|(name, value)| format!("{name}={}", bare(value))).collect();
                    write!(f, "[{}]", shown.join(","))?;
                }
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Item(value) => write!(f, "[={}]", bare(value))?,
            }
        }
        Ok(())
    }
}

/// A scalar without quotes.
pub(super) fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The value of an item's key. Kubernetes fills in the protocol of ports, which is one.
pub(super) fn key_of(item: &Value, name: &str) -> Option<Value> {
    match item.get(name) {
        Some(Value::Null) | None => (name == "protocol").then(|| Value::from("TCP")),
        Some(found) => Some(found.clone()),
    }
}

/// The node of managed fields below another one.
pub(super) fn owned_below<'v>(fields: &'v Map<String, Value>, step: &Step) -> Option<&'v Value> {
    match step {
        Step::Field(name) => fields.iter().find(|(key, _)| key.strip_prefix("f:") == Some(name)).map(|(_, node)| node),
        Step::Key(keys) => fields.iter().find(|(key, _)| is_key(key, keys)).map(|(_, node)| node),
        Step::Index(index) => fields.get(&format!("i:{index}")),
        Step::Item(value) => {
            let is = |key: &str| {
                key.strip_prefix("v:").and_then(|text| serde_json::from_str::<Value>(text).ok()).as_ref() == Some(value)
            };
            fields.iter().find(|(key, _)| is(key)).map(|(_, node)| node)
        }
    }
}

fn is_key(key: &str, keys: &[(String, Value)]) -> bool {
    let parsed = key.strip_prefix("k:").and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    parsed.is_some_and(|found| {
        found.len() == keys.len() && keys.iter().all(|(name, value)| found.get(name) == Some(value))
    })
}

impl Path {
    /// The value at the path.
    pub(crate) fn find<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Index(index) => value.get(index),
            Step::Key(_) | Step::Item(_) => value.get(position(value, step)?),
        })
    }

    /// Puts a value in at the path, or takes out what is there; what is missing on the way is made.
    pub(crate) fn put(&self, root: &mut Value, new: Option<&Value>) {
        let Some((last, way)) = self.0.split_last() else {
            *root = new.cloned().unwrap_or(Value::Null);
            return;
        };
        let mut at = root;
        for (number, step) in way.iter().enumerate() {
            let is_list = !matches!(self.0.get(number + 1), Some(Step::Field(_)));
            let Some(next) = entered(at, step, is_list) else { return };
            at = next;
        }
        match (last, new) {
            (Step::Field(name), Some(new)) => {
                if !at.is_object() {
                    *at = Value::Object(Map::new());
                }
                if let Some(fields) = at.as_object_mut() {
                    fields.insert(name.clone(), new.clone());
                }
            }
            (Step::Field(name), None) => {
                at.as_object_mut().and_then(|fields| fields.shift_remove(name));
            }
            (Step::Key(_) | Step::Index(_) | Step::Item(_), new) => {
                let place = position(at, last);
                if !at.is_array() {
                    *at = Value::Array(Vec::new());
                }
                let Some(items) = at.as_array_mut() else { return };
                match (place, new) {
                    (Some(place), Some(new)) => {
                        if let Some(item) = items.get_mut(place) {
                            *item = new.clone();
                        }
                    }
                    (None, Some(new)) => items.push(new.clone()),
                    (Some(place), None) if place < items.len() => {
                        items.remove(place);
                    }
                    (Some(_) | None, None) => {}
                }
            }
        }
    }
}

fn entered<'v>(at: &'v mut Value, step: &Step, is_list: bool) -> Option<&'v mut Value> {
    let empty = || if is_list { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    if let Step::Field(name) = step {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        return Some(at.as_object_mut()?.entry(name.clone()).or_insert_with(empty));
    }
    let place = position(at, step)?;
    at.as_array_mut()?.get_mut(place)
}

fn position(list: &Value, step: &Step) -> Option<usize> {
    let items = list.as_array()?;
    match step {
        Step::Key(keys) => {
            items.iter().position(|item| keys.iter().all(|(name, value)| key_of(item, name).as_ref() == Some(value)))
        }
        Step::Item(value) => items.iter().position(|item| item == value),
        Step::Index(index) => (*index < items.len()).then_some(*index),
        Step::Field(_) => None,
    }
}
