//! Signing and verifying without keys, with Sigstore's own services, and cosign in both directions.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use super::sigstore::Sigstore;
use super::world::{Ran, World, cosign};

pub(super) const EVE: &str = "eve@example.com";

pub(super) const SIGNING: [&str; 7] =
    ["--keyless", "--signing-config", "config.json", "--identity-token", "token", "--trusted-root", "root.json"];

/// A registry, the services, and what they are told each time.
pub(super) struct Scene {
    pub(super) world: World,
    pub(super) sigstore: Sigstore,
}

impl Scene {
    pub(super) fn start() -> Option<Self> {
        let (sigstore, world) = (Sigstore::start()?, World::start()?);
        for name in ["config.json", "root.json"] {
            world.write(name, &sigstore.read(name));
        }
        let scene = Self { world, sigstore };
        scene.fresh();
        Some(scene)
    }

    /// A new token; Fulcio takes those of some minutes.
    pub(super) fn fresh(&self) {
        self.world.write("token", &self.sigstore.token(EVE));
    }

    fn who(&self) -> Vec<&str> {
        let issuer = self.sigstore.issuer();
        vec!["--certificate-identity", EVE, "--certificate-oidc-issuer", issuer, "--trusted-root", "root.json"]
    }

    fn verify(&self, image: &str) -> Ran {
        self.world.prograde(&[&["verify", "--json", image][..], &self.who()].concat())
    }
}

#[test]
fn cosign_takes_what_we_sign_without_a_key() {
    let Some(cosign) = cosign(3) else { return };
    let Some(scene) = Scene::start() else { return };
    let world = &scene.world;
    let image = world.image("team/app");
    world.write("bom.json", r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}"#);
    let ran = world.done(&[&["sign", "--json", "-a", "commit=abc", &image][..], &SIGNING].concat());
    assert_eq!(
        (ran.json()["identity"].as_str(), ran.json()["issuer"].as_str()),
        (Some(EVE), Some(scene.sigstore.issuer()))
    );
    let attest = ["attest", "--type", "cyclonedx", "--predicate", "bom.json", &image];
    let ran = world.done(&[&attest[..], &SIGNING].concat());
    assert!(ran.err.contains(&format!("as {EVE}, by the word of {}", scene.sigstore.issuer())), "{ran:?}");
    let flags = ["--use-signed-timestamps", &image];
    let ran = world.run(&cosign, &[&["verify", "-a", "commit=abc"][..], &flags, &scene.who()].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = world.run(&cosign, &[&["verify-attestation", "--type", "cyclonedx"][..], &flags, &scene.who()].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let other = ["--certificate-identity", "bob@example.com", "--certificate-oidc-issuer", scene.sigstore.issuer()];
    let ran = world.run(&cosign, &[&["verify", "--trusted-root", "root.json"][..], &flags, &other].concat());
    assert_ne!(ran.code, 0, "{ran:?}");
    assert_eq!(scene.verify(&image).reasons(), ["good"]);
    let ran = world.done(&[&["verify-attestation", "--type", "cyclonedx", &image][..], &scene.who()].concat());
    assert!(ran.out.contains(&format!("identity {EVE}")), "{ran:?}");
}

#[test]
fn we_take_what_cosign_signs_without_a_key() {
    let Some(cosign) = cosign(3) else { return };
    let Some(scene) = Scene::start() else { return };
    let world = &scene.world;
    let image = world.image("team/app");
    world.write("bom.json", r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}"#);
    let flags =
        ["--signing-config", "config.json", "--identity-token", "token", "--trusted-root", "root.json", "--yes"];
    let ran = world.run(&cosign, &[&["sign", &image][..], &flags].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    scene.fresh();
    let attest = ["attest", "--type", "cyclonedx", "--predicate", "bom.json", &image];
    let ran = world.run(&cosign, &[&attest[..], &flags].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = scene.verify(&image);
    assert_eq!((ran.code, ran.reasons()), (0, vec!["good".to_owned()]), "{ran:?}");
    assert_eq!(ran.json()["found"][0]["certificate"]["identity"], EVE);
    assert_eq!(ran.json()["found"][0]["names_repository"], false);
    let ran = world.done(&[&["verify-attestation", "--json", &image][..], &scene.who()].concat());
    assert_eq!(ran.reasons(), ["good"], "{ran:?}");
    // Who may sign for one repository only has to name it, and cosign's signatures name none.
    let issuer = scene.sigstore.issuer();
    let trust = format!(
        "trusted_root: root.json\nidentities:\n- name: eve\n  issuer: {issuer}\n  subject: {EVE}\n  repositories: [{}/team/*]\n",
        world.host
    );
    world.write("trust.yaml", &trust);
    let ran = world.prograde(&["verify", "--json", "--trust", "trust.yaml", &image]);
    assert_eq!((ran.code, ran.reasons()), (1, vec!["unbound".to_owned()]), "{ran:?}");
    scene.fresh();
    world.done(&[&["sign", &image][..], &SIGNING].concat());
    let ran = world.done(&["verify", "--json", "--trust", "trust.yaml", &image]);
    assert!(ran.reasons().contains(&"good".to_owned()), "{ran:?}");
}

/// A runner of GitHub's that gives one token, and what it was asked.
fn runner(token: String) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token?api-version=2.0", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let body = serde_json::json!({"count": 1, "value": token}).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (url, asked)
}

#[test]
fn pipelines_have_their_tokens_at_hand() {
    let Some(scene) = Scene::start() else { return };
    let world = &scene.world;
    let image = world.image("team/app");
    let sign = ["sign", "--keyless", "--signing-config", "config.json", &image];
    let ran = world.prograde_in(&[("SIGSTORE_ID_TOKEN", &scene.sigstore.token(EVE))], &sign);
    assert_eq!(ran.code, 0, "{ran:?}");
    let (url, asked) = runner(scene.sigstore.token(EVE));
    let github = [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a-secret")];
    let ran = world.prograde_in(&github, &sign);
    assert_eq!(ran.code, 0, "{ran:?}");
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("GET /token?api-version=2.0&audience=sigstore HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: bearer a-secret\r\n"), "{asked}");
    assert_eq!(scene.verify(&image).reasons(), ["good", "good"]);
    // A token goes to nobody who could be anybody.
    let github =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", "http://example.com/"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "a-secret")];
    let ran = world.prograde_in(&github, &sign);
    assert!(ran.code == 2 && ran.err.contains("https://") && !ran.err.contains("a-secret"), "{ran:?}");
    let ran = world.prograde(&sign);
    assert!(ran.code == 2 && ran.err.contains("PG1379"), "{ran:?}");
    // Fulcio refuses a token that somebody else signed; neither it nor we say what it was.
    let forged = format!("{}.{}", scene.sigstore.token(EVE).rsplit_once('.').unwrap().0, "A".repeat(86));
    let ran = world.prograde_in(&[("SIGSTORE_ID_TOKEN", &forged)], &sign);
    assert!(ran.code == 2 && ran.err.contains("PG1380") && !ran.err.contains(&forged), "{ran:?}");
    // Nobody is there.
    let config: serde_json::Value = serde_json::from_str(&world.read("config.json")).unwrap();
    let place = config["caUrls"][0]["url"].as_str().unwrap();
    let free = format!("127.0.0.1:{}", prograde_ports::free());
    world.write("config.json", &config.to_string().replace(place, &format!("http://{free}")));
    let ran = world.prograde_in(&[("SIGSTORE_ID_TOKEN", &scene.sigstore.token(EVE))], &sign);
    assert!(ran.code == 2 && ran.err.contains("PG1380") && ran.err.contains("can't be reached"), "{ran:?}");
}

#[test]
fn a_copy_in_another_repository_does_not_count() {
    let Some(scene) = Scene::start() else { return };
    let world = &scene.world;
    world.done(&[&["sign", &world.image("team/app")][..], &SIGNING].concat());
    world.image("prod/app");
    world.replay("team/app", "prod/app");
    let ran = scene.verify(&world.image("prod/app"));
    assert_eq!((ran.code, ran.reasons()), (1, vec!["other_repository".to_owned()]), "{ran:?}");
}

#[test]
fn what_is_asked_wrongly_is_told() {
    let Some(world) = World::start() else { return };
    let image = world.image("team/app");
    world.write("token", "a.b.c");
    world.write("config.json", "{}");
    let check = |arguments: &[&str], want: &str| {
        let ran = world.prograde(arguments);
        assert!(ran.code == 2 && ran.err.contains(want), "{arguments:?}: {ran:?}");
    };
    check(&["sign", &image], "--key <FILE>");
    check(&["sign", "--keyless", &image], "--signing-config");
    check(&["sign", "--keyless", "--key", "a.key", "--signing-config", "config.json", &image], "cannot be used with");
    check(&["sign", "--keyless", "--signing-config", "config.json", "--form", "tag", &image], "stored as a bundle");
    check(&["sign", "--keyless", "--signing-config", "config.json", &image], "PG1378");
    check(&["verify", &image], "--certificate-identity");
    check(&["verify", "--certificate-identity", "a", &image], "--certificate-oidc-issuer");
    check(&["verify", "--certificate-oidc-issuer", "a", "--key", "a.pub", &image], "--certificate-identity");
    let who = ["--certificate-identity-regexp", "(", "--certificate-oidc-issuer", "a", "--trusted-root", "config.json"];
    check(&[&["verify", &image][..], &who].concat(), "PG1382");
    let who = ["--certificate-identity", "a", "--certificate-oidc-issuer", "a", "--trusted-root", "config.json"];
    check(&[&["verify", &image][..], &who].concat(), "PG1377");
}
