//! skopeo copies images here and away again.

use std::process::Command;

use super::{Served, TOKEN};

fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("skopeo").args(arguments).output().unwrap();
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn skopeo_copies_to_and_from() {
    if Command::new("skopeo").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "needs skopeo: apt-get install skopeo");
        eprintln!("left out: skopeo_copies_to_and_from, as skopeo is not installed (apt-get install skopeo)");
        return;
    }
    let (artifact, place, served) = (crate::Artifact::new("#!/bin/sh\n"), crate::Place::new(), Served::new());
    let built = served.runtime.block_on(place.layout.build(artifact.spec(), "main")).unwrap();
    let (from, remote) =
        (format!("oci:{}:main", place.path().display()), format!("docker://{}/team/pad", served.address));
    let credentials = format!("any:{TOKEN}");
    let (dest, src) = (
        ["--dest-tls-verify=false", "--dest-creds", &credentials],
        ["--src-tls-verify=false", "--src-creds", &credentials],
    );
    let copy = ["--insecure-policy", "copy", "--preserve-digests"];
    skopeo(&[&copy[..], &dest, &[&from, &format!("{remote}:v1")]].concat());
    let there = place.dir.path().join("there");
    let by_digest = format!("{remote}@{}", built.digest);
    skopeo(&[&copy[..], &src, &[&by_digest, &format!("oci:{}:x", there.display())]].concat());
    let copied = prograde_supply::Layout::open(&there).unwrap();
    served.runtime.block_on(copied.verify(&built.digest)).unwrap();
    let tags = skopeo(&["list-tags", "--tls-verify=false", "--creds", &credentials, &remote]);
    assert!(tags.contains("\"v1\""), "{tags}");
    // As Docker's own schema.
    skopeo(
        &[&["--insecure-policy", "copy", "--format=v2s2"], &dest[..], &[&from, &format!("{remote}:docker")]].concat(),
    );
    let seen =
        skopeo(&["inspect", "--raw", "--tls-verify=false", "--creds", &credentials, &format!("{remote}:docker")]);
    assert!(seen.contains("vnd.docker.distribution.manifest.v2+json"), "{seen}");
    skopeo(&["delete", "--tls-verify=false", "--creds", &credentials, &format!("{remote}:docker")]);
}
