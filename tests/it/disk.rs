//! What nobody needs any more goes from the disk, and nothing else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, text};

/// As if nobody had touched it for longer than is kept.
fn age(path: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    File::open(path).unwrap().set_modified(long_ago).unwrap();
}

/// Where a flight's image is unpacked.
fn root(world: &World, flight: &Value) -> PathBuf {
    world.data().join("images").join(text(flight, "digest").trim_start_matches("sha256:"))
}

fn artifacts(world: &World, flight: &Value) -> PathBuf {
    world.data().join("ci").join(text(flight, "id")).join("artifacts")
}

#[test]
fn what_nothing_runs_goes_and_comes_back_when_it_is_wanted() {
    let mut world = World::new();
    let repository = Repository::create(&world, "echo");
    repository.enter_at_once();
    let first = world.ended(&repository.push("greeting=one", "One"), "landed");
    let second = world.ended(&repository.push("greeting=two", "Two"), "landed");
    repository.edit("prograde.yaml", "- name: production", "- { name: production, gate: { approvals: 1 } }");
    let commit = repository.push("greeting=three", "Three");
    let waits = |flight: &Value| flight["environments"][1]["missing"][0] == "has 0 of 1 approvals";
    let third = world.flight_when(&commit, "waits for approval", waits);
    let all = [&first, &second, &third];

    // The young stay, also over a restart.
    world.kill();
    world.start();
    for flight in all {
        assert!(root(&world, flight).join("app").exists() && artifacts(&world, flight).exists(), "{flight}");
    }
    world.kill();
    for flight in all {
        age(&root(&world, flight));
        age(&artifacts(&world, flight));
    }
    world.start();
    until("the first one's image is gone", || (!root(&world, &first).exists()).then_some(()));
    for flight in [&first, &second] {
        until("its artifacts are gone", || (!artifacts(&world, flight).exists()).then_some(()));
        let log = world.cli(&["flight", "log", text(flight, "id")]);
        assert!(log.code == 0 && !log.stdout.is_empty(), "{log:?}");
    }
    for flight in [&second, &third] {
        assert!(root(&world, flight).join("app").exists(), "it runs: {flight}");
    }
    assert!(artifacts(&world, &third).exists(), "it has not ended");
    assert_eq!(world.serves_alone("echo", "production")["flight"], second["id"]);
    let removed = world.log();
    assert!(removed.contains("nothing runs it") && removed.contains("it ended long ago"), "{removed}");

    // Back to the one that is gone; and what waited goes on.
    let back = ["rollback", "echo", "--environment", "production", "--by", "Ada", "--reason", "one was better"];
    let said = world.cli(&back);
    assert_eq!(said.code, 0, "{said:?}");
    until("the first one serves", || {
        (world.target("echo", "production")?["versions"][0]["flight"] == first["id"]).then_some(())
    });
    assert_eq!(world.serves_alone("echo", "production")["flight"], first["id"]);
    assert!(root(&world, &first).join("app").exists());
    assert_eq!(world.cli(&["approve", text(&third, "id"), "--by", "Bob"]).code, 0);
    let landed = world.ended(&commit, "landed");
    assert_eq!(world.serves_alone("echo", "production")["flight"], landed["id"]);
    assert_eq!(fs::read_dir(world.data().join("images")).unwrap().count(), 4, "three images and where they are made");
    world.end();
}
