//! What being on call costs each person, and how evenly it is shared.

use std::collections::BTreeMap;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::declare::{PersonName, Weekday};
use super::schedule::Shift;
use super::wall::moment;
use crate::dora::Span;

/// What one person carries.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Load {
    /// Hours on call.
    pub hours: f64,
    /// Of these, hours between 22:00 and 06:00 where the person lives.
    pub night_hours: f64,
    /// Of these, hours on Saturdays and Sundays there; by night as well.
    pub weekend_hours: f64,
    /// Pages while on call.
    pub pages: u64,
    /// Of these, by night.
    pub night_pages: u64,
}

/// The load of everybody in `zones`, which says where each lives; of those who are never on call as well.
pub fn loads(
    shifts: &[Shift],
    zones: &BTreeMap<PersonName, TimeZone>,
    pages: &[Timestamp],
) -> BTreeMap<PersonName, Load> {
    let mut found: BTreeMap<PersonName, Load> = zones.keys().map(|name| (name.clone(), Load::default())).collect();
    for shift in shifts {
        let Some(zone) = zones.get(&shift.person) else { continue };
        let load = found.entry(shift.person.clone()).or_default();
        load.hours += hours(shift.span);
        for (span, is_weekend) in days(shift.span, zone) {
            load.night_hours += nights(span, zone);
            load.weekend_hours += if is_weekend { hours(span) } else { 0.0 };
        }
        for page in pages.iter().filter(|page| shift.span.contains(**page)) {
            load.pages += 1;
            load.night_pages += u64::from(is_night(*page, zone));
        }
    }
    found
}

/// How evenly something is shared: 1 where all carry the same, 1/n where one of n carries all (Jain, Chiu and Hawe, "A
/// Quantitative Measure of Fairness and Discrimination", DEC-TR-301, 1984). None where nobody carries anything.
pub fn fairness(shares: &[f64]) -> Option<f64> {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    let count: f64 = shares.iter().map(|_| 1.0).sum();
    (squares > 0.0).then(|| sum * sum / (count * squares))
}

const NIGHT_BEGINS: Time = Time::constant(22, 0, 0, 0);
const NIGHT_ENDS: Time = Time::constant(6, 0, 0, 0);

fn is_night(at: Timestamp, zone: &TimeZone) -> bool {
    let time = at.to_zoned(zone.clone()).time();
    time >= NIGHT_BEGINS || time < NIGHT_ENDS
}

fn hours(span: Span) -> f64 {
    span.days() * 24.0
}

/// The parts of a stretch by the days of a wall clock, and whether each is on a weekend.
fn days(span: Span, zone: &TimeZone) -> Vec<(Span, bool)> {
    let mut parts = Vec::new();
    let mut date = span.from.to_zoned(zone.clone()).date();
    let mut from = span.from;
    while from < span.until {
        let Ok(next) = date.checked_add(1.day()) else { break };
        let until = moment(next.to_datetime(Time::midnight()), zone).min(span.until);
        if until > from {
            parts.push((Span { from, until }, matches!(Weekday::of(date), Weekday::Sat | Weekday::Sun)));
            from = until;
        }
        date = next;
    }
    parts
}

/// The hours of night in a part of one day.
fn nights(span: Span, zone: &TimeZone) -> f64 {
    let date = span.from.to_zoned(zone.clone()).date();
    let (ends, begins) = (moment(date.to_datetime(NIGHT_ENDS), zone), moment(date.to_datetime(NIGHT_BEGINS), zone));
    let early = Span { from: span.from, until: span.until.min(ends) };
    let late = Span { from: span.from.max(begins), until: span.until };
    hours(early) + hours(late)
}
