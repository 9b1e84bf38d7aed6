//! The same images seen by other people's tools, and theirs by us.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use prograde_model::Digest;
use prograde_supply::Layout;
use serde_json::Value;

use crate::{Artifact, Place, architecture};

/// Whether a tool is there. Where it is not, the test says that it was left out; in CI that is a failure.
pub(crate) fn has(tool: &str, test: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{test} needs {tool}: apt-get install {tool}");
        eprintln!("left out: {test}, as {tool} is not installed (apt-get install {tool})");
    }
    found
}

pub(crate) fn run(program: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn reference(layout: &Path, tag: &str) -> String {
    format!("oci:{}:{tag}", layout.display())
}

#[tokio::test]
async fn skopeo_reads_and_copies_what_was_built() {
    if !has("skopeo", "skopeo_reads_and_copies_what_was_built") {
        return;
    }
    let (artifact, place) = (Artifact::new("#!/bin/sh\n"), Place::new());
    let mut spec = artifact.spec();
    spec.env.insert("A".into(), "b".into());
    spec.labels.insert("team".into(), "sky".into());
    let built = place.layout.build(spec, "main").await.unwrap();

    let source = reference(&place.path(), "main");
    let seen: Value = serde_json::from_str(&run("skopeo", &["inspect".as_ref(), source.as_ref()])).unwrap();
    assert_eq!(seen["Digest"], built.digest.as_str());
    assert_eq!(seen["Layers"][0], built.layers[0].digest.as_str());
    assert_eq!((&seen["Created"], &seen["Os"]), (&"2026-03-01T12:00:00Z".into(), &"linux".into()));
    assert_eq!((&seen["Architecture"], &seen["Labels"]["team"]), (&architecture().into(), &"sky".into()));
    assert_eq!(seen["Env"][0], "A=b");

    // A copy goes through skopeo's own checks of every blob and of the uncompressed layer.
    let there = place.dir.path().join("copy");
    let target = reference(&there, "main");
    run("skopeo", &["--insecure-policy", "copy", "--preserve-digests", &source, &target].map(OsStr::new));
    let copy = Layout::open(&there).unwrap();
    assert_eq!(copy.resolve("main").await.unwrap(), Some(built.digest.clone()));
    copy.verify(&built.digest).await.unwrap();
}

#[tokio::test]
async fn umoci_unpacks_what_was_built() {
    if !has("umoci", "umoci_unpacks_what_was_built") {
        return;
    }
    let (artifact, place) = (Artifact::new("#!/bin/sh\necho hello\n"), Place::new());
    place.layout.build(artifact.spec(), "main").await.unwrap();
    let (image, bundle) = (format!("{}:main", place.path().display()), place.dir.path().join("bundle"));
    run("umoci", &["unpack".as_ref(), "--rootless".as_ref(), "--image".as_ref(), image.as_ref(), bundle.as_ref()]);
    assert_eq!(fs::read(bundle.join("rootfs/app/pad")).unwrap(), b"#!/bin/sh\necho hello\n");
    let config: Value = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["process"]["args"][0], "/app/pad");
}

#[tokio::test]
async fn what_umoci_built_is_unpacked() {
    if !has("umoci", "what_umoci_built_is_unpacked") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (layout, roots, tree) = (dir.path().join("layout"), dir.path().join("roots"), dir.path().join("tree"));
    fs::create_dir_all(tree.join("share")).unwrap();
    fs::write(tree.join("share/kept"), "kept").unwrap();
    fs::write(tree.join("share/gone"), "gone").unwrap();
    std::os::unix::fs::symlink("/share/kept", tree.join("link")).unwrap();
    let image = format!("{}:main", layout.display());
    let (image, rootless) = (image.as_str(), "--rootless");
    run("umoci", &["init".as_ref(), "--layout".as_ref(), layout.as_ref()]);
    run("umoci", &["new", "--image", image].map(OsStr::new));
    run("umoci", &["config", "--image", image, "--config.entrypoint", "/share/kept"].map(OsStr::new));
    run(
        "umoci",
        &["insert".as_ref(), rootless.as_ref(), "--image".as_ref(), image.as_ref(), tree.as_ref(), "/".as_ref()],
    );
    run("umoci", &["insert", rootless, "--image", image, "--whiteout", "/share/gone"].map(OsStr::new));

    let layout = Layout::open(&layout).unwrap();
    let digest: Digest = layout.resolve("main").await.unwrap().unwrap();
    assert_eq!(layout.inspect(&digest).await.unwrap().layers.len(), 2);
    let unpacked = layout.unpack(&digest, &roots).await.unwrap();
    assert_eq!(unpacked.entrypoint, ["/share/kept"]);
    assert_eq!(crate::tree(&unpacked.root), ["link", "share", "share/kept"]);
    assert_eq!(fs::read(unpacked.root.join("link")).unwrap(), b"kept");
}
