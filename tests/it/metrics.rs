//! Canaries that are judged by more than their requests.

use serde_json::Value;

use crate::canary::{assert_written, under_load};
use crate::world::events::label;
use crate::world::prometheus::Prometheus;
use crate::world::repository::Repository;
use crate::world::{World, text};

/// Gives production's canary a metric.
fn declare(repository: &Repository, metric: &str) {
    let lines: Vec<String> = metric.lines().map(|line| format!("          {line}")).collect();
    let metric = lines.join("\n");
    let metrics = format!("      wait_max: 10m\n      metrics:\n        - {}\n", metric.trim_start());
    repository.edit("prograde.yaml", "      wait_max: 10m\n", &metrics);
}

fn queue_depth(url: &str, metric: &str) -> String {
    format!(
        "name: queue-depth\n\
         prometheus: {{ url: {url}, query: 'max({metric}{{commit=\"{{{{commit}}}}\"}})' }}\n\
         below: 100\n\
         every: 1s\n\
         errors_max: 2\n"
    )
}

/// The data of a flight's events of one type.
fn facts<'a>(flight: &'a Value, event_type: &str) -> Vec<&'a Value> {
    let events = flight["events"].as_array().unwrap().iter();
    events.filter(|event| event["type"] == event_type).map(|event| &event["data"]).collect()
}

#[test]
fn a_metric_beyond_its_limit_takes_a_release_back() {
    let Some(prometheus) = Prometheus::start() else { return };
    let world = World::new();
    let (repository, load) = under_load(&world);
    declare(&repository, &queue_depth(prometheus.url(), "queue_depth"));

    let commit = repository.commit_behaviour("greeting=hoarder", "Break it");
    prometheus.exporter.set(&commit, 512);
    repository.send();
    let flight = world.ended(&commit, "rolled_back");
    let failure = "step 1 failed: metric queue-depth: 512 is not below 100";
    assert_eq!(text(&flight["environments"][1], "failure"), failure);
    assert_written(&world, text(&flight, "id"), failure);
    let failed = facts(&flight, "rollout.failed");
    assert_eq!(
        (&failed[0]["metrics"][0]["verdict"], &failed[0]["metrics"][0]["value"]),
        (&"fail".into(), &512.0.into())
    );
    assert_eq!(failed[0]["evidence"]["candidate"]["failures"], 0, "its requests were good");

    let commit = repository.commit_behaviour("greeting=better", "Empty the queue");
    prometheus.exporter.set(&commit, 3);
    repository.send();
    let flight = world.ended(&commit, "landed");
    let passed = facts(&flight, "rollout.step_passed");
    assert_eq!(passed.len(), 3);
    for step in passed {
        assert_eq!((&step["metrics"][0]["verdict"], &step["metrics"][0]["value"]), (&"pass".into(), &3.0.into()));
    }
    assert_eq!(load.stop().failed(), 0);
    world.end();
}

#[test]
fn a_metric_without_data_holds_the_step() {
    let Some(prometheus) = Prometheus::start() else { return };
    let mut world = World::new();
    let (repository, load) = under_load(&world);
    declare(&repository, &queue_depth(prometheus.url(), "no_such_metric"));
    let commit = repository.push("greeting=silent", "Measure nothing");
    let metric = |flight: &Value| flight["environments"][1]["metrics"][0].clone();
    let reason = "the query gave no series";
    let holds = |flight: &Value| metric(flight)["reason"] == reason && !facts(flight, "rollout.step_held").is_empty();
    let flight = world.flight_when(&commit, "is held for want of data", holds);
    assert_eq!(metric(&flight)["verdict"], "inconclusive");
    let held = facts(&flight, "rollout.step_held");
    assert_eq!((held.len(), &held[0]["metrics"][0]["verdict"]), (1, &"inconclusive".into()));
    let shown = world.cli(&["flight", "show", text(&flight, "id")]);
    assert!(shown.stdout.contains(&format!("metric queue-depth: {reason}")), "{shown:?}");

    // The server starts again and measures anew.
    world.stop();
    world.start();
    world.flight_when(&commit, "is measured again", |flight| metric(flight)["reason"] == reason);
    drop(prometheus);
    let error = |flight: &Value| metric(flight)["verdict"] == "error";
    let flight = world.flight_when(&commit, "can't be measured", error);
    assert!(text(&metric(&flight), "reason").contains("times in a row: not reached"), "{flight:#}");
    let step = |flight: &Value| flight["environments"][1]["step"].clone();
    assert_eq!(step(&flight)[0], 0, "nothing passes: {flight:#}");

    let aborted = world.cli(&["abort", text(&flight, "id"), "--by", "Ada", "--reason", "nothing to see"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    let flight = world.ended(&commit, "aborted");
    let labels: Vec<String> = flight["events"].as_array().unwrap().iter().map(label).collect();
    assert!(!labels.iter().any(|label| label.starts_with("rollout.step_passed")), "{labels:?}");
    load.stop();
    world.end();
}

#[test]
fn requests_go_to_the_candidate_itself() {
    let world = World::new();
    let (repository, load) = under_load(&world);
    let replay = "name: replay\n\
                  requests:\n\
                  \x20 - { get: /healthz, body_contains: well }\n\
                  \x20 - { get: /nothing, status: 404 }\n\
                  \x20 - { get: /, body_contains: better }\n\
                  every: 1s\n";
    declare(&repository, replay);
    let flight = world.ended(&repository.push("greeting=better", "Serve better"), "landed");
    for step in facts(&flight, "rollout.step_passed") {
        assert_eq!(step["metrics"][0]["verdict"], "pass", "{step:#}");
    }
    let flight = world.ended(&repository.push("greeting=worse", "Serve worse"), "rolled_back");
    let failure = "step 1 failed: metric replay: the answer to GET / does not contain \"better\"";
    assert_eq!(text(&flight["environments"][1], "failure"), failure);
    assert_eq!(load.stop().failed(), 0);
    world.end();
}

/// No user comes at all: what is declared is asked of both versions, and a good release still passes and a bad one is
/// still found.
#[test]
fn declared_requests_judge_where_nobody_comes() {
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    world.ended(&repository.push("greeting=stable", "Serve"), "landed");
    let synthetic = "      wait_max: 10m\n\
                     \x20     undecided: synthetic\n\
                     \x20     synthetic: { requests: [{ get: / }, { get: /healthz }], per_second: 100 }\n";
    repository.edit("prograde.yaml", "      wait_max: 10m\n", synthetic);
    let flight = world.ended(&repository.push("greeting=better", "Serve better"), "landed");
    let passed = facts(&flight, "rollout.step_passed");
    assert_eq!(passed.len(), 3);
    for step in &passed {
        let evidence = &step["evidence"];
        assert_eq!(evidence["candidate"]["requests"], 0, "they are no users' requests: {step:#}");
        let sent = |of: &str| evidence["synthetic"][of]["requests"].as_u64().unwrap_or(0);
        assert!(sent("candidate") > 0 && sent("candidate") == sent("stable"), "{step:#}");
    }
    let shown = world.cli(&["verdict", "show", text(&flight, "id")]);
    assert!(shown.stdout.contains("synthetic  candidate"), "{shown:?}");
    let replayed = world.cli(&["verdict", "replay", text(&flight, "id")]);
    assert_eq!(replayed.code, 0, "today's verdicts are those of then: {replayed:?}");

    let flight = world.ended(&repository.push("greeting=bad failures=100", "Break it"), "rolled_back");
    let failed = facts(&flight, "rollout.failed");
    assert_eq!((failed.len(), &failed[0]["cause"]["cause"]), (1, &"judged".into()));
    assert_eq!(failed[0]["evidence"]["candidate"]["requests"], 0, "no user was harmed");
    world.end();
}

#[test]
fn a_job_of_the_candidates_image_judges_it() {
    let world = World::new();
    let (repository, load) = under_load(&world);
    declare(&repository, "name: smoke\njob: { args: [check] }\nevery: 1s\n");
    let flight = world.ended(&repository.push("greeting=better", "Serve better"), "landed");
    for step in facts(&flight, "rollout.step_passed") {
        assert_eq!(step["metrics"][0]["verdict"], "pass", "{step:#}");
    }
    let flight = world.ended(&repository.push("greeting=worse check=rotten", "Rot"), "rolled_back");
    let failure = "step 1 failed: metric smoke: the job failed: exit status 1: ended: the check says rotten";
    assert_eq!(text(&flight["environments"][1], "failure"), failure);
    assert_eq!(load.stop().failed(), 0);
    world.end();
}
