//! Licences that package managers keep on this machine beside packages' sources, where the lock file says none.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ecosystem::Kind;
use crate::package::{Inventory, Origin, Package};
use crate::walk;

/// The largest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// How many registries Cargo may keep sources of.
const REGISTRIES_MAX: usize = 100;

#[derive(Deserialize)]
struct Manifest {
    package: Declared,
}

#[derive(Deserialize)]
struct Declared {
    license: Option<String>,
}

/// Completes Cargo's packages with the licence that their manifest declares, from the sources that Cargo has unpacked below its
/// home. What is not there, or can't be read, goes on having none.
pub fn learn(inventory: &mut Inventory, cargo_home: &Path) {
    let sources = registries(cargo_home);
    let unknown = |package: &&mut Package| {
        package.licence.is_none() && package.ecosystem.kind == Kind::CratesIo && package.origin != Origin::Local
    };
    for package in inventory.packages.iter_mut().filter(unknown) {
        let Some(folder) = folder(package) else { continue };
        package.licence = sources.iter().find_map(|sources| declared(&sources.join(&folder).join("Cargo.toml")));
    }
}

fn registries(cargo_home: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).take(REGISTRIES_MAX).collect();
    found.sort();
    found
}

/// `NAME-VERSION`, where both are what Cargo allows: a lock file may say anything.
fn folder(package: &Package) -> Option<String> {
    let version = package.version.as_deref()?;
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_plain = package.name.chars().all(name) && version.chars().all(|c| name(c) || matches!(c, '.' | '+'));
    is_plain.then(|| format!("{}-{version}", package.name))
}

fn declared(manifest: &Path) -> Option<String> {
    let text = String::from_utf8(walk::read(manifest, MANIFEST_BYTES_MAX).ok()?).ok()?;
    toml::from_str::<Manifest>(&text).ok()?.package.license
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_have_the_licence_that_their_sources_declare() {
        let home = tempfile::tempdir().unwrap();
        let write = |folder: &str, text: &str| {
            let folder = home.path().join("registry/src").join(folder);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("Cargo.toml"), text).unwrap();
        };
        write("one/serde-1.0.0", "[package]\nname = \"serde\"\nlicense = \"MIT OR Apache-2.0\"\n");
        write("one/broken-1.0.0", "[package");
        write("two/own-0.1.0-rc.1", "[package]\nname = \"own\"\nlicense-file = \"LICENSE\"\n");
        write("three/own-0.1.0-rc.1", "[package]\nlicense = \"Zlib\"\n");
        let mut inventory = Inventory::default();
        for (kind, name, version) in [
            (Kind::CratesIo, "serde", "1.0.0"),
            (Kind::CratesIo, "broken", "1.0.0"),
            (Kind::CratesIo, "own", "0.1.0-rc.1"),
            (Kind::CratesIo, "../one/serde", "1.0.0"),
            (Kind::Npm, "serde", "1.0.0"),
        ] {
            inventory.packages.push(Package::new(kind, name, Some(version.to_owned()), "Cargo.lock", 1));
        }
        learn(&mut inventory, home.path());
        let found: Vec<Option<&str>> = inventory.packages.iter().map(|package| package.licence.as_deref()).collect();
        assert_eq!(found, [Some("MIT OR Apache-2.0"), None, Some("Zlib"), None, None]);
        learn(&mut inventory, &home.path().join("missing"));
    }
}
