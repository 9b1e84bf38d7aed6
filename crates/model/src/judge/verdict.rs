//! Verdicts, and the numbers that explain them in one sentence.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::quantity::Share;

/// The judgment of a step on the evidence so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// What the next step must not expose is ruled out.
    Pass,
    /// The candidate is worse than is tolerated.
    Fail {
        /// The share that it surely exceeds.
        limit: Share,
        /// In what, by how much, and how surely; none in journals of versions that did not store it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finding: Option<Box<Finding>>,
    },
    /// Not enough requests to say.
    Inconclusive {
        /// How many more are needed if all succeed.
        requests_missing: u64,
        /// When they will be there at the present rate, in seconds; none when nothing arrives.
        expected_in_s: Option<u64>,
        /// What speaks against the candidate, not yet surely.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<Box<Finding>>,
    },
    /// The numbers can't be judged.
    Error {
        /// Why.
        reason: String,
    },
}

/// In what a candidate is worse, by how much, and how surely.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was counted.
    pub measure: Measure,
    /// The candidate's requests, and how many were counted.
    pub candidate: Part,
    /// The stable version's over the same time; none where it did not run beside the candidate.
    pub stable: Option<Part>,
    /// The share that is tolerated.
    pub limit: Share,
    /// Chance alone shows as much in fewer than one of so many rollouts of a good release.
    pub odds: u64,
    /// From when on in the last step it was counted, in milliseconds; none where that is all of one or more steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "measure")]
pub enum Measure {
    /// Failed requests.
    #[default]
    Failures,
    /// Slow requests.
    Latency {
        /// From how many microseconds on the candidate's count.
        candidate_us: u64,
        /// From how many microseconds on the stable version's count.
        stable_us: u64,
    },
}

/// Requests, and how many of them were counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Those that count.
    pub counted: u64,
    /// All.
    pub requests: u64,
}

impl Part {
    /// The counted as a number from 0 to 1.
    pub fn share(self) -> f64 {
        super::ratio(self.counted, self.requests)
    }

    pub(super) fn add(&mut self, counted: u64, requests: u64) {
        self.counted = self.counted.saturating_add(counted);
        self.requests = self.requests.saturating_add(requests);
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} ({})", self.counted, self.requests, percent(self.share()))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.measure {
            Measure::Failures => write!(f, "{} requests failed", self.candidate)?,
            Measure::Latency { candidate_us, .. } => {
                write!(f, "{} requests took {} ms or longer", self.candidate, milliseconds(candidate_us))?;
            }
        }
        if let Some(since_ms) = self.since_ms {
            write!(f, " since {} of the step", moment(since_ms / 1000))?;
        }
        match (self.stable, self.measure) {
            (Some(stable), Measure::Failures) => write!(f, ", of the stable version's {stable}")?,
            (Some(stable), Measure::Latency { stable_us, .. }) => {
                write!(f, ", of the stable version's {stable} took {} ms", milliseconds(stable_us))?;
            }
            (None, _) => write!(f, ", where up to {} would be tolerated", percent(self.limit.ratio()))?,
        }
        write!(f, "; chance alone does that in less than 1 of {} rollouts", self.odds)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("good so far: what would be intolerable is ruled out"),
            Self::Fail { limit, finding: None } => write!(f, "bad: more than {limit} of the requests fail"),
            Self::Fail { finding: Some(finding), .. } => write!(f, "bad: {finding}"),
            Self::Inconclusive { requests_missing, expected_in_s, doubt } => {
                write!(f, "needs {requests_missing} more requests")?;
                match expected_in_s {
                    Some(seconds) => write!(f, ", in about {}", about(*seconds))?,
                    None => f.write_str(", and none arrives")?,
                }
                match doubt {
                    Some(finding) => write!(f, "; in doubt: {finding}"),
                    None => Ok(()),
                }
            }
            Self::Error { reason } => write!(f, "can't be judged: {reason}"),
        }
    }
}

/// A moment of a step, as nobody asks more exactly.
fn moment(seconds: u64) -> String {
    match seconds {
        0..120 => format!("second {seconds}"),
        120..7200 => format!("minute {}", seconds / 60),
        7200.. => format!("hour {}", seconds / 3600),
    }
}

/// Seconds as nobody waits more exactly.
fn about(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200.. => format!("{} h", seconds / 3600),
    }
}

/// A share with two digits that count.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = if percent >= 10.0 || percent <= 0.0 {
        0
    } else if percent >= 1.0 {
        1
    } else if percent >= 0.1 {
        2
    } else {
        4
    };
    format!("{percent:.digits$}%")
}

fn milliseconds(us: u64) -> String {
    let ms = super::float(us) / 1000.0;
    let digits = usize::from(ms < 10.0);
    format!("{ms:.digits$}")
}
