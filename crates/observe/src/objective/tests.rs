//! Files as teams write them, and what becomes of them.

use prograde_model::objective::{Indicator, Window, burn_windows};

use super::*;
use crate::evaluate::Options;
use crate::rules::{Rule, answer, parse};
use crate::sample::{Sample, Series};
use crate::store::Memory;

const SLOTH: &str = r#"
version: prometheus/v1
service: pad
labels: { team: launch }
slos:
  - name: availability
    objective: 99.9
    description: Orders are answered.
    sli:
      events:
        error_query: sum(rate(requests_total{code=~"5.."}[{{.window}}]))
        total_query: sum(rate(requests_total[{{ .window }}]))
    alerting:
      name: PadAvailability
      labels: { category: availability }
      annotations: { runbook: "https://runbooks.example/pad" }
      page_alert: { labels: { severity: critical } }
      ticket_alert: { disable: true }
"#;

const RESOURCE: &str = r#"
apiVersion: sloth.slok.dev/v1
kind: PrometheusServiceLevel
metadata:
  name: pad
  annotations: { prograde/environment: production }
spec:
  service: pad
  slos:
    - name: latency
      objective: 99
      sli: { raw: { errorRatioQuery: "avg_over_time(slow:ratio[{{.window}}])" } }
      alerting: { name: PadLatency, pageAlert: { disable: true }, ticketAlert: {} }
"#;

const OPENSLO: &str = r#"
apiVersion: openslo/v1
kind: DataSource
metadata: { name: here }
spec: { type: Prometheus, connectionDetails: { url: "http://prometheus:9090" } }
---
apiVersion: openslo/v1
kind: SLI
metadata: { name: good-requests }
spec:
  ratioMetric:
    counter: true
    good: { metricSource: { metricSourceRef: here, spec: { query: 'sum(requests_total{code!~"5.."})' } } }
    total: { metricSource: { metricSourceRef: here, spec: { query: 'sum(requests_total)' } } }
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: availability
  labels: { team: [a, b], cost-centre: x }
  annotations: { prograde/service: pad, prograde/environment: production }
spec:
  service: The Pad
  indicatorRef: good-requests
  timeWindow: [{ duration: 1M, calendar: { startTime: "2026-01-01 00:00:00", timeZone: Europe/Berlin } }]
  budgetingMethod: Occurrences
  objectives: [{ target: 0.99 }]
"#;

fn read_one(text: &str) -> Result<Read, String> {
    read(&[("slo.yml".to_owned(), text.to_owned())]).map_err(|found| found.to_string())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let found = read_one(text).unwrap_err();
    assert!(found.contains(expected) && found.contains("slo.yml:"), "{text}\n{found}");
}

#[test]
fn sloth_s_files_are_read() {
    let read = read_one(SLOTH).unwrap();
    let [objective] = read.objectives.as_slice() else { panic!("{read:?}") };
    assert_eq!((objective.id.as_str(), objective.target), ("pad-availability", 0.999));
    assert_eq!(objective.window, Window::Rolling(30 * 86_400_000));
    assert_eq!(objective.gate, Some(("pad".parse().unwrap(), None)));
    assert!(objective.alerting.ticket.is_none());
    assert_eq!(objective.alerting.page.as_ref().unwrap().labels["severity"], "critical");

    let read = read_one(RESOURCE).unwrap();
    let gate = ("pad".parse().unwrap(), Some("production".parse().unwrap()));
    assert_eq!(read.objectives[0].gate, Some(gate));
}

#[test]
fn openslo_s_files_are_read() {
    let read = read_one(&OPENSLO.replace("The Pad", "Pad")).unwrap();
    let [objective] = read.objectives.as_slice() else { panic!("{read:?}") };
    assert_eq!((objective.id.as_str(), objective.target), ("Pad-availability", 0.99));
    assert_eq!(objective.window.to_string(), "1M of the calendar, Europe/Berlin");
    assert_eq!(objective.gate, Some(("pad".parse().unwrap(), Some("production".parse().unwrap()))));
    assert_eq!(objective.labels["team"], "a,b");
    assert_eq!(objective.labels["cost_centre"], "x");
    assert!(read.notices[0].contains("connectionDetails"), "{:?}", read.notices);
    let total = "sum(rate(requests_total[{{.window}}]))";
    let good = "sum(rate(requests_total{code!~\"5..\"}[{{.window}}]))";
    let bad = format!("({total}) - (({good}) or 0 * ({total}))");
    assert_eq!(objective.indicator, Indicator::Events { bad, total: total.to_owned() });
}

fn slices(method: &str, metric: &str, objective: &str) -> String {
    format!(
        "apiVersion: openslo/v1\nkind: SLO\nmetadata: {{ name: a }}\nspec:\n  service: pad\n  indicator: {{ spec: {metric} }}\n  \
         timeWindow: [{{ duration: 4w, isRolling: true }}]\n  budgetingMethod: {method}\n  objectives: [{objective}]\n"
    )
}

const RAW: &str =
    "{ ratioMetric: { rawType: success, raw: { metricSource: { type: Prometheus, spec: { query: up_share } } } } }";
const THRESHOLD: &str = "{ thresholdMetric: { metricSource: { type: Prometheus, spec: { query: 'max(latency)' } } } }";
const EVENTS: &str = "{ ratioMetric: { counter: true, bad: { metricSource: { type: Prometheus, spec: { query: 'sum(bad)' } } }, \
                      total: { metricSource: { type: Prometheus, spec: { query: 'sum(all)' } } } } }";

#[test]
fn slices_and_moments_are_recorded_and_averaged() {
    let query = |method: &str, metric: &str, objective: &str| {
        let read = read_one(&slices(method, metric, objective)).unwrap();
        match read.objectives[0].indicator.clone() {
            Indicator::Recorded { query, every_ms } => (query, every_ms),
            other @ (Indicator::Events { .. } | Indicator::Ratio(_)) => panic!("{other:?}"),
        }
    };
    let target = "{ target: 0.9, op: lte, value: 0.5 }";
    assert_eq!(query("Occurrences", THRESHOLD, target), ("(max(latency)) > bool 0.5".to_owned(), None));
    assert_eq!(query("Occurrences", RAW, target).0, "1 - (up_share)");
    let sliced = "{ target: 0.9, timeSliceTarget: 0.95, timeSliceWindow: 1m, op: lte, value: 0.5 }";
    assert_eq!(
        query("Timeslices", EVENTS, sliced),
        ("(sum(rate(bad[1m]))) / ((sum(rate(all[1m]))) > 0) > bool 0.05".to_owned(), Some(60_000))
    );
    assert_eq!(query("RatioTimeslices", EVENTS, sliced).0, "(sum(rate(bad[1m]))) / ((sum(rate(all[1m]))) > 0)");
    assert_eq!(
        query("Timeslices", THRESHOLD, sliced).0,
        "avg_over_time(((max(latency)) > bool 0.5)[1m:5s]) > bool 0.05"
    );
}

#[test]
fn what_can_not_be_used_is_refused_with_its_place() {
    let target = "{ target: 0.9 }";
    refused(&slices("Averages", RAW, target), "`Averages` is no budgeting method");
    refused(&slices("Timeslices", RAW, target), "`timeSliceWindow` is missing");
    refused(&slices("Timeslices", RAW, "{ target: 0.9, timeSliceTarget: 0.9, timeSliceWindow: 1h }"), "[PG0682]");
    refused(&slices("Occurrences", THRESHOLD, target), "`op` is missing");
    refused(&slices("Occurrences", RAW, "{ target: 1 }"), "a target of 100% can't be kept an account of");
    refused(&slices("Occurrences", RAW, "{ target: 0.9, targetPercent: 90 }"), "either `target` or `targetPercent`");
    refused(
        &slices("Occurrences", RAW, target).replace("Prometheus", "Datadog"),
        "a source of type Datadog can't be asked",
    );
    refused(&slices("Occurrences", RAW, target).replace("4w", "1M"), "has no fixed length");
    refused(&slices("Occurrences", RAW, target).replace("up_share", "'sum('"), "[PG0681]");
    refused(
        &slices("Occurrences", EVENTS, target).replace("sum(bad)", "sum(rate(bad[5m]))"),
        "can't be asked over windows",
    );
    refused(
        &slices("Occurrences", RAW, target).replace("service: pad", "service: pad\n  colour: red"),
        "unknown field `colour`",
    );
    refused(&OPENSLO.replace("indicatorRef: good-requests", "indicatorRef: bad"), "there is no SLI called \"bad\"");
    refused(&OPENSLO.replace("Europe/Berlin", "Europe/Bonn"), "there is no time zone");
    refused(&OPENSLO.replace("openslo/v1\nkind: SLO", "openslo/v1alpha\nkind: SLO"), "is not read");
    refused(&SLOTH.replace("99.9", "100"), "a target of 100%");
    refused(&SLOTH.replace("[{{.window}}]", "[5m]"), "has no `{{.window}}`");
    refused(&SLOTH.replace("{{.window}}", "{{.range}}"), "[PG0681]");
    refused(&SLOTH.replace("      events:", "      plugin: { id: x }\n      events:"), "plugins are programs in Go");
    refused(&format!("{SLOTH}---{SLOTH}"), "there is an objective pad-availability already");
    refused("groups: []", "neither OpenSLO nor Sloth");
    refused("version: prometheus/v1\nservice: pad\nslos: []", "there is no objective");
}

#[test]
fn broken_and_hostile_files_are_refused_without_a_panic() {
    for text in [SLOTH, RESOURCE, OPENSLO, &slices("Timeslices", EVENTS, "{ target: 0.9 }")] {
        for end in 0..text.len() {
            if text.is_char_boundary(end) {
                let _either = read_one(&text[..end]);
            }
        }
        for (at, _) in text.char_indices() {
            let _either = read_one(&format!("{}{}", &text[..at], text[at..].replacen(char::is_alphanumeric, "{", 1)));
        }
    }
    let many = "x: {".repeat(10_000);
    assert!(read_one(&many).is_err());
}

#[test]
fn the_rules_of_every_objective_can_be_read_and_have_sloth_s_names() {
    let all = [SLOTH, RESOURCE, &OPENSLO.replace("The Pad", "Pad")].join("\n---\n");
    let rules = rules::file(&read_one(&all).unwrap().objectives);
    let groups = parse("rules", &rules).unwrap_or_else(|found| panic!("{rules}\n{found}"));
    let names: Vec<&str> = groups
        .iter()
        .take(3)
        .flat_map(|group| &group.rules)
        .map(|rule| match rule {
            Rule::Recording(rule) => rule.record.as_str(),
            Rule::Alerting(rule) => rule.alert.as_str(),
        })
        .collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    slo:sli_error:ratio_rate5m
    slo:sli_error:ratio_rate30m
    slo:sli_error:ratio_rate1h
    slo:sli_error:ratio_rate2h
    slo:sli_error:ratio_rate6h
    slo:sli_error:ratio_rate1d
    slo:sli_error:ratio_rate3d
    slo:sli_error:ratio_rate30d
    slo:objective:ratio
    slo:error_budget:ratio
    slo:time_period:days
    slo:current_burn_rate:ratio
    slo:period_burn_rate:ratio
    slo:period_error_budget_remaining:ratio
    sloth_slo_info
    PadAvailability
    ErrorBudgetHalfSpent
    ");
    let page = groups[2].rules.iter().find_map(|rule| match rule {
        Rule::Alerting(rule) if rule.alert == "PadAvailability" => Some(rule),
        Rule::Alerting(_) | Rule::Recording(_) => None,
    });
    insta::assert_snapshot!(page.unwrap().query, @r#"
    (
      max without (sloth_window) (slo:sli_error:ratio_rate5m{sloth_id="pad-availability", sloth_service="pad", sloth_slo="availability"} > (14.4 * 0.001))
      and
      max without (sloth_window) (slo:sli_error:ratio_rate1h{sloth_id="pad-availability", sloth_service="pad", sloth_slo="availability"} > (14.4 * 0.001))
    )
    or
    (
      max without (sloth_window) (slo:sli_error:ratio_rate30m{sloth_id="pad-availability", sloth_service="pad", sloth_slo="availability"} > (6 * 0.001))
      and
      max without (sloth_window) (slo:sli_error:ratio_rate6h{sloth_id="pad-availability", sloth_service="pad", sloth_slo="availability"} > (6 * 0.001))
    )
    "#);
}

/// A counter that rises by so many each 15 seconds, for some hours.
fn counter(labels: &[(&str, &str)], rise: f64, samples: i32) -> Series {
    let sample = |at: i32| Sample { timestamp: i64::from(at) * 15_000, value: rise * f64::from(at) };
    Series::of_floats(labels.iter().copied().collect(), (0..samples).map(sample).collect())
}

#[test]
fn the_ratio_is_that_of_the_events_also_where_nothing_is_bad_or_nothing_is_good() {
    let ratio = |text: &str, series: Vec<Series>| {
        let read = read_one(text).unwrap();
        let query = rules::bad_ratio(&read.objectives[0], 3_600_000);
        let mut store = Memory::default();
        for one in &series {
            one.samples.iter().for_each(|sample| store.push(&one.labels, *sample));
        }
        let answer = answer(&crate::promql::parse(&query).unwrap(), &store, 4_000_000, &Options::default()).unwrap();
        answer.first().map(|(_, value)| (value * 1e6).round() / 1e6)
    };
    let good = || counter(&[("__name__", "requests_total"), ("code", "200")], 990.0, 300);
    let bad = || counter(&[("__name__", "requests_total"), ("code", "500")], 10.0, 300);
    for text in [SLOTH, &OPENSLO.replace("The Pad", "Pad")] {
        assert_eq!(ratio(text, vec![good(), bad()]), Some(0.01));
        assert_eq!(ratio(text, vec![good()]), Some(0.0));
        assert_eq!(ratio(text, vec![bad()]), Some(1.0));
        assert_eq!(ratio(text, Vec::new()), None);
    }
}

#[test]
fn policies_of_a_team_take_the_place_of_the_two_alerts() {
    let policy = "
---
apiVersion: openslo/v1
kind: AlertPolicy
metadata: { name: fast }
spec:
  alertWhenBreaching: true
  conditions: [{ kind: AlertCondition, metadata: { name: burns-fast }, spec: { severity: page, condition:
    { kind: burnrate, threshold: 2, lookbackWindow: 90m, alertAfter: 5m } } }]
  notificationTargets: [{ targetRef: desk }]
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: { name: desk }
spec: { target: email }
";
    let text = slices("Occurrences", RAW, "{ target: 0.9 }") + "  alertPolicies: [{ alertPolicyRef: fast }]\n" + policy;
    let read = read_one(&text).unwrap();
    let rules = rules::file(&read.objectives);
    let groups = parse("rules", &rules).unwrap_or_else(|found| panic!("{rules}\n{found}"));
    let alerts: Vec<(String, i64, String)> = groups[2]
        .rules
        .iter()
        .filter_map(|rule| match rule {
            Rule::Alerting(rule) => Some((rule.alert.clone(), rule.for_ms, rule.query.clone())),
            Rule::Recording(_) => None,
        })
        .collect();
    assert_eq!((alerts[0].0.as_str(), alerts[0].1), ("BurnsFast", 300_000));
    assert!(
        alerts[0].2.starts_with("slo:sli_error:ratio_rate1h30m{") && alerts[0].2.ends_with("> (2 * 0.1)"),
        "{alerts:?}"
    );
    assert_eq!(alerts.len(), 2, "and that half is spent");
    assert!(rules.contains("\"notification_target\": \"desk\""));
    refused(&text.replace("threshold: 2", "threshold: fast"), "expected a number");
    refused(&text.replace("kind: burnrate", "kind: budget"), "a condition of kind budget is not known");
    assert_eq!(burn_windows(28 * 86_400_000).len(), 4);
}

#[test]
fn what_is_wrong_in_another_file_is_said_of_that_file() {
    let slo = slices("Occurrences", RAW, "{ target: 0.9 }");
    let slo = slo.replace(&format!("indicator: {{ spec: {RAW} }}"), "indicatorRef: shared");
    let sli =
        "apiVersion: openslo/v1\nkind: SLI\nmetadata: { name: shared }\nspec:\n  ratioMetric: { rawType: maybe }\n";
    let files = [("slo.yml".to_owned(), slo), ("sli.yml".to_owned(), sli.to_owned())];
    let found = read(&files).unwrap_err().to_string();
    assert!(found.starts_with("sli.yml:5:"), "{found}");
}
