//! What was found, of whatever kind: one form for tables, JSON, SARIF, VEX, exceptions and gates.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::codes;
use crate::licence::Refused;
use crate::package::{Inventory, Scope};
use crate::severity::Severity;
use crate::vulnerable::Vulnerability;

/// What kind of thing was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A package with a known vulnerability.
    Vulnerability,
    /// A secret that should not be where it is.
    Secret,
    /// A file that sets something up badly.
    Misconfiguration,
    /// A package whose licence is not allowed or not known.
    Licence,
}

impl Kind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vulnerability => "vulnerability",
            Self::Secret => "secret",
            Self::Misconfiguration => "misconfiguration",
            Self::Licence => "licence",
        }
    }
}

/// The package that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// The ecosystem, as OSV writes it.
    pub ecosystem: String,
    /// The name.
    pub name: String,
    /// The version that is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The earliest version that is corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fixed_in: Option<String>,
    /// The package URL.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub purl: String,
}

/// Where in Git's history something was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Commit {
    /// The commit that brought it.
    pub id: String,
    /// When its author made it, RFC 3339.
    pub date: String,
    /// Its author.
    pub author: String,
}

/// Why a finding does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excepted {
    /// The reason.
    pub reason: String,
    /// Who answers for it.
    pub owner: String,
    /// The last day, such as `2026-06-30`.
    pub expires: String,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// The vulnerability's or the rule's id.
    pub id: String,
    /// Other ids of the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
    /// The base score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The vector of that score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// What it is, in one line.
    pub title: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The file.
    pub file: String,
    /// The line, from 1; 0 where the whole file is meant.
    pub line: u32,
    /// The package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<About>,
    /// The secret, with all but its first few characters hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<String>,
    /// Where in the history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// What stays the same while lines move: names the finding in exceptions and in SARIF.
    pub fingerprint: String,
    /// Addresses with more about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Weaknesses: `CWE-79`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weaknesses: Vec<String>,
    /// The scanner whose report it is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reported_by: Option<String>,
    /// Why it does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excepted: Option<Excepted>,
}

impl Finding {
    /// A finding without anything but its place.
    pub fn new(
        kind: Kind,
        id: impl Into<String>,
        severity: Severity,
        title: impl Into<String>,
        file: &str,
        line: u32,
    ) -> Self {
        let mut finding = Self {
            kind,
            id: id.into(),
            aliases: Vec::new(),
            severity,
            score: None,
            vector: None,
            title: title.into(),
            remedy: String::new(),
            file: file.to_owned(),
            line,
            package: None,
            masked: None,
            commit: None,
            fingerprint: String::new(),
            references: Vec::new(),
            weaknesses: Vec::new(),
            reported_by: None,
            excepted: None,
        };
        finding.fingerprint = fingerprint(&[&finding.id, &finding.file, &finding.title]);
        finding
    }

    /// About a package.
    #[must_use]
    pub fn about(mut self, about: About) -> Self {
        self.fingerprint = fingerprint(&[
            &self.id,
            &about.ecosystem,
            &about.name,
            about.version.as_deref().unwrap_or_default(),
            &self.file,
        ]);
        self.package = Some(about);
        self
    }

    /// In a sentence, with its place and what to do about it.
    pub fn diagnostic(&self) -> Diagnostic {
        let ids: Vec<&str> = self.ids().collect();
        let (severity, title) = (self.severity, &self.title);
        let mut message = match &self.package {
            Some(about) => {
                let version = about.version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
                format!("{}{version} has {}, {severity}: {title}", about.name, ids.join(", "))
            }
            None => format!("{}, {severity}: {title}", ids.join(", ")),
        };
        let mut hint = self.remedy.clone();
        message.extend(self.masked.iter().map(|masked| format!(": {masked}")));
        if let Some(commit) = &self.commit {
            let short = commit.id.get(..8).unwrap_or(&commit.id);
            message.extend([format!(", brought by commit {short} of {}", commit.author)]);
        }
        match self.kind {
            Kind::Secret => hint.extend([format!(" {} in .prograde/secrets.yaml", self.fingerprint)]),
            Kind::Vulnerability | Kind::Licence | Kind::Misconfiguration => {
                let separator = if hint.is_empty() { "" } else { "; or " };
                hint.push_str(separator);
                hint.push_str("write an exception with reason, owner and last day to .prograde/exceptions.yaml");
            }
        }
        Diagnostic::file(codes::FOUND, &self.file, message, hint).at(self.line, 0)
    }

    /// All its ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

/// A short hash of parts.
pub fn fingerprint(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hex::encode(hash.finalize().get(..8).unwrap_or_default())
}

/// Vulnerabilities as findings, the same in several files as often as it stands there.
pub fn of_vulnerabilities(inventory: &Inventory, vulnerabilities: Vec<Vulnerability>) -> Vec<Finding> {
    let one = |vulnerability: Vulnerability| {
        let package = inventory.packages.get(vulnerability.package)?;
        let title = if vulnerability.summary.is_empty() { vulnerability.id.clone() } else { vulnerability.summary };
        let about = About {
            ecosystem: package.ecosystem.to_string(),
            name: package.name.clone(),
            version: package.version.clone(),
            fixed_in: vulnerability.fixed.clone(),
            purl: package.purl(),
        };
        let mut finding = Finding::new(
            Kind::Vulnerability,
            vulnerability.id,
            vulnerability.severity,
            title,
            &package.file,
            package.line,
        )
        .about(about);
        finding.remedy = match vulnerability.fixed {
            Some(version) => format!("use {} {version} or later", package.name),
            None => "no corrected version is known".to_owned(),
        };
        finding.aliases = vulnerability.aliases;
        finding.score = vulnerability.score;
        finding.vector = vulnerability.vector;
        finding.references = vulnerability.references;
        finding.weaknesses = vulnerability.weaknesses;
        Some(finding)
    };
    vulnerabilities.into_iter().filter_map(one).collect()
}

/// Packages whose licence is not allowed, or not known, as findings. What is only needed for development is of less
/// weight, since it is not shipped.
pub fn of_licences(inventory: &Inventory, refused: Vec<Refused>) -> Vec<Finding> {
    let one = |refused: Refused| {
        let package = inventory.packages.get(refused.package)?;
        let severity = match (&refused.licence, package.scope) {
            (None, _) => Severity::Unknown,
            (Some(_), Scope::Development) => Severity::Medium,
            (Some(_), Scope::Runtime | Scope::Optional) => Severity::High,
        };
        let about = About {
            ecosystem: package.ecosystem.to_string(),
            name: package.name.clone(),
            version: package.version.clone(),
            fixed_in: None,
            purl: package.purl(),
        };
        let id = if refused.licence.is_some() { "licence-not-allowed" } else { "licence-unknown" };
        let mut finding =
            Finding::new(Kind::Licence, id, severity, refused.why, &package.file, package.line).about(about);
        "replace the package, allow its licence, or write down what its licence is under `known`"
            .clone_into(&mut finding.remedy);
        Some(finding)
    };
    refused.into_iter().filter_map(one).collect()
}

/// In the order in which they are told: the worst first, then by place. The same found twice is one.
pub fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    let key = |finding: &Finding| {
        let name = finding.package.as_ref().map(|package| package.name.clone()).unwrap_or_default();
        (
            std::cmp::Reverse(finding.severity),
            finding.kind,
            name,
            finding.file.clone(),
            finding.line,
            finding.id.clone(),
            finding.fingerprint.clone(),
        )
    };
    findings.sort_by_cached_key(key);
    findings.dedup_by(|left, right| {
        left.fingerprint == right.fingerprint && left.line == right.line && left.commit == right.commit
    });
    findings
}

/// How many of each severity count, the worst first.
pub fn counts(findings: &[Finding]) -> BTreeMap<std::cmp::Reverse<Severity>, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.excepted.is_none()) {
        *counts.entry(std::cmp::Reverse(finding.severity)).or_default() += 1;
    }
    counts
}
