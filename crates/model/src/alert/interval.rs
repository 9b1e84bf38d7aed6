//! Times at which a route is muted or active: days, hours and months of a calendar, in a time zone.
//!
//! The zone is part of the interval: whoever reads a configuration looks its rules up, so that nothing here does.
//!
//! Source: Alertmanager documentation, "Configuration", `time_interval`.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::TimeZone;

/// From one value to another, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub begin: i16,
    /// The last.
    pub end: i16,
}

impl Span {
    fn holds(self, value: i16) -> bool {
        (self.begin..=self.end).contains(&value)
    }
}

/// Days of a month; a negative day counts from the month's end, which is -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayOfMonth(pub Span);

impl DayOfMonth {
    /// Whether it holds a day in a month of so many days.
    fn holds(self, day: i16, days: i16) -> bool {
        let from_start = |day: i16| if day < 0 { days + 1 + day } else { day };
        let (begin, end) = (from_start(self.0.begin), from_start(self.0.end));
        // A month may be too short to have any of these days; what is left of a range that it cuts holds.
        if begin > days || end < 1 {
            return false;
        }
        Span { begin: begin.clamp(1, days), end: end.clamp(1, days) }.holds(day)
    }
}

/// An interval: a time is in it that all of its lists hold; an empty list holds every time.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeInterval {
    /// Minutes of a day; the last is not included.
    pub times: Vec<(u16, u16)>,
    /// Days of a week, Sunday being 0.
    pub weekdays: Vec<Span>,
    /// Days of a month.
    pub days_of_month: Vec<DayOfMonth>,
    /// Months, January being 1.
    pub months: Vec<Span>,
    /// Years.
    pub years: Vec<Span>,
    /// Where the clock hangs.
    pub zone: TimeZone,
}

impl TimeInterval {
    /// Whether a time is in it.
    pub fn holds(&self, at: Timestamp) -> bool {
        let local = at.to_zoned(self.zone.clone());
        let minute = u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs());
        let weekday = i16::from(local.weekday().since(Weekday::Sunday));
        let (day, days) = (i16::from(local.day()), i16::from(local.days_in_month()));
        let any_of = |spans: &[Span], value: i16| spans.is_empty() || spans.iter().any(|span| span.holds(value));
        let in_times = self.times.is_empty() || self.times.iter().any(|(begin, end)| (*begin..*end).contains(&minute));
        let in_days = self.days_of_month.is_empty() || self.days_of_month.iter().any(|range| range.holds(day, days));
        in_times
            && in_days
            && any_of(&self.weekdays, weekday)
            && any_of(&self.months, i16::from(local.month()))
            && any_of(&self.years, local.year())
    }
}
