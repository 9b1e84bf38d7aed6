//! The time over which an objective holds: the last so many days, or the month, quarter or year that goes on.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};

/// The time over which an objective holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Window {
    /// The last so many milliseconds.
    Rolling(i64),
    /// A period that begins at a time of the calendar, with all of its budget again.
    Calendar(Calendar),
}

/// Periods that follow each other in a calendar.
#[derive(Debug, Clone, PartialEq)]
pub struct Calendar {
    /// Of how many units.
    pub count: i64,
    /// Of which unit.
    pub unit: Unit,
    /// When one of them begins, on clocks in the zone.
    pub start: DateTime,
    /// Whose clocks.
    pub zone: TimeZone,
}

/// A unit of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// From midnight to midnight.
    Day,
    /// Seven days.
    Week,
    /// A month, however long.
    Month,
    /// Three months.
    Quarter,
    /// Twelve months.
    Year,
}

const DAY_MS: i64 = 24 * 3_600_000;

impl Unit {
    /// How long one is for lengths of alerts' windows, in milliseconds.
    fn nominal_ms(self) -> i64 {
        DAY_MS
            * match self {
                Self::Day => 1,
                Self::Week => 7,
                Self::Month => 30,
                Self::Quarter => 90,
                Self::Year => 365,
            }
    }

    /// The letter of `OpenSLO`'s durations.
    fn letter(self) -> char {
        match self {
            Self::Day => 'd',
            Self::Week => 'w',
            Self::Month => 'M',
            Self::Quarter => 'Q',
            Self::Year => 'Y',
        }
    }

    fn span(self, count: i64) -> Option<Span> {
        match self {
            Self::Day => Span::new().try_days(count),
            Self::Week => Span::new().try_weeks(count),
            Self::Month => Span::new().try_months(count),
            Self::Quarter => Span::new().try_months(count.checked_mul(3)?),
            Self::Year => Span::new().try_years(count),
        }
        .ok()
    }
}

impl Calendar {
    /// When the period of a number begins; the one of 0 begins at the start.
    fn begins(&self, number: i64) -> Option<Timestamp> {
        // From the start each time: the month after January 31 ends on the last of February, and the next one on March 31.
        let span = self.unit.span(number.checked_mul(self.count)?)?;
        let civil = self.start.checked_add(span).ok()?;
        Some(self.zone.to_ambiguous_zoned(civil).compatible().ok()?.timestamp())
    }

    /// The period that a time is in.
    fn around(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let first = self.begins(0)?;
        let length_ms = self.unit.nominal_ms().checked_mul(self.count)?;
        let mut number = now.as_millisecond().checked_sub(first.as_millisecond())?.div_euclid(length_ms);
        // The nominal length is off by a hundredth at the most.
        for _ in 0..1_000 {
            let (from, until) = (self.begins(number)?, self.begins(number.checked_add(1)?)?);
            if now < from {
                number -= 1;
            } else if now >= until {
                number += 1;
            } else {
                return Some((from, until));
            }
        }
        None
    }
}

impl Window {
    /// How long it is, in milliseconds; months count 30 days, so that alerts' windows stay the same.
    pub fn nominal_ms(&self) -> i64 {
        match self {
            Self::Rolling(ms) => *ms,
            Self::Calendar(calendar) => calendar.unit.nominal_ms().saturating_mul(calendar.count),
        }
    }

    /// The longest that it is looked back over, in milliseconds.
    pub fn longest_ms(&self) -> i64 {
        match self {
            Self::Rolling(ms) => *ms,
            // The longest month, quarter and year are 1/30 longer at the most.
            Self::Calendar(_) => self.nominal_ms().saturating_add(self.nominal_ms() / 30),
        }
    }

    /// From when to when it goes at a time; none where the calendar ends.
    pub fn at(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::Rolling(ms) => Some((now.checked_sub(SignedDuration::from_millis(*ms)).ok()?, now)),
            Self::Calendar(calendar) => calendar.around(now),
        }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rolling(ms) => f.write_str(&days(*ms)),
            Self::Calendar(calendar) => {
                let zone = calendar.zone.iana_name().unwrap_or("UTC");
                write!(f, "{}{} of the calendar, {zone}", calendar.count, calendar.unit.letter())
            }
        }
    }
}

/// As Prometheus writes it, but whole days in days.
pub(super) fn days(ms: i64) -> String {
    if ms >= DAY_MS && ms % DAY_MS == 0 { format!("{}d", ms / DAY_MS) } else { crate::duration::format(ms) }
}
