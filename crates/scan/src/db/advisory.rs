//! One advisory, as far as it is about one package, and whether a version is meant by it.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::ecosystem::{Ecosystem, Kind};
use crate::severity::Severity;
use crate::version::{NoVersion, compare, compare_semver};

/// What is stored of an advisory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Advisory {
    /// Its id, such as `GHSA-…` or `RUSTSEC-…`.
    pub id: String,
    /// Other ids of the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// In one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// How bad it is.
    #[serde(default)]
    pub severity: Severity,
    /// The base score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The vector that the score is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<String>,
    /// When it was published, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// When it was changed last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// The first few addresses with more about it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Weaknesses: `CWE-79`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weaknesses: Vec<String>,
    /// Which versions are affected.
    pub affected: Vec<Affected>,
}

/// Versions of the package in one ecosystem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Affected {
    /// The ecosystem, with a release where it is about one: `Debian:12`.
    pub ecosystem: String,
    /// Ranges of versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// Versions one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// Intervals that are not affected, as RustSec has it; all else is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<Vec<Interval>>,
}

/// How a range's versions are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RangeKind {
    /// As semantic versions.
    #[serde(rename = "S")]
    Semver,
    /// As the ecosystem does.
    #[serde(rename = "E")]
    Ecosystem,
}

/// One range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The ordering.
    #[serde(rename = "k")]
    pub kind: RangeKind,
    /// What happened at which version.
    #[serde(rename = "e")]
    pub events: Vec<Event>,
}

/// What happened at a version (osv-schema, "affected[].ranges[].events fields").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// This and later ones are affected; `0` stands before all versions.
    #[serde(rename = "i")]
    Introduced(String),
    /// This and later ones are not.
    #[serde(rename = "f")]
    Fixed(String),
    /// Those after it are not.
    #[serde(rename = "a")]
    LastAffected(String),
    /// Nothing is said of this and later ones.
    #[serde(rename = "l")]
    Limit(String),
}

/// Versions between two; a bound says whether its version belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<(String, bool)>,
    /// The upper bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<(String, bool)>,
    /// Whether it holds a correction, not what was well before.
    #[serde(default)]
    pub patched: bool,
}

/// What an advisory says of a version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meant {
    /// The earliest later version that is corrected.
    pub fixed: Option<String>,
}

impl Advisory {
    /// What it says of a version; none where the version is not affected.
    pub fn judge(&self, ecosystem: &Ecosystem, version: &str) -> Result<Option<Meant>, NoVersion> {
        let mut meant: Option<Meant> = None;
        for affected in &self.affected {
            let about = Ecosystem::parse(&affected.ecosystem);
            if !about.is_some_and(|about| ecosystem.is_meant_by(&about)) {
                continue;
            }
            if let Some(found) = affected.judge(ecosystem.kind, version)? {
                let before = meant.take().and_then(|meant| meant.fixed);
                meant = Some(Meant { fixed: earliest(ecosystem.kind, before, found.fixed) });
            }
        }
        Ok(meant)
    }
}

fn earliest(kind: Kind, left: Option<String>, right: Option<String>) -> Option<String> {
    match (left, right) {
        (Some(left), Some(right)) => {
            Some(if compare(kind, &right, &left).is_ok_and(Ordering::is_lt) { right } else { left })
        }
        (left, right) => left.or(right),
    }
}

impl Affected {
    fn judge(&self, kind: Kind, version: &str) -> Result<Option<Meant>, NoVersion> {
        if let Some(safe) = &self.safe {
            return judge_safe(kind, safe, version);
        }
        let listed =
            self.versions.iter().any(|one| one == version || compare(kind, one, version).is_ok_and(Ordering::is_eq));
        let mut within = false;
        let mut fixed = None;
        let mut failed = None;
        for range in &self.ranges {
            match range.judge(kind, version) {
                Ok(true) => {
                    within = true;
                    fixed = earliest(kind, fixed, range.fixed_after(kind, version));
                }
                Ok(false) if listed => fixed = earliest(kind, fixed, range.fixed_after(kind, version)),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if !within && !listed => Err(error),
            _ => Ok((within || listed).then_some(Meant { fixed })),
        }
    }
}

impl Range {
    fn compare(&self, kind: Kind, left: &str, right: &str) -> Result<Ordering, NoVersion> {
        match self.kind {
            RangeKind::Semver => compare_semver(left, right),
            RangeKind::Ecosystem => compare(kind, left, right),
        }
    }

    /// The algorithm of osv-schema, "Evaluation": events in the order of their versions, the last one that the version
    /// has reached counts.
    fn judge(&self, kind: Kind, version: &str) -> Result<bool, NoVersion> {
        let mut limited = None;
        let mut latest: Option<(&str, bool)> = None;
        for event in &self.events {
            let (at, affected) = match event {
                Event::Limit(limit) => {
                    let below = limit == "*" || self.compare(kind, version, limit)?.is_lt();
                    limited = Some(limited.unwrap_or(false) || below);
                    continue;
                }
                Event::Introduced(at) if at == "0" => {
                    latest = latest.or(Some(("", true)));
                    continue;
                }
                Event::Introduced(at) if self.compare(kind, version, at)?.is_ge() => (at.as_str(), true),
                Event::Fixed(at) if self.compare(kind, version, at)?.is_ge() => (at.as_str(), false),
                Event::LastAffected(at) if self.compare(kind, version, at)?.is_gt() => (at.as_str(), false),
                Event::Introduced(_) | Event::Fixed(_) | Event::LastAffected(_) => continue,
            };
            let later = match latest {
                Some((before, _)) if !before.is_empty() => match self.compare(kind, at, before)? {
                    Ordering::Greater => true,
                    // A correction and a new defect at the same version: it is affected.
                    Ordering::Equal => affected,
                    Ordering::Less => false,
                },
                _ => true,
            };
            if later {
                latest = Some((at, affected));
            }
        }
        Ok(limited.unwrap_or(true) && latest.is_some_and(|(_, affected)| affected))
    }

    fn fixed_after(&self, kind: Kind, version: &str) -> Option<String> {
        let mut found = None;
        for event in &self.events {
            if let Event::Fixed(at) = event
                && self.compare(kind, at, version).is_ok_and(Ordering::is_gt)
            {
                found = earliest(kind, found, Some(at.clone()));
            }
        }
        found
    }
}

fn judge_safe(kind: Kind, safe: &[Interval], version: &str) -> Result<Option<Meant>, NoVersion> {
    let mut fixed = None;
    for interval in safe {
        let above = match &interval.low {
            Some((low, within)) => {
                let order = compare(kind, version, low)?;
                if order.is_lt() && interval.patched {
                    let first = if *within { low.clone() } else { format!(">{low}") };
                    fixed = earliest(kind, fixed, Some(first));
                }
                order.is_gt() || (order.is_eq() && *within)
            }
            None => true,
        };
        let below = match &interval.high {
            Some((high, within)) => {
                let order = compare(kind, version, high)?;
                order.is_lt() || (order.is_eq() && *within)
            }
            None => true,
        };
        if above && below {
            return Ok(None);
        }
    }
    Ok(Some(Meant { fixed }))
}
