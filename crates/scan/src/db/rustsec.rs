//! Advisories of the RustSec database: Markdown with a block of TOML in front (github.com/RustSec/advisory-db, "Advisory
//! Format"). Everything that is neither patched nor unaffected is affected.

use serde::Deserialize;

use super::advisory::{Advisory, Affected, Interval};
use super::osv::{Read, stored_name};
use crate::ecosystem::Kind;
use crate::severity::{Severity, score};

#[derive(Deserialize)]
struct Front {
    advisory: Head,
    #[serde(default)]
    versions: Versions,
}

#[derive(Deserialize)]
struct Head {
    id: String,
    package: String,
    date: Option<toml::Value>,
    url: Option<String>,
    #[serde(default)]
    references: Vec<String>,
    #[serde(default)]
    aliases: Vec<String>,
    cvss: Option<String>,
    informational: Option<String>,
    withdrawn: Option<toml::Value>,
    title: Option<String>,
    #[serde(default)]
    collection: Option<String>,
}

#[derive(Deserialize, Default)]
struct Versions {
    #[serde(default)]
    patched: Vec<String>,
    #[serde(default)]
    unaffected: Vec<String>,
}

/// Reads one file.
pub(super) fn read(text: &str) -> Result<Read, String> {
    let (front, body) = split(text).ok_or("it has no block of TOML in front")?;
    let front: Front = toml::from_str(front).map_err(|error| error.message().to_owned())?;
    let head = front.advisory;
    if head.withdrawn.is_some() {
        return Ok(Read { withdrawn: true, ..Read::default() });
    }
    // The database also has advisories on Rust's own tools, which are no packages.
    if head.collection.as_deref() == Some("rust") {
        return Ok(Read::default());
    }
    let mut safe = Vec::new();
    for (list, patched) in [(&front.versions.patched, true), (&front.versions.unaffected, false)] {
        for requirement in list {
            safe.push(
                interval(requirement, patched)
                    .ok_or_else(|| format!("`{requirement}` is no requirement of versions"))?,
            );
        }
    }
    let affected = Affected { ecosystem: Kind::CratesIo.name().to_owned(), safe: Some(safe), ..Affected::default() };
    let title = body.lines().find_map(|line| line.strip_prefix("# ")).map(str::trim);
    let score = head.cvss.as_deref().and_then(score);
    let informational = head.informational.as_ref().map(|_| Severity::Info);
    let mut references: Vec<String> = head.url.into_iter().collect();
    references.extend(head.references.into_iter().take(4));
    let date = head.date.map(|date| {
        format!(
            "{}T00:00:00Z",
            date.as_str()
                .map(str::to_owned)
                .or_else(|| date.as_datetime().map(ToString::to_string))
                .unwrap_or_default()
        )
    });
    let advisory = Advisory {
        id: head.id,
        aliases: head.aliases,
        summary: head.title.as_deref().or(title).unwrap_or_default().to_owned(),
        severity: score.map(Severity::of_score).or(informational).unwrap_or_default(),
        vector: score.and(head.cvss),
        score,
        published: date,
        references,
        affected: vec![affected],
        ..Advisory::default()
    };
    let key = (Kind::CratesIo, stored_name(Kind::CratesIo, &head.package));
    Ok(Read { advisories: vec![(key, advisory)], ..Read::default() })
}

/// The block of TOML, between fences of backticks or lines of plus signs, and what follows it.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let (rest, fence) = match text.strip_prefix("```toml") {
        Some(rest) => (rest, "\n```"),
        None => (text.strip_prefix("+++")?, "\n+++"),
    };
    rest.split_once(fence)
}

/// A requirement as Cargo reads it: comparisons that all hold, each an interval.
fn interval(requirement: &str, patched: bool) -> Option<Interval> {
    let mut whole = Interval { low: None, high: None, patched };
    for part in requirement.split(',') {
        let part = part.trim();
        let length = part.bytes().take_while(|b| matches!(b, b'<' | b'>' | b'=' | b'^' | b'~')).count();
        let (operator, version) = part.split_at_checked(length)?;
        let version = version.trim();
        if version == "*" {
            continue;
        }
        crate::version::compare(Kind::CratesIo, version, version).ok()?;
        let full = filled(version);
        match operator {
            ">=" => whole.low = Some((full, true)),
            ">" => whole.low = Some((full, false)),
            "<" => whole.high = Some((full, false)),
            "<=" => whole.high = Some((full, true)),
            "=" => (whole.low, whole.high) = (Some((full.clone(), true)), Some((full, true))),
            "" | "^" | "~" => {
                whole.high = Some((next(version, operator == "~")?, false));
                whole.low = Some((full, true));
            }
            _ => return None,
        }
    }
    Some(whole)
}

/// With all three numbers.
fn filled(version: &str) -> String {
    let end = version.find(['-', '+']).unwrap_or(version.len());
    let (numbers, rest) = version.split_at_checked(end).unwrap_or((version, ""));
    let missing = 2_usize.saturating_sub(numbers.matches('.').count());
    format!("{numbers}{}{rest}", ".0".repeat(missing))
}

/// The first version that is not compatible any more (the Cargo book, "Specifying Dependencies"); `-0` keeps its
/// pre-releases out as well.
fn next(version: &str, tilde: bool) -> Option<String> {
    let numbers = version.split(['-', '+']).next()?;
    let parts: Vec<u64> = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let (major, minor, patch) = (*parts.first()?, parts.get(1).copied(), parts.get(2).copied());
    let next = match (major, minor, patch, tilde) {
        (_, None, _, _) => (major.checked_add(1)?, 0, 0),
        (_, Some(minor), _, true) | (0, Some(minor @ 1..), _, false) => (major, minor.checked_add(1)?, 0),
        (0, Some(0), Some(patch), false) => (0, 0, patch.checked_add(1)?),
        (0, Some(0), None, false) => (0, 1, 0),
        (_, Some(_), _, false) => (major.checked_add(1)?, 0, 0),
    };
    Some(format!("{}.{}.{}-0", next.0, next.1, next.2))
}
