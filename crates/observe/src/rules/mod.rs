//! Rules: expressions that are evaluated again and again, whose answers become series or alerts.
//!
//! [`parse`] reads Prometheus' rule files; [`record`] and [`alert`] are what a rule makes of an expression's answer. All of it
//! is calculation: what time it is and what the expression gave are arguments, and the state that an alert has is given back,
//! not kept.
//!
//! Source: Prometheus documentation, "Recording rules", "Alerting rules"; Prometheus 2.42, `rules/alerting.go`.

pub mod alert;
mod file;
pub mod policy;
pub(crate) mod reader;
pub mod record;
pub mod template;
pub mod testing;
#[cfg(test)]
mod tests;

pub use file::{CODE, TEMPLATE_CODE, parse};

use std::sync::Arc;

use crate::evaluate::{self, EvaluateError, InstantVector, Options, Value};
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::promql::Expression;
use crate::store::Store;

/// Rules that are evaluated one after the other at the same time.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name, one of a kind in its file.
    pub name: String,
    /// How far evaluations are apart, if not as all groups' are.
    pub interval_ms: Option<i64>,
    /// How many series or alerts each rule may give; any number if none.
    pub limit: Option<usize>,
    /// In the order in which they are evaluated, so that one may use what an earlier one has made.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug, Clone)]
pub enum Rule {
    /// Writes its answer as series of a new name.
    Recording(Recording),
    /// Makes an alert of each series in its answer.
    Alerting(Alerting),
}

/// A rule with `record`.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The name of the series.
    pub record: String,
    /// The expression as it was written.
    pub query: String,
    /// What is evaluated: a scalar or an instant vector.
    pub expression: Expression,
    /// Labels that are set on the answer; an empty value takes one away.
    pub labels: Vec<(String, String)>,
}

/// A rule with `alert`.
#[derive(Debug, Clone)]
pub struct Alerting {
    /// The alert's name.
    pub alert: String,
    /// The expression as it was written.
    pub query: String,
    /// What is evaluated: a scalar or an instant vector.
    pub expression: Expression,
    /// How long a series must be in the answer before its alert fires.
    pub for_ms: i64,
    /// How long an alert goes on firing after its series was last in the answer.
    pub keep_firing_for_ms: i64,
    /// Labels that are set on the alert; values are templates.
    pub labels: Vec<(String, String)>,
    /// What people are told; values are templates.
    pub annotations: Vec<(String, String)>,
}

/// Why a rule gives nothing this time.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Its expression has no answer.
    #[error(transparent)]
    Evaluate(#[from] EvaluateError),
    /// Two series are the same once the rule's labels are set.
    #[error("the answer has two series that are called {0} once the rule's labels are set")]
    SameLabels(Labels),
    /// More series or alerts than the group allows.
    #[error("the rule gives {found} series or alerts, more than the {limit} of its group")]
    Limit {
        /// How many it gives.
        found: usize,
        /// The group's limit.
        limit: usize,
    },
}

/// A rule's expression evaluated at a time: series with their values. A scalar is one series without labels.
pub fn answer(
    expression: &Expression,
    store: &dyn Store,
    at_ms: i64,
    options: &Options<'_>,
) -> Result<Vec<(Labels, f64)>, EvaluateError> {
    let value = |recorded| match recorded {
        Recorded::Float(value) => value,
        // As in Prometheus, a histogram that an alert or a template gets has the value 0.
        Recorded::Histogram(_) => 0.0,
    };
    let whole = whole_answer(expression, store, at_ms, options)?;
    Ok(whole.into_iter().map(|(labels, recorded)| (labels, value(recorded))).collect())
}

/// What a recording rule writes for a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    /// A number.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// The same with histograms as what they are.
pub fn whole_answer(
    expression: &Expression,
    store: &dyn Store,
    at_ms: i64,
    options: &Options<'_>,
) -> Result<Vec<(Labels, Recorded)>, EvaluateError> {
    match evaluate::instant(expression, store, at_ms, options)? {
        Value::Scalar(sample) => Ok(vec![(Labels::default(), Recorded::Float(sample.value))]),
        Value::Vector(InstantVector { floats, histograms }) => {
            let floats = floats.into_iter().map(|(labels, sample)| (labels, Recorded::Float(sample.value)));
            let histograms = histograms.into_iter();
            let histograms = histograms.map(|(labels, sample)| (labels, Recorded::Histogram(sample.histogram)));
            Ok(floats.chain(histograms).collect())
        }
        Value::Text(_) | Value::Matrix(_) => Err(EvaluateError::Kind(expression.kind())),
    }
}

fn check_limit(found: usize, limit: Option<usize>) -> Result<(), RuleError> {
    match limit {
        Some(limit) if found > limit => Err(RuleError::Limit { found, limit }),
        Some(_) | None => Ok(()),
    }
}
