//! What a person wrote can't be used: nothing runs, and the author is told where it is wrong.

use serde_json::json;

use crate::world::repository::{Repository, deployments};
use crate::world::{World, text};

/// What is wrong with otherwise good files.
enum Spoilt {
    /// In a file, a text stands instead of another.
    Edited(&'static str, &'static str, &'static str),
    /// A file is missing.
    Removed(&'static str),
    /// There is a file of so many bytes.
    Added(&'static str, usize),
}

/// Pushes spoilt files, and looks for where the refusal points to and what it says first.
fn check(world: &World, name: &str, spoilt: &Spoilt, expected: &str) {
    let repository = Repository::create(world, name);
    repository.write("behaviour", "greeting=hello");
    match spoilt {
        Spoilt::Edited(path, from, to) => repository.edit(path, from, to),
        Spoilt::Removed(path) => repository.remove(path),
        Spoilt::Added(path, bytes) => repository.write(path, &" ".repeat(*bytes)),
    }
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
    assert!(found.len() == 1 && found[0].starts_with(expected), "{name}: {found:?}, expected {expected}");
    // People see the same.
    let shown = world.cli(&["flight", "show", text(&flight, "id")]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let place = expected.split(' ').next().unwrap().trim_end_matches(":0:0");
    assert!(shown.stdout.contains(place), "{name}: {shown:?}");
}

/// What a team asks of its pods, beside what is asked of all.
const TEAM: &str = "\
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: { name: require-team }
spec:
  validationFailureAction: Enforce
  rules:
    - name: team
      match: { any: [{ resources: { kinds: [Deployment], names: [unowned] } }] }
      validate: { message: The label team is required., pattern: { spec: { template: { metadata: { labels: { team: '?*' } } } } } }
";

#[test]
fn bad_input() {
    let world = World::with_files(&[("team.yaml", TEAM)], &["--policies", "team.yaml"]);
    let check = |name: &str, spoilt: Spoilt, expected: &str| check(&world, name, &spoilt, expected);
    check(
        "weights",
        Spoilt::Edited("prograde.yaml", "weight: 10,", "weight: 101,"),
        "prograde.yaml:17:19 PG0101 \"101\" is not a weight",
    );
    check(
        "actions",
        Spoilt::Edited(".github/workflows/ci.yml", "actions/upload-artifact@v4", "docker/build-push-action@v6"),
        ".github/workflows/ci.yml:22:15 PG0203 the action `docker/build-push-action@v6` is not supported",
    );
    check(
        "manifests",
        Spoilt::Edited("deploy/base/deployment.yaml", "GracePeriodSeconds: 5", "GracePeriodSeconds: five"),
        "deploy/base/deployment.yaml:16:38 PG0424 ",
    );
    check(
        "yaml",
        Spoilt::Edited("deploy/base/service.yaml", "spec:", "spec: ["),
        "deploy/base/service.yaml:7:11 PG0101 ",
    );
    check(
        "overlay",
        Spoilt::Removed("deploy/overlays/production/deployment.yaml"),
        "deploy/overlays/production/kustomization.yaml:6:11 ",
    );
    check(
        "privileged",
        Spoilt::Edited(
            "deploy/base/deployment.yaml",
            "          image: privileged\n",
            "          image: privileged\n          securityContext: { privileged: true }\n",
        ),
        "deploy/base/deployment.yaml:20:30 PG1106 pod-security-baseline: Deployment privileged: ",
    );
    check(
        "unowned",
        Spoilt::Edited("deploy/base/service.yaml", "port: 80", "port: 80"),
        "deploy/base/deployment.yaml:13:7 PG1106 require-team: Deployment unowned: ",
    );
    check("film", Spoilt::Added("deploy/film.bin", 65 << 20), "film.bin:0:0 PG0104 the file has 68157440 bytes");
    check("missing", Spoilt::Removed("prograde.yaml"), "prograde.yaml:0:0 PG0103 the file is missing");
    assert_eq!(world.get("/api/v1/status")["targets"], json!([]));
    assert_eq!(deployments(&world), []);
    world.end();
}
