//! Files and folders that are named on the command line or by tests.

use std::fs;
use std::path::{Path, PathBuf};

use prograde_model::Diagnostics;
use prograde_policy::testing::Files;

use crate::commands::rules::files::text;

/// How many files one path may lead to.
const FILES_MAX: usize = 10_000;
/// How deep folders are searched.
const DEPTH_MAX: usize = 32;

/// The folder that a test's paths begin at.
pub(super) struct Beside<'p>(pub(super) &'p Path);

impl Files for Beside<'_> {
    fn read(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        if path.contains("://") {
            return Err("only files are read, nothing is fetched".to_owned());
        }
        let mut found = Vec::new();
        for file in yaml(&self.0.join(path), false)? {
            let read =
                text(&file).map_err(|error| error.0.first().map_or_else(String::new, |first| first.message.clone()))?;
            found.push((file.display().to_string(), read));
        }
        Ok(found)
    }
}

/// The YAML files at a path: itself, or those in a folder, and in folders within.
pub(super) fn yaml(path: &Path, deep: bool) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return if path.exists() { Ok(vec![path.to_owned()]) } else { Err("there is no such file".to_owned()) };
    }
    let is_yaml =
        |path: &Path| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
    searched(path, if deep { DEPTH_MAX } else { 1 }, &is_yaml)
}

/// The tests at a path.
pub(super) fn tests(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return if path.exists() { Ok(vec![path.to_owned()]) } else { Err("there is no such file".to_owned()) };
    }
    searched(path, DEPTH_MAX, &|path| {
        path.file_name().is_some_and(|name| name == "kyverno-test.yaml" || name == "kyverno-test.yml")
    })
}

/// Files in a folder, by their names; symbolic links to folders are not followed.
fn searched(root: &Path, depth: usize, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_owned(), depth)];
    while let Some((folder, left)) = open.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{} can't be read: {error}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|error| format!("{} can't be read: {error}", folder.display()))?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(|error| error.to_string())?);
            if kind.is_dir() && left > 1 {
                open.push((path, left - 1));
            } else if !kind.is_dir() && wanted(&path) {
                found.push(path);
            }
            if found.len() > FILES_MAX {
                return Err(format!("{} holds more than {FILES_MAX} files", root.display()));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Texts of all YAML files at paths, with their names.
pub(super) fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Diagnostics> {
    let mut found = Vec::new();
    for path in paths {
        let files = yaml(path, true).map_err(|why| unusable(path, &why))?;
        for file in files {
            found.push((file.display().to_string(), text(&file)?));
        }
    }
    Ok(found)
}

/// A path that can't be used.
pub(super) fn unusable(path: &Path, why: &str) -> Diagnostics {
    prograde_model::Diagnostic::file(crate::report::FILE, path.display().to_string(), why, "").into()
}
