//! Patterns over resources, compiled once: maps with anchors, lists whose items all have to fit, and leaves.
//!
//! Source: Kyverno's documentation, "Validate Rules", "Patterns" and "Anchors". In a map anchors are looked at first; a
//! condition that does not hold leaves its part out, and a rule whose every part is left out is skipped.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::anchor::{self, Anchor};
use crate::leaf::Leaf;
use crate::wildcard;

/// How deep a pattern may nest.
const DEPTH_MAX: usize = 64;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) enum Pattern {
    Map(Fields),
    List(Vec<Pattern>),
    Leaf(Leaf),
}

/// The fields of a map, in the order in which they are looked at.
#[derive(Debug, Clone)]
pub(crate) struct Fields {
    anchors: Vec<Field>,
    rest: Vec<Field>,
    /// Keys may hold wildcards: labels and annotations.
    wild: bool,
}

#[derive(Debug, Clone)]
struct Field {
    anchor: Option<Anchor>,
    key: String,
    pattern: Pattern,
    /// The pattern is the text `*`: the key has to be there.
    present: bool,
}

/// Why a resource does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The rule does not apply.
    Skip(String),
    /// It applies and is broken, at a path. Without a path it could not be told: Kyverno calls that an error.
    Fail {
        /// Where.
        path: String,
        /// Why.
        why: String,
    },
}

enum Trouble {
    Skip(String),
    Fail { path: String, why: String, negation: bool },
}

impl Trouble {
    fn fail(path: &str, why: impl Into<String>) -> Self {
        Self::Fail { path: path.to_owned(), why: why.into(), negation: false }
    }
}

/// Which anchors' keys were found anywhere, asked for only after a failure.
#[derive(Default)]
struct Tracker {
    on: bool,
    keys: RefCell<BTreeMap<(Anchor, String), bool>>,
}

impl Tracker {
    fn note(&self, fields: &Fields, entries: &Map<String, Value>) {
        if !self.on {
            return;
        }
        for field in &fields.anchors {
            if let Some(anchor @ (Anchor::Condition | Anchor::Existence)) = field.anchor {
                let found = entries.contains_key(&field.key);
                *self.keys.borrow_mut().entry((anchor, field.key.clone())).or_default() |= found;
            }
        }
    }
}

impl Pattern {
    /// Compiles a pattern.
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        compile(value, Place::Elsewhere, DEPTH_MAX)
    }

    /// Whether a resource fits.
    pub(crate) fn check(&self, resource: &Value) -> Result<(), Mismatch> {
        element(self, resource, "/", &Tracker::default()).map_err(|trouble| match trouble {
            Trouble::Skip(why) => Mismatch::Skip(why),
            Trouble::Fail { path, why, negation } => {
                let unusable = path.is_empty() || (!negation && self.anchors_missing(resource));
                Mismatch::Fail { path: if unusable { String::new() } else { path }, why }
            }
        })
    }

    /// Whether a condition's or an existence's key is nowhere in the resource.
    fn anchors_missing(&self, resource: &Value) -> bool {
        let tracker = Tracker { on: true, keys: RefCell::default() };
        // Only what was looked at matters here, not the outcome, which is known.
        let _known = element(self, resource, "/", &tracker);
        let keys = tracker.keys.borrow();
        keys.values().any(|found| !found)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Metadata,
    Tags,
}

fn compile(value: &Value, place: Place, depth: usize) -> Result<Pattern, String> {
    let depth = depth.checked_sub(1).ok_or_else(|| format!("the pattern nests deeper than {DEPTH_MAX}"))?;
    Ok(match value {
        Value::Null => Pattern::Leaf(Leaf::Null),
        Value::Bool(flag) => Pattern::Leaf(Leaf::Bool(*flag)),
        Value::Number(number) => Pattern::Leaf(Leaf::Number(crate::jmespath::float(number))),
        Value::String(text) => Pattern::Leaf(Leaf::text(text)),
        Value::Array(items) => {
            let items: Result<Vec<Pattern>, String> =
                items.iter().map(|item| compile(item, Place::Elsewhere, depth)).collect();
            Pattern::List(items?)
        }
        Value::Object(entries) => Pattern::Map(fields(entries, place, depth)?),
    })
}

fn fields(entries: &Map<String, Value>, place: Place, depth: usize) -> Result<Fields, String> {
    let mut sorted: Vec<(&String, &Value)> = entries.iter().collect();
    sorted.sort_by_key(|(key, _)| *key);
    let (mut anchors, mut first, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (raw, value) in sorted {
        let (anchor, key) = match anchor::parse(raw) {
            // Adding is for mutation; in a pattern it is a key like any other.
            Some((Anchor::AddIfNotPresent, _)) | None => (None, raw.as_str()),
            Some((anchor, key)) => (Some(anchor), key),
        };
        let inner = match key {
            "metadata" => Place::Metadata,
            "labels" | "annotations" if place == Place::Metadata => Place::Tags,
            _ => Place::Elsewhere,
        };
        let pattern = compile(value, inner, depth)?;
        let field = Field { anchor, key: key.to_owned(), pattern, present: value.as_str() == Some("*") };
        match anchor {
            Some(Anchor::Condition | Anchor::Existence | Anchor::Equality | Anchor::Negation) => anchors.push(field),
            Some(Anchor::Global | Anchor::AddIfNotPresent) => first.insert(0, field),
            None if nested_anchors(value) => first.insert(0, field),
            None => last.push(field),
        }
    }
    first.extend(last);
    Ok(Fields { anchors, rest: first, wild: place == Place::Tags })
}

/// Whether anchors stand somewhere within.
fn nested_anchors(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.iter().any(|(key, value)| {
            anchor::parse(key).is_some_and(|(anchor, _)| anchor != Anchor::AddIfNotPresent) || nested_anchors(value)
        }),
        Value::Array(items) => items.iter().any(nested_anchors),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn element(pattern: &Pattern, value: &Value, path: &str, tracker: &Tracker) -> Result<(), Trouble> {
    match pattern {
        Pattern::Map(fields) => match value {
            Value::Object(entries) => {
                tracker.note(fields, entries);
                map(fields, entries, path, tracker)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Trouble::fail(path, "an object is expected"))
            }
        },
        Pattern::List(items) => match value {
            Value::Array(values) => list(items, values, path, tracker),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Err(Trouble::fail(path, "a list is expected"))
            }
        },
        Pattern::Leaf(leaf) => {
            let fits = match value {
                Value::Array(values) => values.iter().all(|value| leaf.matches(value)),
                other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                    leaf.matches(other)
                }
            };
            if fits { Ok(()) } else { Err(Trouble::fail(path, format!("{value} does not fit"))) }
        }
    }
}

fn map(fields: &Fields, entries: &Map<String, Value>, path: &str, tracker: &Tracker) -> Result<(), Trouble> {
    let mut skips: Vec<(String, bool)> = Vec::new();
    let mut applied = 0;
    for field in &fields.anchors {
        match field_holds(field, fields.wild, entries, path, tracker) {
            Ok(()) => applied += 1,
            Err((Trouble::Skip(why), own)) => skips.push((why, own)),
            // A condition beside it does not hold: what else is wrong does not count.
            Err((trouble @ Trouble::Fail { .. }, _)) if !skips.iter().any(|(_, own)| *own) => return Err(trouble),
            Err((Trouble::Fail { .. }, _)) => {}
        }
    }
    if !skips.is_empty() && (applied == 0 || skips.iter().any(|(_, own)| *own)) {
        return Err(Trouble::Skip(skips.into_iter().map(|(why, _)| why).collect::<Vec<_>>().join("; ")));
    }
    for field in &fields.rest {
        field_holds(field, fields.wild, entries, path, tracker).map_err(|(trouble, _)| trouble)?;
    }
    Ok(())
}

/// The key of a field in a resource, with a wildcard resolved to the first key that fits.
fn key_of<'k>(field: &'k Field, wild: bool, entries: &'k Map<String, Value>) -> &'k str {
    if wild && wildcard::has_wildcard(&field.key) {
        let mut names = entries.keys().filter(|name| wildcard::matches(&field.key, name));
        return names.next().unwrap_or(&field.key);
    }
    &field.key
}

/// Whether a field holds; with a skip comes whether it is this field's own condition.
fn field_holds(
    field: &Field,
    wild: bool,
    entries: &Map<String, Value>,
    path: &str,
    tracker: &Tracker,
) -> Result<(), (Trouble, bool)> {
    let key = key_of(field, wild, entries);
    let inner = || format!("{path}{key}/");
    let found = entries.get(key);
    let inherited = |trouble| (trouble, false);
    match field.anchor {
        Some(Anchor::Condition) => match found {
            Some(value) => element(&field.pattern, value, &inner(), tracker)
                .map_err(|trouble| (Trouble::Skip(reason(trouble)), true)),
            None => Err((Trouble::Skip(format!("the key {} of a condition is not there", inner())), true)),
        },
        Some(Anchor::Global) => match found {
            Some(value) => element(&field.pattern, value, &inner(), tracker)
                .map_err(|trouble| (Trouble::Skip(reason(trouble)), true)),
            None => Ok(()),
        },
        Some(Anchor::Negation) => match found {
            Some(_) => {
                let why = format!("{} is not allowed", inner());
                Err(inherited(Trouble::Fail { path: inner(), why, negation: true }))
            }
            None => Ok(()),
        },
        Some(Anchor::Equality) => match found {
            Some(value) => element(&field.pattern, value, &inner(), tracker).map_err(inherited),
            None => Ok(()),
        },
        Some(Anchor::Existence) => match found {
            Some(value) => existence(&field.pattern, value, &inner(), tracker).map_err(inherited),
            None => Ok(()),
        },
        Some(Anchor::AddIfNotPresent) | None => {
            let null = Value::Null;
            let value = found.unwrap_or(&null);
            if !field.present {
                return element(&field.pattern, value, &inner(), tracker).map_err(inherited);
            }
            if value.is_null() {
                Err(inherited(Trouble::fail(path, format!("{} is not there", inner()))))
            } else {
                Ok(())
            }
        }
    }
}

fn reason(trouble: Trouble) -> String {
    match trouble {
        Trouble::Skip(why) => why,
        Trouble::Fail { path, why, .. } => format!("{why} at {path}"),
    }
}

fn existence(pattern: &Pattern, value: &Value, path: &str, tracker: &Tracker) -> Result<(), Trouble> {
    let (Pattern::List(wanted), Value::Array(values)) = (pattern, value) else {
        return Err(Trouble::fail(path, "a list is expected by the anchor ^()"));
    };
    for wanted in wanted {
        let fits = |(at, value): (usize, &Value)| element(wanted, value, &format!("{path}{at}/"), tracker).is_ok();
        if !matches!(wanted, Pattern::Map(_)) || !values.iter().enumerate().any(fits) {
            return Err(Trouble::fail(path, "no item of the list fits"));
        }
    }
    Ok(())
}

fn list(patterns: &[Pattern], values: &[Value], path: &str, tracker: &Tracker) -> Result<(), Trouble> {
    let Some(first) = patterns.first() else { return Err(Trouble::fail(path, "the pattern's list is empty")) };
    let pairs: Vec<(&Pattern, &Value)> = match first {
        Pattern::Leaf(leaf) => {
            let all = values.iter().all(|value| leaf.matches(value));
            return if all { Ok(()) } else { Err(Trouble::fail(path, "an item of the list does not fit")) };
        }
        Pattern::Map(_) => values.iter().map(|value| (first, value)).collect(),
        Pattern::List(_) => {
            if values.len() < patterns.len() {
                return Err(Trouble::fail("", "the list is shorter than the pattern's"));
            }
            patterns.iter().zip(values).collect()
        }
    };
    let mut skips = Vec::new();
    let mut applied = 0;
    for (at, (pattern, value)) in pairs.into_iter().enumerate() {
        match element(pattern, value, &format!("{path}{at}/"), tracker) {
            Ok(()) => applied += 1,
            Err(Trouble::Skip(why)) => skips.push(why),
            Err(trouble @ Trouble::Fail { .. }) => return Err(trouble),
        }
    }
    if applied == 0 && !skips.is_empty() { Err(Trouble::Skip(skips.join("; "))) } else { Ok(()) }
}

/// For messages of leaves that could not be compared.
pub(crate) fn shown(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn verdict(pattern: Value, resource: Value) -> &'static str {
        match Pattern::compile(&pattern).unwrap().check(&resource) {
            Ok(()) => "pass",
            Err(Mismatch::Skip(_)) => "skip",
            Err(Mismatch::Fail { .. }) => "fail",
        }
    }

    #[test]
    fn anchors() {
        let pod = |containers: Value| json!({"spec": {"containers": containers, "volumes": [{"name": "a"}, {"hostPath": {}}]}});
        let check = |pattern: Value, containers: Value, want: &str| {
            assert_eq!(verdict(pattern.clone(), pod(containers)), want, "{pattern}");
        };
        let each = |inner: Value| json!({"spec": {"containers": [inner]}});
        check(each(json!({"image": "*:*"})), json!([{"image": "a:1"}]), "pass");
        check(each(json!({"image": "*:*"})), json!([{"image": "a:1"}, {"image": "b"}]), "fail");
        check(each(json!({"(image)": "*:latest", "imagePullPolicy": "Always"})), json!([{"image": "a:1"}]), "skip");
        check(
            each(json!({"(image)": "*:latest", "imagePullPolicy": "Always"})),
            json!([{"image": "a:latest"}]),
            "fail",
        );
        check(each(json!({"=(securityContext)": {"=(privileged)": false}})), json!([{}]), "pass");
        check(
            each(json!({"=(securityContext)": {"=(privileged)": false}})),
            json!([{"securityContext": {"privileged": true}}]),
            "fail",
        );
        check(json!({"spec": {"^(containers)": [{"name": "x"}]}}), json!([{"name": "y"}, {"name": "x"}]), "pass");
        check(json!({"spec": {"^(containers)": [{"name": "x"}]}}), json!([{"name": "y"}]), "fail");
        check(json!({"spec": {"=(volumes)": [{"X(hostPath)": "null"}]}}), json!([]), "fail");
        check(each(json!({"<(image)": "*:1", "name": "b"})), json!([{"image": "a:2", "name": "c"}]), "skip");
    }

    #[test]
    fn labels_may_hold_wildcards() {
        let labels = |name: &str| json!({"metadata": {"labels": {name: "x"}}});
        assert_eq!(verdict(json!({"metadata": {"labels": {"app.*/name": "?*"}}}), labels("app.k8s.io/name")), "pass");
        assert_eq!(verdict(json!({"metadata": {"labels": {"app.*/name": "?*"}}}), labels("other")), "fail");
        assert_eq!(verdict(json!({"metadata": {"labels": {"other": "*"}}}), labels("app")), "fail");
    }

    #[test]
    fn depth_is_bounded() {
        let mut deep = json!("x");
        for _ in 0..100 {
            deep = json!({"a": deep});
        }
        assert!(Pattern::compile(&deep).is_err());
    }

    proptest! {
        /// A resource made of plain texts fits itself as a pattern, and adding a field does not change that.
        #[test]
        fn a_resource_fits_itself(entries in proptest::collection::btree_map("[a-z]{1,5}", "[a-z]{1,5}", 1..6)) {
            let resource = json!(entries);
            prop_assert_eq!(verdict(resource.clone(), resource.clone()), "pass");
            let mut larger = resource.clone();
            larger["extra"] = json!(1);
            prop_assert_eq!(verdict(resource, larger), "pass");
        }

        /// `=()` on a missing key never fails, `X()` always passes there.
        #[test]
        fn anchors_on_missing_keys(key in "[a-z]{1,8}", value in "[a-z]{1,5}") {
            let equality = json!({format!("=({key})"): value});
            prop_assert_eq!(verdict(equality, json!({"UPPER": 1})), "pass");
            let negation = json!({format!("X({key})"): "null"});
            prop_assert_eq!(verdict(negation.clone(), json!({"UPPER": 1})), "pass");
            prop_assert_eq!(verdict(negation, json!({key: value})), "fail");
        }
    }
}
