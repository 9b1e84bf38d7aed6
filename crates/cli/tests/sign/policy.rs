//! Policies that ask who signed an image, tested against the registry that has it.

use serde_json::{Value, json};

use super::cosign::Peer;
use super::world::{Ran, World};

/// A rule about all images: each set of attestors is a list of keys and how many of them have to have signed.
fn policy(sets: &[(&[&str], u64)], annotations: &Value) -> Value {
    let attestors = sets.iter().map(|(keys, count)| {
        let entries = keys
            .iter()
            .map(|key| json!({"annotations": annotations, "keys": {"publicKeys": key, "rekor": {"ignoreTlog": true}}}));
        json!({"count": count, "entries": entries.collect::<Vec<_>>()})
    });
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "signed-releases"},
        "spec": {"rules": [{
            "name": "by-release-key",
            "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "verifyImages": [{"imageReferences": ["*"], "mutateDigest": false, "verifyDigest": false,
                "attestors": attestors.collect::<Vec<_>>()}],
        }]},
    })
}

fn test(world: &World, image: &str, policy: &Value, arguments: &[&str]) -> String {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": image}]}});
    let test = json!({"apiVersion": "cli.kyverno.io/v1alpha1", "kind": "Test", "metadata": {"name": "signatures"},
        "policies": ["policy.yaml"], "resources": ["pod.yaml"],
        "results": [{"policy": "signed-releases", "rule": "by-release-key", "resources": ["web"], "kind": "Pod",
            "result": "pass"}]});
    world.write("policy.yaml", &policy.to_string());
    world.write("pod.yaml", &pod.to_string());
    world.write("kyverno-test.yaml", &test.to_string());
    let ran: Ran = world.prograde(&[&["policy", "test", "kyverno-test.yaml", "--json"], arguments].concat());
    let line = ran.out.lines().next().unwrap_or_else(|| panic!("{ran:?}"));
    let outcome: Value = serde_json::from_str(line).unwrap();
    assert_eq!((outcome["ok"] == true, ran.code == 0), (outcome["actual"] == "pass", outcome["actual"] == "pass"));
    outcome["actual"].as_str().unwrap().to_owned()
}

#[test]
fn policies_ask_registries_for_signatures() {
    let Some(world) = World::start() else { return };
    let keys = ["release", "security", "stranger"].map(|name| {
        world.key(name);
        world.read(&format!("{name}.pub"))
    });
    let [release, security, stranger] = keys.each_ref().map(String::as_str);
    let (image, none) = (format!("{}/team/app:v1", world.host), json!({}));
    let by = |sets: &[(&[&str], u64)]| test(&world, &image, &policy(sets, &none), &["--signatures"]);
    assert_eq!(by(&[(&[release], 1)]), "fail");
    world.done(&["sign", "--key", "release.key", "-a", "stage=done", &image]);
    assert_eq!(by(&[(&[release], 1)]), "pass");
    assert_eq!(by(&[(&[stranger], 1)]), "fail");
    assert_eq!(by(&[(&[release, stranger], 1)]), "pass");
    assert_eq!(by(&[(&[release, security], 2)]), "fail");
    world.done(&["sign", "--key", "security.key", "--form", "tag", &image]);
    assert_eq!(by(&[(&[release, security], 2)]), "pass");
    assert_eq!(by(&[(&[release], 1), (&[security], 1)]), "pass");
    assert_eq!(by(&[(&[release], 1), (&[stranger], 1)]), "fail");
    let said = |annotations: Value| test(&world, &image, &policy(&[(&[release], 1)], &annotations), &["--signatures"]);
    assert_eq!(
        (said(json!({"stage": "done"})), said(json!({"stage": "begun"}))),
        ("pass".to_owned(), "fail".to_owned())
    );
    // By its digest it is the same image; another name, no registry and nobody who asks are no signature.
    let rule = policy(&[(&[release], 1)], &none);
    assert_eq!(test(&world, &world.image("team/app"), &rule, &["--signatures"]), "pass");
    assert_eq!(test(&world, &image, &rule, &[]), "error");
    assert_eq!(test(&world, "127.0.0.1:1/team/app:v1", &rule, &["--signatures"]), "error");
    assert_eq!(test(&world, &format!("{}/team/other:v1", world.host), &rule, &["--signatures"]), "error");
    let applied = |arguments: &[&str]| {
        world.write("policy.yaml", &rule.to_string());
        let command = ["policy", "apply", "policy.yaml", "--resource", "pod.yaml", "--json"];
        let ran: Ran = world.prograde(&[&command[..], arguments].concat());
        let said: Value = serde_json::from_str(&ran.out).unwrap();
        said["results"][0]["result"].as_str().unwrap().to_owned()
    };
    test(&world, &image, &rule, &[]);
    assert_eq!((applied(&["--signatures"]), applied(&[])), ("pass".to_owned(), "error".to_owned()));
    world.replay("team/app", "team/copy");
    assert_eq!(test(&world, &format!("{}/team/copy:v1", world.host), &rule, &["--signatures"]), "fail");
}

#[test]
fn signatures_of_cosign_count_for_policies() {
    for peer in Peer::all() {
        for (form, flags) in peer.forms() {
            let Some(world) = World::start() else { return };
            let image = world.image("team/app");
            let run = |arguments: &[&str]| {
                let ran = world.run(&peer.program, arguments);
                assert_eq!(ran.code, 0, "{form} {arguments:?}: {ran:?}");
            };
            run(&["generate-key-pair", "--output-key-prefix", "theirs"]);
            world.key("other");
            let fixed = ["sign", "--key", "theirs.key", image.as_str()];
            run(&[&fixed[..], &flags, &peer.alone()].concat());
            let by = |key: &str| {
                let key = world.read(key);
                test(&world, &image, &policy(&[(&[key.as_str()], 1)], &json!({})), &["--signatures"])
            };
            assert_eq!((by("theirs.pub"), by("other.pub")), ("pass".to_owned(), "fail".to_owned()), "{form}");
        }
    }
}
