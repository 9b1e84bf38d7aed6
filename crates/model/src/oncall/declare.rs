//! `oncall.yaml`: people, schedules, and escalation.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::wall::moment;
use crate::ids::InvalidName;
use crate::incident::Severity;
use crate::quantity::Period;

/// A person's short name, as schedules name them.
pub type PersonName = String;
/// A schedule's name.
pub type ScheduleName = String;

/// All of `oncall.yaml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rota {
    /// Version of this format; 1.
    pub version: u32,
    /// Everybody who can be on call.
    pub people: BTreeMap<PersonName, Person>,
    /// The schedules, such as `primary` and `secondary`.
    pub schedules: Vec<Schedule>,
    /// Whom a page reaches, and whom next; by the name that receivers of alerts use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub escalations: BTreeMap<String, Escalation>,
    /// Where people answer pages besides the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<Chat>,
}

/// Where people answer pages in a chat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// An app of Slack, whose buttons and command are sent to the server.
    pub slack: SlackApp,
}

/// An app of Slack.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackApp {
    /// The file with its signing secret, read for each request; a relative path is one from this file.
    pub signing_secret_file: String,
}

/// Somebody who can be on call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The name in full; the short one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The receiver of `alertmanager.yml` by which they are told of pages; needed by whoever a step tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receiver: Option<String>,
    /// The mail address, for calendars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Their member ID in Slack, such as `U012AB3CD`: whose buttons count as theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<String>,
    /// Where their nights and weekends are; the schedule's by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// Who is on call for one duty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name.
    pub name: ScheduleName,
    /// The time zone of everything in it that does not name its own, such as `Europe/Berlin`.
    pub time_zone: String,
    /// Whether hours in which nobody is on call are meant; by default they are an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub holes_allowed: bool,
    /// The rotations; a later one covers an earlier one.
    pub layers: Vec<Layer>,
    /// Days on which another layer applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<Holidays>,
    /// Two people who exchange their shifts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<Swap>,
    /// One person instead of whoever would be on call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// A rotation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Another time zone than the schedule's, to follow the sun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// When the first person begins, at a wall clock, such as `2026-01-05T09:00`. All hand-overs follow from it.
    pub from: DateTime,
    /// When the layer ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime>,
    /// How long one person's turn is, such as `1w`, `1d` or `12h`.
    pub every: Every,
    /// Who takes turns, in order.
    pub people: Vec<PersonName>,
    /// Only in these hours; always where none are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<Window>,
}

/// Days on which a layer covers all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holidays {
    /// The days, from midnight to midnight.
    pub dates: Vec<Date>,
    /// Who is on call then.
    pub layer: Layer,
}

/// A moment: on the schedule's wall clock, such as `2026-03-01T09:00`, or with an offset, such as `2026-03-01T09:00:00+01:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum When {
    /// On the wall clock.
    Wall(DateTime),
    /// By itself.
    Instant(Timestamp),
}

impl When {
    /// The moment itself, in the time zone whose wall clock is meant. A time that the clock skips is the moment at which it is
    /// set, one that it shows twice is the first of the two.
    pub fn instant(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::Wall(at) => moment(at, zone),
            Self::Instant(at) => at,
        }
    }
}

impl TryFrom<String> for When {
    type Error = jiff::Error;
    fn try_from(text: String) -> Result<Self, jiff::Error> {
        let instant = text.parse().map(Self::Instant);
        instant.or_else(|_| text.parse().map(Self::Wall))
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        match when {
            When::Wall(at) => at.to_string(),
            When::Instant(at) => at.to_string(),
        }
    }
}

/// Two people take each other's shifts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// The two.
    pub between: (PersonName, PersonName),
    /// From when.
    pub from: When,
    /// Until when.
    pub until: When,
}

/// One person is on call, whatever else is said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Who.
    pub person: PersonName,
    /// From when.
    pub from: When,
    /// Until when.
    pub until: When,
}

/// Hours of the day on days of the week. `until` at or before `from` is on the next day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The days on which it begins; all by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Weekday>,
    /// From when; midnight by default.
    #[serde(default)]
    #[schemars(with = "String")]
    pub from: Time,
    /// Until when; midnight at the end by default.
    #[serde(default)]
    #[schemars(with = "String")]
    pub until: Time,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Weekday {
    /// The day of the week of a date.
    pub fn of(date: Date) -> Self {
        match date.weekday() {
            jiff::civil::Weekday::Monday => Self::Mon,
            jiff::civil::Weekday::Tuesday => Self::Tue,
            jiff::civil::Weekday::Wednesday => Self::Wed,
            jiff::civil::Weekday::Thursday => Self::Thu,
            jiff::civil::Weekday::Friday => Self::Fri,
            jiff::civil::Weekday::Saturday => Self::Sat,
            jiff::civil::Weekday::Sunday => Self::Sun,
        }
    }
}

/// The length of a turn on the wall clock: whole hours, days or weeks, up to a year.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Every {
    /// In hours of a clock that is never set forward or back.
    hours: u32,
}

impl Every {
    /// The longest turn: 52 weeks.
    const HOURS_MAX: u32 = 52 * 7 * 24;

    /// How many hours the clock goes on.
    pub fn hours(self) -> u32 {
        self.hours
    }
}

impl FromStr for Every {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let wrong = || {
            InvalidName::new(
                "length of a turn",
                text,
                "whole hours, days or weeks such as `12h`, `1d` or `1w`, up to `52w`",
            )
        };
        let hours = [("h", 1), ("d", 24), ("w", 7 * 24)].into_iter().find_map(|(unit, hours)| {
            let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(hours)
        });
        let hours = hours.filter(|hours| (1..=Self::HOURS_MAX).contains(hours)).ok_or_else(wrong)?;
        Ok(Self { hours })
    }
}

impl TryFrom<String> for Every {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Every> for String {
    fn from(every: Every) -> String {
        every.to_string()
    }
}

impl fmt::Display for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hours {
            hours if hours.is_multiple_of(7 * 24) => write!(f, "{}w", hours / (7 * 24)),
            hours if hours.is_multiple_of(24) => write!(f, "{}d", hours / 24),
            hours => write!(f, "{hours}h"),
        }
    }
}

/// Whom a page reaches, and whom next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// How often all steps are gone through again when nobody acknowledges; default 2.
    #[serde(default = "default_repeat")]
    pub repeat: u32,
    /// When pages of some severities wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quiet: Vec<Quiet>,
    /// How bad the incident is that a page declares; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declares: Option<Severity>,
}

/// Hours in which pages of these severities wait for the end of the hours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// Such as `low`.
    pub severities: Vec<String>,
    /// Whose wall clock.
    pub time_zone: String,
    /// Which hours.
    pub hours: Vec<Window>,
}

fn default_repeat() -> u32 {
    2
}

/// One step: who is told, and how long they have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Whoever is on call by these schedules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<ScheduleName>,
    /// These people, always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub people: Vec<PersonName>,
    /// How long until the next step, unless somebody acknowledges; default `5m`.
    #[serde(default = "default_wait")]
    pub wait: Period,
}

fn default_wait() -> Period {
    Period::seconds(300)
}
