//! The server may be killed at any moment: after the next start the flight ends as it should have, nothing is written
//! twice, what served goes on serving, and what failed gets no request again.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::world::events::label;
use crate::world::load::Load;
use crate::world::repository::{Repository, deployments};
use crate::world::wait::until;
use crate::world::{World, http, text};

/// The events of a good flight, in order, at each of which the server is killed in some flight.
const GOOD: [&str; 26] = [
    "flight.opened",
    "flight.scanned",
    "flight.configured",
    "pipeline.job_started ci.yml/test",
    "pipeline.job_finished ci.yml/test",
    "pipeline.job_started ci.yml/build",
    "pipeline.job_finished ci.yml/build",
    "pipeline.finished",
    "release.recorded",
    "gate.passed test",
    "environment.deployed test",
    "rollout.started test",
    "rollout.promoted test",
    "environment.checked test",
    "gate.passed production",
    "environment.deployed production",
    "rollout.started production",
    "rollout.step_entered production 0",
    "rollout.step_passed production 0",
    "rollout.step_entered production 1",
    "rollout.step_passed production 1",
    "rollout.step_entered production 2",
    "rollout.step_passed production 2",
    "rollout.promoted production",
    "environment.checked production",
    "flight.ended",
];
/// The events of a bad one, from where it differs.
const BAD: [&str; 6] = [
    "rollout.failed production",
    "quarantine.set production",
    "rollout.withdrawn production",
    "environment.reverted production",
    "flight.ended",
    "flight.author_notified",
];
/// Worlds in which flights are disturbed at the same time. Each event is one world's.
const WORLDS: usize = 3;

/// Every `WORLDS`th event: neighbours fall into different worlds, so that no kill is lost in another one's shadow.
fn share(events: &[&'static str], world: usize) -> VecDeque<&'static str> {
    events.iter().skip(world).step_by(WORLDS).copied().collect()
}

#[test]
fn kill_9_everywhere() {
    let worlds: Vec<_> = (0..WORLDS).map(|world| std::thread::spawn(move || disturbed_world(world))).collect();
    // All of them are waited for first: each tidies up after itself.
    let ends: Vec<_> = worlds.into_iter().map(std::thread::JoinHandle::join).collect();
    assert!(ends.iter().all(Result::is_ok), "a world ended badly; its own words stand above");
}

fn disturbed_world(number: usize) {
    let mut world = World::new();
    // A name of its own: nodes choose ports by name, and while a server is down another test's may take them.
    let service = format!("disturbed-{number}");
    let repository = Repository::create(&world, &service);
    repository.edit("prograde.yaml", "weight: 1,", "weight: 20,");
    repository.edit("prograde.yaml", "weight: 10,", "weight: 50,");
    let text = std::fs::read_to_string(repository.path("prograde.yaml")).unwrap();
    repository.write("prograde.yaml", &format!("{text}    checks:\n      - get: /healthz\n"));
    world.ended(&repository.push("greeting=first", "Serve"), "landed");
    let load = Load::start(world.address(&repository.service, "production"), 200);
    until("users are answered", || (load.tally().of("first").good > 100).then_some(()));

    let commit = repository.commit_behaviour("greeting=good", "Serve better");
    fly(&mut world, &repository, &commit, share(&GOOD, number));
    let landed = world.ended(&commit, "landed");
    assert_once(&world, &landed, &["deploy production", "deploy test"]);
    assert_serves(&world, &service, &load, "good");

    let commit = repository.commit_behaviour("greeting=bad failures=20", "Break it");
    let answered_after_failure = fly_badly(&mut world, &repository, &commit, share(&BAD, number), &load);
    let failed = world.ended(&commit, "rolled_back");
    assert_once(&world, &failed, &["revert production", "deploy production", "deploy test"]);
    assert_serves(&world, &service, &load, "good");

    let tally = load.stop();
    let bad = tally.of("bad");
    assert_eq!(bad.good + bad.bad, answered_after_failure, "the failed version was asked again: {tally:?}");
    // A replica that served was never started anew: the next server took it over.
    for greeting in ["first", "good"] {
        let answers = tally.of(greeting);
        assert_eq!((answers.pids.len(), answers.bad), (2, 0), "{greeting}: {tally:?}");
    }
    assert_eq!(tally.foreign.0, 0, "{tally:?}");
    assert_eq!(world.cli(&["journal", "verify"]).code, 0);
    world.end();
}

/// Pushes a commit and follows its flight to the end, killing the server at each of the `kills`.
fn fly(world: &mut World, repository: &Repository, commit: &str, kills: VecDeque<&'static str>) {
    fly_and(world, repository, commit, kills, |_, _| {});
}

/// As [`fly`]; returns how many requests the version had answered when its failure was recorded and in force: after the
/// next start, if the server was killed at that, else as soon as the candidate is gone.
fn fly_badly(
    world: &mut World,
    repository: &Repository,
    commit: &str,
    kills: VecDeque<&'static str>,
    load: &Load,
) -> u64 {
    let mut failed = false;
    let mut answered = None;
    fly_and(world, repository, commit, kills, |event, killed| {
        failed |= event == "rollout.failed production";
        if answered.is_none() && failed && (killed || event == "rollout.withdrawn production") {
            let before = load.tally().all();
            until("answers under way are counted", || (load.tally().all() > before + 50).then_some(()));
            let bad = load.tally().of("bad");
            answered = Some(bad.good + bad.bad);
        }
    });
    answered.unwrap()
}

/// `seen` is told of each event of the flight, and whether the server was killed at it and has not been started again.
fn fly_and(
    world: &mut World,
    repository: &Repository,
    commit: &str,
    mut kills: VecDeque<&'static str>,
    mut seen: impl FnMut(&str, bool),
) {
    let mut after = world.get("/api/v1/status")["sequence"].as_u64().unwrap();
    let address = world.address(&repository.service, "production");
    let mut events = world.follow(after);
    // The answer to the push may be lost with the server; the commit is not.
    let push = repository.start_sending();
    let mut flight = None;
    loop {
        let Some(event) = events.next() else { panic!("the events ended, waiting for {kills:?}: {}", world.log()) };
        after = event["sequence"].as_u64().unwrap();
        if event["data"]["commit"] == commit && event["type"] == "flight.opened" {
            flight = Some(event["flight"].clone());
        }
        if flight.as_ref() != Some(&event["flight"]) {
            continue;
        }
        let label = label(&event);
        let kill = kills.front() == Some(&label.as_str());
        if kill {
            world.kill();
            kills.pop_front();
        }
        seen(&label, kill);
        if kill {
            world.start();
            events = world.follow(after);
            until("production answers where it did before", || http::get(address, "/").ok());
        }
        if is_last(&event) {
            assert!(kills.is_empty(), "not seen: {kills:?}");
            break;
        }
    }
    push.join().unwrap();
}

/// Whether nothing more happens to the flight: it has landed, or its author knows that it did not.
fn is_last(event: &Value) -> bool {
    let landed = event["type"] == "flight.ended" && event["data"]["outcome"]["outcome"] == "landed";
    landed || event["type"] == "flight.author_notified"
}

/// Nothing was done twice, in the journal or in Git. Only a job that was killed along with its server starts again.
fn assert_once(world: &World, flight: &Value, written: &[&str]) {
    let mut counts = BTreeMap::<String, usize>::new();
    for event in flight["events"].as_array().unwrap() {
        *counts.entry(label(event)).or_default() += 1;
    }
    counts.retain(|label, count| *count > 1 && !label.starts_with("pipeline.job_started"));
    assert!(counts.is_empty(), "more than once: {counts:?}");

    let of_flight = deployments(world).into_iter().filter(|e| e.trailer("Prograde-Flight") == flight["id"].as_str());
    let found: Vec<String> = of_flight
        .map(|e| {
            let (environment, _) = e.trailer("Prograde-Target").unwrap().split_once('/').unwrap();
            format!("{} {environment}", e.trailer("Prograde-Action").unwrap())
        })
        .collect();
    assert_eq!(found, written);
}

fn assert_serves(world: &World, service: &str, load: &Load, greeting: &str) {
    let serving = world.serves_alone(service, "production");
    assert_eq!(serving["weight"], 100);
    assert!(text(&serving, "flight").len() == 32);
    let before = load.tally().of(greeting).good;
    until("users are served", || (load.tally().of(greeting).good > before + 200).then_some(()));
}
