//! Shifts as a calendar (RFC 5545), which phones subscribe to.
//!
//! Times are in UTC, so that no time zone has to be described; every calendar shows them where its owner is.

use jiff::Timestamp;

use super::declare::{Rota, Schedule};
use super::schedule::Shift;

/// The longest line, in octets (RFC 5545, section 3.1).
const LINE_BYTES_MAX: usize = 75;

/// The shifts of one schedule as a calendar. `made_at` is when it was made.
pub fn calendar(rota: &Rota, schedule: &Schedule, shifts: &[Shift], made_at: Timestamp) -> String {
    let mut text = String::new();
    let mut line = |content: String| fold(&mut text, &content);
    line("BEGIN:VCALENDAR".into());
    line("VERSION:2.0".into());
    line(format!("PRODID:-//Prograde//{}//EN", env!("CARGO_PKG_VERSION")));
    line(format!("X-WR-CALNAME:{}", escaped(&format!("On call: {}", schedule.name))));
    for shift in shifts {
        let person = rota.people.get(&shift.person);
        let name = person.and_then(|person| person.name.as_deref()).unwrap_or(&shift.person);
        line("BEGIN:VEVENT".into());
        // The same shift has the same id each time it is exported, so calendars update it.
        line(format!(
            "UID:{}",
            escaped(&format!("{}-{}-{}@prograde", schedule.name, time(shift.span.from), shift.person))
        ));
        line(format!("DTSTAMP:{}", time(made_at)));
        line(format!("DTSTART:{}", time(shift.span.from)));
        line(format!("DTEND:{}", time(shift.span.until)));
        line(format!("SUMMARY:{}", escaped(&format!("{name} is on call ({})", schedule.name))));
        line(format!("DESCRIPTION:{}", escaped(&format!("by {}", shift.by))));
        if let Some(email) = person.and_then(|person| person.email.as_deref()) {
            line(format!("ATTENDEE:mailto:{}", email.replace(char::is_control, "")));
        }
        line("TRANSP:TRANSPARENT".into());
        line("END:VEVENT".into());
    }
    line("END:VCALENDAR".into());
    text
}

/// A moment in UTC (section 3.3.5, form 2). Parts of seconds can't be said.
fn time(at: Timestamp) -> String {
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// A text (section 3.3.11), without control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// Adds a line, broken where it is too long, never within a character (section 3.1).
fn fold(text: &mut String, content: &str) {
    let mut length = 0;
    for c in content.chars() {
        if length + c.len_utf8() > LINE_BYTES_MAX {
            text.push_str("\r\n ");
            length = 1;
        }
        text.push(c);
        length += c.len_utf8();
    }
    text.push_str("\r\n");
}
