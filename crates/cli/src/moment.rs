//! Moments as people write them: how long ago, a day, or a time.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prograde_model::quantity::Period;

/// A moment as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// So long before now.
    Ago(SignedDuration),
    /// Its midnight.
    Day(Date),
    /// It.
    At(Timestamp),
}

impl FromStr for Moment {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected how long ago, such as `90d`, `12w` or `1y`, or a day or time such as `2026-01-31`";
        let units = [("d", 24), ("w", 7 * 24), ("y", 365 * 24)];
        if let Some((number, hours)) = units.iter().find_map(|(unit, hours)| Some((text.strip_suffix(unit)?, *hours))) {
            let number: u16 = number.parse().map_err(|_| wrong)?;
            return Ok(Self::Ago(SignedDuration::from_hours(i64::from(number) * hours)));
        }
        let ago = || text.parse::<Period>().ok().map(|period| Self::Ago(period.duration()));
        let at = || text.parse::<Timestamp>().ok().map(Self::At);
        let day = || text.parse::<Date>().ok().filter(|_| text.len() == 10).map(Self::Day);
        ago().or_else(at).or_else(day).ok_or(wrong)
    }
}

impl Moment {
    /// The moment itself; none before all time.
    pub(crate) fn at(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Ago(ago) => now.checked_sub(ago).ok(),
            Self::Day(day) => day.to_zoned(zone.clone()).ok().map(|midnight| midnight.timestamp()),
            Self::At(at) => Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_people_write_them() {
        let now: Timestamp = "2026-03-30T12:00:00Z".parse().unwrap();
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, at) in [
            ("1d", "2026-03-29T12:00:00Z"),
            ("2w", "2026-03-16T12:00:00Z"),
            ("1y", "2025-03-30T12:00:00Z"),
            ("90m", "2026-03-30T10:30:00Z"),
            ("2026-03-30", "2026-03-29T22:00:00Z"),
            ("2026-03-30T01:00:00+01:00", "2026-03-30T00:00:00Z"),
        ] {
            assert_eq!(text.parse::<Moment>().unwrap().at(now, &berlin), Some(at.parse().unwrap()), "{text}");
        }
        for bad in ["", "d", "-1d", "1.5d", "99999d", "yesterday", "2026-02-30", "2026-1-1", "90"] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
        assert_eq!("65535y".parse::<Moment>().unwrap().at(now, &berlin), None, "before all time");
    }
}
