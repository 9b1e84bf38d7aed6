//! `pnpm-lock.yaml` of versions 5 to 9. They differ in how a package's key is written, and since 9 what it needs stands
//! in `snapshots`.

use std::collections::HashMap;

use prograde_model::Diagnostic;
use prograde_yaml::{Node, Value};

use super::malformed;
use crate::ecosystem::Kind;
use crate::package::{Inventory, Origin, Package, Root, Scope, integrity};

const HINT: &str = "write the file again with `pnpm install --lockfile-only`";

/// The file's version, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `/name/1.0.0_peer`
    Five,
    /// `/name@1.0.0(peer)`
    Six,
    /// `name@1.0.0(peer)`, with `snapshots`
    Nine,
}

pub(super) fn parse(path: &str, text: &str) -> Result<Inventory, Diagnostic> {
    let documents = prograde_yaml::large_documents(path, text)?;
    // Since version 11 of pnpm a first document may hold pnpm itself; the project is in the last.
    let document = documents.last().ok_or_else(|| malformed(path, 0, "it is empty", HINT))?;
    let form = form(path, document)?;
    let mut inventory = Inventory::of_file(path);
    let mut places: HashMap<String, usize> = HashMap::new();
    let packages = document.get("packages").map(Node::entries).unwrap_or_default();
    for (key, value) in packages {
        let (name, version) = split(form, &key.name)
            .ok_or_else(|| malformed(path, key.line, format!("`{}` is no name with a version", key.name), HINT))?;
        places.insert(key.name.clone(), inventory.packages.len());
        inventory.packages.push(package(path, key.line, name, version, value));
    }
    let described =
        if form == Form::Nine { document.get("snapshots").map(Node::entries).unwrap_or_default() } else { packages };
    for (key, value) in described {
        let Some(at) = place(form, &key.name, &places) else { continue };
        let lists = ["dependencies", "optionalDependencies"].into_iter().filter_map(|list| value.get(list));
        let needs: Vec<usize> = lists.flat_map(|list| needs(form, list, &places)).collect();
        if let Some(package) = inventory.packages.get_mut(at) {
            package.needs.extend(needs);
            package.needs.sort_unstable();
            package.needs.dedup();
        }
    }
    importers(path, form, document, &places, &mut inventory);
    Ok(inventory)
}

fn form(path: &str, document: &Node) -> Result<Form, Diagnostic> {
    let version =
        document.get("lockfileVersion").ok_or_else(|| malformed(path, 0, "it has no `lockfileVersion`", HINT))?;
    let text = version.as_str().map_or_else(|| version.to_json().to_string(), str::to_owned);
    match text.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(5) => Ok(Form::Five),
        Some(6) => Ok(Form::Six),
        Some(9) => Ok(Form::Nine),
        Some(_) | None => {
            let message = format!("version {text} of the format is not known, only 5, 6 and 9");
            Err(malformed(path, version.line, message, HINT))
        }
    }
}

/// Name and version of a key; what follows about peers is left out.
fn split(form: Form, key: &str) -> Option<(&str, &str)> {
    let plain = key.split('(').next().unwrap_or(key);
    let plain = plain.strip_prefix('/').unwrap_or(plain);
    if form == Form::Five {
        if plain.split('/').next().is_some_and(|first| first.contains('.') && !first.starts_with('@')) {
            // A registry or a host stands in front: `github.com/user/repo/0123abc`.
            return plain.rsplit_once('/');
        }
        let (name, version) = plain.rsplit_once('/')?;
        return Some((name, version.split('_').next().unwrap_or(version)));
    }
    let at = plain.get(1..)?.find('@')? + 1;
    Some((plain.get(..at)?, plain.get(at + 1..)?))
}

fn package(path: &str, line: u32, name: &str, version: &str, value: &Node) -> Package {
    let said = |key: &str| value.get(key).and_then(Node::as_str).map(str::to_owned);
    let flag = |key: &str| value.get(key).is_some_and(|node| matches!(node.value, Value::Bool(true)));
    let foreign = version.contains(':') || version.contains('/') || name.contains('.') && name.matches('/').count() > 1;
    let name = said("name").unwrap_or_else(|| name.to_owned());
    let version = said("version").or_else(|| (!foreign).then(|| version.to_owned()));
    let mut package = Package::new(Kind::Npm, name, version, path, line);
    let resolution = value.get("resolution");
    let of = |key: &str| resolution.and_then(|node| node.get(key)).and_then(Node::as_str);
    package.hashes = of("integrity").map(integrity).unwrap_or_default();
    if let Some(repository) = of("repo") {
        package.origin = Origin::Git(format!("{repository}#{}", of("commit").unwrap_or_default()));
    } else if let Some(url) = of("tarball").filter(|_| foreign) {
        package.origin = Origin::Url(url.to_owned());
    } else if of("directory").is_some() {
        package.origin = Origin::Local;
    }
    package.scope = match (flag("dev"), flag("optional")) {
        (true, _) => Scope::Development,
        (false, true) => Scope::Optional,
        (false, false) => Scope::Runtime,
    };
    package
}

/// The place of a key, also where it has peers that the packages' keys do not have.
fn place(form: Form, key: &str, places: &HashMap<String, usize>) -> Option<usize> {
    let plain = if form == Form::Five { key } else { key.split('(').next().unwrap_or(key) };
    places.get(key).or_else(|| places.get(plain)).copied()
}

fn needs(form: Form, list: &Node, places: &HashMap<String, usize>) -> Vec<usize> {
    let find = |name: &str, version: &str| {
        // A reference that begins with a slash, or since version 9 has a name of its own, stands for another package.
        let own = if form == Form::Nine {
            version
                .get(1..)
                .is_some_and(|rest| rest.split('(').next().unwrap_or(rest).contains('@'))
                .then(|| version.to_owned())
        } else {
            version.starts_with('/').then(|| version.to_owned())
        };
        let key = own.unwrap_or_else(|| match form {
            Form::Five => format!("/{name}/{version}"),
            Form::Six => format!("/{name}@{version}"),
            Form::Nine => format!("{name}@{version}"),
        });
        place(form, &key, places).or_else(|| place(form, version, places))
    };
    list.entries().iter().filter_map(|(key, value)| find(&key.name, &reference(value)?)).collect()
}

/// `1.0.0`, or since version 6 `{specifier: …, version: 1.0.0}`.
fn reference(node: &Node) -> Option<String> {
    let node = node.get("version").unwrap_or(node);
    node.as_str().map(str::to_owned).or_else(|| node.to_json().as_number().map(ToString::to_string))
}

fn importers(path: &str, form: Form, document: &Node, places: &HashMap<String, usize>, inventory: &mut Inventory) {
    let listed: Vec<(Option<&str>, &Node)> = match document.get("importers") {
        Some(importers) => importers.entries().iter().map(|(key, value)| (Some(key.name.as_str()), value)).collect(),
        None => vec![(None, document)],
    };
    let (mut runtime, mut development) = (Vec::new(), Vec::new());
    for (name, importer) in listed {
        let of = |list: &str| importer.get(list).map(|list| needs(form, list, places)).unwrap_or_default();
        let mut wanted = of("dependencies");
        wanted.extend(of("optionalDependencies"));
        let tools = of("devDependencies");
        runtime.extend(&wanted);
        development.extend(&tools);
        wanted.extend(tools);
        let name = name.filter(|name| *name != ".").map(str::to_owned);
        inventory.roots.push(Root { name, version: None, file: path.to_owned(), needs: wanted });
    }
    if form == Form::Nine {
        inventory.mark_development(&runtime, &development);
    }
}
