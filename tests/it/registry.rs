//! What policies refuse is neither taken by the registry nor given out.

use serde_json::json;

use crate::world::processes::signal;
use crate::world::wait::until;
use crate::world::{Said, World};
use rustix::process::Signal;

/// Images have to say who runs them, and nobody gets one that nobody vouches for.
const POLICIES: &str = r#"apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata:
  name: named-user
  annotations:
    prograde.dev/comply: build it with --user 65532
spec:
  validationFailureAction: Enforce
  rules:
    - name: user
      match: { any: [{ resources: { kinds: [ImagePush] } }] }
      validate: { message: It runs as root., pattern: { spec: { =(config): { User: "!root & !0 & ?*" } } } }
---
apiVersion: policies.kyverno.io/v1
kind: ValidatingPolicy
metadata: { name: signed-pulls }
spec:
  matchConstraints:
    resourceRules:
      - { apiGroups: [registry.prograde.dev], apiVersions: [v1], operations: [CREATE], resources: [imagepulls] }
  validations:
    - expression: object.spec.form == 'artifact' || 'system:authenticated' in request.userInfo.groups || 'this server' in object.spec.signedBy
      message: Nobody vouches for it.
---
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: { name: labels-on-all }
spec:
  validationFailureAction: Enforce
  rules:
    - name: labels
      match: { any: [{ resources: { kinds: ["*"] } }] }
      validate: { message: No owner., pattern: { metadata: { labels: { owner: "?*" } } } }
"#;

/// The world's command line, known to its registry.
fn known(world: &World, arguments: &[&str]) -> Said {
    let mut command = world.command();
    crate::world::said(command.args(arguments).env("DOCKER_CONFIG", world.dir()).env("COSIGN_PASSWORD", "a password"))
}

fn build(world: &World, tag: &str, more: &[&str]) -> Said {
    let (file, layout) = (world.dir().join("motd"), world.dir().join("layout"));
    std::fs::write(&file, tag).unwrap();
    let (file, layout) = (format!("{}:/etc/motd", file.display()), layout.display().to_string());
    let mut all = vec!["image", "build", "--file", &file, "--tag", tag, "--push", "--layout", &layout, "--json"];
    all.extend(more);
    known(world, &all)
}

fn digest(built: &Said) -> String {
    assert_eq!(built.code, 0, "{built:?}");
    let built: serde_json::Value = serde_json::from_str(&built.stdout).unwrap();
    built["digest"].as_str().unwrap().to_owned()
}

fn refused(said: &Said, words: &[&str]) {
    assert_ne!(said.code, 0, "{said:?}");
    for word in words {
        assert!(said.stderr.contains(word), "no {word} in {said:?}");
    }
}

#[test]
fn what_policies_refuse_is_neither_taken_nor_given_out() {
    let world = World::with_files(&[("policies.yaml", "")], &["--policies", "policies.yaml", "--anonymous-pull"]);
    let auth = json!({"auths": {world.listen().to_string(): {"username": "any", "password": world.token()}}});
    std::fs::write(world.dir().join("config.json"), auth.to_string()).unwrap();
    let image = |tag: &str| format!("{}/team/app:{tag}", world.listen());
    let pulled = world.dir().join("pulled");
    let pull = |image: &str| world.cli(&["image", "pull", image, "--layout", pulled.to_str().unwrap()]);

    // As long as no policy is about images, everything goes.
    digest(&build(&world, &image("v1"), &["--user", "root"]));
    let said = pull(&image("v1"));
    assert_eq!(said.code, 0, "{said:?}");
    std::fs::write(world.dir().join("policies.yaml"), POLICIES).unwrap();
    signal(world.pid(), Signal::HUP);
    until("the policies to be read again", || world.log().contains("Reloaded").then_some(()));

    let as_root = build(&world, &image("v2"), &["--user", "root"]);
    refused(&as_root, &["named-user", "It runs as root", "--user 65532"]);
    let tags = world.cli(&["registry", "tags", "team/app"]);
    assert_eq!(tags.stdout, "v1\n", "what is refused is not there");

    let platforms = ["--user", "65532:65532", "--platform", "linux/amd64,linux/arm64"];
    let index = digest(&build(&world, &image("v3"), &platforms));
    for image in [image("v1"), image("v3"), image(&format!("v3@{index}"))] {
        refused(&pull(&image), &["signed-pulls", "Nobody vouches for it"]);
    }
    let key = world.data().join("signing");
    let (key, password) = (key.join("cosign.key"), key.join("password"));
    let files = [key.to_str().unwrap(), password.to_str().unwrap()];
    let signed = known(&world, &["sign", "--key", files[0], "--password-file", files[1], &image("v3")]);
    assert_eq!(signed.code, 0, "{signed:?}");
    // The signature covers what the index lists: a client asks for its own platform's image by the digest.
    let said = pull(&image("v3"));
    assert_eq!(said.code, 0, "{said:?}");
    refused(&pull(&image("v1")), &["signed-pulls"]);
    world.end();
}
