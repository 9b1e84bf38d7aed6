//! What is written, and that nobody's signature is lost.

use std::sync::Arc;

use prograde_sign::key::PrivateKey;
use prograde_sign::predicate::{self, CYCLONEDX, TEST_RESULT};
use prograde_sign::{Asked, Form, Statement, attest, attestation_tag, sign, signature_tag};
use serde_json::{Map, json};

use super::memory::{Memory, now, signatures, verified, words};

#[test]
fn both_forms_count_and_name_the_repository() {
    let key = PrivateKey::generate().unwrap();
    for (form, want) in [(Form::Tag, 1), (Form::Bundle, 1), (Form::Both, 2)] {
        let (memory, image) = Memory::with_image();
        let annotations = Map::from_iter([("commit".to_owned(), json!("abc"))]);
        sign(&memory, &image, &annotations, &key, form, now()).unwrap();
        let found = verified(&memory, &image, &Asked::Signatures(annotations.clone()), &key);
        assert_eq!(
            found.evidence().filter(|one| one.bound && one.annotations == annotations).count(),
            want,
            "{found:?}"
        );
        let other = Map::from_iter([("commit".to_owned(), json!("abd"))]);
        let found = verified(&memory, &image, &Asked::Signatures(other), &key);
        assert!(!found.holds() && words(&found).iter().all(|word| *word == "annotation"), "{found:?}");
    }
}

#[test]
fn the_same_signature_twice_is_stored_once() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    for _ in 0..3 {
        sign(&memory, &image, &Map::new(), &key, Form::Tag, now()).unwrap();
    }
    assert_eq!(memory.layers(&signature_tag(&image.digest)).len(), 1);
}

#[test]
fn attestations_are_told_apart_by_type() {
    let key = PrivateKey::generate().unwrap();
    let (memory, image) = Memory::with_image();
    let statement = |kind: &str, value| Statement::about(&image.repository, &image.digest, kind, value);
    let tests = predicate::tests(&predicate::Tests { failed: vec!["it_works".into()], ..Default::default() });
    assert_eq!(tests["result"], "FAILED");
    attest(&memory, &image, &statement(TEST_RESULT, tests), &key, Form::Both, now()).unwrap();
    attest(&memory, &image, &statement(CYCLONEDX, json!({"bomFormat": "CycloneDX"})), &key, Form::Both, now()).unwrap();
    let found = verified(&memory, &image, &Asked::Attestations(Some(CYCLONEDX.to_owned())), &key);
    assert_eq!((words(&found), found.others.len()), (vec!["good"; 2], 1), "{found:?}");
    let evidence = found.evidence().next().unwrap();
    assert_eq!(evidence.predicate.as_ref().unwrap().1["bomFormat"], "CycloneDX");
    assert_eq!(verified(&memory, &image, &Asked::Attestations(None), &key).found.len(), 4);
    // What is said of an image does not sign it.
    assert!(!verified(&memory, &image, &signatures(), &key).holds());
    sign(&memory, &image, &Map::new(), &key, Form::Both, now()).unwrap();
    assert_eq!(words(&verified(&memory, &image, &signatures(), &key)), ["good", "good"]);
    assert_eq!(verified(&memory, &image, &Asked::Attestations(None), &key).found.len(), 4);
}

#[test]
fn an_image_that_is_not_there_is_not_signed() {
    let key = PrivateKey::generate().unwrap();
    let (memory, mut image) = Memory::with_image();
    image.digest = format!("sha256:{}", "0".repeat(64)).parse().unwrap();
    let why = sign(&memory, &image, &Map::new(), &key, Form::Both, now()).unwrap_err();
    assert!(why.to_string().contains("no image"), "{why}");
}

#[test]
fn who_is_overwritten_writes_again() {
    let (ours, theirs) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (memory, image) = Memory::with_image();
    let tag = signature_tag(&image.digest);
    let before = {
        let (other, _) = Memory::with_image();
        sign(&other, &image, &Map::new(), &theirs, Form::Tag, now()).unwrap();
        memory.blobs.lock().unwrap().extend(other.blobs.lock().unwrap().clone());
        other.manifests.lock().unwrap()[&tag].clone()
    };
    // Twice they have read before we wrote, and write after us.
    for _ in 0..2 {
        let (before, tag) = (before.clone(), tag.clone());
        memory.meanwhile.lock().unwrap().push(Box::new(move |memory: &Memory| {
            memory.manifests.lock().unwrap().insert(tag, before);
        }));
    }
    sign(&memory, &image, &Map::new(), &ours, Form::Tag, now()).unwrap();
    assert_eq!(words(&verified(&memory, &image, &signatures(), &ours)), ["no_trusted_key", "good"]);
}

#[test]
fn writers_at_the_same_time_damage_nothing() {
    let (memory, image) = Memory::with_image();
    let (memory, image) = (Arc::new(memory), Arc::new(image));
    let key = Arc::new(PrivateKey::generate().unwrap());
    let writers: Vec<_> = (0..8)
        .map(|number| {
            let (memory, image, key) = (Arc::clone(&memory), Arc::clone(&image), Arc::clone(&key));
            std::thread::spawn(move || {
                let value =
                    json!({"result": "PASSED", "configuration": [], "url": format!("https://ci.example.com/{number}")});
                let statement = Statement::about(&image.repository, &image.digest, TEST_RESULT, value);
                attest(memory.as_ref(), &image, &statement, key.as_ref(), Form::Tag, now()).unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    // In memory there is no pause, so a writer may be overwritten after it has looked.
    let tag = attestation_tag(&image.digest);
    let found = verified(&memory, &image, &Asked::Attestations(None), &key);
    assert!(!memory.layers(&tag).is_empty() && words(&found).iter().all(|word| *word == "good"), "{found:?}");
}
