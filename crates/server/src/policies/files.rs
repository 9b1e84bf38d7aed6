//! Files and folders with policies or resources.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use prograde_model::{Diagnostic, Diagnostics};

/// The code of a file that can't be read.
const CODE: &str = "PG0905";
/// How many files one path may lead to.
const FILES_MAX: usize = 10_000;
/// How deep folders are searched.
const DEPTH_MAX: usize = 32;
/// The largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The YAML files at a path: itself, or those in a folder, and in folders within.
pub fn yaml(path: &Path, deep: bool) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return if path.exists() { Ok(vec![path.to_owned()]) } else { Err("there is no such file".to_owned()) };
    }
    let is_yaml =
        |path: &Path| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known));
    searched(path, if deep { DEPTH_MAX } else { 1 }, &is_yaml)
}

/// Files in a folder, by their names; symbolic links to folders are not followed.
pub fn searched(root: &Path, depth: usize, wanted: &dyn Fn(&Path) -> bool) -> Result<Vec<PathBuf>, String> {
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
pub fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>, Diagnostics> {
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
pub fn unusable(path: &Path, why: &str) -> Diagnostics {
    Diagnostic::file(CODE, path.display().to_string(), why, "").into()
}

fn text(path: &Path) -> Result<String, Diagnostics> {
    let unreadable = |error: std::io::Error| unusable(path, &format!("the file can't be read: {error}"));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(unusable(path, &format!("the file has more than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| unusable(path, "the file is not UTF-8 text"))
}
