//! What is allowed to look like a secret: `.prograde/secrets.yaml`, each entry with a reason.

use std::path::Path;

use prograde_model::Diagnostic;
use regex_automata::meta::Regex;
use serde::Deserialize;

use crate::finding::Finding;
use crate::{codes, walk};

/// The file's place below what is scanned.
pub const FILE: &str = ".prograde/secrets.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    path: Option<String>,
    rule: Option<String>,
    fingerprint: Option<String>,
    reason: String,
}

/// One entry: all that it says has to hold.
#[derive(Debug)]
struct Entry {
    path: Option<Regex>,
    rule: Option<String>,
    fingerprint: Option<String>,
}

/// All entries.
#[derive(Debug, Default)]
pub struct Allowed(Vec<Entry>);

impl Allowed {
    /// What the file below `root` allows; nothing where there is none.
    pub fn below(root: &Path) -> Result<Self, Diagnostic> {
        walk::decided_below(root, FILE)?.map_or_else(|| Ok(Self::default()), |text| Self::parse(FILE, &text))
    }

    /// Reads the file.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostic> {
        let read: File = prograde_yaml::decode(file, text)?;
        let bad = |why: &str| {
            Diagnostic::file(codes::SECRET_ALLOWED, file, why, "expected `path`, `rule` or `fingerprint`, and `reason`")
        };
        let mut entries = Vec::new();
        for entry in read.allow {
            if entry.reason.trim().is_empty() {
                return Err(bad("an entry has no reason"));
            }
            if entry.path.is_none() && entry.rule.is_none() && entry.fingerprint.is_none() {
                return Err(bad("an entry says nothing that it allows"));
            }
            let path = entry.path.as_deref().map(glob).transpose().map_err(|why: String| bad(&why))?;
            entries.push(Entry { path, rule: entry.rule, fingerprint: entry.fingerprint });
        }
        Ok(Self(entries))
    }

    /// Whether a path is allowed whatever is in it, so that it need not be read.
    pub fn allows_path(&self, path: &str) -> bool {
        self.0.iter().any(|entry| {
            entry.rule.is_none()
                && entry.fingerprint.is_none()
                && entry.path.as_ref().is_some_and(|glob| glob.is_match(path))
        })
    }

    /// Whether a finding is.
    pub fn allows(&self, finding: &Finding) -> bool {
        self.0.iter().any(|entry| {
            entry.path.as_ref().is_none_or(|glob| glob.is_match(&finding.file))
                && entry.rule.as_ref().is_none_or(|rule| *rule == finding.id)
                && entry.fingerprint.as_ref().is_none_or(|print| *print == finding.fingerprint)
        })
    }
}

/// A pattern of paths: `**` for any folders, `*` and `?` within one; one without a slash is about names in any folder.
pub(crate) fn glob(pattern: &str) -> Result<Regex, String> {
    let mut regex = String::from(r"\A");
    if !pattern.contains('/') {
        regex.push_str("(?:.*/)?");
    }
    let mut rest = pattern.trim_start_matches("./");
    while let Some(first) = rest.chars().next() {
        let (text, length) = match first {
            '*' if rest.starts_with("**/") => ("(?:.*/)?".to_owned(), 3),
            '*' if rest.starts_with("**") => (".*".to_owned(), 2),
            '*' => ("[^/]*".to_owned(), 1),
            '?' => ("[^/]".to_owned(), 1),
            c if c.is_ascii_alphanumeric() || !c.is_ascii() => (c.to_string(), c.len_utf8()),
            c => (format!("\\{c}"), c.len_utf8()),
        };
        regex.push_str(&text);
        rest = rest.get(length..).unwrap_or_default();
    }
    // A folder stands for all that is in it.
    regex.push_str(r"(?:/.*)?\z");
    Regex::new(&regex).map_err(|_| format!("`{pattern}` is no pattern of paths"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_paths() {
        let cases = [
            ("tests/**", "tests/a/b.rs", true),
            ("tests", "tests/a/b.rs", true),
            ("*.pem", "a/b/c.pem", true),
            ("a/*.pem", "a/b/c.pem", false),
            ("**/fixtures/*.json", "fixtures/a.json", true),
            ("**/fixtures/*.json", "x/fixtures/a.json", true),
            ("a?c", "abc", true),
            ("a.c", "abc", false),
        ];
        for (pattern, path, expected) in cases {
            assert_eq!(glob(pattern).unwrap().is_match(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn entries_need_a_reason() {
        assert_eq!(Allowed::parse("f", "allow:\n  - path: x\n    reason: ''\n").unwrap_err().code, "PG1222");
        assert_eq!(Allowed::parse("f", "allow:\n  - reason: x\n").unwrap_err().code, "PG1222");
        assert!(Allowed::parse("f", "allow:\n  - path: x\n").is_err());
        let allowed = Allowed::parse("f", "allow:\n  - path: docs/**\n    reason: examples\n").unwrap();
        assert!(allowed.allows_path("docs/a.md") && !allowed.allows_path("src/a.md"));
    }
}
