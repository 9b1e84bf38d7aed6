//! Advisories in OSV's format (ossf.github.io/osv-schema).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::advisory::{Advisory, Affected, Event, Range, RangeKind};
use crate::ecosystem::{Ecosystem, Kind};
use crate::severity::{Severity, score};
use crate::version::normalised_name;

/// How many addresses are kept.
const REFERENCES_MAX: usize = 5;
/// How long a summary may be, in characters.
const SUMMARY_CHARS_MAX: usize = 200;

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    aliases: Option<Vec<String>>,
    summary: Option<String>,
    details: Option<String>,
    published: Option<String>,
    modified: Option<String>,
    withdrawn: Option<String>,
    #[serde(default)]
    severity: Option<Vec<Scored>>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    database_specific: Option<Value>,
    #[serde(default)]
    affected: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Scored {
    #[serde(rename = "type")]
    kind: String,
    score: String,
}

#[derive(Deserialize)]
struct Reference {
    url: String,
}

#[derive(Deserialize)]
struct Entry {
    package: Option<Named>,
    #[serde(default)]
    ranges: Option<Vec<RawRange>>,
    #[serde(default)]
    versions: Option<Vec<String>>,
    #[serde(default)]
    severity: Option<Vec<Scored>>,
    database_specific: Option<Value>,
    ecosystem_specific: Option<Value>,
}

#[derive(Deserialize)]
struct Named {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct RawRange {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    events: Vec<BTreeMap<String, Value>>,
}

/// What was read of one record.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The advisory for each package that it is about.
    pub(super) advisories: Vec<((Kind, String), Advisory)>,
    /// Whether it was taken back.
    pub(super) withdrawn: bool,
    /// Ranges of commits, about which versions say nothing.
    pub(super) git_ranges: usize,
}

/// Reads one record.
pub(super) fn read(text: &[u8]) -> Result<Read, String> {
    let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if record.id.is_empty() || record.id.len() > 200 {
        return Err("its `id` is empty or too long".to_owned());
    }
    if record.withdrawn.is_some() {
        return Ok(Read { withdrawn: true, ..Read::default() });
    }
    let mut read = Read::default();
    let mut by_package: BTreeMap<(Kind, String), Vec<(Affected, Rating)>> = BTreeMap::new();
    for entry in record.affected.iter().flatten() {
        let Some(package) = &entry.package else { continue };
        let Some(ecosystem) = Ecosystem::parse(&package.ecosystem) else { continue };
        let (affected, git) = affected(entry, &package.ecosystem);
        read.git_ranges += git;
        if affected.ranges.is_empty() && affected.versions.is_empty() {
            continue;
        }
        let key = (ecosystem.kind, stored_name(ecosystem.kind, &package.name));
        by_package.entry(key).or_default().push((affected, rating_of_entry(entry)));
    }
    let common = advisory(&record);
    for (key, entries) in by_package {
        let mut one = common.clone();
        for (affected, rating) in entries {
            one.affected.push(affected);
            rating.apply(&mut one);
        }
        read.advisories.push((key, one));
    }
    Ok(read)
}

/// The name under which an advisory is found.
pub(super) fn stored_name(kind: Kind, name: &str) -> String {
    match kind {
        Kind::PyPi => normalised_name(name),
        Kind::CratesIo => name.replace('_', "-"),
        Kind::Npm | Kind::Go | Kind::Maven | Kind::RubyGems | Kind::Debian | Kind::Ubuntu | Kind::Alpine => {
            name.to_owned()
        }
    }
}

fn affected(entry: &Entry, ecosystem: &str) -> (Affected, usize) {
    let mut ranges = Vec::new();
    let mut git = 0;
    for range in entry.ranges.iter().flatten() {
        let kind = match range.kind.as_str() {
            "SEMVER" => RangeKind::Semver,
            "ECOSYSTEM" => RangeKind::Ecosystem,
            _ => {
                git += 1;
                continue;
            }
        };
        let events =
            range.events.iter().flat_map(|event| event.iter().filter_map(|(what, at)| read_event(what, at.as_str()?)));
        ranges.push(Range { kind, events: events.collect() });
    }
    let versions = entry.versions.clone().unwrap_or_default();
    // A list that only spells out what the ranges say is long and says nothing more; but it may say more, so it stays.
    (Affected { ecosystem: ecosystem.to_owned(), ranges, versions, safe: None }, git)
}

fn read_event(what: &str, at: &str) -> Option<Event> {
    let at = at.to_owned();
    Some(match what {
        "introduced" => Event::Introduced(at),
        "fixed" => Event::Fixed(at),
        "last_affected" => Event::LastAffected(at),
        "limit" => Event::Limit(at),
        _ => return None,
    })
}

fn advisory(record: &Record) -> Advisory {
    let mut aliases = record.aliases.clone().unwrap_or_default();
    // Distributions prefix the id of what they republish.
    if let Some((_, id)) = record.id.split_once("-CVE-").filter(|(before, _)| !before.is_empty()) {
        aliases.push(format!("CVE-{id}"));
    }
    aliases.retain(|alias| *alias != record.id);
    aliases.sort();
    aliases.dedup();
    let mut advisory = Advisory {
        id: record.id.clone(),
        aliases,
        summary: summary(record),
        published: record.published.clone(),
        modified: record.modified.clone(),
        references: record.references.iter().flatten().take(REFERENCES_MAX).map(|one| one.url.clone()).collect(),
        ..Advisory::default()
    };
    let specific = record.database_specific.as_ref();
    let weaknesses = specific.and_then(|specific| specific.get("cwe_ids")).and_then(Value::as_array);
    advisory.weaknesses = weaknesses.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    rating(record.severity.as_deref().unwrap_or_default(), [specific, None]).apply(&mut advisory);
    advisory
}

/// The summary, or the first line of the details.
fn summary(record: &Record) -> String {
    let said = record.summary.as_deref().filter(|text| !text.trim().is_empty());
    let first = || {
        record.details.as_deref()?.lines().map(|line| line.trim_start_matches('#').trim()).find(|line| !line.is_empty())
    };
    let text = said.or_else(first).unwrap_or_default();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > SUMMARY_CHARS_MAX {
        let cut: String = line.chars().take(SUMMARY_CHARS_MAX - 1).collect();
        return format!("{cut}…");
    }
    line
}

/// What is said of how bad it is.
#[derive(Debug, Default)]
struct Rating {
    word: Option<Severity>,
    score: Option<f64>,
    vector: Option<String>,
}

fn rating_of_entry(entry: &Entry) -> Rating {
    let places = [entry.ecosystem_specific.as_ref(), entry.database_specific.as_ref()];
    rating(entry.severity.as_deref().unwrap_or_default(), places)
}

/// The highest score of all vectors, and the word of the database where it has one.
fn rating(scored: &[Scored], specific: [Option<&Value>; 2]) -> Rating {
    let mut rating = Rating::default();
    for one in scored {
        match one.kind.as_str() {
            "CVSS_V3" | "CVSS_V4" => {
                let score = score(&one.score);
                if score > rating.score {
                    rating.score = score;
                    rating.vector = Some(one.score.clone());
                }
            }
            // Some databases give a word in place of a vector.
            _ => rating.word = rating.word.max(Severity::of_word(&one.score)),
        }
    }
    for place in specific.into_iter().flatten() {
        for key in ["severity", "urgency"] {
            let word = place.get(key).and_then(Value::as_str).and_then(Severity::of_word);
            rating.word = rating.word.or(word.filter(|word| *word != Severity::Unknown));
        }
        if rating.score.is_none()
            && let Some(vector) =
                place.get("cvss").and_then(|cvss| cvss.as_str().or_else(|| cvss.get("vector_string")?.as_str()))
        {
            rating.score = score(vector);
            rating.vector = rating.score.map(|_| vector.to_owned());
        }
    }
    rating
}

impl Rating {
    fn apply(self, advisory: &mut Advisory) {
        if self.score > advisory.score {
            advisory.score = self.score;
            advisory.vector = self.vector;
        }
        let severity = self.word.or(self.score.map(Severity::of_score)).unwrap_or_default();
        advisory.severity = advisory.severity.max(severity);
    }
}
