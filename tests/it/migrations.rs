//! Releases that migrate their data before they serve.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::canary::assert_written;
use crate::world::events::label;
use crate::world::load::Load;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, processes, text};

/// A service of which a release without a migration serves, and the file into which all of them write what they do.
struct Migrating {
    repository: Repository,
    ledger: PathBuf,
}

impl Migrating {
    fn new(world: &World) -> Self {
        let repository = Repository::create(world, "echo");
        let ledger = world.dir().join("ledger");
        let variable =
            format!("          env:\n            - name: LEDGER\n              value: {}\n", ledger.display());
        repository.edit("deploy/base/deployment.yaml", "          ports:\n", &format!("{variable}          ports:\n"));
        world.ended(&repository.push("greeting=stable", "Serve"), "landed");
        Self { repository, ledger }
    }

    /// The releases from now on migrate.
    fn declare(&self, more: &str) {
        let environments = "environments:\n";
        let migration = format!("migration:\n  args: [migrate]\n{more}{environments}");
        self.repository.edit("prograde.yaml", environments, &migration);
    }

    /// What a release has done, in order.
    fn done(&self, greeting: &str) -> Vec<String> {
        let lines = fs::read_to_string(&self.ledger).unwrap();
        let of = |line: &&str| line.split(' ').nth(1) == Some(greeting);
        lines.lines().filter(of).map(|line| line.replacen(&format!(" {greeting} "), " ", 1)).collect()
    }

    /// Migrations take until this is gone.
    fn hold(&self) -> Hold {
        let path = self.ledger.with_extension("hold");
        fs::write(&path, "").unwrap();
        Hold(path)
    }

    fn until_migrating(&self, greeting: &str, times: usize) {
        let runs = || self.done(greeting).iter().filter(|line| line.starts_with("migrate ")).count();
        until("the migration runs", || (runs() == times).then_some(()));
    }
}

struct Hold(PathBuf);

impl Drop for Hold {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

/// The migrations that run in a world now.
fn running(world: &World) -> usize {
    processes::of(world.dir()).iter().filter(|process| process.command.trim_end().ends_with(" migrate")).count()
}

/// What happened to a flight in an environment until its rollout went on.
fn entered(flight: &Value, environment: &str) -> Vec<String> {
    let labels = flight["events"].as_array().unwrap().iter().map(label);
    let here = labels.filter_map(|label| label.strip_suffix(&format!(" {environment}")).map(str::to_owned));
    here.take_while(|label| label != "rollout.promoted").collect()
}

#[test]
fn a_migration_is_run_once_in_each_environment_before_any_replica() {
    let world = World::new();
    let service = Migrating::new(&world);
    assert_eq!(service.done("stable"), ["serve test", "serve production", "serve production"]);
    service.declare("");
    let load = Load::start(world.address("echo", "production"), 200);
    let flight = world.ended(&service.repository.push("greeting=better", "Migrate"), "landed");
    let done = ["migrate test", "serve test", "migrate production", "serve production", "serve production"];
    assert_eq!(service.done("better"), done);
    let way_in = ["gate.passed", "environment.deployed", "environment.migration_started", "environment.migrated"];
    assert_eq!(entered(&flight, "test"), [&way_in[..], &["rollout.started"]].concat());
    let logs = world.cli(&["logs", "echo", "--environment", "production", "--flight", text(&flight, "id")]);
    assert!(logs.stdout.contains("migrated"), "what it writes is in the log: {logs:?}");

    let rolled_back = world.cli(&["rollback", "echo", "-e", "production", "--by", "Ada", "--reason", "it smells"]);
    assert_eq!(rolled_back.code, 0, "{rolled_back:?}");
    world.ended(text(&flight, "commit"), "rolled_back");
    assert!(!service.done("stable").iter().any(|line| line.starts_with("migrate")), "a rollback migrates nothing");
    assert_eq!(load.stop().failed(), 0);
    world.end();
}

#[test]
fn a_release_that_can_not_migrate_never_runs() {
    let world = World::new();
    let service = Migrating::new(&world);
    service.declare("");
    let load = Load::start(world.address("echo", "production"), 200);
    let commit = service.repository.push("greeting=worse unmigratable=production", "Break it");
    let flight = world.ended(&commit, "rolled_back");
    let failure = "the migration failed: exit status 1: ended: there is no table orders in production";
    assert_eq!(text(&flight["environments"][1], "failure"), failure);
    assert_eq!(text(&flight, "detail"), failure);
    assert_written(&world, text(&flight, "id"), failure);
    assert_eq!(service.done("worse"), ["migrate test", "serve test", "migrate production"]);
    let quarantined = world.get("/api/v1/quarantine");
    assert_eq!(
        (quarantined[0]["reason"].as_str(), quarantined[0]["flight"].as_str()),
        (Some(failure), flight["id"].as_str())
    );
    let shown = world.cli(&["flight", "show", text(&flight, "id")]);
    assert!(shown.stdout.contains("production: migration failed: exit status 1"), "{shown:?}");
    let tally = load.stop();
    assert_eq!((tally.of("worse").good, tally.of("worse").bad, tally.failed()), (0, 0, 0), "{tally:?}");
    world.end();
}

#[test]
fn a_migration_that_takes_too_long_has_failed() {
    let world = World::new();
    let service = Migrating::new(&world);
    service.declare("  timeout: 2s\n");
    let hold = service.hold();
    let flight = world.ended(&service.repository.push("greeting=slow", "Take long"), "rolled_back");
    assert_eq!(text(&flight, "detail"), "the migration failed: did not end within 2 s");
    assert_eq!(service.done("slow"), ["migrate test"]);
    until("it is ended", || (running(&world) == 0).then_some(()));
    drop(hold);
    world.end();
}

#[test]
fn a_server_that_was_killed_ends_the_migration_and_runs_it_again() {
    let mut world = World::new();
    let service = Migrating::new(&world);
    service.declare("");
    let load = Load::start(world.address("echo", "production"), 200);
    let hold = service.hold();
    let commit = service.repository.push("greeting=better", "Migrate");
    service.until_migrating("better", 1);
    world.flight_when(&commit, "migrates", |flight| flight["stage"] == "migrating");
    let shown = world.cli(&["status"]);
    assert!(shown.stdout.contains("migrating in test"), "{shown:?}");
    world.kill();
    assert_eq!(running(&world), 1, "it outlives the server");
    world.start();
    service.until_migrating("better", 2);
    until("the one before is gone", || (running(&world) == 1).then_some(()));
    drop(hold);
    let flight = world.ended(&commit, "landed");
    assert_eq!(service.done("better")[..3], ["migrate test", "migrate test", "serve test"]);
    let told = entered(&flight, "test");
    assert_eq!(told.iter().filter(|label| label.starts_with("environment.migrat")).count(), 2, "{told:?}");

    // In order, it is ended as well, and has not failed by that.
    let hold = service.hold();
    let commit = service.repository.push("greeting=best", "Migrate again");
    service.until_migrating("best", 1);
    world.stop();
    assert_eq!(running(&world), 0);
    world.start();
    service.until_migrating("best", 2);
    drop(hold);
    world.ended(&commit, "landed");
    load.stop();
    world.end();
}

#[test]
fn an_abort_ends_the_migration() {
    let world = World::new();
    let service = Migrating::new(&world);
    service.declare("");
    let hold = service.hold();
    let commit = service.repository.push("greeting=better", "Migrate");
    service.until_migrating("better", 1);
    let aborted =
        world.cli(&["abort", text(&world.flight_of(&commit), "id"), "--by", "Ada", "--reason", "it locks all"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    let flight = world.ended(&commit, "aborted");
    assert_eq!(text(&flight, "detail"), "by Ada: it locks all");
    until("it is ended", || (running(&world) == 0).then_some(()));
    drop(hold);
    assert_eq!(service.done("better"), ["migrate test"]);
    assert_ne!(world.serves_alone("echo", "test")["flight"], flight["id"]);
    world.end();
}

/// Lets a flight into an environment, which it has to ask for because of its migration.
fn approve(world: &World, commit: &str, environment: usize) {
    let missing = "has 0 of 1 approvals: its migration can't be undone";
    let flight =
        world.flight_when(commit, "asks", |flight| flight["environments"][environment]["missing"][0] == missing);
    let approved = world.cli(&["approve", text(&flight, "id"), "--by", "Ada"]);
    assert_eq!(approved.code, 0, "{approved:?}");
}

#[test]
fn past_a_point_of_no_return_only_a_person_goes_back() {
    let world = World::new();
    let service = Migrating::new(&world);
    service.declare("  point_of_no_return: true\n");
    service.repository.edit("prograde.yaml", "    watch: 1s\n", "    watch: 10m\n");
    let load = Load::start(world.address("echo", "production"), 400);
    let commit = service.repository.push("greeting=late failures=20 well=1500", "Fail late");
    approve(&world, &commit, 0);
    approve(&world, &commit, 1);
    let flight = world.ended(&commit, "kept");
    assert!(text(&flight, "detail").starts_with("serves on past its point of no return: step 4 failed"), "{flight:#}");
    assert_eq!(text(&flight["environments"][1], "standing"), "kept");
    assert_eq!(world.serves_alone("echo", "production")["flight"], flight["id"]);
    assert_eq!(world.get("/api/v1/quarantine"), serde_json::json!([]));
    assert!(world.log().contains("a person must decide"), "its author is told: {}", world.log());

    let back = ["rollback", "echo", "-e", "production", "--by", "Ada", "--reason", "it reads the new tables"];
    let refused = world.cli(&back);
    assert_eq!(refused.code, 1, "{refused:?}");
    let why = format!("flight {} has run a migration in production that can't be undone", text(&flight, "id"));
    assert!(refused.stderr.contains(&why) && refused.stderr.contains("--past-point-of-no-return"), "{refused:?}");
    let ordered = world.cli(&[&back[..], &["--past-point-of-no-return"]].concat());
    assert_eq!(ordered.code, 0, "{ordered:?}");
    let flight = world.ended(&commit, "rolled_back");
    assert_ne!(world.serves_alone("echo", "production")["flight"], flight["id"]);
    let tally = load.stop();
    assert!(tally.of("late").bad > 0, "{tally:?}");
    world.end();
}
