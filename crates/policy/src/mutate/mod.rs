//! `mutate`: strategic merges and JSON patches, of the resource, of elements, and of targets that are given.

pub(crate) mod applied;
pub(crate) mod json6902;
pub(crate) mod strategic;

use serde_json::Value;

use crate::conditions::Conditions;
use crate::context::{Entry, Frame};
use crate::jmespath::{Error, Expression, equal};
use crate::matching::Selector;
use crate::rule::{conditions, entries, list_expression};
use crate::template::Template;
use crate::validate::{Status, Verdict, element_frame, elements};

/// How deep `foreach` may nest.
const NESTING_MAX: usize = 5;

/// What is changed.
#[derive(Debug, Clone)]
enum Patch {
    Strategic(Template),
    Json(Template),
}

/// A change of each element of a list.
#[derive(Debug, Clone)]
struct ForEach {
    list: Expression,
    reverse: bool,
    context: Vec<Entry>,
    preconditions: Conditions,
    patch: Option<Patch>,
    each: Vec<ForEach>,
}

/// Which resources are changed instead of the one that was asked about.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    place: Template,
    selector: Option<Selector>,
    pub(crate) context: Vec<Entry>,
    pub(crate) preconditions: Conditions,
}

/// `mutate`.
#[derive(Debug, Clone)]
pub(crate) struct Mutate {
    patch: Option<Patch>,
    each: Option<Vec<ForEach>>,
    pub(crate) targets: Vec<Target>,
}

fn patch(value: &Value) -> Result<Option<Patch>, String> {
    if let Some(patch) = value.get("patchStrategicMerge").filter(|patch| !patch.is_null()) {
        return Template::compile(patch).map(Patch::Strategic).map(Some);
    }
    let text = value.get("patchesJson6902").and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(|text| {
        if !crate::template::has_variable(text) {
            json6902::read(text)?;
        }
        Template::compile(&Value::from(text)).map(Patch::Json)
    })
    .transpose()
}

impl ForEach {
    fn compile(value: &Value, depth: usize) -> Result<Self, String> {
        let patch = patch(value)?;
        let each = match value.get("foreach").and_then(Value::as_array) {
            None => Vec::new(),
            Some(items) => {
                let depth = depth.checked_sub(1).ok_or_else(|| format!("foreach nests deeper than {NESTING_MAX}"))?;
                items.iter().map(|item| Self::compile(item, depth)).collect::<Result<_, _>>()?
            }
        };
        if patch.is_none() && each.is_empty() {
            return Err("mutate.foreach needs patchStrategicMerge, patchesJson6902 or foreach".to_owned());
        }
        let order = value.get("order").and_then(Value::as_str);
        Ok(Self {
            list: list_expression(value.get("list"))?,
            reverse: order.map_or(matches!(patch, Some(Patch::Strategic(_))), |order| order == "Descending"),
            context: entries(value.get("context"))?,
            preconditions: conditions(value.get("preconditions"))?,
            patch,
            each,
        })
    }
}

impl Mutate {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let each = value.get("foreach").and_then(Value::as_array);
        let each =
            each.map(|items| items.iter().map(|item| ForEach::compile(item, NESTING_MAX)).collect::<Result<_, _>>());
        let targets = value.get("targets").and_then(Value::as_array).into_iter().flatten().map(Target::compile);
        let made = Self { patch: patch(value)?, each: each.transpose()?, targets: targets.collect::<Result<_, _>>()? };
        if made.patch.is_none() && made.each.is_none() {
            return Err("mutate needs patchStrategicMerge, patchesJson6902 or foreach".to_owned());
        }
        Ok(made)
    }

    /// The changed resource, or why it is not changed.
    pub(crate) fn run(&self, resource: &Value, frame: &Frame<'_>) -> (Verdict, Option<Value>) {
        let outcome = match (&self.each, &self.patch) {
            (Some(each), _) => changed_each(each, resource.clone(), frame, 0),
            (None, Some(patch)) => patch.apply(resource, frame),
            (None, None) => Ok(resource.clone()),
        };
        match outcome {
            Err(error) => (Verdict::error("the patch can't be applied", &error), None),
            Ok(patched) if equal(&patched, resource) => (Verdict::new(Status::Skip, "no patches applied"), None),
            Ok(patched) => (Verdict::new(Status::Pass, "the resource is changed"), Some(patched)),
        }
    }
}

impl Patch {
    fn apply(&self, resource: &Value, frame: &Frame<'_>) -> Result<Value, Error> {
        match self {
            Self::Strategic(template) => {
                let patch = template.render(frame, frame.delete())?;
                strategic::apply(resource, &patch).map_err(Error::new)
            }
            Self::Json(template) => {
                let rendered = template.render(frame, frame.delete())?;
                let operations = json6902::read(&crate::pattern::shown(&rendered)).map_err(Error::new)?;
                json6902::apply(resource, &operations).map_err(Error::new)
            }
        }
    }
}

fn changed_each(each: &[ForEach], mut resource: Value, frame: &Frame<'_>, nesting: usize) -> Result<Value, Error> {
    for one in each {
        let mut elements: Vec<(usize, Value)> = elements(&one.list, frame)?.into_iter().enumerate().collect();
        if one.reverse {
            elements.reverse();
        }
        for (index, element) in elements.into_iter().filter(|(_, element)| !element.is_null()) {
            let named = element_frame(frame, &one.context, &element, index, nesting);
            if !one.preconditions.evaluate(&named, named.delete())?.holds {
                continue;
            }
            resource = match &one.patch {
                Some(patch) => patch.apply(&resource, &named)?,
                None => changed_each(&one.each, resource, &named, nesting + 1)?,
            };
        }
    }
    Ok(resource)
}

impl Target {
    fn compile(value: &Value) -> Result<Self, String> {
        let mut place = value.clone();
        if let Some(fields) = place.as_object_mut() {
            fields.retain(|name, _| matches!(name.as_str(), "apiVersion" | "kind" | "name" | "namespace"));
        }
        Ok(Self {
            place: Template::compile(&place)?,
            selector: value.get("selector").map(Selector::compile).transpose()?,
            context: entries(value.get("context"))?,
            preconditions: conditions(value.get("preconditions"))?,
        })
    }

    /// Whether a resource is meant.
    pub(crate) fn selects(&self, resource: &Value, frame: &Frame<'_>) -> Result<bool, Error> {
        use crate::request::{Kind, text};
        use crate::wildcard::matches;
        let place = self.place.render(frame, frame.delete())?;
        let fits = |wanted: &str, found: &str| wanted.is_empty() || matches(wanted, found);
        let kind = Kind::of(resource);
        let api = text(resource, &["apiVersion"]);
        let wanted_kind = text(&place, &["kind"]).split('/').next().unwrap_or_default().to_owned();
        Ok(fits(text(&place, &["apiVersion"]), api)
            && fits(&wanted_kind, &kind.kind)
            && fits(text(&place, &["name"]), text(resource, &["metadata", "name"]))
            && fits(text(&place, &["namespace"]), text(resource, &["metadata", "namespace"]))
            && self.selector.as_ref().is_none_or(|selector| {
                selector.matches_json(resource.get("metadata").and_then(|metadata| metadata.get("labels")))
            }))
    }
}
