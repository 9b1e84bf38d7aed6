//! Every way in which a release can take over, shown by real requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::world::events::label;
use crate::world::http::{Connection, get};
use crate::world::load::{Load, whoami};
use crate::world::repository::{Repository, deployments};
use crate::world::wait::until;
use crate::world::{World, text};

/// Requests a second.
const RATE: u32 = 400;
/// How production takes over in the fixture.
const CANARY: &str = "strategy: canary";
const STEPS: &str = "    steps:
      - { weight: 1, bake: 1s }
      - { weight: 10, bake: 1s }
      - { weight: 100, bake: 1s }
";

/// A service whose production takes over as said, serving, and its users.
fn serving(world: &World, strategy: &str, more: &str) -> (Repository, Load) {
    let repository = Repository::create(world, "echo");
    repository.edit("prograde.yaml", CANARY, strategy);
    repository.edit("prograde.yaml", STEPS, more);
    world.ended(&repository.push("greeting=old", "Serve"), "landed");
    let load = Load::start(world.address("echo", "production"), RATE);
    until("users are answered", || (load.tally().of("old").good > 100).then_some(()));
    (repository, load)
}

fn greeting(address: SocketAddr, header: &str) -> Option<String> {
    let (status, body, _) = Connection::open(address).ok()?.get_with("/", header).ok()?;
    Some(whoami(&body).filter(|_| status == 200)?.0)
}

fn rollout(flight: &Value) -> Vec<String> {
    let labels = flight["events"].as_array().unwrap().iter().map(label);
    let of_production = labels.filter(|label| label.contains("production"));
    of_production.filter_map(|label| label.strip_prefix("rollout.").map(str::to_owned)).collect()
}

#[test]
fn recreate() {
    let world = World::new();
    let (repository, load) = serving(&world, "strategy: recreate", "");
    let flight = world.ended(&repository.push("greeting=new", "Serve anew"), "landed");
    until("the new version serves", || (load.tally().of("new").good > 500).then_some(()));
    let tally = load.stop();
    assert_eq!(tally.of("old").bad + tally.of("new").bad, 0, "{tally:?}");
    assert_eq!(rollout(&flight), ["started production", "promoted production", "watched production"], "{tally:?}");
    // Both never served at once, which is what it is for; a rolling update would have served all the while.
    assert!(tally.foreign.0 > 0, "nobody serves in between: {tally:?}");

    let flight = world.ended(&repository.push("greeting=dead crash=production", "Crash"), "rolled_back");
    let address = world.address("echo", "production");
    until("the version before serves again", || (greeting(address, "")? == "new").then_some(()));
    assert_eq!(flight["environments"][1]["requests"]["requests"], 0);
    world.end();
}

#[test]
fn blue_green() {
    let world = World::new();
    let more = "    preview: 1h\n    keep: 3s\n";
    let (repository, load) = serving(&world, "strategy: blue-green", more);
    let commit = repository.push("greeting=shown", "Show");
    let preview: SocketAddr = until("it can be looked at", || {
        let target = world.target("echo", "production")?;
        let shown = target["preview"].as_str()?.strip_prefix("http://")?.parse().ok()?;
        (greeting(shown, "")? == "shown").then_some(shown)
    });
    until("users go on", || (load.tally().all() > 1_000).then_some(()));
    assert_eq!(load.tally().of("shown").good, 0, "nobody sees it who does not look");
    let aborted = world.cli(&["abort", text(&world.flight_of(&commit), "id"), "--by", "Ada", "--reason", "ugly"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    world.ended(&commit, "aborted");
    until("it is no longer shown", || get(preview, "/").is_err().then_some(()));

    repository.edit("prograde.yaml", "preview: 1h", "preview: 1s");
    let flight = world.ended(&repository.push("greeting=new", "Serve anew"), "landed");
    let steps = ["step_entered production 0", "step_passed production 0"];
    let switched = ["step_entered production 1", "step_passed production 1"];
    let all = [&["started production"][..], &steps, &switched, &["promoted production", "watched production"]];
    assert_eq!(rollout(&flight), all.concat());

    // After the switch the old version is still there, so going back takes no replica to start.
    world.ended(&repository.push("greeting=bad failures=30", "Break it"), "rolled_back");
    let harmed = load.tally();
    until("users are served as before", || (load.tally().all() > harmed.all() + 500).then_some(()));
    let tally = load.stop();
    assert_eq!(tally.failed(), harmed.of("bad").bad, "{tally:?}");
    assert_eq!(tally.of("new").pids.len(), 2, "nobody started the stable version anew: {tally:?}");
    world.end();
}

#[test]
fn an_audience_and_users_that_stay() {
    let world = World::new();
    let more = "    steps:
      - { weight: 0, bake: 2s }
      - { weight: 50, bake: 1h }
      - { weight: 100, bake: 1s }
    audience: { header: X-Beta, value: yes please }
    stick_to: { cookie: user }
";
    let (repository, load) = serving(&world, CANARY, more);
    let address = world.address("echo", "production");
    assert_eq!(greeting(address, "x-beta: yes please").unwrap(), "old");
    let commit = repository.push("greeting=new", "Serve anew");
    until("the audience has it", || (greeting(address, "x-beta: yes please")? == "new").then_some(()));
    assert_eq!(load.tally().of("new").good, 0, "and nobody else: {:?}", load.tally());
    let second = |flight: &Value| flight["environments"][1]["weight"] == 50;
    until("the audience was heard", || {
        for _ in 0..50 {
            greeting(address, "X-Beta: yes please")?;
        }
        second(&world.flight_of(&commit)).then_some(())
    });

    // Every user stays where the first request went.
    let user = |number: u32| greeting(address, &format!("cookie: theme=dark; user=u{number}")).unwrap();
    let first: BTreeMap<u32, String> = (0..200).map(|number| (number, user(number))).collect();
    let moved = first.values().filter(|greeting| *greeting == "new").count();
    assert!((60..140).contains(&moved), "{moved} of 200 users at 50%");
    for number in 0..200 {
        assert_eq!(user(number), first[&number], "user {number}");
    }
    let aborted = world.cli(&["abort", text(&world.flight_of(&commit), "id"), "--by", "Ada", "--reason", "enough"]);
    assert_eq!(aborted.code, 0, "{aborted:?}");
    world.ended(&commit, "aborted");
    assert_eq!(greeting(address, "x-beta: yes please").unwrap(), "old");
    assert_eq!(load.stop().failed(), 0);
    world.end();
}

#[test]
fn copies_harm_nobody() {
    let world = World::new();
    let more = "    steps:
      - { mirror: 20, bake: 1s }
      - { weight: 100, bake: 1s }
";
    let (repository, load) = serving(&world, CANARY, more);
    let flight = world.ended(&repository.push("greeting=bad failures=30", "Break it"), "rolled_back");
    assert_eq!(flight["environments"][1]["requests"]["requests"], 0, "{flight:#}");
    assert_eq!((load.tally().failed(), load.tally().of("bad").good), (0, 0));
    world.ended(&repository.push("greeting=new", "Serve anew"), "landed");
    until("the new version serves", || (load.tally().of("new").good > 200).then_some(()));
    assert_eq!(load.stop().failed(), 0);
    world.end();
}

#[test]
fn failing_with_all_traffic() {
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    repository.edit("prograde.yaml", "watch: 1s", "watch: 10m");
    // The first release is watched as well; the next one need not wait for the end of that.
    let first = repository.push("greeting=old", "Serve");
    world.flight_when(&first, "is watched", |flight| flight["stage"] == "watching");
    let load = Load::start(world.address("echo", "production"), RATE);
    let bad = world.ended(&repository.push("greeting=bad failures=20 well=1500", "Fail late"), "rolled_back");
    world.ended(&first, "landed");
    assert!(rollout(&bad).contains(&"promoted production".to_owned()), "{bad:#}");
    let by_judge = |event: &&Value| text(event, "type") == "environment.rollback_ordered";
    let ordered = bad["events"].as_array().unwrap().iter().find(by_judge).unwrap();
    assert_eq!(ordered["data"]["by"], "judge", "{ordered:#}");
    assert_eq!(world.serves_alone("echo", "production")["flight"], world.flight_of(&first)["id"]);
    let harmed = load.tally();
    until("users are served as before", || (load.tally().all() > harmed.all() + 500).then_some(()));
    assert_eq!(load.stop().failed(), harmed.of("bad").bad);
    let revert = &deployments(&world)[0];
    assert_eq!(revert.trailer("Prograde-Action"), Some("revert"), "{revert:?}");
    world.end();
}

#[test]
fn a_setting_is_a_release() {
    let world = World::new();
    let (repository, load) = serving(&world, CANARY, STEPS);
    let settings = "              value: production\n";
    let failing =
        |percent| format!("{settings}            - name: FAILURES_PERCENT\n              value: \"{percent}\"\n");
    let file = "deploy/overlays/production/deployment.yaml";
    repository.edit(file, settings, &failing(40));
    let bad = world.ended(&repository.push("greeting=old", "Set it badly"), "rolled_back");
    let before = world.flight_of(text(&world.serves_alone("echo", "production"), "commit"));
    assert_eq!(before["digest"], bad["digest"], "the program is the same");
    // Setting it right needs no new program, and the program is not held against it.
    repository.edit(file, &failing(40), &failing(0));
    let good = world.ended(&repository.push("greeting=old", "Set it right"), "landed");
    assert_eq!(world.serves_alone("echo", "production")["flight"], good["id"]);
    let harmed = load.tally();
    assert!(harmed.of("old").bad > 0);
    repository.edit(file, &failing(0), &failing(40));
    let again = world.ended(&repository.push("greeting=old", "Set it badly again"), "stopped");
    assert!(text(&again, "detail").contains("quarantine"), "{again:#}");
    load.stop();
    world.end();
}
