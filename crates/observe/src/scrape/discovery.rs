//! Files that name targets, and files found by a pattern.
//!
//! A file of targets is read again when its length or its time of change is another one. While it can't be read, what it said
//! before holds.
//!
//! Source: Prometheus documentation, "Configuration", `file_sd_config`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use prograde_model::diagnostic::{Diagnostic, Diagnostics};
use prograde_yaml::{FILE_BYTES_MAX, Value};

use super::config::reader::Reader;
use super::config::{TargetFiles, TargetGroup};

/// The code of findings in files of targets.
pub const CODE: &str = "PG0623";
/// How many files one pattern may find.
const FILES_MAX: usize = 10_000;

/// The files that a path means: itself, or all that match where its last part has `*` or `?`, by name. A folder that is not
/// there holds none.
pub fn expand(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !name.contains(['*', '?']) {
        return Ok(if pattern.try_exists()? { vec![pattern.to_owned()] } else { Vec::new() });
    }
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|file| matches(name.as_bytes(), file.as_bytes())) {
            found.push(pattern.with_file_name(entry.file_name()));
        }
        if found.len() > FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
    }
    found.sort();
    Ok(found)
}

/// `*` is any text and `?` any byte. Goes back to the last `*` only, so that it takes no more than the product of lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(in_name) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, in_name));
                at += 1;
            }
            Some(wanted) if wanted == byte || *wanted == b'?' => {
                at += 1;
                in_name += 1;
            }
            Some(_) | None => {
                let Some((after, taken)) = star else { return false };
                star = Some((after, taken + 1));
                (at, in_name) = (after, taken + 1);
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

/// Reads a file of targets, in JSON or YAML; `file` is only for messages.
pub fn parse(file: &str, text: &str) -> Result<Vec<TargetGroup>, Diagnostics> {
    let documents = prograde_yaml::documents(file, text)?;
    let mut reader = Reader::new(file);
    let mut groups = Vec::new();
    for document in &documents {
        if !matches!(document.value, Value::Sequence(_)) {
            reader.report(document, format!("expected a list of groups of targets, found {}", document.kind()), "");
        }
        groups.extend(document.items().iter().filter_map(|item| reader.group(item)));
    }
    for finding in &mut reader.found {
        CODE.clone_into(&mut finding.code);
    }
    if reader.found.is_empty() { Ok(groups) } else { Err(Diagnostics(reader.found)) }
}

/// What tells one state of a file from another.
pub(crate) type Stamp = (u64, Option<SystemTime>);

#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    groups: Vec<TargetGroup>,
}

/// The files of one job, as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Files {
    seen: BTreeMap<PathBuf, Seen>,
}

impl Files {
    /// Looks at all files again; gives what could not be read. Blocks for as long as the disk takes.
    pub(crate) fn refresh(&mut self, patterns: &[TargetFiles]) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut present = Vec::new();
        for pattern in patterns.iter().flat_map(|files| &files.files) {
            match expand(pattern) {
                Ok(paths) => present.extend(paths),
                Err(error) => problems.push(unreadable(pattern, &error)),
            }
        }
        if problems.is_empty() {
            self.seen.retain(|path, _| present.contains(path));
        }
        for path in present {
            match stamp(&path) {
                Ok(stamp) if self.seen.get(&path).is_some_and(|seen| seen.stamp == stamp) => {}
                Ok(stamp) => problems.extend(self.read(&path, stamp)),
                Err(error) => problems.push(unreadable(&path, &error)),
            }
        }
        problems
    }

    fn read(&mut self, path: &Path, stamp: Stamp) -> Vec<Diagnostic> {
        let name = path.display().to_string();
        if stamp.0 > FILE_BYTES_MAX as u64 {
            return vec![unreadable(path, &io::Error::other(format!("more than {FILE_BYTES_MAX} bytes")))];
        }
        let found = match fs::read_to_string(path) {
            Ok(text) => parse(&name, &text),
            Err(error) => return vec![unreadable(path, &error)],
        };
        let (groups, problems) = match found {
            Ok(groups) => (groups, Vec::new()),
            // Not looked at again before it changes.
            Err(Diagnostics(problems)) => {
                (self.seen.remove(path).map(|seen| seen.groups).unwrap_or_default(), problems)
            }
        };
        self.seen.insert(path.to_owned(), Seen { stamp, groups });
        problems
    }

    /// What the files say, each group with the path of its file.
    pub(crate) fn groups(&self) -> Vec<TargetGroup> {
        let with_path = |(path, seen): (&PathBuf, &Seen)| {
            let label = ("__meta_filepath".to_owned(), path.display().to_string());
            let groups = seen.groups.iter().cloned().map(|mut group| {
                group.labels.push(label.clone());
                group
            });
            groups.collect::<Vec<_>>()
        };
        self.seen.iter().flat_map(with_path).collect()
    }
}

pub(crate) fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.len(), metadata.modified().ok()))
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let hint = "the targets that it named before are kept; make it readable";
    Diagnostic::file(CODE, path.display().to_string(), format!("the targets can't be read: {error}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_text() {
        for (pattern, name) in [("*.yml", "a.yml"), ("a*b*c", "axxbbc"), ("*", ""), ("a?c*", "abc"), ("**a", "aa")] {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [("*.yml", "a.yaml"), ("a*b", "ab1"), ("?", ""), ("", "a")] {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        assert!(!matches("*a*a*a*a*a*a*b".as_bytes(), "a".repeat(5_000).as_bytes()));
    }

    #[test]
    fn files_are_read_when_they_change_and_kept_while_they_are_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let patterns = [TargetFiles { files: vec![folder.path().join("*.json")] }];
        let mut files = Files::default();
        assert!(files.refresh(&patterns).is_empty() && files.groups().is_empty());
        fs::write(&path, r#"[{"targets": ["a:1", "b:2"], "labels": {"x": "y"}}]"#).unwrap();
        assert!(files.refresh(&patterns).is_empty());
        let before = files.groups();
        assert_eq!(before[0].addresses, ["a:1", "b:2"]);
        assert_eq!(before[0].labels[1], ("__meta_filepath".to_owned(), path.display().to_string()));
        fs::write(&path, r#"[{"targets": "a:1", "unknown": 1}]"#).unwrap();
        let problems = files.refresh(&patterns);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert_eq!(files.groups(), before);
        assert!(files.refresh(&patterns).is_empty(), "told again without a change");
        fs::remove_file(&path).unwrap();
        assert!(files.refresh(&patterns).is_empty() && files.groups().is_empty());
    }
}
