//! `package-lock.json`: version 1 nests dependencies, versions 2 and 3 list what stands in `node_modules` by its path.

use std::collections::{BTreeMap, HashMap};

use prograde_model::Diagnostic;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{json_error, malformed};
use crate::ecosystem::Kind;
use crate::package::{Cursor, Inventory, Origin, Package, Root, Scope, integrity};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    name: Option<String>,
    version: Option<String>,
    lockfile_version: Option<u32>,
    packages: Option<Map<String, Value>>,
    dependencies: Option<Map<String, Value>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<Value>,
    integrity: Option<String>,
    link: bool,
    dev: bool,
    optional: bool,
    dev_optional: bool,
    license: Option<Value>,
    dependencies: Option<Value>,
    dev_dependencies: Option<Value>,
    optional_dependencies: Option<Value>,
    peer_dependencies: Option<Value>,
    requires: Option<Value>,
}

pub(super) fn parse(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let file: File = serde_json::from_str(text).map_err(|error| json_error(path, &error))?;
    if let Some(version) = file.lockfile_version.filter(|version| *version > 3) {
        let message = format!("version {version} of the format is not known, only 1 to 3");
        return Err(malformed(path, 0, message, "a newer release of prograde may know it"));
    }
    let mut cursor = Cursor::new(text);
    match (&file.packages, &file.dependencies) {
        (Some(packages), _) => flat(path, &file, packages, &mut cursor),
        (None, Some(dependencies)) => nested(path, &file, dependencies, &mut cursor),
        (None, None) if file.lockfile_version.is_some() => {
            let mut inventory = Inventory::of_file(path);
            inventory.roots.push(root(path, &file, Vec::new()));
            Ok(inventory)
        }
        (None, None) => Err(malformed(
            path,
            0,
            "it has neither `packages` nor `dependencies`",
            "run `npm install --package-lock-only`",
        )),
    }
}

fn root(path: &str, file: &File, needs: Vec<usize>) -> Root {
    Root { name: file.name.clone(), version: file.version.clone(), file: path.to_owned(), needs }
}

fn entry(path: &str, line: u32, key: &str, value: &Value) -> Result<Entry, Diagnostic> {
    Entry::deserialize(value)
        .map_err(|error| malformed(path, line, format!("the entry `{key}`: {error}"), "write the file again with npm"))
}

fn package(path: &str, line: u32, name: &str, entry: &Entry) -> Package {
    let mut name = name.to_owned();
    let mut version = entry.version.clone();
    let mut origin = Origin::Registry;
    // Version 1 writes where it is from in place of the version.
    if let Some(text) = version.clone() {
        if let Some((alias, at)) = text.strip_prefix("npm:").and_then(|rest| rest.rsplit_once('@')) {
            name = alias.to_owned();
            version = Some(at.to_owned());
        } else if text.starts_with("git") || text.starts_with("github:") {
            origin = Origin::Git(text);
            version = None;
        } else if text.contains("://") {
            origin = Origin::Url(text);
            version = None;
        } else if text.starts_with("file:") {
            origin = Origin::Local;
            version = None;
        }
    }
    if let Some(resolved) = entry.resolved.as_ref().and_then(Value::as_str) {
        if resolved.starts_with("git") {
            origin = Origin::Git(resolved.to_owned());
        } else if resolved.starts_with("file:") {
            origin = Origin::Local;
        }
    }
    let mut package = Package::new(Kind::Npm, name, version, path, line);
    package.origin = origin;
    package.hashes = entry.integrity.as_deref().map(integrity).unwrap_or_default();
    package.licence = entry.license.as_ref().and_then(licence);
    package.scope = match entry {
        Entry { dev: true, .. } | Entry { dev_optional: true, .. } => Scope::Development,
        Entry { optional: true, .. } => Scope::Optional,
        _ => Scope::Runtime,
    };
    package
}

/// A text, or as old packages have it an object or a list of them.
fn licence(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(list) = value.as_array() {
        let all: Vec<String> = list.iter().filter_map(licence).collect();
        return Some(all.join(" OR ")).filter(|text| !text.is_empty());
    }
    value.get("type").and_then(Value::as_str).map(str::to_owned)
}

fn flat(
    path: &str,
    file: &File,
    packages: &Map<String, Value>,
    cursor: &mut Cursor<'_>,
) -> Result<Inventory, Diagnostic> {
    let mut inventory = Inventory::of_file(path);
    let mut entries = Vec::with_capacity(packages.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(packages.len());
    let mut links: BTreeMap<&str, String> = BTreeMap::new();
    cursor.line_of("\"packages\"");
    for (key, value) in packages {
        let line = cursor.line_of(&format!("{}:", Value::from(key.as_str())));
        let entry = entry(path, line, key, value)?;
        if entry.link {
            if let Some(target) = entry.resolved.as_ref().and_then(Value::as_str) {
                links.insert(key, target.to_owned());
            }
            continue;
        }
        let installed = key.rsplit_once("node_modules/").map(|(_, name)| name);
        if let Some(name) = installed {
            places.insert(key, inventory.packages.len());
            inventory.packages.push(package(path, line, entry.name.as_deref().unwrap_or(name), &entry));
        } else if !key.is_empty() {
            // A workspace: part of the project itself.
            let name = entry.name.clone().unwrap_or_else(|| key.rsplit('/').next().unwrap_or(key).to_owned());
            let mut own = package(path, line, &name, &entry);
            own.origin = Origin::Local;
            places.insert(key, inventory.packages.len());
            inventory.packages.push(own);
        }
        entries.push((key.as_str(), entry));
    }
    for (key, entry) in &entries {
        let needs: Vec<usize> =
            names(entry, key.is_empty()).into_iter().filter_map(|name| resolve(key, name, &places, &links)).collect();
        if let Some(package) = places.get(key).and_then(|at| inventory.packages.get_mut(*at)) {
            package.needs.clone_from(&needs);
        }
        if key.is_empty() {
            inventory.roots.push(root(path, file, needs));
        }
    }
    Ok(inventory)
}

fn names<'a>(entry: &'a Entry, with_development: bool) -> Vec<&'a str> {
    let keys = |value: &'a Option<Value>| value.as_ref().and_then(Value::as_object).into_iter().flat_map(Map::keys);
    let development = keys(&entry.dev_dependencies).filter(|_| with_development);
    let mut all: Vec<&str> = keys(&entry.dependencies)
        .chain(keys(&entry.optional_dependencies))
        .chain(keys(&entry.peer_dependencies))
        .chain(keys(&entry.requires))
        .chain(development)
        .map(String::as_str)
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// What `require(name)` finds from a folder: the nearest `node_modules` upwards.
fn resolve(from: &str, name: &str, places: &HashMap<&str, usize>, links: &BTreeMap<&str, String>) -> Option<usize> {
    let mut folder = from;
    loop {
        let place =
            if folder.is_empty() { format!("node_modules/{name}") } else { format!("{folder}/node_modules/{name}") };
        if let Some(at) = places.get(place.as_str()) {
            return Some(*at);
        }
        if let Some(target) = links.get(place.as_str()) {
            return places.get(target.as_str()).copied();
        }
        if folder.is_empty() {
            return None;
        }
        folder = folder.rsplit_once('/').map_or("", |(up, _)| up);
    }
}

/// Version 1: each dependency may have own ones within it.
fn nested(path: &str, file: &File, top: &Map<String, Value>, cursor: &mut Cursor<'_>) -> Result<Inventory, Diagnostic> {
    let mut inventory = Inventory::of_file(path);
    // Paths as the later versions have them, so that the same search finds what is needed.
    let mut found: Vec<(String, Entry)> = Vec::new();
    cursor.line_of("\"dependencies\"");
    collect(path, "", top, cursor, &mut found, &mut inventory)?;
    let places: HashMap<&str, usize> = found.iter().enumerate().map(|(at, (key, _))| (key.as_str(), at)).collect();
    let links = BTreeMap::new();
    for (at, (key, entry)) in found.iter().enumerate() {
        let requires = entry.requires.as_ref().and_then(Value::as_object).into_iter().flat_map(Map::keys);
        let needs = requires.filter_map(|name| resolve(key, name, &places, &links)).collect();
        if let Some(package) = inventory.packages.get_mut(at) {
            package.needs = needs;
        }
    }
    let direct = top.keys().filter_map(|name| resolve("", name, &places, &links)).collect();
    inventory.roots.push(root(path, file, direct));
    Ok(inventory)
}

/// Depth is bounded by the JSON reader.
fn collect(
    path: &str,
    folder: &str,
    dependencies: &Map<String, Value>,
    cursor: &mut Cursor<'_>,
    found: &mut Vec<(String, Entry)>,
    inventory: &mut Inventory,
) -> Result<(), Diagnostic> {
    for (name, value) in dependencies {
        let line = cursor.line_of(&format!("{}: {{", Value::from(name.as_str())));
        let entry = entry(path, line, name, value)?;
        let key =
            if folder.is_empty() { format!("node_modules/{name}") } else { format!("{folder}/node_modules/{name}") };
        inventory.packages.push(package(path, line, name, &entry));
        let inner = entry.dependencies.as_ref().and_then(Value::as_object).cloned();
        found.push((key.clone(), entry));
        if let Some(inner) = inner {
            collect(path, &key, &inner, cursor, found, inventory)?;
        }
    }
    Ok(())
}
