//! `time_intervals`, and `mute_time_intervals` as they were called before.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use prograde_model::alert::{DayOfMonth, Span, TimeInterval};
use prograde_yaml::Node;

use super::reader::Reader;

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const FIELDS: [&str; 6] = ["times", "weekdays", "days_of_month", "months", "years", "location"];

/// Reads the named intervals under a top-level field into those read before.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, field: &str, into: &mut BTreeMap<String, Vec<TimeInterval>>) {
    for item in reader.items(node, field) {
        if !reader.mapping(item, "a time interval", &["name", "time_intervals"]) {
            continue;
        }
        let name = reader.text(item, "name").unwrap_or_default();
        if name.is_empty() {
            reader.report(item, "a time interval must have a name", "add `name`");
        }
        let parts = reader.items(item, "time_intervals").iter().map(|part| interval(reader, part)).collect();
        if into.insert(name.clone(), parts).is_some() {
            let message = format!("there are two time intervals called `{name}`");
            reader.report(item.get("name").unwrap_or(item), message, "give one another name");
        }
    }
}

fn interval(reader: &mut Reader<'_>, node: &Node) -> TimeInterval {
    reader.mapping(node, "a part of a time interval", &FIELDS);
    let days = ranges(reader, node, "days_of_month", "a day from 1 to 31, or from -31 to -1", |text| {
        text.parse().ok().filter(|day: &i16| (1..=31).contains(&day.abs()))
    });
    TimeInterval {
        times: times(reader, node),
        weekdays: ranges(reader, node, "weekdays", "a day of the week such as monday", |text| named(&WEEKDAYS, text)),
        days_of_month: days.into_iter().map(DayOfMonth).collect(),
        months: ranges(reader, node, "months", "a month such as may or 5", |text| {
            let number = || text.parse().ok().filter(|month| (1..=12).contains(month));
            named(&MONTHS, text).map(|index| index + 1).or_else(number)
        }),
        years: ranges(reader, node, "years", "a year such as 2023", |text| text.parse().ok().filter(|year| *year >= 0)),
        zone: zone(reader, node),
    }
}

fn named(names: &[&str], text: &str) -> Option<i16> {
    let index = names.iter().position(|name| *name == text.to_lowercase())?;
    i16::try_from(index).ok()
}

/// The hours of a day: each has a beginning and an end, up to and without which it goes.
fn times(reader: &mut Reader<'_>, node: &Node) -> Vec<(u16, u16)> {
    let mut times = Vec::new();
    for item in reader.items(node, "times") {
        reader.mapping(item, "a time of day", &["start_time", "end_time"]);
        let mut minute = |name| {
            let text = reader.text(item, name);
            let minute = text.as_deref().and_then(minute_of_day);
            if minute.is_none() {
                let message = format!("`{}` in `{name}` is not a time of day", text.unwrap_or_default());
                reader.report(
                    item.get(name).unwrap_or(item),
                    message,
                    "write a time such as 09:00, from 00:00 to 24:00",
                );
            }
            minute
        };
        let (Some(begin), Some(end)) = (minute("start_time"), minute("end_time")) else { continue };
        if begin >= end {
            reader.report(item, "`start_time` must be before `end_time`", "split what goes past midnight into two");
        }
        times.push((begin, end));
    }
    times
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2)?;
    let digits =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= 24 * 60).then_some(minutes)
}

/// A list of values and of ranges of them such as `1:5`.
fn ranges(
    reader: &mut Reader<'_>,
    node: &Node,
    field: &str,
    expected: &str,
    value: impl Fn(&str) -> Option<i16>,
) -> Vec<Span> {
    let mut spans = Vec::new();
    for item in reader.items(node, field) {
        let Some(text) = reader.scalar(item, field) else { continue };
        let (first, last) = text.split_once(':').unwrap_or((&text, &text));
        let (Some(begin), Some(end)) = (value(first), value(last)) else {
            reader.report(
                item,
                format!("`{text}` in `{field}` is not understood"),
                &format!("write {expected}, or two of them with a colon"),
            );
            continue;
        };
        // From the fifth to the last but one is a range; so is none that goes from the end to the beginning.
        let is_backwards = if begin < 0 && end > 0 { true } else { (begin < 0) == (end < 0) && begin > end };
        if is_backwards {
            reader.report(
                item,
                format!("`{text}` in `{field}` ends before it begins"),
                "swap the two, or write two ranges",
            );
        }
        spans.push(Span { begin, end });
    }
    spans
}

fn zone(reader: &mut Reader<'_>, node: &Node) -> TimeZone {
    let Some(name) = reader.text(node, "location").filter(|name| !name.is_empty()) else { return TimeZone::UTC };
    let found = match name.as_str() {
        "Local" => Ok(TimeZone::system()),
        name => TimeZone::get(name),
    };
    found.unwrap_or_else(|_| {
        let message = format!("this system knows no time zone `{name}`");
        let hint = "write a name such as Europe/Berlin; the package tzdata has them all";
        reader.report(node.get("location").unwrap_or(node), message, hint);
        TimeZone::UTC
    })
}
