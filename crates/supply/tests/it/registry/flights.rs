//! Flights' images in the registry, also those from before there was one.

use std::sync::Arc;
use std::time::Duration;

use prograde_supply::Layout;
use prograde_supply::registry::{Adopted, Collect, RepositoryName, Tag};
use serde_json::json;

use super::{MANIFEST, Served, document, header, refuses};
use crate::Artifact;

#[test]
fn a_data_directory_without_a_registry_gets_one() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let layout = Layout::open(dir.path()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let build = |content: &str, tag: &str| {
        let artifact = Artifact::new(content);
        runtime.block_on(layout.build(artifact.spec(), tag)).unwrap()
    };
    let (first, second) = (build("#!/bin/sh\n", "pad-1a2b3c4d"), build("#!/bin/sh\ntrue\n", "two-words-00000000"));
    build("#!/bin/sh\nfalse\n", "main");
    let broken = build("#!/bin/sh\nbroken\n", "broken-99999999");
    let layer = dir.path().join("blobs/sha256").join(broken.layers[0].digest.hex());
    std::fs::remove_file(layer).unwrap();
    drop(layout);

    let served = Served::on(dir, |_| {}, |hooks| hooks);
    assert_eq!(document(served.get("/v2/_catalog"))["repositories"], json!(["pad", "two-words"]));
    for (repository, reference, built) in [
        ("pad", "1a2b3c4d".to_owned(), &first),
        ("pad", first.digest.to_string(), &first),
        ("two-words", "00000000".to_owned(), &second),
    ] {
        let got = served.get(&format!("/v2/{repository}/manifests/{reference}"));
        assert_eq!(header(&got, "docker-content-digest"), built.digest.as_str());
        for layer in &built.layers {
            let blob = served.call("HEAD", &format!("/v2/{repository}/blobs/{}", layer.digest), &[], b"");
            assert_eq!(header(&blob, "content-length"), layer.size.to_string());
        }
    }
    // The layout is as it was, and what only it names is no garbage.
    served.later(Duration::from_hours(48));
    let collect = Collect { grace: Duration::ZERO, untagged: true, dry_run: false };
    assert_eq!(served.runtime.block_on(served.registry.collect(collect)).unwrap().files, 0);
    let layout = served.registry.layout();
    let main = served.runtime.block_on(layout.resolve("main")).unwrap().unwrap();
    served.runtime.block_on(layout.verify(&main)).unwrap();
    let served = served.restart();
    assert_eq!(served.get("/v2/pad/manifests/1a2b3c4d").status(), 200);
}

#[test]
fn a_flights_tag_is_its_own_for_ever() {
    let served = Served::new();
    let layout = served.registry.layout().clone();
    let artifact = Artifact::new("#!/bin/sh\n");
    let built = served.runtime.block_on(layout.build(artifact.spec(), "pad-1a2b3c4d")).unwrap();
    let (name, tag) = (RepositoryName::new("pad").unwrap(), Tag::new("1a2b3c4d").unwrap());
    // Somebody was there first with something else: the flight takes its place.
    served.push_image("pad", "1a2b3c4d", "squatter");
    let adopt = |digest| served.runtime.block_on(served.registry.adopt(&name, &tag, digest)).unwrap();
    assert_eq!(adopt(&built.digest), Adopted::Tagged);
    assert_eq!(adopt(&built.digest), Adopted::Tagged);
    let path = "/v2/pad/manifests/1a2b3c4d";
    assert_eq!(header(&served.get(path), "docker-content-digest"), built.digest.as_str());

    let other = served.image("pad", "other").to_string();
    let message = refuses(served.call("PUT", path, &[("content-type", MANIFEST)], other.as_bytes()), 403, "DENIED");
    assert!(message.contains("flight") && message.contains("push under another tag"), "{message}");
    refuses(served.call("DELETE", path, &[], b""), 403, "DENIED");
    refuses(served.call("DELETE", &format!("/v2/pad/manifests/{}", built.digest), &[], b""), 403, "DENIED");
    // Another flight of the same commit keeps its image, by its digest.
    let again = Artifact::new("#!/bin/sh\ntrue\n");
    let again = served.runtime.block_on(layout.build(again.spec(), "pad-1a2b3c4d")).unwrap();
    assert_eq!(adopt(&again.digest), Adopted::Untagged);
    assert_eq!(header(&served.get(path), "docker-content-digest"), built.digest.as_str());
    served.later(Duration::from_hours(48));
    let collect = Collect { grace: Duration::ZERO, untagged: true, dry_run: false };
    served.runtime.block_on(served.registry.collect(collect)).unwrap();
    for digest in [&built.digest, &again.digest] {
        assert_eq!(served.get(&format!("/v2/pad/manifests/{digest}")).status(), 200);
        served.runtime.block_on(layout.verify(digest)).unwrap();
    }
}
