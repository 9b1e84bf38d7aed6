//! The lock files of Python in TOML: Poetry's, uv's and PDM's.

use std::collections::{BTreeMap, HashMap};

use prograde_model::Diagnostic;
use serde::Deserialize;
use toml::{Spanned, Value};

use super::toml_error;
use crate::ecosystem::Kind;
use crate::package::{Hash, Inventory, Lines, Origin, Package, Root, Scope, hex_hash};
use crate::version::normalised_name;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    package: Vec<Entry>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    files: Files,
}

/// Files by package, in old files of Poetry; other tools may have other things here.
#[derive(Deserialize, Default)]
#[serde(transparent)]
struct Files(Option<Value>);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Entry {
    name: Spanned<String>,
    version: Option<String>,
    category: Option<String>,
    groups: Option<Vec<String>>,
    #[serde(default)]
    optional: bool,
    source: Option<BTreeMap<String, Value>>,
    git: Option<String>,
    revision: Option<String>,
    path: Option<String>,
    dependencies: Option<Value>,
    optional_dependencies: Option<BTreeMap<String, Value>>,
    #[serde(alias = "dev-dependencies")]
    dependency_groups: Option<BTreeMap<String, Value>>,
    files: Option<Vec<Artifact>>,
    sdist: Option<Artifact>,
    wheels: Option<Vec<Artifact>>,
}

#[derive(Deserialize)]
struct Artifact {
    hash: Option<String>,
}

/// `poetry.lock`.
pub(super) fn poetry(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let file = read(path, text)?;
    let mut inventory = inventory(path, text, &file);
    for (package, entry) in inventory.packages.iter_mut().zip(&file.package) {
        let in_group = entry.groups.as_ref().is_some_and(|groups| !groups.iter().any(|group| group == "main"));
        if in_group || entry.category.as_deref() == Some("dev") {
            package.scope = Scope::Development;
        } else if entry.optional {
            package.scope = Scope::Optional;
        }
        if package.hashes.is_empty()
            && let Some(list) =
                file.metadata.files.0.as_ref().and_then(|files| files.get(entry.name.get_ref())?.as_array())
        {
            package.hashes = list.iter().filter_map(|file| hex_hash(file.get("hash")?.as_str()?)).collect();
        }
    }
    whole(path, &mut inventory);
    Ok(inventory)
}

/// `pdm.lock`.
pub(super) fn pdm(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let file = read(path, text)?;
    let mut inventory = inventory(path, text, &file);
    for (package, entry) in inventory.packages.iter_mut().zip(&file.package) {
        if entry.groups.as_ref().is_some_and(|groups| !groups.iter().any(|group| group == "default")) {
            package.scope = Scope::Development;
        }
        if let Some(git) = &entry.git {
            package.origin = Origin::Git(format!("{git}@{}", entry.revision.as_deref().unwrap_or_default()));
        } else if entry.path.is_some() {
            package.origin = Origin::Local;
        }
    }
    whole(path, &mut inventory);
    Ok(inventory)
}

/// `uv.lock`.
pub(super) fn uv(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let file = read(path, text)?;
    let mut inventory = inventory(path, text, &file);
    let places = places(&file);
    let (mut runtime, mut development) = (Vec::new(), Vec::new());
    for (at, entry) in file.package.iter().enumerate() {
        let grouped = |groups: &Option<BTreeMap<String, Value>>| -> Vec<usize> {
            groups.iter().flat_map(BTreeMap::values).flat_map(|list| needs(list, &places)).collect()
        };
        let optional = grouped(&entry.optional_dependencies);
        let tools = grouped(&entry.dependency_groups);
        let local = ["editable", "virtual", "directory"]
            .iter()
            .any(|kind| entry.source.as_ref().is_some_and(|source| source.contains_key(*kind)));
        let Some(package) = inventory.packages.get_mut(at) else { continue };
        package.needs.extend(optional);
        if local {
            package.origin = Origin::Local;
            runtime.extend(package.needs.clone());
            development.extend(&tools);
            let mut all = package.needs.clone();
            all.extend(&tools);
            let (name, version) = (Some(package.name.clone()), package.version.clone());
            inventory.roots.push(Root { name, version, file: path.to_owned(), needs: all });
        }
    }
    inventory.mark_development(&runtime, &development);
    if inventory.roots.is_empty() {
        whole(path, &mut inventory);
    }
    Ok(inventory)
}

fn read(path: &str, text: &str) -> Result<File, Diagnostic> {
    toml::from_str(text).map_err(|error| toml_error(path, text, &error))
}

type Places<'a> = HashMap<String, Vec<(usize, Option<&'a str>)>>;

fn places(file: &File) -> Places<'_> {
    let mut places: Places<'_> = HashMap::new();
    for (at, entry) in file.package.iter().enumerate() {
        places.entry(normalised_name(entry.name.get_ref())).or_default().push((at, entry.version.as_deref()));
    }
    places
}

fn inventory(path: &str, text: &str, file: &File) -> Inventory {
    let lines = Lines::of(text);
    let places = places(file);
    let mut inventory = Inventory::of_file(path);
    for entry in &file.package {
        let line = lines.at(entry.name.span().start);
        let mut package =
            Package::new(Kind::PyPi, normalised_name(entry.name.get_ref()), entry.version.clone(), path, line);
        package.origin = entry.source.as_ref().map_or(Origin::Registry, origin);
        package.hashes = hashes(entry);
        package.needs = entry.dependencies.as_ref().map(|list| needs(list, &places)).unwrap_or_default();
        inventory.packages.push(package);
    }
    inventory
}

fn hashes(entry: &Entry) -> Vec<Hash> {
    let files = entry.files.iter().flatten().chain(&entry.sdist).chain(entry.wheels.iter().flatten());
    files.filter_map(|file| hex_hash(file.hash.as_deref()?)).collect()
}

/// Poetry's `{type, url, resolved_reference}` and uv's `{registry}`, `{git}`, `{url}`.
fn origin(source: &BTreeMap<String, Value>) -> Origin {
    let text = |key: &str| source.get(key).and_then(Value::as_str);
    if let Some(git) = text("git") {
        return Origin::Git(git.to_owned());
    }
    let url = text("url").unwrap_or_default().to_owned();
    match text("type") {
        Some("git") => {
            Origin::Git(format!("{url}@{}", text("resolved_reference").or(text("reference")).unwrap_or_default()))
        }
        Some("directory" | "file") => Origin::Local,
        Some("url") => Origin::Url(url),
        Some(_) => Origin::Registry,
        None if text("path").is_some() => Origin::Local,
        None if !url.is_empty() => Origin::Url(url),
        None => Origin::Registry,
    }
}

/// What is needed: a table by name, a list of tables with `name`, or a list of texts as in PEP 508.
fn needs(list: &Value, places: &Places<'_>) -> Vec<usize> {
    let find = |name: &str, version: Option<&str>| {
        let candidates = places.get(&normalised_name(name))?;
        let exact = candidates.iter().find(|(_, of)| version.is_some() && *of == version);
        exact.or_else(|| candidates.first()).map(|(at, _)| *at)
    };
    let mut found: Vec<usize> = match list {
        Value::Table(table) => table.keys().filter_map(|name| find(name, None)).collect(),
        Value::Array(items) => items
            .iter()
            .filter_map(|item| match item.as_str() {
                Some(text) => find(text.split(['=', '<', '>', '!', '~', ';', '[', ' ', '@']).next()?, None),
                None => find(item.get("name")?.as_str()?, item.get("version").and_then(Value::as_str)),
            })
            .collect(),
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => Vec::new(),
    };
    found.sort_unstable();
    found.dedup();
    found
}

/// The file does not say what the project needs itself: it is what nothing else needs.
fn whole(path: &str, inventory: &mut Inventory) {
    let needed: std::collections::BTreeSet<usize> =
        inventory.packages.iter().flat_map(|package| package.needs.iter().copied()).collect();
    let needs = (0..inventory.packages.len()).filter(|at| !needed.contains(at)).collect();
    inventory.roots.push(Root { name: None, version: None, file: path.to_owned(), needs });
}
