//! What differs between what Git says (desired), what runs (live), and what was applied last, as server-side apply sees it.
//!
//! A field that Git names is to have Git's value. A field that Git does not name and did not name when it was applied last
//! belongs to somebody else, and is no difference. One that was applied and is no longer named is to go. Lists are merged
//! by the keys that the API merges them by; of other kinds by those that managed fields show. Values are compared by
//! meaning, and what the server fills in is no difference. Invariant: once the differences are carried out, comparing again
//! finds none; and a secret's values are never shown.

mod defaults;
mod lists;
mod meaning;
mod path;
mod show;
mod walk;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::json::{annotation, at, items, text};
use crate::object::{Identity, group_of};

pub use path::{Path, Step};
pub use show::unified;

/// Where `kubectl apply` keeps what it applied last.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is to happen to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It has another value than Git says.
    Changed,
    /// Git names it, and it is not there.
    Added,
    /// It was applied, and Git names it no longer.
    Removed,
}

/// Who wrote a field last, as managed fields tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Author {
    /// The field manager.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// Through which part of the object, such as `scale`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// When, in RFC 3339.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub time: String,
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.manager)?;
        if !self.subresource.is_empty() {
            write!(f, " ({})", self.subresource)?;
        }
        if self.time.is_empty() { Ok(()) } else { write!(f, " at {}", self.time) }
    }
}

/// One field that differs.
#[derive(Clone, PartialEq)]
pub struct Difference {
    /// Where.
    pub path: Path,
    /// What is to happen to it.
    pub change: Change,
    /// Who wrote what is there, where that can be told.
    pub by: Option<Author>,
    live: Option<Value>,
    desired: Option<Value>,
    secret: bool,
}

impl Difference {
    /// What is there, as it may be shown.
    pub fn live(&self) -> Option<Cow<'_, Value>> {
        self.live.as_ref().map(|value| self.shown(value))
    }

    /// What should be there, as it may be shown.
    pub fn desired(&self) -> Option<Cow<'_, Value>> {
        self.desired.as_ref().map(|value| self.shown(value))
    }

    fn shown<'v>(&self, value: &'v Value) -> Cow<'v, Value> {
        if self.secret { Cow::Owned(show::hidden(value)) } else { Cow::Borrowed(value) }
    }
}

/// Values of secrets are not shown.
impl fmt::Debug for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.change, self.path)?;
        let part = |value: Option<Cow<'_, Value>>| value.map_or("nothing".to_owned(), |value| value.to_string());
        write!(f, ": {} -> {}", part(self.live()), part(self.desired()))
    }
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut made = serializer.serialize_struct("Difference", 5)?;
        made.serialize_field("path", &self.path.to_string())?;
        made.serialize_field("change", &self.change)?;
        made.serialize_field("live", &self.live())?;
        made.serialize_field("desired", &self.desired())?;
        made.serialize_field("by", &self.by)?;
        made.end()
    }
}

/// How objects are compared.
#[derive(Debug, Clone)]
pub struct Options {
    /// The field managers under which objects were applied from Git.
    pub managers: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { managers: vec!["prograde".to_owned()] }
    }
}

/// What differs between an object as it should be and as it is. `applied` is what was applied last, where that is known;
/// else it is what `kubectl apply` wrote down, and what managed fields give to [`Options::managers`].
pub fn compare(desired: &Value, live: &Value, applied: Option<&Value>, options: &Options) -> Vec<Difference> {
    let written;
    let applied = match (applied, annotation(live, LAST_APPLIED)) {
        (Some(applied), _) => Some(applied),
        (None, Some(text)) => {
            // What can't be read was not written by kubectl; nothing is removed on its word.
            written = serde_json::from_str::<Value>(text).ok();
            written.as_ref()
        }
        (None, None) => None,
    };
    let desired = normal(desired, live);
    let applied = applied.map(|applied| normal(applied, live));
    let live = normal(live, live);
    walk::Walk::new(&desired, &live, &options.managers).run(applied.as_deref())
}

/// What the object is once the differences are carried out.
pub fn predicted(live: &Value, differences: &[Difference]) -> Value {
    let mut made = normal(live, live).into_owned();
    for difference in differences {
        difference.path.put(&mut made, difference.desired.as_ref());
    }
    made
}

/// An object in the form in which the server keeps it, where a manifest may have another one.
fn normal<'v>(value: &'v Value, live: &Value) -> Cow<'v, Value> {
    let kind = text(value, &["kind"]);
    if kind == "Secret" && text(value, &["apiVersion"]) == "v1" && value.get("stringData").is_some() {
        return Cow::Owned(with_data(value));
    }
    let (version, is) = (text(value, &["apiVersion"]), text(live, &["apiVersion"]));
    let percent = at(value, &["spec", "targetCPUUtilizationPercentage"]);
    if kind == "HorizontalPodAutoscaler"
        && version == "autoscaling/v1"
        && is.starts_with("autoscaling/v2")
        && let Some(percent) = percent
    {
        let mut made = value.clone();
        if let Some(spec) = made.get_mut("spec").and_then(Value::as_object_mut) {
            spec.shift_remove("targetCPUUtilizationPercentage");
            let target = json!({"type": "Utilization", "averageUtilization": percent});
            spec.insert(
                "metrics".to_owned(),
                json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]),
            );
        }
        return Cow::Owned(made);
    }
    Cow::Borrowed(value)
}

/// A secret with its `stringData` in its `data`, as the server keeps it.
fn with_data(secret: &Value) -> Value {
    let mut made = secret.clone();
    let Some(fields) = made.as_object_mut() else { return made };
    let Some(Value::Object(texts)) = fields.shift_remove("stringData") else { return made };
    let data = fields.entry("data").or_insert_with(|| Value::Object(Map::new()));
    if !data.is_object() {
        *data = Value::Object(Map::new());
    }
    for (name, value) in texts {
        let encoded = value.as_str().map(|text| Value::from(STANDARD.encode(text)));
        if let Some(data) = data.as_object_mut() {
            data.insert(name, encoded.unwrap_or(value));
        }
    }
    made
}

/// A manager's part of an object.
pub(crate) struct Managed<'v> {
    pub(crate) author: Author,
    pub(crate) fields: &'v Map<String, Value>,
}

/// The managers of an object's fields.
pub(crate) fn managed(live: &Value) -> Vec<Managed<'_>> {
    let entries = items(live, &["metadata", "managedFields"]).iter();
    let read = |entry| {
        let own = |name: &str| text(entry, &[name]).to_owned();
        let author = Author {
            manager: own("manager"),
            operation: own("operation"),
            subresource: own("subresource"),
            time: own("time"),
        };
        Some(Managed { author, fields: entry.get("fieldsV1")?.as_object()? })
    };
    entries.filter_map(read).collect()
}

/// How an object stands against what it should be.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Drift {
    /// It should be there, and is not.
    Missing,
    /// It was applied, Git names it no longer, and it is still there.
    Extra,
    /// It is there, and not as it should be.
    Changed {
        /// The fields that differ.
        differences: Vec<Difference>,
    },
}

/// The objects that are not as they should be, by identity. Live objects that nobody applied are nobody's drift.
pub fn drift<'o>(
    desired: impl IntoIterator<Item = &'o crate::Object>,
    live: &std::collections::BTreeMap<Identity, crate::Object>,
    applied: Option<&std::collections::BTreeMap<Identity, crate::Object>>,
    options: &Options,
    ignored: &crate::ignore::IgnoreRules,
    namespace: &str,
) -> Vec<(Identity, Drift)> {
    let mut found = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for object in desired {
        // Hooks come and go with each sync, and what is named by the server can't be found again.
        let hook = crate::Sync::of(&object.value).is_ok_and(|sync| sync.hook);
        if hook || text(&object.value, &["metadata", "name"]).is_empty() {
            continue;
        }
        let place = place_in(live, &object.identity, namespace);
        let Some((identity, is)) = place else {
            found.push((object.identity.clone(), Drift::Missing));
            continue;
        };
        seen.insert(identity.clone());
        let before =
            applied.and_then(|all| place_in(all, &object.identity, namespace)).map(|(_, before)| &before.value);
        let differences = ignored.compare(identity, (&object.value, &is.value, before), options);
        if !differences.is_empty() {
            found.push((identity.clone(), Drift::Changed { differences }));
        }
    }
    for identity in applied.into_iter().flat_map(std::collections::BTreeMap::keys) {
        if let Some((identity, is)) = place_in(live, identity, namespace)
            && !seen.contains(identity)
            && !crate::Sync::of(&is.value).is_ok_and(|sync| sync.hook)
        {
            found.push((identity.clone(), Drift::Extra));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// An object of a set. Where a kind is not known, a manifest may leave out the namespace that the object is in, or name
/// one for what has none.
pub fn place_in<'m, T>(
    set: &'m std::collections::BTreeMap<Identity, T>,
    identity: &Identity,
    namespace: &str,
) -> Option<(&'m Identity, &'m T)> {
    set.get_key_value(identity).or_else(|| {
        let other = if identity.namespace.is_empty() { namespace } else { "" };
        set.get_key_value(&Identity { namespace: other.to_owned(), ..identity.clone() })
    })
}

/// Whether an object is a secret of the core.
fn is_secret(value: &Value) -> bool {
    text(value, &["kind"]) == "Secret" && group_of(text(value, &["apiVersion"])).is_empty()
}

#[cfg(test)]
mod tests;
