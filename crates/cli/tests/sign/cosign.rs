//! cosign takes what we make, and we take what it makes: versions 2 and 3, both forms, keys, signatures and attestations.

use std::path::{Path, PathBuf};

use super::world::{World, cosign};

/// A version of cosign with its way to write and read a form: a name, and what is told to it.
pub(super) struct Peer {
    pub(super) program: PathBuf,
    version: u8,
}

impl Peer {
    pub(super) fn all() -> Vec<Self> {
        let found = [2, 3].map(|version| cosign(version).map(|program| Self { program, version }));
        found.into_iter().flatten().collect()
    }

    /// The forms that it knows, with the flag for each.
    pub(super) fn forms(&self) -> Vec<(&'static str, Vec<&'static str>)> {
        match self.version {
            2 => vec![("tag", vec![])],
            _ => vec![("tag", vec!["--new-bundle-format=false"]), ("bundle", vec!["--new-bundle-format=true"])],
        }
    }

    /// What keeps it from asking the world when it verifies: version 2 wants roots where it finds a bundle, also for a key.
    fn rooted(&self, world: &World, flags: &[&'static str]) -> Vec<&'static str> {
        if self.version != 2 {
            return flags.to_vec();
        }
        world.write("root.json", r#"{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}"#);
        [flags, &["--trusted-root", "root.json"]].concat()
    }

    /// What keeps it from asking the world when it signs.
    pub(super) fn alone(&self) -> Vec<&'static str> {
        match self.version {
            2 => vec!["--tlog-upload=false", "--yes"],
            _ => vec!["--tlog-upload=false", "--use-signing-config=false", "--yes"],
        }
    }
}

fn predicates(world: &World) -> Vec<(&'static str, &'static str)> {
    world.write("bom.json", r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "components": []}"#);
    world.write("spdx.json", r#"{"spdxVersion": "SPDX-2.3", "SPDXID": "SPDXRef-DOCUMENT", "name": "app"}"#);
    world.write("custom.txt", "anything at all");
    let provenance = prograde_sign::predicate::provenance(&prograde_sign::predicate::Provenance {
        builder_id: "https://prograde.example.com/builder/v1".to_owned(),
        build_type: "https://prograde.example.com/workflow/v1".to_owned(),
        external_parameters: serde_json::from_str(r#"{"ref": "refs/heads/main"}"#).unwrap(),
        source: "git+https://git.example.com/team/app".to_owned(),
        commit: "a".repeat(40).parse().unwrap(),
        dependencies: Vec::new(),
        flight: "1".repeat(32).parse().unwrap(),
        started: "2026-02-01T12:00:00Z".parse().unwrap(),
        finished: "2026-02-01T12:05:00Z".parse().unwrap(),
    });
    world.write("provenance.json", &provenance.to_string());
    let scan = prograde_sign::predicate::scan(&prograde_sign::predicate::Scan {
        scanner: "https://prograde.example.com/scan".to_owned(),
        version: "1".to_owned(),
        database: ("https://osv.dev".to_owned(), "2026-02-01".to_owned()),
        result: serde_json::json!({"findings": []}),
        started: "2026-02-01T12:00:00Z".parse().unwrap(),
        finished: "2026-02-01T12:00:01Z".parse().unwrap(),
    });
    world.write("scan.json", &scan.to_string());
    vec![
        ("slsaprovenance1", "provenance.json"),
        ("cyclonedx", "bom.json"),
        ("spdxjson", "spdx.json"),
        ("vuln", "scan.json"),
        ("custom", "custom.txt"),
    ]
}

#[test]
fn cosign_takes_what_we_make() {
    let peers = Peer::all();
    if peers.is_empty() {
        return;
    }
    let Some(world) = World::start() else { return };
    world.key("ours");
    world.key("other");
    let image = world.image("team/app");
    world.done(&["sign", "--key", "ours.key", "-a", "commit=abc", &image]);
    let predicates = predicates(&world);
    for (kind, file) in &predicates {
        world.done(&["attest", "--key", "ours.key", "--type", kind, "--predicate", file, &image]);
    }
    for peer in &peers {
        for (form, flags) in peer.forms() {
            let verify = |command: &str, key: &str, more: &[&str]| {
                let fixed = [command, "--key", key, "--insecure-ignore-tlog=true", "--output", "json", image.as_str()];
                world.run(&peer.program, &[&fixed[..], &peer.rooted(&world, &flags), more].concat())
            };
            let told = format!("cosign {} {form}", peer.version);
            let ran = verify("verify", "ours.pub", &["-a", "commit=abc"]);
            assert!(ran.code == 0 && (form == "bundle" || ran.out.contains(world.digest.as_str())), "{told}: {ran:?}");
            assert_ne!(verify("verify", "other.pub", &[]).code, 0, "{told}");
            // Version 2 looks at bundles alone where there are any, and does not compare their annotations.
            if peer.version != 2 {
                assert_ne!(verify("verify", "ours.pub", &["-a", "commit=abd"]).code, 0, "{told}");
            }
            for (kind, _) in &predicates {
                let ran = verify("verify-attestation", "ours.pub", &["--type", kind]);
                assert_eq!(ran.code, 0, "{told} {kind}: {ran:?}");
                assert_ne!(verify("verify-attestation", "other.pub", &["--type", kind]).code, 0, "{told} {kind}");
            }
        }
    }
}

#[test]
fn we_take_what_cosign_makes() {
    for peer in Peer::all() {
        for (form, flags) in peer.forms() {
            let Some(world) = World::start() else { return };
            let told = format!("cosign {} {form}", peer.version);
            let run = |arguments: &[&str]| {
                let ran = world.run(&peer.program, arguments);
                assert_eq!(ran.code, 0, "{told} {arguments:?}: {ran:?}");
            };
            run(&["generate-key-pair", "--output-key-prefix", "theirs"]);
            world.key("other");
            let image = world.image("team/app");
            let alone = peer.alone();
            run(&[&["sign", "--key", "theirs.key", "-a", "commit=abc", &image][..], &alone, &flags].concat());
            for (kind, file) in predicates(&world) {
                let attest = ["attest", "--key", "theirs.key", "--type", kind, "--predicate", file, &image];
                run(&[&attest[..], &alone, &flags].concat());
                let asked = ["verify-attestation", "--json", "--type", kind, "--key", "theirs.pub", &image];
                let ran = world.done(&asked);
                assert_eq!(
                    (ran.reasons(), &ran.json()["found"][0]["names_repository"]),
                    (vec!["good".to_owned()], &true.into()),
                    "{told} {kind}"
                );
                let ran =
                    world.prograde(&["verify-attestation", "--json", "--type", kind, "--key", "other.pub", &image]);
                assert_eq!((ran.code, ran.reasons()), (1, vec!["no_trusted_key".to_owned()]), "{told} {kind}");
            }
            let ran = world.done(&["verify", "--json", "-a", "commit=abc", "--key", "theirs.pub", &image]);
            assert_eq!(ran.reasons(), ["good"], "{told}: {ran:?}");
            // cosign's bundles name no repository, and that is said.
            assert_eq!(ran.json()["found"][0]["names_repository"], form == "tag", "{told}");
            assert_eq!(world.prograde(&["verify", "--key", "other.pub", &image]).code, 1, "{told}");
            // Ours beside theirs: both are there afterwards.
            world.done(&["sign", "--key", "theirs.key", &image]);
            let ran = world.done(&["verify", "--json", "--key", "theirs.pub", &image]);
            assert!(ran.reasons().len() == 3 && ran.reasons().iter().all(|reason| reason == "good"), "{told}: {ran:?}");
            let fixed = ["verify", "--key", "theirs.pub", "--insecure-ignore-tlog=true", &image];
            run(&[&fixed[..], &peer.rooted(&world, &flags)].concat());
        }
    }
}

#[test]
fn each_uses_the_keys_of_the_other() {
    for peer in Peer::all() {
        let Some(world) = World::start() else { return };
        let run = |arguments: &[&str]| {
            let ran = world.run(&peer.program, arguments);
            assert_eq!(ran.code, 0, "cosign {} {arguments:?}: {ran:?}", peer.version);
            ran
        };
        world.key("ours");
        run(&["generate-key-pair", "--output-key-prefix", "theirs"]);
        assert_eq!(run(&["public-key", "--key", "ours.key"]).out, world.read("ours.pub"));
        assert_eq!(world.done(&["key", "public", "--key", "theirs.key"]).out, world.read("theirs.pub"));
        let image = world.image("team/app");
        run(&[&["sign", "--key", "ours.key", &image][..], &peer.alone()].concat());
        world.done(&["verify", "--key", "ours.pub", &image]);
        // An Ed25519 key that cosign has imported.
        world.run(Path::new("openssl"), &["genpkey", "-algorithm", "ed25519", "-out", "ed.pem"]);
        run(&["import-key-pair", "--key", "ed.pem", "--output-key-prefix", "ed"]);
        world.done(&["sign", "--key", "ed.key", &image]);
        assert_eq!(
            world
                .done(&["verify", "--json", "--key", "ed.pub", &image])
                .reasons()
                .iter()
                .filter(|reason| *reason == "good")
                .count(),
            2
        );
        for (form, flags) in peer.forms() {
            let ran = world.run(
                &peer.program,
                &[
                    &["verify", "--key", "ed.pub", "--insecure-ignore-tlog=true", &image][..],
                    &peer.rooted(&world, &flags),
                ]
                .concat(),
            );
            assert_eq!(ran.code, 0, "cosign {} {form}: {ran:?}", peer.version);
        }
        world.done(&["key", "import", "ed.pem", "--output-key-prefix", "ed2"]);
        assert_eq!(run(&["public-key", "--key", "ed2.key"]).out, world.read("ed.pub"));
    }
}

/// Why ours compares: cosign does not.
#[test]
fn what_cosign_takes_elsewhere_we_refuse() {
    for peer in Peer::all().into_iter().filter(|peer| peer.version == 2) {
        let Some(world) = World::start() else { return };
        world.key("ours");
        world.done(&["sign", "--key", "ours.key", "--form", "tag", &world.image("team/app")]);
        world.replay("team/app", "prod/app");
        let image = world.image("prod/app");
        let ran = world.run(&peer.program, &["verify", "--key", "ours.pub", "--insecure-ignore-tlog=true", &image]);
        assert_eq!(ran.code, 0, "cosign compares the repository now, and docs/decisions/0031 can be shorter: {ran:?}");
        let ran = world.prograde(&["verify", "--json", "--key", "ours.pub", &image]);
        assert_eq!((ran.code, ran.reasons()), (1, vec!["other_repository".to_owned()]), "{ran:?}");
    }
}
