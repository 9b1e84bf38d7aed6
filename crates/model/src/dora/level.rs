//! Elite, high, medium and low, as the reports of several years have them.
//!
//! The reports group answers to a survey; they give no thresholds, and their groups have gaps between them and may have the
//! same range. Here a value belongs to the best level whose worse edge it keeps: what lies between two groups belongs to the
//! worse one, and what lies in several to all of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A level of software delivery performance, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The best.
    Elite,
    /// The second.
    High,
    /// The third.
    Medium,
    /// Whatever is not even that.
    Low,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elite => "elite",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
        })
    }
}

/// The report whose levels are used. 2022 is missing: the ranges of its groups could not be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Year {
    /// Accelerate: State of DevOps 2018.
    #[serde(rename = "2018")]
    Y2018,
    /// Accelerate State of DevOps 2019.
    #[serde(rename = "2019")]
    Y2019,
    /// Accelerate State of DevOps 2021.
    #[serde(rename = "2021")]
    Y2021,
    /// Accelerate State of DevOps Report 2023.
    #[serde(rename = "2023")]
    Y2023,
    /// Accelerate State of DevOps Report 2024.
    #[serde(rename = "2024")]
    Y2024,
}

impl FromStr for Year {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "2018" => Ok(Self::Y2018),
            "2019" => Ok(Self::Y2019),
            "2021" => Ok(Self::Y2021),
            "2023" => Ok(Self::Y2023),
            "2024" => Ok(Self::Y2024),
            _ => Err("expected 2018, 2019, 2021, 2023 or 2024"),
        }
    }
}

impl fmt::Display for Year {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Y2018 => "2018",
            Self::Y2019 => "2019",
            Self::Y2021 => "2021",
            Self::Y2023 => "2023",
            Self::Y2024 => "2024",
        })
    }
}

/// The levels that a value belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// These, the best first: several where the report gives them the same range; none where there is too little to say.
    pub levels: Vec<Level>,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.levels.first(), self.levels.last()) {
            (Some(best), Some(worst)) if best != worst => write!(f, "{best} to {worst}"),
            (Some(level), _) => level.fmt(f),
            (None, _) => f.write_str("too few to say"),
        }
    }
}

/// The worse edges of one report's levels, from elite to low. What keeps none of them is low as well; low has an edge of
/// its own only where its range is that of the level before.
struct Edges {
    /// Deployments a day, at least.
    per_day: [f64; 4],
    /// Lead time in milliseconds, less than.
    lead_ms: [u64; 4],
    /// Time to recover in milliseconds, less than.
    recovery_ms: [u64; 4],
    /// Deployments that fail of a hundred, at most.
    failures: [f64; 4],
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
/// A twelfth of 365.25 days.
const MONTH: u64 = 2_629_800_000;
const HALF_YEAR: u64 = 6 * MONTH;
const ANY: u64 = u64::MAX;

/// "On demand (multiple deploys per day)": two.
const ON_DEMAND: f64 = 2.0;
const DAILY: f64 = 1.0;
const WEEKLY: f64 = 1.0 / 7.0;
const MONTHLY: f64 = 12.0 / 365.25;
const HALF_YEARLY: f64 = 2.0 / 365.25;

impl Year {
    /// The table "Aspect of software delivery performance" of each report, in the chapter "How do we compare?"; in 2018 on
    /// page 15, where elite is a part of high.
    fn edges(self) -> Edges {
        match self {
            Self::Y2018 => Edges {
                per_day: [ON_DEMAND, DAILY, MONTHLY, MONTHLY],
                lead_ms: [HOUR, WEEK, MONTH, ANY],
                recovery_ms: [HOUR, DAY, DAY, ANY],
                failures: [15.0, 15.0, 15.0, 100.0],
            },
            Self::Y2019 => Edges {
                per_day: [ON_DEMAND, WEEKLY, MONTHLY, 0.0],
                lead_ms: [DAY, WEEK, MONTH, ANY],
                recovery_ms: [HOUR, DAY, DAY, ANY],
                failures: [15.0, 15.0, 15.0, 100.0],
            },
            Self::Y2021 => Edges {
                per_day: [ON_DEMAND, MONTHLY, HALF_YEARLY, 0.0],
                lead_ms: [HOUR, WEEK, HALF_YEAR, ANY],
                recovery_ms: [HOUR, DAY, WEEK, ANY],
                failures: [15.0, 30.0, 30.0, 30.0],
            },
            // From here on failures are one number a group.
            Self::Y2023 => Edges {
                per_day: [ON_DEMAND, WEEKLY, MONTHLY, MONTHLY],
                lead_ms: [DAY, WEEK, MONTH, MONTH],
                recovery_ms: [HOUR, DAY, WEEK, ANY],
                failures: [5.0, 10.0, 15.0, 64.0],
            },
            // Medium has 10%, less than high: nothing is medium by its failures.
            Self::Y2024 => Edges {
                per_day: [ON_DEMAND, WEEKLY, MONTHLY, 0.0],
                lead_ms: [DAY, WEEK, MONTH, ANY],
                recovery_ms: [HOUR, DAY, DAY, ANY],
                failures: [5.0, 20.0, 10.0, 40.0],
            },
        }
    }

    /// Where the levels are from.
    pub fn source(self) -> &'static str {
        match self {
            Self::Y2018 => "Accelerate: State of DevOps 2018, Strategies for a New Economy",
            Self::Y2019 => "Accelerate State of DevOps 2019",
            Self::Y2021 => "Accelerate State of DevOps 2021",
            Self::Y2023 => "Accelerate State of DevOps Report 2023",
            Self::Y2024 => "Accelerate State of DevOps Report 2024",
        }
    }

    /// The level of so many deployments a day.
    pub fn frequency(self, per_day: f64) -> Placed {
        placed(&self.edges().per_day, |edge| per_day >= *edge)
    }

    /// The level of a lead time.
    pub fn lead_time(self, ms: u64) -> Placed {
        placed(&self.edges().lead_ms, |edge| ms < *edge)
    }

    /// The level of a time to recover.
    pub fn recovery(self, ms: u64) -> Placed {
        placed(&self.edges().recovery_ms, |edge| ms < *edge)
    }

    /// The level of a share of deployments that fail, from 0 to 1.
    pub fn failures(self, share: f64) -> Placed {
        placed(&self.edges().failures, |edge| share * 100.0 <= *edge + 1e-9)
    }
}

/// The best level whose edge is kept, and those after it that have the same edge.
fn placed<T: PartialEq>(edges: &[T; 4], keeps: impl Fn(&T) -> bool) -> Placed {
    let named = || edges.iter().zip([Level::Elite, Level::High, Level::Medium, Level::Low]);
    let Some((best, _)) = named().find(|(edge, _)| keeps(edge)) else { return Placed { levels: vec![Level::Low] } };
    Placed { levels: named().filter(|(edge, _)| *edge == best).map(|(_, level)| level).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_belongs_to_the_best_level_whose_edge_it_keeps() {
        let cases = [
            (Year::Y2019.lead_time(DAY - 1), "elite"),
            (Year::Y2019.lead_time(DAY), "high"),
            (Year::Y2019.lead_time(MONTH), "low"),
            (Year::Y2021.lead_time(5 * HOUR), "high"),
            (Year::Y2021.lead_time(2 * WEEK), "medium"),
            (Year::Y2019.recovery(5 * HOUR), "high to medium"),
            (Year::Y2023.recovery(2 * DAY), "medium"),
            (Year::Y2019.failures(0.15), "elite to medium"),
            (Year::Y2019.failures(0.16), "low"),
            (Year::Y2021.failures(0.2), "high to low"),
            (Year::Y2021.failures(0.31), "low"),
            (Year::Y2023.lead_time(2 * WEEK), "medium to low"),
            (Year::Y2023.failures(0.7), "low"),
            (Year::Y2023.failures(0.05), "elite"),
            (Year::Y2024.failures(0.08), "high"),
            (Year::Y2024.failures(0.21), "low"),
            (Year::Y2024.frequency(2.0), "elite"),
            (Year::Y2024.frequency(1.9), "high"),
            (Year::Y2018.frequency(0.5), "medium to low"),
            (Year::Y2021.frequency(1.0 / 200.0), "low"),
            (Year::Y2021.frequency(1.0 / 100.0), "medium"),
        ];
        for (index, (found, expected)) in cases.iter().enumerate() {
            assert_eq!(found.to_string(), *expected, "case {index}");
        }
        assert_eq!(Placed::default().to_string(), "too few to say");
    }

    #[test]
    fn years_are_read_as_they_are_written_and_others_are_refused() {
        for year in ["2018", "2019", "2021", "2023", "2024"] {
            assert_eq!(year.parse::<Year>().unwrap().to_string(), year);
        }
        for unknown in ["2020", "2022", "2025", "", "now"] {
            assert!(unknown.parse::<Year>().is_err(), "{unknown}");
        }
    }
}
