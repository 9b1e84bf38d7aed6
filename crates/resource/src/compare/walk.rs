//! The walk through an object as it should be and as it is, field by field.

use std::rc::Rc;

use prograde_kustomize::{TypeOf, kubernetes_type};
use serde_json::{Map, Value};

use super::defaults::{default_of, is_derived, is_nothing, is_of_the_server};
use super::meaning::{Standing, same};
use super::path::{Path, Step, key_of, owned_below};
use super::{Author, Change, Difference, Managed, is_secret, managed};
use crate::json::text;

/// One step, borrowed until it is told.
#[derive(Clone)]
pub(super) enum Part<'v> {
    Field(&'v str),
    Key(Keys, &'v Value),
    Index(usize),
    Item(&'v Value),
}

/// The keys that a list is merged by.
#[derive(Clone)]
pub(super) enum Keys {
    Known(&'static [String]),
    Found(Rc<Vec<String>>),
}

impl Keys {
    pub(super) fn names(&self) -> &[String] {
        match self {
            Self::Known(names) => names,
            Self::Found(names) => names,
        }
    }
}

impl Part<'_> {
    pub(super) fn step(&self) -> Step {
        match self {
            Self::Field(name) => Step::Field((*name).to_owned()),
            Self::Index(index) => Step::Index(*index),
            Self::Item(value) => Step::Item((*value).clone()),
            Self::Key(keys, item) => {
                Step::Key(keys.names().iter().filter_map(|name| Some((name.clone(), key_of(item, name)?))).collect())
            }
        }
    }
}

/// The three values of one field.
#[derive(Clone, Copy)]
pub(super) struct Three<'v> {
    pub(super) desired: Option<&'v Value>,
    pub(super) live: Option<&'v Value>,
    pub(super) applied: Option<&'v Value>,
}

pub(super) struct Walk<'v> {
    pub(super) desired: &'v Value,
    pub(super) live: &'v Value,
    pub(super) kind: &'v str,
    pub(super) managed: Vec<Managed<'v>>,
    pub(super) ours: Vec<usize>,
    pub(super) path: Vec<Part<'v>>,
    root: Option<TypeOf<'static>>,
    pub(super) found: Vec<Difference>,
}

impl<'v> Walk<'v> {
    pub(super) fn new(desired: &'v Value, live: &'v Value, managers: &[String]) -> Self {
        let kind = text(desired, &["kind"]);
        let managed = managed(live);
        let is_ours = |one: &Managed<'_>| managers.contains(&one.author.manager);
        let ours = managed.iter().enumerate().filter(|(_, one)| is_ours(one)).map(|(at, _)| at).collect();
        let root = type_of(text(desired, &["apiVersion"]), kind);
        Self { desired, live, kind, managed, ours, path: Vec::new(), root, found: Vec::new() }
    }

    pub(super) fn run(mut self, applied: Option<&'v Value>) -> Vec<Difference> {
        let three = Three { desired: Some(self.desired), live: Some(self.live), applied };
        self.value(self.root, three, None);
        self.found
    }

    /// The type of a field of any object: all have the same `metadata`.
    fn field_type(&self, known: Option<TypeOf<'static>>, name: &str) -> Option<TypeOf<'static>> {
        let own = known.and_then(|known| known.field(name));
        if self.path.is_empty() && name == "metadata" {
            return own.or_else(|| kubernetes_type("v1", "ConfigMap")?.field("metadata"));
        }
        own
    }

    /// Compares one value. `beside` is the mapping that it is a field of.
    pub(super) fn value(
        &mut self,
        known: Option<TypeOf<'static>>,
        three: Three<'v>,
        beside: Option<&Map<String, Value>>,
    ) {
        match (three.desired, three.live) {
            (None | Some(Value::Null), None) => {}
            (None | Some(Value::Null), Some(live)) => self.unnamed(known, live, three.applied, beside),
            (Some(desired), None) => {
                if !self.is_nothing(known, desired) && !self.is_default(desired, beside) {
                    self.tell(Change::Added, None, Some(desired));
                }
            }
            (Some(Value::Object(desired)), Some(Value::Object(live))) => {
                self.mapping(known, desired, live, three.applied.and_then(Value::as_object));
            }
            (Some(Value::Array(desired)), Some(Value::Array(live))) => {
                let applied = three.applied.and_then(Value::as_array).map(Vec::as_slice);
                self.list(known, desired, live, applied);
            }
            (Some(desired), Some(live)) => {
                let nothing = self.is_nothing(known, desired) && self.is_nothing(known, live);
                if !nothing && !same(self.standing(known), desired, live) {
                    self.tell(Change::Changed, Some(live), Some(desired));
                }
            }
        }
    }

    fn mapping(
        &mut self,
        known: Option<TypeOf<'static>>,
        desired: &'v Map<String, Value>,
        live: &'v Map<String, Value>,
        applied: Option<&'v Map<String, Value>>,
    ) {
        let before = |name: &str| applied.and_then(|applied| applied.get(name));
        for (name, value) in desired {
            if self.is_skipped(name) {
                continue;
            }
            let field = self.field_type(known, name);
            let three = Three { desired: Some(value), live: live.get(name), applied: before(name) };
            self.path.push(Part::Field(name));
            self.value(field, three, Some(desired));
            self.path.pop();
        }
        for (name, value) in live {
            if desired.contains_key(name) || self.is_skipped(name) {
                continue;
            }
            let field = self.field_type(known, name);
            let three = Three { desired: None, live: Some(value), applied: before(name) };
            self.path.push(Part::Field(name));
            self.value(field, three, Some(live));
            self.path.pop();
        }
    }

    /// A value that is there and that Git does not name: ours to remove only where we had applied it.
    fn unnamed(
        &mut self,
        known: Option<TypeOf<'static>>,
        live: &'v Value,
        applied: Option<&'v Value>,
        beside: Option<&Map<String, Value>>,
    ) {
        let was = applied.is_some_and(|applied| !applied.is_null());
        if !was && !self.is_ours() {
            return;
        }
        if self.is_nothing(known, live) || self.is_default(live, beside) {
            return;
        }
        if let Value::Object(fields) = live {
            // Others may have fields in it: only ours go, and the whole where nothing else is left.
            let before = applied.and_then(Value::as_object);
            let mark = self.found.len();
            for (name, value) in fields {
                let field = self.field_type(known, name);
                let applied = before.and_then(|before| before.get(name));
                self.path.push(Part::Field(name));
                self.value(field, Three { desired: None, live: Some(value), applied }, Some(fields));
                self.path.pop();
            }
            let gone = self.found.len() - mark;
            if gone == fields.len() && !self.is_open_metadata() {
                self.found.truncate(mark);
                self.tell(Change::Removed, Some(live), None);
            }
            return;
        }
        match live {
            Value::Array(items) => {
                let before = applied.and_then(Value::as_array).map(Vec::as_slice);
                self.unnamed_list(known, items, before);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                self.tell(Change::Removed, Some(live), None);
            }
        }
    }

    /// Labels and annotations are there even when they are empty.
    fn is_open_metadata(&self) -> bool {
        matches!(self.path.as_slice(), [Part::Field("metadata"), Part::Field("labels" | "annotations")])
    }

    fn is_skipped(&self, name: &str) -> bool {
        let steps = self.path.len();
        steps <= 2 && (is_of_the_server(steps, self.field(), name) || is_derived(self.desired, steps, name))
    }

    /// The name of the nearest field.
    fn field(&self) -> &'v str {
        self.named(0)
    }

    /// The name of a field around this value; 0 is the nearest.
    fn named(&self, above: usize) -> &'v str {
        let names = self.path.iter().rev().filter_map(|part| match part {
            Part::Field(name) => Some(*name),
            Part::Key(..) | Part::Index(_) | Part::Item(_) => None,
        });
        names.into_iter().nth(above).unwrap_or_default()
    }

    pub(super) fn standing(&self, known: Option<TypeOf<'static>>) -> Standing<'v> {
        let secret = matches!(self.path.first(), Some(Part::Field("data"))) && is_secret(self.desired);
        Standing { known, field: self.field(), parent: self.named(1), secret }
    }

    fn is_nothing(&self, known: Option<TypeOf<'static>>, value: &Value) -> bool {
        // The entries of a mapping from any name are never left out.
        let open =
            matches!(self.named(1), "labels" | "annotations" | "data" | "matchLabels" | "nodeSelector" | "binaryData")
                && matches!(self.path.last(), Some(Part::Field(_)));
        is_nothing(known.is_some(), open, self.field(), value)
    }

    fn is_default(&self, value: &Value, beside: Option<&Map<String, Value>>) -> bool {
        let (Some(beside), Some(Part::Field(field)), Some(_)) = (beside, self.path.last(), self.root) else {
            return false;
        };
        let default = default_of(self.kind, self.named(1), field, beside);
        default.is_some_and(|default| is_like(&default, value))
    }

    /// Whether one of our managers has the field.
    pub(super) fn is_ours(&self) -> bool {
        if self.ours.is_empty() {
            return false;
        }
        let steps: Vec<Step> = self.path.iter().map(Part::step).collect();
        let fields = self.ours.iter().filter_map(|at| self.managed.get(*at)).map(|one| one.fields);
        fields.into_iter().any(|fields| owns(fields, &steps))
    }

    /// Who wrote the field: the latest of the others, else of ours.
    fn author(&self, steps: &[Step]) -> Option<Author> {
        let owners = self.managed.iter().enumerate().filter(|(_, one)| owns(one.fields, steps));
        let latest = owners.max_by(|(one_at, one), (other_at, other)| {
            let others = |at| !self.ours.contains(at);
            others(one_at).cmp(&others(other_at)).then_with(|| one.author.time.cmp(&other.author.time))
        });
        latest.map(|(_, one)| one.author.clone())
    }

    /// Whether somebody else has a list as a whole, and we do not although we have other fields.
    pub(super) fn is_others(&self) -> bool {
        let steps: Vec<Step> = self.path.iter().map(Part::step).collect();
        !self.ours.is_empty() && !self.is_ours() && self.managed.iter().any(|one| owns(one.fields, &steps))
    }

    pub(super) fn tell(&mut self, change: Change, live: Option<&Value>, desired: Option<&Value>) {
        let steps: Vec<Step> = self.path.iter().map(Part::step).collect();
        let by = live.and_then(|_| self.author(&steps));
        let in_data = matches!(steps.first(), Some(Step::Field(name)) if name == "data" || name == "stringData");
        let secret = in_data && is_secret(self.desired);
        let (live, desired) = (live.cloned(), desired.cloned());
        self.found.push(Difference { path: Path(steps), change, by, live, desired, secret });
    }
}

/// Whether managed fields hold what lies at these steps, or something below.
fn owns(fields: &Map<String, Value>, steps: &[Step]) -> bool {
    let mut at = fields;
    for step in steps {
        let Some(next) = owned_below(at, step).and_then(Value::as_object) else { return false };
        // A leaf has all that is below it.
        if next.is_empty() {
            return true;
        }
        at = next;
    }
    true
}

/// Whether a value is what a default says; a mapping may leave out what is in it.
fn is_like(default: &Value, value: &Value) -> bool {
    match (default, value) {
        (Value::Object(default), Value::Object(value)) => value
            .iter()
            .all(|(name, value)| default.get(name).map_or(value.is_null(), |default| is_like(default, value))),
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

/// The type of a kind. Kinds that the table does not have in this version have the fields of another version.
fn type_of(api_version: &str, kind: &str) -> Option<TypeOf<'static>> {
    let older = match api_version {
        "autoscaling/v2" => "autoscaling/v2beta2",
        "events.k8s.io/v1" => "v1",
        _ => "",
    };
    kubernetes_type(api_version, kind).or_else(|| kubernetes_type(older, kind))
}
