//! How bad something is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How bad something is, the least bad first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nobody said.
    #[default]
    Unknown,
    /// Worth knowing.
    Info,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 6] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Info, Self::Unknown];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The rating of a CVSS score (CVSS v3.1 specification, table 14; v4.0, table 22).
    pub fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            score if score > 0.0 => Self::Low,
            _ => Self::Info,
        }
    }

    /// The severity that a database's word means.
    pub fn of_word(word: &str) -> Option<Self> {
        Some(match word.trim().to_ascii_lowercase().as_str() {
            "critical" => Self::Critical,
            "high" | "important" | "error" => Self::High,
            "medium" | "moderate" | "warning" => Self::Medium,
            "low" | "minor" => Self::Low,
            "info" | "negligible" | "none" | "unimportant" | "note" | "informational" => Self::Info,
            "unknown" | "unspecified" | "" => Self::Unknown,
            _ => return None,
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Severity {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|severity| severity.word() == text);
        known.ok_or("expected critical, high, medium, low, info or unknown")
    }
}

/// The base score of a CVSS vector of version 3 or 4; none where it is no such vector.
pub fn score(vector: &str) -> Option<f64> {
    vector.parse::<cvss::Cvss>().ok().map(|vector| vector.score())
}
