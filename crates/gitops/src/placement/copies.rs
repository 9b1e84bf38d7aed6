//! What is the same in every environment belongs in the base: where it stands several times, one of them is forgotten.

use std::collections::BTreeMap;

use prograde_kustomize::{Resource, is_within};

use super::leaf::Leaf;
use super::{Environment, Family, Findings};
use crate::codes;

/// Fields that a patch must repeat to say what it changes, or that change with each release.
const REPEATED: [&str; 11] = [
    "apiVersion",
    "kind",
    "name",
    "namespace",
    "key",
    "mountPath",
    "port",
    "containerPort",
    "protocol",
    "image",
    "replicas",
];

type Key<'a> = (&'a str, &'a str, &'a [String]);

pub(super) fn look(family: &Family<'_>, found: &mut Findings) {
    let Some((first, others)) = family.environments.split_first() else { return };
    let others: Vec<(&Environment<'_>, BTreeMap<Key<'_>, &Leaf<'_>>)> =
        others.iter().map(|one| (one, one.leaves.iter().map(|leaf| (key(leaf), leaf)).collect())).collect();
    let is_copy = |leaf: &Leaf<'_>| {
        is_own(first, leaf)
            && others.iter().all(|(environment, leaves)| {
                leaves.get(&key(leaf)).is_some_and(|other| other.text == leaf.text && is_own(environment, other))
            })
    };
    let names: Vec<&str> = family.environments.iter().map(|environment| environment.name).collect();
    let names = names.join(", ");
    let hint = "set it in the base, and in overlays only where it differs";
    for object in &first.directory.objects {
        let leaves = || first.leaves.iter().filter(|leaf| std::ptr::eq(leaf.object, object));
        if is_added(first, object) {
            // Of what every overlay adds in its own way, some is always the same.
            if leaves().all(is_copy) {
                let message = format!("{} `{}` is added alike for {names}", object.kind(), object.name());
                found.add(object, object.place(), codes::COPIES, message, hint);
            }
            continue;
        }
        for leaf in leaves().filter(|leaf| !REPEATED.contains(&leaf.field()) && is_copy(leaf)) {
            let (kind, name) = (object.kind(), object.name());
            let field = leaf.setting().unwrap_or(leaf.field());
            let message = format!("`{field}` of {kind} `{name}` is set alike for {names}");
            found.add(object, leaf.place, codes::COPIES, message, hint);
        }
    }
}

fn key<'a>(leaf: &'a Leaf<'_>) -> Key<'a> {
    (leaf.object.kind(), leaf.object.name(), &leaf.path)
}

/// Whether a value was written for this environment, and in a file of its own: what a kustomization's fields set, such as its
/// namespace, is written there as well.
fn is_own(environment: &Environment<'_>, leaf: &Leaf<'_>) -> bool {
    is_within(&leaf.place.file, &environment.directory.dir)
}

fn is_added(environment: &Environment<'_>, object: &Resource) -> bool {
    is_within(&object.place().file, &environment.directory.dir)
}
