//! Moments as templates see them: Go's `time.Time`, in UTC.
//!
//! Source: Go 1.26, documentation of `time`, "Constants" (layouts) and `Time`.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::CallError;
use crate::value::{Object, Value};

/// How a moment is printed: `2006-01-02 15:04:05.999999999 -0700 MST` in Go's notation.
const PLAIN: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

/// A moment, in milliseconds since 1970; `None` where it is before the year -9999 or after 9999.
pub fn time(ms: i64) -> Option<Value> {
    let moment = Timestamp::from_millisecond(ms).ok()?;
    Some(Value::Object(Arc::new(Time(moment))))
}

#[derive(Debug)]
struct Time(Timestamp);

impl Time {
    fn civil(&self) -> DateTime {
        self.0.to_zoned(TimeZone::UTC).datetime()
    }
}

impl Object for Time {
    fn name(&self) -> &'static str {
        "time.Time"
    }

    fn member(&self, name: &str, arguments: &[Value]) -> Option<Result<Value, CallError>> {
        let civil = self.civil();
        let number = |number: i64| Value::Int(number);
        let value = match name {
            "Format" => return Some(self.formatted(arguments)),
            "String" => self.plain(),
            "UTC" => Value::Object(Arc::new(Self(self.0))),
            "Unix" => number(self.0.as_millisecond().div_euclid(1000)),
            "UnixMilli" => number(self.0.as_millisecond()),
            "Year" => number(civil.year().into()),
            "Month" => Value::from(month(civil)),
            "Day" => number(civil.day().into()),
            "Hour" => number(civil.hour().into()),
            "Minute" => number(civil.minute().into()),
            "Second" => number(civil.second().into()),
            "Weekday" => Value::from(weekday(civil)),
            "YearDay" => number(civil.day_of_year().into()),
            "IsZero" => Value::Bool(civil == jiff::civil::date(1, 1, 1).at(0, 0, 0, 0)),
            _ => return None,
        };
        let is_alone = arguments.is_empty();
        Some(if is_alone { Ok(value) } else { Err(CallError::new("it takes no arguments")) })
    }

    fn plain(&self) -> Value {
        Value::from(format(self.civil(), PLAIN))
    }
}

impl Time {
    fn formatted(&self, arguments: &[Value]) -> Result<Value, CallError> {
        let layout = if let [layout] = arguments { layout.as_text() } else { None };
        let layout = layout.ok_or_else(|| CallError::new("expected a layout, such as \"15:04:05\""))?;
        Ok(Value::from(format(self.civil(), &layout)))
    }
}

/// The parts of a layout, a longer one before one that it begins with.
const PARTS: [&str; 33] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "-07:00:00",
    "-07:00",
    "-070000",
    "-0700",
    "-07",
    "Z07:00:00",
    "Z07:00",
    "Z070000",
    "Z0700",
    "Z07",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "__2",
    "_2",
    "PM",
    "pm",
    "1",
    "2",
    "3",
    "4",
    "5",
];

fn format(civil: DateTime, layout: &str) -> String {
    let mut text = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        if let Some((fraction, after)) = fraction(civil, rest) {
            text.push_str(&fraction);
            rest = after;
        } else if let Some(part) = PARTS.into_iter().find(|part| begins(rest, part)) {
            text.push_str(&shown(civil, part));
            rest = rest.strip_prefix(part).unwrap_or_default();
        } else {
            text.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    text
}

/// Whether a part is here. `Jan` in `Janet` is a name of its own, and so is `_2` in `_2006`.
fn begins(rest: &str, part: &str) -> bool {
    let Some(after) = rest.strip_prefix(part) else { return false };
    match part {
        "Jan" | "Mon" => !after.starts_with(|letter: char| letter.is_ascii_lowercase()),
        "_2" => !after.starts_with("006"),
        _ => true,
    }
}

/// `.000` or `,999`: a fraction of a second, in so many digits, or without the zeros at its end.
fn fraction(civil: DateTime, rest: &str) -> Option<(String, &str)> {
    let after_point = rest.strip_prefix(['.', ','])?;
    let digit = after_point.chars().next().filter(|digit| matches!(digit, '0' | '9'))?;
    let after = after_point.trim_start_matches(digit);
    let count = after_point.len() - after.len();
    if after.starts_with(|letter: char| letter.is_ascii_digit()) {
        return None;
    }
    let digits = format!("{:09}", civil.subsec_nanosecond());
    let digits = digits.get(..count.min(9))?;
    let digits = if digit == '9' { digits.trim_end_matches('0') } else { digits };
    let point = if digits.is_empty() { "" } else { rest.get(..1)? };
    Some((format!("{point}{digits}"), after))
}

fn shown(civil: DateTime, part: &str) -> String {
    let hour = if civil.hour() % 12 == 0 { 12 } else { civil.hour() % 12 };
    match part {
        "January" => month(civil).to_owned(),
        "Jan" => month(civil).chars().take(3).collect(),
        "Monday" => weekday(civil).to_owned(),
        "Mon" => weekday(civil).chars().take(3).collect(),
        "MST" => "UTC".to_owned(),
        "2006" => format!("{:04}", civil.year()),
        "06" => format!("{:02}", civil.year().rem_euclid(100)),
        "01" => format!("{:02}", civil.month()),
        "1" => civil.month().to_string(),
        "002" => format!("{:03}", civil.day_of_year()),
        "__2" => format!("{:>3}", civil.day_of_year()),
        "02" => format!("{:02}", civil.day()),
        "_2" => format!("{:>2}", civil.day()),
        "2" => civil.day().to_string(),
        "15" => format!("{:02}", civil.hour()),
        "03" => format!("{hour:02}"),
        "3" => hour.to_string(),
        "04" => format!("{:02}", civil.minute()),
        "4" => civil.minute().to_string(),
        "05" => format!("{:02}", civil.second()),
        "5" => civil.second().to_string(),
        "PM" => if civil.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        "pm" => if civil.hour() < 12 { "am" } else { "pm" }.to_owned(),
        // What is left are offsets, and there is none in UTC.
        zone if zone.starts_with('Z') => "Z".to_owned(),
        offset => offset.replace('-', "+").replace('7', "0"),
    }
}

fn month(civil: DateTime) -> &'static str {
    match civil.month() {
        1 => "January",
        2 => "February",
        3 => "March",
        4 => "April",
        5 => "May",
        6 => "June",
        7 => "July",
        8 => "August",
        9 => "September",
        10 => "October",
        11 => "November",
        _ => "December",
    }
}

fn weekday(civil: DateTime) -> &'static str {
    match civil.weekday() {
        jiff::civil::Weekday::Monday => "Monday",
        jiff::civil::Weekday::Tuesday => "Tuesday",
        jiff::civil::Weekday::Wednesday => "Wednesday",
        jiff::civil::Weekday::Thursday => "Thursday",
        jiff::civil::Weekday::Friday => "Friday",
        jiff::civil::Weekday::Saturday => "Saturday",
        jiff::civil::Weekday::Sunday => "Sunday",
    }
}
