//! Filling in: every text and every key of a template or a generator; and the patch that comes last.

use prograde_kustomize::{Node, documents};
use prograde_model::Diagnostic;
use serde_json::{Map, Value as Json};

use super::Generation;
use crate::argo::application::FINALIZER;
use crate::argo::fields;
use crate::codes;
use crate::schema::{Type, check};
use crate::template::Scope;

/// Generators whose `values` are filled in with their own parameters, not with those of a generator before them.
const WITH_VALUES: [&str; 6] = ["clusters", "git", "scmProvider", "clusterDecisionResource", "pullRequest", "plugin"];

/// A text.
pub(super) fn text(generation: &Generation<'_>, text: &str, scope: &Scope<'_>, at: &str) -> Result<String, Diagnostic> {
    let filled = generation.filler.fill(text, scope).map_err(|why| {
        let hint = "the parameters are those that the generator gives; `prograde explain PG1343` says more";
        generation.wrong(
            codes::TEMPLATE,
            format!("{at} of `{}` can't be filled in: {why}", generation.set.metadata.name),
            hint,
        )
    })?;
    generation.spend(filled.len())?;
    Ok(filled)
}

/// All texts and keys of a value.
pub(super) fn all(generation: &Generation<'_>, value: &Json, scope: &Scope<'_>) -> Result<Json, Diagnostic> {
    walk(generation, value, scope, "`template`", "")
}

/// All texts and keys of a generator, but for `values`.
pub(super) fn generator(generation: &Generation<'_>, value: &Json, scope: &Scope<'_>) -> Result<Json, Diagnostic> {
    walk(generation, value, scope, "a generator", "")
}

/// Depth is bounded by the reader.
fn walk(
    generation: &Generation<'_>,
    value: &Json,
    scope: &Scope<'_>,
    at: &str,
    inside: &str,
) -> Result<Json, Diagnostic> {
    Ok(match value {
        Json::String(one) => Json::String(text(generation, one, scope, at)?),
        Json::Array(items) => {
            items.iter().map(|item| walk(generation, item, scope, at, inside)).collect::<Result<_, _>>()?
        }
        Json::Object(map) => {
            let mut filled = Map::with_capacity(map.len());
            for (name, value) in map {
                if at == "a generator" && name == "values" && WITH_VALUES.contains(&inside) {
                    filled.insert(name.clone(), value.clone());
                    continue;
                }
                filled.insert(text(generation, name, scope, at)?, walk(generation, value, scope, at, name)?);
            }
            Json::Object(filled)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    })
}

/// The finalizer of applications that have none, unless what they deployed is to stay.
pub(super) fn finalizer(object: &mut Json, preserves: bool) {
    let Some(map) = object.as_object_mut() else { return };
    let metadata = map.entry("metadata").or_insert_with(|| Json::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else { return };
    let has_some = metadata.get("finalizers").and_then(Json::as_array).is_some_and(|list| !list.is_empty());
    if !preserves && !has_some {
        metadata.insert("finalizers".to_owned(), Json::Array(vec![Json::from(FINALIZER)]));
    }
}

/// Fills in the patch and puts it on an application. The project stays what the template says.
pub(super) fn patch(
    generation: &Generation<'_>,
    object: &mut Json,
    patch: &str,
    scope: &Scope<'_>,
) -> Result<(), Diagnostic> {
    let filled = text(generation, patch, scope, "`templatePatch`")?;
    let wrong = |why: &str| {
        let name = &generation.set.metadata.name;
        generation.wrong(
            codes::PATCH,
            format!("`templatePatch` of `{name}` can't be applied: {why}"),
            "it is a patch of an Application, in YAML",
        )
    };
    let found = documents("templatePatch", &filled)
        .map_err(|found| wrong(&format!("line {}: {}", found.line, found.message)))?;
    let Some(node) = found.first() else { return Ok(()) };
    let patch = node.to_json().map_err(|found| wrong(&found.message))?;
    if !patch.is_object() {
        return Err(wrong("it is no mapping"));
    }
    let project = object.pointer("/spec/project").cloned();
    merge(object, &patch, "");
    if let Some(spec) = object.get_mut("spec").and_then(Json::as_object_mut) {
        spec.shift_remove("project");
        spec.extend(project.map(|project| ("project".to_owned(), project)));
    }
    let place = &generation.set.place;
    let mut problems = Vec::new();
    check(&Node::from_json(object, place), Type::Struct(&fields::APPLICATION), "", &mut problems);
    match problems.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Diagnostic { message: format!("after `templatePatch`: {}", problem.message), ..problem }),
    }
}

/// A list with the items of a patch, which come first but for what stood before them already.
fn added(before: &[Json], patch: &[Json]) -> Vec<Json> {
    let place = |item: &Json| before.iter().position(|other| other == item);
    let mut own = before.iter().filter(|item| !patch.contains(item)).peekable();
    let mut all: Vec<Json> = Vec::new();
    for item in patch {
        while let Some(next) = own.next_if(|next| place(item).is_some_and(|at| place(next) < Some(at))) {
            all.push(next.clone());
        }
        if !all.contains(item) {
            all.push(item.clone());
        }
    }
    all.extend(own.cloned());
    all
}

/// A strategic merge patch, as Kubernetes applies it to an Application: lists are replaced, but for the finalizers, which
/// are added.
///
/// Source: Kubernetes, `strategic-merge-patch.md`; of the lists of an Application only `finalizers` has a strategy.
fn merge(into: &mut Json, patch: &Json, name: &str) {
    let (Json::Object(map), Json::Object(patch)) = (&mut *into, patch) else {
        match (into, patch) {
            (Json::Array(into), Json::Array(more)) if name == "finalizers" => {
                *into = added(into, more);
            }
            (into, patch) => *into = without_directives(patch),
        }
        return;
    };
    match patch.get("$patch").and_then(Json::as_str) {
        Some("replace") => {
            *into = without_directives(&Json::Object(patch.clone()));
            return;
        }
        Some("delete") => {
            *into = Json::Null;
            return;
        }
        _ => {}
    }
    for (key, value) in patch {
        if key.starts_with('$') {
            continue;
        }
        if value.is_null() {
            map.shift_remove(key);
            continue;
        }
        match map.get_mut(key) {
            Some(present) if !present.is_null() => merge(present, value, key),
            _ => {
                map.insert(key.clone(), without_directives(value));
            }
        }
    }
}

/// A patch as a value of its own: without directives, and without what it deletes.
fn without_directives(patch: &Json) -> Json {
    match patch {
        Json::Object(map) => {
            let stays = |(name, value): &(&String, &Json)| !name.starts_with('$') && !value.is_null();
            Json::Object(
                map.iter().filter(stays).map(|(name, value)| (name.clone(), without_directives(value))).collect(),
            )
        }
        Json::Array(items) => items.iter().map(without_directives).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => patch.clone(),
    }
}
