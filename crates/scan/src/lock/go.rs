//! `go.mod` (go.dev/ref/mod, "go.mod files") and `go.sum`.
//!
//! Since Go 1.17 `go.mod` names every module that the build needs. Before, and without it, `go.sum` has more: the
//! highest version of a module whose content it vouches for is the one that was taken.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use prograde_model::Diagnostic;

use super::{Beside, malformed, relative};
use crate::ecosystem::Kind;
use crate::package::{Inventory, Origin, Package, Root};
use crate::version::compare;

const HINT: &str = "run `go mod tidy`";

/// The first release of Go whose `go.mod` is complete.
const COMPLETE_SINCE: (u32, u32) = (1, 17);

#[derive(Default)]
struct File {
    module: Option<String>,
    go: Option<String>,
    toolchain: Option<String>,
    requires: Vec<(String, String, u32)>,
    replaces: Vec<Replace>,
}

struct Replace {
    old: String,
    old_version: Option<String>,
    new: String,
    new_version: Option<String>,
}

pub(super) fn module(path: &str, text: &str, beside: Beside<'_>) -> Result<Inventory, Diagnostic> {
    let file = read(path, text)?;
    let mut inventory = Inventory::of_file(path);
    for (name, version, line) in &file.requires {
        inventory.packages.push(replaced(path, name, version, *line, &file.replaces));
    }
    if let Some((version, line)) = toolchain(&file, text) {
        inventory.packages.push(Package::new(Kind::Go, "stdlib", Some(version), path, line));
    }
    let sums = relative(path, "go.sum").and_then(|sums| Some((beside(&sums)?, sums)));
    if let Some((sums, sums_path)) = sums {
        let said: BTreeMap<&str, &str> =
            file.requires.iter().map(|(name, version, _)| (name.as_str(), version.as_str())).collect();
        let complete = file.go.as_deref().and_then(release).is_some_and(|go| go >= COMPLETE_SINCE);
        if !complete {
            let others = highest(&sums_path, &sums)?.into_iter().filter(|(name, _)| !said.contains_key(name.as_str()));
            for (name, (version, line)) in others {
                inventory.packages.push(Package::new(Kind::Go, name, Some(version), &sums_path, line));
            }
            inventory.files.push(sums_path);
        }
    }
    let needs = (0..inventory.packages.len()).collect();
    inventory.roots.push(Root { name: file.module, version: None, file: path.to_owned(), needs });
    Ok(inventory)
}

/// `go.sum` alone.
pub(super) fn sums(path: &str, text: &str, beside: Beside<'_>) -> Result<Inventory, Diagnostic> {
    let mut inventory = Inventory::of_file(path);
    if relative(path, "go.mod").is_some_and(|module| beside(&module).is_some()) {
        inventory.files.clear();
        return Ok(inventory);
    }
    for (name, (version, line)) in highest(path, text)? {
        inventory.packages.push(Package::new(Kind::Go, name, Some(version), path, line));
    }
    let needs = (0..inventory.packages.len()).collect();
    inventory.roots.push(Root { name: None, version: None, file: path.to_owned(), needs });
    Ok(inventory)
}

fn read(path: &str, text: &str) -> Result<File, Diagnostic> {
    let mut file = File::default();
    let mut block: Option<String> = None;
    for (number, raw) in (1..).zip(text.lines()) {
        let line = raw.split("//").next().unwrap_or(raw).trim();
        if line.is_empty() {
            continue;
        }
        if line == ")" {
            block = None;
            continue;
        }
        let (verb, rest) = match &block {
            Some(verb) => (verb.clone(), line),
            None => {
                let (verb, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
                let verb = verb.trim_end_matches('(');
                if rest.trim() == "(" || line.ends_with('(') {
                    block = Some(verb.to_owned());
                    continue;
                }
                (verb.to_owned(), rest.trim())
            }
        };
        directive(path, number, &verb, rest, &mut file)?;
    }
    if file.module.is_none() && file.requires.is_empty() {
        return Err(malformed(path, 0, "it has no `module`", HINT));
    }
    Ok(file)
}

fn directive(path: &str, number: u32, verb: &str, rest: &str, file: &mut File) -> Result<(), Diagnostic> {
    let words: Vec<&str> = rest.split_whitespace().map(|word| word.trim_matches(['"', '`'])).collect();
    match (verb, words.as_slice()) {
        ("module", [name]) => file.module = Some((*name).to_owned()),
        ("go", [version]) => file.go = Some((*version).to_owned()),
        ("toolchain", [version]) => file.toolchain = Some((*version).to_owned()),
        ("require", [name, version]) => file.requires.push(((*name).to_owned(), (*version).to_owned(), number)),
        ("replace", words) => {
            let replace =
                replace(words).ok_or_else(|| malformed(path, number, "expected `replace OLD => NEW`", HINT))?;
            file.replaces.push(replace);
        }
        ("exclude" | "retract" | "godebug" | "tool" | "ignore", _) => {}
        (verb, _) => {
            let message = format!(
                "`{}` is not a directive of go.mod with these arguments",
                verb.chars().take(40).collect::<String>()
            );
            return Err(malformed(path, number, message, HINT));
        }
    }
    Ok(())
}

fn replace(words: &[&str]) -> Option<Replace> {
    let arrow = words.iter().position(|word| *word == "=>")?;
    let (old, new) = (words.get(..arrow)?, words.get(arrow + 1..)?);
    Some(Replace {
        old: (*old.first()?).to_owned(),
        old_version: old.get(1).map(|version| (*version).to_owned()),
        new: (*new.first()?).to_owned(),
        new_version: new.get(1).map(|version| (*version).to_owned()),
    })
}

fn replaced(path: &str, name: &str, version: &str, line: u32, replaces: &[Replace]) -> Package {
    let fits =
        |replace: &&Replace| replace.old == name && replace.old_version.as_deref().is_none_or(|old| old == version);
    match replaces.iter().find(fits) {
        Some(Replace { new, new_version: Some(version), .. }) => {
            Package::new(Kind::Go, new, Some(version.clone()), path, line)
        }
        Some(Replace { new_version: None, .. }) => {
            let mut package = Package::new(Kind::Go, name, None, path, line);
            package.origin = Origin::Local;
            package
        }
        None => Package::new(Kind::Go, name, Some(version.to_owned()), path, line),
    }
}

/// The release of Go's own library, where the file names one exactly: `toolchain go1.21.3` or `go 1.21.3`.
fn toolchain(file: &File, text: &str) -> Option<(String, u32)> {
    let named = file.toolchain.as_deref().and_then(|name| name.strip_prefix("go")).or(file.go.as_deref())?;
    let version = named.split('-').next().unwrap_or(named);
    let exact = version.split('.').count() == 3 && version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let line = text.lines().position(|line| line.contains(version)).and_then(|at| u32::try_from(at + 1).ok());
    exact.then(|| (version.to_owned(), line.unwrap_or(0)))
}

fn release(go: &str) -> Option<(u32, u32)> {
    let mut parts = go.split('.');
    let number = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count();
    let (major, minor) = (parts.next()?, parts.next()?);
    Some((major.parse().ok()?, minor.get(..number(minor))?.parse().ok()?))
}

/// Each module's highest version with a checksum of its content; lines with `/go.mod` vouch for that file only.
fn highest(path: &str, text: &str) -> Result<BTreeMap<String, (String, u32)>, Diagnostic> {
    let mut found: BTreeMap<String, (String, u32)> = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, version, hash] = words.as_slice() else {
            if words.is_empty() {
                continue;
            }
            return Err(malformed(path, number, "expected a module, a version and a checksum", HINT));
        };
        if !hash.starts_with("h1:") {
            return Err(malformed(path, number, "the checksum does not begin with `h1:`", HINT));
        }
        if version.ends_with("/go.mod") {
            continue;
        }
        let later = match found.get(*name) {
            Some((before, _)) => compare(Kind::Go, before, version).is_ok_and(|order| order == Ordering::Less),
            None => true,
        };
        if later {
            found.insert((*name).to_owned(), ((*version).to_owned(), number));
        }
    }
    Ok(found)
}
