//! Exceptions: findings that do not count, for a reason that somebody answers for, until a day.

use std::path::Path;

use jiff::civil::Date;
use prograde_model::Diagnostic;
use prograde_yaml::Node;
use regex_automata::meta::Regex;

use crate::finding::{Excepted, Finding};
use crate::secret::glob;
use crate::{codes, walk};

/// The file's place below what is scanned.
pub const FILE: &str = ".prograde/exceptions.yaml";

const HINT: &str = "expected `id`, `reason`, `owner` and `expires` (a day, such as 2026-06-30), and `package`, `path` or `fingerprint` where it is about one only";

/// One exception.
#[derive(Debug)]
pub struct Exception {
    /// The vulnerability's or rule's id, or another id of the same.
    pub id: String,
    package: Option<String>,
    path: Option<Regex>,
    fingerprint: Option<String>,
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day on which it holds.
    pub expires: Date,
    /// Its line in the file.
    pub line: u32,
}

/// All exceptions of a file.
#[derive(Debug, Default)]
pub struct Exceptions {
    file: String,
    all: Vec<Exception>,
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Applied {
    /// Those that have expired although what they are about is still there, or not: each is an error.
    pub expired: Vec<Diagnostic>,
    /// Those that are about nothing that was found.
    pub unused: Vec<Diagnostic>,
}

impl Exceptions {
    /// Those of the file below `root`; none where there is none.
    pub fn below(root: &Path) -> Result<Self, Vec<Diagnostic>> {
        let text = walk::decided_below(root, FILE).map_err(|error| vec![error])?;
        text.map_or_else(|| Ok(Self::default()), |text| Self::parse(FILE, &text))
    }

    /// Reads a file; every fault is told.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let documents = prograde_yaml::documents(file, text).map_err(|error| vec![error])?;
        let bad = |line: u32, why: String| Diagnostic::file(codes::EXCEPTION_FORM, file, why, HINT).at(line, 0);
        let mut exceptions = Self { file: file.to_owned(), all: Vec::new() };
        let mut faults = Vec::new();
        for document in &documents {
            if let Some((key, _)) = document.entries().iter().find(|(key, _)| key.name != "exceptions") {
                faults.push(bad(key.line, format!("`{}` is not known here", key.name)));
            }
            let list = document.get("exceptions");
            if list.is_none_or(|list| list.items().is_empty() && !list.to_json().is_array()) {
                faults.push(bad(document.line, "expected a list `exceptions`".to_owned()));
            }
            for node in list.map(Node::items).unwrap_or_default() {
                match exception(node) {
                    Ok(one) => exceptions.all.push(one),
                    Err(why) => faults.push(bad(node.line, why)),
                }
            }
        }
        if faults.is_empty() { Ok(exceptions) } else { Err(faults) }
    }

    /// Marks the findings that exceptions are about.
    pub fn apply(&self, findings: &mut [Finding], today: Date) -> Applied {
        let mut applied = Applied::default();
        for one in &self.all {
            let mut used = false;
            for finding in findings.iter_mut().filter(|finding| one.is_about(finding)) {
                used = true;
                if today <= one.expires {
                    finding.excepted = Some(Excepted {
                        reason: one.reason.clone(),
                        owner: one.owner.clone(),
                        expires: one.expires.to_string(),
                    });
                }
            }
            let (id, owner, day) = (&one.id, &one.owner, one.expires);
            if today > one.expires {
                let message = format!("the exception for {id} expired on {day}");
                let hint = format!("correct what it is about, or let {owner} decide again and write a new day");
                applied
                    .expired
                    .push(Diagnostic::file(codes::EXCEPTION_EXPIRED, &self.file, message, hint).at(one.line, 0));
            } else if !used {
                let message = format!("the exception for {id} is about nothing that was found");
                applied
                    .unused
                    .push(Diagnostic::file(codes::EXCEPTION_FORM, &self.file, message, "take it out").at(one.line, 0));
            }
        }
        applied
    }
}

impl Exception {
    fn is_about(&self, finding: &Finding) -> bool {
        let about = |package: &String| {
            finding.package.as_ref().is_some_and(|about| {
                about.name == *package || about.purl.split(['@', '?']).next() == Some(package) || about.purl == *package
            })
        };
        finding.ids().any(|id| id.eq_ignore_ascii_case(&self.id))
            && self.package.as_ref().is_none_or(about)
            && self.path.as_ref().is_none_or(|glob| glob.is_match(&finding.file))
            && self.fingerprint.as_ref().is_none_or(|print| *print == finding.fingerprint)
    }
}

fn exception(node: &Node) -> Result<Exception, String> {
    let known = ["id", "package", "path", "fingerprint", "reason", "owner", "expires"];
    if let Some((key, _)) = node.entries().iter().find(|(key, _)| !known.contains(&key.name.as_str())) {
        return Err(format!("`{}` is not a field of an exception", key.name));
    }
    let optional = |name: &str| match node.get(name) {
        None => Ok(None),
        Some(value) => match value.as_str().map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(format!("`{name}` has to be a text")),
        },
    };
    let needed = |name: &str| optional(name)?.ok_or_else(|| format!("an exception has no `{name}`"));
    let (id, expires) = (needed("id")?, needed("expires")?);
    let expires = expires.parse().map_err(|_| format!("`{expires}` is no day"))?;
    Ok(Exception {
        id,
        package: optional("package")?,
        path: optional("path")?.as_deref().map(glob).transpose()?,
        fingerprint: optional("fingerprint")?,
        reason: needed("reason")?,
        owner: needed("owner")?,
        expires,
        line: node.line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Kind;
    use crate::severity::Severity;

    fn findings() -> Vec<Finding> {
        let mut one = Finding::new(Kind::Vulnerability, "GHSA-1", Severity::High, "t", "a/Cargo.lock", 3);
        one.aliases = vec!["CVE-1".into()];
        vec![one, Finding::new(Kind::Misconfiguration, "DOCKER-1", Severity::Low, "t", "Dockerfile", 1)]
    }

    fn applied(text: &str, today: &str) -> (Vec<bool>, usize, usize) {
        let exceptions = Exceptions::parse("e.yaml", text).unwrap();
        let mut all = findings();
        let applied = exceptions.apply(&mut all, today.parse().unwrap());
        (all.iter().map(|one| one.excepted.is_some()).collect(), applied.expired.len(), applied.unused.len())
    }

    #[test]
    fn they_hold_until_their_last_day() {
        let text = "exceptions:\n  - id: cve-1\n    path: '**/Cargo.lock'\n    reason: not reached\n    owner: ana\n    expires: 2026-06-30\n";
        assert_eq!(applied(text, "2026-06-30"), (vec![true, false], 0, 0));
        assert_eq!(applied(text, "2026-07-01"), (vec![false, false], 1, 0));
        assert_eq!(applied(&text.replace("Cargo.lock", "go.mod"), "2026-01-01"), (vec![false, false], 0, 1));
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        let text = "exceptions:\n  - id: A\n    reason: x\n    owner: y\n  - id: B\n    reason: x\n    owner: y\n    expires: soon\n  - id: C\n    nonsense: 1\n";
        let faults = Exceptions::parse("e.yaml", text).unwrap_err();
        assert_eq!(
            faults.iter().map(|fault| (fault.code.as_str(), fault.line)).collect::<Vec<_>>(),
            [("PG1230", 2), ("PG1230", 5), ("PG1230", 9)]
        );
        assert!(Exceptions::parse("e.yaml", "x: 1\n").is_err());
        assert!(Exceptions::parse("e.yaml", "exceptions: []\n").is_ok());
        assert!(Exceptions::parse("e.yaml", "").is_ok());
    }
}
