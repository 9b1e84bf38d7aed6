//! `yarn.lock`: version 1 is a format of its own, the later ones ("berry") are YAML.

use std::collections::HashMap;

use prograde_model::Diagnostic;
use prograde_yaml::Node;

use super::malformed;
use crate::ecosystem::Kind;
use crate::package::{Hash, Inventory, Origin, Package, Root, integrity};

const HINT: &str = "write the file again with `yarn install`";

pub(super) fn parse(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    if text.lines().any(|line| line.starts_with("__metadata:")) { berry(path, text) } else { classic(path, text) }
}

/// An entry of version 1.
struct Entry {
    line: u32,
    selectors: Vec<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    needs: Vec<(String, String)>,
}

fn classic(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut in_list = false;
    for (number, line) in (1..).zip(text.lines()) {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match line.len() - line.trim_start_matches(' ').len() {
            0 => {
                let head = content
                    .strip_suffix(':')
                    .ok_or_else(|| malformed(path, number, "expected an entry that ends with `:`", HINT))?;
                let selectors = head.split(", ").map(|one| one.trim_matches('"').to_owned()).collect();
                entries.push(Entry {
                    line: number,
                    selectors,
                    version: None,
                    resolved: None,
                    integrity: None,
                    needs: Vec::new(),
                });
                in_list = false;
            }
            2 => {
                let entry = entries
                    .last_mut()
                    .ok_or_else(|| malformed(path, number, "a field before the first entry", HINT))?;
                in_list = content == "dependencies:" || content == "optionalDependencies:";
                field(entry, content);
            }
            _ if in_list => {
                let entry = entries
                    .last_mut()
                    .ok_or_else(|| malformed(path, number, "a field before the first entry", HINT))?;
                entry.needs.extend(words(content));
            }
            _ => {}
        }
    }
    if entries.is_empty() && !text.contains("yarn lockfile") && !text.trim().is_empty() {
        return Err(malformed(path, 0, "it has no entries", HINT));
    }
    classic_inventory(path, &entries)
}

fn field(entry: &mut Entry, content: &str) {
    let Some((key, value)) = words(content) else { return };
    match key.as_str() {
        "version" => entry.version = Some(value),
        "resolved" => entry.resolved = Some(value),
        "integrity" => entry.integrity = Some(value),
        _ => {}
    }
}

/// Two words, each in quotes or not.
fn words(content: &str) -> Option<(String, String)> {
    let (first, rest) = match content.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => content.split_once(' ')?,
    };
    Some((first.to_owned(), rest.trim().trim_matches('"').to_owned()))
}

fn classic_inventory(path: &str, entries: &[Entry]) -> Result<Inventory, Diagnostic> {
    let mut inventory = Inventory::of_file(path);
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let first = entry.selectors.first().map(String::as_str).unwrap_or_default();
        let (name, range) = split(first)
            .ok_or_else(|| malformed(path, entry.line, format!("`{first}` is no name with a range"), HINT))?;
        let name = range.strip_prefix("npm:").and_then(|alias| split(alias)).map_or(name, |(real, _)| real);
        let mut package = Package::new(Kind::Npm, name, entry.version.clone(), path, entry.line);
        package.hashes = entry.integrity.as_deref().map(integrity).unwrap_or_default();
        package.origin = origin(entry.resolved.as_deref(), range);
        inventory.packages.push(package);
        places.extend(entry.selectors.iter().map(|selector| (selector.as_str(), at)));
    }
    for (at, entry) in entries.iter().enumerate() {
        let needs =
            entry.needs.iter().filter_map(|(name, range)| places.get(format!("{name}@{range}").as_str()).copied());
        let needs = needs.collect();
        if let Some(package) = inventory.packages.get_mut(at) {
            package.needs = needs;
        }
    }
    inventory.roots.push(Root { name: None, version: None, file: path.to_owned(), needs: unneeded(&inventory) });
    Ok(inventory)
}

/// What nothing else needs: the file does not say what the project itself does.
fn unneeded(inventory: &Inventory) -> Vec<usize> {
    let needed: std::collections::BTreeSet<usize> =
        inventory.packages.iter().flat_map(|package| package.needs.iter().copied()).collect();
    (0..inventory.packages.len()).filter(|at| !needed.contains(at)).collect()
}

/// `@scope/name@range`.
fn split(selector: &str) -> Option<(&str, &str)> {
    let at = selector.get(1..)?.find('@')? + 1;
    Some((selector.get(..at)?, selector.get(at + 1..)?))
}

fn origin(resolved: Option<&str>, range: &str) -> Origin {
    let git = |text: &str| text.starts_with("git") || text.contains(".git#") || text.starts_with("ssh://git");
    match resolved {
        Some(url) if git(url) => Origin::Git(url.to_owned()),
        _ if git(range) => Origin::Git(resolved.unwrap_or(range).to_owned()),
        _ if range.starts_with("file:") || range.starts_with("link:") => Origin::Local,
        _ => Origin::Registry,
    }
}

fn berry(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let documents = prograde_yaml::large_documents(path, text)?;
    let document = documents.first().ok_or_else(|| malformed(path, 0, "it is empty", HINT))?;
    let entries: Vec<_> = document.entries().iter().filter(|(key, _)| key.name != "__metadata").collect();
    let mut inventory = Inventory::of_file(path);
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut own = Vec::new();
    for (at, (key, value)) in entries.iter().enumerate() {
        places.extend(key.name.split(", ").map(|selector| (selector, at)));
        let resolution = text_of(value, "resolution")
            .ok_or_else(|| malformed(path, key.line, format!("the entry `{}` has no `resolution`", key.name), HINT))?;
        let (name, source) = split(&resolution)
            .ok_or_else(|| malformed(path, key.line, format!("`{resolution}` is no name with a source"), HINT))?;
        let mut package = Package::new(Kind::Npm, name, text_of(value, "version"), path, key.line);
        if source.starts_with("workspace:") {
            own.push(at);
            package.origin = Origin::Local;
            package.version = package.version.filter(|version| version != "0.0.0-use.local");
        } else if source.contains(".git#") || source.starts_with("git") {
            package.origin = Origin::Git(source.to_owned());
        } else if !source.starts_with("npm:") && !source.starts_with("patch:") {
            package.origin = if source.contains("://") { Origin::Url(source.to_owned()) } else { Origin::Local };
        }
        package.hashes = text_of(value, "checksum").as_deref().and_then(checksum).into_iter().collect();
        inventory.packages.push(package);
    }
    for (at, (_, value)) in entries.iter().enumerate() {
        let needs = value.get("dependencies").map(|list| berry_needs(list, &places)).unwrap_or_default();
        if let Some(package) = inventory.packages.get_mut(at) {
            package.needs = needs;
        }
    }
    for at in own {
        if let Some(package) = inventory.packages.get(at) {
            let (name, version, needs) = (Some(package.name.clone()), package.version.clone(), package.needs.clone());
            inventory.roots.push(Root { name, version, file: path.to_owned(), needs });
        }
    }
    Ok(inventory)
}

fn berry_needs(list: &Node, places: &HashMap<&str, usize>) -> Vec<usize> {
    let find = |name: &str, range: &str| {
        let with = format!("{name}@npm:{range}");
        places.get(format!("{name}@{range}").as_str()).or_else(|| places.get(with.as_str())).copied()
    };
    list.entries().iter().filter_map(|(key, range)| find(&key.name, &scalar(range)?)).collect()
}

/// `10c0/…`, `8/…` or `…`: a version of the cache and SHA-512 in hex digits.
fn checksum(text: &str) -> Option<Hash> {
    let digits = text.rsplit('/').next()?;
    let whole = digits.len() == 128 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    whole.then(|| Hash { algorithm: "SHA-512", digits: digits.to_owned() })
}

fn text_of(node: &Node, key: &str) -> Option<String> {
    node.get(key).and_then(scalar)
}

/// A text or a number: versions such as `1.0` may stand without quotes.
fn scalar(node: &Node) -> Option<String> {
    node.as_str().map(str::to_owned).or_else(|| node.to_json().as_number().map(ToString::to_string))
}
