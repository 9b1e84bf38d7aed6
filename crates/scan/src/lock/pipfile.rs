//! `Pipfile.lock`.

use prograde_model::Diagnostic;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{json_error, malformed, unpinned};
use crate::ecosystem::Kind;
use crate::package::{Cursor, Inventory, Origin, Package, Root, Scope, hex_hash};
use crate::version::normalised_name;

#[derive(Deserialize)]
struct File {
    #[serde(rename = "_meta")]
    meta: Option<Value>,
    default: Option<Map<String, Value>>,
    develop: Option<Map<String, Value>>,
}

pub(super) fn parse(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let file: File = serde_json::from_str(text).map_err(|error| json_error(path, &error))?;
    if file.meta.is_none() && file.default.is_none() && file.develop.is_none() {
        return Err(malformed(path, 0, "it has none of `_meta`, `default` and `develop`", "run `pipenv lock`"));
    }
    let mut inventory = Inventory::of_file(path);
    let runtime = file.default.unwrap_or_default();
    let sections = [
        ("\"default\"", Scope::Runtime, &runtime),
        ("\"develop\"", Scope::Development, &file.develop.unwrap_or_default()),
    ];
    for (title, scope, entries) in sections {
        let mut cursor = Cursor::new(text);
        cursor.line_of(title);
        for (name, entry) in entries {
            let line = cursor.line_of(&format!("{}:", Value::from(name.as_str())));
            // What is needed to run is often listed for development too.
            if scope == Scope::Development
                && runtime.get(name).and_then(|other| other.get("version")) == entry.get("version")
                && runtime.contains_key(name)
            {
                continue;
            }
            let said = |key: &str| entry.get(key).and_then(Value::as_str);
            let version = said("version").map(|version| version.trim_start_matches('=').to_owned());
            let mut package = Package::new(Kind::PyPi, normalised_name(name), version, path, line);
            package.scope = scope;
            if let Some(git) = said("git") {
                package.origin = Origin::Git(format!("{git}@{}", said("ref").unwrap_or_default()));
            } else if said("path").is_some() {
                package.origin = Origin::Local;
            } else if package.version.is_none() {
                inventory.notes.push(unpinned(path, line, name, "the entry has no `version`"));
            }
            let hashes = entry.get("hashes").and_then(Value::as_array).into_iter().flatten();
            package.hashes = hashes.filter_map(|hash| hex_hash(hash.as_str()?)).collect();
            inventory.packages.push(package);
        }
    }
    let needs = (0..inventory.packages.len()).collect();
    inventory.roots.push(Root { name: None, version: None, file: path.to_owned(), needs });
    Ok(inventory)
}
