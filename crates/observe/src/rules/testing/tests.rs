//! Tests of the tests: what a file may hold, and what is told of what is not as expected. `tests/observe` asks promtool.

use super::{Failure, Suite, What, parse, run};
use crate::rules;

const RULES: &str = "
groups:
- name: later
  rules:
  - { record: doubled, expr: 2 * halved }
- name: first
  rules:
  - { record: halved, expr: load / 2 }
  - alert: Loaded
    expr: load > 5
    for: 2m
    labels: { severity: page }
    annotations: { summary: '{{ $labels.host }} has {{ $value }} in {{ $externalLabels.region }}' }
";

fn failures(tests: &str) -> Vec<Failure> {
    let suite: Suite = parse("test.yml", tests).unwrap();
    let groups = rules::parse("rules.yml", RULES).unwrap();
    suite.tests.iter().flat_map(|test| run(&suite, test, &groups)).collect()
}

#[test]
fn what_is_expected_is_found() {
    let found = failures(
        "
rule_files: [rules.yml]
group_eval_order: [first, later]
tests:
- interval: 1m
  external_labels: { region: eu }
  input_series:
  - { series: 'load{host=\"a\"}', values: '0+2x10' }
  alert_rule_test:
  - { eval_time: 4m, alertname: Loaded }
  - eval_time: 5m
    alertname: Loaded
    exp_alerts:
    - exp_labels: { host: a, severity: page }
      exp_annotations: { summary: a has 10 in eu }
  promql_expr_test:
  - expr: doubled
    eval_time: 5m
    exp_samples: [{ labels: 'doubled{host=\"a\"}', value: 10 }]
  - { expr: 0 / 0, exp_samples: [{ value: NaN }] }
",
    );
    assert_eq!(found, []);
}

#[test]
fn what_is_not_as_expected_is_told() {
    let found = failures(
        "
rule_files: [rules.yml]
tests:
- interval: 1m
  input_series:
  - { series: 'load{host=\"a\"}', values: '0+2x10' }
  alert_rule_test:
  - { eval_time: 6m, alertname: Loaded, exp_alerts: [{ exp_labels: { host: b } }] }
  - { eval_time: 6m, alertname: Gone, exp_alerts: [{}] }
  promql_expr_test:
  - { expr: load, eval_time: 1m, exp_samples: [{ labels: 'load{host=\"a\"}', value: 3 }] }
  - { expr: load * on () load, eval_time: 1m }
  - { expr: 'load[5m]', eval_time: 1m }
",
    );
    let lines: Vec<u32> = found.iter().map(|failure| failure.line).collect();
    assert_eq!(lines, [8, 9, 11, 12, 13]);
    let told: Vec<String> = found.iter().map(|failure| format!("{:?}", failure.what)).collect();
    assert!(told[0].contains("known: true") && told[0].contains("has 12 in "), "{}", told[0]);
    assert!(told[1].contains("known: false") && told[1].contains("surplus: []"), "{}", told[1]);
    assert!(told[2].starts_with("Samples") && told[2].contains("3.0") && told[2].contains("2.0"), "{}", told[2]);
    assert!(told[3].contains("missing: []") && told[3].contains("4.0"), "{}", told[3]);
    assert!(told[4].starts_with("Query"), "{}", told[4]);
}

#[test]
fn a_rule_that_fails_ends_its_test() {
    let text = "groups: [{ name: g, rules: [{ record: load, expr: vector(1) }] }]";
    let tests = "
tests:
- { interval: 1m, input_series: [{ series: load, values: 1 2 }], promql_expr_test: [{ expr: load, eval_time: 5m }] }
";
    let suite = parse("test.yml", tests).unwrap();
    let groups = rules::parse("rules.yml", text).unwrap();
    let found = run(&suite, &suite.tests[0], &groups);
    assert!(
        matches!(&found[..], [Failure { at_ms: 60_000, what: What::Rule { rule, .. }, .. }] if rule == "load"),
        "{found:?}"
    );
}

#[test]
fn all_findings_of_a_file_are_told_with_their_places() {
    let text = "\
rule_files: [a.yml, [b]]
evaluation_interval: often
group_eval_order: [a, a]
unknown: 1
tests:
- input_series:
  - { series: up, values: 1 2 }
  - { series: 'up[5m]', values: 1 }
  - { series: up, values: 1+x }
  - { values: 1 }
  alert_rule_test:
  - { eval_time: 5 }
  - { alertname: A, exp_alerts: [{ labels: {} }], exp_alert: [] }
  promql_expr_test:
  - { expr: 'sum(' }
  - { expr: up, exp_samples: [{ labels: 'up{', value: many }] }
  - { eval_time: 5m }
- { interval: 1m, alert_rule_test: [{ alertname: A, eval_time: 9y }] }
- 5
";
    insta::assert_snapshot!(parse("test.yml", text).unwrap_err().to_string());
    assert!(parse("test.yml", "tests: []\n---\ntests: []\n").is_err());
    assert!(parse("test.yml", "").unwrap().tests.is_empty());
}
