//! What was measured during a step, and what follows from it.
//!
//! [`MetricState::take`] folds one reading in, [`MetricState::verdict`] judges. Total: every reading that a provider can
//! give, and every clock, has an answer; and only good measurements that are fresh can pass.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Metric;
use crate::ids::MetricName;

/// The longest text of others that is kept, in characters.
const TEXT_MAX: usize = 200;

/// What one measurement found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// A number, to be compared with the limits.
    Value(f64),
    /// Plus or minus infinity, as a division by zero gives it, or a quantile above the last bucket.
    Infinite {
        /// Whether it is plus infinity.
        positive: bool,
    },
    /// The provider answered, and has nothing to say: no series, or not a number.
    Nothing {
        /// In its words.
        why: String,
    },
    /// The provider has judged by itself.
    Judged {
        /// How.
        told: Told,
        /// A number that it gave as well; compared with the limits, if there are any.
        value: Option<f64>,
        /// Its reason.
        reason: String,
    },
    /// The measurement could not be had.
    Error {
        /// Why.
        why: String,
    },
}

impl Found {
    /// A number, whatever it is. No JSON number is infinite and none is NaN, so those have forms of their own.
    pub fn number(value: f64) -> Self {
        if value.is_nan() {
            Self::Nothing { why: "not a number (NaN), as when nothing is divided by nothing".into() }
        } else if value.is_infinite() {
            Self::Infinite { positive: value > 0.0 }
        } else {
            Self::Value(value)
        }
    }
}

/// A provider's own verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Good.
    Pass,
    /// Bad.
    Fail,
    /// It can't say.
    Inconclusive,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// When it was asked for.
    pub at: Timestamp,
    /// What came.
    pub found: Found,
}

/// What a reading is worth under a metric's limits.
enum Rating {
    Good,
    Failed(String),
    Unsure(String),
    Error(String),
}

impl Metric {
    fn rate(&self, found: &Found) -> Rating {
        match found {
            Found::Value(value) => self.rate_number(*value),
            Found::Infinite { positive } => self.rate_number(if *positive { f64::INFINITY } else { f64::NEG_INFINITY }),
            Found::Nothing { why } => Rating::Unsure(or(why, "it has no data")),
            Found::Error { why } => Rating::Error(or(why, "nobody says why")),
            Found::Judged { told: Told::Fail, reason, .. } => Rating::Failed(or(reason, "its provider says so")),
            Found::Judged { told: Told::Inconclusive, reason, .. } => {
                Rating::Unsure(or(reason, "its provider can't say"))
            }
            Found::Judged { told: Told::Pass, value: Some(value), .. } if self.has_limit() => self.rate_number(*value),
            Found::Judged { told: Told::Pass, value: None, .. } if self.has_limit() => {
                Rating::Unsure("its provider gives no number to compare with the limits".into())
            }
            Found::Judged { told: Told::Pass, .. } => Rating::Good,
        }
    }

    /// A number that a limit excludes is a failure, also an infinite one. One that no limit excludes is good only if it
    /// is a number: infinity above a lower limit says that something was divided by zero, not that all is well.
    fn rate_number(&self, value: f64) -> Rating {
        if value.is_nan() {
            return Rating::Unsure("not a number (NaN)".into());
        }
        if let Some(below) = self.below.filter(|below| value >= *below) {
            return Rating::Failed(format!("{} is not below {}", number(value), number(below)));
        }
        if let Some(above) = self.above.filter(|above| value <= *above) {
            return Rating::Failed(format!("{} is not above {}", number(value), number(above)));
        }
        if value.is_infinite() {
            return Rating::Unsure(format!("{} is no measurement", number(value)));
        }
        if self.has_limit() { Rating::Good } else { Rating::Error("there is no limit to compare it with".into()) }
    }
}

/// All readings of one metric during one step, folded. Its size does not grow with them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricState {
    /// Measurements that were good.
    pub good: u32,
    /// Measurements that failed.
    pub failed: u32,
    /// Measurements that said nothing either way.
    pub unsure: u32,
    /// Measurements that could not be had.
    pub errors: u32,
    /// How many of these came last, one after the other.
    pub errors_in_a_row: u32,
    /// The last reading.
    pub last: Option<Reading>,
    /// What was wrong with the last measurement that failed.
    pub last_failure: Option<String>,
}

/// What a metric says of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricVerdict {
    /// Enough good measurements, no more failed ones than tolerated.
    Pass,
    /// More failed measurements than tolerated.
    Fail,
    /// Not enough measurements to say.
    Inconclusive,
    /// It can't be measured.
    Error,
}

/// What a metric says of a step and why; stored with the step's verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricSummary {
    /// Which metric.
    pub name: MetricName,
    /// Its verdict.
    pub verdict: MetricVerdict,
    /// Why, in one sentence: lower case, no full stop.
    pub reason: String,
    /// How many measurements were good.
    pub good: u32,
    /// How many failed.
    pub failed: u32,
    /// How many could not be had, or said nothing.
    pub missed: u32,
    /// The last number measured, where the last measurement gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

impl std::fmt::Display for MetricSummary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "metric {}: {}", self.name, self.reason)
    }
}

impl MetricState {
    /// The state after one more reading. What others wrote in it is cut to one line of 200 characters.
    pub fn take(&mut self, metric: &Metric, reading: Reading) {
        let reading = Reading { found: tame(reading.found), ..reading };
        let rating = metric.rate(&reading.found);
        let in_a_row = self.errors_in_a_row;
        self.errors_in_a_row = 0;
        let count = match rating {
            Rating::Good => &mut self.good,
            Rating::Failed(why) => {
                self.last_failure = Some(why);
                &mut self.failed
            }
            Rating::Unsure(_) => &mut self.unsure,
            Rating::Error(_) => {
                self.errors_in_a_row = in_a_row.saturating_add(1);
                &mut self.errors
            }
        };
        *count = count.saturating_add(1);
        self.last = Some(reading);
    }

    /// Whether to measure now. `since` is when the step began, `bake` how long it is watched at least. A clock that was
    /// set back makes a measurement due, one that was set forward makes a single one due.
    pub fn is_due(&self, metric: &Metric, since: Timestamp, bake: SignedDuration, now: Timestamp) -> bool {
        let (from, wait) = match &self.last {
            Some(last) => (last.at, metric.every.duration()),
            None => (since, metric.every.duration().min(bake)),
        };
        now < from || now.duration_since(from) >= wait
    }

    /// What follows from the readings so far, and why in one sentence.
    pub fn verdict(&self, metric: &Metric, now: Timestamp) -> (MetricVerdict, String) {
        if self.failed > metric.failures_max {
            let failure = self.last_failure.clone().unwrap_or_else(|| "it failed".into());
            let tolerated = match metric.failures_max {
                0 => String::new(),
                n => format!(", and {} measurements failed where {n} may", self.failed),
            };
            return (MetricVerdict::Fail, format!("{failure}{tolerated}"));
        }
        let Some(last) = &self.last else { return (MetricVerdict::Inconclusive, "it was not measured yet".into()) };
        let rating = metric.rate(&last.found);
        if let Rating::Error(why) = &rating {
            let row = self.errors_in_a_row;
            return if row >= metric.errors_max.max(1) {
                (MetricVerdict::Error, format!("it could not be measured {row} times in a row: {why}"))
            } else {
                (MetricVerdict::Inconclusive, format!("it could not be measured: {why}"))
            };
        }
        if let Rating::Unsure(why) = rating {
            return (MetricVerdict::Inconclusive, why);
        }
        let age = now.duration_since(last.at);
        if age > fresh(metric) {
            return (MetricVerdict::Inconclusive, format!("its last measurement is {} s old", age.as_secs()));
        }
        let needed = metric.measurements_min.max(1);
        if self.good < needed {
            return (MetricVerdict::Inconclusive, format!("{} of {needed} good measurements so far", self.good));
        }
        let failed = match self.failed {
            0 => String::new(),
            n => format!(", and {n} failed where {} may", metric.failures_max),
        };
        let good = match self.good {
            1 => "1 measurement was good".to_owned(),
            n => format!("{n} measurements were good"),
        };
        (MetricVerdict::Pass, format!("{good}{failed}"))
    }

    /// The same for people and for the journal.
    pub fn summary(&self, metric: &Metric, now: Timestamp) -> MetricSummary {
        let (verdict, reason) = self.verdict(metric, now);
        let value = match self.last.as_ref().map(|last| &last.found) {
            Some(Found::Value(value)) => Some(*value),
            Some(Found::Judged { value, .. }) => *value,
            Some(Found::Infinite { .. } | Found::Nothing { .. } | Found::Error { .. }) | None => None,
        };
        MetricSummary {
            name: metric.name.clone(),
            verdict,
            reason,
            good: self.good,
            failed: self.failed,
            missed: self.unsure.saturating_add(self.errors),
            value: value.filter(|value| value.is_finite()),
        }
    }
}

/// How old the last measurement may be when a step passes: one may be late and one under way.
fn fresh(metric: &Metric) -> SignedDuration {
    metric.every.duration().saturating_mul(2).saturating_add(metric.timeout.duration())
}

/// What a step's metrics say together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Together<'a> {
    /// All pass, or there is none.
    Pass,
    /// This one fails.
    Fail(&'a MetricSummary),
    /// None fails, and this one does not pass.
    Held(&'a MetricSummary),
}

/// One that fails decides; otherwise one that does not pass holds; an error is told before what is merely missing.
pub fn together(metrics: &[MetricSummary]) -> Together<'_> {
    let with = |verdict| metrics.iter().find(|metric| metric.verdict == verdict);
    if let Some(metric) = with(MetricVerdict::Fail) {
        return Together::Fail(metric);
    }
    let held = with(MetricVerdict::Error).or_else(|| with(MetricVerdict::Inconclusive));
    held.map_or(Together::Pass, Together::Held)
}

fn or(reason: &str, otherwise: &str) -> String {
    if reason.is_empty() { otherwise.to_owned() } else { reason.to_owned() }
}

/// What others wrote goes into commits, letters and terminals: one line, no control characters, and not for ever.
fn tame(found: Found) -> Found {
    let line = |text: String| -> String {
        let words: Vec<&str> =
            text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
        let text = words.join(" ");
        if text.chars().count() <= TEXT_MAX { text } else { text.chars().take(TEXT_MAX - 1).chain(['…']).collect() }
    };
    match found {
        Found::Value(value) => Found::number(value),
        Found::Infinite { positive } => Found::Infinite { positive },
        Found::Nothing { why } => Found::Nothing { why: line(why) },
        Found::Error { why } => Found::Error { why: line(why) },
        Found::Judged { told, value, reason } => Found::Judged { told, value, reason: line(reason) },
    }
}

/// A number as people write it, also one that has hundreds of digits.
fn number(value: f64) -> String {
    let size = value.abs();
    if value.is_infinite() {
        format!("{}infinity", if value > 0.0 { "plus " } else { "minus " })
    } else if size >= 1e15 || (size > 0.0 && size < 1e-4) {
        format!("{value:e}")
    } else {
        // Six digits after the point say enough; what is printed is not what is compared.
        format!("{}", (value * 1e6).round() / 1e6)
    }
}
