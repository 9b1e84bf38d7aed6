//! Every reading and every clock has an answer, and the answers are those that the guide gives.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::{Just, Strategy as _, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use serde_json::json;

use super::*;
use crate::ids::{FlightId, Target, Weight};
use crate::judge::{Analysis, Undecided, Verdict};
use crate::rollout::{Cause, Rollout, RolloutEvent, Start, Strategy, Watch};
use crate::runtime::{Counters, Observation, Tally, VersionSeen};
use crate::service::Step;

fn metric(fields: &serde_json::Value) -> Metric {
    let mut whole = json!({"name": "depth", "prometheus": {"url": "http://127.0.0.1:9090", "query": "max(depth)"}});
    for (name, value) in fields.as_object().unwrap() {
        whole[name] = value.clone();
    }
    serde_json::from_value(whole).unwrap()
}

fn start() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    start() + SignedDuration::from_secs(seconds)
}

/// The state after one reading each 60 seconds.
fn after(metric: &Metric, found: impl IntoIterator<Item = Found>) -> MetricState {
    let mut state = MetricState::default();
    for (index, found) in found.into_iter().enumerate() {
        state.take(metric, Reading { at: at(60 * i64::try_from(index).unwrap()), found });
    }
    state
}

/// What follows right after the last reading.
fn verdict(metric: &Metric, found: impl IntoIterator<Item = Found>) -> String {
    let state = after(metric, found);
    let now = state.last.as_ref().map_or_else(start, |last| last.at);
    let (verdict, reason) = state.verdict(metric, now);
    format!("{verdict:?}: {reason}")
}

fn error() -> Found {
    Found::Error { why: "no answer within 10 s".into() }
}

fn told(told: Told, value: Option<f64>) -> Found {
    Found::Judged { told, value, reason: String::new() }
}

#[test]
fn numbers_are_compared_with_the_limits() {
    let below = metric(&json!({"below": 100}));
    let both = metric(&json!({"below": 100, "above": 1}));
    assert_eq!(verdict(&below, [Found::Value(99.5)]), "Pass: 1 measurement was good");
    assert_eq!(verdict(&below, [Found::Value(100.0)]), "Fail: 100 is not below 100");
    assert_eq!(verdict(&both, [Found::Value(1.0)]), "Fail: 1 is not above 1");
    assert_eq!(verdict(&both, [Found::Value(1.1)]), "Pass: 1 measurement was good");
    assert_eq!(verdict(&below, [Found::number(1e300)]), "Fail: 1e300 is not below 100");
}

#[test]
fn what_is_no_number_never_passes_and_fails_only_beyond_a_limit() {
    let (below, above) = (metric(&json!({"below": 100})), metric(&json!({"above": 0.9})));
    assert_eq!(verdict(&below, [Found::number(f64::INFINITY)]), "Fail: plus infinity is not below 100");
    assert_eq!(verdict(&above, [Found::number(f64::INFINITY)]), "Inconclusive: plus infinity is no measurement");
    assert_eq!(verdict(&above, [Found::number(f64::NEG_INFINITY)]), "Fail: minus infinity is not above 0.9");
    assert!(verdict(&below, [Found::number(f64::NAN)]).starts_with("Inconclusive: not a number"));
    // Not made by `number`, and judged the same.
    assert!(verdict(&below, [Found::Value(f64::NAN)]).starts_with("Inconclusive: not a number"));
    assert!(verdict(&above, [Found::Value(f64::INFINITY)]).starts_with("Inconclusive: plus infinity"));
    assert_eq!(
        verdict(&below, [Found::Nothing { why: "the query gave no series".into() }]),
        "Inconclusive: the query gave no series"
    );
    assert_eq!(verdict(&below, []), "Inconclusive: it was not measured yet");
}

#[test]
fn tolerated_failures_and_needed_measurements_are_counted() {
    let metric = metric(&json!({"below": 100, "failures_max": 1, "measurements_min": 2}));
    let (good, bad) = (Found::Value(1.0), Found::Value(200.0));
    assert_eq!(verdict(&metric, [good.clone()]), "Inconclusive: 1 of 2 good measurements so far");
    assert_eq!(
        verdict(&metric, [good.clone(), bad.clone(), good.clone()]),
        "Pass: 2 measurements were good, and 1 failed where 1 may"
    );
    assert_eq!(
        verdict(&metric, [bad.clone(), good.clone(), good, bad]),
        "Fail: 200 is not below 100, and 2 measurements failed where 1 may"
    );
}

#[test]
fn errors_hold_and_only_a_row_of_them_is_an_error() {
    let metric = metric(&json!({"below": 100, "errors_max": 2}));
    let good = Found::Value(1.0);
    let words = "Inconclusive: it could not be measured: no answer within 10 s";
    assert_eq!(verdict(&metric, [good.clone(), error()]), words);
    assert_eq!(verdict(&metric, [error(), good.clone(), error()]), words, "the row was broken");
    assert_eq!(
        verdict(&metric, [good.clone(), error(), error()]),
        "Error: it could not be measured 2 times in a row: no answer within 10 s"
    );
    assert!(verdict(&metric, [error(), error(), error(), good]).starts_with("Pass"), "it can be measured again");
    let bad = Found::Value(200.0);
    assert!(verdict(&metric, [bad, error(), error()]).starts_with("Fail"), "a failure is not forgotten");
}

#[test]
fn a_providers_own_verdict_counts_and_so_do_limits_on_its_number() {
    let free: Metric =
        serde_json::from_value(json!({"name": "smoke", "webhook": {"url": "http://127.0.0.1:1/judge"}})).unwrap();
    let limited = Metric { below: Some(2.0), ..free.clone() };
    assert!(verdict(&free, [told(Told::Pass, None)]).starts_with("Pass"));
    assert_eq!(verdict(&free, [told(Told::Fail, Some(1.0))]), "Fail: its provider says so");
    assert_eq!(verdict(&free, [told(Told::Inconclusive, None)]), "Inconclusive: its provider can't say");
    assert_eq!(verdict(&limited, [told(Told::Pass, Some(3.0))]), "Fail: 3 is not below 2");
    assert!(verdict(&limited, [told(Told::Pass, None)]).starts_with("Inconclusive: its provider gives no number"));
    assert!(verdict(&free, [Found::Value(1.0)]).contains("there is no limit to compare it with"));
}

#[test]
fn an_old_measurement_lets_nothing_pass() {
    let metric = metric(&json!({"below": 100}));
    let state = after(&metric, [Found::Value(1.0)]);
    assert_eq!(state.verdict(&metric, at(130)).0, MetricVerdict::Pass);
    assert_eq!(
        state.verdict(&metric, at(131)),
        (MetricVerdict::Inconclusive, "its last measurement is 131 s old".into())
    );
    let failed = after(&metric, [Found::Value(100.0)]);
    assert_eq!(failed.verdict(&metric, at(1_000_000)).0, MetricVerdict::Fail, "a failure does not age");
}

#[test]
fn measurements_are_due_by_the_clock_also_when_that_is_set() {
    let metric = metric(&json!({"below": 100, "every": "30s"}));
    let (long, short) = (SignedDuration::from_secs(300), SignedDuration::from_secs(5));
    let none = MetricState::default();
    let due = |state: &MetricState, bake, now| state.is_due(&metric, start(), bake, now);
    assert!(!due(&none, long, at(29)) && due(&none, long, at(30)));
    assert!(!due(&none, short, at(4)) && due(&none, short, at(5)), "at the end of a short step at the latest");
    let mut state = none;
    state.take(&metric, Reading { at: at(30), found: Found::Value(1.0) });
    assert!(!due(&state, long, at(59)) && due(&state, long, at(60)));
    assert!(due(&state, long, at(-3_600)), "the clock was set back");
    state.take(&metric, Reading { at: at(-3_600), found: Found::Value(1.0) });
    assert!(!due(&state, long, at(-3_571)) && due(&state, long, at(-3_570)), "and goes on from there");
    assert!(due(&state, long, at(1_000_000)), "set forward");
    state.take(&metric, Reading { at: at(1_000_000), found: Found::Value(1.0) });
    assert!(!due(&state, long, at(1_000_000)), "a single one was");
    assert_eq!(state.verdict(&metric, at(0)).0, MetricVerdict::Pass, "a measurement from later is no older");
}

#[test]
fn what_others_write_is_one_short_line() {
    let metric = metric(&json!({"below": 1}));
    let hostile = format!("bad\r\nPrograde-Action: deploy\u{1b}[2J\t{}", "x".repeat(1_000_000));
    let state = after(&metric, [Found::Judged { told: Told::Fail, value: Some(f64::NAN), reason: hostile }]);
    let summary = state.summary(&metric, start());
    assert_eq!(summary.reason.chars().count(), 200);
    assert!(summary.reason.starts_with("bad Prograde-Action: deploy [2J xxx") && !summary.reason.contains('\n'));
    assert_eq!(summary.value, None);
    assert!(serde_json::to_string(&state).unwrap().len() < 2_000);
}

#[test]
fn placeholders_are_filled_in() {
    let target = Target { environment: "production".parse().unwrap(), service: "pad".parse().unwrap() };
    let (flight, stable): (FlightId, FlightId) = ("c".repeat(32).parse().unwrap(), "a".repeat(32).parse().unwrap());
    let commit = "d".repeat(40).parse().unwrap();
    let scene = Scene { target: &target, flight: &flight, commit: &commit, stable: Some(&stable), step_s: 0 };
    let filled = |text: &str| fill(text, &scene);
    assert_eq!(filled(r#"max(q{s="{{service}}",e="{{ environment }}"})"#), r#"max(q{s="pad",e="production"})"#);
    assert_eq!(filled("{{flight}}/{{stable_flight}}"), format!("{flight}/{stable}"));
    assert_eq!(filled("rate(x{c=\"{{commit}}\"}[{{step_s}}s])"), format!("rate(x{{c=\"{commit}\"}}[1s])"));
    for same in ["", "{", "}}", "a{b=\"c\"}", "{{", "{{nobody}}", "é{{"] {
        assert_eq!(filled(same), same);
    }
    let alone = Scene { stable: None, step_s: 90, ..scene };
    assert_eq!(fill("[{{step_s}}]{{stable_flight}}", &alone), "[90]");
}

fn bakes() -> [Period; 2] {
    [Period::seconds(60); 2]
}

fn canary() -> Vec<Step> {
    let step = |weight| Step { weight: Weight::new(weight).unwrap(), mirror: Weight::ZERO, bake: Period::seconds(60) };
    vec![step(10), step(100)]
}

fn found(metrics: &serde_json::Value) -> String {
    let analysis: Analysis = serde_json::from_value(json!({"wait_max": "10m", "metrics": metrics})).unwrap();
    let found = problems(&analysis, Some(&bakes()));
    found.iter().map(|p| format!("{}: {}", p.path.join("."), p.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_metrics_of_the_guide_are_good() {
    let good = json!([
        {"name": "queue-depth", "below": 100, "every": "30s", "failures_max": 1, "measurements_min": 2,
         "prometheus": {"url": "http://[::1]:9090/prometheus/", "bearer_token_file": "reader.token",
                        "query": "max(queue_depth{service=\"pad\",flight=\"{{flight}}\"})"}},
        {"name": "smoke", "webhook": {"url": "https://judge.example/pad?team=a", "headers": {"x-team": "a b"}}},
        {"name": "replay", "requests": [{"get": "/healthz"}, {"get": "/q?a=1", "status": 404, "body_contains": "no"}]},
    ]);
    assert_eq!(found(&good), "");
    let analysis: Analysis = serde_json::from_value(json!({"metrics": good})).unwrap();
    assert_eq!(serde_json::from_value::<Analysis>(serde_json::to_value(&analysis).unwrap()).unwrap(), analysis);
    assert!(
        !serde_json::to_string(&Analysis::default()).unwrap().contains("metrics"),
        "stored events stay as they are"
    );
}

#[test]
fn problems_name_their_place() {
    let query = json!({"url": "http://127.0.0.1:9090", "query": "up"});
    let bad = json!([
        {"name": "a", "below": 1, "prometheus": {"url": "ftp://x", "query": " "}},
        {"name": "a", "below": 1, "above": 1, "every": "0s", "timeout": "2m", "errors_max": 0, "prometheus": query},
        {"name": "b", "prometheus": {"url": "http://u:s3cret@h", "query": "x{f=\"{{fligth}}\"}", "bearer_token_file": "../t"}},
        {"name": "c"},
        {"name": "d", "prometheus": query, "webhook": {"url": "http://h"}},
        {"name": "e", "webhook": {"url": "http://h/?access_token=s3cret", "headers": {
            "Authorization": "Bearer s3cret", "Host": "h", "x y": "1", "x-a": "\n"}}},
        {"name": "f", "below": 1, "requests": [{"get": "x", "status": 99, "body_contains": ""}]},
        {"name": "g", "requests": []},
        {"name": "h", "below": 1, "every": "5m", "measurements_min": 3, "prometheus": query},
        {"name": "i", "above": 1, "prometheus": {"url": "http://h/#x?y", "query": "x{{"}},
        {"name": "j", "above": 1, "prometheus": {"url": "http://h:0", "query": "x".repeat(5_000)}},
    ]);
    let text = found(&bad);
    assert!(!text.contains("s3cret"), "{text}");
    insta::assert_snapshot!(text, @r#"
    metrics.0.prometheus.url: this is not an address
    metrics.0.prometheus.query: the query is empty
    metrics.1.name: metric a is declared twice
    metrics.1.below: no number is above 1 and below 1
    metrics.1.every: it would be measured without a pause
    metrics.1.timeout: 2m is no time to wait for an answer
    metrics.1.errors_max: `errors_max` is 0
    metrics.2.prometheus.url: the address has a user or a password in it
    metrics.2.prometheus.query: there is no placeholder "fligth"
    metrics.2.prometheus.bearer_token_file: this is not a plain file name
    metrics.2: metric b has no limit
    metrics.3: metric c does not say how it is measured
    metrics.4: metric d is measured in more than one way
    metrics.4: metric d has no limit
    metrics.5.webhook.url: the address has a secret in it
    metrics.5.webhook.headers.Authorization: header "Authorization" carries a secret, which everybody who can read the repository could read
    metrics.5.webhook.headers.Host: header "Host" is not yours to set
    metrics.5.webhook.headers.x y: "x y" is not a header's name
    metrics.5.webhook.headers.x-a: the value of header "x-a" can't be sent
    metrics.6.requests.0.get: "x" is not a path
    metrics.6.requests.0.status: 99 is not a final HTTP status
    metrics.6.requests.0.body_contains: the text is empty or too long
    metrics.6: metric f has limits and no number to compare with them
    metrics.7.requests: 0 requests, expected 1 to 32
    metrics.8.measurements_min: 3 measurements every 5m take longer than a step lasts
    metrics.9.prometheus.url: the address has more than a path
    metrics.9.prometheus.query: there is no placeholder ""
    metrics.10.prometheus.url: this is not an address
    metrics.10.prometheus.query: the query is longer than 4096 bytes
    "#);
}

#[test]
fn limits_that_are_no_numbers_and_too_many_metrics_are_refused() {
    let plain = metric(&json!({"below": 1}));
    let named = |n: usize| Metric { name: format!("m{n}").parse().unwrap(), ..plain.clone() };
    let with = |metrics| Analysis { metrics, ..Analysis::default() };
    for limit in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let found = problems(&with(vec![Metric { below: Some(limit), ..plain.clone() }]), Some(&bakes()));
        assert_eq!(found[0].message, "the limit is not a finite number");
    }
    assert_eq!(problems(&with((0..METRICS_MAX).map(named).collect()), Some(&bakes())), []);
    let many = problems(&with((0..=METRICS_MAX).map(named).collect()), Some(&bakes()));
    assert_eq!(many[0].message, "33 metrics are too many, at most 32 are measured");
    let rolling = problems(&with(vec![plain]), None);
    assert_eq!(rolling[0].message, "metrics have no meaning for this strategy without a watch");
}

/// A canary in its first step, with as many good requests as any judge wants.
fn baking_rollout(metric: Metric) -> (Rollout, Observation) {
    let (candidate, stable): (FlightId, FlightId) = ("c".repeat(32).parse().unwrap(), "a".repeat(32).parse().unwrap());
    let analysis = Analysis { wait_max: Period::seconds(600), metrics: vec![metric], ..Analysis::default() };
    let began = Start {
        candidate: candidate.clone(),
        stable: Some(stable.clone()),
        strategy: Strategy::Canary { steps: canary(), analysis, audience: None, stick_to: None },
        watch: None,
        replicas: 2,
        stable_replicas: 2,
        autoscaled: None,
        caution: None,
        progress_deadline_s: 60,
        segments: 0,
    };
    let mut rollout = Rollout::new(began, start());
    let zero = Tally::default;
    let weight = Weight::new(10).unwrap();
    let entered =
        RolloutEvent::StepEntered { step: 0, weight, candidate: zero(), stable: zero(), mirrored: zero(), restarts: 0 };
    rollout.apply(&entered, start()).unwrap();
    let version = |id: FlightId| VersionSeen {
        replicas: 2,
        ready: 2,
        available: 2,
        counters: Counters { requests: 100_000, failures: 0, latency_us_sum: 1 },
        ..VersionSeen::none(id)
    };
    (rollout, Observation::of(vec![version(stable), version(candidate)]))
}

fn with(rollout: &Rollout, seen: &Observation, found: impl IntoIterator<Item = Found>) -> Observation {
    let step = baking(rollout).unwrap();
    let metric = &step.metrics[0];
    let readings = StepReadings {
        synthetic: Pairs::default(),
        flight: step.candidate.clone(),
        step: step.step,
        metrics: [(metric.name.clone(), after(metric, found))].into(),
    };
    Observation { readings: Some(readings), ..seen.clone() }
}

#[test]
fn a_step_passes_only_when_its_metrics_do() {
    let (mut rollout, seen) = baking_rollout(metric(&json!({"below": 100})));
    assert_eq!(rollout.decide(&seen, at(59)), []);
    let held = rollout.decide(&seen, at(60));
    let [RolloutEvent::StepHeld { verdict: Verdict::Pass, metrics, .. }] = &held[..] else { panic!("{held:?}") };
    assert_eq!(metrics[0].reason, "it was not measured yet");
    rollout.apply(&held[0], at(60)).unwrap();
    assert_eq!(rollout.decide(&with(&rollout, &seen, [error()]), at(61)), [], "it is said once");

    let passed = rollout.decide(&with(&rollout, &seen, [Found::Value(1.0)]), at(61));
    let [RolloutEvent::StepPassed { metrics, .. }] = &passed[..] else { panic!("{passed:?}") };
    assert_eq!((metrics[0].verdict, metrics[0].value), (MetricVerdict::Pass, Some(1.0)));

    let failed = rollout.decide(&with(&rollout, &seen, [Found::Value(512.0)]), at(1));
    let [RolloutEvent::Failed { cause, metrics, .. }] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!(cause.to_string(), "step 1 failed: metric depth: 512 is not below 100");
    assert_eq!(metrics[0].verdict, MetricVerdict::Fail);

    let late = rollout.decide(&with(&rollout, &seen, vec![error(); 9]), at(660));
    let [RolloutEvent::Failed { cause: cause @ Cause::NotJudged { .. }, .. }] = &late[..] else { panic!("{late:?}") };
    let words = "step 1 could not be judged in the time given (metric depth: it could not be measured 9 times in a row: \
                 no answer within 10 s)";
    assert_eq!(cause.to_string(), words);
}

#[test]
fn readings_of_another_step_or_flight_count_for_nothing() {
    let (rollout, seen) = baking_rollout(metric(&json!({"below": 100})));
    let seen = with(&rollout, &seen, [Found::Value(512.0)]);
    let other = |change: fn(&mut StepReadings)| {
        let mut seen = seen.clone();
        change(seen.readings.as_mut().unwrap());
        rollout.decide(&seen, at(1))
    };
    assert_eq!(other(|readings| readings.step = 1), []);
    assert_eq!(other(|readings| readings.flight = "b".repeat(32).parse().unwrap()), []);
    assert_ne!(other(|_| ()), []);
}

#[test]
fn a_release_with_all_traffic_is_taken_back_by_a_metric_and_kept_by_a_missing_one() {
    let (rollout, seen) = baking_rollout(metric(&json!({"below": 100})));
    let analysis = rollout.start.strategy.analysis().unwrap().clone();
    let watch = Some(Watch { period: Period::seconds(120), analysis });
    let mut rollout = Rollout::new(Start { watch, ..rollout.start }, start());
    let promoted = RolloutEvent::Promoted { candidate: Tally::default(), stable: Tally::default() };
    rollout.apply(&promoted, start()).unwrap();
    let step = baking(&rollout).unwrap();
    assert_eq!((step.step, step.weight, step.bake.as_secs()), (0, Weight::ALL, 120));

    let failed = rollout.decide(&with(&rollout, &seen, [Found::Value(512.0)]), at(1));
    let [RolloutEvent::Failed { cause: Cause::Metric { name, .. }, .. }] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!(name.as_str(), "depth");
    assert_eq!(rollout.decide(&with(&rollout, &seen, vec![error(); 9]), at(119)), [], "nothing waits for it");
    let over = rollout.decide(&seen, at(120));
    let [RolloutEvent::Watched { metrics, .. }] = &over[..] else { panic!("{over:?}") };
    assert_eq!(metrics[0].verdict, MetricVerdict::Inconclusive);
    rollout.apply(&over[0], at(120)).unwrap();
    assert!(baking(&rollout).is_none(), "nothing is measured after it");
}

#[test]
fn a_person_lets_pass_what_is_missing_and_not_what_failed() {
    let (mut rollout, seen) = baking_rollout(metric(&json!({"below": 100})));
    let Strategy::Canary { analysis, .. } = &mut rollout.start.strategy else { panic!() };
    analysis.undecided = Undecided::Ask;
    let held = rollout.decide(&seen, at(60));
    rollout.apply(&held[0], at(60)).unwrap();
    assert!(rollout.pass_held("ann", &seen, at(61)).is_some());
    assert_eq!(rollout.pass_held("ann", &with(&rollout, &seen, [Found::Value(512.0)]), at(61)), None);
}

fn any_found() -> impl proptest::strategy::Strategy<Value = Found> {
    prop_oneof![
        any::<f64>().prop_map(Found::number),
        any::<f64>().prop_map(Found::Value),
        any::<bool>().prop_map(|positive| Found::Infinite { positive }),
        ".*".prop_map(|why| Found::Nothing { why }),
        ".*".prop_map(|why| Found::Error { why }),
        (
            prop_oneof![Just(Told::Pass), Just(Told::Fail), Just(Told::Inconclusive)],
            prop::option::of(any::<f64>()),
            ".*"
        )
            .prop_map(|(told, value, reason)| Found::Judged { told, value, reason }),
    ]
}

proptest! {
    #[test]
    fn every_reading_and_every_clock_has_an_answer(
        readings in prop::collection::vec((any::<i32>(), any_found()), 0..20),
        limits in (prop::option::of(any::<f64>()), prop::option::of(any::<f64>())),
        maxima in (0u32..4, 0u32..4, 0u32..4),
        now in any::<i32>(),
    ) {
        let metric = Metric {
            below: limits.0, above: limits.1,
            failures_max: maxima.0, errors_max: maxima.1, measurements_min: maxima.2,
            ..metric(&json!({}))
        };
        let mut state = MetricState::default();
        for (seconds, found) in &readings {
            let before = state.failed;
            state.take(&metric, Reading { at: at(i64::from(*seconds)), found: found.clone() });
            prop_assert!(state.failed >= before, "a failure is never taken back");
        }
        let now = at(i64::from(now));
        let (verdict, reason) = state.verdict(&metric, now);
        prop_assert!(!reason.is_empty() && !reason.contains(char::is_control) && reason.chars().count() < 300, "{}", reason);
        let counted = u64::from(state.good) + u64::from(state.failed) + u64::from(state.unsure) + u64::from(state.errors);
        prop_assert_eq!(counted, readings.len() as u64);
        let last = readings.last().map(|(_, found)| found);
        if verdict == MetricVerdict::Pass {
            prop_assert!(state.good >= metric.measurements_min.max(1) && state.failed <= metric.failures_max);
            let unsound = |found: &Found| matches!(found, Found::Error { .. } | Found::Nothing { .. });
            prop_assert!(!last.is_some_and(unsound), "nothing passes on a measurement that was not had");
        }
        prop_assert_eq!(verdict == MetricVerdict::Fail, state.failed > metric.failures_max);
        state.is_due(&metric, start(), SignedDuration::from_secs(60), now);
        let stored = serde_json::to_string(&state.summary(&metric, now)).unwrap();
        prop_assert_eq!(serde_json::from_str::<MetricSummary>(&stored).unwrap(), state.summary(&metric, now));
        let stored = serde_json::to_string(&state).unwrap();
        prop_assert!(serde_json::from_str::<MetricState>(&stored).is_ok());
    }

    #[test]
    fn every_query_can_be_filled_and_every_analysis_checked(text in ".*", url in ".*", below in any::<f64>()) {
        let target = Target { environment: "production".parse().unwrap(), service: "pad".parse().unwrap() };
        let (flight, commit) = ("c".repeat(32).parse().unwrap(), "d".repeat(40).parse().unwrap());
        let scene = Scene { target: &target, flight: &flight, commit: &commit, stable: None, step_s: 5 };
        let filled = fill(&text, &scene);
        prop_assert!(text.contains("{{") || filled == text);
        let metric = Metric {
            prometheus: Some(PrometheusQuery { url: Some(url.clone()), query: text.clone(), bearer_token_file: Some(text) }),
            webhook: None, requests: None, below: Some(below), ..metric(&json!({}))
        };
        problems(&Analysis { metrics: vec![metric], ..Analysis::default() }, Some(&bakes()));
    }
}

#[test]
fn a_job_may_take_long_and_carries_no_secret() {
    let problems = |fields: &serde_json::Value| -> Vec<String> {
        let mut metric = json!({"name": "smoke", "job": {"args": ["check"]}});
        metric.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let analysis: Analysis = serde_json::from_value(json!({"metrics": [metric]})).unwrap();
        problems(&analysis, Some(&[])).into_iter().map(|problem| problem.path[2..].join(".")).collect()
    };
    assert_eq!(problems(&json!({"timeout": "30m"})), [""; 0]);
    assert_eq!(problems(&json!({"timeout": "31m"})), ["timeout"]);
    assert_eq!(problems(&json!({"below": 1})), [""]);
    assert_eq!(problems(&json!({"requests": [{"get": "/"}]})), [""]);
    assert_eq!(problems(&json!({"job": {"args": []}})), ["job.args"]);
    for name in ["DB_PASSWORD", "API_KEY", "PROGRADE_CANDIDATE", "A=B"] {
        assert_eq!(problems(&json!({"job": {"args": ["x"], "env": {name: "1"}}})), [format!("job.env.{name}")]);
    }
}
