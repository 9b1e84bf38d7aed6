//! Policies that ask who signed an image, tested against the registry that has it.

use serde_json::{Value, json};

use super::cosign::Peer;
use super::keyless::{EVE, SIGNING, Scene};
use super::world::{Ran, World};

const SLSA: &str = "https://slsa.dev/provenance/v1";
const BOM: &str = "https://cyclonedx.org/bom";

/// A rule about all images: each set of attestors is a list of keys and how many of them have to have signed.
fn policy(sets: &[(&[&str], u64)], annotations: &Value) -> Value {
    let attestors = sets.iter().map(|(keys, count)| {
        let entries = keys
            .iter()
            .map(|key| json!({"annotations": annotations, "keys": {"publicKeys": key, "rekor": {"ignoreTlog": true}}}));
        json!({"count": count, "entries": entries.collect::<Vec<_>>()})
    });
    verifying("attestors", &json!(attestors.collect::<Vec<_>>()))
}

/// A rule about all images with this in it.
fn verifying(name: &str, what: &Value) -> Value {
    json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "signed-releases"},
        "spec": {"validationFailureAction": "Enforce", "rules": [{
            "name": "by-release-key",
            "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
            "verifyImages": [{"imageReferences": ["*"], "mutateDigest": false, "verifyDigest": false, name: what}],
        }]},
    })
}

/// A rule that asks one key, or somebody else, for an attestation.
fn attested(kind: &str, by: &Value, conditions: &Value) -> Value {
    let attestors = json!([{"entries": [by]}]);
    verifying("attestations", &json!([{"type": kind, "attestors": attestors, "conditions": conditions}]))
}

fn key(world: &World, name: &str) -> Value {
    json!({"keys": {"publicKeys": world.read(&format!("{name}.pub")), "rekor": {"ignoreTlog": true}}})
}

/// What an enforced policy says of an image, and why.
fn applied(world: &World, image: &str, policy: &Value, arguments: &[&str]) -> (String, String) {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": image}]}});
    world.write("policy.yaml", &policy.to_string());
    world.write("pod.yaml", &pod.to_string());
    let command = ["policy", "apply", "policy.yaml", "--resource", "pod.yaml", "--json", "--signatures"];
    let ran: Ran = world.prograde(&[&command[..], arguments].concat());
    let said: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let [result, message] = ["result", "message"].map(|name| said["results"][0][name].as_str().unwrap().to_owned());
    assert_eq!(ran.code == 0, result == "pass", "{ran:?}");
    (result, message)
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

#[test]
fn policies_ask_registries_for_attestations() {
    let Some(world) = World::start() else { return };
    world.key("ci");
    world.key("other");
    let image = world.image("team/app");
    let check = |rule: &Value, want: &str, told: &str| {
        let (result, message) = applied(&world, &image, rule, &[]);
        assert!(result == want && message.contains(told), "{result}: {message}");
    };
    let by = |name: &str, conditions: &Value| attested(SLSA, &key(&world, name), conditions);
    let builder =
        |id: &str| json!([{"all": [{"key": "{{ runDetails.builder.id }}", "operator": "Equals", "value": id}]}]);
    let (good, none) = (builder("https://ci.example.com"), Value::Null);
    let attest = |key: &str, kind: &str, predicate: &Value| {
        world.write("predicate.json", &predicate.to_string());
        world.done(&["attest", "--key", key, "--type", kind, "--predicate", "predicate.json", &image]);
    };
    let provenance = |id: &str| json!({"buildDefinition": {"buildType": "https://b", "externalParameters": {}}, "runDetails": {"builder": {"id": id}}});
    check(&by("ci", &good), "fail", "there is no attestation");
    world.done(&["sign", "--key", "ci.key", &image]);
    check(&by("ci", &none), "fail", "there is no attestation");
    attest(
        "ci.key",
        "cyclonedx",
        &json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}),
    );
    check(&by("ci", &none), "fail", "other types, such as https://cyclonedx.org/bom");
    attest("ci.key", "slsaprovenance1", &provenance("https://ci.example.com"));
    check(&by("ci", &good), "pass", "");
    check(&by("other", &good), "fail", "no trusted key made this signature");
    check(
        &by("ci", &builder("https://else.example.com")),
        "fail",
        "condition 0 of all, `{{ runDetails.builder.id }} Equals",
    );
    check(&by("ci", &builder("{{ request.object.metadata.nothing }}")), "error", "can't be tried");
    let misspelt = json!([{"all": [{"key": "{{ runDetail.builder.id }}", "operator": "NotEquals", "value": "x"}]}]);
    check(&by("ci", &misspelt), "error", "attestation https://slsa.dev/provenance/v1");
    let components = json!([{"all": [{"key": "{{ length(components) }}", "operator": "Equals", "value": 0}]}]);
    check(&attested(BOM, &key(&world, "ci"), &components), "pass", "");
    // Of another image, though its key and its type are right.
    world.replay("team/app", "team/copy");
    let (result, message) = applied(&world, &world.image("team/copy"), &by("ci", &good), &[]);
    assert!(result == "fail" && message.contains("another repository"), "{result}: {message}");
    // All that a key attested has to hold, so that a worse one is not hidden by a better one.
    attest("ci.key", "slsaprovenance1", &provenance("https://laptop.example.com"));
    check(&by("ci", &good), "fail", "does not hold");
    check(&by("ci", &none), "pass", "");
    let ran = world.prograde(&["policy", "test", "kyverno-test.yaml", "--trusted-root", "root.json"]);
    assert!(ran.code == 2 && ran.err.contains("--signatures"), "{ran:?}");
    assert_eq!(test(&world, &image, &by("ci", &none), &["--signatures"]), "pass");
    assert_eq!(test(&world, &image, &by("ci", &none), &[]), "error");
}

#[test]
fn what_is_attested_at_length_is_no_pass() {
    let Some(world) = World::start() else { return };
    world.key("ci");
    let image = world.image("team/app");
    let bom = json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "x": "y".repeat(9 * 1024 * 1024)});
    world.write("bom.json", &bom.to_string());
    world.done(&["attest", "--key", "ci.key", "--type", "cyclonedx", "--predicate", "bom.json", &image]);
    let conditions = json!([{"all": [{"key": "{{ bomFormat }}", "operator": "Equals", "value": "CycloneDX"}]}]);
    let rule = |conditions: &Value| attested(BOM, &key(&world, "ci"), conditions);
    let (result, message) = applied(&world, &image, &rule(&conditions), &[]);
    assert!(result == "error" && message.contains("8388608 bytes"), "{result}: {message}");
    assert_eq!(applied(&world, &image, &rule(&Value::Null), &[]).0, "pass");
}

#[test]
fn attestations_of_cosign_count_for_policies() {
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
            world.write(
                "bom.json",
                r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}"#,
            );
            world.write("custom.json", r#"{"reviewed": "yes"}"#);
            for (kind, file) in [("cyclonedx", "bom.json"), ("custom", "custom.json")] {
                let fixed = ["attest", "--key", "theirs.key", "--type", kind, "--predicate", file, &image];
                run(&[&fixed[..], &flags, &peer.alone()].concat());
            }
            let is = |key: &str, value: &str| json!([{"any": [{"key": key, "operator": "Equals", "value": value}]}]);
            let by = |name: &str, kind: &str, conditions: &Value| {
                applied(&world, &image, &attested(kind, &key(&world, name), conditions), &[])
            };
            let custom = "https://cosign.sigstore.dev/attestation/v1";
            for (name, kind, conditions, want) in [
                ("theirs", BOM, is("{{ specVersion }}", "1.6"), "pass"),
                ("theirs", BOM, is("{{ specVersion }}", "1.5"), "fail"),
                ("other", BOM, is("{{ specVersion }}", "1.6"), "fail"),
                ("theirs", custom, is("{{ Data.reviewed }}", "yes"), "pass"),
                ("theirs", custom, is("{{ Data.reviewed }}", "no"), "fail"),
                ("theirs", SLSA, Value::Null, "fail"),
            ] {
                let (result, message) = by(name, kind, &conditions);
                assert_eq!(result, want, "{form} {name} {kind}: {message}");
            }
        }
    }
}

#[test]
fn policies_ask_for_identities() {
    let Some(scene) = Scene::start() else { return };
    let (world, issuer) = (&scene.world, scene.sigstore.issuer());
    let image = world.image("team/app");
    world.write("bom.json", r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}"#);
    world.done(&[&["sign", &image][..], &SIGNING].concat());
    scene.fresh();
    let attest = ["attest", "--type", "cyclonedx", "--predicate", "bom.json", &image];
    world.done(&[&attest[..], &SIGNING].concat());
    let root = ["--trusted-root", "root.json"];
    let who = |issuer: &str, subject: &str| json!({"keyless": {"issuer": issuer, "subject": subject, "rekor": {"url": "https://rekor.sigstore.dev"}}});
    let signed = |by: &Value| verifying("attestors", &json!([{"entries": [by]}]));
    let check = |by: &Value, want: &str, told: &str| {
        let specified = json!([{"all": [{"key": "{{ specVersion }}", "operator": "Equals", "value": "1.6"}]}]);
        for rule in [signed(by), attested(BOM, by, &specified)] {
            let (result, message) = applied(world, &image, &rule, &root);
            assert!(result == want && message.contains(told), "{by} {result}: {message}");
        }
    };
    check(&who(issuer, EVE), "pass", "");
    check(&who(issuer, "*@example.com"), "pass", "");
    check(&who("*", "*"), "pass", "");
    check(&json!({"keyless": {"issuerRegExp": "http.*", "subjectRegExp": "(eve|bob)@example[.]com"}}), "pass", "");
    // cosign would take what an expression matches somewhere.
    check(&json!({"keyless": {"issuerRegExp": "http.*", "subjectRegExp": "@example[.]com"}}), "fail", EVE);
    check(&who(issuer, "bob@example.com"), "fail", "no trusted identity is that");
    check(&who("https://accounts.example.com", EVE), "fail", "by the word of");
    check(&json!({"keyless": {"issuer": issuer}}), "error", "neither subject nor subjectRegExp");
    let mut elsewhere = who(issuer, EVE);
    elsewhere["keyless"]["rekor"] = json!({"url": "https://rekor.example.com"});
    check(&elsewhere, "error", "keyless.rekor.url");
    // Nobody is believed unasked, and a root that knows none of them proves nothing.
    let (result, message) = applied(world, &image, &signed(&who(issuer, EVE)), &[]);
    assert!(result == "error" && message.contains("--trusted-root FILE"), "{result}: {message}");
    world.write("empty.json", r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#);
    let command = ["policy", "apply", "policy.yaml", "--resource", "pod.yaml", "--signatures", "--trusted-root"];
    let ran = world.prograde(&[&command[..], &["empty.json"]].concat());
    assert!(ran.code == 2 && ran.err.contains("PG1377"), "{ran:?}");
    // A key beside an identity: either will do.
    world.key("ci");
    let either = json!([{"count": 1, "entries": [key(world, "ci"), who(issuer, EVE)]}]);
    assert_eq!(applied(world, &image, &verifying("attestors", &either), &root).0, "pass");
    assert_eq!(test(world, &image, &signed(&who(issuer, EVE)), &["--signatures", root[0], root[1]]), "pass");
}
