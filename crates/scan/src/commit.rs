//! What a commit is looked through for before anything of it is built: secrets in its files and in the commits that it
//! brings, and packages with known vulnerabilities. The same on a developer's machine and at a push.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prograde_model::Diagnostic;
use prograde_model::scan::ScanReport;

use crate::codes;
use crate::db::Database;
use crate::exception::Exceptions;
use crate::finding::{self, Finding};
use crate::licence::Allowed as Licences;
use crate::package::Inventory;
use crate::secret::{self, Allowed, Commits, Rules, Searched};
use crate::severity::Severity;
use crate::walk::{self, Ignored};
use crate::{licence, target, vulnerable};

/// How many findings are told at once.
const TOLD_MAX: usize = 100;

/// What holds for every commit.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How bad a finding must be to stop a commit; none where none does.
    pub fail_on: Option<Severity>,
    /// The database of vulnerabilities. Where there is none, packages are not looked up, and that is told.
    pub database: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Looked {
    /// What may not be there, and what could not be read.
    pub refused: Vec<Diagnostic>,
    /// What people should know.
    pub told: Vec<Diagnostic>,
    /// What is kept of it.
    pub report: ScanReport,
}

/// Looks through the files of a commit in `root` and, where a repository is given with it, through the commits that it
/// brings. What a team allows stands in its own files there.
pub fn look(
    root: &Path,
    ignored: Ignored,
    history: Option<(&Path, &Commits)>,
    limits: &Limits,
    now: Timestamp,
) -> Looked {
    let mut looked = Looked::default();
    let secrets = secrets(root, ignored, history).unwrap_or_else(|error| {
        looked.refused.push(error);
        Searched::default()
    });
    looked.report.files = secrets.files;
    looked.report.commits = secrets.commits;
    looked.told.extend(secrets.notes);
    let mut findings = secrets.findings;
    findings.extend(packages(root, ignored, limits, &mut looked));
    let mut findings = finding::sorted(findings);
    match Exceptions::below(root) {
        Ok(exceptions) => {
            let applied = exceptions.apply(&mut findings, now.to_zoned(TimeZone::UTC).date());
            looked.told.extend(applied.expired);
        }
        Err(faults) => looked.refused.extend(faults),
    }
    looked.take(&findings, limits);
    looked
}

impl Looked {
    fn take(&mut self, findings: &[Finding], limits: &Limits) {
        let mut found = BTreeMap::new();
        for finding in findings {
            if finding.excepted.is_some() {
                self.report.excepted += 1;
            } else if limits.fail_on.is_some_and(|limit| finding.severity >= limit) {
                self.refused.push(finding.diagnostic());
            } else {
                *found.entry(finding.severity.word().to_owned()).or_default() += 1;
                self.told.push(finding.diagnostic());
            }
        }
        self.report.found = found;
        let left = self.refused.len().saturating_sub(TOLD_MAX);
        self.refused.truncate(TOLD_MAX);
        if let Some(last) = self.refused.last_mut().filter(|_| left > 0) {
            last.message.extend([format!("; and {left} more that are not told here")]);
        }
        self.told.truncate(TOLD_MAX);
    }
}

/// Secrets in the files and in the commits. What is in both is told once, with the commit that brought it.
fn secrets(root: &Path, ignored: Ignored, history: Option<(&Path, &Commits)>) -> Result<Searched, Diagnostic> {
    let rules = Arc::new(Rules::built_in()?);
    let allowed = Allowed::below(root)?;
    let mut all = secret::tree(root, ignored, &rules, &allowed)?;
    if let Some((repository, commits)) = history {
        let past = secret::history(repository, commits, &rules, &allowed)?;
        all = past.before(all);
    }
    Ok(all)
}

/// Packages with known vulnerabilities.
fn packages(root: &Path, ignored: Ignored, limits: &Limits, looked: &mut Looked) -> Vec<Finding> {
    let inventory = target::inventory(root, ignored).unwrap_or_else(|error| {
        looked.refused.push(error);
        Inventory::default()
    });
    looked.report.packages = inventory.packages.len() as u64;
    looked.told.extend(inventory.notes.iter().cloned());
    looked.refused.extend(inventory.errors.iter().cloned());
    let mut findings = licences(root, &inventory, looked);
    if inventory.packages.is_empty() {
        return findings;
    }
    if !limits.database.exists() {
        let file = limits.database.display().to_string();
        let message = format!(
            "{} packages were not looked up: there is no database of vulnerabilities",
            inventory.packages.len()
        );
        looked.told.push(Diagnostic::file(codes::NO_DATABASE, file, message, "`prograde db update` makes one"));
        return findings;
    }
    let judged = Database::open(&limits.database).and_then(|database| {
        looked.report.database = database.header.created.parse().ok();
        vulnerable::judge(&inventory, &database)
    });
    match judged {
        Ok(judged) => {
            looked.told.extend(judged.notes);
            findings.extend(finding::of_vulnerabilities(&inventory, judged.vulnerabilities));
        }
        Err(error) => looked.refused.push(error),
    }
    findings
}

/// Packages whose licences are not allowed, where a team says which are.
fn licences(root: &Path, inventory: &Inventory, looked: &mut Looked) -> Vec<Finding> {
    let allowed = walk::decided_below(root, licence::FILE)
        .and_then(|text| text.map(|text| Licences::parse(licence::FILE, &text)).transpose());
    match allowed {
        Ok(allowed) => {
            allowed.map_or_else(Vec::new, |allowed| finding::of_licences(inventory, allowed.judge(inventory)))
        }
        Err(error) => {
            looked.refused.push(error);
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests;
