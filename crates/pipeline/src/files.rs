//! Walking a job's files: bounded, stoppable, and never out of the directory that was asked for.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::pattern::{Dialect, Pattern, PatternError};

/// The most files and directories that one walk visits.
const ENTRIES_MAX: usize = 500_000;

/// The deepest directory that is entered.
const DEPTH_MAX: usize = 100;

/// Why files could not be found, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    #[error("the path {0:?} leads out of the job's own directories")]
    Escapes(String),
    #[error("{0:?} is a link that may lead out of the job's own directories")]
    LinkEscapes(String),
    #[error("the pattern {pattern:?} can't be used: {error}")]
    Pattern { pattern: String, error: PatternError },
    #[error("there are more than {ENTRIES_MAX} files to look at")]
    TooMany,
    #[error("there are more than {0} files")]
    TooManyFiles(usize),
    #[error("the files have more than {0} bytes together")]
    TooLarge(u64),
    #[error("stopped")]
    Stopped,
}

impl FilesError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.display().to_string(), error }
    }
}

/// One line of a list of paths.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    /// Whether what it matches is left out.
    pub(crate) negated: bool,
    /// The deepest directory without a mark of a pattern in it, or the path itself.
    pub(crate) root: PathBuf,
    pattern: Pattern,
    /// The same with everything below, as a directory's name stands for all that is in it.
    below: Pattern,
}

impl Search {
    /// Reads one line; a relative one is taken from `base`.
    pub(crate) fn new(line: &str, base: &Path) -> Result<Self, FilesError> {
        let (negated, text) = match line.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, line),
        };
        let absolute = base.join(text.strip_prefix("./").unwrap_or(text));
        let clean = normal(&absolute).ok_or_else(|| FilesError::Escapes(line.to_owned()))?;
        let text = clean.to_string_lossy().into_owned();
        let compile = |text: &str| {
            Pattern::new(text, Dialect::Path)
                .map_err(|error| FilesError::Pattern { pattern: line.chars().take(100).collect(), error })
        };
        let mut root = PathBuf::new();
        for component in clean.components() {
            if component.as_os_str().to_string_lossy().contains(['*', '?', '[']) {
                break;
            }
            root.push(component);
        }
        let pattern = compile(&text)?;
        let below = compile(&format!("{}/**", text.trim_end_matches('/')))?;
        Ok(Self { negated, root, pattern, below })
    }

    /// Whether `path` matches.
    pub(crate) fn matches(&self, path: &Path) -> bool {
        let text = path.to_string_lossy();
        self.pattern.matches(&text) || self.below.matches(&text)
    }
}

/// `path` without `.` and `..`; `None` where `..` leads above its start.
pub(crate) fn normal(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            Component::Normal(name) => clean.push(name),
            Component::RootDir | Component::Prefix(_) => clean.push(component),
        }
    }
    Some(clean)
}

/// Makes the directory `path` below `base`; no part of the way between them may be a link.
pub(crate) fn make_directory(path: &Path, base: &Path) -> Result<(), FilesError> {
    fs::create_dir_all(base).map_err(|error| FilesError::io(base, error))?;
    let between = path.strip_prefix(base).map_err(|_| FilesError::Escapes(path.display().to_string()))?;
    let mut own = base.to_owned();
    for component in between.components() {
        own.push(component);
        match fs::symlink_metadata(&own) {
            Ok(about) if about.is_dir() => {}
            Ok(_) => return Err(FilesError::LinkEscapes(own.display().to_string())),
            Err(_) => fs::create_dir(&own).map_err(|error| FilesError::io(&own, error))?,
        }
    }
    Ok(())
}

/// All files that the searches find, sorted. Every line may start with `!`; the last that matches decides.
pub(crate) fn find(
    searches: &[Search],
    within: &[PathBuf],
    hidden: bool,
    stop: &CancellationToken,
) -> Result<Vec<PathBuf>, FilesError> {
    let mut found = std::collections::BTreeSet::new();
    let mut left = ENTRIES_MAX;
    for search in searches.iter().filter(|search| !search.negated) {
        if !within.iter().any(|own| search.root.starts_with(own)) {
            return Err(FilesError::Escapes(search.root.display().to_string()));
        }
        walk(&search.root, 0, &mut left, stop, hidden, &mut |path| {
            let last = searches.iter().rev().find(|own| own.matches(path));
            if last.is_some_and(|own| !own.negated) {
                found.insert(path.to_owned());
            }
        })?;
    }
    for path in &found {
        let real = fs::canonicalize(path).map_err(|error| FilesError::io(path, error))?;
        if !within.iter().any(|own| real.starts_with(own)) {
            return Err(FilesError::LinkEscapes(path.display().to_string()));
        }
    }
    Ok(found.into_iter().collect())
}

/// Calls `visit` for each file below `path`, or for `path` itself. Links to directories are not followed.
fn walk(
    path: &Path,
    depth: usize,
    left: &mut usize,
    stop: &CancellationToken,
    hidden: bool,
    visit: &mut dyn FnMut(&Path),
) -> Result<(), FilesError> {
    if stop.is_cancelled() {
        return Err(FilesError::Stopped);
    }
    *left = left.checked_sub(1).ok_or(FilesError::TooMany)?;
    let about = match fs::symlink_metadata(path) {
        Ok(about) => about,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(FilesError::io(path, error)),
    };
    if about.is_dir() && depth < DEPTH_MAX {
        let entries = fs::read_dir(path).map_err(|error| FilesError::io(path, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| FilesError::io(path, error))?;
            if hidden || !entry.file_name().to_string_lossy().starts_with('.') {
                walk(&entry.path(), depth + 1, left, stop, hidden, visit)?;
            }
        }
    } else if about.is_file() || (about.is_symlink() && fs::metadata(path).is_ok_and(|target| target.is_file())) {
        // Pipes, sockets and devices are left alone: reading one could wait for ever.
        visit(path);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(directory.path()).unwrap().join("workspace");
        for file in ["a.txt", "dist/b.bin", "dist/sub/c.bin", "dist/sub/.hidden"] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        (directory, root)
    }

    fn found(root: &Path, lines: &[&str]) -> Result<Vec<String>, FilesError> {
        let searches = lines.iter().map(|line| Search::new(line, root)).collect::<Result<Vec<_>, _>>()?;
        let all = find(&searches, &[root.to_owned()], false, &CancellationToken::new())?;
        Ok(all.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect())
    }

    #[test]
    fn patterns_directories_and_exceptions_find_files() {
        let (_directory, root) = tree();
        assert_eq!(found(&root, &["dist"]).unwrap(), ["dist/b.bin", "dist/sub/c.bin"]);
        assert_eq!(found(&root, &["**/*.bin", "!dist/sub"]).unwrap(), ["dist/b.bin"]);
        assert_eq!(found(&root, &["dist/../a.txt", "./dist/*.bin"]).unwrap(), ["a.txt", "dist/b.bin"]);
        assert_eq!(found(&root, &["nothing/*"]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn no_path_and_no_link_leads_out() {
        let (_directory, root) = tree();
        for line in ["../secret", "/etc/passwd", "dist/../../secret", "/../../../../etc/*", "/"] {
            assert!(matches!(found(&root, &[line]), Err(FilesError::Escapes(_))), "{line}");
        }
        symlink("/etc/passwd", root.join("dist/link")).unwrap();
        assert!(matches!(found(&root, &["dist"]), Err(FilesError::LinkEscapes(_))));
        fs::remove_file(root.join("dist/link")).unwrap();
        symlink("/etc", root.join("dist/etc")).unwrap();
        symlink(&root, root.join("dist/loop")).unwrap();
        assert_eq!(found(&root, &["dist"]).unwrap(), ["dist/b.bin", "dist/sub/c.bin"]);
    }
}
