//! Images of flights: on a base by its digest, built by the pipeline itself, and pushed to a registry of others with all that
//! vouches for them.

use std::process::Command;

use serde_json::Value;

use crate::world::peer::Peer;
use crate::world::repository::Repository;
use crate::world::wait::until;
use crate::world::{World, said_by_peer, text};

/// An image to lay others on, in a registry: its name with the digest.
fn base(world: &World, registry: &Peer) -> String {
    std::fs::write(world.dir().join("motd"), "of the base").unwrap();
    let (file, name) =
        (format!("{}:/etc/motd", world.dir().join("motd").display()), format!("{}/base", registry.host()));
    let layout = world.dir().join("layout");
    let built = world.cli(&[
        "image",
        "build",
        "--file",
        &file,
        "--user",
        "65532:65532",
        "--tag",
        &format!("{name}:1"),
        "--push",
        "--layout",
        layout.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(built.code, 0, "{built:?}");
    let built: Value = serde_json::from_str(&built.stdout).unwrap();
    format!("{name}:1@{}", text(&built, "digest"))
}

fn shown(world: &World, flight: &str) -> Value {
    let shown = world.cli(&["release", "show", flight, "--json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    serde_json::from_str::<Value>(&shown.stdout).unwrap()[0].clone()
}

#[test]
fn a_program_is_laid_on_a_base_and_pushed_where_others_can_verify_it() {
    let Some(registry) = Peer::registry(0) else { return };
    let below = format!("{}/team", registry.host());
    let world = World::with_files(&[], &["--push-to", &below]);
    let (repository, base) = (Repository::create(&world, "echo"), base(&world, &registry));
    repository.edit("prograde.yaml", "  binary: app\n", &format!("  binary: app\n  base: {base}\n"));
    let flight = world.ended(&repository.push("greeting=hello", "Greet"), "landed");
    assert_eq!(world.serves_alone("echo", "production")["flight"], flight["id"]);

    let release = shown(&world, text(&flight, "id"));
    assert_eq!(release["recorded"]["also"], format!("{below}/echo"), "{release}");
    let found = release["found"].as_array().unwrap();
    let provenance = found.iter().find(|one| one["predicate_type"] == "https://slsa.dev/provenance/v1").unwrap();
    let dependencies = &provenance["predicate"]["buildDefinition"]["resolvedDependencies"];
    assert_eq!(dependencies[1]["uri"], format!("oci://{base}"), "{dependencies}");

    // The image is in the other registry under the commit, with the base below the program.
    let name = format!("{below}/echo:{}", &text(&flight, "commit")[..8]);
    let seen = world.cli(&["image", "inspect", &name, "--json"]);
    assert_eq!(seen.code, 0, "{seen:?}");
    assert!(seen.stdout.contains(text(&flight, "digest")) && seen.stdout.contains("image.base.digest"), "{seen:?}");
    let key = world.data().join("signing/cosign.pub");
    let ours = world.cli(&["verify", "--key", key.to_str().unwrap(), &name]);
    assert_eq!(ours.code, 0, "{ours:?}");
    let cosign = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/peers/cosign3/cosign");
    let image = format!("{below}/echo@{}", text(&flight, "digest"));
    for more in [&["verify"][..], &["verify-attestation", "--type", "slsaprovenance1"]] {
        let mut command = Command::new(cosign);
        command
            .args(more)
            .args(["--insecure-ignore-tlog=true", "--allow-http-registry", "--key"])
            .arg(&key)
            .arg(&image);
        let Some(said) = said_by_peer("cosign", &mut command) else { break };
        assert_eq!(said.code, 0, "{said:?}");
    }

    // A base that is not there ends the flight, and says which.
    let (start, digest) = base.split_once("@sha256:").unwrap();
    let missing = format!("{start}@sha256:{}", digest.chars().rev().collect::<String>());
    repository.edit("prograde.yaml", &base, &missing);
    let flight = world.ended(&repository.push("greeting=again", "Greet again"), "rejected");
    assert!(text(&flight, "detail").contains(&missing), "{flight}");
    world.end();
}

#[test]
fn where_images_are_pushed_to_may_be_away_for_a_while() {
    let port = prograde_ports::free();
    let below = format!("127.0.0.1:{port}/team");
    let world = World::with_files(&[], &["--push-to", &below]);
    let commit = Repository::create(&world, "echo").push("greeting=hello", "Greet");
    until("it is told that the registry is away", || world.log().contains("the image can't be pushed").then_some(()));
    let Some(_registry) = Peer::registry(port) else { return };
    let flight = world.ended(&commit, "landed");
    assert_eq!(shown(&world, text(&flight, "id"))["recorded"]["also"], format!("{below}/echo"));
    world.end();
}

/// What a pipeline of its own does: Buildah makes the image.
const BUILDAH: &str = r#"          buildah="buildah --root $PWD/store --runroot $PWD/run --storage-driver vfs"
          container=$($buildah from scratch)
          $buildah copy --chmod 0755 "$container" out/app /bin/app
          $buildah config --entrypoint '["/bin/app"]' --user 65532:65532 "$container"
          $buildah commit --format oci "$container" oci-archive:out/image.tar:latest
      - uses: actions/upload-artifact@v4
        with:
          name: app
          path: out/image.tar
"#;

#[test]
fn an_image_that_the_pipeline_built_flies_as_it_is() {
    let mut asked = Command::new("buildah");
    if said_by_peer("buildah", asked.arg("--version")).is_none() {
        return;
    }
    let world = World::new();
    let repository = Repository::create(&world, "echo");
    repository.edit("prograde.yaml", "  binary: app\n", "  archive: image.tar\n");
    repository.edit(
        ".github/workflows/ci.yml",
        "      - uses: actions/upload-artifact@v4\n        with:\n          name: app\n          path: out/app\n",
        BUILDAH,
    );
    let flight = world.ended(&repository.push("greeting=hello", "Greet"), "landed");
    assert_eq!(world.serves_alone("echo", "production")["flight"], flight["id"]);
    let release = shown(&world, text(&flight, "id"));
    assert!(release["found"].as_array().unwrap().len() >= 10, "{release}");

    // An archive that is none is the author's to put right.
    repository.edit(".github/workflows/ci.yml", "          path: out/image.tar\n", "          path: behaviour\n");
    repository.edit("prograde.yaml", "  archive: image.tar\n", "  archive: behaviour\n");
    let flight = world.ended(&repository.push("greeting=again", "Greet again"), "rejected");
    assert!(text(&flight, "detail").contains("`behaviour`"), "{flight}");
    world.end();
}
