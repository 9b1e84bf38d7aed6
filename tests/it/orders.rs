//! What people order: approvals, aborts and rollbacks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::load::Load;
use crate::world::repository::{Repository, deployments};
use crate::world::wait::until;
use crate::world::{Said, World, text};

fn world() -> (World, Repository) {
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    (world, repository)
}

/// How often each action was written to Git for a flight, by target.
fn actions(world: &World, flight: &Value) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for entry in deployments(world).iter().filter(|e| e.trailer("Prograde-Flight") == flight["id"].as_str()) {
        let part = |name| entry.trailer(name).unwrap().to_owned();
        *found.entry((part("Prograde-Target"), part("Prograde-Action"))).or_default() += 1;
    }
    found
}

#[test]
fn approval() {
    let (world, repository) = world();
    repository.edit("prograde.yaml", "approvals: 0", "approvals: 2");
    let commit = repository.push("greeting=hello", "Greet");
    let waits_for = |given: u32| {
        let missing = json!([format!("has {given} of 2 approvals")]);
        world.flight_when(&commit, "waits for approval", |f| f["environments"][1]["missing"] == missing)
    };
    let flight = waits_for(0);
    assert_eq!(world.target("echo", "production"), None, "nothing runs there yet");

    let approve = |by: &str| world.cli(&["approve", text(&flight, "id"), "--by", by]);
    let assert_refused = |said: &Said, why: &str| {
        assert!(said.code == 1 && said.stderr.contains("PG0503") && said.stderr.contains(why), "{said:?}");
    };
    assert_eq!(approve("Ada").code, 0);
    waits_for(1);
    assert_refused(&approve("Ada"), "has already approved");
    let path = format!("/api/v1/flights/{}/approve", text(&flight, "id"));
    let (status, body) = world.post(&path, &json!({"by": "Ada", "environment": null}));
    assert_eq!((status, text(&body, "code")), (409, "PG0503"), "{body}");
    waits_for(1);
    assert_eq!(approve("Bob").code, 0);

    let landed = world.ended(&commit, "landed");
    assert_eq!(landed["environments"][1]["approvals"], json!(["Ada", "Bob"]));
    assert_refused(&approve("Eve"), "has ended");
    world.end();
}

#[test]
fn abort() {
    let (world, repository) = world();
    repository.edit("prograde.yaml", "weight: 10, bake: 1s", "weight: 10, bake: 1h");
    let stable = world.ended(&repository.push("greeting=stable", "Serve"), "landed");
    let load = Load::start(world.address("echo", "production"), 400);
    let commit = repository.push("greeting=better", "Serve better");
    let baking = world.flight_when(&commit, "bakes its second step", |f| f["environments"][1]["step"][0] == 1);
    let short = &text(&baking, "id")[..8];

    let nobody = world.cli(&["abort", "00000000", "--by", "Ada", "--reason", "wrong one"]);
    assert!(nobody.code == 2 && nobody.stderr.contains("PG0502"), "{nobody:?}");
    let said = world.cli(&["abort", short, "--by", "Ada", "--reason", "the wrong branch"]);
    assert_eq!(said.code, 0, "{said:?}");
    let aborted = world.ended(&commit, "aborted");
    assert_eq!(aborted["detail"], "by Ada: the wrong branch");
    let seen = load.tally();
    assert_eq!(world.serves_alone("echo", "production")["flight"], stable["id"]);
    until("users are served as before", || (load.tally().all() > seen.all() + 500).then_some(()));
    let tally = load.stop();
    assert_eq!((tally.failed(), tally.of("better").good), (0, seen.of("better").good), "{tally:?}");

    let written = actions(&world, &aborted);
    assert_eq!(written.get(&("production/echo".into(), "revert".into())), Some(&1), "{written:?}");
    let again = world.cli(&["abort", short, "--by", "Ada", "--reason", "the wrong branch"]);
    assert!(again.code == 1 && again.stderr.contains("has ended"), "{again:?}");
    world.end();
}

#[test]
fn rollback() {
    let (world, repository) = world();
    let stable = world.ended(&repository.push("greeting=stable", "Serve"), "landed");
    let load = Load::start(world.address("echo", "production"), 400);
    let commit = repository.push("greeting=worse", "Serve worse");
    let landed = world.ended(&commit, "landed");
    assert_eq!(world.serves_alone("echo", "production")["flight"], landed["id"]);

    let order = ["rollback", "echo", "--environment", "production", "--by", "Ada", "--reason", "orders are lost"];
    let said = world.cli(&order);
    assert_eq!(said.code, 0, "{said:?}");
    until("the release before serves again", || {
        (world.serves_alone("echo", "production")["flight"] == stable["id"]).then_some(())
    });
    let rolled_back = world.ended(&commit, "rolled_back");
    assert_eq!(rolled_back["detail"], "orders are lost");
    let before = load.tally().of("stable").good;
    until("users are served as before", || (load.tally().of("stable").good > before + 500).then_some(()));
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally:?}");

    let written = actions(&world, &rolled_back);
    assert_eq!(written.get(&("production/echo".into(), "revert".into())), Some(&1), "{written:?}");
    let quarantine = world.get("/api/v1/quarantine");
    assert_eq!((&quarantine[0]["digest"], text(&quarantine[0], "reason")), (&landed["digest"], "orders are lost"));
    let toil = world.cli(&["toil", "--json"]);
    let toil: serde_json::Value = serde_json::from_str(&toil.stdout).unwrap();
    assert_eq!((&toil[0]["person"], &toil[0]["rolled_back"]), (&"Ada".into(), &1.into()), "{toil}");
    let measured = world.cli(&["dora", "--json"]);
    let measured: serde_json::Value = serde_json::from_str(&measured.stdout).unwrap();
    let total = &measured["total"];
    assert_eq!(
        (&total["deployments"], &total["failures"]["n"], &total["unrecovered"]),
        (&2.into(), &1.into(), &0.into())
    );
    assert_eq!((&total["recovery"]["n"], &total["stopped_early"]), (&1.into(), &0.into()), "{measured}");
    let further = world.cli(&order);
    assert!(further.code == 1 && further.stderr.contains("no earlier release"), "{further:?}");
    world.end();
}

#[test]
fn superseded() {
    let (world, repository) = world();
    let slow = repository.push("greeting=slow build=slow", "Take long");
    world.flight_when(&slow, "builds", |flight| flight["jobs"][0]["state"] == "running");
    let sleeps = || {
        std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
            let of_this_world = |pid: &str| {
                std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(world.dir()))
            };
            let command = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            command.starts_with("sleep\0") && process.file_name().to_str().is_some_and(of_this_world)
        })
    };
    until("its pipeline takes long", || sleeps().then_some(()));
    let quick = repository.push("greeting=quick", "Be quick");
    let quick = world.ended(&quick, "landed");
    let slow = world.ended(&slow, "superseded");
    assert_eq!(text(&slow, "detail"), format!("by flight {}", &text(&quick, "id")[..8]));
    until("its pipeline's processes are gone", || (!sleeps()).then_some(()));
    assert!(actions(&world, &slow).is_empty());
    world.end();
}
