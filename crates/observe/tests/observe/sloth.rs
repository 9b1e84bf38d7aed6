//! What is made of Sloth's files, beside what Sloth itself makes of them: the same series, with the same values, and alerts
//! that fire at the same times.
//!
//! Sloth's shortcut for the longest window, an average of averages, is switched off: ours asks for the window itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use prograde_observe::evaluate::Options;
use prograde_observe::objective::{self, read};
use prograde_observe::rules::{self, Rule};
use prograde_observe::{Labels, Memory, Sample};
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::peer::missing;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;
const BEGIN_MS: i64 = 1_780_000_000_000;
const CASES: usize = 24;

/// Labels that tell who made a series, and nothing else.
const MAKERS: [&str; 3] = ["sloth_mode", "sloth_spec", "sloth_version"];

/// A file of one objective.
fn file() -> impl Strategy<Value = String> {
    let percent = proptest::sample::select(vec!["50", "90", "95", "99", "99.5", "99.9", "99.95", "99.99", "99.999"]);
    let indicator = proptest::sample::select(vec![
        "events: { error_query: 'sum(rate(requests_total{code=~\"5..\"}[{{.window}}]))', total_query: 'sum(rate(requests_total[{{ .window }}]))' }",
        "events: { error_query: 'sum(increase(requests_total{code=\"500\"}[{{.window}}]))', total_query: 'sum(increase(requests_total[{{.window}}]))' }",
        "raw: { error_ratio_query: 'sum(rate(requests_total{code!=\"200\"}[{{.window}}])) / sum(rate(requests_total[{{.window}}]))' }",
    ]);
    let alerts = proptest::sample::select(vec![
        "page_alert: {}, ticket_alert: {}",
        "page_alert: { labels: { severity: critical } }, ticket_alert: { disable: true }",
        "page_alert: { disable: true }, ticket_alert: { labels: { severity: info, team: other } }",
        "labels: { category: x }, page_alert: { annotations: { a: b } }, ticket_alert: { labels: { category: y } }",
    ]);
    let labels = proptest::sample::select(vec!["{}", "{ team: launch }", "{ team: launch, tier: '1' }"]);
    (percent, indicator, alerts, labels.clone(), labels).prop_map(|(percent, indicator, alerts, of_file, own)| {
        format!(
            "version: prometheus/v1\nservice: pad\nlabels: {of_file}\nslos:\n- name: availability\n  objective: {percent}\n  \
             labels: {own}\n  sli: {{ {indicator} }}\n  alerting: {{ name: PadAvailability, {alerts} }}\n"
        )
    })
}

/// What Sloth makes of a file; nothing where it is not installed, which is a failure in CI.
fn sloth(text: &str) -> Option<Vec<Rule>> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/sloth/sloth");
    if !program.exists() {
        missing("sloth");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slo.yml");
    std::fs::write(&path, text).unwrap();
    let made =
        Command::new(program).args(["generate", "--no-log", "--disable-optimized-rules", "-i"]).arg(path).output();
    let made = made.unwrap();
    assert!(made.status.success(), "{text}\n{}", String::from_utf8_lossy(&made.stderr));
    Some(of_file("sloth.yml", &String::from_utf8(made.stdout).unwrap()))
}

fn ours(text: &str) -> Vec<Rule> {
    let read = read(&[("slo.yml".to_owned(), text.to_owned())]).unwrap();
    of_file("ours.yml", &objective::rules::file(&read.objectives))
}

fn of_file(name: &str, text: &str) -> Vec<Rule> {
    let groups = rules::parse(name, text).unwrap_or_else(|found| panic!("{found}\n{text}"));
    groups.into_iter().flat_map(|group| group.rules).collect()
}

/// A series' name, and its labels but those that tell who made it.
type Recorded = (String, BTreeSet<(String, String)>);

/// Recording rules by what they record.
fn recordings(rules: &[Rule]) -> BTreeMap<Recorded, &rules::Recording> {
    fn one(rule: &Rule) -> Option<(Recorded, &rules::Recording)> {
        match rule {
            Rule::Recording(recording) => {
                let labels = recording.labels.iter().filter(|(name, _)| !MAKERS.contains(&name.as_str())).cloned();
                Some(((recording.record.clone(), labels.collect()), recording))
            }
            Rule::Alerting(_) => None,
        }
    }
    rules.iter().filter_map(one).collect()
}

/// Burn-rate alerts by their severity.
fn alerts(rules: &[Rule]) -> BTreeMap<String, &rules::Alerting> {
    fn one(rule: &Rule) -> Option<(String, &rules::Alerting)> {
        let Rule::Alerting(alert) = rule else { return None };
        let severity = alert.labels.iter().find(|(name, _)| name == "sloth_severity").unwrap().1.clone();
        (alert.alert != "ErrorBudgetHalfSpent").then_some((severity, alert))
    }
    rules.iter().filter_map(one).collect()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

/// A month of requests, with hours in which more of them fail.
fn requests(runner: &mut TestRunner) -> Memory {
    let mut store = Memory::default();
    let hour =
        (0_u32..100, 0_u32..20).prop_map(|(good, bad)| (f64::from(good), if bad < 15 { 0.0 } else { f64::from(bad) }));
    let (mut good, mut bad) = (0.0, 0.0);
    for hour_at in 0..31 * 24 {
        let (more_good, more_bad) = hour.new_tree(runner).unwrap().current();
        for slot in 0..12 {
            (good, bad) = (good + more_good, bad + more_bad);
            let timestamp = BEGIN_MS + (hour_at * 12 + slot) * 5 * MINUTE_MS;
            for (code, value) in [("200", good), ("500", bad)] {
                store.push(&labels(&[("__name__", "requests_total"), ("code", code)]), Sample { timestamp, value });
            }
        }
    }
    store
}

/// Recorded ratios around the limits at which alerts fire.
fn ratios(runner: &mut TestRunner, text: &str) -> Memory {
    let objectives = read(&[("slo.yml".to_owned(), text.to_owned())]).unwrap().objectives;
    let budget = 1.0 - objectives[0].target;
    let mut store = Memory::default();
    let times_budget = proptest::sample::select(vec![0.0, 0.5, 1.5, 2.5, 3.5, 5.5, 6.5, 14.0, 15.0]);
    for step in 0..200 {
        for window in ["5m", "30m", "1h", "2h", "6h", "1d", "3d"] {
            // A share of events: no more than all of them are bad.
            let value = (times_budget.new_tree(runner).unwrap().current() * budget).min(1.0);
            let name = format!("slo:sli_error:ratio_rate{window}");
            let series = labels(&[
                ("__name__", &name),
                ("sloth_id", "pad-availability"),
                ("sloth_service", "pad"),
                ("sloth_slo", "availability"),
                ("sloth_window", window),
            ]);
            store.push(&series, Sample { timestamp: BEGIN_MS + step * MINUTE_MS, value });
        }
    }
    store
}

fn close(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

#[test]
fn rules_record_the_same_and_alerts_fire_at_the_same_times_as_sloths() {
    let mut runner = TestRunner::deterministic();
    let store = requests(&mut runner);
    let (options, mut compared, mut fired) = (Options::default(), 0, 0);
    for _ in 0..CASES {
        let text = file().new_tree(&mut runner).unwrap().current();
        let (Some(theirs), ours) = (sloth(&text), ours(&text)) else { return };
        let (their_recordings, our_recordings) = (recordings(&theirs), recordings(&ours));
        assert_eq!(their_recordings.keys().collect::<Vec<_>>(), our_recordings.keys().collect::<Vec<_>>(), "{text}");
        for (key, their) in &their_recordings {
            for at_ms in [1, 5, 20, 30].map(|day| BEGIN_MS + day * DAY_MS) {
                let answer = |of: &rules::Recording| rules::answer(&of.expression, &store, at_ms, &options).unwrap();
                let (theirs, ours) = (answer(their), answer(our_recordings[key]));
                assert_eq!(theirs.len(), ours.len(), "{key:?}\n{text}");
                for ((_, theirs), (_, ours)) in theirs.iter().zip(&ours) {
                    assert!(close(*theirs, *ours), "{key:?} {theirs} {ours}\n{text}");
                    compared += 1;
                }
            }
        }
        let (their_alerts, our_alerts) = (alerts(&theirs), alerts(&ours));
        let recorded = ratios(&mut runner, &text);
        for (severity, their) in &their_alerts {
            let answer = |of: &rules::Alerting, step: i64| {
                rules::answer(&of.expression, &recorded, BEGIN_MS + step * MINUTE_MS, &options).unwrap()
            };
            let Some(our) = our_alerts.get(severity) else {
                // Ours is left out where it takes more than all events to be bad, such as 14.4 times half of them.
                assert!((0..200).all(|step| answer(their, step).is_empty()), "{severity}\n{text}");
                continue;
            };
            assert_eq!((&their.alert, their.for_ms), (&our.alert, our.for_ms));
            for label in &their.labels {
                assert!(our.labels.contains(label), "{label:?} of {severity}: {:?}\n{text}", our.labels);
            }
            for step in 0..200 {
                let (theirs, ours) = (answer(their, step), answer(our, step));
                assert_eq!(theirs.len(), ours.len(), "{severity} at step {step}: {theirs:?} {ours:?}\n{text}");
                fired += theirs.len();
            }
        }
    }
    assert!(compared > CASES * 30 && fired > CASES * 20, "too little was compared: {compared} values, {fired} alerts");
}
