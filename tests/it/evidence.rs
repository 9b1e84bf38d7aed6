//! Every release is signed and attested, others can check that with their own tools, and nothing runs that no trusted key
//! vouches for.

use std::process::Command;

use serde_json::{Value, json};

use rustix::process::Signal;

use crate::world::processes::signal;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, said_by_peer, text};

/// The server's own key, and later another one.
const OWN: &str = "keys:\n- name: ours\n  public_key: data/signing/cosign.pub\n";
const OTHER: &str = "keys:\n- name: theirs\n  public_key: theirs.pub\n";

fn evidence(world: &World, flight: &str) -> Value {
    let shown = world.cli(&["release", "show", flight, "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    serde_json::from_str::<Value>(&shown.stdout).unwrap()[0].clone()
}

/// cosign 3 takes the signature from the server's registry, with the server's public key.
fn cosign_verifies(world: &World, digest: &str) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/cosign3/cosign");
    let (key, image) = (world.data().join("signing/cosign.pub"), format!("{}/echo@{digest}", world.listen()));
    let mut command = Command::new(program);
    let user = ["--registry-username", "prograde", "--registry-password", world.token()];
    command.args(["verify", "--insecure-ignore-tlog=true", "--allow-http-registry", "--key"]).arg(key).args(user);
    command.arg(image);
    let Some(said) = said_by_peer("cosign", &mut command) else { return };
    assert_eq!(said.code, 0, "{said:?}");
}

/// A policy that asks for something of every pod's annotations.
pub(crate) fn policy(pattern: &str) -> String {
    format!(
        "apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {{ name: evidence }}
spec:
  validationFailureAction: Enforce
  rules:
    - name: evidence
      match: {{ any: [{{ resources: {{ kinds: [Deployment] }} }}] }}
      validate: {{ message: Something is missing., pattern: {{ spec: {{ template: {{ metadata: {{ annotations: {pattern} }} }} }} }} }}
"
    )
}

/// A policy that asks for a signature of every image by a key.
fn signed_by(key: &str) -> String {
    let by = json!([{"entries": [{"keys": {"publicKeys": key, "rekor": {"ignoreTlog": true}}}]}]);
    verifying("attestors", &by)
}

/// Attested by a key, with conditions for what is attested.
fn attested_by(key: &str, kind: &str, conditions: &Value) -> String {
    let by = json!([{"entries": [{"keys": {"publicKeys": key, "rekor": {"ignoreTlog": true}}}]}]);
    verifying("attestations", &json!([{"type": kind, "attestors": by, "conditions": conditions}]))
}

fn verifying(name: &str, what: &Value) -> String {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "signed"},
        "spec": {"validationFailureAction": "Enforce", "rules": [{
            "name": "signed", "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "verifyImages": [{"imageReferences": ["*"], "mutateDigest": false, "verifyDigest": false, name: what}],
        }]},
    })
    .to_string()
}

#[test]
fn policies_that_name_the_servers_key_let_its_releases_in_and_others_none() {
    let world =
        World::with_files(&[("signed.yaml", &policy("{ prograde.dev/scan: passed }"))], &["--policies", "signed.yaml"]);
    let own = std::fs::read_to_string(world.data().join("signing/cosign.pub")).unwrap();
    let reload = |key: &str| {
        let before = world.log().matches("Reloaded").count();
        std::fs::write(world.dir().join("signed.yaml"), signed_by(key)).unwrap();
        signal(world.pid(), Signal::HUP);
        until("the policies to be read again", || (world.log().matches("Reloaded").count() > before).then_some(()));
    };
    reload(&own);
    let repository = Repository::create(&world, "echo");
    let good = world.ended(&repository.push("greeting=hello", "Greet"), "landed");
    assert_eq!(world.serves_alone("echo", "production")["flight"], good["id"]);

    let (prefix, password) = (world.dir().join("theirs"), world.dir().join("password"));
    std::fs::write(&password, "a password").unwrap();
    let files = [prefix.to_str().unwrap(), password.to_str().unwrap()];
    let made = world.cli(&["key", "generate", "--output-key-prefix", files[0], "--password-file", files[1]]);
    assert_eq!(made.code, 0, "{made:?}");
    reload(&std::fs::read_to_string(world.dir().join("theirs.pub")).unwrap());
    let refused = world.ended(&repository.push("greeting=again", "Greet again"), "refused");
    let said = text(&refused, "detail");
    assert!(said.contains("PG1106") && said.contains("signs with another key"), "{said}");
    world.end();
}

#[test]
fn what_is_attested_is_judged_before_it_is_deployed() {
    const SLSA: &str = "https://slsa.dev/provenance/v1";
    let world =
        World::with_files(&[("signed.yaml", &policy("{ prograde.dev/scan: passed }"))], &["--policies", "signed.yaml"]);
    let own = std::fs::read_to_string(world.data().join("signing/cosign.pub")).unwrap();
    let reload = |kind: &str, key: &str, value: &str| {
        let before = world.log().matches("Reloaded").count();
        let conditions = json!([{"all": [{"key": key, "operator": "Equals", "value": value}]}]);
        std::fs::write(world.dir().join("signed.yaml"), attested_by(&own, kind, &conditions)).unwrap();
        signal(world.pid(), Signal::HUP);
        until("the policies to be read again", || (world.log().matches("Reloaded").count() > before).then_some(()));
    };
    let branch = "{{ buildDefinition.externalParameters.branch }}";
    let repository = Repository::create(&world, "echo");
    reload(SLSA, branch, "main");
    let good = world.ended(&repository.push("greeting=hello", "Greet"), "landed");
    assert_eq!(world.serves_alone("echo", "production")["flight"], good["id"]);

    // What another type says is never there, which is known at the push.
    reload("https://example.com/review/v1", branch, "main");
    let refused = world.ended(&repository.push("greeting=again", "Greet again"), "refused");
    assert!(text(&refused, "detail").contains("attests nothing of the type"), "{refused}");
    assert!(refused["digest"].is_null(), "nothing is built: {refused}");

    // What does not hold is known once it is built, and nothing of it runs.
    for (key, value, told) in [(branch, "release", "condition 0 of all"), ("{{ nothing }}", "x", "can't be tried")] {
        reload(SLSA, key, value);
        let commit = repository.push(&format!("greeting={value}"), "Greet once more");
        let ended = world.flight_when(&commit, "ends", |flight| !flight["ended_at"].is_null());
        let said = ended.to_string();
        assert!(said.contains("PG1106") && said.contains(told), "{said}");
        assert!(!ended["digest"].is_null(), "{said}");
    }
    assert_eq!(world.serves_alone("echo", "production")["flight"], good["id"]);
    world.end();
}

#[test]
fn policies_are_asked_again_before_a_release_is_deployed_with_what_is_known_by_then() {
    let vouched = policy("{ prograde.dev/signed-by: '?*', prograde.dev/scan: passed }");
    let world = World::with_files(&[("evidence.yaml", &vouched)], &["--policies", "evidence.yaml"]);
    let repository = Repository::create(&world, "echo");
    let gate = "environments:\n  - name: test\n  - name: production\n    gate: { approvals: 1, approvals_by: [Eve] }\n";
    let config = std::fs::read_to_string(repository.path("prograde.yaml")).unwrap();
    repository.write("prograde.yaml", &format!("{}{gate}", config.split_once("environments:").unwrap().0));
    let commit = repository.push("greeting=hello", "Greet");
    let flight = world.flight_when(&commit, "waits", |flight| text(flight, "detail").contains("approv"));

    // Something else is asked for since the push.
    std::fs::write(world.dir().join("evidence.yaml"), policy("{ prograde.dev/signed-by: somebody-else }")).unwrap();
    signal(world.pid(), Signal::HUP);
    until("the policies to be read again", || world.log().contains("Reloaded").then_some(()));
    let approved = world.cli(&["approve", text(&flight, "id"), "--by", "Eve"]);
    assert_eq!(approved.code, 0, "{approved:?}");
    let events = until("its end is told", || {
        let events = world.flight_of(&commit)["events"].as_array().unwrap().clone();
        events.iter().any(|event| event["type"] == "flight.ended").then_some(events)
    });
    let last = events.iter().find(|event| event["type"] == "flight.ended").unwrap();
    let said = last["data"]["outcome"].to_string();
    assert!(said.contains("PG1106") && said.contains("deploy/base/deployment.yaml"), "{said}");
    let deployed = events.iter().filter(|event| event["type"] == "environment.deployed").count();
    assert_eq!(deployed, 1, "it is in the test environment alone: {events:?}");
    assert!(world.target("echo", "production").is_none_or(|target| target["versions"] == json!([])));
    world.end();
}

#[test]
fn releases_are_vouched_for_and_nothing_else_runs() {
    let mut world = World::with_files(&[("trust.yaml", OWN)], &["--trust", "trust.yaml"]);
    let repository = Repository::create(&world, "echo");
    let flight = world.ended(&repository.push("greeting=hello", "Greet"), "landed");
    let (id, digest) = (text(&flight, "id").to_owned(), text(&flight, "digest").to_owned());

    let shown = evidence(&world, &id);
    let found = shown["found"].as_array().unwrap();
    assert!(found.iter().all(|one| one["key"] == "ours" && one["refused"].is_null()), "{found:?}");
    let of = |kind: &str| found.iter().find(|one| one["predicate_type"] == kind).map(|one| &one["predicate"]).unwrap();
    let provenance = of("https://slsa.dev/provenance/v1");
    assert_eq!(provenance["buildDefinition"]["externalParameters"]["commit"], flight["commit"]);
    assert_eq!(provenance["runDetails"]["metadata"]["invocationId"], json!(id));
    assert_eq!(of("https://in-toto.io/attestation/test-result/v0.1")["result"], "PASSED");
    assert_eq!(of("https://cyclonedx.org/bom")["bomFormat"], "CycloneDX");
    assert!(of("https://cosign.sigstore.dev/attestation/vuln/v1")["scanner"]["result"]["files"].as_u64() > Some(0));
    cosign_verifies(&world, &digest);

    // Only another key counts from now on: what served is not started again, and what comes is not deployed.
    let keys = world.dir().join("theirs");
    let made =
        world.command().args(["key", "generate", "--output-key-prefix"]).arg(keys).env("COSIGN_PASSWORD", "x").output();
    assert!(made.unwrap().status.success());
    world.stop();
    std::fs::write(world.dir().join("trust.yaml"), OTHER).unwrap();
    world.start();
    let refused = until("the image is refused", || {
        let trouble = world.target("echo", "production")?["trouble"].as_str()?.to_owned();
        trouble.contains("no trusted signature holds").then_some(trouble)
    });
    assert!(refused.contains(&digest), "{refused}");
    let shown = world.cli(&["release", "show", &id]);
    assert!(shown.code == 1 && shown.stdout.contains("no trusted key made this signature"), "{shown:?}");
    let commit = repository.push("greeting=again", "Greet again");
    let flight = world.flight_when(&commit, "is not let in", |flight| flight["ended_at"].is_string());
    assert!(text(&flight, "detail").contains("no trusted signature holds"), "{flight:#}");
    world.end();
}
