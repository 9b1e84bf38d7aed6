//! `requirements.txt` (pip's "Requirements File Format" and PEP 508): pins, hashes, markers, and files drawn in.

use std::collections::BTreeSet;

use prograde_model::Diagnostic;

use super::{Beside, INCLUDES_MAX, malformed, relative, unpinned};
use crate::codes;
use crate::ecosystem::Kind;
use crate::package::{Inventory, Origin, Package, Root, hex_hash};
use crate::version::normalised_name;

pub(super) fn parse(path: &str, text: &str, beside: Beside<'_>) -> Result<Inventory, Diagnostic> {
    let mut inventory = Inventory::of_file(path);
    let mut seen = BTreeSet::from([path.to_owned()]);
    let mut open = vec![(path.to_owned(), text.to_owned())];
    while let Some((path, text)) = open.pop() {
        for (number, line) in logical_lines(&text) {
            if let Some(other) = included(&line) {
                let target = relative(&path, other);
                let found =
                    target.clone().filter(|target| !seen.contains(target)).map(|target| (beside(&target), target));
                match found {
                    Some((Some(text), target)) => {
                        if seen.len() >= INCLUDES_MAX {
                            let message = format!("more than {INCLUDES_MAX} files are drawn in");
                            return Err(Diagnostic::file(codes::TOO_LARGE, path, message, "").at(number, 0));
                        }
                        seen.insert(target.clone());
                        inventory.files.push(target.clone());
                        open.push((target, text));
                    }
                    Some((None, _)) => inventory.notes.push(missing(&path, number, other)),
                    None if target.is_none() => inventory.notes.push(missing(&path, number, other)),
                    None => {}
                }
            } else {
                requirement(&path, number, &line, &mut inventory)?;
            }
        }
    }
    let needs = (0..inventory.packages.len()).collect();
    inventory.roots.push(Root { name: None, version: None, file: path.to_owned(), needs });
    Ok(inventory)
}

fn missing(path: &str, line: u32, other: &str) -> Diagnostic {
    let message = format!("`{other}` is drawn in but is not there");
    Diagnostic::file(codes::UNREADABLE, path, message, "scan the directory that holds it").at(line, 0)
}

/// Lines without comments, with those that end in a backslash joined, and the number of each one's first.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(u32, String)> = None;
    for (number, raw) in (1..).zip(text.lines()) {
        let comment =
            if raw.trim_start().starts_with('#') { Some(0) } else { raw.find(" #").or_else(|| raw.find("\t#")) };
        let line = comment.and_then(|at| raw.get(..at)).unwrap_or(raw).trim_end();
        let (content, goes_on) = line.strip_suffix('\\').map_or((line, false), |line| (line, true));
        let (_, joined) = open.get_or_insert_with(|| (number, String::new()));
        joined.push_str(content);
        joined.push(' ');
        if !goes_on {
            lines.extend(open.take());
        }
    }
    lines.extend(open);
    let trimmed = lines.into_iter().map(|(number, line)| (number, line.trim().to_owned()));
    trimmed.filter(|(_, line)| !line.is_empty()).collect()
}

fn included(line: &str) -> Option<&str> {
    let options = ["--requirement", "--constraint", "-r", "-c"];
    let rest = options.iter().find_map(|option| line.strip_prefix(option))?;
    // A name such as `-really` is no option; `-rfile` is one.
    Some(rest.trim_start_matches('=').trim())
}

fn requirement(path: &str, number: u32, line: &str, inventory: &mut Inventory) -> Result<(), Diagnostic> {
    if let Some(url) = line.strip_prefix("-e").or_else(|| line.strip_prefix("--editable")) {
        return url_requirement(path, number, url.trim_start_matches('=').trim(), inventory);
    }
    if line.starts_with('-') {
        return Ok(());
    }
    if line.contains("://")
        && !line.contains(" @ ")
        && !line.split(['=', '<', '>', ';']).next().is_some_and(|name| name.contains('@'))
    {
        return url_requirement(path, number, line, inventory);
    }
    if line.starts_with(['.', '/']) {
        return Ok(());
    }
    let (spec, hashes) = line.split_once("--hash").map_or((line, None), |(spec, _)| (spec, Some(line)));
    let spec = spec.split(" --").next().unwrap_or(spec);
    let spec = spec.split(';').next().unwrap_or(spec).trim();
    let length = spec.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')).count();
    let (name, rest) = spec.split_at_checked(length).unwrap_or((spec, ""));
    if !name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) {
        let message = format!("`{}` is no requirement", line.chars().take(60).collect::<String>());
        return Err(malformed(path, number, message, "expected `name==version`; see pip's requirements file format"));
    }
    let rest = rest.trim_start();
    let rest = if rest.starts_with('[') { rest.split_once(']').map_or("", |(_, rest)| rest) } else { rest };
    let rest = rest.trim().trim_start_matches('(').trim_end_matches(')').trim();
    let mut package = Package::new(Kind::PyPi, normalised_name(name), None, path, number);
    if let Some(url) = rest.strip_prefix('@') {
        package.origin = origin(url.trim());
    } else {
        package.version = pinned(rest);
        if package.version.is_none() {
            if !rest.is_empty() && !rest.starts_with(['=', '<', '>', '!', '~']) {
                let message = format!("`{}` is no version", rest.chars().take(60).collect::<String>());
                return Err(malformed(
                    path,
                    number,
                    message,
                    "expected `name==version`; see pip's requirements file format",
                ));
            }
            let why =
                if rest.is_empty() { "the file names none".to_owned() } else { format!("the file allows `{rest}`") };
            inventory.notes.push(unpinned(path, number, name, &why));
        }
    }
    let words = hashes.unwrap_or_default().split_whitespace();
    package.hashes = words.filter_map(|word| hex_hash(word.strip_prefix("--hash=").unwrap_or(word))).collect();
    inventory.packages.push(package);
    Ok(())
}

/// The version of `==1.2` or `===1.2`; none for ranges and for `==1.*`.
fn pinned(spec: &str) -> Option<String> {
    let exact = spec.split(',').find_map(|one| one.trim().strip_prefix("=="))?;
    let version = exact.trim_start_matches('=').trim();
    (!version.is_empty() && !version.contains('*')).then(|| version.to_owned())
}

fn origin(url: &str) -> Origin {
    let url = url.split_whitespace().next().unwrap_or(url);
    if url.starts_with("git+") { Origin::Git(url.to_owned()) } else { Origin::Url(url.to_owned()) }
}

/// A requirement that is an address: its name stands after `#egg=`, else it has none that we know.
fn url_requirement(path: &str, number: u32, url: &str, inventory: &mut Inventory) -> Result<(), Diagnostic> {
    if !url.contains("://") {
        return Ok(());
    }
    let egg = url.split_once("#egg=").map(|(_, egg)| egg.split(['&', '[', ' ']).next().unwrap_or(egg));
    match egg {
        Some(name) => {
            let mut package = Package::new(Kind::PyPi, normalised_name(name), None, path, number);
            package.origin = origin(url);
            inventory.packages.push(package);
        }
        None => inventory.notes.push(unpinned(path, number, url, "an address says no name and no version")),
    }
    Ok(())
}
