//! What the types of `oncall.yaml` can't refuse.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;

use super::declare::{Escalation, Layer, Rota, Schedule, When, Window};
use super::schedule::Zones;
use crate::service::Problem;

/// The most schedules, and layers, people, swaps, overrides or dates of each.
const ITEMS_MAX: usize = 1_000;
/// The most windows of a layer.
const WINDOWS_MAX: usize = 50;

struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, path: &[&str], message: String, hint: &str) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.push(Problem { path, message, hint: hint.to_owned() });
    }
}

impl Rota {
    /// Everything that is wrong with it, in the order in which it is written.
    pub fn problems(&self, zones: &impl Zones) -> Vec<Problem> {
        let mut found = Found(Vec::new());
        if self.version != 1 {
            found.add(&["version"], format!("version {} is not known", self.version), "write `version: 1`");
        }
        if self.schedules.is_empty() {
            found.add(&["schedules"], "there is no schedule".into(), "declare one, with at least one layer");
        }
        let mut members = BTreeSet::new();
        for (name, person) in &self.people {
            if person.slack.as_ref().is_some_and(|member| !members.insert(member)) {
                let hint = "give each their own; Slack shows it in the profile, as the member ID";
                found.add(&["people", name, "slack"], "another person has this member ID too".into(), hint);
            }
            if let Some(zone) = &person.time_zone {
                check_zone(&mut found, &["people", name, "time_zone"], zone, zones);
            }
        }
        let mut names = BTreeSet::new();
        for (index, schedule) in self.schedules.iter().enumerate().take(ITEMS_MAX) {
            let index = index.to_string();
            if !names.insert(&schedule.name) {
                let message = format!("another schedule is named {} too", schedule.name);
                found.add(&["schedules", &index, "name"], message, "give one of the two another name");
            }
            self.check_schedule(&mut found, &["schedules", &index], schedule, zones);
        }
        for (name, escalation) in &self.escalations {
            self.check_escalation(&mut found, name, escalation, zones);
        }
        found.0
    }

    fn check_schedule(&self, found: &mut Found, at: &[&str], schedule: &Schedule, zones: &impl Zones) {
        let path = |more: &[&'_ str]| [at, more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        check_zone(found, &strs(&path(&["time_zone"])), &schedule.time_zone, zones);
        if schedule.layers.is_empty() {
            found.add(&strs(&path(&["layers"])), "a schedule has at least one layer".into(), "add a rotation");
        }
        let lists = [schedule.layers.len(), schedule.swaps.len(), schedule.overrides.len()];
        if lists.iter().any(|length| *length > ITEMS_MAX) {
            found.add(at, format!("a schedule has at most {ITEMS_MAX} of each"), "delete what is past");
        }
        for (index, layer) in schedule.layers.iter().enumerate() {
            self.check_layer(found, &strs(&path(&["layers", &index.to_string()])), layer, zones);
        }
        if let Some(holidays) = &schedule.holidays {
            self.check_layer(found, &strs(&path(&["holidays", "layer"])), &holidays.layer, zones);
        }
        let wrong_way = "let it end after it begins";
        let zone = zones.zone(&schedule.time_zone);
        for (index, swap) in schedule.swaps.iter().enumerate() {
            let here = path(&["swaps", &index.to_string()]);
            let (one, two) = &swap.between;
            for person in [one, two] {
                self.check_person(found, &strs(&[&here[..], &["between".to_owned()]].concat()), person);
            }
            if one == two {
                found.add(&strs(&here), format!("{one} swaps with {one}"), "name two people");
            }
            if is_backwards(swap.from, swap.until, zone.as_ref()) {
                found.add(&strs(&here), "a swap ends before it begins".into(), wrong_way);
            }
        }
        for (index, said) in schedule.overrides.iter().enumerate() {
            let here = path(&["overrides", &index.to_string()]);
            self.check_person(found, &strs(&[&here[..], &["person".to_owned()]].concat()), &said.person);
            if is_backwards(said.from, said.until, zone.as_ref()) {
                found.add(&strs(&here), "an override ends before it begins".into(), wrong_way);
            }
        }
    }

    fn check_layer(&self, found: &mut Found, at: &[&str], layer: &Layer, zones: &impl Zones) {
        let path = |field: &'static str| [at, &[field]].concat();
        if let Some(zone) = &layer.time_zone {
            check_zone(found, &path("time_zone"), zone, zones);
        }
        if layer.people.is_empty() || layer.people.len() > ITEMS_MAX {
            found.add(&path("people"), format!("a layer has 1 to {ITEMS_MAX} people"), "name who takes turns");
        }
        for person in &layer.people {
            self.check_person(found, &path("people"), person);
        }
        if layer.until.is_some_and(|until| until <= layer.from) {
            found.add(&path("until"), "a layer ends before it begins".into(), "let it end after it begins");
        }
        if layer.only.len() > WINDOWS_MAX {
            found.add(&path("only"), format!("a layer has at most {WINDOWS_MAX} windows"), "join those that touch");
        }
        let empty = |window: &Window| window.from == window.until && window.from != jiff::civil::Time::midnight();
        if layer.only.iter().any(empty) {
            let hint = "leave both out for the whole day";
            found.add(&path("only"), "a window begins and ends at the same time".into(), hint);
        }
    }

    fn check_person(&self, found: &mut Found, at: &[&str], person: &str) {
        if !self.people.contains_key(person) {
            let message = format!("there is nobody named {person:?} in `people`");
            found.add(at, message, "add the person, or correct the name");
        }
    }

    fn check_escalation(&self, found: &mut Found, name: &str, escalation: &Escalation, zones: &impl Zones) {
        if escalation.steps.is_empty() || escalation.steps.len() > 20 {
            let hint = "begin with `{ schedules: [primary] }`";
            found.add(&["escalations", name, "steps"], "an escalation has 1 to 20 steps".into(), hint);
        }
        if escalation.repeat > 100 {
            found.add(&["escalations", name, "repeat"], "it repeats at most 100 times".into(), "write `repeat: 2`");
        }
        for (index, quiet) in escalation.quiet.iter().enumerate() {
            let index = index.to_string();
            check_zone(found, &["escalations", name, "quiet", &index, "time_zone"], &quiet.time_zone, zones);
            if quiet.severities.is_empty() || quiet.hours.is_empty() || quiet.hours.len() > WINDOWS_MAX {
                let message = format!("quiet hours need `severities`, and 1 to {WINDOWS_MAX} `hours`");
                found.add(
                    &["escalations", name, "quiet", &index],
                    message,
                    "such as `{ from: \"22:00\", until: \"07:00\" }`",
                );
            }
        }
        for (index, step) in escalation.steps.iter().enumerate() {
            let index = index.to_string();
            let at = ["escalations", name, "steps", &index];
            if step.schedules.is_empty() && step.people.is_empty() {
                found.add(&at, "a step tells nobody".into(), "name `schedules` or `people`");
            }
            if step.wait.is_zero() {
                found.add(&[&at[..], &["wait"]].concat(), "a step waits for no time".into(), "leave it out for `5m`");
            }
            for person in &step.people {
                self.check_person(found, &[&at[..], &["people"]].concat(), person);
            }
            for name in step.schedules.iter().filter(|name| !self.schedules.iter().any(|s| s.name == **name)) {
                let message = format!("there is no schedule {name:?}");
                found.add(&[&at[..], &["schedules"]].concat(), message, "declare it, or correct the name");
            }
        }
    }
}

fn strs(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

fn check_zone(found: &mut Found, at: &[&str], name: &str, zones: &impl Zones) {
    if zones.zone(name).is_none() {
        let hint = "write it as IANA names it, such as `Europe/Berlin`";
        found.add(at, format!("there is no time zone {name:?}"), hint);
    }
}

/// Whether something ends before it begins; not known where the time zone is not.
fn is_backwards(from: When, until: When, zone: Option<&TimeZone>) -> bool {
    zone.is_some_and(|zone| from.instant(zone) >= until.instant(zone))
}
