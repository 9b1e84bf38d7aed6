//! Which packages of an inventory have known vulnerabilities.

use std::collections::{BTreeMap, BTreeSet};

use prograde_model::Diagnostic;

use crate::codes;
use crate::db::{Advisory, Database};
use crate::ecosystem::{Ecosystem, Kind};
use crate::package::{Inventory, Origin, Package};
use crate::severity::Severity;
use crate::version::compare;

/// A vulnerability of one package, with everything that several databases say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Vulnerability {
    /// The package, by its place in the inventory.
    pub package: usize,
    /// The id.
    pub id: String,
    /// Other ids of the same.
    pub aliases: Vec<String>,
    /// How bad it is.
    pub severity: Severity,
    /// The highest base score.
    pub score: Option<f64>,
    /// The vector of that score.
    pub vector: Option<String>,
    /// In one line.
    pub summary: String,
    /// The earliest version that is corrected.
    pub fixed: Option<String>,
    /// Addresses with more about it.
    pub references: Vec<String>,
    /// Weaknesses: `CWE-79`.
    pub weaknesses: Vec<String>,
    /// When it was published, RFC 3339.
    pub published: Option<String>,
    /// When it was changed last, RFC 3339.
    pub modified: Option<String>,
}

/// What was found, and what could not be judged.
#[derive(Debug, Default)]
pub struct Judged {
    /// What was found: in order of packages, then the worst first.
    pub vulnerabilities: Vec<Vulnerability>,
    /// What could not be judged.
    pub notes: Vec<Diagnostic>,
}

/// Judges all packages of an inventory.
pub fn judge(inventory: &Inventory, database: &Database) -> Result<Judged, Diagnostic> {
    let mut judged = Judged::default();
    let mut unknown: BTreeSet<Kind> = BTreeSet::new();
    for (at, package) in inventory.packages.iter().enumerate() {
        if package.origin == Origin::Local {
            continue;
        }
        if !database.knows(package.ecosystem.kind) {
            unknown.insert(package.ecosystem.kind);
            continue;
        }
        // A version that is not known has been noted when the file was read.
        let (name, version) = subject(package);
        let Some(version) = version else { continue };
        let mut found = Vec::new();
        for advisory in database.advisories(package.ecosystem.kind, name)? {
            match advisory.judge(&package.ecosystem, version) {
                Ok(Some(meant)) => found.push(vulnerability(at, advisory, meant.fixed)),
                Ok(None) => {}
                Err(error) => {
                    let message = format!("{} can't be judged by {}: {error}", package.shown(), advisory.id);
                    let note = Diagnostic::file(codes::VERSION, &package.file, message, "look at it by hand");
                    judged.notes.push(note.at(package.line, 0));
                }
            }
        }
        judged.vulnerabilities.append(&mut merged(package.ecosystem.kind, found));
    }
    for kind in unknown {
        let message = format!("the database has nothing on {}, so its packages are not judged", kind.name());
        let hint = format!("add it with `prograde db update --ecosystem {}`", kind.name());
        judged.notes.push(Diagnostic::file(codes::ECOSYSTEM_UNKNOWN, "", message, hint));
    }
    Ok(judged)
}

/// Distributions' advisories are about what packages are built from.
fn subject(package: &Package) -> (&str, Option<&str>) {
    match &package.source {
        Some(source) if package.ecosystem.kind.is_distribution() => (&source.name, Some(&source.version)),
        _ => (&package.name, package.version.as_deref()),
    }
}

fn vulnerability(package: usize, advisory: Advisory, fixed: Option<String>) -> Vulnerability {
    Vulnerability {
        package,
        id: advisory.id,
        aliases: advisory.aliases,
        severity: advisory.severity,
        score: advisory.score,
        vector: advisory.vector,
        summary: advisory.summary,
        fixed,
        references: advisory.references,
        weaknesses: advisory.weaknesses,
        published: advisory.published,
        modified: advisory.modified,
    }
}

/// Those that are the same under other names become one.
fn merged(kind: Kind, found: Vec<Vulnerability>) -> Vec<Vulnerability> {
    let mut groups: Vec<Vulnerability> = Vec::new();
    for one in found {
        let names: BTreeSet<&str> = names(&one).collect();
        let (same, others): (Vec<_>, Vec<_>) =
            groups.drain(..).partition(|group| self::names(group).any(|name| names.contains(name)));
        groups = others;
        groups.push(same.into_iter().fold(one.clone(), |all, next| joined(kind, all, next)));
    }
    groups.sort_by(|left, right| right.severity.cmp(&left.severity).then_with(|| left.id.cmp(&right.id)));
    groups
}

fn names(one: &Vulnerability) -> impl Iterator<Item = &str> {
    std::iter::once(one.id.as_str()).chain(one.aliases.iter().map(String::as_str))
}

/// The id that is shown: the ecosystem's own database first, then GitHub's, then CVE.
fn rank(id: &str) -> usize {
    let order = ["RUSTSEC-", "GO-", "MAL-", "GHSA-", "PYSEC-", "DSA-", "DLA-", "CVE-"];
    order.iter().position(|prefix| id.starts_with(prefix)).unwrap_or(order.len())
}

fn joined(kind: Kind, left: Vulnerability, right: Vulnerability) -> Vulnerability {
    let first_is_left = (rank(&left.id), &left.id) <= (rank(&right.id), &right.id);
    let (mut one, other) = if first_is_left { (left, right) } else { (right, left) };
    let mut aliases: BTreeSet<String> = one.aliases.drain(..).chain(other.aliases).collect();
    aliases.insert(other.id);
    aliases.remove(&one.id);
    one.aliases = aliases.into_iter().collect();
    one.severity = one.severity.max(other.severity);
    if other.score > one.score {
        (one.score, one.vector) = (other.score, other.vector);
    }
    if one.summary.is_empty() {
        one.summary = other.summary;
    }
    one.fixed = match (one.fixed, other.fixed) {
        (Some(left), Some(right)) => {
            Some(if compare(kind, &left, &right).is_ok_and(std::cmp::Ordering::is_ge) { left } else { right })
        }
        (left, right) => left.or(right),
    };
    one.references.extend(other.references);
    one.references.sort();
    one.references.dedup();
    one.weaknesses.extend(other.weaknesses);
    one.weaknesses.sort();
    one.weaknesses.dedup();
    one.published = one.published.or(other.published);
    one.modified = one.modified.max(other.modified);
    one
}

/// The ecosystems of an inventory and how many packages each has.
pub fn counts(inventory: &Inventory) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for package in &inventory.packages {
        *counts.entry(Ecosystem::to_string(&package.ecosystem)).or_default() += 1;
    }
    counts
}
