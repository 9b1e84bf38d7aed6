//! Patches, inline or in files: which objects they are for, and that they fit.

use prograde_model::Diagnostic;

use crate::codes;
use crate::json_patch::{self, Operation};
use crate::kustomization::Patch;
use crate::load::{Dir, Loader, Named, inner_documents};
use crate::merge;
use crate::node::{Kind, Node};
use crate::place::Place;
use crate::resource::{Resource, check};
use crate::schema::Schemas;
use crate::selector::Target;

/// A patch whose text has been read.
#[derive(Debug, Clone)]
pub(crate) enum Ready {
    /// Strategic merges.
    Strategic { patches: Vec<Resource>, target: Option<Target>, place: Place },
    /// Operations on one object after another; the flag says whether names are remembered.
    Json { operations: Vec<Operation>, target: Target, remember: bool, place: Place },
    /// Nothing: a patch of comments only.
    Nothing,
}

impl Ready {
    /// Where the patch is written, when it has a target that no object is meant by.
    pub(crate) fn idle(&self, resources: &[Resource], schemas: &Schemas) -> Option<&Place> {
        let (target, place) = match self {
            Self::Json { target, place, .. } | Self::Strategic { target: Some(target), place, .. } => (target, place),
            Self::Strategic { target: None, .. } | Self::Nothing => return None,
        };
        (!resources.iter().any(|resource| target.matches(resource, schemas))).then_some(place)
    }

    /// How much the patch may copy when it is applied to so many objects.
    pub(crate) fn weight(&self, objects: usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Json { operations, .. } => operations.len().saturating_mul(objects).saturating_mul(64),
            Self::Strategic { patches, target, .. } => {
                let all: usize = patches.iter().map(|patch| patch.tree.weight()).sum();
                if target.is_some() { all.saturating_mul(objects) } else { all }
            }
        }
    }
}

/// Reads the text of an entry of `patches`.
pub(crate) fn prepare(patch: &Patch, loader: &Loader, dir: &Dir) -> Result<Ready, Diagnostic> {
    let wrong = |message: &str, hint: &str| Err(patch.place.diagnostic(codes::PATCH, message, hint));
    let inline = patch.inline.as_ref().filter(|inline| !inline.text.trim().is_empty());
    let documents = match (&patch.path, inline) {
        (None, None) => return wrong("the patch has neither `path` nor `patch`", "write one of them"),
        (Some(_), Some(_)) => return wrong("the patch has both `path` and `patch`", "keep one of them"),
        (Some(file), None) => from_file(file, loader, dir)?,
        (None, Some(inline)) => from_text(inline.text.trim(), &inline.place)?,
    };
    let Some(first) = documents.first() else { return Ok(Ready::Nothing) };
    if first.kind() == Kind::List {
        let operations = json_patch::read(first)?;
        let Some(target) = patch.target.clone() else {
            return wrong("a JSON patch needs a `target`", "write `target` with the kind and name of an object");
        };
        return Ok(Ready::Json { operations, target, remember: true, place: patch.place.clone() });
    }
    let mut patches = objects(&documents)?;
    for loaded in &mut patches {
        loaded.allow_name_change = patch.allow_name_change;
        loaded.allow_kind_change = patch.allow_kind_change;
    }
    if patch.target.is_some() && patches.len() > 1 {
        let hint = "make one entry of `patches` for each";
        return wrong("several patches in one entry can't have a `target`", hint);
    }
    Ok(Ready::Strategic { patches, target: patch.target.clone(), place: patch.place.clone() })
}

/// The documents of a patch's text. What begins with a bracket must be JSON, as Kustomize has it.
fn from_text(text: &str, place: &Place) -> Result<Vec<Node>, Diagnostic> {
    refuse_loose_json(text, place)?;
    inner_documents(text, place)
}

fn from_file(path: &Named, loader: &Loader, dir: &Dir) -> Result<Vec<Node>, Diagnostic> {
    let (shown, text) = loader.text(dir, path)?;
    refuse_loose_json(&text, &Place::file(shown))?;
    Ok(loader.documents(dir, path)?.to_vec())
}

fn refuse_loose_json(text: &str, place: &Place) -> Result<(), Diagnostic> {
    if !text.starts_with('[') {
        return Ok(());
    }
    serde_json::from_str::<serde_json::Value>(text).map(|_| ()).map_err(|error| {
        let message = format!("a patch that begins with `[` must be JSON: {error}");
        place.diagnostic(codes::PATCH, message, "put names and texts in double quotes, or write a YAML list")
    })
}

/// Reads an entry of `patchesJson6902`.
pub(crate) fn prepare_json(patch: &Patch, loader: &Loader, dir: &Dir) -> Result<Ready, Diagnostic> {
    let wrong = |message: &str| Err(patch.place.diagnostic(codes::PATCH, message, ""));
    let Some(target) = patch.target.clone().filter(|_| patch.target_name) else {
        return wrong("an entry of `patchesJson6902` needs a `target` with a `name`");
    };
    let documents = match (&patch.path, &patch.inline) {
        (None, None) => return wrong("the patch has neither `path` nor `patch`"),
        (Some(_), Some(_)) => return wrong("the patch has both `path` and `patch`"),
        (Some(file), None) => from_file(file, loader, dir)?,
        (None, Some(inline)) => from_text(&inline.text, &inline.place)?,
    };
    let operations = documents.first().map(json_patch::read).transpose()?.unwrap_or_default();
    if operations.is_empty() {
        return wrong("the patch has no operations");
    }
    Ok(Ready::Json { operations, target, remember: false, place: patch.place.clone() })
}

/// Reads entries of `patchesStrategicMerge`: each is a text or a path.
pub(crate) fn prepare_strategic(entries: &[Named], loader: &Loader, dir: &Dir) -> Result<Vec<Resource>, Diagnostic> {
    let mut all = Vec::new();
    for entry in entries {
        let inline = inner_documents(&entry.text, &entry.place).and_then(|documents| objects(&documents));
        match inline {
            Ok(patches) => all.extend(patches),
            Err(problem) if entry.text.contains('\n') => return Err(problem),
            Err(_) => all.extend(objects(&loader.documents(dir, entry)?)?),
        }
    }
    Ok(all)
}

/// The objects of documents; lists are opened.
pub(crate) fn objects(documents: &[Node]) -> Result<Vec<Resource>, Diagnostic> {
    let mut queue: std::collections::VecDeque<Node> = documents.iter().cloned().collect();
    let mut all = Vec::new();
    let only = documents.len() == 1;
    while let Some(node) = queue.pop_front() {
        if node.is_empty() {
            continue;
        }
        // A document that is nothing but a list of objects needs no name of its own.
        let kind = node.text_at(&["kind"]);
        if only && matches!(kind, "List" | "ResourceList") && node.get("items").is_some() && all.is_empty() {
            queue.extend(node.get("items").map(Node::items).unwrap_or_default().iter().cloned());
            continue;
        }
        check(&node)?;
        if !kind.ends_with("List") {
            all.push(Resource::new(node));
            continue;
        }
        match node.get("items") {
            None => all.push(Resource::new(node)),
            Some(items) if items.is_null() => {}
            Some(items) if items.kind() == Kind::List => queue.extend(items.items().iter().cloned()),
            Some(items) => {
                let message = format!("`items` of a {kind} must be a list, found {}", items.kind_text());
                return Err(items.place.diagnostic(codes::NOT_AN_OBJECT, message, ""));
            }
        }
    }
    Ok(all)
}

/// Applies a patch to the objects that it is for.
pub(crate) fn apply(resources: &mut Vec<Resource>, ready: &Ready, schemas: &Schemas) -> Result<(), Diagnostic> {
    match ready {
        Ready::Nothing => Ok(()),
        Ready::Json { operations, target, remember, .. } => {
            for resource in resources.iter_mut() {
                if resource.is_deleted() || !target.matches(resource, schemas) {
                    continue;
                }
                if *remember {
                    resource.remember(schemas);
                }
                resource.tree = json_patch::apply(&resource.tree, operations)?;
                if json_patch::replaces_annotations(operations) {
                    resource.origin = None;
                    resource.transformations.clear();
                }
            }
            Ok(())
        }
        Ready::Strategic { patches, target: Some(target), .. } => {
            let Some(patch) = patches.first() else { return Ok(()) };
            let selected: Vec<usize> = resources
                .iter()
                .enumerate()
                .filter(|(_, resource)| target.matches(resource, schemas))
                .map(|(index, _)| index)
                .collect();
            apply_to(resources, &selected, patch, schemas)
        }
        Ready::Strategic { patches, target: None, .. } => {
            for patch in patches {
                let at = unique(resources, patch, schemas)?;
                if let Some(resource) = resources.get_mut(at) {
                    apply_one(resource, patch.clone(), schemas)?;
                }
            }
            Ok(())
        }
    }
}

/// Applies the patches of `patchesStrategicMerge`.
pub(crate) fn apply_strategic(
    resources: &mut Vec<Resource>,
    patches: &[Resource],
    schemas: &Schemas,
) -> Result<(), Diagnostic> {
    for patch in patches {
        let at = unique(resources, patch, schemas)?;
        apply_to(resources, &[at], patch, schemas)?;
    }
    Ok(())
}

/// The one object that a patch names.
fn unique(resources: &[Resource], patch: &Resource, schemas: &Schemas) -> Result<usize, Diagnostic> {
    let id = patch.first_id(schemas);
    let found: Vec<usize> = resources
        .iter()
        .enumerate()
        .filter(|(_, resource)| resource.any_id(schemas, |other| other.same(&id)))
        .map(|(index, _)| index)
        .collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let message = format!("the patch is for {id}, which is not there");
            Err(patch.place().diagnostic(codes::NO_TARGET, message, here(resources)))
        }
        several => {
            let message = format!("the patch is for {id}, and {} objects are or were called so", several.len());
            Err(patch.place().diagnostic(codes::NO_TARGET, message, "write a `target` that is unique"))
        }
    }
}

/// What is there, for hints.
pub(crate) fn here(resources: &[Resource]) -> String {
    let names: Vec<String> =
        resources.iter().take(10).map(|resource| format!("{} {}", resource.kind(), resource.name())).collect();
    if names.is_empty() { String::new() } else { format!("there is: {}", names.join(", ")) }
}

/// Applies a copy of a patch to each selected object; it takes on the object's API version.
fn apply_to(
    resources: &mut Vec<Resource>,
    selected: &[usize],
    patch: &Resource,
    schemas: &Schemas,
) -> Result<(), Diagnostic> {
    for index in selected {
        let Some(resource) = resources.get_mut(*index) else { continue };
        let mut copy = patch.clone();
        for field in ["labels", "annotations"] {
            let texts = copy.texts(field);
            copy.set_texts(field, &texts);
        }
        let version = resource.gvk().api_version();
        let node = Node::scalar(copy.place(), crate::scalar::Tag::Open, version);
        copy.tree.put("apiVersion", node);
        apply_one(resource, copy, schemas)?;
    }
    resources.retain(|resource| !resource.is_deleted());
    Ok(())
}

/// Whether a patch takes all annotations away, and with them what Kustomize remembers in them.
fn forgets(patch: &Node) -> bool {
    let ends = |node: &Node| node.is_null() || matches!(node.text_at(&["$patch"]), "delete" | "replace");
    let metadata = patch.get("metadata");
    metadata.is_some_and(|metadata| ends(metadata) || metadata.get("annotations").is_some_and(ends))
}

fn apply_one(resource: &mut Resource, patch: Resource, schemas: &Schemas) -> Result<(), Diagnostic> {
    let (name, namespace) = (resource.name().to_owned(), resource.namespace().to_owned());
    let kind = resource.kind().to_owned();
    if patch.allow_name_change || patch.allow_kind_change {
        resource.remember(schemas);
    }
    if forgets(&patch.tree) {
        resource.earlier.clear();
        resource.prefixes.clear();
        resource.suffixes.clear();
        resource.needs_hash = false;
        resource.origin = None;
        resource.transformations.clear();
    }
    let place = resource.tree.place.clone();
    let tree = std::mem::replace(&mut resource.tree, Node::null(&place));
    let (keep_name, keep_kind) = (!patch.allow_name_change, !patch.allow_kind_change);
    let Some(merged) = merge::merge(tree, patch.tree, schemas)? else { return Ok(()) };
    resource.tree = merged;
    if resource.is_deleted() {
        return Ok(());
    }
    if keep_kind {
        let node = Node::scalar(&place, crate::scalar::Tag::Open, kind);
        resource.tree.put("kind", node);
    }
    if keep_name {
        resource.set_name(&name);
    }
    resource.set_namespace(&namespace);
    Ok(())
}
