//! Files that are named on the command line, or by patterns in files of tests.
//!
//! Source: Go, documentation of `path/filepath`, `Glob` and `Match`, by which promtool looks for rule files.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use prograde_model::{Diagnostic, Diagnostics};
use prograde_observe::pattern::{Pattern, PatternError};

use crate::report;

/// How large a file may be, in bytes.
const TEXT_BYTES_MAX: u64 = 4 << 20;
/// How many files one pattern may match.
const FILES_MAX: usize = 10_000;

/// The text of a file.
pub(crate) fn text(path: &Path) -> Result<String, Diagnostics> {
    let shown = path.display().to_string();
    let unusable = |message: String| Diagnostics::from(Diagnostic::file(report::FILE, shown.clone(), message, ""));
    let file = File::open(path).map_err(|error| unusable(format!("the file can't be read: {error}")))?;
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unusable(format!("the file can't be read: {error}")))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(unusable(format!("the file has more than {TEXT_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|_| Diagnostic::file("PG0101", shown, "the file is not UTF-8 text", "save it as UTF-8").into())
}

/// The files that a pattern matches, seen from a folder, in the order of their names.
pub(super) fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in Path::new(pattern).components() {
        let Component::Normal(name) = component else {
            for path in &mut found {
                path.push(component);
            }
            continue;
        };
        let name = name.to_string_lossy();
        found = if name.contains(['*', '?', '[', '\\']) {
            let name = compiled(&name).map_err(|error| format!("{pattern:?} is no pattern: {error}"))?;
            found.iter().flat_map(|path| below(folder, path, &name)).collect()
        } else {
            found.into_iter().map(|path| path.join(&*name)).filter(|path| folder.join(path).exists()).collect()
        };
        if found.len() > FILES_MAX {
            return Err(format!("{pattern:?} matches more than {FILES_MAX} files"));
        }
    }
    Ok(found)
}

fn below(folder: &Path, path: &Path, name: &Pattern) -> Vec<PathBuf> {
    // A folder that can't be read has nothing that matches.
    let entries = fs::read_dir(folder.join(path)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<PathBuf> = names.filter(|entry| name.is_match(entry)).map(|entry| path.join(entry)).collect();
    found.sort();
    found
}

/// A pattern of one name: `*` is any text, `?` any character, `[a-z]` one of some, `\` takes the next as it is.
fn compiled(name: &str) -> Result<Pattern, PatternError> {
    let mut pattern = String::from("(?s)");
    let mut letters = name.chars();
    let mut in_class = false;
    while let Some(letter) = letters.next() {
        match letter {
            '*' if !in_class => pattern.push_str(".*"),
            '?' if !in_class => pattern.push('.'),
            '[' if !in_class => {
                in_class = true;
                pattern.push('[');
            }
            ']' if in_class => {
                in_class = false;
                pattern.push(']');
            }
            '-' | '^' if in_class => pattern.push(letter),
            '\\' => push_literal(&mut pattern, letters.next().unwrap_or('\\')),
            other => push_literal(&mut pattern, other),
        }
    }
    Pattern::new(&pattern)
}

fn push_literal(pattern: &mut String, letter: char) {
    if r".+*?()|[]{}^$\".contains(letter) {
        pattern.push('\\');
    }
    pattern.push(letter);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_by_promtool() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/one.yml", "a/two.yml", "b/one.yml", "b/x.txt", "[.yml"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let found = matching(folder.path(), pattern).unwrap();
            found.iter().map(|path| path.display().to_string()).collect()
        };
        assert_eq!(found("a/one.yml"), ["a/one.yml"]);
        assert_eq!(found("*/*.yml"), ["a/one.yml", "a/two.yml", "b/one.yml"]);
        assert_eq!(found("?/[o-p]*.yml"), ["a/one.yml", "b/one.yml"]);
        assert_eq!(found("[^a]/*"), ["b/one.yml", "b/x.txt"]);
        assert_eq!(found("a/../b/x.*"), ["a/../b/x.txt"]);
        assert_eq!(found("\\[.yml"), ["[.yml"]);
        assert!(found("gone*").is_empty() && found("gone/*").is_empty() && found("a/gone.yml").is_empty());
        assert!(matching(folder.path(), "[").is_err());
        let absolute = folder.path().join("b/*.txt");
        assert_eq!(found(absolute.to_str().unwrap()), [folder.path().join("b/x.txt").to_str().unwrap()]);
    }
}
