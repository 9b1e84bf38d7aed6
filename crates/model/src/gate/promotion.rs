//! When a release may enter an environment: hours in which releases enter, stretches in which none does, and how long it
//! has to have served in the environment before.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dora::Span;
use crate::entry::Standing;
use crate::fleet::Fleet;
use crate::flight::Flight;
use crate::gate::{Hold, Holds};
use crate::ids::Target;
use crate::oncall::{Window, Zones, moment, windows};
use crate::service::{Environment, GateRules, Problem, problem};

/// How far ahead the next opening is looked for.
const AHEAD: SignedDuration = SignedDuration::from_hours(15 * 24);

/// Hours in which releases enter, on some wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenHours {
    /// The time zone's name, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Which hours.
    pub hours: Vec<Window>,
}

/// A stretch in which no release enters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// From when, such as `2026-12-20T18:00`.
    #[schemars(with = "String")]
    pub from: DateTime,
    /// Until when.
    #[schemars(with = "String")]
    pub until: DateTime,
    /// The time zone's name, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Why.
    pub reason: String,
}

impl Holds {
    /// Adds what keeps flights out by the gates' own hours, freezes and soak times: at every gate that is still before
    /// them, as they may come there before this is asked again.
    pub fn add_promotion(&mut self, fleet: &Fleet, now: Timestamp, zones: &impl Zones) {
        for flight in fleet.active() {
            let environments =
                flight.service_config().map(|service| service.environments.as_slice()).unwrap_or_default();
            let mut before = None;
            for environment in environments {
                let outside =
                    flight.places_in(&environment.name).all(|target| flight.standing(target) == Standing::Outside);
                if outside {
                    let soak = before.and_then(|before| soak(flight, before, environment, now));
                    let holds = [soak, closed(environment, now, zones), frozen(environment, now, zones)];
                    for hold in holds.into_iter().flatten() {
                        self.add_for(flight.id.clone(), environment.name.clone(), hold);
                    }
                }
                before = Some(environment);
            }
        }
    }
}

fn hold(kind: &str, environment: &Environment, reason: String) -> Hold {
    Hold { id: format!("{kind}/{}", environment.name), reason, fixes_pass: false }
}

/// A time zone that is not known keeps everything out: a gate fails closed.
fn unknown(kind: &str, environment: &Environment, zone: &str) -> Hold {
    hold(kind, environment, format!("this machine knows no time zone {zone:?}"))
}

fn soak(flight: &Flight, before: &Environment, environment: &Environment, now: Timestamp) -> Option<Hold> {
    let asked = environment.gate.soak.filter(|asked| !asked.is_zero())?;
    let since = |target: &Target| flight.entry(target).and_then(|entry| entry.times.get("rollout.promoted").copied());
    // What has not changed there serves already, with whatever it has to be sure of behind it.
    let places = flight.places_in(&before.name).filter(|target| flight.standing(target) != Standing::Unchanged);
    let mut over: Option<Timestamp> = None;
    for target in places {
        let Some(end) = since(target).and_then(|since| since.checked_add(asked.duration()).ok()) else {
            return Some(hold("soak", environment, format!("it has to serve in {} for {asked} first", before.name)));
        };
        over = Some(over.map_or(end, |known| known.max(end)));
    }
    let over = over.filter(|over| now < *over)?;
    let reason = format!("it has to serve in {} for {asked} first, which is over at {over:.0}", before.name);
    Some(hold("soak", environment, reason))
}

fn closed(environment: &Environment, now: Timestamp, zones: &impl Zones) -> Option<Hold> {
    let declared = &environment.gate.windows;
    let until = now.saturating_add(AHEAD).unwrap_or(Timestamp::MAX);
    let mut next: Option<Timestamp> = None;
    for open in declared {
        let Some(zone) = zones.zone(&open.time_zone) else {
            return Some(unknown("window", environment, &open.time_zone));
        };
        let spans = windows(&open.hours, Span { from: now, until }, &zone);
        if spans.iter().any(|span| span.contains(now)) {
            return None;
        }
        let later = spans.iter().map(|span| span.from).filter(|from| *from > now);
        next = later.chain(next).min();
    }
    let next = next.map(|next| format!(", again from {next:.0}")).unwrap_or_default();
    (!declared.is_empty()).then(|| hold("window", environment, format!("releases do not enter at this hour{next}")))
}

fn frozen(environment: &Environment, now: Timestamp, zones: &impl Zones) -> Option<Hold> {
    for freeze in &environment.gate.freezes {
        let Some(zone) = zones.zone(&freeze.time_zone) else {
            return Some(unknown("freeze", environment, &freeze.time_zone));
        };
        let until = moment(freeze.until, &zone);
        if (moment(freeze.from, &zone)..until).contains(&now) {
            let reason = format!("it is frozen until {until:.0}: {}", freeze.reason);
            return Some(hold("freeze", environment, reason));
        }
    }
    None
}

impl GateRules {
    /// What is wrong with it beyond its types.
    pub(crate) fn problems(&self, at: &str, found: &mut Vec<Problem>) {
        fn path<'a>(at: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
            [&["environments", at, "gate"], rest].concat()
        }
        if let Some(may) = &self.approvals_by {
            let people = u32::try_from(may.iter().collect::<BTreeSet<_>>().len()).unwrap_or(u32::MAX);
            if people < self.approvals.max(1) {
                let message = format!("{people} may approve and {} have to", self.approvals.max(1));
                found.push(problem(
                    &path(at, &["approvals_by"]),
                    message,
                    "name more people, or ask for fewer approvals",
                ));
            }
        }
        for (index, open) in self.windows.iter().enumerate() {
            let index = index.to_string();
            if open.hours.is_empty() {
                let place = path(at, &["windows", &index, "hours"]);
                let hint = "such as `- { days: [mon, tue], from: \"09:00\", until: \"16:00\" }`";
                found.push(problem(&place, "there are no hours, so nothing would ever enter".into(), hint));
            }
        }
        for (index, freeze) in self.freezes.iter().enumerate() {
            let index = index.to_string();
            if freeze.until <= freeze.from {
                let place = path(at, &["freezes", &index, "until"]);
                found.push(problem(&place, "it ends before it begins".into(), "write when it is over"));
            }
            if freeze.reason.trim().is_empty() {
                let place = path(at, &["freezes", &index, "reason"]);
                found.push(problem(&place, "there is no reason".into(), "say why, for those who wait"));
            }
        }
    }

    /// The time zones that it names which are not known, as problems of the environment with this index.
    pub(crate) fn zone_problems(&self, at: &str, zones: &impl Zones, found: &mut Vec<Problem>) {
        let windows = self.windows.iter().enumerate().map(|(index, open)| ("windows", index, &open.time_zone));
        let freezes = self.freezes.iter().enumerate().map(|(index, freeze)| ("freezes", index, &freeze.time_zone));
        for (list, index, zone) in windows.chain(freezes).filter(|(.., zone)| zones.zone(zone).is_none()) {
            let path = ["environments", at, "gate", list, &index.to_string(), "time_zone"];
            let message = format!("there is no time zone {zone:?}");
            found.push(problem(&path, message, "names are those of IANA, such as `Europe/Berlin`"));
        }
    }
}
