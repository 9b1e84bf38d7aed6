//! Lock files: which file is of which kind, and the inventory that each gives.
//!
//! Invariant: a file is read wholly or refused with its line; a version that a file does not say is none, and a note
//! says so. No file is read that is larger than [`BYTES_MAX`], and no more files than [`INCLUDES_MAX`] for one.

mod cargo;
mod gem;
mod go;
mod gradle;
mod maven;
mod npm;
mod pipfile;
mod pnpm;
mod python;
mod requirements;
mod yarn;

use prograde_model::Diagnostic;

use crate::codes;
use crate::package::Inventory;

/// The largest lock file that is read, in bytes.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The most files that one file may draw in.
const INCLUDES_MAX: usize = 100;

/// A kind of lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// `Cargo.lock`.
    Cargo,
    /// `package-lock.json`, `npm-shrinkwrap.json`.
    Npm,
    /// `yarn.lock`.
    Yarn,
    /// `pnpm-lock.yaml`.
    Pnpm,
    /// `requirements.txt` and its like.
    Requirements,
    /// `poetry.lock`.
    Poetry,
    /// `uv.lock`.
    Uv,
    /// `pdm.lock`.
    Pdm,
    /// `Pipfile.lock`.
    Pipfile,
    /// `go.mod`.
    GoMod,
    /// `go.sum`, where there is no `go.mod` beside it.
    GoSum,
    /// `pom.xml`.
    Pom,
    /// `gradle.lockfile`, `buildscript-gradle.lockfile`.
    Gradle,
    /// `Gemfile.lock`, `gems.locked`.
    Gem,
}

/// The kind of a file, by its name.
pub fn kind_of(path: &str) -> Option<LockKind> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    Some(match name {
        "Cargo.lock" => LockKind::Cargo,
        "package-lock.json" | "npm-shrinkwrap.json" | ".package-lock.json" => LockKind::Npm,
        "yarn.lock" => LockKind::Yarn,
        "pnpm-lock.yaml" => LockKind::Pnpm,
        "poetry.lock" => LockKind::Poetry,
        "uv.lock" => LockKind::Uv,
        "pdm.lock" => LockKind::Pdm,
        "Pipfile.lock" => LockKind::Pipfile,
        "go.mod" => LockKind::GoMod,
        "go.sum" => LockKind::GoSum,
        "pom.xml" => LockKind::Pom,
        "gradle.lockfile" | "buildscript-gradle.lockfile" => LockKind::Gradle,
        "Gemfile.lock" | "gems.locked" => LockKind::Gem,
        _ if is_requirements(path, name) => LockKind::Requirements,
        _ => return None,
    })
}

/// `requirements.txt`, `requirements-dev.txt`, `dev-requirements.txt`, `requirements/base.txt`.
fn is_requirements(path: &str, name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".txt") else { return false };
    let in_folder = path.rsplit_once('/').is_some_and(|(folder, _)| folder.rsplit('/').next() == Some("requirements"));
    in_folder
        || stem == "requirements"
        || stem.starts_with("requirements-")
        || stem.starts_with("requirements_")
        || stem.starts_with("requirements.")
        || stem.ends_with("-requirements")
        || stem.ends_with("_requirements")
}

/// Gives the text of another file by its path, where there is one: what a lock file may draw in.
pub type Beside<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads one file. `path` decides how paths within it are meant, and is what messages name.
pub fn parse(kind: LockKind, path: &str, text: &str, beside: Beside<'_>) -> Result<Inventory, Diagnostic> {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes, more than the {BYTES_MAX} that are read", text.len());
        return Err(Diagnostic::file(codes::TOO_LARGE, path, message, "scan the projects that share it one by one"));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match kind {
        LockKind::Cargo => cargo::parse(path, text),
        LockKind::Npm => npm::parse(path, text),
        LockKind::Yarn => yarn::parse(path, text),
        LockKind::Pnpm => pnpm::parse(path, text),
        LockKind::Requirements => requirements::parse(path, text, beside),
        LockKind::Poetry => python::poetry(path, text),
        LockKind::Uv => python::uv(path, text),
        LockKind::Pdm => python::pdm(path, text),
        LockKind::Pipfile => pipfile::parse(path, text),
        LockKind::GoMod => go::module(path, text, beside),
        LockKind::GoSum => go::sums(path, text, beside),
        LockKind::Pom => maven::parse(path, text, beside),
        LockKind::Gradle => gradle::parse(path, text),
        LockKind::Gem => gem::parse(path, text),
    }
}

/// The path of a file that another one names relative to itself; none where it leads out of the tree.
fn relative(path: &str, to: &str) -> Option<String> {
    if to.starts_with('/') {
        return None;
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in to.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    Some(if path.starts_with('/') { format!("/{joined}") } else { joined })
}

/// A file that is not what its name says.
fn malformed(path: &str, line: u32, message: impl Into<String>, hint: &str) -> Diagnostic {
    Diagnostic::file(codes::LOCK_FORM, path, message, hint).at(line, 0)
}

/// A version that is not said.
fn unpinned(path: &str, line: u32, name: &str, why: &str) -> Diagnostic {
    let message = format!("the version of `{name}` is not known: {why}");
    Diagnostic::file(codes::VERSION, path, message, "pin it, or scan what was installed").at(line, 0)
}

fn toml_error(path: &str, text: &str, error: &toml::de::Error) -> Diagnostic {
    let line = error.span().map_or(0, |span| crate::package::Lines::of(text).at(span.start));
    let message = error.message().lines().next().unwrap_or("no TOML").to_owned();
    malformed(path, line, message, "write the file again with the tool that made it")
}

fn json_error(path: &str, error: &serde_json::Error) -> Diagnostic {
    let line = u32::try_from(error.line()).unwrap_or(u32::MAX);
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    malformed(path, line, message, "write the file again with the tool that made it")
}

#[cfg(test)]
mod tests;
