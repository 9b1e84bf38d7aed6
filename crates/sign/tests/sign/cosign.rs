//! cosign takes what we make, and we take what it makes, in a real registry: keys, signatures and attestations in both forms.

use std::fs;
use std::path::{Path, PathBuf};

use prograde_sign::key::{KeyFile, Password, PrivateKey, Signer as _};
use prograde_sign::predicate::{self, Provenance, Scan};
use prograde_sign::{Asked, Form, Image, Statement, Terms, Trust, Verified, attest, sign, verify};
use prograde_supply::client::Beside;
use serde_json::{Map, Value, json};

use super::memory::{now, signatures, words};
use super::registry::{Registry, peer};

/// What keeps cosign 3 from asking the world, and the flag for each form.
const ALONE: [&str; 3] = ["--tlog-upload=false", "--use-signing-config=false", "--yes"];
const FORMS: [(&str, &str); 2] = [("tag", "--new-bundle-format=false"), ("bundle", "--new-bundle-format=true")];

fn cosign() -> Option<PathBuf> {
    peer("cosign", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/cosign3/cosign"))
}

fn name(image: &Image) -> String {
    format!("{}@{}", image.repository, image.digest)
}

fn trust(registry: &Registry, public: &str) -> Trust {
    Trust::of(public, KeyFile::read(&registry.path(public)).unwrap().public().unwrap())
}

fn judged(place: &Beside, image: &Image, asked: &Asked, trust: &Trust) -> Verified {
    verify(place, image, asked, Terms { trust, at: now() }).unwrap()
}

fn private(registry: &Registry, file: &str) -> PrivateKey {
    KeyFile::read(&registry.path(file)).unwrap().private(Some(&Password::new("correct horse"))).unwrap()
}

/// Types by cosign's name with a predicate of each.
fn predicates() -> Vec<(&'static str, Value)> {
    let provenance = predicate::provenance(&Provenance {
        builder_id: "https://prograde.example.com/builder/v1".to_owned(),
        build_type: "https://prograde.example.com/workflow/v1".to_owned(),
        external_parameters: Map::from_iter([("ref".to_owned(), json!("refs/heads/main"))]),
        source: "git+https://git.example.com/team/app".to_owned(),
        commit: "a".repeat(40).parse().unwrap(),
        dependencies: Vec::new(),
        flight: "1".repeat(32).parse().unwrap(),
        started: now(),
        finished: now(),
    });
    let scan = predicate::scan(&Scan {
        scanner: "https://prograde.example.com/scan".to_owned(),
        version: "1".to_owned(),
        database: ("https://osv.dev".to_owned(), "2026-02-01".to_owned()),
        result: json!({"findings": []}),
        started: now(),
        finished: now(),
    });
    vec![
        ("slsaprovenance1", provenance),
        ("cyclonedx", json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []})),
        ("spdxjson", json!({"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "app"})),
        ("vuln", scan),
        ("https://example.com/review/v1", json!({"by": "us"})),
    ]
}

#[test]
fn cosign_takes_what_we_make() {
    let (Some(cosign), Some(registry)) = (cosign(), Registry::start()) else { return };
    let (place, image) = registry.image("team/app");
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    for (file, key) in [("ours", &key), ("other", &other)] {
        fs::write(registry.path(&format!("{file}.pub")), key.public_key().to_pem().unwrap()).unwrap();
        fs::write(registry.path(&format!("{file}.key")), key.to_encrypted_pem(b"correct horse").unwrap()).unwrap();
    }
    let annotations = Map::from_iter([("commit".to_owned(), json!("abc"))]);
    sign(&place, &image, &annotations, &key, Form::Both, now()).unwrap();
    for (kind, value) in predicates() {
        let statement = Statement::about(&image.repository, &image.digest, &predicate::type_of(kind).unwrap(), value);
        attest(&place, &image, &statement, &key, Form::Both, now()).unwrap();
    }
    let name = name(&image);
    for (form, flag) in FORMS {
        let check = |command: &str, key: &str, more: &[&str], want: bool| {
            let fixed = [command, "--key", key, "--insecure-ignore-tlog=true", flag, name.as_str()];
            let (took, told) = registry.run(&cosign, &[&fixed[..], more].concat());
            assert_eq!(took, want, "{form} {command} {more:?}: {told}");
        };
        check("verify", "ours.pub", &["-a", "commit=abc"], true);
        check("verify", "ours.pub", &["-a", "commit=abd"], false);
        check("verify", "other.pub", &[], false);
        for (kind, _) in predicates() {
            check("verify-attestation", "ours.pub", &["--type", kind], true);
            check("verify-attestation", "other.pub", &["--type", kind], false);
        }
    }
    let (took, told) = registry.run(&cosign, &["public-key", "--key", "ours.key"]);
    assert!(took && told.contains(&key.public_key().to_pem().unwrap()), "{told}");
}

#[test]
fn we_take_what_cosign_makes() {
    for (form, flag) in FORMS {
        let (Some(cosign), Some(registry)) = (cosign(), Registry::start()) else { return };
        let (place, image) = registry.image("team/app");
        let run = |arguments: &[&str]| {
            let (took, told) = registry.run(&cosign, arguments);
            assert!(took, "{form} {arguments:?}: {told}");
        };
        run(&["generate-key-pair", "--output-key-prefix", "theirs"]);
        let (theirs, ours) = (trust(&registry, "theirs.pub"), private(&registry, "theirs.key"));
        assert_eq!(ours.public_key(), theirs.keys()[0].key());
        let other = Trust::of("other", PrivateKey::generate().unwrap().public_key().clone());
        let name = name(&image);
        run(&[&["sign", "--key", "theirs.key", "-a", "commit=abc", flag, &name][..], &ALONE].concat());
        for (kind, value) in predicates() {
            fs::write(registry.path("predicate.json"), value.to_string()).unwrap();
            let attest =
                ["attest", "--key", "theirs.key", "--type", kind, "--predicate", "predicate.json", flag, &name];
            run(&[&attest[..], &ALONE].concat());
            let asked = Asked::Attestations(Some(predicate::type_of(kind).unwrap()));
            let found = judged(&place, &image, &asked, &theirs);
            assert_eq!(words(&found), ["good"], "{form} {kind}: {found:?}");
            assert!(found.evidence().all(|one| one.bound && one.predicate.is_some()), "{form} {kind}: {found:?}");
            assert_eq!(words(&judged(&place, &image, &asked, &other)), ["no_trusted_key"], "{form} {kind}");
        }
        let asked = Asked::Signatures(Map::from_iter([("commit".to_owned(), json!("abc"))]));
        let found = judged(&place, &image, &asked, &theirs);
        assert_eq!(words(&found), ["good"], "{form}: {found:?}");
        // cosign's bundles name no repository, and that is said.
        assert!(found.evidence().all(|one| one.bound == (form == "tag")), "{form}: {found:?}");
        assert_eq!(words(&judged(&place, &image, &signatures(), &other)), ["no_trusted_key"], "{form}");
        // Ours beside theirs: all are there afterwards, and cosign still takes them.
        sign(&place, &image, &Map::new(), &ours, Form::Both, now()).unwrap();
        assert_eq!(words(&judged(&place, &image, &signatures(), &theirs)), ["good"; 3], "{form}");
        run(&["verify", "--key", "theirs.pub", "--insecure-ignore-tlog=true", flag, "-a", "commit=abc", &name]);
    }
}

/// One direction: what cosign 3 signs itself with such a key under a tag is no signature of the plain algorithm.
#[test]
fn ed25519_keys_that_cosign_imports() {
    let (Some(cosign), Some(registry)) = (cosign(), Registry::start()) else { return };
    let (place, image) = registry.image("team/app");
    let run = |program: &Path, arguments: &[&str]| {
        let (took, told) = registry.run(program, arguments);
        assert!(took, "{arguments:?}: {told}");
    };
    run(Path::new("openssl"), &["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
    run(&cosign, &["import-key-pair", "--key", "ed.pem", "--output-key-prefix", "ed"]);
    sign(&place, &image, &Map::new(), &private(&registry, "ed.key"), Form::Both, now()).unwrap();
    assert_eq!(words(&judged(&place, &image, &signatures(), &trust(&registry, "ed.pub"))), ["good"; 2]);
    for (_, flag) in FORMS {
        run(&cosign, &["verify", "--key", "ed.pub", "--insecure-ignore-tlog=true", flag, &name(&image)]);
    }
}
