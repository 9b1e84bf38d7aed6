//! Signatures without a key, made with Sigstore's own services, and what is done to them.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prograde_sign::keyless::{Keyless, KeylessError, Port, Request, Services, Token, TrustedRoot};
use prograde_sign::{
    Cause, Image, StoreError, Terms, Trust, TrustedIdentity, Verified, Wanted, codes, sign_keyless, verify,
};
use serde_json::{Map, Value, json};

use super::memory::{Memory, now, signatures, words};
use super::sigstore::Sigstore;

const EVE: &str = "eve@example.com";

/// Speaks to the services; `certificate` answers instead of the authority where it is there.
struct Wire<'a> {
    certificate: Option<&'a dyn Fn(&Value) -> Value>,
}

impl Port for Wire<'_> {
    fn post(&self, request: &Request<'_>) -> Result<Vec<u8>, Cause> {
        if let Some(certificate) = self.certificate.filter(|_| request.url.ends_with("/signingCert")) {
            return Ok(certificate(&serde_json::from_slice(request.body)?).to_string().into_bytes());
        }
        let ask = ureq::post(&request.url).header("content-type", request.content_type);
        Ok(ask.header("accept", request.accept).send(request.body)?.body_mut().read_to_vec()?)
    }
}

fn clock() -> Timestamp {
    jiff::Zoned::now().timestamp()
}

fn root(sigstore: &Sigstore) -> TrustedRoot {
    TrustedRoot::read(&sigstore.place().join("root.json")).unwrap()
}

fn identity(issuer: &str, subject: &str) -> TrustedIdentity {
    TrustedIdentity::new("someone", Wanted::exactly(issuer).unwrap(), Wanted::exactly(subject).unwrap())
}

/// An image signed without a key, and the bundle.
fn signed(
    sigstore: &Sigstore,
    wire: &Wire<'_>,
    root: Option<&TrustedRoot>,
) -> Result<(Memory, Image, Value), StoreError> {
    let (memory, image) = Memory::with_image();
    let services = Services::read(&sigstore.place().join("config.json"), clock()).unwrap();
    let token = Token::new("the test", sigstore.token(EVE)).unwrap();
    let keyless = Keyless { services: &services, port: wire, token: &token, root };
    let made = sign_keyless(&memory, &image, &Map::new(), keyless, now())?;
    assert_eq!((made.subject.as_str(), made.issuer.as_str()), (EVE, sigstore.issuer()));
    let bundle = bundle_in(&memory);
    Ok((memory, image, bundle))
}

fn bundle_in(memory: &Memory) -> Value {
    let blobs = memory.blobs.lock().unwrap();
    blobs
        .values()
        .find_map(|bytes| serde_json::from_slice(bytes).ok().filter(|one: &Value| one["mediaType"].is_string()))
        .unwrap()
}

pub(crate) fn verified(memory: &Memory, image: &Image, trust: &Trust) -> Verified {
    verify(memory, image, &signatures(), Terms { trust, at: now() }).unwrap()
}

#[test]
fn what_is_signed_without_a_key_counts_for_whom_it_names() {
    let Some(sigstore) = Sigstore::start() else { return };
    let root = root(&sigstore);
    let (memory, image, bundle) = signed(&sigstore, &Wire { certificate: None }, Some(&root)).unwrap();
    let material = &bundle["verificationMaterial"];
    assert_eq!(material["tlogEntries"].as_array().unwrap().len(), 1);
    assert_eq!(material["timestampVerificationData"]["rfc3161Timestamps"].as_array().unwrap().len(), 1);
    let check = |identity: TrustedIdentity, want: &str| {
        let found = verified(&memory, &image, &Trust::of_identity(identity, root.clone()));
        assert_eq!(words(&found), [want]);
        found
    };
    let found = check(identity(sigstore.issuer(), EVE), "good");
    let evidence = found.evidence().next().unwrap();
    let certified = evidence.certified.clone().unwrap();
    assert!(evidence.bound && (certified.times.0 - clock()).get_seconds().abs() < 60, "{evidence:?}");
    check(identity(sigstore.issuer(), "eve@example.org"), "no_trusted_identity");
    check(identity("https://accounts.example.com", EVE), "no_trusted_identity");
    // An expression that would match somewhere in the identity: `@example[.]co`.
    let part = Wanted::whole("@example[.]co").unwrap();
    check(TrustedIdentity::new("part", Wanted::exactly(sigstore.issuer()).unwrap(), part), "no_trusted_identity");
    // The same in another repository: what a copy of the bundle says is about the first one.
    let other = Image { repository: "registry.example.com/prod/app".parse().unwrap(), digest: image.digest.clone() };
    let trust = Trust::of_identity(identity(sigstore.issuer(), EVE), root.clone());
    assert_eq!(words(&verified(&memory, &other, &trust)), ["other_repository"]);
    // Who has keys alone can't tell who signed.
    let key = prograde_sign::key::PrivateKey::generate().unwrap();
    let found = verified(&memory, &image, &super::memory::trust(&key));
    assert_eq!(words(&found), ["certificate"]);
}

#[test]
fn trust_files_bound_identities() {
    let Some(sigstore) = Sigstore::start() else { return };
    let (memory, image, _) = signed(&sigstore, &Wire { certificate: None }, None).unwrap();
    let check = |more: &str, want: &str| {
        let head = format!("trusted_root: root.json\nidentities:\n- name: eve\n  issuer: {}\n", sigstore.issuer());
        let trust = Trust::parse("trust.yaml", &format!("{head}{more}"), sigstore.place()).unwrap();
        assert_eq!(words(&verified(&memory, &image, &trust)), [want], "{more}");
    };
    check("  subject: eve@example.com\n", "good");
    check("  subject_regexp: .*@example[.]com\n", "good");
    check("  subject_regexp: example\n", "no_trusted_identity");
    check("  subject: eve@example.com\n  repositories: [registry.example.com/team/*]\n", "good");
    check("  subject: eve@example.com\n  repositories: [registry.example.com/prod/*]\n", "not_for_repository");
    check("  subject: eve@example.com\n  revoked: left in May\n", "revoked");
    // The timestamp counts, and not when somebody asks.
    check("  subject: eve@example.com\n  not_after: 2026-01-01T00:00:00Z\n", "expired");
    check("  subject: eve@example.com\n  not_before: 2126-01-01T00:00:00Z\n", "not_yet_valid");
    let fault = |text: &str, line: u32, want: &str| {
        let faults = Trust::parse("trust.yaml", text, sigstore.place()).unwrap_err();
        assert!(faults.0.iter().any(|one| one.line == line && one.to_string().contains(want)), "{text}\n{faults}");
    };
    fault("identities:\n- {name: a, issuer: b, subject: c}\n", 0, "no `trusted_root`");
    fault("trusted_root: root.json\nidentities:\n- name: a\n  issuer: b\n", 3, "neither `subject` nor");
    fault(
        "trusted_root: root.json\nidentities:\n- name: a\n  issuer: b\n  subject: c\n  subject_regexp: d\n",
        6,
        "both",
    );
    fault("trusted_root: root.json\nidentities:\n- name: a\n  issuer: b\n  subject_regexp: (\n", 5, "can't be used");
    fault("trusted_root: gone.json\nidentities:\n- {name: a, issuer: b, subject: c}\n", 0, "gone.json can't be read");
    fault(
        "trusted_root: config.json\nidentities:\n- {name: a, issuer: b, subject: c}\n",
        0,
        "config.json can't be used",
    );
}

/// What is done to a bundle, and the reason for which it does not count then.
type Attack<'a> = (&'a str, &'a dyn Fn(&mut Value));

#[test]
fn what_was_tampered_with_does_not_count() {
    let Some(sigstore) = Sigstore::start() else { return };
    let wire = Wire { certificate: None };
    let (_, _, good) = signed(&sigstore, &wire, None).unwrap();
    let (_, _, other) = signed(&sigstore, &wire, None).unwrap();
    let entry = |bundle: &mut Value| bundle["verificationMaterial"]["tlogEntries"][0].take();
    let checkpoint = |bundle: &Value| {
        bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let set_checkpoint = |bundle: &mut Value, text: String| {
        bundle["verificationMaterial"]["tlogEntries"][0]["inclusionProof"]["checkpoint"]["envelope"] = text.into();
    };
    let many = vec![good["verificationMaterial"]["tlogEntries"][0].clone(); 17];
    let payload = STANDARD.decode(good["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let attacks: &[Attack<'_>] = &[
        ("good", &|_| {}),
        ("log", &|bundle| bundle["verificationMaterial"]["tlogEntries"][0]["logIndex"] = "7".into()),
        ("log", &|bundle| bundle["verificationMaterial"]["tlogEntries"][0]["canonicalizedBody"] = "e30=".into()),
        // The signature of the checkpoint is over another root.
        ("log", &|bundle| {
            let text = checkpoint(bundle).replace("\n\n", "\nmore\n\n");
            set_checkpoint(bundle, text);
        }),
        ("log", &|bundle| {
            let text = checkpoint(bundle);
            let (body, _) = text.split_once("\n\n").unwrap();
            set_checkpoint(bundle, format!("{body}\n\n— 127.0.0.1 AAAAAAAA\n"));
        }),
        // An entry that is in the log, about another signature.
        ("log", &|bundle| bundle["verificationMaterial"]["tlogEntries"][0] = entry(&mut other.clone())),
        ("log", &|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([])),
        ("malformed", &|bundle| bundle["verificationMaterial"]["tlogEntries"] = many.clone().into()),
        ("timestamp", &|bundle| bundle["verificationMaterial"]["timestampVerificationData"] = json!({})),
        // A timestamp of another signature.
        ("timestamp", &|bundle| {
            bundle["verificationMaterial"]["timestampVerificationData"] =
                other["verificationMaterial"]["timestampVerificationData"].clone();
        }),
        ("signature", &|bundle| {
            bundle["verificationMaterial"]["certificate"] = other["verificationMaterial"]["certificate"].clone();
        }),
        ("certificate", &|bundle| bundle["verificationMaterial"]["certificate"] = json!({"rawBytes": "AA=="})),
        ("signature", &|bundle| {
            let forged = String::from_utf8(payload.clone()).unwrap().replace("{}", "{ }");
            bundle["dsseEnvelope"]["payload"] = STANDARD.encode(forged).into();
        }),
        // A signature too many: which of them is vouched for?
        ("malformed", &|bundle| {
            let one = bundle["dsseEnvelope"]["signatures"][0].clone();
            bundle["dsseEnvelope"]["signatures"] = json!([one, one]);
        }),
    ];
    let trust = Trust::of_identity(identity(sigstore.issuer(), EVE), root(&sigstore));
    for (index, (want, attack)) in attacks.iter().enumerate() {
        let (memory, image) = Memory::with_image();
        let mut bundle = good.clone();
        attack(&mut bundle);
        memory.plant_bundle(&image, bundle.to_string().as_bytes());
        let found = verified(&memory, &image, &trust);
        assert_eq!(words(&found), [*want], "{index}: {:?}", found.found);
    }
    // Larger than what is read.
    let (memory, image) = Memory::with_image();
    let text = good.to_string().replacen('{', &format!("{{\"more\":\"{}\",", "a".repeat(33 << 20)), 1);
    memory.plant_bundle(&image, text.as_bytes());
    assert_eq!(words(&verified(&memory, &image, &trust)), ["too_large"]);
}

#[test]
fn other_roots_do_not_vouch() {
    let Some(sigstore) = Sigstore::start() else { return };
    let (memory, image, _) = signed(&sigstore, &Wire { certificate: None }, None).unwrap();
    let known: Value = serde_json::from_str(&sigstore.read("root.json")).unwrap();
    let check = |change: &dyn Fn(&mut Value), want: &str| {
        let mut root = known.clone();
        change(&mut root);
        let root = TrustedRoot::parse("root.json", &root.to_string()).unwrap();
        let trust = Trust::of_identity(identity(sigstore.issuer(), EVE), root);
        let found = verified(&memory, &image, &trust);
        assert_eq!(words(&found), [want], "{:?}", found.found);
    };
    let ended = json!({"start": "2024-01-01T00:00:00Z", "end": "2025-01-01T00:00:00Z"});
    check(&|_| {}, "good");
    check(
        &|root| root["certificateAuthorities"][0]["certChain"] = root["timestampAuthorities"][0]["certChain"].clone(),
        "certificate",
    );
    check(&|root| root["certificateAuthorities"][0]["validFor"] = ended.clone(), "certificate");
    check(&|root| root["timestampAuthorities"][0]["validFor"] = ended.clone(), "timestamp");
    check(&|root| root["timestampAuthorities"] = json!([]), "timestamp");
    // The key of the certificates' log in the place of the entries' log, and the other way round.
    check(&|root| root["tlogs"][0]["publicKey"] = root["ctlogs"][0]["publicKey"].clone(), "log");
    check(&|root| root["ctlogs"][0]["logId"]["keyId"] = STANDARD.encode([7; 32]).into(), "certificate");
    // Without logs there is nothing to ask of them.
    check(&|root| root["ctlogs"] = json!([]), "good");
    for (change, want) in [
        (json!({"certificateAuthorities": []}), "no certificate authority"),
        (json!({"tlogs": [], "timestampAuthorities": []}), "no time can be proven"),
        (json!({"mediaType": "application/json"}), "media type"),
        (json!({"tlogs": vec![known["tlogs"][0].clone(); 65]}), "no more than 64"),
        (json!({"tlogs": [known["tlogs"][0], known["tlogs"][0]]}), "duplicate"),
    ] {
        let mut root = known.clone();
        root.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let error = TrustedRoot::parse("root.json", &root.to_string()).unwrap_err();
        assert!(error.code() == codes::TRUSTED_ROOT && error.to_string().contains(want), "{error}");
    }
}

/// An authority of ours, whose certificates hold when we say.
fn authority(folder: &Path, dates: [&str; 2]) -> impl Fn(&Value) -> Value {
    let folder = folder.to_owned();
    let [from, until] = dates.map(str::to_owned);
    move |request| {
        let pem = STANDARD.decode(request["certificateSigningRequest"].as_str().unwrap()).unwrap();
        fs::write(folder.join("request.pem"), pem).unwrap();
        let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\nrand_serial=yes\nunique_subject=no\n[any]\ncommonName=optional\n[leaf]\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=codeSigning\nsubjectAltName=critical,email:eve@example.com\n1.3.6.1.4.1.57264.1.8=ASN1:UTF8String:ISSUER\n";
        let issuer = fs::read_to_string(folder.join("issuer.txt")).unwrap();
        fs::write(folder.join("ca.conf"), config.replace("ISSUER", &issuer)).unwrap();
        fs::write(folder.join("index.txt"), "").unwrap();
        let arguments = [
            "ca",
            "-batch",
            "-config",
            "ca.conf",
            "-extensions",
            "leaf",
            "-cert",
            "own.pem",
            "-keyfile",
            "own.key",
            "-in",
            "request.pem",
            "-out",
            "leaf.pem",
            "-startdate",
            &from,
            "-enddate",
            &until,
            "-notext",
            "-subj",
            "/CN=eve",
        ];
        openssl(&folder, &arguments);
        let leaf = fs::read_to_string(folder.join("leaf.pem")).unwrap();
        json!({"signedCertificateDetachedSct": {"chain": {"certificates": [leaf]}}})
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn certificates_count_in_their_minutes_and_with_their_log() {
    let Some(sigstore) = Sigstore::start() else { return };
    let folder = sigstore.place();
    fs::write(folder.join("issuer.txt"), sigstore.issuer()).unwrap();
    openssl(folder, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "own.key"]);
    openssl(folder, &["req", "-x509", "-new", "-key", "own.key", "-subj", "/CN=own", "-days", "9", "-out", "own.pem"]);
    let pem = sigstore.read("own.pem");
    let own: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let check = |dates: [&str; 2], ctlogs: bool, want: &str| {
        let mut root: Value = serde_json::from_str(&sigstore.read("root.json")).unwrap();
        root["certificateAuthorities"][0]["certChain"]["certificates"] = json!([{"rawBytes": own.concat()}]);
        root["certificateAuthorities"][0]["validFor"] = json!({"start": "2020-01-01T00:00:00Z"});
        if !ctlogs {
            root["ctlogs"] = json!([]);
        }
        let root = TrustedRoot::parse("root.json", &root.to_string()).unwrap();
        let authority = authority(folder, dates);
        let wire = Wire { certificate: Some(&authority) };
        let (memory, image, _) = signed(&sigstore, &wire, None).unwrap();
        let found = verified(&memory, &image, &Trust::of_identity(identity(sigstore.issuer(), EVE), root.clone()));
        assert_eq!(words(&found), [want], "{dates:?} {ctlogs}: {:?}", found.found);
        // With the root at hand it is not even stored.
        let again = signed(&sigstore, &wire, Some(&root));
        assert_eq!(again.is_ok(), want == "good");
        if let Err(error) = again {
            assert!(matches!(error, StoreError::Keyless(KeylessError::Unsound(_))), "{error}");
        }
    };
    let always = ["20200101000000Z", "21200101000000Z"];
    check(always, false, "good");
    check(["20200101000000Z", "20210101000000Z"], false, "certificate");
    check(["21190101000000Z", "21200101000000Z"], false, "certificate");
    // No log of certificates has it.
    check(always, true, "certificate");
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let Some(sigstore) = Sigstore::start() else { return };
    let (_, _, other) = signed(&sigstore, &Wire { certificate: None }, None).unwrap();
    let der = other["verificationMaterial"]["certificate"]["rawBytes"].as_str().unwrap().to_owned();
    let pem = format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
    let lines: Vec<String> = pem.lines().map(str::to_owned).collect();
    let body: Vec<String> =
        lines[1].as_bytes().chunks(64).map(|part| String::from_utf8(part.to_vec()).unwrap()).collect();
    let pem = format!("{}\n{}\n{}\n", lines[0], body.join("\n"), lines[2]);
    let answer = |_: &Value| json!({"signedCertificateEmbeddedSct": {"chain": {"certificates": [pem]}}});
    let error = signed(&sigstore, &Wire { certificate: Some(&answer) }, None).err().unwrap();
    assert!(error.code() == codes::ANSWER && error.to_string().contains("for another key"), "{error}");
    // Fulcio does not take a token that its issuer did not sign, and nothing of it is told.
    let (memory, image) = Memory::with_image();
    let services = Services::read(&sigstore.place().join("config.json"), clock()).unwrap();
    let text = sigstore.token(EVE);
    let forged = format!("{}.{}", text.rsplit_once('.').unwrap().0, "A".repeat(86));
    let token = Token::new("the test", forged.clone()).unwrap();
    let keyless = Keyless { services: &services, port: &Wire { certificate: None }, token: &token, root: None };
    let error = sign_keyless(&memory, &image, &Map::new(), keyless, now()).unwrap_err();
    assert!(error.code() == codes::SERVICE && !format!("{error:?}").contains(&forged), "{error:?}");
}
