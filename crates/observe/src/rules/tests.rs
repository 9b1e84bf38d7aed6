//! What rule files may hold, and how alerts go on; `tests/observe` asks promtool the same.

use std::collections::BTreeSet;

use super::alert::{self, Alerts, Standing};
use super::record::{ended, record};
use super::{Alerting, Group, Rule, RuleError, parse};
use crate::labels::Labels;
use crate::sample::Sample;
use crate::store::Memory;

fn only_group(text: &str) -> Group {
    parse("rules.yml", text).unwrap().remove(0)
}

fn alerting(fields: &str) -> Alerting {
    let text = format!("groups:\n- name: g\n  rules:\n  - {{ alert: Down, expr: up == 0, {fields} }}\n");
    match only_group(&text).rules.remove(0) {
        Rule::Alerting(rule) => rule,
        Rule::Recording(rule) => panic!("{rule:?}"),
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn expand(template: &str, labels: &Labels, value: f64) -> String {
    template.replace("{{ $value }}", &value.to_string()).replace("{{ $labels.job }}", labels.get("job"))
}

/// How the alert of one series goes on, a minute a letter: `x` in the answer, `.` not. Told as `p`ending, `F`iring,
/// `r`esolved, or nothing (`-`).
fn story(rule: &Alerting, seen: &str) -> String {
    let series = labels(&[("__name__", "up"), ("job", "pad")]);
    let mut alerts = Alerts::new();
    let mut told = String::new();
    for (minute, letter) in (0_i64..).zip(seen.chars()) {
        let answer: Vec<_> = (letter == 'x').then(|| (series.clone(), 0.0)).into_iter().collect();
        alerts = alert::next(rule, &alerts, &answer, minute * 60_000, None, &expand).unwrap();
        told.push(match alerts.values().next().map(|alert| alert.standing) {
            None => '-',
            Some(Standing::Pending) => 'p',
            Some(Standing::Firing { .. }) => 'F',
            Some(Standing::Resolved { .. }) => 'r',
        });
    }
    told
}

#[test]
fn an_alert_waits_fires_and_is_resolved() {
    assert_eq!(story(&alerting(""), "x.x"), "FrF");
    assert_eq!(story(&alerting("for: 2m"), "xx.xxxx..x"), "pp-ppFFrrp");
    assert_eq!(story(&alerting("for: 1m, keep_firing_for: 3m"), "xx..x....x"), "pFFFFFFFrp");
    assert_eq!(story(&alerting("keep_firing_for: 1m"), "x..."), "FFrr");
}

#[test]
fn a_resolved_alert_is_remembered_for_a_while() {
    assert_eq!(story(&alerting(""), "x.................."), "Frrrrrrrrrrrrrrrr--");
}

#[test]
fn an_alert_carries_its_rules_labels_and_annotations() {
    let rule = alerting(
        "labels: { severity: page, job: '', of: '{{ $labels.job }}' }, annotations: { summary: 'at {{ $value }}' }",
    );
    let answer = [(labels(&[("__name__", "up"), ("job", "pad"), ("i", "1")]), 2.5)];
    let alerts = alert::next(&rule, &Alerts::new(), &answer, 90_500, None, &expand).unwrap();
    let (name, found) = alerts.iter().next().unwrap();
    assert_eq!(name.to_string(), r#"{alertname="Down", i="1", of="pad", severity="page"}"#);
    assert_eq!(found.annotations["summary"], "at 2.5");
    let series: Vec<String> =
        alert::series(&alerts).iter().map(|(labels, value)| format!("{labels} {value}")).collect();
    assert_eq!(
        series,
        [
            r#"ALERTS{alertname="Down", alertstate="firing", i="1", of="pad", severity="page"} 1"#,
            r#"ALERTS_FOR_STATE{alertname="Down", i="1", of="pad", severity="page"} 90"#,
        ]
    );
}

#[test]
fn alerts_go_on_after_a_restart_where_they_were() {
    let rule = alerting("for: 5m");
    let answer = [(labels(&[("i", "1")]), 1.0)];
    let began = |ms: i64| alert::next(&rule, &Alerts::new(), &answer, ms, None, &expand).unwrap();
    // Active from minute 10 on, written until `last`, and evaluated again at `now`, in minutes.
    let after = |last: i64, stale: bool, now: i64| {
        let mut memory = Memory::default();
        let before = began(600_000);
        for (labels, value) in alert::series(&before) {
            memory.push(&labels, Sample { timestamp: last * 60_000, value });
            if stale {
                memory.push(&labels, Sample::stale(last * 60_000 + 1));
            }
        }
        let mut alerts = began(now * 60_000);
        alert::restore(&rule, &mut alerts, &memory, now * 60_000).unwrap();
        let alert = alerts.into_values().next().unwrap();
        (now * 60_000 - alert.active_since_ms, matches!(alert.standing, Standing::Firing { .. }))
    };
    assert_eq!(after(13, false, 30), (180_000, false), "of five minutes three had passed, and still have");
    assert_eq!(after(16, false, 30), (360_000, true), "it had fired");
    assert_eq!(after(16, true, 30), (0, false), "it had been resolved");
    assert_eq!(after(16, false, 77), (0, false), "that is too long ago");
}

#[test]
fn two_series_of_one_alert_and_too_many_alerts_are_errors() {
    let answer = [(labels(&[("i", "1")]), 1.0), (labels(&[("i", "2")]), 1.0)];
    let next = |fields: &str, limit| alert::next(&alerting(fields), &Alerts::new(), &answer, 0, limit, &expand);
    assert!(matches!(next("labels: { i: same }", None), Err(RuleError::SameLabels(_))));
    assert!(matches!(next("", Some(1)), Err(RuleError::Limit { found: 2, limit: 1 })));
    assert_eq!(next("", Some(2)).unwrap().len(), 2);
}

#[test]
fn a_recording_rule_renames_its_answer() {
    let text = "groups:\n- name: g\n  rules:\n  - { record: job:up:sum, expr: sum by (job) (up), labels: { a: b, job: '' } }\n";
    let Rule::Recording(rule) = only_group(text).rules.remove(0) else { panic!("no recording rule") };
    let recorded = record(&rule, vec![(labels(&[("job", "x")]), 3.0)], None).unwrap();
    assert_eq!(recorded, [(labels(&[("__name__", "job:up:sum"), ("a", "b")]), 3.0)]);
    let both = vec![(labels(&[("job", "x")]), 3.0), (labels(&[("job", "y")]), 4.0)];
    assert!(matches!(record(&rule, both, None), Err(RuleError::SameLabels(_))));
    let before: BTreeSet<Labels> = [labels(&[("a", "1")]), labels(&[("a", "2")])].into();
    assert_eq!(ended(&before, &[(labels(&[("a", "2")]), 1.0)]), [labels(&[("a", "1")])]);
}

#[test]
fn all_findings_of_a_file_are_told_with_their_places() {
    let text = "\
groups:
- name: first
  interval: soon
  limit: many
  rules:
  - record: a-b
    expr: sum(
    for: 5m
  - alert: A
    expr: up[5m]
    keep_fireing_for: 5m
    labels: { __name__: x, a.b: y, list: [1] }
  - alert: B
    record: b
    expr: 1
  - expr: up
  - alert: C
  - up
- name: first
- rules: {}
unknown: 1
";
    let found = parse("rules.yml", text).unwrap_err();
    insta::assert_snapshot!(found.to_string());
    assert!(parse("rules.yml", "groups: []\n---\ngroups: []\n").is_err());
    assert!(parse("rules.yml", "").unwrap().is_empty());
}
