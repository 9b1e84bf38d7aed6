//! The objects of an application whose sources are here: kustomizations and plain directories. What needs a program is
//! refused.
//!
//! Source: Argo CD 3.4, documentation, "Kustomize" and "Directory"; options of Kustomize are what `kustomize edit` does.

use std::collections::BTreeMap;

use prograde_kustomize::{Files, KUSTOMIZATION_FILES, Kind, Node, Renderer, Replaced, documents, join};
use prograde_model::{Diagnostic, Diagnostics};
use serde_json::{Map, Value as Json};

use crate::argo::application::{Application, Directory, Kustomize, Source};
use crate::argo::project::Rendered;
use crate::codes;
use crate::glob::Glob;
use crate::helm;
use crate::repository::{Repositories, content};

/// The most files that a plain directory may have.
const FILES_MAX: usize = 5_000;
/// The most objects of one application.
const OBJECTS_MAX: usize = 5_000;

/// The objects of all sources of an application.
pub fn render(application: &Application, repositories: &dyn Repositories) -> Result<Vec<Rendered>, Diagnostics> {
    let mut all = Vec::new();
    if application.spec.source_hydrator.is_some() {
        let message = format!("`{}` is hydrated by Argo CD", application.name());
        let hint = "render the branch that is hydrated to: write it as `source`";
        return Err(application.place.diagnostic(codes::UNSUPPORTED, message, hint).into());
    }
    for source in application.sources() {
        // A source that is only referred to has nothing of its own.
        if !source.reference.is_empty() && source.path.is_empty() && source.chart.is_empty() {
            continue;
        }
        all.extend(one(application, source, repositories)?);
        if all.len() > OBJECTS_MAX {
            let message = format!("`{}` has more than {OBJECTS_MAX} objects", application.name());
            return Err(application.place.diagnostic(codes::TOO_LARGE, message, "split it").into());
        }
    }
    Ok(all)
}

fn one(
    application: &Application,
    source: &Source,
    repositories: &dyn Repositories,
) -> Result<Vec<Rendered>, Diagnostics> {
    let name = application.name();
    let wrong = |code: &str, message: String, hint: &str| application.place.diagnostic(code, message, hint);
    if !source.chart.is_empty() {
        return helm::render(application, source, None, repositories);
    }
    if source.plugin.is_some() {
        let hint = "commit what the plugin gives and use a directory";
        return Err(wrong(codes::UNSUPPORTED, format!("`{name}` is rendered by a plugin"), hint).into());
    }
    let Some(tree) = repositories.find(&source.repo_url) else {
        let message =
            format!("the repository `{}` of `{name}` is not known here", crate::schema::shortened(&source.repo_url));
        let hint = format!("say where it is checked out: `--repo {}=DIR`", source.repo_url);
        return Err(wrong(codes::REPOSITORY, message, &hint).into());
    };
    let Some(path) = join("", &source.path) else {
        let message =
            format!("the path `{}` of `{name}` leaves the repository", crate::schema::shortened(&source.path));
        return Err(wrong(codes::REPOSITORY, message, "write it as seen from the repository's root").into());
    };
    if !tree.is_directory(&path) {
        let message = format!("the directory `{path}` of `{name}` is not there");
        return Err(wrong(codes::SOURCE, message, "see `spec.source.path`").into());
    }
    let file = |file: &str| join(&path, file).unwrap_or_default();
    let is_file = |name: &str| matches!(tree.read(&file(name)), Ok(Some(_)));
    let kustomization = KUSTOMIZATION_FILES.into_iter().find(|name| is_file(name));
    if source.helm.is_some() {
        return helm::render(application, source, Some((tree, &path)), repositories);
    }
    match (&source.kustomize, &source.directory, kustomization) {
        (None, Some(directory), _) => plain(application, tree, &path, directory),
        (Some(options), _, Some(found)) => kustomize(application, tree, (&path, &file(found)), Some(options)),
        (None, None, Some(found)) => kustomize(application, tree, (&path, &file(found)), None),
        (Some(_), _, None) => {
            let message = format!("`{path}` of `{name}` has no kustomization");
            Err(wrong(codes::SOURCE, message, "add `kustomization.yaml`, or leave `kustomize` out").into())
        }
        (None, None, None) if is_file("Chart.yaml") => {
            helm::render(application, source, Some((tree, &path)), repositories)
        }
        (None, None, None) => plain(application, tree, &path, &Directory::default()),
    }
}

fn kustomize(
    application: &Application,
    tree: &dyn Files,
    (path, file): (&str, &str),
    options: Option<&Kustomize>,
) -> Result<Vec<Rendered>, Diagnostics> {
    let rendering = match options {
        None => Renderer::new(tree).render(path)?,
        Some(options) => {
            let edited = edited(application, tree, (path, file), options)?;
            let overlay = Replaced { files: tree, path: file.to_owned(), content: edited.into_bytes().into() };
            Renderer::new(&overlay).render(path)?
        }
    };
    let object = |resource: &prograde_kustomize::Resource| {
        Ok(Rendered { object: resource.to_json()?, place: resource.place().clone() })
    };
    Ok(rendering.resources.iter().map(object).collect::<Result<_, Diagnostic>>()?)
}

/// The kustomization with the application's options, as `kustomize edit` puts them in.
fn edited(
    application: &Application,
    tree: &dyn Files,
    (path, file): (&str, &str),
    options: &Kustomize,
) -> Result<String, Diagnostics> {
    let wrong =
        |message: String, hint: &str| Diagnostics::from(application.place.diagnostic(codes::SOURCE, message, hint));
    let bytes = content(tree, file).map_err(|why| wrong(why, ""))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong(format!("`{file}` is not UTF-8"), ""))?;
    let first = documents(file, text)?.into_iter().next();
    let mut json = first.map(|node| node.to_json()).transpose()?.unwrap_or_else(|| Json::Object(Map::new()));
    let Some(map) = json.as_object_mut() else { return Err(wrong(format!("`{file}` is no mapping"), "")) };
    for (key, value) in
        [("namePrefix", &options.name_prefix), ("nameSuffix", &options.name_suffix), ("namespace", &options.namespace)]
    {
        if !value.is_empty() {
            map.insert(key.to_owned(), Json::from(value.as_str()));
        }
    }
    images(map, &options.images).map_err(|image| {
        wrong(
            format!("`{}` is no image for Kustomize", crate::schema::shortened(&image)),
            "write `NAME:TAG`, `NAME@DIGEST` or `NAME=NEW:TAG`",
        )
    })?;
    for replicas in &options.replicas {
        let count = replicas.count.as_i64().or_else(|| replicas.count.as_str().and_then(|text| text.parse().ok()));
        let count =
            count.ok_or_else(|| wrong(format!("the number of replicas of `{}` is no number", replicas.name), ""))?;
        named(map, "replicas", &replicas.name, &[("count", Json::from(count))]);
    }
    if options.label_without_selector || options.label_include_templates {
        labels(map, options)
            .map_err(|key| wrong(format!("the label `{key}` is there already"), "set `forceCommonLabels`"))?;
    } else {
        merged(map, "commonLabels", &options.common_labels, options.force_common_labels)
            .map_err(|key| wrong(format!("the label `{key}` is there already"), "set `forceCommonLabels`"))?;
    }
    merged(map, "commonAnnotations", &options.common_annotations, options.force_common_annotations)
        .map_err(|key| wrong(format!("the annotation `{key}` is there already"), "set `forceCommonAnnotations`"))?;
    change_list(map, "patches", |patches| patches.extend(options.patches.iter().cloned()));
    change_list(map, "components", |components| {
        for component in &options.components {
            let there = join(path, component).is_some_and(|dir| tree.is_directory(&dir));
            let entry = Json::from(component.as_str());
            if !components.contains(&entry) && (there || !options.ignore_missing_components) {
                components.push(entry);
            }
        }
    });
    map.retain(|_, value| !value.as_array().is_some_and(Vec::is_empty));
    Ok(prograde_kustomize::yaml(&json))
}

/// Changes the list under a key, which is empty where it is not there.
fn change_list<T>(map: &mut Map<String, Json>, key: &str, change: impl FnOnce(&mut Vec<Json>) -> T) -> T {
    let mut items = match map.get_mut(key).map(Json::take) {
        Some(Json::Array(items)) => items,
        Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_)) | None => Vec::new(),
    };
    let result = change(&mut items);
    map.insert(key.to_owned(), Json::Array(items));
    result
}

/// Sets fields of the entry of a name, which is added where it is not there.
fn named(map: &mut Map<String, Json>, key: &str, name: &str, fields: &[(&str, Json)]) {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), Json::from(name));
    entry.extend(fields.iter().map(|(field, value)| ((*field).to_owned(), value.clone())));
    change_list(map, key, |items| {
        let present = items.iter_mut().find(|item| item.get("name").and_then(Json::as_str) == Some(name));
        match present.and_then(Json::as_object_mut) {
            Some(present) => present.extend(entry),
            None => items.push(Json::Object(entry)),
        }
    });
}

/// `NAME=NEW[:TAG][@DIGEST]` or `NAME[:TAG][@DIGEST]`.
fn images(map: &mut Map<String, Json>, images: &[String]) -> Result<(), String> {
    for image in images {
        let (name, new) = match image.split_once('=') {
            Some((name, new)) => (Some(name), new),
            None => (None, image.as_str()),
        };
        let (rest, digest) = new.split_once('@').unwrap_or((new, ""));
        let after_slash = rest.rfind('/').map_or(0, |slash| slash + 1);
        let colon = rest.get(after_slash..).and_then(|last| last.find(':')).map(|at| at + after_slash);
        let (new_name, tag) = match colon.and_then(|at| rest.split_at_checked(at)) {
            Some((name, tag)) => (name, tag.trim_start_matches(':')),
            None => (rest, ""),
        };
        if new_name.is_empty() || name == Some("") || (name.is_none() && tag.is_empty() && digest.is_empty()) {
            return Err(image.clone());
        }
        let mut fields: Vec<(&str, Json)> = Vec::new();
        if name.is_some() {
            fields.push(("newName", Json::from(new_name)));
        }
        if !tag.is_empty() {
            fields.push(("newTag", Json::from(tag)));
        }
        if !digest.is_empty() {
            fields.push(("digest", Json::from(digest)));
        }
        let name = name.unwrap_or(new_name);
        // A tag takes an older digest away, and a digest a tag.
        change_list(map, "images", |items| {
            for item in items.iter_mut().filter(|item| item.get("name").and_then(Json::as_str) == Some(name)) {
                if let Some(entry) = item.as_object_mut().filter(|_| !(tag.is_empty() && digest.is_empty())) {
                    entry.shift_remove("newTag");
                    entry.shift_remove("digest");
                }
            }
        });
        named(map, "images", name, &fields);
    }
    Ok(())
}

fn merged(map: &mut Map<String, Json>, key: &str, more: &BTreeMap<String, String>, force: bool) -> Result<(), String> {
    if more.is_empty() {
        return Ok(());
    }
    let entry = map.entry(key).or_insert_with(|| Json::Object(Map::new()));
    if let Some(present) = entry.as_object_mut() {
        for (name, value) in more {
            if present.contains_key(name) && !force {
                return Err(name.clone());
            }
            present.insert(name.clone(), Json::from(value.as_str()));
        }
    }
    Ok(())
}

fn labels(map: &mut Map<String, Json>, options: &Kustomize) -> Result<(), String> {
    if options.common_labels.is_empty() {
        return Ok(());
    }
    let pairs: Map<String, Json> =
        options.common_labels.iter().map(|(name, value)| (name.clone(), Json::from(value.as_str()))).collect();
    let mut entry = Map::new();
    entry.insert("pairs".to_owned(), Json::Object(pairs));
    entry.insert("includeSelectors".to_owned(), Json::Bool(!options.label_without_selector));
    if options.label_include_templates {
        entry.insert("includeTemplates".to_owned(), Json::Bool(true));
    }
    change_list(map, "labels", |labels| {
        for present in labels.iter_mut().filter_map(|label| label.get_mut("pairs").and_then(Json::as_object_mut)) {
            for name in options.common_labels.keys() {
                if present.contains_key(name) && !options.force_common_labels {
                    return Err(name.clone());
                }
                present.shift_remove(name);
            }
        }
        labels.push(Json::Object(entry));
        Ok(())
    })
}

fn plain(
    application: &Application,
    tree: &dyn Files,
    path: &str,
    directory: &Directory,
) -> Result<Vec<Rendered>, Diagnostics> {
    let wrong =
        |code: &str, message: String, hint: &str| Diagnostics::from(application.place.diagnostic(code, message, hint));
    let name = application.name();
    let glob = |pattern: &str| {
        Glob::gobwas(pattern, None).map_err(|why| wrong(codes::VALUE, format!("{why} for files of `{name}`"), ""))
    };
    let include = (!directory.include.is_empty()).then(|| glob(&directory.include)).transpose()?;
    let exclude = (!directory.exclude.is_empty()).then(|| glob(&directory.exclude)).transpose()?;
    let mut paths = tree.paths(path).map_err(|why| wrong(codes::REPOSITORY, why, ""))?;
    paths.retain(|file| {
        let Some(inner) = file.strip_prefix(path) else { return false };
        let inner = inner.trim_start_matches('/');
        let ending = inner.rsplit_once('.').map_or("", |(_, ending)| ending);
        ["yaml", "yml", "json", "jsonnet"].contains(&ending)
            && (directory.recurse || !inner.contains('/'))
            && exclude.as_ref().is_none_or(|glob| !glob.is_match(inner))
            && include.as_ref().is_none_or(|glob| glob.is_match(inner))
    });
    paths.sort();
    if paths.len() > FILES_MAX {
        return Err(wrong(codes::TOO_LARGE, format!("`{name}` has more than {FILES_MAX} files"), "split it"));
    }
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for file in &paths {
        if file.ends_with(".jsonnet") {
            let hint = "commit what it gives, or leave it out with `directory.exclude`";
            problems.push(Diagnostic::file(codes::UNSUPPORTED, file, "Jsonnet is evaluated by Argo CD only", hint));
            continue;
        }
        match manifests(tree, file) {
            Ok(found) => all.extend(found),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(Diagnostics(problems)) }
}

fn manifests(tree: &dyn Files, file: &str) -> Result<Vec<Rendered>, Diagnostic> {
    let bytes = content(tree, file).map_err(|why| Diagnostic::file(codes::REPOSITORY, file, why, ""))?;
    let text =
        std::str::from_utf8(&bytes).map_err(|_| Diagnostic::file(codes::SOURCE, file, "the file is not UTF-8", ""))?;
    // Argo CD leaves such files out.
    if text.contains("+argocd:skip-file-rendering") {
        return Ok(Vec::new());
    }
    let looks_like_one = ["apiVersion:", "kind:", "metadata:"].iter().all(|key| text.contains(key)) || is_json(file);
    let found = match documents(file, text) {
        Ok(found) => found,
        Err(problem) if looks_like_one => return Err(problem),
        Err(_) => return Ok(Vec::new()),
    };
    let mut all = Vec::new();
    for node in &found {
        let is_object = node.kind() == Kind::Map
            && !node.text_at(&["kind"]).is_empty()
            && !node.text_at(&["apiVersion"]).is_empty();
        if !is_object && looks_like_one {
            return Err(node.place.diagnostic(
                codes::SOURCE,
                "this is no Kubernetes object",
                "it needs `apiVersion` and `kind`",
            ));
        }
        if is_object {
            objects(node, &mut all)?;
        }
    }
    Ok(all)
}

fn objects(node: &Node, into: &mut Vec<Rendered>) -> Result<(), Diagnostic> {
    if node.text_at(&["kind"]) == "List"
        && let Some(items) = node.get("items")
    {
        return items.items().iter().try_for_each(|item| objects(item, into));
    }
    into.push(Rendered { object: node.to_json()?, place: node.place.clone() });
    Ok(())
}

/// Whether a file's name says that it is JSON.
pub(crate) fn is_json(file: &str) -> bool {
    std::path::Path::new(file).extension().is_some_and(|extension| extension == "json")
}
