//! Tests of rules, as `promtool test rules` reads and carries them out: series, and what alerts and queries make of them.
//!
//! [`parse`] reads a file of tests, [`run`] carries out one test on rules that were read already. A test's time begins in
//! 1970 and goes as far as the last of its expectations.
//!
//! Source: Prometheus documentation, "Unit testing for rules"; Prometheus 2.42, `cmd/promtool/unittest.go`, whose behaviour
//! is kept: rules are evaluated at each multiple of the interval, and an alert's expectation is held against the last
//! evaluation before it. A NaN that is expected is found, which promtool does not.

mod file;
mod notation;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use file::{CODE, parse};
pub use run::run;

use super::template::External;
use crate::labels::Labels;
use crate::promql::Expression;

/// A file of tests.
#[derive(Debug, Clone)]
pub struct Suite {
    /// Patterns of rule files, with the line on which each stands.
    pub rule_files: Vec<(String, u32)>,
    /// How far evaluations are apart.
    pub interval_ms: i64,
    /// Groups that are evaluated one after the other, before all others.
    pub order: Vec<String>,
    /// The tests, in their order.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Debug, Clone)]
pub struct Test {
    /// What it is called, if anything.
    pub name: Option<String>,
    /// Where it begins.
    pub line: u32,
    /// How far samples are apart.
    pub interval_ms: i64,
    /// Values, the first at time 0.
    pub series: BTreeMap<Labels, Vec<Option<f64>>>,
    /// What templates see of the surroundings.
    pub external: External,
    /// What is expected of alerts.
    pub alerts: Vec<AlertCase>,
    /// What is expected of queries.
    pub queries: Vec<QueryCase>,
}

/// Which alerts of a name fire at a time.
#[derive(Debug, Clone)]
pub struct AlertCase {
    /// Where it stands.
    pub line: u32,
    /// When.
    pub at_ms: i64,
    /// The alert's name.
    pub alert: String,
    /// All that fire.
    pub expected: Vec<Firing>,
}

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Firing {
    /// Its labels, with its name.
    pub labels: BTreeMap<String, String>,
    /// What people are told.
    pub annotations: BTreeMap<String, String>,
}

/// What a query gives at a time.
#[derive(Debug, Clone)]
pub struct QueryCase {
    /// Where it stands.
    pub line: u32,
    /// When.
    pub at_ms: i64,
    /// The query as it is written.
    pub query: String,
    /// The query.
    pub expression: Expression,
    /// All that it gives.
    pub expected: Vec<(Labels, f64)>,
}

/// Something that is not as expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Where the expectation stands.
    pub line: u32,
    /// When.
    pub at_ms: i64,
    /// What.
    pub what: What,
}

/// What is not as expected.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Alerts of a name.
    Alerts {
        /// The name.
        alert: String,
        /// Whether there is a rule of this name.
        known: bool,
        /// Expected, and not firing.
        missing: Vec<Firing>,
        /// Firing, and not expected.
        surplus: Vec<Firing>,
    },
    /// A query's answer.
    Samples {
        /// The query.
        query: String,
        /// Expected, and not given.
        missing: Vec<(Labels, f64)>,
        /// Given, and not expected.
        surplus: Vec<(Labels, f64)>,
    },
    /// A query that has no answer.
    Query {
        /// The query.
        query: String,
        /// Why.
        why: String,
    },
    /// A rule that can't be evaluated, which ends the test.
    Rule {
        /// The rule's name.
        rule: String,
        /// Why.
        why: String,
    },
}
