//! What changed from one inventory to another.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::package::{Inventory, Package};

/// One package that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The ecosystem.
    pub ecosystem: String,
    /// The package's name.
    pub name: String,
    /// Versions before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// Versions after.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
}

/// All that changed; each list in order of ecosystems and names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct Diff {
    /// Packages that were not there.
    pub added: Vec<Change>,
    /// Packages that are not there any more.
    pub removed: Vec<Change>,
    /// Packages with other versions.
    pub changed: Vec<Change>,
    /// Packages with other licences; `before` and `after` hold these.
    pub licences: Vec<Change>,
}

impl Diff {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty() && self.licences.is_empty()
    }
}

type Versions = BTreeMap<(String, String), (BTreeSet<String>, BTreeSet<String>)>;

fn versions(inventory: &Inventory) -> Versions {
    let mut found: Versions = BTreeMap::new();
    for package in &inventory.packages {
        let Package { ecosystem, name, version, licence, .. } = package;
        let (versions, licences) = found.entry((ecosystem.kind.name().to_owned(), name.clone())).or_default();
        versions.extend(version.clone());
        licences.extend(licence.clone());
    }
    found
}

/// What changed from `before` to `after`.
pub fn diff(before: &Inventory, after: &Inventory) -> Diff {
    let (old, new) = (versions(before), versions(after));
    let mut diff = Diff::default();
    let change = |key: &(String, String), before: &BTreeSet<String>, after: &BTreeSet<String>| Change {
        ecosystem: key.0.clone(),
        name: key.1.clone(),
        before: before.iter().cloned().collect(),
        after: after.iter().cloned().collect(),
    };
    let none = BTreeSet::new();
    for (key, (versions, licences)) in &old {
        match new.get(key) {
            None => diff.removed.push(change(key, versions, &none)),
            Some((now, now_licences)) => {
                if now != versions {
                    diff.changed.push(change(key, versions, now));
                }
                if now_licences != licences {
                    diff.licences.push(change(key, licences, now_licences));
                }
            }
        }
    }
    let added = new.iter().filter(|(key, _)| !old.contains_key(*key));
    diff.added.extend(added.map(|(key, (versions, _))| change(key, &none, versions)));
    diff
}
