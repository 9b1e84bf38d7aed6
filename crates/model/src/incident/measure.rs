//! Whether incidents fall: how many there were in each month, how bad, and how long they hurt.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Incidents;
use super::state::{Incident, Severity};
use crate::dora::{Every, Span};

/// The most months.
const MONTHS_MAX: usize = 240;

/// The incidents of one month, those that were merged into others left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Month {
    /// Such as `2026-02`.
    pub month: String,
    /// How many were declared.
    pub incidents: u64,
    /// Of these, SEV1 and SEV2.
    pub severe: u64,
    /// Pages and groups of alerts that belong to them.
    pub pages: u64,
    /// For how many minutes they hurt users.
    pub minutes: u64,
    /// How many seconds it took in the middle until one was mitigated, as far as they were.
    pub mitigated_within_s: Option<u64>,
    /// Action items that were added after them.
    pub actions: u64,
    /// Of these, the ones that are done.
    pub actions_done: u64,
}

/// The months of a span, the first one first; none where there are too many.
pub fn trend(incidents: &Incidents, span: Span, zone: &TimeZone, now: Timestamp) -> Option<Vec<Month>> {
    let months = Every::Month.cut(span, zone, MONTHS_MAX)?;
    let of = |part: Span| {
        let of_month = |incident: &&Incident| part.contains(incident.declared_at) && incident.merged_into.is_none();
        let found: Vec<&Incident> = incidents.incidents().filter(of_month).collect();
        let mut within: Vec<u64> =
            found.iter().filter_map(|incident| u64::try_from(incident.mitigated_within()?.as_secs()).ok()).collect();
        within.sort_unstable();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let actions = || found.iter().flat_map(|incident| incidents.actions_of(incident.id));
        Month {
            month: part.from.to_zoned(zone.clone()).strftime("%Y-%m").to_string(),
            incidents: count(found.len()),
            severe: count(found.iter().filter(|incident| incident.severity <= Severity::Sev2).count()),
            pages: found.iter().map(|incident| incident.pages()).sum(),
            minutes: found.iter().map(|incident| incident.minutes(now)).sum(),
            mitigated_within_s: within.get(within.len() / 2).copied(),
            actions: count(actions().count()),
            actions_done: count(actions().filter(|action| action.state.word() == "done").count()),
        }
    };
    Some(months.into_iter().map(of).collect())
}
