//! `Cargo.lock` of all versions: the old ones keep checksums in `[metadata]` and name dependencies in full, the newer
//! ones leave out what is not needed to tell packages apart.

use std::collections::{BTreeMap, HashMap};

use prograde_model::Diagnostic;
use serde::Deserialize;
use toml::Spanned;

use super::{malformed, toml_error};
use crate::ecosystem::Kind;
use crate::package::{Hash, Inventory, Lines, Origin, Package, Root};

/// The newest version whose form is known.
const VERSION_MAX: u32 = 4;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    version: Option<u32>,
    #[serde(default)]
    package: Vec<Entry>,
    root: Option<Entry>,
    #[serde(default)]
    metadata: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Entry {
    name: Spanned<String>,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

pub(super) fn parse(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let file: File = toml::from_str(text).map_err(|error| toml_error(path, text, &error))?;
    if let Some(version) = file.version.filter(|version| *version > VERSION_MAX) {
        let message = format!("version {version} of the format is not known, only those up to {VERSION_MAX}");
        return Err(malformed(path, 0, message, "a newer release of prograde may know it"));
    }
    let lines = Lines::of(text);
    let entries: Vec<&Entry> = file.root.iter().chain(&file.package).collect();
    let mut inventory = Inventory::of_file(path);
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        by_name.entry(entry.name.get_ref()).or_default().push(at);
        inventory.packages.push(package(path, &lines, entry, &file.metadata));
    }
    for (at, entry) in entries.iter().enumerate() {
        let mut needs = Vec::with_capacity(entry.dependencies.len());
        for wanted in &entry.dependencies {
            let found = find(wanted, &by_name, &entries);
            needs.push(found.ok_or_else(|| {
                let line = lines.at(entry.name.span().start);
                let message = format!("`{}` needs `{wanted}`, which is not in the file", entry.name.get_ref());
                malformed(path, line, message, "run `cargo generate-lockfile`")
            })?);
        }
        let local = entry.source.is_none();
        if let Some(package) = inventory.packages.get_mut(at) {
            package.needs.clone_from(&needs);
        }
        if local {
            let (name, version) = (Some(entry.name.get_ref().clone()), Some(entry.version.clone()));
            inventory.roots.push(Root { name, version, file: path.to_owned(), needs });
        }
    }
    Ok(inventory)
}

fn package(path: &str, lines: &Lines, entry: &Entry, metadata: &BTreeMap<String, toml::Value>) -> Package {
    let line = lines.at(entry.name.span().start);
    let mut package = Package::new(Kind::CratesIo, entry.name.get_ref(), Some(entry.version.clone()), path, line);
    package.origin = origin(entry.source.as_deref());
    let old = entry.source.as_ref().and_then(|source| {
        metadata.get(&format!("checksum {} {} ({source})", entry.name.get_ref(), entry.version))?.as_str()
    });
    let digits = entry.checksum.as_deref().or(old).filter(|digits| digits.len() == 64);
    package.hashes =
        digits.map(|digits| Hash { algorithm: "SHA-256", digits: digits.to_owned() }).into_iter().collect();
    package
}

/// Cargo's names for crates.io: its old index in Git and its newer sparse one.
const CRATES_IO: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "sparse+https://index.crates.io/"];

fn origin(source: Option<&str>) -> Origin {
    match source {
        None => Origin::Local,
        Some(source) if CRATES_IO.contains(&source) => Origin::Registry,
        Some(source) => match source.strip_prefix("git+") {
            Some(url) => Origin::Git(url.to_owned()),
            None => Origin::Url(source.trim_start_matches("registry+").trim_start_matches("sparse+").to_owned()),
        },
    }
}

/// `name`, `name version` or `name version (source)`.
fn find(wanted: &str, by_name: &HashMap<&str, Vec<usize>>, entries: &[&Entry]) -> Option<usize> {
    let mut parts = wanted.splitn(3, ' ');
    let (name, version, source) = (parts.next()?, parts.next(), parts.next());
    let source = source.map(|source| source.trim_matches(['(', ')']));
    let fits = |at: &&usize| {
        entries.get(**at).is_some_and(|entry| {
            version.is_none_or(|version| entry.version == version)
                && source.is_none_or(|source| {
                    // The commit after `#` may be left out.
                    entry.source.as_deref().is_some_and(|full| full == source || full.split('#').next() == Some(source))
                })
        })
    };
    by_name.get(name)?.iter().find(fits).copied()
}
