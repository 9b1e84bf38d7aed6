//! Days, weeks, months and quarters, as a wall clock somewhere has them.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// The unit of periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Every {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday (ISO 8601).
    Week,
    /// A calendar month.
    Month,
    /// Three calendar months, from January, April, July and October.
    Quarter,
}

/// Why a text names no unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `day`, `week`, `month` or `quarter`")]
pub struct NoSuchUnit;

impl FromStr for Every {
    type Err = NoSuchUnit;
    fn from_str(text: &str) -> Result<Self, NoSuchUnit> {
        match text {
            "day" => Ok(Self::Day),
            "week" => Ok(Self::Week),
            "month" => Ok(Self::Month),
            "quarter" => Ok(Self::Quarter),
            _ => Err(NoSuchUnit),
        }
    }
}

/// A stretch of time, with its beginning and without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The beginning.
    pub from: Timestamp,
    /// The end.
    pub until: Timestamp,
}

impl Span {
    /// Whether a moment lies within.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }

    /// How many days of 24 hours it has.
    pub fn days(&self) -> f64 {
        self.until.duration_since(self.from).as_secs_f64().max(0.0) / 86_400.0
    }
}

impl Every {
    /// The first day of the period that a day is in.
    fn first(self, day: Date) -> Option<Date> {
        match self {
            Self::Day => Some(day),
            Self::Week => day.checked_sub(i64::from(day.weekday().to_monday_zero_offset()).days()).ok(),
            Self::Month => Some(day.first_of_month()),
            Self::Quarter => Date::new(day.year(), (day.month() - 1) / 3 * 3 + 1, 1).ok(),
        }
    }

    fn next(self, first: Date) -> Option<Date> {
        let span = match self {
            Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
            Self::Quarter => 3.months(),
        };
        first.checked_add(span).ok()
    }

    /// The periods that a span is cut into at their borders in a time zone, in order: its first and last may be cut short, and
    /// all of them together are the span. None where there are more than `max`.
    pub fn cut(self, span: Span, zone: &TimeZone, max: usize) -> Option<Vec<Span>> {
        let mut periods = Vec::new();
        let mut first = self.first(span.from.to_zoned(zone.clone()).date())?;
        let mut from = span.from;
        while from < span.until {
            if periods.len() >= max {
                return None;
            }
            // Where a zone has no midnight that day, its first moment is the border.
            let next = self.next(first)?;
            let border = next.to_zoned(zone.clone()).ok()?.timestamp().min(span.until);
            // A zone that skips a whole day, as Apia did in 2011, has no moment of it.
            if border > from {
                periods.push(Span { from, until: border });
                from = border;
            }
            first = next;
        }
        Some(periods)
    }
}
