//! Git says what should run: `git revert` in the deployment repository takes a release back, and nothing else may be said there.

use crate::world::repository::{AUTHOR, Desk, Repository, deployments};
use crate::world::wait::until;
use crate::world::{World, text};

/// Two releases that serve in both environments.
fn two_releases(world: &World) -> (serde_json::Value, serde_json::Value) {
    let repository = Repository::create(world, "echo");
    repository.enter_at_once();
    let first = world.ended(&repository.push("greeting=first", "Serve"), "landed");
    let second = world.ended(&repository.push("greeting=second", "Serve something else"), "landed");
    (first, second)
}

fn serves(world: &World, flight: &serde_json::Value) {
    until("it serves again", || (world.serves_alone("echo", "production")["flight"] == flight["id"]).then_some(()));
}

#[test]
fn a_revert_by_hand_takes_a_release_back_as_an_order_does() {
    let world = World::new();
    let (first, second) = two_releases(&world);
    let written = deployments(&world);
    let desk = Desk::open(&world);
    desk.revert(&written[0].commit);
    desk.push(&world, "main").unwrap();
    serves(&world, &first);
    let taken_back = world.ended(text(&second, "commit"), "rolled_back");
    let short = &deployments(&world)[0].commit[..8];
    let detail = text(&taken_back, "detail");
    assert!(detail.starts_with("Revert \"") && detail.ends_with(&format!("({short})")), "{detail}");
    let events = taken_back["events"].as_array().unwrap();
    let ordered = events.iter().find(|event| event["type"] == "environment.rollback_ordered").unwrap();
    assert_eq!(ordered["data"]["by"], AUTHOR.0);
    let now = deployments(&world);
    assert_eq!(now.len(), written.len() + 1, "no commit but the person's was needed");
    let reverted = events.iter().find(|event| event["type"] == "environment.reverted").unwrap();
    assert_eq!(reverted["data"]["commit"], now[0].commit.as_str());
    assert_eq!(world.get("/api/v1/quarantine")[0]["digest"], second["digest"]);

    // The next release comes as any other.
    let repository = Repository::again(&world, "echo");
    let third = world.ended(&repository.push("greeting=third", "Serve better"), "landed");
    serves(&world, &third);
    world.end();
}

#[test]
fn nothing_else_may_be_said_there() {
    let world = World::new();
    let (_, second) = two_releases(&world);
    let written = deployments(&world);
    let refused = |desk: &Desk, branch: &str, why: &str| {
        let said = desk.push(&world, branch).unwrap_err();
        assert!(said.contains(why) && said.contains("git revert"), "{said}");
    };
    let desk = Desk::open(&world);
    desk.write("production/echo/objects/more.yaml", "a: b\n");
    refused(&desk, "main", "production/echo would become something that no release was there");
    let desk = Desk::open(&world);
    desk.write("README.md", "Hello.\n");
    refused(&desk, "main", "README.md would become something");
    let desk = Desk::open(&world);
    desk.revert(&written[0].commit);
    refused(&desk, "other", "only main can be pushed to");
    // Back to before the first release of an environment there is no way.
    for entry in &written[1..3] {
        desk.revert(&entry.commit);
    }
    refused(&desk, "main", "production/echo would go");
    assert_eq!(deployments(&world), written);
    assert_eq!(world.serves_alone("echo", "production")["flight"], second["id"]);
    world.end();
}

#[test]
fn a_revert_is_carried_out_also_if_the_server_ended_right_after_the_push() {
    let mut world = World::new();
    let (first, second) = two_releases(&world);
    let written = deployments(&world);
    let desk = Desk::open(&world);
    desk.revert(&written[0].commit);
    world.kill();
    desk.sneak(&world);
    world.start();
    serves(&world, &first);
    world.ended(text(&second, "commit"), "rolled_back");
    assert_eq!(deployments(&world).len(), written.len() + 1);
    world.end();
}
