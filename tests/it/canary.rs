//! Releases that take over by rising shares of traffic, under load.

use std::collections::BTreeSet;

use crate::world::events::label;
use crate::world::load::Load;
use crate::world::mailbox::Mailbox;
use crate::world::repository::{AUTHOR, Repository, deployments};
use crate::world::wait::until;
use crate::world::{World, text};

/// Requests a second: so many that one in a hundred is enough to judge by.
const RATE: u32 = 400;

/// A service that serves, and its users.
pub(crate) fn under_load(world: &World) -> (Repository, Load) {
    let repository = Repository::create(world, "echo");
    world.ended(&repository.push("greeting=stable", "Serve"), "landed");
    let load = Load::start(world.address("echo", "production"), RATE);
    until("users are answered", || (load.tally().of("stable").good > 100).then_some(()));
    (repository, load)
}

#[test]
fn good_canary() {
    let world = World::new();
    let (repository, load) = under_load(&world);
    let flight = world.ended(&repository.push("greeting=better", "Serve better"), "landed");
    let serving = world.serves_alone("echo", "production");
    assert_eq!(serving["flight"], flight["id"]);

    let steps: Vec<String> = flight["events"].as_array().unwrap().iter().map(label).collect();
    let steps = steps.iter().filter_map(|label| label.strip_prefix("rollout."));
    // One in a hundred may be too few for the bake time; then the step waits for more.
    let steps: Vec<&str> = steps.filter(|label| !label.starts_with("step_held")).collect();
    let entered = ["step_entered production 0", "step_passed production 0", "step_entered production 1"];
    let passed = ["step_passed production 1", "step_entered production 2", "step_passed production 2"];
    let all = [
        &["started test", "promoted test", "started production"][..],
        &entered,
        &passed,
        &["promoted production", "watched production"],
    ];
    assert_eq!(steps, all.concat());

    until("users are served by the new version alone", || (load.tally().of("better").good > 1_000).then_some(()));
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally:?}");
    assert_eq!(tally.of("better").pids.len(), 2, "both replicas serve: {tally:?}");
    world.end();
}

#[test]
fn bad_canary() {
    let mailbox = Mailbox::open();
    let world = World::with_webhook(mailbox.url());
    let (repository, load) = under_load(&world);
    let commit = repository.push("greeting=bad failures=20", "Break it");
    let flight = world.ended(&commit, "rolled_back");

    // Its users are the only ones who were harmed, and no more of them come.
    let harmed = load.tally();
    assert!(harmed.of("bad").bad > 0 && harmed.failed() == harmed.of("bad").bad, "{harmed:?}");
    until("users are served as before", || (load.tally().all() > harmed.all() + 1_000).then_some(()));
    let tally = load.stop();
    assert_eq!((tally.of("bad").good, tally.failed()), (harmed.of("bad").good, harmed.failed()), "{tally:?}");
    assert_eq!(tally.of("stable").pids.len(), 2, "nobody started the stable version anew: {tally:?}");
    assert_eq!(text(&world.serves_alone("echo", "production"), "commit"), previous(&world, &commit));

    let entry = &flight["environments"][1];
    assert_eq!((text(entry, "environment"), entry["weight"].as_u64()), ("production", Some(0)));
    let entered: Vec<String> = flight["events"].as_array().unwrap().iter().map(label).collect();
    assert!(!entered.iter().any(|label| label.starts_with("rollout.step_passed")), "{entered:?}");
    assert_written(&world, text(&flight, "id"), text(entry, "failure"));
    assert_explained(&world, text(&flight, "id"));
    assert_told(&mailbox, &flight);
    assert_quarantined(&world, &repository, &flight);
    world.end();
}

/// The commit that the service's flight before this one brought.
fn previous(world: &World, commit: &str) -> String {
    let flights = world.get("/api/v1/flights?service=echo");
    let flights: Vec<&str> = flights.as_array().unwrap().iter().map(|flight| text(flight, "commit")).collect();
    let at = flights.iter().position(|other| *other == commit).unwrap();
    flights[at + 1].to_owned()
}

/// Git says that it was taken back, and why.
pub(crate) fn assert_written(world: &World, flight: &str, failure: &str) {
    let written = deployments(world);
    let of_flight: Vec<_> = written.iter().filter(|entry| entry.trailer("Prograde-Flight") == Some(flight)).collect();
    let actions: Vec<_> = of_flight.iter().map(|entry| entry.trailer("Prograde-Action").unwrap()).collect();
    assert_eq!(actions, ["revert", "deploy", "deploy"], "{written:?}");
    let revert = of_flight[0];
    assert_eq!(revert.trailer("Prograde-Target"), Some("production/echo"));
    assert_eq!(revert.trailer("Prograde-Reverts"), Some(of_flight[1].commit.as_str()));
    assert!(revert.message.starts_with("Revert \"Break it\"") && revert.message.contains(failure), "{revert:?}");
}

/// The verdict can be explained with its numbers, and be looked at under other settings.
fn assert_explained(world: &World, flight: &str) {
    let shown = world.cli(&["verdict", "show", flight]);
    assert!(shown.code == 0 && shown.stdout.contains("production step 1: failed"), "{shown:?}");
    assert!(shown.stdout.contains("candidate  ") && shown.stdout.contains("p99 "), "{shown:?}");
    let same = world.cli(&["verdict", "replay", "--service", "echo", "--json"]);
    assert_eq!(same.code, 0, "the same settings say the same: {same:?}");
    let replayed: serde_json::Value = serde_json::from_str(&same.stdout).unwrap();
    let of_flight = |of: &&serde_json::Value| of["flight"] == flight;
    let verdicts = &replayed.as_array().unwrap().iter().find(of_flight).unwrap()["verdicts"];
    assert_eq!(verdicts.as_array().unwrap().last().unwrap()["verdict"]["verdict"], "fail", "{verdicts:#}");
    let lax = ["--max-error-rate", "60%", "--set", "failure_share_detect=90%", "--set", "failure_slack=59%"];
    let other = world.cli(&[&["verdict", "replay", flight][..], &lax].concat());
    assert_eq!(other.code, 1, "others do not: {other:?}");
    let wrong = world.cli(&["verdict", "replay", "--set", "failure_share=1%"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("failure_share"), "{wrong:?}");
}

/// The author has one letter, which names the commit and the reason.
fn assert_told(mailbox: &Mailbox, flight: &serde_json::Value) {
    let letters = mailbox.letters(text(flight, "id"));
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0]["commit"], flight["commit"]);
    assert_eq!(letters[0]["author"]["email"], AUTHOR.1);
    assert!(text(&letters[0], "text").contains(text(flight, "detail")), "{letters:?}\n{flight:#}");
}

/// The same program does not fly again, whichever commit brings it, until that is lifted.
fn assert_quarantined(world: &World, repository: &Repository, flight: &serde_json::Value) {
    let held = world.cli(&["quarantine", "list"]);
    let (status, refused) = world.try_get(&format!("/v2/echo/manifests/{}", text(flight, "digest")));
    assert!(status == 403 && refused.to_string().contains("in quarantine in production"), "{status} {refused}");
    assert!(held.code == 0 && held.stdout.contains(text(flight, "digest")), "{held:?}");
    let again = world.ended(&repository.push("greeting=bad failures=20", "Break it again"), "stopped");
    assert_eq!(again["digest"], flight["digest"], "the digest is the content's");
    assert!(text(&again, "detail").contains("quarantine"), "{again:#}");

    let lift = ["quarantine", "lift", text(flight, "digest"), "--service", "echo", "--environment", "production"];
    let lifted = world.cli(&[&lift[..], &["--by", "Ada", "--reason", "users asked for it"]].concat());
    assert_eq!(lifted.code, 0, "{lifted:?}");
    assert_eq!(world.get("/api/v1/quarantine"), serde_json::json!([]));
    let twice = world.cli(&[&lift[..], &["--by", "Ada", "--reason", "users asked for it"]].concat());
    assert_eq!(twice.code, 1, "{twice:?}");

    let commit = repository.push("greeting=bad failures=20", "Break it on purpose");
    world.flight_when(&commit, "has entered its first step", |flight| flight["environments"][1]["step"][0] == 0);
    let aborted =
        world.cli(&["abort", text(&world.flight_of(&commit), "id"), "--by", "Ada", "--reason", "seen enough"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    world.ended(&commit, "aborted");
}

#[test]
fn crash_at_start() {
    let world = World::new();
    let (repository, load) = under_load(&world);
    let flight = world.ended(&repository.push("greeting=dead crash=production", "Crash"), "rolled_back");
    let entry = &flight["environments"][1];
    assert!(text(entry, "failure").contains("crash"), "{entry:#}");
    assert_eq!(entry["requests"]["requests"], 0);
    world.serves_alone("echo", "production");
    let tally = load.stop();
    assert_eq!(tally.failed(), 0, "{tally:?}");
    assert_eq!(tally.of("dead").pids, BTreeSet::new());
    world.end();
}
