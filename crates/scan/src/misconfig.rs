//! Files that set something up badly: Dockerfiles, workflows of GitHub Actions, Terraform and Kubernetes manifests.
//!
//! A finding is left out where its line or the one before has a comment `prograde:allow ID`.

mod dockerfile;
mod kubernetes;
mod terraform;
mod workflow;

use std::path::Path;

use prograde_model::Diagnostic;

use crate::codes;
use crate::finding::{Finding, Kind};
use crate::severity::Severity;
use crate::walk::{self, Found, Ignored};

/// The largest file that is checked, in bytes.
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// `Dockerfile`, `Containerfile`, `x.Dockerfile`.
    Dockerfile,
    /// `.github/workflows/*.yml`.
    Workflow,
    /// `*.tf`.
    Terraform,
    /// Other YAML: it may hold Kubernetes' objects.
    Yaml,
}

/// A rule: its id, how bad it is, and what to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule(pub(crate) &'static str, pub(crate) Severity, pub(crate) &'static str);

/// The findings of one file.
#[derive(Debug)]
pub(crate) struct Findings<'a> {
    file: &'a str,
    all: Vec<Finding>,
}

impl Findings<'_> {
    fn add(&mut self, rule: Rule, line: u32, title: impl Into<String>) {
        let Rule(id, severity, remedy) = rule;
        let mut finding = Finding::new(Kind::Misconfiguration, id, severity, title, self.file, line);
        remedy.clone_into(&mut finding.remedy);
        self.all.push(finding);
    }
}

/// What was found, and what could not be read.
#[derive(Debug, Default)]
pub struct Checked {
    /// Findings.
    pub findings: Vec<Finding>,
    /// Files that could not be understood, so that they are not checked.
    pub errors: Vec<Diagnostic>,
    /// How many files were checked.
    pub files: usize,
}

/// The kind of a file, by its name.
pub fn kind_of(path: &str) -> Option<FileKind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = name.to_ascii_lowercase();
    let is_docker = ["dockerfile", "containerfile"]
        .iter()
        .any(|word| lower == *word || lower.starts_with(&format!("{word}.")) || lower.ends_with(&format!(".{word}")));
    if is_docker && !lower.ends_with(".dockerignore") && !lower.ends_with(".md") {
        return Some(FileKind::Dockerfile);
    }
    if lower.ends_with(".tf") {
        return Some(FileKind::Terraform);
    }
    let yaml = lower.ends_with(".yml") || lower.ends_with(".yaml");
    if yaml && format!("/{path}").contains("/.github/workflows/") {
        return Some(FileKind::Workflow);
    }
    yaml.then_some(FileKind::Yaml)
}

/// Checks one file.
pub fn check(kind: FileKind, file: &str, text: &str) -> Result<Vec<Finding>, Diagnostic> {
    if text.len() > BYTES_MAX {
        let message = format!("the file has {} bytes, more than the {BYTES_MAX} that are checked", text.len());
        return Err(Diagnostic::file(codes::TOO_LARGE, file, message, "split it"));
    }
    let mut findings = Findings { file, all: Vec::new() };
    match kind {
        FileKind::Dockerfile => dockerfile::check(text, &mut findings)?,
        FileKind::Workflow => workflow::check(text, &mut findings)?,
        FileKind::Terraform => terraform::check(text, &mut findings)?,
        FileKind::Yaml => kubernetes::check(text, &mut findings)?,
    }
    let lines: Vec<&str> = text.lines().collect();
    let allows = |line: u32, id: &str| {
        let at = usize::try_from(line).unwrap_or(0);
        let near = [at.checked_sub(1), at.checked_sub(2)];
        near.into_iter().flatten().filter_map(|at| lines.get(at)).any(|line| allowed(line, id))
    };
    findings.all.retain(|finding| !allows(finding.line, &finding.id));
    findings.all.sort_by_key(|finding| finding.line);
    Ok(findings.all)
}

/// Whether a line has a comment that allows this id.
fn allowed(line: &str, id: &str) -> bool {
    let Some((_, rest)) = line.split_once("prograde:allow") else { return false };
    rest.split([' ', ',']).any(|word| word == id)
}

/// Checks all files below a directory, or one file.
pub fn tree(root: &Path, ignored: Ignored) -> Result<Checked, Diagnostic> {
    let files = if root.is_dir() {
        walk::files(root, ignored)?
    } else {
        vec![Found { path: root.to_owned(), name: root.display().to_string(), size: 0 }]
    };
    let mut checked = Checked::default();
    for found in files {
        let Some(kind) = kind_of(&found.name) else { continue };
        let Some(text) = text_of(kind, &found, &mut checked) else { continue };
        match check(kind, &found.name, &text) {
            Ok(findings) => {
                checked.files += 1;
                checked.findings.extend(findings);
            }
            // Much is called YAML that is none, such as templates; only what has to be a manifest is an error.
            Err(_) if kind == FileKind::Yaml => {}
            Err(error) => checked.errors.push(error),
        }
    }
    Ok(checked)
}

fn text_of(kind: FileKind, found: &Found, checked: &mut Checked) -> Option<String> {
    let read = walk::read(&found.path, BYTES_MAX).and_then(|bytes| {
        String::from_utf8(bytes)
            .map_err(|_| Diagnostic::file(codes::CONFIG_FORM, &found.name, "the file is not UTF-8", ""))
    });
    match read {
        Ok(text) => Some(text),
        Err(_) if kind == FileKind::Yaml => None,
        Err(mut error) => {
            error.file.clone_from(&found.name);
            checked.errors.push(error);
            None
        }
    }
}

/// Whether a text pipes what it fetches into a shell.
fn pipes_to_shell(text: &str) -> bool {
    let is_fetch = |part: &str| part.split_whitespace().any(|word| word == "curl" || word == "wget");
    let shells = ["sh", "bash", "zsh", "dash", "ash", "python", "python3", "perl", "ruby", "node"];
    let commands = text.split(['\n', ';']).flat_map(|line| line.split("&&"));
    commands.into_iter().any(|command| {
        let mut parts = command.split('|');
        let mut fetched = parts.next().is_some_and(is_fetch);
        parts.any(|part| {
            let words = part.split_whitespace().filter(|word| !word.starts_with('-') && !word.contains('='));
            let program = words
                .map(|word| word.rsplit('/').next().unwrap_or(word))
                .find(|word| !matches!(*word, "sudo" | "env" | "exec"));
            let runs = fetched && program.is_some_and(|program| shells.contains(&program));
            fetched |= is_fetch(part);
            runs
        })
    })
}

/// Whether a name is that of a secret.
fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let words = [
        "password",
        "passwd",
        "secret",
        "token",
        "api_key",
        "apikey",
        "access_key",
        "private_key",
        "credentials",
        "passphrase",
    ];
    let about = [
        "_file",
        "_path",
        "_name",
        "_id",
        "_arn",
        "_url",
        "_uri",
        "_length",
        "_version",
        "_ttl",
        "_type",
        "_expiry",
        "_lifetime",
        "_policy",
        "_rotation",
        "_enabled",
        "_required",
        "_key_id",
    ];
    words.iter().any(|word| name.contains(word)) && !about.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_the_kind() {
        let cases = [
            ("Dockerfile", Some(FileKind::Dockerfile)),
            ("a/Dockerfile.prod", Some(FileKind::Dockerfile)),
            ("api.dockerfile", Some(FileKind::Dockerfile)),
            ("Dockerfile.dockerignore", None),
            (".github/workflows/ci.yml", Some(FileKind::Workflow)),
            ("x/.github/workflows/ci.yaml", Some(FileKind::Workflow)),
            ("main.tf", Some(FileKind::Terraform)),
            ("k8s/app.yaml", Some(FileKind::Yaml)),
            ("main.rs", None),
        ];
        for (name, kind) in cases {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }

    #[test]
    fn what_is_fetched_and_run() {
        for bad in [
            "curl -fsSL https://x | sh",
            "wget -qO- x | sudo bash -s -- -y",
            "a && curl x | tee y | /bin/bash",
            "curl x | sudo -E bash",
        ] {
            assert!(pipes_to_shell(bad), "{bad}");
        }
        for good in ["curl x -o y; sh y", "curl x | jq .", "curl x | tar xz", "echo 'curl' | shasum"] {
            assert!(!pipes_to_shell(good), "{good}");
        }
    }

    #[test]
    fn a_comment_allows_one_rule() {
        let text =
            "FROM alpine:3.20\n# prograde:allow dockerfile-add-url\nADD https://x/y /y\nUSER app\nHEALTHCHECK NONE\n";
        assert!(check(FileKind::Dockerfile, "Dockerfile", text).unwrap().is_empty());
        let other = text.replace("allow dockerfile-add-url", "allow dockerfile-sudo");
        assert_eq!(check(FileKind::Dockerfile, "Dockerfile", &other).unwrap().len(), 1);
    }
}
