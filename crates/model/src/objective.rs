//! Objectives: what share of a service's events must be good over a window, and what is left of the rest, its error budget.
//!
//! Source: Beyer and others, *The Site Reliability Workbook*, chapters 2 ("Implementing SLOs") and 5 ("Alerting on SLOs").

mod budget;
mod burn;
mod window;

use std::collections::BTreeMap;

pub use budget::{Budget, Burn, Measured, Spending};
pub use burn::{BurnWindow, Severity, burn_windows};
pub use window::{Calendar, Unit, Window};

use crate::gate::Hold;
use crate::ids::{EnvironmentName, ServiceName};

/// One objective of one service.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// One of a kind: the service's name and its own, such as `pad-availability`.
    pub id: String,
    /// Its name, such as `availability`.
    pub name: String,
    /// The service's name.
    pub service: String,
    /// What it is about, in words.
    pub description: String,
    /// The share of events that must be good, more than 0 and less than 1.
    pub target: f64,
    /// Over what time.
    pub window: Window,
    /// What tells good from bad.
    pub indicator: Indicator,
    /// Labels of all series and alerts.
    pub labels: BTreeMap<String, String>,
    /// Who is told of what.
    pub alerting: Alerting,
    /// Whose gate is held when the budget is spent; none where the service's name is none that could be deployed.
    pub gate: Option<(ServiceName, Option<EnvironmentName>)>,
}

/// What tells good from bad, in PromQL. `{{.window}}` stands where the length of a window comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indicator {
    /// Bad events and all events, as rates or numbers over the window.
    Events {
        /// The bad ones.
        bad: String,
        /// All.
        total: String,
    },
    /// The share of bad events over the window.
    Ratio(String),
    /// The share that is bad now, from 0 to 1; it is recorded again and again, and every record weighs the same.
    Recorded {
        /// The share; has no window.
        query: String,
        /// How often it is recorded, in milliseconds, if not as all rules are.
        every_ms: Option<i64>,
    },
}

/// Who is told of what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alerting {
    /// What the alerts are called.
    pub name: String,
    /// What wakes somebody; none if nothing does.
    pub page: Option<Notes>,
    /// What can wait for working hours; none if nothing does.
    pub ticket: Option<Notes>,
    /// Conditions of the team's own, in place of the two above.
    pub conditions: Vec<Condition>,
}

/// What goes along with an alert.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// A condition of a team's own: the budget is spent faster than so over one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// What the alert is called.
    pub name: String,
    /// How many times as fast as the budget allows.
    pub burn_rate: f64,
    /// Over what time, in milliseconds.
    pub lookback_ms: i64,
    /// For how long, in milliseconds.
    pub after_ms: i64,
    /// What goes along.
    pub notes: Notes,
}

impl Objective {
    /// The share of events that may be bad.
    pub fn budget_ratio(&self) -> f64 {
        rounded(1.0 - self.target)
    }

    /// The windows that alerts look at. One whose rate can't be reached, as not even all events being bad is that fast, is
    /// left out.
    pub fn burn_windows(&self) -> Vec<BurnWindow> {
        let windows = burn_windows(self.window.nominal_ms());
        windows.into_iter().filter(|window| window.factor * self.budget_ratio() < 1.0).collect()
    }

    /// What keeps features out while the budget is spent.
    pub fn hold(&self) -> Hold {
        Hold {
            id: format!("budget/{}", self.id),
            reason: format!("100% of the error budget of {} is spent", self.id),
            fixes_pass: true,
        }
    }
}

/// Without what binary fractions leave behind: a target of 99.9% leaves 0.001, not 0.0010000000000000009.
pub fn rounded(number: f64) -> f64 {
    (number * 1e12).round() / 1e12
}

#[cfg(test)]
mod tests;
