//! Exports of both products, and what becomes of them: the same person at every hour, and every loss told with its place.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail by panicking"
)]

#[path = "import/grafana.rs"]
mod grafana;
#[path = "import/hostile.rs"]
mod hostile;
#[path = "import/pagerduty.rs"]
mod pagerduty;

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use prograde_import::{Imported, Source, import};
use prograde_model::dora::Span;
use prograde_model::oncall::Schedule;
use serde_json::Value;

fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

fn run(source: Source, files: &[(&str, Value)]) -> Result<Imported, String> {
    let files: Vec<(String, String)> =
        files.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    import(source, &files, &zone).map_err(|error| error.to_string())
}

/// Who is on call at every half hour of a stretch, by ours.
fn ours(schedule: &Schedule, from: Timestamp, hours: i64) -> BTreeMap<Timestamp, String> {
    let until = from + SignedDuration::from_hours(hours);
    let shifts = schedule.shifts(Span { from, until }, &zone).unwrap();
    let mut shifts = shifts.iter().peekable();
    let mut on_call = BTreeMap::new();
    for at in moments(from, hours) {
        while shifts.peek().is_some_and(|shift| shift.span.until <= at) {
            shifts.next();
        }
        if let Some(shift) = shifts.peek().filter(|shift| shift.span.contains(at)) {
            on_call.insert(at, shift.person.clone());
        }
    }
    on_call
}

fn moments(from: Timestamp, hours: i64) -> impl Iterator<Item = Timestamp> {
    // Not on the hour, so that whether a turn's last moment belongs to it does not matter.
    (0..hours * 2).map(move |half| from + SignedDuration::from_mins(half * 30 + 7))
}

/// The wall clock at a moment; nothing in the hour that it shows for the second time: there our rule is that the first one counts, and
/// neither product says what it does.
fn wall(at: Timestamp, zone: &TimeZone) -> Option<DateTime> {
    let shown = at.to_zoned(zone.clone()).datetime();
    let found = zone.to_ambiguous_timestamp(shown);
    match found.offset() {
        AmbiguousOffset::Fold { .. } if found.earlier().ok() != Some(at) => None,
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } | AmbiguousOffset::Fold { .. } => Some(shown),
    }
}

fn findings(imported: &Imported) -> Vec<String> {
    imported.findings.iter().map(ToString::to_string).collect()
}
