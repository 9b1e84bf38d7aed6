//! What a person wrote can't be used: nothing runs, and the author is told where it is wrong.

use serde_json::json;

use crate::world::repository::{Repository, deployments};
use crate::world::{World, text};

/// Pushes what `spoil` makes of good files, and looks for where the refusal points to.
fn check(world: &World, name: &str, spoil: impl Fn(&Repository), expected: &[&str]) {
    let repository = Repository::create(world, name);
    repository.write("behaviour", "greeting=hello");
    spoil(&repository);
    let commit = repository.commit("Break it");
    repository.send();
    let flight = world.ended(&commit, "refused");
    assert_eq!(flight["jobs"], json!([]), "nothing was run");
    let ended = flight["events"].as_array().unwrap().iter().find(|event| event["type"] == "flight.ended").unwrap();
    let diagnostics = ended["data"]["outcome"]["diagnostics"].as_array().unwrap();
    let found: Vec<String> = diagnostics
        .iter()
        .map(|d| {
            format!("{}:{}:{} {} {}", text(d, "file"), d["line"], d["column"], text(d, "code"), text(d, "message"))
        })
        .collect();
    for (expected, found) in expected.iter().zip(&found) {
        assert!(found.starts_with(expected), "{name}: {found}, expected {expected}");
    }
    assert_eq!(found.len(), expected.len(), "{name}: {found:?}");
    assert!(diagnostics.iter().all(|diagnostic| !text(diagnostic, "hint").is_empty()), "{name}: {diagnostics:?}");
    // People see the same.
    let shown = world.cli(&["flight", "show", text(&flight, "id")]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let place = expected[0].split(' ').next().unwrap().trim_end_matches(":null:null");
    assert!(shown.stdout.contains(place), "{name}: {shown:?}");
}

#[test]
fn bad_input() {
    let world = World::new();
    check(
        &world,
        "weights",
        |repository| repository.edit("prograde.yaml", "weight: 10,", "weight: 101,"),
        &["prograde.yaml:19:17 PG0102 \"101\" is not a weight"],
    );
    check(
        &world,
        "actions",
        |repository| {
            repository.edit(".github/workflows/ci.yml", "actions/upload-artifact@v4", "docker/build-push-action@v6")
        },
        &[".github/workflows/ci.yml:23:15 "],
    );
    check(
        &world,
        "manifests",
        |repository| repository.edit("deploy/base/deployment.yaml", "containerPort: 8080", "containerPort: http"),
        &["deploy/base/deployment.yaml:21:30 "],
    );
    check(
        &world,
        "yaml",
        |repository| repository.edit("deploy/base/service.yaml", "spec:", "spec: ["),
        &["deploy/base/service.yaml:"],
    );
    check(
        &world,
        "overlay",
        |repository| repository.remove("deploy/overlays/production/deployment.yaml"),
        &["deploy/overlays/production/kustomization.yaml:6:11 "],
    );
    check(&world, "missing", |repository| repository.remove("prograde.yaml"), &["prograde.yaml:null:null PG0103 "]);
    assert_eq!(world.get("/api/v1/status")["targets"], json!([]));
    assert_eq!(deployments(&world), []);
    world.end();
}
