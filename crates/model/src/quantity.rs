//! Durations and shares as people write them: `5m`, `1h 30m`, `1%`, `0.5%`.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::InvalidName;

/// A length of time from zero to 366 days, written like `90s`, `5m`, `1h 30m`, `90d` or `2w`; a day has 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Period(SignedDuration);

impl Period {
    const MAX: SignedDuration = SignedDuration::from_hours(366 * 24);

    /// So many seconds, at most 366 days.
    pub fn seconds(seconds: u32) -> Self {
        Self(SignedDuration::from_secs(i64::from(seconds)).min(Self::MAX))
    }

    /// So many milliseconds.
    pub fn milliseconds(milliseconds: u32) -> Self {
        Self(SignedDuration::from_millis(i64::from(milliseconds)).min(Self::MAX))
    }

    /// As a duration to add to a time.
    pub fn duration(self) -> SignedDuration {
        self.0
    }

    /// So many times as long, at most 366 days.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        let factor = i32::try_from(factor).unwrap_or(i32::MAX);
        Self(self.0.checked_mul(factor).map_or(Self::MAX, |long| long.min(Self::MAX)))
    }

    /// Whether it is no time at all.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl FromStr for Period {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let wrong = || {
            InvalidName::new(
                "duration",
                text,
                "a number and a unit such as `90s`, `5m`, `1h 30m` or `90d`, up to 366 days",
            )
        };
        let units = [("d", 24), ("w", 7 * 24)];
        let days = units.iter().find_map(|(unit, hours)| {
            let number: i64 = text.strip_suffix(unit)?.parse::<u16>().ok()?.into();
            Some(SignedDuration::from_hours(number * hours))
        });
        let duration = days.map_or_else(|| text.parse().map_err(|_| wrong()), Ok)?;
        if duration.is_negative() || duration > Self::MAX { Err(wrong()) } else { Ok(Self(duration)) }
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> String {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

/// A share from 0 to 1, written in percent, like `1%` or `0.5%`.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Share(f64);

impl Share {
    /// So many hundredths of a percent; 10,000 and more are all.
    pub fn basis_points(points: u16) -> Self {
        Self(f64::from(points.min(10_000)) / 10_000.0)
    }

    /// The share nearest to a number from 0 to 1, to a ten-thousandth of a percent; anything else is the nearer end.
    pub fn nearest(ratio: f64) -> Self {
        // By way of the percentage, as it is written and read again.
        Self((ratio.clamp(0.0, 1.0) * 1e6).round().max(0.0) / 1e4 / 100.0)
    }

    /// The share as a number from 0 to 1.
    pub fn ratio(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let wrong = || InvalidName::new("share", text, "a percentage from `0%` to `100%`, such as `0.5%`");
        let number = text.strip_suffix('%').ok_or_else(wrong)?;
        let percent: f64 = number.trim().parse().map_err(|_| wrong())?;
        if (0.0..=100.0).contains(&percent) { Ok(Self(percent / 100.0)) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Share {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> String {
        share.to_string()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Twelve digits hide what the division by 100 added.
        let percent = (self.0 * 100.0 * 1e12).round() / 1e12;
        write!(f, "{percent}%")
    }
}

/// How many times as much something may be, from 0 to 1,000, such as `1.25`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(with = "f64", extend("minimum" = 0, "maximum" = 1000))]
pub struct Factor(f64);

impl Factor {
    /// So many hundredths.
    pub fn percent(percent: u16) -> Self {
        Self(f64::from(percent.min(50_000)) / 100.0)
    }

    /// The factor as a number.
    pub fn ratio(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Factor {
    type Error = InvalidName;
    fn try_from(number: f64) -> Result<Self, InvalidName> {
        if (0.0..=1000.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidName::new("factor", &number.to_string(), "a number from 0 to 1000, such as `1.25`"))
        }
    }
}

impl From<Factor> for f64 {
    fn from(factor: Factor) -> f64 {
        factor.0
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h 30m", 5400), ("0s", 0), ("1h30m", 5400)] {
            assert_eq!(text.parse::<Period>().unwrap(), Period::seconds(seconds), "{text}");
        }
        for bad in ["", "5", "-5m", "5 parsecs", "99999999h", "NaN"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
        assert_eq!(Period::seconds(300).to_string().parse::<Period>().unwrap(), Period::seconds(300));
    }

    #[test]
    fn shares_are_percentages_and_round_trip() {
        for (text, ratio) in [("1%", 0.01), ("0.5%", 0.005), ("100%", 1.0), ("0%", 0.0), ("7 %", 0.07)] {
            assert!((text.parse::<Share>().unwrap().ratio() - ratio).abs() < 1e-12, "{text}");
        }
        for bad in ["1", "101%", "-1%", "NaN%", "inf%", "%", ""] {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
        assert_eq!("0.7%".parse::<Share>().unwrap().to_string(), "0.7%");
    }

    #[test]
    fn factors_are_numbers_and_shares_are_rounded() {
        assert_eq!(serde_json::from_str::<Factor>("1.25").unwrap(), Factor::percent(125));
        assert_eq!(serde_json::from_str::<Factor>("2").unwrap().to_string(), "2");
        for bad in ["-1", "1001", "\"2\"", "null"] {
            assert!(serde_json::from_str::<Factor>(bad).is_err(), "{bad}");
        }
        assert_eq!(Share::nearest(1.0 / 3.0).to_string(), "33.3333%");
        assert_eq!(
            (Share::nearest(-1.0).ratio(), Share::nearest(7.0).ratio(), Share::nearest(f64::NAN).ratio()),
            (0.0, 1.0, 0.0)
        );
        assert_eq!(Period::milliseconds(5).to_string().parse::<Period>().unwrap(), Period::milliseconds(5));
    }
}
