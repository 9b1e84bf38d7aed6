//! A release goes on when its gate says so, people see at a glance what is where, and a person lets it past with a reason.

use serde_json::json;

use crate::world::repository::Repository;
use crate::world::{World, text};

/// Production is frozen, and releases take over at once where they may.
const FROZEN: &str = "\
environments:
  - name: test
  - name: production
    gate:
      freezes:
        - { from: 2020-01-01T00:00, until: 2120-01-01T00:00, time_zone: Europe/Berlin, reason: the antenna is painted }
      overrides_by: [Eve]
";

/// Writes these environments in the place of those of the fixture.
fn declare(repository: &Repository, environments: &str) {
    let config = std::fs::read_to_string(repository.path("prograde.yaml")).unwrap();
    let (before, _) = config.split_once("environments:").unwrap();
    repository.write("prograde.yaml", &format!("{before}{environments}"));
}

#[test]
fn a_freeze_keeps_a_release_where_it_is_until_somebody_answers_for_it() {
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    declare(&repository, "environments:\n  - name: test\n  - name: production\n");
    let first = repository.push("greeting=first", "Serve");
    world.ended(&first, "landed");

    declare(&repository, FROZEN);
    let second = repository.push("greeting=second", "Serve something else");
    let flight =
        world.flight_when(&second, "waits", |flight| text(flight, "detail").contains("the antenna is painted"));
    let id = text(&flight, "id").to_owned();

    // Who looks sees what is where, and how it differs.
    let places = world.get("/api/v1/environments")[0]["environments"].clone();
    assert_eq!(places[0]["serves"]["commit"], second.as_str());
    assert_eq!((&places[0]["behind"], &places[0]["comes"]), (&json!(0), &json!(null)));
    assert_eq!(places[1]["serves"]["commit"], first.as_str());
    assert_eq!((&places[1]["behind"], &places[1]["comes"]["commit"]), (&json!(1), &json!(second)));
    let shown = world.cli(&["env"]);
    assert!(shown.code == 0 && shown.stdout.contains("the antenna is painted"), "{shown:?}");
    let difference = world.get("/api/v1/environments/difference?service=echo&from=production&to=test");
    assert_eq!((&difference["gained"][0]["commit"], &difference["lost"]), (&json!(second), &json!([])));
    let shown = world.cli(&["diff", "production", "test"]);
    assert!(
        shown.code == 0 && shown.stdout.contains("+ ") && shown.stdout.contains("Serve something else"),
        "{shown:?}"
    );
    assert!(
        shown.stdout.contains("Deployment echo changed\n") && shown.stdout.contains("-  replicas: 2\n"),
        "{shown:?}"
    );
    let unknown = world.cli(&["env", "nobody"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("no service nobody has flown yet"), "{unknown:?}");
    let nowhere = world.cli(&["diff", "production", "moon"]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("PG0907"), "{nowhere:?}");

    let over = |by: &str| {
        world.cli(&["approve", &id, "--override", "freeze/production", "--reason", "the paint is dry", "--by", by])
    };
    assert_eq!(over("Bob").code, 1, "Bob may not");
    assert_eq!(over("Eve").code, 0);
    world.ended(&second, "landed");
    let shown = world.cli(&["diff", "production", "test", "--json"]);
    let same: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!((&same[0]["gained"], &same[0]["lost"]), (&json!([]), &json!([])));
    world.end();
}
