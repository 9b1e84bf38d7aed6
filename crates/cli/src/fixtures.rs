//! Views as a server answers them, for the tests of what is printed.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::printer::Style;
use crate::wire::{FlightView, Status};

/// The flight that serves.
const STABLE: &str = "3f2a91bc3f2a91bc3f2a91bc3f2a91bc";
/// The flight that comes.
const CANDIDATE: &str = "77ac0d1277ac0d1277ac0d1277ac0d12";

/// A person's terminal, without colour.
pub(crate) const TERMINAL: Style =
    Style { json: false, colour: false, colour_errors: false, terminal: true, quiet: false };

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn counters(requests: u64, failures: u64) -> Value {
    json!({"requests": requests, "failures": failures, "latency_us_sum": requests * 900})
}

fn version(flight: &str, weight: u8, ready: u32, replicas: u32, counters: &Value) -> Value {
    json!({
        "flight": flight, "commit": flight[..8].repeat(5), "weight": weight, "replicas": replicas, "ready": ready,
        "restarts": replicas - ready, "waiting": (ready < replicas).then_some("CrashLoopBackOff: exit status 101"),
        "counters": counters
    })
}

fn summary(stage: &str, environment: Option<&str>, detail: &str, ended: bool) -> Value {
    json!({
        "id": CANDIDATE, "service": "pad", "commit": "77ac0d12".repeat(5),
        "subject": "Greet by name\u{1b}[2J", "author": "Ada Lovelace", "stage": stage, "environment": environment,
        "detail": detail, "opened_at": "2026-02-01T11:56:00Z", "ended_at": ended.then_some("2026-02-01T11:59:00Z")
    })
}

/// A server with a canary under way, a version that crashes, and a digest in quarantine.
pub(crate) fn status() -> Status {
    read(json!({
        "version": "0.1.0", "sequence": 41,
        "targets": [
            {"service": "pad", "environment": "production", "addresses": ["http://127.0.0.1:30080"], "trouble": null,
             "versions": [version(STABLE, 99, 3, 3, &counters(1_234_567, 12)), version(CANDIDATE, 1, 1, 1, &counters(57, 3))]},
            {"service": "pad", "environment": "test", "addresses": ["http://127.0.0.1:30081", "http://127.0.0.1:30082"],
             "trouble": "port 30082 is in use", "versions": [version(CANDIDATE, 100, 0, 1, &counters(0, 0))]},
        ],
        "active": [summary("rolling", Some("production"), "step 1 bakes", false)],
        "quarantines": [{"service": "pad", "environment": "production", "digest": format!("sha256:{}", "2c26b46b".repeat(8)),
            "flight": STABLE, "reason": "step 1 failed: more than 1% of the requests fail", "since": "2026-01-31T12:00:00Z"}]
    }))
}

fn entry(environment: &str, fields: &Value) -> Value {
    let mut entry = json!({
        "environment": environment, "standing": "outside", "missing": [], "approvals": [], "weight": 0, "step": null,
        "verdict": null, "evidence": null, "requests": counters(0, 0), "deploy_commit": null, "reverted": null,
        "failure": null
    });
    for (name, value) in fields.as_object().unwrap() {
        entry[name] = value.clone();
    }
    entry
}

fn event(sequence: u64, second: u32, event_type: &str, data: &Value) -> Value {
    let at = format!("2026-02-01T11:56:{second:02}Z");
    json!({"sequence": sequence, "at": at, "flight": CANDIDATE, "type": event_type, "data": data})
}

fn view(summary: Value, jobs: Value, environments: Vec<Value>, events: Vec<Value>) -> FlightView {
    let mut view = summary;
    view["digest"] = json!(format!("sha256:{}", "2c26b46b".repeat(8)));
    view["jobs"] = jobs;
    view["environments"] = environments.into();
    view["notices"] = json!([]);
    view["stage_ms"] = json!({"read": 220, "build": 41_300, "image": 1_050, "test": 12_400});
    view["events"] = events.into();
    read(view)
}

/// A flight in its canary's first step.
pub(crate) fn rolling() -> FlightView {
    let jobs = json!([
        {"job": "ci.yml/build", "state": "success", "duration_ms": 30_000, "detail": null},
        {"job": "ci.yml/lint", "state": "success", "duration_ms": 11_300, "detail": null},
    ]);
    let production = json!({
        "standing": "rolling", "weight": 1, "step": [0, 3], "requests": counters(57, 0), "approvals": ["Grace"],
        "verdict": {"verdict": "inconclusive", "requests_missing": 43, "expected_in_s": 20},
        "evidence": {"candidate": counters(57, 0), "stable": counters(5_640, 2), "elapsed_ms": 26_000}
    });
    let test = json!({"standing": "settled", "weight": 100, "requests": counters(25, 0)});
    let events = vec![
        event(
            37,
            0,
            "pipeline.job_finished",
            &json!({"job": "ci.yml/lint", "result": {"conclusion": "success", "duration_ms": 11_300}}),
        ),
        event(39, 42, "gate.approved", &json!({"environment": "production", "by": "Grace"})),
        event(
            41,
            55,
            "rollout.step_entered",
            &json!({
                "environment": "production", "step": 0, "weight": 1, "candidate": counters(0, 0), "stable": counters(0, 0), "restarts": 0
            }),
        ),
    ];
    let summary = summary("rolling", Some("production"), "step 1 bakes", false);
    view(summary, jobs, vec![entry("test", &test), entry("production", &production)], events)
}

/// A flight that waits for people.
pub(crate) fn waiting() -> FlightView {
    let production = json!({"missing": ["has 0 of 1 approvals"]});
    let summary = summary("waiting", Some("production"), "has 0 of 1 approvals", false);
    view(summary, json!([]), vec![entry("production", &production)], Vec::new())
}

/// A flight that waits for a merge.
pub(crate) fn proposed() -> FlightView {
    let missing = "waits for proposals/production/pad to be merged";
    let production = json!({"missing": [missing], "proposal": "proposals/production/pad"});
    let summary = summary("waiting", Some("production"), missing, false);
    view(summary, json!([]), vec![entry("production", &production)], Vec::new())
}

/// A flight that was taken back.
pub(crate) fn rolled_back() -> FlightView {
    let reason = "step 1 failed: more than 1% of the requests fail";
    let production = json!({"standing": "gone", "failure": reason, "requests": counters(40, 9)});
    let events = vec![event(
        52,
        59,
        "flight.ended",
        &json!({"outcome": {"outcome": "rolled_back", "environment": "production", "reason": reason}}),
    )];
    view(
        summary("rolled_back", Some("production"), reason, true),
        json!([]),
        vec![entry("production", &production)],
        events,
    )
}

/// A flight whose pipeline failed.
pub(crate) fn rejected() -> FlightView {
    let jobs = json!([{"job": "ci.yml/test", "state": "failure", "duration_ms": 2_000, "detail": "step 2 failed\nassertion `left == right`\u{7}"}]);
    view(summary("rejected", None, "ci.yml/test failed", true), jobs, Vec::new(), Vec::new())
}

/// A flight whose configuration can't be used.
pub(crate) fn refused() -> FlightView {
    let diagnostics = json!([
        {"code": "PG0102", "file": "prograde.yaml", "line": 9, "column": 5, "message": "the last step has 10%, expected 100%",
         "hint": "end with `{ weight: 100, bake: 5m }`"},
        {"code": "PG0203", "file": ".github/workflows/ci.yml", "line": 7, "column": 15, "message": "the action is not built in",
         "hint": "use a `run` step"},
    ]);
    let events =
        vec![event(38, 1, "flight.ended", &json!({"outcome": {"outcome": "refused", "diagnostics": diagnostics}}))];
    view(summary("refused", None, "prograde.yaml:9:5: the last step has 10%", true), json!([]), Vec::new(), events)
}
