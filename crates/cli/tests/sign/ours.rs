//! The commands themselves.

use std::path::Path;

use serde_json::json;

use super::world::{Ran, World, peer};

#[test]
fn an_image_is_signed_by_digest_and_verified_by_tag() {
    let Some(world) = World::start() else { return };
    world.key("release");
    world.key("other");
    let tagged = format!("{}/team/app:v1", world.host);
    let ran = world.prograde(&["verify", "--key", "release.pub", &tagged]);
    assert!(ran.code == 1 && ran.err.contains("PG0785") && ran.err.contains("there is no signature"), "{ran:?}");
    let ran = world.done(&["sign", "--key", "release.key", "-a", "commit=abc", &tagged]);
    assert_eq!(ran.out.trim(), world.image("team/app"));
    let verify = |key: &str, more: &[&str]| {
        world.prograde(&[&["verify", "--json", "--key", key, tagged.as_str()], more].concat())
    };
    let ran = verify("release.pub", &["-a", "commit=abc"]);
    assert_eq!((ran.code, ran.reasons()), (0, vec!["good".to_owned(); 2]), "{ran:?}");
    assert_eq!(ran.json()["digest"], world.digest.as_str());
    assert!(
        ran.json()["found"][0]["annotations"]["commit"] == "abc" && ran.json()["found"][1]["names_repository"] == true
    );
    assert_eq!(verify("release.pub", &["-a", "commit=abd"]).reasons(), ["annotation"; 2]);
    let ran = verify("other.pub", &[]);
    assert_eq!((ran.code, ran.reasons()), (1, vec!["no_trusted_key".to_owned(); 2]), "{ran:?}");
    // Under another name of the registry it is another repository, unless the name that was signed is said.
    let named = tagged.replace("127.0.0.1", "localhost");
    let ran = world.prograde(&["verify", "--json", "--key", "release.pub", &named]);
    assert_eq!((ran.code, ran.reasons()), (1, vec!["other_repository".to_owned(); 2]), "{ran:?}");
    let repository = format!("{}/team/app", world.host);
    assert_eq!(world.prograde(&["verify", "--key", "release.pub", "--repository", &repository, &named]).code, 0);
    let ran = world.prograde(&["verify", "--key", "release.pub", &tagged]);
    assert!(ran.out.contains("good") && ran.out.contains(world.digest.as_str()), "{ran:?}");
}

#[test]
fn a_trust_file_says_who_counts_and_when() {
    let Some(world) = World::start() else { return };
    world.key("release");
    let image = world.image("team/app");
    world.done(&["sign", "--key", "release.key", &image]);
    let check = |more: &str, arguments: &[&str], code: i32, want: &str| {
        world.write("trust.yaml", &format!("keys:\n- name: release\n  public_key: release.pub\n{more}"));
        let ran = world.prograde(&[&["verify", "--json", "--trust", "trust.yaml", image.as_str()], arguments].concat());
        assert_eq!((ran.code, ran.reasons()), (code, vec![want.to_owned(); 2]), "{more}: {ran:?}");
    };
    check("", &[], 0, "good");
    check("  not_after: 2026-01-01T00:00:00Z\n", &[], 1, "expired");
    check("  not_after: 2026-01-01T00:00:00Z\n", &["--recorded-at", "2025-06-01T00:00:00Z"], 0, "good");
    check("  revoked: stolen\n", &["--recorded-at", "2025-06-01T00:00:00Z"], 1, "revoked");
    check("  repositories: [registry.example.com/*]\n", &[], 1, "not_for_repository");
    check(&format!("  repositories: ['{}/team/*']\n", world.host), &[], 0, "good");
    world.write("trust.yaml", "keys:\n- name: release\n  public_kye: release.pub\n");
    let ran = world.prograde(&["verify", "--trust", "trust.yaml", &image]);
    assert!(ran.code == 2 && ran.err.contains("trust.yaml:3") && ran.err.contains("public_kye"), "{ran:?}");
}

#[test]
fn a_signature_does_not_count_elsewhere() {
    let Some(world) = World::start() else { return };
    world.key("release");
    world.done(&["sign", "--key", "release.key", &world.image("team/app")]);
    world.write("tests.json", r#"{"result": "PASSED", "configuration": []}"#);
    let attest = ["attest", "--key", "release.key", "--type", "test-result", "--predicate", "tests.json"];
    world.done(&[&attest[..], &[&world.image("team/app")]].concat());
    world.replay("team/app", "prod/app");
    let ran = world.prograde(&["verify", "--json", "--key", "release.pub", &world.image("prod/app")]);
    assert_eq!((ran.code, ran.reasons()), (1, vec!["other_repository".to_owned(); 2]), "{ran:?}");
    let ran = world.prograde(&["verify-attestation", "--json", "--key", "release.pub", &world.image("prod/app")]);
    assert_eq!((ran.code, ran.reasons()), (1, vec!["other_repository".to_owned(); 2]), "{ran:?}");
}

#[test]
fn attestations_made_at_the_same_time_are_all_there() {
    let Some(world) = World::start() else { return };
    world.key("release");
    let image = world.image("team/app");
    let writers: Vec<_> = (0..6)
        .map(|number| {
            let name = format!("tests{number}.json");
            let value =
                json!({"result": "PASSED", "configuration": [], "url": format!("https://ci.example.com/{number}")});
            world.write(&name, &value.to_string());
            world.start_prograde(&[
                "attest",
                "--key",
                "release.key",
                "--type",
                "test-result",
                "--predicate",
                &name,
                &image,
            ])
        })
        .collect();
    for writer in writers {
        let ran = Ran::from(writer.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let ran = world.done(&["verify-attestation", "--json", "--type", "test-result", "--key", "release.pub", &image]);
    let mut urls: Vec<String> =
        ran.json()["found"].as_array().unwrap().iter().map(|found| found["predicate"]["url"].to_string()).collect();
    urls.sort();
    let want: Vec<String> = (0..6).flat_map(|number| vec![format!("\"https://ci.example.com/{number}\""); 2]).collect();
    assert_eq!(urls, want);
}

#[test]
fn a_program_signs_in_a_keys_place() {
    let Some(world) = World::start() else { return };
    let Some(openssl) = peer("openssl", "openssl".into()) else { return };
    let run = |line: &str| assert_eq!(world.run(&openssl, &line.split(' ').collect::<Vec<_>>()).code, 0, "{line}");
    run("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out token.pem");
    run("pkey -in token.pem -pubout -out token.pub");
    world.write(
        "signer.yaml",
        "program: openssl\narguments: [pkeyutl, -sign, -inkey, token.pem]\npublic_key: token.pub\n",
    );
    let image = world.image("team/app");
    world.done(&["sign", "--key", "signer.yaml", &image]);
    assert_eq!(world.done(&["verify", "--json", "--key", "token.pub", &image]).reasons(), ["good"; 2]);
    assert_eq!(world.done(&["key", "public", "--key", "signer.yaml"]).out, world.read("token.pub"));
}

#[test]
fn mistakes_are_told_with_a_way_out() {
    let Some(world) = World::start() else { return };
    world.key("release");
    let image = world.image("team/app");
    let check = |arguments: &[&str], code: i32, want: &[&str]| {
        let ran = world.prograde(arguments);
        assert!(ran.code == code && want.iter().all(|want| ran.err.contains(want)), "{arguments:?}: {ran:?}");
    };
    check(&["key", "generate", "--output-key-prefix", "release"], 2, &["PG0906", "release.key"]);
    check(&["sign", "--key", "gone.key", &image], 2, &["PG0780", "gone.key"]);
    check(&["sign", "--key", "release.pub", &image], 2, &["PG0780", "public key"]);
    check(&["verify", "--key", "release.key", &image], 2, &["PG0780", "private key"]);
    world.write("password", "wrong\n");
    check(&["sign", "--key", "release.key", "--password-file", "password", &image], 2, &["PG0781"]);
    check(&["sign", "--key", "release.key", "https://x/y"], 2, &["PG0784"]);
    let gone = image.replace("team/app", "team/gone");
    check(&["sign", "--key", "release.key", &gone], 2, &["PG0787", "no image"]);
    check(&["verify", "--key", "release.pub", &format!("{}/team/app:gone", world.host)], 2, &["PG0763"]);
    check(&["verify", &image], 2, &["--key"]);
    check(&["verify", "--key", "release.pub", "--trust", "trust.yaml", &image], 2, &["--trust"]);
    world.write("bom.json", "{}");
    let attest = ["attest", "--key", "release.key", "--predicate", "bom.json", "--type"];
    check(&[&attest[..], &["cyclonedx", &image]].concat(), 2, &["PG0786", "bomFormat"]);
    check(&[&attest[..], &["nonsense", &image]].concat(), 2, &["PG0786", "slsaprovenance1"]);
    check(&["sign", "--key", "release.key", "-a", "x", &image], 2, &["KEY=VALUE"]);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(world.path("release.key")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    world.run(Path::new("chmod"), &["644", "release.key"]);
    let ran = world.done(&["key", "public", "--key", "release.key"]);
    assert!(ran.err.contains("chmod 600 release.key") && ran.out == world.read("release.pub"), "{ran:?}");
}
