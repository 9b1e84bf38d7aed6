//! Bundles with entries of logs of version 1. Rekor needs Trillian and a database server for that, so what it answered is kept
//! in `rekor-v1/`: made on one machine with Rekor 1.5.4, Trillian 1.7.2, Fulcio 1.8.8 and cosign 3.1.3. `dated.json` is ours
//! with a timestamp, `promised.json` ours without one, and `cosign.json` is cosign's.

use std::path::Path;

use prograde_sign::keyless::TrustedRoot;
use prograde_sign::{Image, Trust, TrustedIdentity, Wanted};
use serde_json::{Value, json};

use super::keyless::verified;
use super::memory::{Memory, words};

const IMAGE: &str = "sha256:7c7cc26684ee2764744fa61f4d41b53f45c0e726cef1cbc12c0acadcb0449942";
const ISSUER: &str = "http://127.0.0.1:9901";

fn kept(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sign/rekor-v1").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn check(bundle: &Value, repository: &str, root: &Value, want: &str) {
    let root = TrustedRoot::parse("root.json", &root.to_string()).unwrap();
    let (issuer, subject) = (Wanted::exactly(ISSUER).unwrap(), Wanted::exactly("eve@example.com").unwrap());
    let trust = Trust::of_identity(TrustedIdentity::new("eve", issuer, subject), root);
    let image = Image {
        repository: format!("127.0.0.1:9910/team/{repository}").parse().unwrap(),
        digest: IMAGE.parse().unwrap(),
    };
    let memory = Memory::default();
    memory.plant_bundle(&image, bundle.to_string().as_bytes());
    let found = verified(&memory, &image, &trust);
    assert_eq!(words(&found), [want], "{:?}", found.found);
}

#[test]
fn entries_of_version_one_are_verified() {
    let root = kept("root.json");
    check(&kept("dated.json"), "g", &root, "good");
    check(&kept("dated.json"), "h", &root, "other_repository");
    check(&kept("promised.json"), "h", &root, "good");
    check(&kept("cosign.json"), "i", &root, "good");
    // The promise alone proves the time, where nobody else does.
    let mut without = root.clone();
    without["timestampAuthorities"] = json!([]);
    check(&kept("promised.json"), "h", &without, "good");
    check(&kept("dated.json"), "g", &without, "timestamp");
}

#[test]
fn promises_and_proofs_that_lie() {
    let (root, good) = (kept("root.json"), kept("promised.json"));
    let attack = |change: &dyn Fn(&mut Value), want: &str| {
        let mut bundle = good.clone();
        change(&mut bundle["verificationMaterial"]["tlogEntries"][0]);
        check(&bundle, "h", &root, want);
    };
    attack(&|_| {}, "good");
    // The promise is over the time and the index.
    attack(&|entry| entry["integratedTime"] = "1700000000".into(), "log");
    attack(&|entry| entry["logIndex"] = "7".into(), "log");
    attack(&|entry| entry["inclusionPromise"]["signedEntryTimestamp"] = "AAAA".into(), "log");
    // Without it nothing proves a time.
    attack(&|entry| entry["inclusionPromise"] = Value::Null, "timestamp");
    attack(&|entry| entry["inclusionProof"]["logIndex"] = "9".into(), "log");
    attack(&|entry| entry["inclusionProof"]["treeSize"] = "99".into(), "log");
    attack(&|entry| entry["inclusionProof"]["rootHash"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(), "log");
    attack(&|entry| entry["inclusionProof"] = Value::Null, "log");
    // A true entry about another signature.
    let other = kept("cosign.json")["verificationMaterial"]["tlogEntries"][0].clone();
    attack(&|entry| *entry = other.clone(), "log");
    // Another log's key.
    let mut root = root.clone();
    root["tlogs"][0]["publicKey"]["rawBytes"] = root["ctlogs"][0]["publicKey"]["rawBytes"].clone();
    check(&good, "h", &root, "log");
}
