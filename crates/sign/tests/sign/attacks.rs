//! What must not count.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prograde_sign::dsse::{self, Envelope};
use prograde_sign::key::{PrivateKey, PublicKey, Signer};
use prograde_sign::limits::{ENVELOPE_SIGNATURES_MAX, FOUND_MAX, PAYLOAD_BYTES_MAX};
use prograde_sign::predicate::CYCLONEDX;
use prograde_sign::{
    Asked, Form, Image, Payload, Statement, attestation_tag, sign, sign_payload, sign_statement, signature_tag,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::memory::{ENVELOPE, Memory, SIGNATURE, SIMPLE, now, signatures, verified, words};

fn annotated(signature: &[u8]) -> Value {
    json!({ SIGNATURE: STANDARD.encode(signature) })
}

/// What is said of one layer with this payload and signature.
fn word(image: &Image, memory: &Memory, key: &PrivateKey, payload: &[u8], annotations: Value) -> &'static str {
    memory.plant(&signature_tag(&image.digest), &[(SIMPLE, payload, annotations)]);
    words(&verified(memory, image, &signatures(), key))[0]
}

#[test]
fn signatures_that_do_not_count() {
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (memory, image) = Memory::with_image();
    let good = sign_payload(&image, Map::new(), &key).unwrap();
    let check = |payload: &[u8], annotations: Value, want: &str| {
        assert_eq!(word(&image, &memory, &key, payload, annotations), want, "{}", String::from_utf8_lossy(payload));
    };
    check(&good.payload, annotated(&good.signature), "good");
    let mut changed = good.payload.clone();
    changed.push(b' ');
    check(&changed, annotated(&good.signature), "no_trusted_key");
    check(&good.payload, annotated(&sign_payload(&image, Map::new(), &other).unwrap().signature), "no_trusted_key");
    check(&good.payload, json!({ SIGNATURE: "not base64!" }), "malformed");
    check(&good.payload, json!({}), "malformed");
    check(&good.payload, json!({ SIGNATURE: "" }), "malformed");
    check(
        &good.payload,
        json!({ SIGNATURE: STANDARD.encode(b"x"), "dev.sigstore.cosign/certificate": "pem" }),
        "certificate",
    );
    // A certificate beside a trusted key's signature takes nothing from it.
    let both = json!({ SIGNATURE: STANDARD.encode(&good.signature), "dev.sigstore.cosign/certificate": "pem" });
    check(&good.payload, both, "good");
    for (repository, want) in
        [("registry.example.com/team/other", "other_repository"), ("evil.example.com/team/app", "other_repository")]
    {
        let elsewhere = Image { repository: repository.parse().unwrap(), ..image.clone() };
        let signed = sign_payload(&elsewhere, Map::new(), &key).unwrap();
        check(&signed.payload, annotated(&signed.signature), want);
    }
    let digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
    let signed = sign_payload(&Image { digest, ..image.clone() }, Map::new(), &key).unwrap();
    check(&signed.payload, annotated(&signed.signature), "other_image");
}

/// Texts that a trusted key has signed, and that are no payloads.
#[test]
fn payloads_that_are_none() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    let good = String::from_utf8(sign_payload(&image, Map::new(), &key).unwrap().payload).unwrap();
    let check = |text: &str, want: &str| {
        let signature = key.sign(text.as_bytes()).unwrap();
        assert_eq!(word(&image, &memory, &key, text.as_bytes(), annotated(&signature)), want, "{text}");
    };
    check(&good, "good");
    check(&good.replace("registry.example.com/team/app", "registry.example.com/team/app:v1"), "good");
    check(&good[..good.len() - 3], "malformed");
    check("", "malformed");
    check("null", "malformed");
    check(&"[".repeat(10_000), "malformed");
    check(&good.replace("cosign container image signature", "atomic container signature"), "malformed");
    check(&good.replacen("{\"identity\"", "{\"unless\":1,\"identity\"", 1), "malformed");
    check(&good.replacen("{\"identity\"", "{\"identity\":{\"docker-reference\":\"a\"},\"identity\"", 1), "malformed");
    check(&good.replace("registry.example.com/team/app", ""), "other_repository");
}

#[test]
fn only_one_form_of_a_signature_is_taken() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    let signed = sign_payload(&image, Map::new(), &key).unwrap();
    let der = &signed.signature;
    let check = |signature: &[u8]| {
        assert_eq!(
            word(&image, &memory, &key, &signed.payload, annotated(signature)),
            "no_trusted_key",
            "{signature:x?}"
        );
    };
    let mut longer = der.clone();
    longer.push(0);
    check(&longer);
    // The length in its long form, which BER allows and DER does not.
    let mut ber = vec![0x30, 0x81];
    ber.extend(&der[1..]);
    check(&ber);
    // A number with a zero in front of it.
    let mut padded = vec![0x30, der[1] + 1, 0x02, der[3] + 1, 0];
    padded.extend(&der[4..]);
    check(&padded);
    check(&[0x30, 6, 2, 1, 0, 2, 1, 0]);
    check(&[0x30, 6, 2, 1, 1, 2, 1, 1]);
    check(&vec![0x30; 100_000]);
    for end in 1..der.len() {
        check(&der[..end]);
    }
}

#[test]
fn what_is_too_large_or_too_much_is_told() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    let large = vec![b' '; usize::try_from(PAYLOAD_BYTES_MAX).unwrap() * 4 + 1];
    assert_eq!(word(&image, &memory, &key, &large, annotated(&key.sign(&large).unwrap())), "too_large");
    let signed = sign_payload(&image, Map::new(), &key).unwrap();
    let tag = signature_tag(&image.digest);
    let good = (SIMPLE, signed.payload.as_slice(), annotated(&signed.signature));
    let bad = (SIMPLE, signed.payload.as_slice(), annotated(b"x"));
    let mut layers = vec![bad; FOUND_MAX - 1];
    layers.push(good.clone());
    memory.plant(&tag, &layers);
    let found = verified(&memory, &image, &signatures(), &key);
    assert!(found.holds() && found.found.len() == FOUND_MAX, "a good one behind many bad ones counts");
    let terms = prograde_sign::Terms { trust: &super::memory::trust(&key), at: now() };
    for count in [FOUND_MAX + 1, 10_000] {
        memory.plant(&tag, &vec![good.clone(); count]);
        let why = prograde_sign::verify(&memory, &image, &signatures(), terms).unwrap_err();
        assert_eq!(why.code(), prograde_sign::codes::LIMIT, "{why}");
        assert!(sign(&memory, &image, &Map::new(), &PrivateKey::generate().unwrap(), Form::Tag, now()).is_err());
    }
    memory.manifests.lock().unwrap().insert(tag.clone(), (String::new(), b"{".to_vec()));
    assert!(prograde_sign::verify(&memory, &image, &signatures(), terms).is_err());
    memory.blobs.lock().unwrap().clear();
    memory.plant(&tag, &[good]);
    memory.blobs.lock().unwrap().clear();
    assert_eq!(words(&verified(&memory, &image, &signatures(), &key)), ["unreadable"]);
}

#[test]
fn attestations_that_do_not_count() {
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (memory, image) = Memory::with_image();
    let asked = Asked::Attestations(Some(CYCLONEDX.to_owned()));
    let check = |envelope: &[u8], want: &[&str]| {
        memory.plant(&attestation_tag(&image.digest), &[(ENVELOPE, envelope, json!({ SIGNATURE: "" }))]);
        assert_eq!(words(&verified(&memory, &image, &asked, &key)), want, "{}", String::from_utf8_lossy(envelope));
    };
    let statement = |image: &Image| Statement::about(&image.repository, &image.digest, CYCLONEDX, json!({"a": 1}));
    let envelope = |statement: &Statement, key: &PrivateKey| {
        serde_json::to_value(sign_statement(statement, key).unwrap()).unwrap()
    };
    let bytes = |value: &Value| serde_json::to_vec(value).unwrap();
    let good = envelope(&statement(&image), &key);
    check(&bytes(&good), &["good"]);
    check(&bytes(&good)[..100], &["malformed"]);
    check(&bytes(&envelope(&statement(&image), &other)), &["no_trusted_key"]);
    let elsewhere = Image { repository: "registry.example.com/team/other".parse().unwrap(), ..image.clone() };
    check(&bytes(&envelope(&statement(&elsewhere), &key)), &["other_repository"]);
    let digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
    check(&bytes(&envelope(&statement(&Image { digest, ..image.clone() }), &key)), &["other_image"]);
    let mut changed = good.clone();
    changed["payload"] = json!(STANDARD.encode(statement(&image).to_bytes().unwrap().to_ascii_uppercase()));
    check(&bytes(&changed), &["malformed"]);
    let mut changed = good.clone();
    let payload = statement(&image).annotated(&Map::from_iter([("x".to_owned(), json!("y"))])).to_bytes().unwrap();
    changed["payload"] = json!(STANDARD.encode(&payload));
    check(&bytes(&changed), &["no_trusted_key"]);
    // Signed without the encoding that binds the type, or with another type.
    for (message, kind) in [
        (payload.clone(), "application/vnd.in-toto+json"),
        (dsse::message("application/json", &payload), "application/vnd.in-toto+json"),
        (dsse::message("application/json", &payload), "application/json"),
    ] {
        let sig = STANDARD.encode(key.sign(&message).unwrap());
        let forged = json!({"payload": STANDARD.encode(&payload), "payloadType": kind, "signatures": [{"sig": sig}]});
        check(&bytes(&forged), &[if kind == "application/json" { "malformed" } else { "no_trusted_key" }]);
    }
    // One good signature among others counts, too many are not looked at.
    let mut several = good.clone();
    let one = several["signatures"][0].clone();
    several["signatures"] = json!([{"keyid": "x", "sig": ""}, one]);
    check(&bytes(&several), &["good"]);
    several["signatures"] = json!(vec![one; ENVELOPE_SIGNATURES_MAX + 1]);
    check(&bytes(&several), &["malformed"]);
}

#[test]
fn bundles_that_do_not_count() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    sign(&memory, &image, &Map::new(), &key, Form::Bundle, now()).unwrap();
    let (_, bundle) = {
        let blobs = memory.blobs.lock().unwrap();
        blobs.iter().map(|(digest, bytes)| (digest.clone(), bytes.clone())).find(|(_, bytes)| bytes.len() > 2).unwrap()
    };
    let good: Value = serde_json::from_slice(&bundle).unwrap();
    assert_eq!(good["verificationMaterial"]["publicKey"]["hint"], key.public_key().hint());
    let check = |change: &dyn Fn(&mut Value), want: &str| {
        let (memory, _) = Memory::with_image();
        let mut changed = good.clone();
        change(&mut changed);
        memory.plant_bundle(&image, &serde_json::to_vec(&changed).unwrap());
        assert_eq!(words(&verified(&memory, &image, &signatures(), &key)), [want], "{changed}");
    };
    check(&|_| {}, "good");
    check(&|bundle| bundle["mediaType"] = json!("application/json"), "malformed");
    check(&|bundle| bundle["verificationMaterial"] = json!(null), "malformed");
    check(&|bundle| bundle["dsseEnvelope"] = json!(null), "malformed");
    check(&|bundle| bundle["messageSignature"] = json!({"signature": ""}), "malformed");
    check(&|bundle| bundle["dsseEnvelope"]["payloadType"] = json!("text/plain"), "malformed");
    check(&|bundle| bundle["verificationMaterial"]["publicKey"]["hint"] = json!("of another key"), "good");
    let forge = |bundle: &mut Value| {
        bundle["dsseEnvelope"]["signatures"][0]["sig"] = json!(STANDARD.encode(b"forged"));
    };
    check(&forge, "no_trusted_key");
    check(
        &|bundle| {
            forge(bundle);
            bundle["verificationMaterial"] = json!({"certificate": {"rawBytes": "AA=="}});
        },
        "certificate",
    );
}

#[test]
fn an_unbound_bundle_says_so() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    // As cosign 3 writes it: a subject without a name.
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": prograde_sign::predicate::COSIGN_SIGN, "predicate": {},
        "subject": [{"digest": {"sha256": image.digest.hex()}}],
    });
    let envelope = Envelope::sign(&serde_json::to_vec(&statement).unwrap(), &key).unwrap();
    let bundle = prograde_sign::bundle::Bundle::new(envelope, key.public_key());
    memory.plant_bundle(&image, &bundle.to_bytes().unwrap());
    let found = verified(&memory, &image, &signatures(), &key);
    assert!(found.evidence().all(|one| !one.bound) && found.holds());
    let text = format!(
        "keys:\n- name: a\n  repositories: [registry.example.com/*]\n  public_key: |\n{}",
        indented(key.public_key())
    );
    let trust = prograde_sign::Trust::parse("trust.yaml", &text, "".as_ref()).unwrap();
    let terms = prograde_sign::Terms { trust: &trust, at: now() };
    let found = prograde_sign::verify(&memory, &image, &signatures(), terms).unwrap();
    assert_eq!(words(&found), ["unbound"]);
}

pub(crate) fn indented(key: &PublicKey) -> String {
    key.to_pem().unwrap().lines().flat_map(|line| ["    ", line, "\n"]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// No bytes are a reason to end in any other way than with an answer.
    #[test]
    fn documents_of_any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _told = (Payload::parse(&bytes), Statement::parse(&bytes), Envelope::parse(&bytes));
        let _told = (prograde_sign::bundle::Bundle::parse(&bytes), PublicKey::from_der("it", &bytes));
        let text = String::from_utf8_lossy(&bytes);
        let _told = (PublicKey::from_pem("it", &text), text.parse::<prograde_sign::Repository>());
    }
}
