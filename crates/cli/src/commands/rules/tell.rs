//! What is told of findings and of tests.

use std::collections::BTreeMap;

use prograde_model::Diagnostic;
use prograde_observe::Labels;
use prograde_observe::rules::testing::{Failure, Firing, What};
use serde_json::{Value, json};

use super::test::Outcome;
use crate::printer::{Printer, Tone, cleaned};
use crate::report::Report;

/// Each finding, with its place.
pub(crate) fn findings(printer: &Printer, errors: &[Diagnostic]) -> Result<(), Report> {
    let word = Tone::Bad.paint("error", printer.style().colour);
    for error in errors {
        printer.line(format_args!("{word}: {}", cleaned(&error.to_string())))?;
    }
    Ok(())
}

/// Each failure of a test: what was expected and did not come, and what came instead.
pub(super) fn failures(printer: &Printer, file: &str, outcome: &Outcome) -> Result<(), Report> {
    let colour = printer.style().colour;
    let word = Tone::Bad.paint("failed", colour);
    for failure in &outcome.failures {
        let (what, why) = named(&failure.what);
        let (line, at) = (failure.line, duration(failure.at_ms));
        let head = format!("{file}:{line}: {what} at {at}, in {}", outcome.name);
        printer.line(format_args!("{word}: {}", cleaned(&head)))?;
        if let Some(why) = why {
            printer.line(format_args!("  {}", cleaned(&why)))?;
        }
        let (missing, surplus) = lines(&failure.what);
        for (sign, tone, lines) in [('-', Tone::Bad, missing), ('+', Tone::Good, surplus)] {
            for line in lines {
                printer.line(format_args!("  {}", tone.paint(&cleaned(&format!("{sign} {line}")), colour)))?;
            }
        }
    }
    Ok(())
}

/// What failed, and why if there is more to say than what came.
fn named(what: &What) -> (String, Option<String>) {
    match what {
        What::Alerts { alert, known: true, .. } => (format!("alert {alert}"), None),
        What::Alerts { alert, known: false, .. } => {
            (format!("alert {alert}"), Some("no rule in `rule_files` has this name".to_owned()))
        }
        What::Samples { query, .. } => (format!("query {query}"), None),
        What::Query { query, why } => (format!("query {query}"), Some(why.clone())),
        What::Rule { rule, why } => (format!("rule {rule}"), Some(why.clone())),
    }
}

fn lines(what: &What) -> (Vec<String>, Vec<String>) {
    match what {
        What::Alerts { missing, surplus, .. } => {
            (missing.iter().flat_map(firing).collect(), surplus.iter().flat_map(firing).collect())
        }
        What::Samples { missing, surplus, .. } => {
            let sample = |(labels, value): &(Labels, f64)| format!("{labels} {}", number(*value));
            (missing.iter().map(sample).collect(), surplus.iter().map(sample).collect())
        }
        What::Query { .. } | What::Rule { .. } => (Vec::new(), Vec::new()),
    }
}

/// An alert's labels, and a line for each annotation.
fn firing(firing: &Firing) -> Vec<String> {
    let pairs: Vec<String> = firing.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    let annotations = firing.annotations.iter().map(|(name, text)| format!("    {name}: {text:?}"));
    std::iter::once(format!("{{{}}}", pairs.join(", "))).chain(annotations).collect()
}

/// A value as Prometheus writes it.
fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    value.to_string()
}

/// A time as rules' files write it: `1m30s`.
fn duration(ms: i64) -> String {
    let mut rest = ms;
    let mut text = String::new();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= length {
            text.extend([(rest / length).to_string().as_str(), unit]);
            rest %= length;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A test for `--json`.
pub(super) fn as_json(outcome: &Outcome) -> Value {
    json!({
        "name": outcome.name,
        "line": outcome.line,
        "passed": outcome.failures.is_empty(),
        "expectations": outcome.expectations,
        "failures": outcome.failures.iter().map(failure_json).collect::<Vec<_>>(),
    })
}

fn failure_json(failure: &Failure) -> Value {
    let (line, at_ms) = (failure.line, failure.at_ms);
    match &failure.what {
        What::Alerts { alert, known, missing, surplus } => {
            let firing = |list: &[Firing]| -> Vec<Value> {
                list.iter().map(|alert| json!({"labels": alert.labels, "annotations": alert.annotations})).collect()
            };
            let (missing, surplus) = (firing(missing), firing(surplus));
            json!({"line": line, "at_ms": at_ms, "alert": alert, "known": known, "missing": missing, "surplus": surplus})
        }
        What::Samples { query, missing, surplus } => {
            let (missing, surplus) = (samples_json(missing), samples_json(surplus));
            json!({"line": line, "at_ms": at_ms, "query": query, "missing": missing, "surplus": surplus})
        }
        What::Query { query, why } => json!({"line": line, "at_ms": at_ms, "query": query, "why": why}),
        What::Rule { rule, why } => json!({"line": line, "at_ms": at_ms, "rule": rule, "why": why}),
    }
}

/// Values are texts, as in Prometheus' HTTP API: JSON has no NaN.
fn samples_json(samples: &[(Labels, f64)]) -> Vec<Value> {
    let labels = |labels: &Labels| -> BTreeMap<String, String> {
        labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect()
    };
    samples.iter().map(|(name, value)| json!({"labels": labels(name), "value": number(*value)})).collect()
}
