use std::cell::Cell;

use serde_json::json;

use super::*;
use crate::context::Ground;
use crate::request::{Request, images};
use crate::world::Outside;

const IMAGE: &str = "ghcr.io/o/a:v1";
const SLSA: &str = "https://slsa.dev/provenance/v1";

const KEY: &str = "-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n";
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nB\n-----END PUBLIC KEY-----\n";

fn images_of(pod: &Value) -> Vec<Image> {
    images(pod).iter().flat_map(all_images).collect()
}

fn verdict(entry: &Value, verified: &Verified) -> Option<(Status, String)> {
    let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "image": IMAGE}]}});
    let request = Request::create(&pod, jiff::Timestamp::UNIX_EPOCH);
    let rule = VerifyImages::compile(&json!([entry])).unwrap();
    let (document, outside) = (request.document(), Outside::default());
    let ground = Ground {
        document: &document,
        outside: &outside,
        now: request.now,
        delete: false,
        depth: Cell::new(0),
        seed: None,
        draws: Cell::new(0),
        each: &[],
    };
    let frame = Frame::new(&ground, None, &[]).with("allowed", json!(["https://ci.example.com"]));
    rule.run(&images_of(&pod), (verified, Stage::Whole), &frame).map(|verdict| (verdict.status, verdict.message))
}

fn run(entry: &Value, verified: &Verified) -> Option<Status> {
    verdict(entry, verified).map(|(status, _)| status)
}

fn asked(entry: &Value) -> Vec<SignedBy> {
    let pod = json!({"kind": "Pod", "spec": {"containers": [{"name": "a", "image": IMAGE}]}});
    let mut found = BTreeSet::new();
    VerifyImages::compile(&json!([entry])).unwrap().asks(&images_of(&pod), &mut found);
    found.into_iter().collect()
}

fn known(results: &[(&str, Signature)]) -> Verified {
    let of = |key: &str| SignedBy {
        image: IMAGE.to_owned(),
        signer: Signer::Key(key.to_owned()),
        demand: Demand::Signature(Vec::new()),
    };
    results.iter().map(|(key, result)| (of(key), result.clone())).collect()
}

fn by(count: Option<u32>, keys: &[&str]) -> Value {
    let entries: Vec<Value> =
        keys.iter().map(|key| json!({"keys": {"publicKeys": key, "rekor": {"ignoreTlog": true}}})).collect();
    json!({"imageReferences": ["ghcr.io/o/*"], "attestors": [{"count": count, "entries": entries}]})
}

#[test]
fn what_is_known_without_a_registry() {
    let none = Verified::new();
    assert_eq!(run(&by(None, &[KEY]), &none), Some(Status::Error));
    assert_eq!(run(&json!({"imageReferences": ["quay.io/*"], "attestors": []}), &none), None);
    let digest = json!({"imageReferences": ["*"], "mutateDigest": false, "verifyDigest": true});
    assert_eq!(run(&digest, &none), Some(Status::Fail));
    assert_eq!(run(&json!({"imageReferences": ["*"]}), &none), Some(Status::Fail));
    assert_eq!(run(&json!({"imageReferences": ["*"], "required": false}), &none), Some(Status::Pass));
    let mut named = by(None, &[KEY]);
    named["required"] = json!(false);
    assert_eq!((asked(&named).len(), run(&named, &none)), (1, Some(Status::Error)));
    assert_eq!(run(&named, &known(&[(KEY, Signature::Refused("no".to_owned()))])), Some(Status::Fail));
}

#[test]
fn attestors_count() {
    let no = || Signature::Refused("no".to_owned());
    assert_eq!(run(&by(None, &[KEY]), &known(&[(KEY, Signature::Good)])), Some(Status::Pass));
    assert_eq!(run(&by(None, &[KEY]), &known(&[(KEY, no())])), Some(Status::Fail));
    assert_eq!(run(&by(None, &[KEY]), &known(&[(OTHER, Signature::Good)])), Some(Status::Error));
    let one_bad = known(&[(KEY, Signature::Good), (OTHER, no())]);
    assert_eq!(run(&by(None, &[KEY, OTHER]), &one_bad), Some(Status::Fail));
    assert_eq!(run(&by(Some(1), &[KEY, OTHER]), &one_bad), Some(Status::Pass));
    assert_eq!(run(&by(Some(1), &[&[KEY, OTHER].concat()]), &one_bad), Some(Status::Pass));
    assert_eq!(run(&by(Some(2), &[KEY, OTHER]), &known(&[(KEY, Signature::Good)])), Some(Status::Error));
    let nested =
        json!({"imageReferences": ["*"], "attestors": [{"entries": [{"attestor": by(None, &[KEY])["attestors"][0]}]}]});
    assert_eq!(run(&nested, &known(&[(KEY, Signature::Good)])), Some(Status::Pass));
}

#[test]
fn what_nobody_looks_up_never_passes() {
    let good = known(&[(KEY, Signature::Good)]);
    let changed = |pointer: &str, value: Value| {
        let mut entry = by(None, &[KEY]);
        let (place, name) = pointer.rsplit_once('/').unwrap();
        entry.pointer_mut(place).and_then(Value::as_object_mut).unwrap().insert(name.to_owned(), value);
        assert_eq!(run(&entry, &good), Some(Status::Error), "{entry}");
    };
    changed("/validate", json!({"deny": {}}));
    changed("/issuer", json!("x"));
    changed("/type", json!("Notary"));
    changed("/repository", json!("ghcr.io/o/signatures"));
    changed("/attestors/0/entries/0/keys", json!({"publicKeys": KEY}));
    changed("/attestors/0/entries/0/keys", json!({"kms": "x", "rekor": {"ignoreTlog": true}}));
    changed("/attestors/0/entries/0/keys", json!({"publicKeys": "k8s://a/b", "rekor": {"ignoreTlog": true}}));
    changed("/attestors/0/entries/0/annotations", json!({"a": "b"}));
    changed("/attestors/0/entries", json!([{"keyless": {"subject": "x"}}]));
    changed("/attestors/0/entries", json!([{}]));
    changed("/attestors/0/entries", json!([{"certificates": {"cert": "x"}}]));
    let nobody = json!({"imageReferences": ["*"], "attestors": [{"entries": []}]});
    assert_eq!(run(&nobody, &good), Some(Status::Fail));
}

fn keyless(keyless: Value) -> Value {
    json!({"imageReferences": ["*"], "attestors": [{"entries": [{"keyless": keyless}]}]})
}

#[test]
fn identities_are_asked_for() {
    let defaults =
        json!({"rekor": {"url": "https://rekor.sigstore.dev/", "ignoreTlog": false}, "ctlog": {"ignoreSCT": false}});
    let check = |issuer: (&str, &str), subject: (&str, &str), want: (Name, Name)| {
        let mut entry = defaults.clone();
        entry[issuer.0] = json!(issuer.1);
        entry[subject.0] = json!(subject.1);
        let entry = keyless(entry);
        let found = asked(&entry);
        let identity = Identity { issuer: want.0, subject: want.1 };
        assert_eq!(found.iter().map(|one| &one.signer).collect::<Vec<_>>(), [&Signer::Identity(identity)]);
        let answer = |signature: Signature| run(&entry, &[(found[0].clone(), signature)].into());
        assert_eq!(answer(Signature::Good), Some(Status::Pass));
        assert_eq!(answer(Signature::Refused("no".to_owned())), Some(Status::Fail));
        assert_eq!(answer(Signature::Unreachable("no root".to_owned())), Some(Status::Error));
        assert_eq!(answer(Signature::Attested(Attested::new(vec![json!({})]).unwrap())), Some(Status::Error));
        assert_eq!(run(&entry, &Verified::new()), Some(Status::Error));
        assert!(VerifyImages::compile(&json!([entry])).unwrap().names_identities());
    };
    let exactly = |text: &str| Name::Exactly(text.to_owned());
    let whole = |text: &str| Name::Whole(text.to_owned());
    check(("issuer", "https://i"), ("subject", "a@b.c"), (exactly("https://i"), exactly("a@b.c")));
    check(("issuer", "https://i"), ("subject", "*@b.c"), (exactly("https://i"), whole(r"(?s:.*)@b\.c")));
    check(("issuerRegExp", "https://.+"), ("subjectRegExp", "a|b"), (whole("https://.+"), whole("a|b")));
}

#[test]
fn identities_that_ask_for_something_else_are_errors_by_name() {
    let good = json!({"issuer": "https://i", "subject": "a@b.c"});
    let check = |name: &str, value: Value, want: &str| {
        let mut entry = good.clone();
        entry[name] = value;
        let entry = keyless(entry);
        assert_eq!(asked(&entry), []);
        let (status, message) = verdict(&entry, &Verified::new()).unwrap();
        assert!(status == Status::Error && message.contains(want), "{message}");
    };
    check("issuer", json!(""), "neither issuer nor issuerRegExp");
    check("subject", json!(null), "neither subject nor subjectRegExp");
    check("subjectRegExp", json!("x"), "one of subject and subjectRegExp");
    check("subject", json!("x".repeat(1_001)), "1000 bytes");
    check("roots", json!("-----BEGIN CERTIFICATE-----"), "keyless.roots");
    check("rekor", json!({"url": "https://rekor.example.com"}), "keyless.rekor.url");
    check("rekor", json!({"ignoreTlog": true}), "keyless.rekor.ignoreTlog");
    check("rekor", json!({"pubkey": "x"}), "keyless.rekor.pubkey");
    check("ctlog", json!({"ignoreSCT": "true"}), "keyless.ctlog.ignoreSCT");
    check("ctlog", json!({"tsaCertChain": "x"}), "keyless.ctlog.tsaCertChain");
    check("additionalExtensions", json!({"githubWorkflowRef": "x"}), "additionalExtensions");
    let mut bad = keyless(json!({"issuer": "i", "subjectRegExp": "a)|(b"}));
    assert!(verdict(&bad, &Verified::new()).unwrap().1.contains("keyless.subjectRegExp can't be used"));
    bad["attestors"][0]["entries"][0]["keys"] = json!({"publicKeys": KEY, "rekor": {"ignoreTlog": true}});
    assert_eq!(run(&bad, &Verified::new()), Some(Status::Error));
}

fn attested(count: u32, keys: &[&str], conditions: Value) -> Value {
    let attestors = by(Some(count), keys)["attestors"].clone();
    json!({"imageReferences": ["*"], "attestations": [{"type": SLSA, "attestors": attestors, "conditions": conditions}]})
}

/// What comes of an entry where each key has attested these predicates.
fn judged(entry: &Value, predicates: &[Value]) -> (Status, String) {
    let answer = |asked| {
        let one = Signature::Attested(Attested::new(predicates.to_vec()).unwrap());
        (asked, one)
    };
    verdict(entry, &asked(entry).into_iter().map(answer).collect()).unwrap()
}

fn built_by(builder: &str) -> Value {
    json!({"builder": {"id": builder}, "level": 3})
}

#[test]
fn what_is_attested_meets_the_conditions() {
    let check = |conditions: Value, predicates: &[Value], want: Status, told: &str| {
        let (status, message) = judged(&attested(1, &[KEY], conditions), predicates);
        assert!(status == want && message.contains(told), "{status:?} {message}");
    };
    let builder = json!({"key": "{{ builder.id }}", "operator": "AnyIn", "value": "{{ allowed }}"});
    let level = json!({"key": "{{ level }}", "operator": "GreaterThan", "value": 4, "message": "level too low"});
    let (good, bad) = (built_by("https://ci.example.com"), built_by("https://evil.example.com"));
    check(json!([{"all": [builder]}]), std::slice::from_ref(&good), Status::Pass, "");
    check(json!([builder]), &[good.clone(), good.clone()], Status::Pass, "");
    check(json!([{"any": [level, builder]}]), std::slice::from_ref(&good), Status::Pass, "");
    // All that is attested has to meet them.
    let told = "attestation https://slsa.dev/provenance/v1: 0 of 1 attested it as asked: condition 0 of all, `{{ builder.id }} AnyIn {{ allowed }}`, does not hold";
    check(json!([{"all": [builder]}]), &[good.clone(), bad.clone()], Status::Fail, told);
    check(json!([{"all": [builder, level]}]), std::slice::from_ref(&good), Status::Fail, "condition 1 of all");
    check(json!([{"all": [builder, level]}]), std::slice::from_ref(&good), Status::Fail, "level too low");
    check(json!([{"any": [level]}]), std::slice::from_ref(&good), Status::Fail, "any of `{{ level }} GreaterThan 4`");
    check(json!([{"any": []}]), std::slice::from_ref(&good), Status::Fail, "any of no conditions");
    check(json!([{"all": [builder]}]), &[], Status::Fail, "there is none");
    // The request is seen as everywhere.
    let kind = json!({"key": "{{ request.object.kind }}", "operator": "Equals", "value": "Pod"});
    check(json!([{"all": [kind]}]), std::slice::from_ref(&bad), Status::Pass, "");
}

#[test]
fn conditions_that_cannot_be_tried_are_errors() {
    let condition = |key: &str| json!([{"all": [{"key": key, "operator": "Equals", "value": "x"}]}]);
    let check = |key: &str, predicate: Value, told: &str| {
        let (status, message) = judged(&attested(1, &[KEY], condition(key)), &[predicate]);
        assert!(status == Status::Error && message.contains(told) && message.contains(SLSA), "{status:?} {message}");
    };
    check("{{ builder.name }}", built_by("x"), "unknown key");
    check("{{ nothing }}", built_by("x"), "nothing");
    check("{{ to_upper(level) }}", built_by("x"), "can't be tried");
    check("{{ builder.id }}", json!("text"), "no object");
    check("{{ builder.id }}", json!([built_by("x")]), "no object");
    // Nobody says by an attestation what the policy's own names stand for.
    for name in ["request", "images", "serviceAccountName", "allowed"] {
        check("x", json!({name: "x"}), name);
    }
}

#[test]
fn attestations_need_what_was_looked_up() {
    let conditions = json!([{"all": [{"key": "{{ level }}", "operator": "Equals", "value": 3}]}]);
    let entry = attested(1, &[KEY], conditions.clone());
    let found = asked(&entry);
    let [one] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(one.demand, Demand::Attestation { kind: SLSA.to_owned(), read: true });
    let answer = |signature: Signature| run(&entry, &[(one.clone(), signature)].into());
    assert_eq!(answer(Signature::Good), Some(Status::Error));
    assert_eq!(answer(Signature::Promised), Some(Status::Pass));
    assert_eq!(answer(Signature::Refused("no".to_owned())), Some(Status::Fail));
    assert_eq!(answer(Signature::Unreachable("no".to_owned())), Some(Status::Error));
    assert_eq!(run(&entry, &Verified::new()), Some(Status::Error));
    // What a key says of the image by a signature is no attestation, and of another type none of this.
    assert_eq!(run(&entry, &known(&[(KEY, Signature::Good)])), Some(Status::Error));
    let mut other = one.clone();
    other.demand = Demand::Attestation { kind: "https://cyclonedx.org/bom".to_owned(), read: true };
    assert_eq!(run(&entry, &[(other, Signature::Promised)].into()), Some(Status::Error));
    // Without conditions it has to be there, whatever it says.
    let bare = attested(1, &[KEY], Value::Null);
    let one = asked(&bare).remove(0);
    assert_eq!(one.demand, Demand::Attestation { kind: SLSA.to_owned(), read: false });
    assert_eq!(run(&bare, &[(one, Signature::Good)].into()), Some(Status::Pass));
    // Attestors count, and signatures are asked for besides.
    let mut both = attested(1, &[KEY, OTHER], conditions);
    let answers: Verified = asked(&both)
        .into_iter()
        .map(|asked| match &asked.signer {
            Signer::Key(key) if key == KEY => {
                (asked, Signature::Attested(Attested::new(vec![json!({"level": 3})]).unwrap()))
            }
            Signer::Key(_) | Signer::Identity(_) => (asked, Signature::Refused("no".to_owned())),
        })
        .collect();
    assert_eq!(run(&both, &answers), Some(Status::Pass));
    both["attestations"][0]["attestors"][0]["count"] = json!(2);
    assert_eq!(run(&both, &answers), Some(Status::Fail));
    both["attestations"][0]["attestors"][0]["count"] = json!(1);
    both["attestors"] = by(None, &[KEY])["attestors"].clone();
    assert_eq!(run(&both, &answers), Some(Status::Error));
    let signed = answers.into_iter().chain(known(&[(KEY, Signature::Good)])).collect();
    assert_eq!(run(&both, &signed), Some(Status::Pass));
}

#[test]
fn attestations_that_nobody_could_have_made() {
    let none = Verified::new();
    assert_eq!(run(&json!({"imageReferences": ["*"], "attestations": [{"type": SLSA}]}), &none), Some(Status::Fail));
    let mut said = attested(1, &[KEY], Value::Null);
    said["attestations"][0]["attestors"][0]["entries"][0]["annotations"] = json!({"a": "b"});
    assert_eq!((asked(&said), run(&said, &none)), (Vec::new(), Some(Status::Error)));
    let refused = |attestation: Value| {
        VerifyImages::compile(&json!([{"imageReferences": ["*"], "attestations": [attestation]}])).unwrap_err()
    };
    assert!(refused(json!({})).contains("needs a type"));
    assert!(refused(json!({"type": "a", "predicateType": "b"})).contains("one type"));
    assert!(refused(json!({"type": "a", "conditions": [{"all": [{"key": "a", "operator": "Is"}]}]})).contains("Is"));
    assert!(refused(json!({"type": "a", "conditions": "x"})).contains("conditions"));
}

#[test]
fn what_is_too_large_is_not_tried() {
    let text = "x".repeat(PREDICATES_BYTES_MAX);
    assert!(Attested::new(vec![json!({"a": text})]).unwrap_err().contains("8388608 bytes"));
    let half = json!({"a": "x".repeat(PREDICATES_BYTES_MAX / 2)});
    assert!(Attested::new(vec![half.clone(), half.clone()]).is_err());
    assert_eq!(Attested::new(vec![half]).unwrap().bytes(), PREDICATES_BYTES_MAX / 2 + 10);
}

#[test]
fn the_text_of_cosigns_custom_predicate_is_read() {
    let custom = "https://cosign.sigstore.dev/attestation/v1";
    let check = |kind: &str, key: &str, want: Status| {
        let mut entry = attested(1, &[KEY], json!([{"key": key, "operator": "Equals", "value": "yes"}]));
        entry["attestations"][0]["type"] = json!(kind);
        assert_eq!(judged(&entry, &[json!({"Data": r#"{"reviewed": "yes"}"#})]).0, want, "{kind} {key}");
    };
    check(custom, "{{ Data.reviewed }}", Status::Pass);
    check(custom, "{{ Data }}", Status::Fail);
    check(SLSA, "{{ Data.reviewed }}", Status::Fail);
}

#[test]
fn variables_in_what_is_attested_stay_texts() {
    let check = |key: &str, value: &str, want: Status| {
        let entry = attested(1, &[KEY], json!([{"key": key, "operator": "Equals", "value": value}]));
        let (status, message) = judged(&entry, &[json!({"team": "{{ request.object.kind }}", "b": "x", "x": "y"})]);
        assert_eq!(status, want, "{key} {value}: {message}");
    };
    check("team {{ team }}", "team Pod", Status::Fail);
    check("{{ team }}", "Pod", Status::Fail);
    check("{{ team }}{{ '' }}", "{{ request.object.kind }}", Status::Fail);
    check("x-{{ {{ b }} }}-{{ team }}", "x-y-Pod", Status::Fail);
    check("x-{{ {{ b }} }}", "x-y", Status::Pass);
    check("{{ request.object.kind }} {{ b }}", "Pod x", Status::Pass);
}
