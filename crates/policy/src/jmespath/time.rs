//! Times as Go reads and writes them: RFC 3339 with its offset kept, and layouts made of the reference time.
//!
//! Source of the layouts: the documentation of Go's package `time`, "Constants" (`Mon Jan 2 15:04:05 MST 2006`).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

/// Nanoseconds from 1970 to the year 1.
const YEAR_ONE: i128 = -62_135_596_800 * 1_000_000_000;

/// A moment and the offset that it was written with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: Timestamp,
    pub(super) offset: Offset,
}

impl Moment {
    /// Reads RFC 3339.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::with_layout("2006-01-02T15:04:05Z07:00", text)
    }

    /// Writes RFC 3339 without fractions, as Go does.
    pub(super) fn format(self) -> String {
        let civil = self.offset.to_datetime(self.at);
        let seconds = self.offset.seconds();
        let zone = if seconds == 0 {
            "Z".to_owned()
        } else {
            let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
            format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
        };
        format!("{}{zone}", civil.strftime("%Y-%m-%dT%H:%M:%S"))
    }

    /// Reads a text by one of Go's layouts.
    pub(super) fn with_layout(layout: &str, text: &str) -> Result<Self, String> {
        read(layout, text).ok_or_else(|| format!("`{text}` is no time of the form `{layout}`"))
    }

    /// Nanoseconds from another moment to this one, capped as Go caps durations.
    pub(super) fn since(self, other: Self) -> i64 {
        let nanoseconds = self.at.as_nanosecond() - other.at.as_nanosecond();
        i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
    }

    /// So many nanoseconds later.
    pub(super) fn plus(self, nanoseconds: i64) -> Option<Self> {
        let at = Timestamp::from_nanosecond(self.at.as_nanosecond() + i128::from(nanoseconds)).ok()?;
        Some(Self { at, ..self })
    }

    /// Rounded down to a multiple of a duration since the year 1, as Go counts.
    pub(super) fn truncated(self, nanoseconds: i64) -> Option<Self> {
        if nanoseconds <= 0 {
            return Some(self);
        }
        let since = self.at.as_nanosecond() - YEAR_ONE;
        let at = self.at.as_nanosecond() - since.rem_euclid(i128::from(nanoseconds));
        Some(Self { at: Timestamp::from_nanosecond(at).ok()?, ..self })
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Layout elements, the longer ones first.
const ELEMENTS: [&str; 24] = [
    "January", "Monday", "Z07:00", "-07:00", "2006", "-0700", "Z0700", "Jan", "Mon", "MST", "-07", "002", "_2", "01",
    "02", "03", "04", "05", "06", "15", "PM", "pm", "1", "2",
];

#[derive(Default)]
struct Fields {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
    offset: i32,
}

fn read(layout: &str, text: &str) -> Option<Moment> {
    if layout.len() > 128 || text.len() > 128 {
        return None;
    }
    let (mut layout, mut text) = (layout, text);
    let mut fields = Fields::default();
    while !layout.is_empty() {
        if let Some(element) = ELEMENTS.into_iter().find(|element| layout.starts_with(element)) {
            layout = layout.get(element.len()..)?;
            text = fields.element(element, text)?;
        } else if (layout.starts_with(".0") || layout.starts_with(".9")) && text.starts_with('.') {
            let width = layout.get(1..)?.find(|c: char| c != '0' && c != '9').map_or(layout.len(), |end| end + 1);
            layout = layout.get(width..)?;
            text = fields.fraction(text)?;
        } else {
            let wanted = layout.chars().next()?;
            text = text.strip_prefix(wanted)?;
            layout = layout.get(wanted.len_utf8()..)?;
        }
    }
    text.is_empty().then(|| fields.moment()).flatten()
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i32, &str)> {
    let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(end)?;
    (end >= least).then(|| number.parse().ok()).flatten().map(|number| (number, rest))
}

fn named<'t>(names: &[&str], text: &'t str, short: bool) -> Option<(i8, &'t str)> {
    names.iter().zip(1_i8..).find_map(|(name, index)| {
        let name = if short { name.get(..3)? } else { name };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| text.get(name.len()..)).flatten().map(|rest| (index, rest))
    })
}

impl Fields {
    fn element<'t>(&mut self, element: &str, text: &'t str) -> Option<&'t str> {
        let two = |text: &'t str| digits(text, 2, 2);
        let small = |(number, rest): (i32, &'t str)| Some((i8::try_from(number).ok()?, rest));
        let rest;
        match element {
            "2006" => {
                let (year, left) = digits(text, 4, 4)?;
                (self.year, rest) = (i16::try_from(year).ok(), left);
            }
            "06" => {
                let (year, left) = two(text)?;
                (self.year, rest) = (i16::try_from(if year >= 69 { 1900 + year } else { 2000 + year }).ok(), left);
            }
            "January" | "Jan" => {
                let (month, left) = named(&MONTHS, text, element == "Jan")?;
                (self.month, rest) = (Some(month), left);
            }
            "Monday" | "Mon" => rest = named(&DAYS, text, element == "Mon")?.1,
            "01" | "1" => {
                let (month, left) = small(digits(text, element.len(), 2)?)?;
                (self.month, rest) = (Some(month), left);
            }
            "02" | "2" | "_2" => {
                let least = if element == "02" { 2 } else { 1 };
                let (day, left) = small(digits(text.trim_start_matches(' '), least, 2)?)?;
                (self.day, rest) = (Some(day), left);
            }
            "15" | "03" => (self.hour, rest) = small(two(text)?)?,
            "04" => (self.minute, rest) = small(two(text)?)?,
            "05" => {
                let (second, left) = small(two(text)?)?;
                self.second = second;
                // Go takes a fraction after seconds even where the layout has none.
                let fraction =
                    left.strip_prefix(['.', ',']).is_some_and(|tail| tail.starts_with(|c: char| c.is_ascii_digit()));
                rest = if fraction { self.fraction(left)? } else { left };
            }
            "PM" | "pm" => {
                self.afternoon = Some(text.get(..2)?.eq_ignore_ascii_case("pm"));
                rest = text.get(2..)?;
            }
            "MST" => rest = text.trim_start_matches(|c: char| c.is_ascii_uppercase()),
            "Z07:00" | "Z0700" | "-07:00" | "-0700" | "-07" => rest = self.zone(element, text)?,
            _ => return None,
        }
        Some(rest)
    }

    fn fraction<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let tail = text.get(1..)?;
        let end = tail.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = tail.split_at_checked(end)?;
        self.nanosecond = format!("{number:0<9}").get(..9)?.parse().ok()?;
        Some(rest)
    }

    fn zone<'t>(&mut self, element: &str, text: &'t str) -> Option<&'t str> {
        if element.starts_with('Z')
            && let Some(rest) = text.strip_prefix('Z')
        {
            return Some(rest);
        }
        let negative = match text.chars().next()? {
            '-' => true,
            '+' => false,
            _ => return None,
        };
        let (hours, mut rest) = digits(text.get(1..)?, 2, 2)?;
        let mut minutes = 0;
        if element != "-07" {
            rest = if element.contains(':') { rest.strip_prefix(':')? } else { rest };
            (minutes, rest) = digits(rest, 2, 2)?;
        }
        self.offset = (hours * 3600 + minutes * 60) * if negative { -1 } else { 1 };
        Some(rest)
    }

    fn moment(self) -> Option<Moment> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            Some(_) | None => self.hour,
        };
        let date = Date::new(self.year.unwrap_or(0), self.month.unwrap_or(1), self.day.unwrap_or(1)).ok()?;
        let time = Time::new(hour, self.minute, self.second, self.nanosecond).ok()?;
        let offset = Offset::from_seconds(self.offset).ok()?;
        let at = offset.to_timestamp(DateTime::from_parts(date, time)).ok()?;
        Some(Moment { at, offset })
    }
}
