//! The files below a directory, in order of their paths. Links are not followed, and what tools keep there of others'
//! is left out: `.git`, `node_modules`, virtual environments, and every directory that calls itself a cache.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use prograde_model::Diagnostic;

use crate::{codes, git};

/// The most files that are looked at.
const FILES_MAX: usize = 5_000_000;
/// How deep directories may stand within each other.
const DEPTH_MAX: usize = 128;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its path from the top, with slashes.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Directories that hold what others made.
const SKIPPED: [&str; 12] = [
    ".git",
    ".hg",
    ".svn",
    "node_modules",
    "bower_components",
    ".venv",
    "venv",
    "__pycache__",
    ".tox",
    ".terraform",
    ".gradle",
    ".mypy_cache",
];

/// The signature of a directory of caches (bford.info/cachedir).
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What becomes of files that Git ignores. Where it keeps track of one all the same, that one is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// They are left out.
    LeftOut,
    /// They are looked at, as if there were no Git.
    LookedAt,
}

/// All files below `root`.
pub fn files(root: &Path, ignored: Ignored) -> Result<Vec<Found>, Diagnostic> {
    let known = if ignored == Ignored::LeftOut { git::known(root) } else { None };
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, String, usize)> = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, name, depth)) = open.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => return Err(unreadable(&folder, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(&folder, &error))?;
            let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), &error))?;
            let own = entry.file_name().to_string_lossy().into_owned();
            let name = if name.is_empty() { own.clone() } else { format!("{name}/{own}") };
            if kind.is_dir() {
                let known = known.as_ref().is_none_or(|known| known.has_folder(&name));
                if depth < DEPTH_MAX && known && !SKIPPED.contains(&own.as_str()) && !is_cache(&entry.path()) {
                    open.push((entry.path(), name, depth + 1));
                }
            } else if kind.is_file() && known.as_ref().is_none_or(|known| known.has_file(&name)) {
                // A file may vanish between the two calls.
                let Ok(meta) = entry.metadata() else { continue };
                found.push(Found { path: entry.path(), name, size: meta.len() });
            }
            if found.len() > FILES_MAX {
                let message = format!("there are more than the {FILES_MAX} files that are looked at");
                let hint = "scan the directories that matter one by one";
                return Err(Diagnostic::file(codes::TOO_LARGE, root.display().to_string(), message, hint));
            }
        }
    }
    found.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(found)
}

fn is_cache(folder: &Path) -> bool {
    let mut start = Vec::new();
    let opened = fs::File::open(folder.join("CACHEDIR.TAG"));
    opened.is_ok_and(|file| file.take(64).read_to_end(&mut start).is_ok()) && start.starts_with(CACHE_SIGNATURE)
}

/// What can't be read, as a finding.
pub fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::file(codes::UNREADABLE, path.display().to_string(), format!("it can't be read: {error}"), "")
}

/// The largest file in which a team says what it has decided, in bytes.
const DECIDED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The text of a file in which a team says what it has decided.
pub fn decided(path: &Path) -> Result<String, Diagnostic> {
    let bytes = read(path, DECIDED_BYTES_MAX)?;
    let not_text = |_| Diagnostic::file(codes::UNREADABLE, path.display().to_string(), "the file is not UTF-8", "");
    String::from_utf8(bytes).map_err(not_text)
}

/// The same of a file below `root`; none where it is not there.
pub fn decided_below(root: &Path, name: &str) -> Result<Option<String>, Diagnostic> {
    let path = root.join(name);
    if path.is_file() { decided(&path).map(Some) } else { Ok(None) }
}

/// A file's bytes, at most so many.
pub fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Diagnostic> {
    let file = fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut bytes = Vec::new();
    let limit = bytes_max as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > bytes_max {
        let message = format!("the file has more than the {bytes_max} bytes that are read");
        return Err(Diagnostic::file(codes::TOO_LARGE, path.display().to_string(), message, ""));
    }
    Ok(bytes)
}
