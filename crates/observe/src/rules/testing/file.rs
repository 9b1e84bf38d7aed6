//! Files of tests, read strictly; all findings are told at once.

use std::collections::BTreeMap;

use prograde_model::diagnostic::Diagnostics;
use prograde_yaml::{Node, Value};

use super::notation::{self, SAMPLES_MAX};
use super::{AlertCase, Firing, QueryCase, Suite, Test};
use crate::labels::Labels;
use crate::promql;
use crate::rules::reader::Reader;
use crate::rules::template::External;

/// The code of every finding but those about YAML itself.
pub const CODE: &str = "PG0641";

/// How far evaluations are apart if the file does not say so.
const INTERVAL_MS: i64 = 60_000;
/// How many times the rules of a test are evaluated at most.
const EVALUATIONS_MAX: i64 = 1_000_000;

const SUITE_FIELDS: [&str; 4] = ["rule_files", "evaluation_interval", "group_eval_order", "tests"];
const TEST_FIELDS: [&str; 7] =
    ["interval", "input_series", "alert_rule_test", "promql_expr_test", "external_labels", "external_url", "name"];

/// Reads a file of tests; `file` is only for messages.
pub fn parse(file: &str, text: &str) -> Result<Suite, Diagnostics> {
    let documents = prograde_yaml::documents(file, text)?;
    let mut reader = Reader::new(file, CODE);
    let mut suite = Suite { rule_files: Vec::new(), interval_ms: INTERVAL_MS, order: Vec::new(), tests: Vec::new() };
    match documents.as_slice() {
        [] => {}
        [document] => reader.suite(document, &mut suite),
        [_, second, ..] => reader.report(second, "a file of tests is one document", "make two files of it"),
    }
    reader.finished(suite)
}

impl Reader<'_> {
    fn suite(&mut self, node: &Node, suite: &mut Suite) {
        if !self.mapping(node, "a file of rule tests", &SUITE_FIELDS) {
            return;
        }
        suite.interval_ms = self.duration(node, "evaluation_interval").filter(|ms| *ms > 0).unwrap_or(INTERVAL_MS);
        for item in self.items(node, "rule_files") {
            suite.rule_files.extend(self.scalar(item, "rule_files").map(|pattern| (pattern, item.line)));
        }
        for item in self.items(node, "group_eval_order") {
            let Some(name) = self.scalar(item, "group_eval_order") else { continue };
            if suite.order.contains(&name) {
                self.report(item, format!("the group `{name}` is named twice"), "name each group once");
            }
            suite.order.push(name);
        }
        for item in self.items(node, "tests") {
            if self.mapping(item, "a test", &TEST_FIELDS) {
                let test = self.test(item);
                self.check_length(item, &test, suite.interval_ms);
                suite.tests.push(test);
            }
        }
    }

    fn test(&mut self, node: &Node) -> Test {
        let interval_ms = self.duration(node, "interval").unwrap_or(0);
        let external_labels = self.texts(node, "external_labels").into_iter().collect();
        let external = External { labels: external_labels, url: self.text(node, "external_url").unwrap_or_default() };
        let mut series = BTreeMap::new();
        let mut samples = 0_usize;
        for item in self.items(node, "input_series") {
            let Some((labels, values)) = self.series(item) else { continue };
            samples = samples.saturating_add(values.len());
            if values.len() > 1 && interval_ms == 0 {
                self.report(
                    node,
                    "the test has series and no `interval`",
                    "say how far samples are apart: `interval: 1m`",
                );
            }
            // As in Prometheus, a series that is written twice is the later one.
            series.insert(labels, values);
        }
        if samples > SAMPLES_MAX {
            self.report(node, format!("the test has more than {SAMPLES_MAX} samples"), "make several tests of it");
        }
        let alerts = self.items(node, "alert_rule_test").iter().filter_map(|item| self.alert_case(item)).collect();
        let queries = self.items(node, "promql_expr_test").iter().filter_map(|item| self.query_case(item)).collect();
        let name = self.text(node, "name").filter(|name| !name.is_empty());
        Test { name, line: node.line, interval_ms, series, external, alerts, queries }
    }

    fn check_length(&mut self, node: &Node, test: &Test, interval_ms: i64) {
        if test.ends_ms() / interval_ms >= EVALUATIONS_MAX {
            let message = format!("the rules would be evaluated more than {EVALUATIONS_MAX} times");
            self.report(node, message, "lengthen `evaluation_interval`, or make `eval_time` earlier");
        }
    }

    fn series(&mut self, node: &Node) -> Option<(Labels, Vec<Option<f64>>)> {
        if !self.mapping(node, "a series", &["series", "values"]) {
            return None;
        }
        let labels = self.read(node, "series", notation::labels);
        let values = match node.get("values") {
            // YAML takes `0x9` for the number 9, where promtool reads ten zeros.
            Some(value) if matches!(value.value, Value::Number(_)) => {
                self.report(value, "a number in `values` can't be told from other notations of it", "put it in quotes");
                None
            }
            Some(_) => self.read(node, "values", notation::values),
            None => Some(Vec::new()),
        };
        Some((labels?, values?))
    }

    /// What a field's text means.
    fn read<T>(&mut self, node: &Node, field: &str, read: fn(&str) -> Result<T, String>) -> Option<T> {
        let Some(value) = node.get(field) else {
            self.report(node, format!("there is no `{field}`"), "add it");
            return None;
        };
        let text = match &value.value {
            Value::Number(number) => number.to_string(),
            Value::Null => String::new(),
            Value::Bool(_) | Value::String(_) | Value::Sequence(_) | Value::Mapping(_) => self.scalar(value, field)?,
        };
        read(&text).map_err(|why| self.report(value, why, "")).ok()
    }

    fn alert_case(&mut self, node: &Node) -> Option<AlertCase> {
        if !self.mapping(node, "an alert's test", &["eval_time", "alertname", "exp_alerts"]) {
            return None;
        }
        let at_ms = self.duration(node, "eval_time").unwrap_or(0);
        let alert = self.text(node, "alertname").filter(|alert| !alert.is_empty());
        if alert.is_none() {
            self.report(node, "an alert's test must name the alert", "add `alertname`");
        }
        let mut expected = Vec::new();
        for item in self.items(node, "exp_alerts") {
            if self.mapping(item, "an alert", &["exp_labels", "exp_annotations"]) {
                let mut labels: BTreeMap<String, String> = self.texts(item, "exp_labels").into_iter().collect();
                labels.insert("alertname".to_owned(), alert.clone().unwrap_or_default());
                expected
                    .push(Firing { labels, annotations: self.texts(item, "exp_annotations").into_iter().collect() });
            }
        }
        Some(AlertCase { line: node.line, at_ms, alert: alert?, expected })
    }

    fn query_case(&mut self, node: &Node) -> Option<QueryCase> {
        if !self.mapping(node, "a query's test", &["expr", "eval_time", "exp_samples"]) {
            return None;
        }
        let at_ms = self.duration(node, "eval_time").unwrap_or(0);
        let parsed = self.read(node, "expr", |query| {
            let parsed = promql::parse(query).map_err(|error| format!("the query can't be read: {error}"));
            Ok((query.to_owned(), parsed?))
        });
        let mut expected = Vec::new();
        for item in self.items(node, "exp_samples") {
            if self.mapping(item, "a sample", &["labels", "value"]) {
                let labels = match item.get("labels") {
                    Some(_) => self.read(item, "labels", notation::labels),
                    None => Some(Labels::default()),
                };
                expected.extend(labels.zip(self.number(item)));
            }
        }
        let (query, expression) = parsed?;
        Some(QueryCase { line: node.line, at_ms, query, expression, expected })
    }

    /// The `value` of a sample; 0 if there is none.
    fn number(&mut self, node: &Node) -> Option<f64> {
        let Some(value) = node.get("value") else { return Some(0.0) };
        let number = match &value.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim_start_matches('.').parse().ok(),
            Value::Null | Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => None,
        };
        if number.is_none() {
            self.report(value, "expected a number in `value`", "write `Inf` and `NaN` in quotes");
        }
        number
    }

    fn texts(&mut self, node: &Node, field: &str) -> Vec<(String, String)> {
        let Some(mapping) = node.get(field) else { return Vec::new() };
        if !matches!(mapping.value, Value::Mapping(_) | Value::Null) {
            self.report(mapping, format!("expected a mapping in `{field}`, found {}", mapping.kind()), "");
        }
        let entries = mapping.entries().iter();
        entries.filter_map(|(key, value)| Some((key.name.clone(), self.scalar(value, field)?))).collect()
    }
}

impl Test {
    /// When the last of what is expected is.
    pub(super) fn ends_ms(&self) -> i64 {
        let alerts = self.alerts.iter().map(|case| case.at_ms);
        alerts.chain(self.queries.iter().map(|case| case.at_ms)).max().unwrap_or(0)
    }

    /// How many expectations it has.
    pub fn count(&self) -> usize {
        self.alerts.len() + self.queries.len()
    }
}
