//! Patches: which objects they are for, and applying them. A patch that finds no object is an error, because it was
//! written to change something.

use prograde_model::Diagnostic;

use super::budget::Budget;
use super::kustomization::{Patch, PatchSource};
use super::load::Loader;
use super::resource::{Id, Resource, split_api_version};
use super::{json_patch, strategic};
use crate::codes;
use crate::located::{DEPTH_MAX, Located, Place, Value};

/// Applies one entry of `patches` or `patchesStrategicMerge` of the kustomization in `dir`.
pub(super) fn apply(
    resources: &mut Vec<Resource>,
    patch: &Patch,
    loader: &Loader,
    dir: &str,
    budget: &mut Budget,
) -> Result<(), Diagnostic> {
    let documents = read(&patch.source, loader, dir, budget)?;
    if documents.is_empty() {
        return Err(patch.place.diagnostic(codes::PATCH, "the patch is empty", "write what it changes, or remove it"));
    }
    if documents.iter().any(|document| matches!(document.value, Value::List(_))) {
        return operations(resources, patch, &documents, budget);
    }
    if let Some(target) = &patch.target {
        let [document] = documents.as_slice() else {
            let message = "a patch with a `target` must be one document";
            return Err(patch.place.diagnostic(codes::PATCH, message, "write one entry of `patches` for each"));
        };
        header(document)?;
        let chosen = chosen(resources, patch, |resource| target.matches(resource))?;
        return merge(resources, &chosen, document, budget);
    }
    for document in documents {
        let id = identity(&document)?;
        let chosen: Vec<usize> = positions(resources, |resource| resource.any_id(|other| *other == id));
        if let [_] = chosen.as_slice() {
            merge(resources, &chosen, &document, budget)?;
        } else {
            return Err(no_target(&document.place, &id, resources, chosen.len()));
        }
    }
    Ok(())
}

fn read(source: &PatchSource, loader: &Loader, dir: &str, budget: &mut Budget) -> Result<Vec<Located>, Diagnostic> {
    match source {
        PatchSource::Inline(text) => loader.inline(text, budget),
        PatchSource::Either(text) if text.text.contains('\n') => loader.inline(text, budget),
        PatchSource::File(file) | PatchSource::Either(file) => loader.documents(dir, file, budget),
    }
}

fn positions(resources: &[Resource], matches: impl Fn(&Resource) -> bool) -> Vec<usize> {
    resources.iter().enumerate().filter(|(_, resource)| matches(resource)).map(|(index, _)| index).collect()
}

fn chosen(
    resources: &[Resource],
    patch: &Patch,
    matches: impl Fn(&Resource) -> bool,
) -> Result<Vec<usize>, Diagnostic> {
    let found = positions(resources, matches);
    if found.is_empty() {
        let message = "the patch's `target` matches no object";
        return Err(patch.place.diagnostic(codes::NO_TARGET, message, here(resources)));
    }
    Ok(found)
}

fn no_target(place: &Place, id: &Id, resources: &[Resource], found: usize) -> Diagnostic {
    let message = match found {
        0 => format!("the patch is for {id} of `{}`, which is not there", api_version(id)),
        _ => format!("the patch is for {id}, of which there are {found}"),
    };
    place.diagnostic(codes::NO_TARGET, message, here(resources))
}

fn api_version(id: &Id) -> String {
    if id.group.is_empty() { id.version.clone() } else { format!("{}/{}", id.group, id.version) }
}

/// What is there to choose from.
pub(super) fn here(resources: &[Resource]) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<String> = resources.iter().take(SHOWN).map(|resource| resource.id().to_string()).collect();
    if resources.len() > SHOWN {
        names.push(format!("{} more", resources.len() - SHOWN));
    }
    if names.is_empty() { "there are no objects here".into() } else { format!("there is {}", names.join(", ")) }
}

/// A patch of one object names its kind, as every object does.
fn header(document: &Located) -> Result<(), Diagnostic> {
    if document.text_at(&["kind"]).is_some() && document.text_at(&["metadata", "name"]).is_some() {
        return Ok(());
    }
    let message = "a strategic merge patch needs `apiVersion`, `kind` and `metadata.name`";
    Err(document.place.diagnostic(codes::PATCH, message, "with a `target`, any name will do"))
}

fn identity(document: &Located) -> Result<Id, Diagnostic> {
    header(document)?;
    let text = |path: &[&str]| document.text_at(path).unwrap_or_default();
    let (group, version) = split_api_version(text(&["apiVersion"]));
    Ok(Id::new(group, version, text(&["kind"]), text(&["metadata", "name"]), text(&["metadata", "namespace"])))
}

/// Merges one document into the chosen objects. Identities stay as they are.
fn merge(
    resources: &mut Vec<Resource>,
    chosen: &[usize],
    patch: &Located,
    budget: &mut Budget,
) -> Result<(), Diagnostic> {
    let mut patch = patch.clone();
    for name in ["apiVersion", "kind"] {
        patch.remove(name);
    }
    if let Some(metadata) = patch.get_mut("metadata") {
        metadata.remove("name");
        metadata.remove("namespace");
    }
    if let Some(found) = patch.get("$patch").filter(|found| found.as_str() == Some("replace")) {
        let message = "a whole object can't be replaced by a patch";
        return Err(found.place.diagnostic(
            codes::PATCH,
            message,
            "leave the object out of `resources` and list the new one",
        ));
    }
    let weight = patch.weight();
    let mut deleted = Vec::new();
    for index in chosen {
        let Some(resource) = resources.get_mut(*index) else { continue };
        budget.spend(weight, &patch.place)?;
        let (group, kind) = (resource.group_version().0.to_owned(), resource.kind().to_owned());
        let empty = Located::map(&resource.tree.place);
        let origin = resource.tree.place.clone();
        let object = std::mem::replace(&mut resource.tree, empty);
        match strategic::merge(object, patch.clone(), &group, &kind)? {
            Some(mut merged) => {
                merged.place = origin;
                resource.tree = merged;
            }
            None => deleted.push(*index),
        }
    }
    for index in deleted.into_iter().rev() {
        resources.remove(index);
    }
    Ok(())
}

fn operations(
    resources: &mut [Resource],
    patch: &Patch,
    documents: &[Located],
    budget: &mut Budget,
) -> Result<(), Diagnostic> {
    let [document] = documents else {
        let message = "a JSON patch must be one document";
        return Err(patch.place.diagnostic(codes::PATCH, message, "write one entry of `patches` for each"));
    };
    let Some(target) = &patch.target else {
        let hint = "write `target: {kind: Deployment, name: ...}`";
        return Err(patch.place.diagnostic(codes::PATCH, "a JSON patch needs a `target`", hint));
    };
    let operations = json_patch::read(document)?;
    let weight = document.weight();
    for index in chosen(resources, patch, |resource| target.matches(resource))? {
        let Some(resource) = resources.get_mut(index) else { continue };
        budget.spend(weight, &patch.place)?;
        resource.remember_id();
        let mut object = resource.tree.clone();
        for operation in &operations {
            json_patch::apply(&mut object, operation, &mut |value, depth| {
                budget.spend(value.weight(), &patch.place)?;
                if depth + value.depth() > DEPTH_MAX {
                    let message = format!("the patch nests values more than {DEPTH_MAX} deep");
                    return Err(patch.place.diagnostic(codes::TOO_LARGE, message, ""));
                }
                Ok(())
            })?;
        }
        budget.spend(object.weight(), &patch.place)?;
        let patched = Resource::new(object)?;
        resource.tree = patched.tree;
    }
    Ok(())
}
