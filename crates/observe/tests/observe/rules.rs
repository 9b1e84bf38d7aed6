//! Rules, asked of promtool: which files it takes, and what it sees of alerts and recorded series after each evaluation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use prograde_observe::evaluate::Options;
use prograde_observe::rules::alert::{self, Alerts};
use prograde_observe::rules::record::{ended, record};
use prograde_observe::rules::{Group, Rule, answer, parse};
use prograde_observe::{Labels, Memory, Sample, Series};

use super::corpus::{self, BEGIN_MS};
use super::peer;

/// Runs promtool in a folder. `None` where it is not installed, which is a failure in CI.
pub(crate) fn promtool(folder: &Path, arguments: &[&str]) -> Option<(bool, String)> {
    match Command::new("promtool").args(arguments).current_dir(folder).output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
            Some((output.status.success(), said))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            peer::missing("promtool");
            None
        }
        Err(error) => panic!("promtool can't be run: {error}"),
    }
}

#[test]
fn promtool_takes_and_refuses_the_same_rule_files() {
    let rule = |fields: &str| format!("groups:\n- name: g\n  rules:\n  - {{ {fields} }}\n");
    let group = |fields: &str| format!("groups:\n- {{ {fields} }}\n");
    let files = [
        rule("record: a, expr: up"),
        rule("record: 'job:up:sum', expr: sum(up), labels: { a: b }"),
        rule("alert: A, expr: up == 0, for: 5m, keep_firing_for: 1h, labels: { a: b }, annotations: { c: d }"),
        rule("alert: A, expr: up == 0, for: 0"),
        rule("alert: A, expr: up == 0, for: 0s, labels: { severity: 5, page: true }"),
        rule("alert: A, expr: 1"),
        rule("alert: A, expr: 1.5"),
        rule("alert: 'any name é', expr: vector(1)"),
        group("name: g"),
        group("name: g, interval: 1m30s, limit: 5, rules: []"),
        group("name: g, interval: 0s, limit: 0"),
        "groups: []\n".to_owned(),
        "groups:\n- name: a\n- name: b\n".to_owned(),
        rule("record: a, expr: up, for: 5m"),
        rule("record: a, expr: up, keep_firing_for: 5m"),
        rule("record: a, expr: up, annotations: { a: b }"),
        rule("record: a-b, expr: up"),
        rule("record: a"),
        rule("alert: A"),
        rule("alert: A, record: a, expr: up"),
        rule("expr: up"),
        rule("alert: A, expr: 'sum('"),
        rule("alert: A, expr: ''"),
        rule("alert: A, expr: up, for: soon"),
        rule("alert: A, expr: up, for: 5"),
        rule("alert: A, expr: up, for: -5m"),
        rule("alert: A, expr: up, labels: { __name__: b }"),
        rule("alert: A, expr: up, labels: { a-b: c }"),
        rule("alert: A, expr: up, annotations: { a-b: c }"),
        rule("alert: A, expr: up, labels: [a]"),
        rule("alert: A, expr: up, unknown: 1"),
        group("interval: 1m"),
        group("name: ''"),
        group("name: g, interval: often"),
        group("name: g, limit: x"),
        group("name: g, rules: { a: b }"),
        group("name: g, unknown: 1"),
        rule("alert: A, expr: up, annotations: { a: '{{ $value | humanize }} {{ $labels.job }}' }"),
        rule("alert: A, expr: up, labels: { a: '{{ query `up` | first | value }}' }"),
        rule("alert: A, expr: up, annotations: { a: '{{ gone }}' }"),
        rule("alert: A, expr: up, annotations: { a: '{{ tmpl `x` . }}' }"),
        rule("alert: A, expr: up, annotations: { a: '{{ $gone }}' }"),
        rule("alert: A, expr: up, labels: { a: '{{ $value' }"),
        rule("alert: A, expr: up, annotations: { a: '{{ end }}' }"),
        rule("record: a, expr: up, labels: { a: '{{ gone }}' }"),
        "groups:\n- name: a\n- name: a\n".to_owned(),
        "groups: 5\n".to_owned(),
        "unknown: []\n".to_owned(),
        "[]\n".to_owned(),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut differences = String::new();
    for text in files {
        fs::write(folder.path().join("rules.yml"), &text).unwrap();
        let Some((taken, said)) = promtool(folder.path(), &["check", "rules", "rules.yml"]) else { return };
        let ours = parse("rules.yml", &text);
        if ours.is_ok() != taken {
            writeln!(differences, "{text}\n  ours: {ours:?}\n  theirs: {taken} {said}").unwrap();
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

const RULES: &str = "
groups:
- name: first
  rules:
  - record: job:errors:rate5m
    expr: sum by (job) (rate(ru_errors_total[5m]))
    labels: { kind: errors }
  - record: ru_constant
    expr: 3
  - alert: Errors
    expr: job:errors:rate5m > 0.05
    for: 3m
    keep_firing_for: 4m
    labels: { severity: page, kind: '' }
  - alert: Down
    expr: ru_up == 0
    labels: { job: other }
  - alert: Flaps
    expr: ru_flaps > 0
    for: 2m
  - alert: Missing
    expr: absent(ru_up{i=\"1\"})
    keep_firing_for: 90s
- name: second
  limit: 2
  rules:
  - alert: Limited
    expr: ru_up == 0
    for: 1m
- name: third
  rules:
  - record: ru_firing
    expr: count by (alertname) (ALERTS{alertstate=\"firing\"})
";

/// One evaluation after the other, each into the store, as Prometheus does it; gives what each evaluation wrote.
fn evaluate_all(groups: &[Group], memory: &mut Memory, minutes: i64) -> Vec<Vec<(Labels, f64)>> {
    let rules: Vec<(&Rule, Option<usize>)> =
        groups.iter().flat_map(|group| group.rules.iter().map(|rule| (rule, group.limit))).collect();
    let mut alerts: BTreeMap<usize, Alerts> = BTreeMap::new();
    let mut written_before: BTreeMap<usize, BTreeSet<Labels>> = BTreeMap::new();
    let mut all = Vec::new();
    for minute in 0..=minutes {
        let now = minute * 60_000;
        let mut at_once = Vec::new();
        for (index, (rule, limit)) in rules.iter().enumerate() {
            let expression = match rule {
                Rule::Recording(rule) => &rule.expression,
                Rule::Alerting(rule) => &rule.expression,
            };
            let found = answer(expression, memory, now, &Options::default()).unwrap();
            let written = match rule {
                Rule::Recording(rule) => record(rule, found, *limit).unwrap(),
                Rule::Alerting(rule) => {
                    let before = alerts.remove(&index).unwrap_or_default();
                    let after = alert::next(rule, &before, &found, now, *limit, &|text, _, _| text.to_owned());
                    let after = after.unwrap();
                    let written = alert::series(&after);
                    alerts.insert(index, after);
                    written
                }
            };
            let before = written_before.remove(&index).unwrap_or_default();
            for labels in ended(&before, &written) {
                memory.push(&labels, Sample::stale(now));
            }
            for (labels, value) in &written {
                memory.push(labels, Sample { timestamp: now, value: *value });
            }
            written_before.insert(index, written.iter().map(|(labels, _)| labels.clone()).collect());
            at_once.extend(written);
        }
        all.push(at_once);
    }
    all
}

/// A file for `promtool test rules` that expects, at each minute, what we wrote then.
/// promtool takes groups in any order but the one that it is told.
fn expectations(groups: &[Group], series: &[Series], evaluations: &[Vec<(Labels, f64)>]) -> String {
    let order: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
    let mut text = format!(
        "rule_files: [rules.yml]\nevaluation_interval: 1m\ngroup_eval_order: [{}]\n\
         tests:\n- interval: 1m\n  input_series:\n",
        order.join(", ")
    );
    for series in series {
        let last = series.samples.last().map_or(0, |sample| sample.timestamp / 60_000);
        let values = (0..=last).map(|minute| {
            let sample = series.samples.iter().find(|sample| sample.timestamp == minute * 60_000);
            sample.map_or(
                "_".to_owned(),
                |sample| if sample.is_stale() { "stale".to_owned() } else { sample.value.to_string() },
            )
        });
        let values: Vec<String> = values.collect();
        writeln!(text, "  - series: '{}'\n    values: '{}'", series.labels, values.join(" ")).unwrap();
    }
    text.push_str("  promql_expr_test:\n");
    for (minute, written) in evaluations.iter().enumerate() {
        for name in ["ALERTS", "ALERTS_FOR_STATE", "job:errors:rate5m", "ru_constant", "ru_firing"] {
            writeln!(text, "  - expr: {name}\n    eval_time: {minute}m\n    exp_samples:").unwrap();
            for (labels, value) in written.iter().filter(|(labels, _)| labels.get("__name__") == name) {
                writeln!(text, "    - labels: '{labels}'\n      value: {value}").unwrap();
            }
        }
    }
    text
}

#[test]
fn promtool_sees_the_same_alerts_and_recorded_series() {
    let groups = parse("rules.yml", RULES).unwrap();
    let mut series: Vec<Series> = corpus::read().series;
    series.retain(|series| series.labels.get("__name__").starts_with("ru_"));
    assert!(series.len() > 3, "the corpus has no series for rules");
    let mut memory = Memory::default();
    for series in &mut series {
        for sample in &mut series.samples {
            // promtool's time begins in 1970.
            sample.timestamp -= BEGIN_MS;
            memory.push(&series.labels, *sample);
        }
    }
    let evaluations = evaluate_all(&groups, &mut memory, 60);
    let states = evaluations.iter().flatten().filter(|(labels, _)| labels.get("alertstate") == "firing");
    assert!(states.count() > 30, "hardly anything fires");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.yml"), RULES).unwrap();
    let expected = expectations(&groups, &series, &evaluations);
    fs::write(folder.path().join("test.yml"), &expected).unwrap();
    let Some((passed, said)) = promtool(folder.path(), &["test", "rules", "test.yml"]) else { return };
    assert!(passed, "{}", said.lines().take(60).collect::<Vec<_>>().join("\n"));
    // That it would have said so: one expectation changed.
    fs::write(folder.path().join("test.yml"), expected.replacen("value: 3\n", "value: 4\n", 1)).unwrap();
    assert!(!promtool(folder.path(), &["test", "rules", "test.yml"]).unwrap().0);
}
