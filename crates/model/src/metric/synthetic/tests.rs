use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;

use super::*;
use crate::ids::FlightId;
use crate::judge::Analysis;
use crate::metric::StepReadings;
use crate::rollout::{RolloutEvent, Start, Strategy};
use crate::runtime::{Counters, VersionSeen};

fn id(of: char) -> FlightId {
    of.to_string().repeat(32).parse().unwrap()
}

fn begin() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

fn after(seconds: i64) -> Timestamp {
    begin() + SignedDuration::from_secs(seconds)
}

/// A first step at 10% that bakes for a minute, before one at 50%.
fn baking(undecided: &str) -> Rollout {
    let analysis: Analysis = serde_json::from_value(json!({
        "undecided": undecided,
        "synthetic": {"requests": [{"get": "/orders"}, {"get": "/healthz"}]},
    }))
    .unwrap();
    let step = |weight: u8| json!({"weight": weight, "bake": "1m"});
    let steps = serde_json::from_value(json!([step(10), step(50), step(100)])).unwrap();
    let start = Start {
        candidate: id('c'),
        stable: Some(id('a')),
        strategy: Strategy::Canary { steps, analysis, audience: None, stick_to: None },
        watch: None,
        replicas: 1,
        stable_replicas: 1,
        autoscaled: None,
        caution: None,
        progress_deadline_s: 60,
        segments: 0,
    };
    let mut rollout = Rollout::new(start, begin());
    let zero = Tally::default;
    let weight = Weight::new(10).unwrap();
    let entered =
        RolloutEvent::StepEntered { step: 0, weight, candidate: zero(), stable: zero(), mirrored: zero(), restarts: 0 };
    rollout.apply(&entered, begin()).unwrap();
    rollout
}

/// Users' requests and failures of the candidate, nine times as many requests of the stable version, and what was sent.
fn seen((requests, failures): (u64, u64), synthetic: Pairs) -> Observation {
    let version = |of, requests, failures| VersionSeen {
        replicas: 1,
        ready: 1,
        available: 1,
        counters: Counters { requests, failures, latency_us_sum: 1 },
        ..VersionSeen::none(id(of))
    };
    let readings = StepReadings { flight: id('c'), step: 0, metrics: BTreeMap::new(), synthetic };
    let versions = vec![version('a', 9 * requests, 0), version('c', requests, failures)];
    Observation { readings: Some(readings), ..Observation::of(versions) }
}

fn pairs(sent: u64, candidate_failures: u64, stable_failures: u64) -> Pairs {
    Pairs { sent, candidate_failures, stable_failures }
}

#[test]
fn they_are_sent_when_the_bake_time_is_over_and_as_many_as_are_missing() {
    let rollout = baking("synthetic");
    let none = seen((0, 0), Pairs::default());
    assert_eq!(wanted(&rollout, &none, after(59)), None, "users may still come");
    let first = wanted(&rollout, &none, after(60)).unwrap();
    assert_eq!((first.first, first.pairs), (0, 5), "not more than those of a second");
    let mut sent = Pairs::default();
    while let Some(now) = wanted(&rollout, &seen((0, 0), sent), after(61)) {
        assert_eq!(now.first, sent.sent);
        sent.add_all(&pairs(now.pairs, 0, 0));
        assert!(sent.sent < 100, "it comes to an end");
    }
    let Verdict::Inconclusive { requests_missing, .. } = rollout.judgment(&none, after(60)).unwrap().0 else {
        panic!()
    };
    assert_eq!(sent.sent, requests_missing, "and not one more than were missing");
    let passed = rollout.decide(&seen((0, 0), sent), after(61));
    let [RolloutEvent::StepPassed { evidence, .. }] = &passed[..] else { panic!("{passed:?}") };
    assert_eq!(evidence.candidate.requests, 0, "they are no users' requests");
    assert_eq!(evidence.synthetic.as_ref().unwrap().stable.requests, sent.sent);
}

#[test]
fn nobody_sends_any_where_it_is_not_said() {
    let none = seen((0, 0), Pairs::default());
    for undecided in ["extend", "ask"] {
        assert_eq!(wanted(&baking(undecided), &none, after(60)), None);
    }
}

#[test]
fn a_candidate_that_fails_them_beside_a_good_stable_version_is_taken_back() {
    let failed = baking("synthetic").decide(&seen((0, 0), pairs(20, 20, 0)), after(61));
    let [RolloutEvent::Failed { evidence, .. }] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!(evidence.synthetic.as_ref().unwrap().candidate.failures, 20);
}

#[test]
fn what_both_versions_fail_neither_passes_nor_condemns() {
    let held = baking("synthetic").decide(&seen((0, 0), pairs(200, 100, 100)), after(61));
    assert!(matches!(&held[..], [RolloutEvent::StepHeld { verdict: Verdict::Inconclusive { .. }, .. }]), "{held:?}");
}

#[test]
fn doubt_that_users_gave_is_not_lifted_by_them() {
    let rollout = baking("synthetic");
    let doubt = seen((20, 2), Pairs::default());
    let (verdict, _) = rollout.judgment(&doubt, after(60)).unwrap();
    assert!(matches!(verdict, Verdict::Inconclusive { doubt: Some(_), .. }), "{verdict:?}");
    assert_eq!(wanted(&rollout, &doubt, after(60)), None);
    let (verdict, _) = rollout.judgment(&seen((20, 2), pairs(100_000, 0, 0)), after(60)).unwrap();
    assert!(matches!(verdict, Verdict::Inconclusive { doubt: Some(_), .. }), "{verdict:?}");
}

#[test]
fn evidence_without_them_is_stored_as_before_and_evidence_with_them_is_read_again() {
    let evidence = |pairs| baking("synthetic").judgment(&seen((1, 0), pairs), after(60)).unwrap().1;
    let without = serde_json::to_value(evidence(Pairs::default())).unwrap();
    assert!(without.get("synthetic").is_none(), "{without}");
    let with = evidence(pairs(7, 1, 0));
    let stored = serde_json::to_value(&with).unwrap();
    assert_eq!(stored["synthetic"]["candidate"]["failures"], 1);
    assert_eq!(serde_json::from_value::<Sample>(stored).unwrap(), with);
}

#[test]
fn what_can_not_be_sent_is_refused_with_its_place() {
    let problems = |analysis: serde_json::Value| -> Vec<String> {
        let analysis: Analysis = serde_json::from_value(analysis).unwrap();
        let found = crate::metric::problems(&analysis, Some(&[]));
        found.iter().map(|problem| format!("{}: {}", problem.path.join("."), problem.message)).collect()
    };
    let good = json!({"requests": [{"get": "/"}]});
    assert_eq!(problems(json!({"undecided": "synthetic", "synthetic": good})), [""; 0]);
    assert_eq!(problems(json!({"undecided": "synthetic"})), ["undecided: there are no requests to send"]);
    assert_eq!(problems(json!({"synthetic": good})), ["synthetic: these requests are never sent"]);
    let bad = json!({"requests": [{"get": "orders"}], "per_second": 0});
    assert_eq!(
        problems(json!({"undecided": "synthetic", "synthetic": bad})),
        [
            "synthetic.requests.0.get: \"orders\" is not a path",
            "synthetic.per_second: 0 requests a second can't be sent"
        ]
    );
}
