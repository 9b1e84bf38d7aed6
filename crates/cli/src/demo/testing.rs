//! A story in which everything happens as it should, for tests to spoil.

use std::collections::BTreeMap;

use prograde_model::ids::FlightId;
use prograde_model::runtime::Counters;
use serde_json::{Value, json};

use super::chapter::Chapter;
use super::feed::{self, Moment};
use super::record::{Flown, Record};
use super::repository::LogEntry;
use super::tally::{Count, Failure, Tally};
use crate::wire::EventView;

/// Flight ids are made of the digit of their chapter.
pub(crate) fn flight(chapter: Chapter) -> FlightId {
    chapter.number().to_string().repeat(32).parse().unwrap()
}

fn digest(chapter: Chapter) -> String {
    format!("sha256:{}", chapter.number().to_string().repeat(64))
}

fn counters(requests: u64, failures: u64) -> Value {
    json!({"requests": requests, "failures": failures, "latency_us_sum": 0})
}

fn evidence(requests: u64, failures: u64) -> Value {
    json!({"candidate": counters(requests, failures), "stable": counters(900, 0), "elapsed_ms": 4000})
}

fn entered(step: u32, weight: u8) -> (&'static str, Value) {
    let none = counters(0, 0);
    let data = json!({"environment": "production", "step": step, "weight": weight, "candidate": none, "stable": none, "restarts": 0});
    ("rollout.step_entered", data)
}

fn passed(step: u32, requests: u64) -> (&'static str, Value) {
    ("rollout.step_passed", json!({"environment": "production", "step": step, "evidence": evidence(requests, 0)}))
}

fn promoted(environment: &str) -> (&'static str, Value) {
    ("rollout.promoted", json!({"environment": environment, "candidate": counters(0, 0)}))
}

fn failed(environment: &str, cause: &Value, evidence: &Value) -> (&'static str, Value) {
    ("rollout.failed", json!({"environment": environment, "cause": cause, "evidence": evidence}))
}

fn reverted(environment: &str) -> (&'static str, Value) {
    ("environment.reverted", json!({"environment": environment, "commit": "d".repeat(40)}))
}

fn rolled_back(environment: &str, reason: &str) -> (&'static str, Value) {
    let outcome = json!({"outcome": "rolled_back", "environment": environment, "reason": reason});
    ("flight.ended", json!({ "outcome": outcome }))
}

fn facts(chapter: Chapter) -> Vec<(&'static str, Value)> {
    let landed = ("flight.ended", json!({"outcome": {"outcome": "landed"}}));
    let opened = json!({"service": "pad", "commit": commit(chapter), "branch": "main", "subject": chapter.message(),
        "author": {"name": "Ada Example", "email": "ada@example.org"}, "committed_at": "2026-02-01T12:00:00Z"});
    let attestations = ["https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom"];
    let vouched = json!({"repository": "127.0.0.1:7878/pad", "key_id": "e".repeat(64), "attestations": attestations});
    let release =
        json!({"commit": commit(chapter), "digest": digest(chapter), "size_bytes": 2_000_000, "evidence": vouched});
    let deployed = json!({"environment": "production", "commit": commit(chapter),
        "policies": {"passed": ["disallow-host-namespaces", "disallow-privileged"]}});
    let scanned = json!({"files": 14, "commits": 1, "packages": 20});
    let mut facts = vec![("flight.opened", opened)];
    match chapter {
        Chapter::First => facts.extend([promoted("test"), promoted("production"), landed]),
        Chapter::Good => facts.extend([
            promoted("test"),
            entered(0, 1),
            passed(0, 45),
            entered(1, 10),
            passed(1, 200),
            entered(2, 100),
            passed(2, 2000),
            promoted("production"),
            landed,
            ("flight.scanned", scanned),
            ("release.recorded", release),
            ("environment.deployed", deployed),
        ]),
        Chapter::Failing => {
            let cause = json!({"cause": "judged", "step": 0, "limit": "1%"});
            facts.extend([promoted("test"), entered(0, 1), failed("production", &cause, &evidence(12, 3))]);
            facts.extend([reverted("production"), rolled_back("production", "step 1 failed")]);
        }
        Chapter::Crashing => {
            let cause = json!({"cause": "crashing", "restarts": 3, "detail": "exit status 101"});
            let evidence = json!({"candidate": counters(0, 0), "stable": counters(0, 0), "elapsed_ms": 0});
            facts.extend([failed("test", &cause, &evidence), reverted("test"), rolled_back("test", "it crashes")]);
        }
    }
    facts
}

/// One fact of a chapter, `seconds` after the story's beginning.
pub(crate) fn moment(chapter: Chapter, seconds: usize, event_type: &str, data: Value) -> Moment {
    let at = format!("2026-02-01T12:{:02}:{:02}Z", seconds / 60, seconds % 60);
    let event_type = event_type.to_owned();
    feed::moment(EventView { sequence: 1, at, flight: flight(chapter), event_type, data }).unwrap()
}

fn commit(chapter: Chapter) -> String {
    chapter.number().to_string().repeat(40)
}

/// What users saw: `versions` answered so often and failed so often.
pub(crate) fn saw(versions: &[(Chapter, u64, u64)]) -> Tally {
    let count = |requests, failures| Count { requests, failures };
    let versions: BTreeMap<_, _> =
        versions.iter().map(|(chapter, requests, failures)| (chapter.name(), count(*requests, *failures))).collect();
    let all = count(versions.values().map(|c| c.requests).sum(), versions.values().map(|c| c.failures).sum());
    let failures =
        if all.failures > 0 { BTreeMap::from([(Failure::Status(500), all.failures)]) } else { BTreeMap::new() };
    Tally { all, versions, unknown: Count::default(), failures }
}

fn flown(chapter: Chapter) -> Flown {
    let stable = if chapter == Chapter::First { Chapter::First } else { Chapter::Good };
    let (stage, environment) = match chapter {
        Chapter::First | Chapter::Good => ("landed", Value::Null),
        Chapter::Failing => ("rolled_back", json!("production")),
        Chapter::Crashing => ("rolled_back", json!("test")),
    };
    let view = json!({
        "id": flight(chapter), "service": "pad", "commit": commit(chapter), "subject": chapter.message(),
        "author": "Ada Example", "stage": stage, "environment": environment, "detail": "the reason",
        "opened_at": "2026-02-01T12:00:00Z", "ended_at": null, "digest": digest(chapter), "jobs": [],
        "environments": [], "notices": [], "stage_ms": {"read": 62, "build": 11_800, "image": 300, "test": 1_200},
        "events": [],
    });
    let start = chapter.number() * 30;
    let facts = facts(chapter).into_iter().enumerate();
    let moments = facts.map(|(index, (event_type, data))| moment(chapter, start + index, event_type, data)).collect();
    let serving = json!({"flight": flight(stable), "commit": commit(stable), "weight": 100, "replicas": 2, "ready": 2,
        "restarts": 0, "waiting": null, "counters": counters(900, 0)});
    let quarantine = json!({"service": "pad", "environment": environment, "digest": digest(chapter),
        "flight": flight(chapter), "reason": "the reason", "since": "2026-02-01T12:00:00Z"});
    let users = match chapter {
        Chapter::First => saw(&[(Chapter::First, 1000, 0)]),
        Chapter::Good => saw(&[(Chapter::First, 9000, 0), (Chapter::Good, 3000, 0)]),
        Chapter::Failing => saw(&[(Chapter::Good, 8000, 0), (Chapter::Failing, 12, 3)]),
        Chapter::Crashing => saw(&[(Chapter::Good, 7000, 0)]),
    };
    Flown {
        moments,
        view: serde_json::from_value(view).unwrap(),
        users,
        aftermath: saw(&[(stable, 1000, 0)]),
        production: vec![serde_json::from_value(serving).unwrap()],
        quarantines: if chapter.is_bad() { vec![serde_json::from_value(quarantine).unwrap()] } else { Vec::new() },
        deployments: vec![LogEntry {
            id: "d".repeat(40),
            message: format!("Revert it\n\nFlight: {}", flight(chapter)),
        }],
        letter: chapter.is_bad().then(|| json!({"author": {"email": "ada@example.org"}, "text": "it was rolled back"})),
    }
}

/// All of it.
pub(crate) fn story() -> Record {
    let flown: BTreeMap<Chapter, Flown> = Chapter::ALL.map(|chapter| (chapter, flown(chapter))).into_iter().collect();
    let served = |chapter, requests, failures| (flight(chapter), Counters { requests, failures, latency_us_sum: 0 });
    Record {
        moments: flown.values().flat_map(|flown| flown.moments.clone()).collect(),
        counters: [
            served(Chapter::First, 10_000, 0),
            served(Chapter::Good, 18_000, 0),
            served(Chapter::Failing, 12, 3),
        ]
        .into(),
        users: saw(&[(Chapter::First, 10_000, 0), (Chapter::Good, 18_000, 0), (Chapter::Failing, 12, 3)]),
        journal: Some(Ok(83)),
        flown,
        ..Record::default()
    }
}
