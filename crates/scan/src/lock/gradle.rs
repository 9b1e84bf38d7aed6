//! `gradle.lockfile`: `group:artifact:version=configuration,…`.

use prograde_model::Diagnostic;

use super::malformed;
use crate::ecosystem::Kind;
use crate::package::{Inventory, Package, Root, Scope};

pub(super) fn parse(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let mut inventory = Inventory::of_file(path);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("empty=") {
            continue;
        }
        let (coordinates, configurations) = line.split_once('=').unwrap_or((line, ""));
        let parts: Vec<&str> = coordinates.split(':').collect();
        let [group, artifact, version] = parts.as_slice() else {
            let message =
                format!("`{}` is not `group:artifact:version`", coordinates.chars().take(80).collect::<String>());
            return Err(malformed(path, number, message, "run `gradle dependencies --write-locks`"));
        };
        let mut package =
            Package::new(Kind::Maven, format!("{group}:{artifact}"), Some((*version).to_owned()), path, number);
        let mut all = configurations.split(',').filter(|name| !name.is_empty()).peekable();
        if all.peek().is_some() && all.all(|name| name.to_ascii_lowercase().contains("test")) {
            package.scope = Scope::Development;
        }
        inventory.packages.push(package);
    }
    let needs = (0..inventory.packages.len()).collect();
    inventory.roots.push(Root { name: None, version: None, file: path.to_owned(), needs });
    Ok(inventory)
}
