//! Whether configuration is where it belongs: what differs between environments in their overlays, what differs between users in
//! a flag, and what is secret in a reference. A function of what was rendered; nothing is read here.

mod copies;
mod environment;
mod leaf;
mod secret;
mod switch;

use std::collections::{BTreeMap, BTreeSet};

use prograde_kustomize::{Place, Resource};
use prograde_model::Diagnostic;

use leaf::{Leaf, leaves};

/// Names that are taken for environments wherever they stand.
const WELL_KNOWN: [&str; 22] = [
    "acceptance",
    "canary",
    "demo",
    "dev",
    "development",
    "int",
    "integration",
    "live",
    "local",
    "pre-production",
    "preprod",
    "preview",
    "prod",
    "production",
    "qa",
    "sandbox",
    "stage",
    "staging",
    "test",
    "testing",
    "uat",
    "verification",
];
/// The annotation that lets a finding pass, with the reason as its value, is this and the finding's code.
pub const ALLOW: &str = "allow.prograde.dev/";

/// What one directory became.
#[derive(Debug)]
pub struct Directory {
    /// The directory, as seen from the repository's root.
    pub dir: String,
    /// Its objects.
    pub objects: Vec<Resource>,
    /// The directories of the kustomizations that it includes, at any depth.
    pub includes: BTreeSet<String>,
}

/// One environment of a service: a directory that no other includes.
struct Environment<'a> {
    name: &'a str,
    directory: &'a Directory,
    leaves: Vec<Leaf<'a>>,
}

/// The environments that share a base.
struct Family<'a> {
    environments: Vec<Environment<'a>>,
    /// What they share.
    bases: Vec<&'a Directory>,
}

/// Says what is in the wrong place. `declared` are environments by name, beside those that are known by their usual names.
pub fn misplaced(all: &[Directory], declared: &BTreeSet<String>) -> Vec<Diagnostic> {
    let mut found = Findings::default();
    for directory in tops(all) {
        let leaves = leaves(&directory.objects);
        secret::look(&leaves, &mut found);
        switch::look(&leaves, &mut found);
    }
    for family in families(all, declared) {
        environment::look(&family, &mut found);
        copies::look(&family, &mut found);
    }
    found.0.into_values().collect()
}

/// What was found, once for each place.
#[derive(Default)]
struct Findings(BTreeMap<(String, u32, u32, String), Diagnostic>);

impl Findings {
    /// Adds a finding, unless the object says why it may be so.
    fn add(&mut self, object: &Resource, place: &Place, code: &str, message: String, hint: &str) {
        let allowed = object.annotation(&[ALLOW, code].concat()).is_some_and(|reason| !reason.trim().is_empty());
        if !allowed {
            let key = (place.file.to_string(), place.line, place.column, code.to_owned());
            self.0.entry(key).or_insert_with(|| place.diagnostic(code, message, hint));
        }
    }
}

/// Those that no other includes.
fn tops(all: &[Directory]) -> impl Iterator<Item = &Directory> {
    let included: BTreeSet<&str> = all.iter().flat_map(|one| one.includes.iter().map(String::as_str)).collect();
    all.iter().filter(move |one| !included.contains(one.dir.as_str()))
}

fn families<'a>(all: &'a [Directory], declared: &BTreeSet<String>) -> Vec<Family<'a>> {
    let mut by_bases: BTreeMap<&BTreeSet<String>, Vec<Environment<'a>>> = BTreeMap::new();
    for directory in tops(all).filter(|directory| !directory.includes.is_empty()) {
        let Some(name) = environment_of(&directory.dir, declared) else { continue };
        let environment = Environment { name, directory, leaves: leaves(&directory.objects) };
        by_bases.entry(&directory.includes).or_default().push(environment);
    }
    let families = by_bases.into_iter().filter(|(_, environments)| environments.len() > 1);
    let family = |(shared, environments): (&BTreeSet<String>, Vec<_>)| Family {
        environments,
        bases: all.iter().filter(|one| shared.contains(&one.dir)).collect(),
    };
    families.map(family).collect()
}

/// The environment that a directory is for: the innermost part of its path that names one.
fn environment_of<'a>(dir: &'a str, declared: &BTreeSet<String>) -> Option<&'a str> {
    dir.rsplit('/').find(|part| declared.contains(*part) || WELL_KNOWN.contains(&part.to_ascii_lowercase().as_str()))
}
