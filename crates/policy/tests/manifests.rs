//! `validate.manifests` with signatures that openssl made of our own manifest.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that can't go on has to end")]

use prograde_policy::{Given, PolicySet, Request, Status};
use serde_json::{Value, json};

const FIRST: &str = include_str!("manifests/first.pub");
const SECOND: &str = include_str!("manifests/second.pub");

fn proof(kind: &str, of: &str) -> String {
    let all: Value = serde_json::from_str(include_str!("manifests/signatures.json")).unwrap();
    all[kind][of].as_str().unwrap().to_owned()
}

fn resource(annotations: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "crane", "namespace": "harbour", "uid": "1", "annotations": annotations},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "crane"}},
            "template": {
                "metadata": {"labels": {"app": "crane"}},
                "spec": {"containers": [{"name": "crane", "image": "registry.harbour.example/crane:1.4.2"}]},
            },
        },
        "status": {"replicas": 2},
    })
}

fn signed(kind: &str, signatures: &[&str]) -> Value {
    let mut annotations = json!({"cosign.sigstore.dev/message": proof(kind, "message")});
    for (number, of) in signatures.iter().enumerate() {
        let name = if number == 0 { "signature".to_owned() } else { format!("signature_{number}") };
        annotations[format!("cosign.sigstore.dev/{name}")] = json!(proof(kind, of));
    }
    resource(&annotations)
}

fn policy(manifests: &Value) -> Result<PolicySet, String> {
    let text = json!({
        "apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "signed"},
        "spec": {"rules": [{
            "name": "signed", "match": {"any": [{"resources": {"kinds": ["Deployment"]}}]},
            "validate": {"failureAction": "Enforce", "manifests": manifests},
        }]},
    });
    let mut set = PolicySet::default();
    set.read("p.yaml", &text.to_string()).map(|()| set).map_err(|found| found.to_string())
}

fn answer(manifests: &Value, resource: &Value) -> (Status, String) {
    let request = Request::create(resource, jiff::Timestamp::UNIX_EPOCH);
    let result = policy(manifests).unwrap().evaluate(&request, &Given::default()).remove(0).results.remove(0);
    (result.status, format!("{} {}", result.path, result.message))
}

fn by(keys: &[&str], count: Option<u32>) -> Value {
    let entries: Vec<Value> = keys.iter().map(|key| json!({"keys": {"publicKeys": key}})).collect();
    json!({"attestors": [{"count": count, "entries": entries}]})
}

#[test]
fn what_is_signed_and_unchanged_passes() {
    let pass = |manifests: &Value, resource: &Value| {
        let (status, why) = answer(manifests, resource);
        assert_eq!(status, Status::Pass, "{manifests} {why}");
    };
    pass(&by(&[FIRST], None), &signed("plain", &["first"]));
    pass(&by(&[FIRST], None), &signed("archive", &["first"]));
    pass(&by(&[FIRST, SECOND], Some(1)), &signed("plain", &["second"]));
    pass(&by(&[FIRST, SECOND], None), &signed("plain", &["first", "second"]));
    pass(&by(&[&[FIRST, SECOND].concat()], Some(1)), &signed("plain", &["second"]));
    let mut scaled = signed("plain", &["first"]);
    scaled["spec"]["replicas"] = json!(7);
    let mut lenient = by(&[FIRST], None);
    lenient["ignoreFields"] = json!([{"objects": [{"kind": "Deployment"}], "fields": ["spec.replicas"]}]);
    pass(&lenient, &scaled);
}

#[test]
fn what_is_not_signed_or_was_changed_fails() {
    let fails = |manifests: &Value, resource: &Value, wanted: &str| {
        let (status, why) = answer(manifests, resource);
        assert!(status == Status::Fail && why.contains(wanted), "{manifests} {status:?} {why}");
    };
    let first = by(&[FIRST], None);
    fails(&first, &resource(&json!({})), "no annotation");
    fails(&first, &signed("plain", &[]), "fewer than 1");
    fails(&first, &signed("plain", &["second"]), "fewer than 1");
    fails(&by(&[FIRST, SECOND], None), &signed("plain", &["first"]), "fewer than 2");
    let mut changed = signed("plain", &["first"]);
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.harbour.example/crane:1.4.3");
    fails(&first, &changed, "/spec/template/spec/containers/0/image/");
    let mut more = signed("archive", &["first"]);
    more["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    fails(&first, &more, "spec.template.spec.hostNetwork is not as it was signed");
    let mut other = signed("plain", &["first"]);
    other["metadata"]["name"] = json!("lift");
    fails(&first, &other, "no manifest of this resource");
    let mut annotated = by(&[FIRST], None);
    annotated["attestors"][0]["entries"][0]["annotations"] = json!({"team": "cranes"});
    fails(&annotated, &signed("plain", &["first"]), "fewer than 1");
    for message in ["", "no base64!", "QUJD", "H4sIAAAAAAAA"] {
        fails(&first, &resource(&json!({"cosign.sigstore.dev/message": message})), "");
    }
}

#[test]
fn a_message_that_unpacks_without_end_fails() {
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![b'a'; 16 * 1024 * 1024]).unwrap();
    let message = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, packer.finish().unwrap());
    let (status, why) = answer(&by(&[FIRST], None), &resource(&json!({"cosign.sigstore.dev/message": message})));
    assert!(status == Status::Fail && why.contains("more than"), "{why}");
}

#[test]
fn what_needs_more_than_annotations_is_refused_when_it_is_read() {
    let refused = |manifests: Value| {
        let why = policy(&manifests).unwrap_err();
        assert!(why.contains("PG110"), "{why}");
    };
    refused(json!({}));
    refused(json!({"attestors": [{"entries": []}]}));
    refused(json!({"attestors": [{"entries": [{"keyless": {"subject": "x"}}]}]}));
    refused(json!({"attestors": [{"entries": [{"keys": {"kms": "awskms://x"}}]}]}));
    refused(json!({"attestors": [{"entries": [{"keys": {"publicKeys": "k8s://a/b"}}]}]}));
    refused(json!({"attestors": [{"entries": [{"keys": {"publicKeys": FIRST, "signatureAlgorithm": "sha512"}}]}]}));
    let with = |name: &str, value: Value| {
        let mut manifests = by(&[FIRST], None);
        manifests[name] = value;
        manifests
    };
    refused(with("repository", json!("registry.harbour.example/signatures")));
    refused(with("dryRun", json!({"enable": true})));
    refused(with("verdict", json!("pass")));
}
