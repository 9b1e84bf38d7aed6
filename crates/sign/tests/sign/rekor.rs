//! Bundles with entries of logs of version 1. Rekor needs Trillian and a database server for that, so what it answered is kept
//! in `rekor-v1/`: made on one machine with Rekor 1.5.4, Trillian 1.7.2, Fulcio 1.8.8 and cosign 3.1.3. `dated.json` is ours
//! with a timestamp, `promised.json` ours without one, and `cosign.json` is cosign's. The
//! layers are what cosign 2.6.5 wrote under tags, with and without a timestamp beside the log's promise.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_sign::keyless::TrustedRoot;
use prograde_sign::predicate::CYCLONEDX;
use prograde_sign::{Asked, Image, Terms, Trust, TrustedIdentity, Wanted, attestation_tag, signature_tag, verify};
use serde_json::{Value, json};

use super::keyless::verified;
use super::memory::{Memory, now, signatures, words};

const IMAGE: &str = "sha256:7c7cc26684ee2764744fa61f4d41b53f45c0e726cef1cbc12c0acadcb0449942";
const ISSUER: &str = "http://127.0.0.1:9901";

fn kept(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sign/rekor-v1").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn trust(root: &Value) -> Trust {
    let root = TrustedRoot::parse("root.json", &root.to_string()).unwrap();
    let (issuer, subject) = (Wanted::exactly(ISSUER).unwrap(), Wanted::exactly("eve@example.com").unwrap());
    Trust::of_identity(TrustedIdentity::new("eve", issuer, subject), root)
}

fn image(repository: &str) -> Image {
    let repository = format!("127.0.0.1:9910/team/{repository}").parse().unwrap();
    Image { repository, digest: IMAGE.parse().unwrap() }
}

fn check(bundle: &Value, repository: &str, root: &Value, want: &str) {
    let (image, trust) = (image(repository), trust(root));
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

/// Puts a layer under its tag and judges it.
fn check_layer(layer: &Value, repository: &str, root: &Value, want: &str) {
    let (image, trust, memory) = (image(repository), trust(root), Memory::default());
    let content = STANDARD.decode(layer["content"].as_str().unwrap()).unwrap();
    let kind = layer["mediaType"].as_str().unwrap();
    let (tag, asked) = if kind.contains("simplesigning") {
        (signature_tag(&image.digest), signatures())
    } else {
        (attestation_tag(&image.digest), Asked::Attestations(Some(CYCLONEDX.to_owned())))
    };
    memory.plant(&tag, &[(kind, &content, layer["annotations"].clone())]);
    let found = verify(&memory, &image, &asked, Terms { trust: &trust, at: now() }).unwrap();
    assert_eq!(words(&found), [want], "{:?}", found.found);
}

#[test]
fn layers_under_tags_are_verified() {
    let root = kept("root.json");
    let mut other = root.clone();
    other["tlogs"][0]["publicKey"]["rawBytes"] = root["ctlogs"][0]["publicKey"]["rawBytes"].clone();
    let mut without = root.clone();
    without["ctlogs"][0]["logId"]["keyId"] = STANDARD.encode([7; 32]).into();
    for kind in ["signature", "attestation"] {
        let good = kept(&format!("layer-{kind}-promised.json"));
        check_layer(&good, "j", &root, "good");
        check_layer(&kept(&format!("layer-{kind}-dated.json")), "k", &root, "good");
        check_layer(&good, "k", &root, "other_repository");
        check_layer(&good, "j", &other, "log");
        check_layer(&good, "j", &without, "certificate");
        let attack = |change: &dyn Fn(&mut Value), want: &str| {
            let mut layer = good.clone();
            change(&mut layer);
            check_layer(&layer, "j", &root, want);
        };
        let promise = "dev.sigstore.cosign/bundle";
        let text = good["annotations"][promise].as_str().unwrap();
        let body =
            |layer: &mut Value, from: &str, to: &str| layer["annotations"][promise] = text.replace(from, to).into();
        attack(&|layer| body(layer, "\"logIndex\":", "\"logIndex\":1"), "log");
        attack(&|layer| body(layer, "\"integratedTime\":1", "\"integratedTime\":2"), "log");
        attack(&|layer| layer["annotations"][promise] = "{}".into(), "malformed");
        attack(&|layer| layer["annotations"][promise] = "".into(), "malformed");
        // The promise about another layer of the kind.
        let stranger = kept(&format!("layer-{kind}-dated.json"))["annotations"].clone();
        attack(&|layer| layer["annotations"][promise] = stranger[promise].clone(), "log");
        attack(&|layer| layer["annotations"]["dev.sigstore.cosign/certificate"] = "x".into(), "malformed");
    }
    // A good certificate for another key.
    let mut layer = kept("layer-attestation-promised.json");
    let certificate = "dev.sigstore.cosign/certificate";
    layer["annotations"][certificate] = kept("layer-signature-promised.json")["annotations"][certificate].clone();
    check_layer(&layer, "j", &root, "signature");
    // Another payload: the digest is another image's.
    let mut layer = kept("layer-signature-promised.json");
    let payload = String::from_utf8(STANDARD.decode(layer["content"].as_str().unwrap()).unwrap()).unwrap();
    layer["content"] = STANDARD.encode(payload.replace("team/j", "team/k")).into();
    check_layer(&layer, "k", &root, "signature");
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]

    /// Whatever stands in them: bundles, layers and roots are refused or read, and nothing breaks.
    #[test]
    fn broken_texts_are_refused(at in 0_usize..20_000, byte in 0_u8..=255, cut in 0_usize..20_000, which in 0_usize..3) {
        let names = ["dated.json", "promised.json", "cosign.json"];
        let spoil = |text: String| {
            let mut bytes = text.into_bytes();
            let (length, place) = (bytes.len(), at % bytes.len());
            bytes[place] = byte;
            if cut % 4 == 0 {
                bytes.truncate(cut % length);
            }
            bytes
        };
        let root = kept("root.json");
        let (image, trust, memory) = (image("g"), trust(&root), Memory::default());
        memory.plant_bundle(&image, &spoil(kept(names[which]).to_string()));
        let mut layer = kept("layer-signature-promised.json");
        let promise = "dev.sigstore.cosign/bundle";
        let text = layer["annotations"][promise].as_str().unwrap().to_owned();
        layer["annotations"][promise] = String::from_utf8_lossy(&spoil(text)).into();
        let content = STANDARD.decode(layer["content"].as_str().unwrap()).unwrap();
        let kind = layer["mediaType"].as_str().unwrap();
        memory.plant(&signature_tag(&image.digest), &[(kind, &content, layer["annotations"].clone())]);
        // The layer is told in any case; a bundle that says that it is of another kind is not asked for.
        assert!(!verified(&memory, &image, &trust).found.is_empty());
        if let Ok(text) = String::from_utf8(spoil(root.to_string())) {
            // Both are well.
            let _read = TrustedRoot::parse("root.json", &text);
        }
    }
}
