//! An inventory's packages as documents list them: each once, whatever files name it.

use std::collections::{BTreeMap, BTreeSet};

use crate::package::{Inventory, Origin, Package};

/// One package, from all files that name it.
pub(super) struct Component<'a> {
    /// Its package URL: its name in the document.
    pub(super) purl: String,
    /// The package as the first file has it.
    pub(super) package: &'a Package,
    /// Files and lines that name it.
    pub(super) places: BTreeSet<(&'a str, u32)>,
    /// The URLs of what it needs.
    pub(super) needs: BTreeSet<String>,
}

/// All components by their URLs, and the URLs of what the whole needs directly.
pub(super) struct Components<'a> {
    pub(super) all: Vec<Component<'a>>,
    pub(super) direct: BTreeSet<String>,
}

pub(super) fn components(inventory: &Inventory) -> Components<'_> {
    let purls: Vec<String> = inventory.packages.iter().map(Package::purl).collect();
    let named = |needs: &[usize]| needs.iter().filter_map(|at| purls.get(*at).cloned()).collect::<BTreeSet<_>>();
    let mut all: BTreeMap<&str, Component<'_>> = BTreeMap::new();
    for (package, purl) in inventory.packages.iter().zip(&purls) {
        let component = all.entry(purl).or_insert_with(|| Component {
            purl: purl.clone(),
            package,
            places: BTreeSet::new(),
            needs: BTreeSet::new(),
        });
        component.places.insert((&package.file, package.line));
        component.needs.extend(named(&package.needs).into_iter().filter(|need| need != purl));
        if package.scope < component.package.scope || component.package.licence.is_none() && package.licence.is_some() {
            component.package = package;
        }
    }
    let mut direct: BTreeSet<String> = inventory.roots.iter().flat_map(|root| named(&root.needs)).collect();
    let own = inventory.packages.iter().zip(&purls).filter(|(package, _)| package.origin == Origin::Local);
    direct.extend(own.map(|(_, purl)| purl.clone()));
    if inventory.roots.is_empty() {
        direct.extend(purls.iter().cloned());
    }
    // Packages of a distribution are needed by the image itself.
    let installed =
        inventory.packages.iter().zip(&purls).filter(|(package, _)| package.ecosystem.kind.is_distribution());
    direct.extend(installed.map(|(_, purl)| purl.clone()));
    Components { all: all.into_values().collect(), direct }
}
