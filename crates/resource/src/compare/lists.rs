//! Lists: merged by keys, sets, or taken as a whole.

use std::collections::HashMap;
use std::rc::Rc;

use prograde_kustomize::TypeOf;
use serde_json::{Map, Value};

use super::Change;
use super::meaning::same;
use super::path::{Step, key_of, owned_below};
use super::walk::{Keys, Part, Three, Walk};

/// How a list is merged.
enum Merge {
    Keyed(Keys),
    Set,
    Whole,
}

type Items<'v> = &'v [Value];

impl<'v> Walk<'v> {
    pub(super) fn list(
        &mut self,
        known: Option<TypeOf<'static>>,
        desired: Items<'v>,
        live: Items<'v>,
        applied: Option<Items<'v>>,
    ) {
        match self.merge(known) {
            Merge::Keyed(keys) => {
                let indices = (index(desired, &keys), index(live, &keys));
                if let (Some(wanted), Some(there)) = indices {
                    return self.keyed(known, &keys, (desired, wanted), (live, there), applied);
                }
            }
            Merge::Set if desired.iter().chain(live).all(|item| !item.is_object() && !item.is_array()) => {
                return self.set(desired, live, applied);
            }
            Merge::Set | Merge::Whole => {}
        }
        self.whole(known, desired, live);
    }

    /// A list that is there and that Git does not name any more: where it is merged, only our items go.
    pub(super) fn unnamed_list(&mut self, known: Option<TypeOf<'static>>, live: Items<'v>, applied: Option<Items<'v>>) {
        let mark = self.found.len();
        let merged = match self.merge(known) {
            Merge::Keyed(keys) => index(live, &keys).is_some_and(|there| {
                self.keyed(known, &keys, (&[], HashMap::new()), (live, there), applied);
                true
            }),
            Merge::Set => {
                self.set(&[], live, applied);
                true
            }
            Merge::Whole => false,
        };
        if !merged || self.found.len() - mark == live.len() {
            self.found.truncate(mark);
            let live = Value::Array(live.to_vec());
            self.tell(Change::Removed, Some(&live), None);
        }
    }

    /// The table of the API knows; of other kinds the managed fields show how the server merges.
    fn merge(&self, known: Option<TypeOf<'static>>) -> Merge {
        if let Some(known) = known {
            return match known.merge_keys() {
                Some([]) => Merge::Set,
                Some(keys) => Merge::Keyed(Keys::Known(keys)),
                None => Merge::Whole,
            };
        }
        for one in &self.managed {
            let steps = self.path.iter().map(Part::step);
            let node = steps.into_iter().try_fold(one.fields, |at: &Map<String, Value>, step: Step| {
                owned_below(at, &step).and_then(Value::as_object)
            });
            for name in node.into_iter().flat_map(Map::keys) {
                if let Some(keys) = name.strip_prefix("k:").and_then(|text| serde_json::from_str(text).ok()) {
                    let keys: Map<String, Value> = keys;
                    return Merge::Keyed(Keys::Found(Rc::new(keys.keys().cloned().collect())));
                }
                if name.starts_with("v:") {
                    return Merge::Set;
                }
            }
        }
        Merge::Whole
    }

    fn keyed(
        &mut self,
        known: Option<TypeOf<'static>>,
        keys: &Keys,
        (desired, wanted): (Items<'v>, HashMap<String, &'v Value>),
        (live, there): (Items<'v>, HashMap<String, &'v Value>),
        applied: Option<Items<'v>>,
    ) {
        let before = applied.and_then(|applied| index(applied, keys)).unwrap_or_default();
        let items = known.and_then(TypeOf::items);
        for item in desired {
            let Some(key) = key_text(item, keys) else { continue };
            let (is, was) = (there.get(&key).copied(), before.get(&key).copied());
            self.path.push(Part::Key(keys.clone(), item));
            self.value(items, Three { desired: Some(item), live: is, applied: was }, None);
            self.path.pop();
        }
        for item in live {
            let Some(key) = key_text(item, keys) else { continue };
            if wanted.contains_key(&key) {
                continue;
            }
            self.path.push(Part::Key(keys.clone(), item));
            if before.contains_key(&key) || self.is_ours() {
                self.tell(Change::Removed, Some(item), None);
            }
            self.path.pop();
        }
    }

    fn set(&mut self, desired: Items<'v>, live: Items<'v>, applied: Option<Items<'v>>) {
        for item in desired.iter().filter(|item| !live.contains(item)) {
            self.path.push(Part::Item(item));
            self.tell(Change::Added, None, Some(item));
            self.path.pop();
        }
        for item in live.iter().filter(|item| !desired.contains(item)) {
            self.path.push(Part::Item(item));
            if applied.is_some_and(|applied| applied.contains(item)) || self.is_ours() {
                self.tell(Change::Removed, Some(item), None);
            }
            self.path.pop();
        }
    }

    /// A list that one manager has as a whole: item by item where there are as many, else as one.
    fn whole(&mut self, known: Option<TypeOf<'static>>, desired: Items<'v>, live: Items<'v>) {
        let items = known.and_then(TypeOf::items);
        let told = |walk: &mut Self| {
            let (desired, live) = (Value::Array(desired.to_vec()), Value::Array(live.to_vec()));
            walk.tell(Change::Changed, Some(&live), Some(&desired));
        };
        if desired.len() != live.len() {
            return told(self);
        }
        let standing = self.standing(items);
        let nested = |item: &Value| item.is_object() || item.is_array();
        let alike = desired.iter().zip(live).all(|(one, other)| match (nested(one), nested(other)) {
            (true, true) => true,
            (false, false) => same(standing, one, other),
            _ => false,
        });
        if !alike {
            return told(self);
        }
        // Where somebody else took the list over, what they put into its items is not what the server filled in.
        let taken = self.is_others();
        let mark = self.found.len();
        for (at, (one, other)) in desired.iter().zip(live).enumerate() {
            self.path.push(Part::Index(at));
            // Within a whole list nothing has another owner: what was applied says nothing more.
            self.value(items, Three { desired: Some(one), live: Some(other), applied: None }, None);
            self.path.pop();
        }
        if taken && self.found.len() == mark && desired.iter().zip(live).any(|(one, other)| has_more(one, other)) {
            told(self);
        }
    }
}

/// Whether a live value has fields that the other has not.
fn has_more(desired: &Value, live: &Value) -> bool {
    match (desired, live) {
        (Value::Object(desired), Value::Object(live)) => {
            live.iter().any(|(name, live)| desired.get(name).is_none_or(|desired| has_more(desired, live)))
        }
        (Value::Array(desired), Value::Array(live)) => {
            desired.iter().zip(live).any(|(one, other)| has_more(one, other))
        }
        _ => false,
    }
}

/// Items by their keys; none where an item has not all of them, or two have the same.
fn index<'v>(items: Items<'v>, keys: &Keys) -> Option<HashMap<String, &'v Value>> {
    let mut made = HashMap::with_capacity(items.len());
    for item in items {
        if made.insert(key_text(item, keys)?, item).is_some() {
            return None;
        }
    }
    Some(made)
}

/// The keys of an item as one text.
fn key_text(item: &Value, keys: &Keys) -> Option<String> {
    let mut made = String::new();
    for name in keys.names() {
        made.push_str(&key_of(item, name)?.to_string());
        made.push('\u{0}');
    }
    Some(made)
}
