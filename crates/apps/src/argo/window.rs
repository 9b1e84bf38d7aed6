//! Sync windows: times in which applications may or may not be synced.
//!
//! Source: Argo CD 3.4, documentation, "Sync Windows"; robfig/cron 3, documentation, for schedules.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use prograde_kustomize::Place;
use prograde_model::Diagnostic;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::argo::application::Application;
use crate::argo::project::matches;
use crate::codes;

/// How far ahead a schedule is looked at, in days: the 29th of February comes every eight years at the latest.
const DAYS_MAX: u32 = 8 * 366;

/// A time in which applications may, or may not, be synced.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SyncWindow {
    written: Written,
    schedule: Schedule,
    duration: Duration,
    zone: TimeZone,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    kind: String,
    schedule: String,
    duration: String,
    applications: Vec<String>,
    namespaces: Vec<String>,
    clusters: Vec<String>,
    manual_sync: bool,
    time_zone: String,
    and_operator: bool,
}

impl SyncWindow {
    pub(crate) fn read(place: &Place, window: &Json) -> Result<Self, Diagnostic> {
        let wrong = |message: String, hint: &str| place.diagnostic(codes::WINDOW, message, hint);
        let written: Written = serde_json::from_value(window.clone())
            .map_err(|problem| wrong(format!("a sync window can't be read: {problem}"), ""))?;
        if !["allow", "deny"].contains(&written.kind.as_str()) {
            let message = format!("a sync window is of the kind `{}`", crate::schema::shortened(&written.kind));
            return Err(wrong(message, "write `allow` or `deny`"));
        }
        let schedule = Schedule::read(&written.schedule).ok_or_else(|| {
            let message = format!("`{}` is no schedule", crate::schema::shortened(&written.schedule));
            wrong(message, "write five fields: minute, hour, day, month, day of the week")
        })?;
        let duration = crate::time::go_duration(&written.duration).ok_or_else(|| {
            let message = format!("`{}` is no duration", crate::schema::shortened(&written.duration));
            wrong(message, "write it like `30m` or `8h`")
        })?;
        let zone = if written.time_zone.is_empty() { "UTC" } else { &written.time_zone };
        let zone = TimeZone::get(zone).map_err(|_| {
            let message = format!("`{}` is no time zone", crate::schema::shortened(zone));
            wrong(message, "write it like `Europe/Amsterdam`")
        })?;
        Ok(Self { written, schedule, duration, zone })
    }

    fn is_active(&self, now: Timestamp) -> bool {
        let now = now.to_zoned(self.zone.clone()).datetime();
        let Ok(duration) = SignedDuration::try_from(self.duration) else { return true };
        let Ok(from) = now.checked_sub(duration) else { return true };
        self.schedule.next(from).is_some_and(|next| next < now)
    }

    fn is_for(&self, application: &Application) -> bool {
        let destination = &application.spec.destination;
        let any = |patterns: &[String], values: &[&str]| {
            patterns.iter().any(|pattern| values.iter().any(|value| !value.is_empty() && matches(pattern, value, None)))
        };
        let parts = [
            (&self.written.applications, vec![application.name()]),
            (&self.written.clusters, vec![destination.name.as_str(), destination.server.as_str()]),
            (&self.written.namespaces, vec![destination.namespace.as_str()]),
        ];
        let mut set = parts.iter().filter(|(patterns, _)| !patterns.is_empty()).peekable();
        if self.written.and_operator {
            set.peek().is_some() && set.all(|(patterns, values)| any(patterns, values))
        } else {
            set.any(|(patterns, values)| any(patterns, values))
        }
    }
}

/// Why an application may not be synced by itself now; nothing if it may.
pub(crate) fn decide(windows: &[SyncWindow], application: &Application, now: Timestamp) -> Option<String> {
    let windows: Vec<&SyncWindow> = windows.iter().filter(|window| window.is_for(application)).collect();
    let manual = |windows: &[&SyncWindow]| {
        if windows.iter().all(|window| window.written.manual_sync) { "; people may sync it" } else { "" }
    };
    let shown = |window: &SyncWindow| format!("`{}` for {}", window.written.schedule, window.written.duration);
    let of = |kind: &str, active: bool| -> Vec<&SyncWindow> {
        windows
            .iter()
            .copied()
            .filter(|window| window.written.kind == kind && window.is_active(now) == active)
            .collect()
    };
    let denied = of("deny", true);
    if let Some(first) = denied.first() {
        return Some(format!("the window {} denies it{}", shown(first), manual(&denied)));
    }
    if !of("allow", true).is_empty() {
        return None;
    }
    let closed = of("allow", false);
    closed.first().map(|first| format!("it is outside of the window {}{}", shown(first), manual(&closed)))
}

/// A schedule in cron's five fields, each a set of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether days of the month and of the week are both said: then either counts.
    either: bool,
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    fn read(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else { return None };
        let star = |field: &str| field.split(',').any(|part| part.starts_with(['*', '?']));
        Some(Self {
            minutes: set(minutes, 0, 59, &[])?,
            hours: set(hours, 0, 23, &[])?,
            days: set(days, 1, 31, &[])?,
            months: set(months, 1, 12, &MONTHS)?,
            weekdays: set(weekdays, 0, 6, &WEEKDAYS)?,
            either: !star(days) && !star(weekdays),
        })
    }

    fn is_on(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| set >> number & 1 == 1;
        let (day, weekday) = (has(self.days, date.day()), has(self.weekdays, date.weekday().to_sunday_zero_offset()));
        has(self.months, date.month()) && if self.either { day || weekday } else { day && weekday }
    }

    /// The first time after another one.
    fn next(&self, after: DateTime) -> Option<DateTime> {
        let mut date = after.date();
        for _ in 0..DAYS_MAX {
            if self.is_on(date) {
                let times = (0_i8..24).filter(|hour| self.hours >> hour & 1 == 1).flat_map(|hour| {
                    (0_i8..60).filter(|minute| self.minutes >> minute & 1 == 1).map(move |minute| (hour, minute))
                });
                let found = times.map(|(hour, minute)| date.at(hour, minute, 0, 0)).find(|time| *time > after);
                if found.is_some() {
                    return found;
                }
            }
            date = date.checked_add(1.day()).ok()?;
        }
        None
    }
}

/// `*`, numbers, names, ranges and steps, with commas between them.
fn set(field: &str, least: u32, most: u32, names: &[&str]) -> Option<u64> {
    let number = |text: &str| -> Option<u32> {
        let lower = text.to_lowercase();
        match names.iter().position(|name| **name == *lower) {
            Some(place) => u32::try_from(place).ok().map(|place| place + least),
            None => text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit())),
        }
    };
    let mut found = 0_u64;
    for part in field.split(',') {
        let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
        let step = step.map_or(Some(1), |step| step.parse().ok().filter(|step: &u32| *step > 0))?;
        let (from, to) = match (range, range.split_once('-')) {
            ("*" | "?", _) => (least, most),
            (_, Some((from, to))) => (number(from)?, number(to)?),
            (_, None) => {
                let from = number(range)?;
                (from, if part.contains('/') { most } else { from })
            }
        };
        if from < least || to > most || from > to {
            return None;
        }
        let mut at = from;
        while at <= to {
            found |= 1 << at;
            at = at.checked_add(step)?;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(schedule: &str, duration: &str, zone: &str, now: &str) -> bool {
        let window = serde_json::json!({"kind": "allow", "schedule": schedule, "duration": duration, "timeZone": zone});
        SyncWindow::read(&Place::file("p.yaml"), &window).unwrap().is_active(now.parse().unwrap())
    }

    #[test]
    fn windows_are_open_for_their_duration() {
        for (schedule, duration, zone, now, expected) in [
            ("0 22 * * *", "1h", "", "2026-11-28T22:30:00Z", true),
            ("0 22 * * *", "1h", "", "2026-11-28T23:30:00Z", false),
            ("0 22 * * *", "8h", "", "2026-11-29T05:00:00Z", true),
            ("0 22 * * *", "1h", "Europe/Amsterdam", "2026-11-28T21:30:00Z", true),
            ("0 9 * * MON-FRI", "8h", "", "2026-11-27T10:00:00Z", true),
            ("0 9 * * MON-FRI", "8h", "", "2026-11-28T10:00:00Z", false),
            ("*/15 * 1,15 * *", "5m", "", "2026-11-15T00:16:00Z", true),
            ("0 0 1 * sun", "1h", "", "2026-11-29T00:30:00Z", true),
            ("0 0 31 2 *", "1h", "", "2026-11-29T00:30:00Z", false),
        ] {
            assert_eq!(active(schedule, duration, zone, now), expected, "{schedule} {duration} {zone} {now}");
        }
    }

    #[test]
    fn what_is_no_window_is_told() {
        for (field, value) in [
            ("schedule", "* * * *"),
            ("schedule", "60 * * * *"),
            ("schedule", "@daily"),
            ("schedule", "5-1 * * * *"),
            ("schedule", "*/0 * * * *"),
            ("duration", "1d"),
            ("timeZone", "Mars/Base"),
            ("kind", "maybe"),
        ] {
            let mut window = serde_json::json!({"kind": "deny", "schedule": "* * * * *", "duration": "1h"});
            window[field] = value.into();
            assert!(SyncWindow::read(&Place::file("p.yaml"), &window).is_err(), "{field}: {value}");
        }
    }
}
