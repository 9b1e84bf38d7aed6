//! From an empty data directory to a service that serves.

use crate::world::repository::{Repository, deployments};
use crate::world::{World, http, text};

#[test]
fn first_flight() {
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    let commit = repository.push("greeting=hello", "Greet");
    let flight = world.ended(&commit, "landed");

    let id = text(&flight, "id");
    assert_eq!(flight["subject"], "Greet");
    assert_eq!(flight["author"], "Ada Example");
    let jobs: Vec<_> =
        flight["jobs"].as_array().unwrap().iter().map(|job| (text(job, "job"), text(job, "state"))).collect();
    assert_eq!(jobs, [("ci.yml/build", "success"), ("ci.yml/test", "success")]);

    for (environment, replicas) in [("test", 1), ("production", 2)] {
        let serving = world.serves_alone("echo", environment);
        assert_eq!(serving["flight"], id);
        assert_eq!(serving["ready"], replicas, "{environment}");
        let (status, body) = http::get(world.address("echo", environment), "/").unwrap();
        assert!(status == 200 && body.starts_with("hello "), "{status} {body}");
    }

    let written = deployments(&world);
    let targets: Vec<_> = written.iter().map(|entry| entry.trailer("Prograde-Target").unwrap()).collect();
    assert_eq!(targets, ["production/echo", "test/echo"], "the newest first");
    for entry in &written {
        assert!(entry.message.starts_with("Greet\n"), "{entry:?}");
        assert_eq!(entry.trailer("Prograde-Flight"), Some(id));
        assert_eq!(entry.trailer("Prograde-Action"), Some("deploy"));
        assert_eq!(entry.trailer("Prograde-Source"), Some(commit.as_str()));
        assert_eq!(entry.trailer("Prograde-Digest"), flight["digest"].as_str());
    }

    let verified = world.cli(&["journal", "verify", "--json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let shown = world.cli(&["status", "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["targets"], world.get("/api/v1/status")["targets"]);
    measured(&world);
    published(&world, &commit, text(&flight, "digest"));
    world.end();
}

/// The flight's image can be pulled from the registry, by the commit and by its digest.
fn published(world: &World, commit: &str, digest: &str) {
    let tags = world.cli(&["registry", "tags", "echo", "--json"]);
    // Beside the image lie its signature and attestations.
    let tags: Vec<String> = serde_json::from_str(&tags.stdout).unwrap();
    assert_eq!(tags.iter().filter(|tag| !tag.starts_with("sha256-")).collect::<Vec<_>>(), [&commit[..8]]);
    let by_commit = world.get(&format!("/v2/echo/manifests/{}", &commit[..8]));
    assert_eq!(world.get(&format!("/v2/echo/manifests/{digest}")), by_commit);
    let layer = text(&by_commit["layers"][0], "digest");
    let (status, _) = http::get(world.listen(), &format!("/v2/echo/blobs/{layer}")).unwrap();
    assert_eq!(status, 401, "nobody pulls without the token");
    let kept = world.cli(&["registry", "delete", &format!("echo@{digest}")]);
    assert!(kept.code == 1 && kept.stderr.contains("PG0751"), "{kept:?}");
}

/// The one deployment is measured, by the server and from its journal alike.
fn measured(world: &World) {
    let until = ["--until", "2999-01-01"];
    let asked = [&["dora", "echo", "--levels", "2024", "--json"][..], &until[..]].concat();
    let read = |args: &[&str]| -> serde_json::Value {
        let ran = world.cli(args);
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let found = read(&asked);
    assert_eq!((&found["total"]["deployments"], &found["total"]["lead_time"]["n"]), (&1.into(), &1.into()), "{found}");
    assert_eq!((&found["total"]["failures"]["n"], &found["rows"][0]["environment"]), (&0.into(), &"production".into()));
    assert_eq!(found["total"]["levels"]["lead_time"]["levels"], serde_json::json!([]), "one is too few to say");
    let offline = read(&[&asked[..], &["--offline"]].concat());
    assert_eq!(offline["total"], found["total"], "the journal says the same without the server");
    let test = read(&[&asked[..], &["--environment", "test"]].concat());
    assert_eq!(test["rows"][0]["environment"], "test");
    assert_eq!(read(&["toil", "--json"]), serde_json::json!([]), "nobody had to do anything by hand");
    let wrong = world.cli(&["dora", "--time-zone", "Mars/Olympus"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("PG0907"), "{wrong:?}");
}
