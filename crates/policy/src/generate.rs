//! `generate`: resources that follow from a resource, from data or as copies of resources that are given.

use serde_json::{Map, Value, json};

use crate::conditions::Conditions;
use crate::context::{Entry, Frame};
use crate::jmespath::{Error, Expression};
use crate::matching::{Selector, texts};
use crate::request::{at, text};
use crate::rule::{conditions, entries, list_expression};
use crate::template::Template;
use crate::validate::{Status, Verdict, element_frame, elements};
use crate::wildcard;

/// One resource to be made.
#[derive(Debug, Clone)]
struct Made {
    body: Template,
    selector: Option<Selector>,
}

#[derive(Debug, Clone)]
struct ForEach {
    list: Expression,
    context: Vec<Entry>,
    preconditions: Conditions,
    made: Made,
}

/// `generate`.
#[derive(Debug, Clone)]
pub(crate) struct Generate {
    made: Option<Made>,
    each: Vec<ForEach>,
}

impl Made {
    fn compile(value: &Value) -> Result<Option<Self>, String> {
        // A kind and a name alone make a resource without content.
        let bare = ["kind", "name"].iter().all(|name| !text(value, &[name]).is_empty());
        if !bare && ["data", "clone", "cloneList"].iter().all(|name| value.get(*name).is_none_or(Value::is_null)) {
            return Ok(None);
        }
        let mut body = Map::new();
        for name in ["apiVersion", "kind", "name", "namespace", "data", "clone", "cloneList"] {
            body.extend(value.get(name).map(|found| (name.to_owned(), found.clone())));
        }
        let selector = at(value, &["cloneList", "selector"]).map(Selector::compile).transpose()?;
        Ok(Some(Self { body: Template::compile(&Value::Object(body))?, selector }))
    }

    fn run(&self, frame: &Frame<'_>, sources: &[Value]) -> Result<Vec<Value>, Error> {
        let body = self.body.render(frame, frame.delete())?;
        let (namespace, name) = (text(&body, &["namespace"]), text(&body, &["name"]));
        if let Some(list) = body.get("cloneList").filter(|list| !list.is_null()) {
            let kinds = texts(list.get("kinds"));
            let from = text(list, &["namespace"]);
            let fits = |source: &&Value| {
                let kind = format!("{}/{}", text(source, &["apiVersion"]), text(source, &["kind"]));
                kinds.iter().any(|wanted| wildcard::matches(wanted, &kind) || *wanted == text(source, &["kind"]))
                    && (from.is_empty() || text(source, &["metadata", "namespace"]) == from)
                    && self
                        .selector
                        .as_ref()
                        .is_none_or(|selector| selector.matches_json(at(source, &["metadata", "labels"])))
            };
            return Ok(sources.iter().filter(fits).map(|source| copied(source, "", namespace)).collect());
        }
        if let Some(clone) = body.get("clone").filter(|clone| !clone.is_null()) {
            let (from, wanted) = (text(clone, &["namespace"]), text(clone, &["name"]));
            let source = sources.iter().find(|source| {
                text(source, &["metadata", "name"]) == wanted
                    && text(source, &["metadata", "namespace"]) == from
                    && text(source, &["kind"]) == text(&body, &["kind"])
            });
            let source =
                source.ok_or_else(|| Error::new(format!("{from}/{wanted}, which is to be copied, is not given")))?;
            return Ok(vec![copied(source, name, namespace)]);
        }
        let mut made = body.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        made.insert("apiVersion".to_owned(), Value::from(text(&body, &["apiVersion"])));
        made.insert("kind".to_owned(), Value::from(text(&body, &["kind"])));
        let mut made = Value::Object(made);
        placed(&mut made, name, namespace);
        Ok(vec![made])
    }
}

/// Sets name and namespace where they are given.
fn placed(resource: &mut Value, name: &str, namespace: &str) {
    let Some(fields) = resource.as_object_mut() else { return };
    let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    if let Some(metadata) = metadata.as_object_mut() {
        for (key, value) in [("name", name), ("namespace", namespace)] {
            if !value.is_empty() {
                metadata.insert(key.to_owned(), Value::from(value));
            }
        }
    }
}

/// A copy without what belongs to the original alone.
fn copied(source: &Value, name: &str, namespace: &str) -> Value {
    let mut made = source.clone();
    if let Some(fields) = made.as_object_mut() {
        fields.shift_remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|key, _| {
                !matches!(
                    key.as_str(),
                    "uid"
                        | "resourceVersion"
                        | "creationTimestamp"
                        | "ownerReferences"
                        | "managedFields"
                        | "selfLink"
                        | "generation"
                )
            });
        }
    }
    placed(&mut made, name, namespace);
    made
}

impl Generate {
    pub(crate) fn compile(value: &Value) -> Result<Self, String> {
        let mut each = Vec::new();
        for item in value.get("foreach").and_then(Value::as_array).into_iter().flatten() {
            each.push(ForEach {
                list: list_expression(item.get("list"))?,
                context: entries(item.get("context"))?,
                preconditions: conditions(item.get("preconditions"))?,
                made: Made::compile(item)?.ok_or("generate.foreach needs data, clone or cloneList")?,
            });
        }
        let made = Made::compile(value)?;
        if made.is_none() && each.is_empty() {
            return Err("generate needs data, clone, cloneList or foreach".to_owned());
        }
        Ok(Self { made, each })
    }

    /// The resources that follow. `sources` are those that may be copied.
    pub(crate) fn run(&self, frame: &Frame<'_>, sources: &[Value]) -> (Verdict, Vec<Value>) {
        match self.all(frame, sources) {
            Ok(made) => (Verdict::new(Status::Pass, format!("{} resource(s) follow", made.len())), made),
            Err(error) => (Verdict::error("nothing can be generated", &error), Vec::new()),
        }
    }

    fn all(&self, frame: &Frame<'_>, sources: &[Value]) -> Result<Vec<Value>, Error> {
        let mut all = self.made.as_ref().map_or_else(|| Ok(Vec::new()), |made| made.run(frame, sources))?;
        for each in &self.each {
            for (index, element) in elements(&each.list, frame)?.iter().enumerate() {
                let named = element_frame(frame, &each.context, element, index, 0);
                if each.preconditions.evaluate(&named, named.delete())?.holds {
                    all.extend(each.made.run(&named, sources)?);
                }
            }
        }
        Ok(all)
    }
}
