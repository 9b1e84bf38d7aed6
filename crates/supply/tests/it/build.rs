//! Building, storing and reading again.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::time::{Duration, SystemTime};

use prograde_supply::{ImageFile, ImageSpec, Layout, Limits, SupplyError, annotation};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Artifact, Place, architecture, descriptor, digest_of, some_time, tree};

#[tokio::test]
async fn the_same_files_give_the_same_image_whatever_their_times_and_modes() {
    let (one, other) = (Artifact::new("#!/bin/sh\necho hello\n"), Artifact::new("#!/bin/sh\necho hello\n"));
    File::open(other.path()).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).unwrap();
    fs::set_permissions(other.path(), Permissions::from_mode(0o600)).unwrap();
    let (here, there) = (Place::new(), Place::new());
    let here_built = here.layout.build(one.spec(), "main").await.unwrap();
    let there_built = there.layout.build(other.spec(), "release").await.unwrap();
    assert_eq!(here_built, there_built);
    assert_eq!(here_built, here.layout.build(one.spec(), "again").await.unwrap());

    // The layer as such must not change from one version of the product to the next.
    let config: Value = serde_json::from_slice(&fs::read(here.blob(&here_built.config_digest)).unwrap()).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"], json!([GOLDEN_DIFF_ID]));
}

const GOLDEN_DIFF_ID: &str = "sha256:17462f0e7cba44ed83728c1ce9744791fe01623dd3c4b90348854b8f5f7df6f2";

#[tokio::test]
async fn another_commit_of_the_same_files_shares_the_layer() {
    let (artifact, place) = (Artifact::new("#!/bin/sh\n"), Place::new());
    let one = place.layout.build(artifact.spec(), "one").await.unwrap();
    let mut spec = artifact.spec();
    spec.created = "2026-03-02T12:00:00Z".parse().unwrap();
    let other = place.layout.build(spec, "other").await.unwrap();
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.layers, other.layers);
}

#[tokio::test]
async fn what_was_built_is_what_is_read_and_unpacked() {
    let (artifact, place) = (Artifact::new("#!/bin/sh\necho $GREETING\n"), Place::new());
    let mut spec = artifact.spec();
    let settings = artifact.dir.path().join("settings");
    fs::write(&settings, vec![7; 200_000]).unwrap();
    spec.files.push(ImageFile { source: settings, path: "/etc/pad/settings".into(), mode: 0o640 });
    spec.cmd = vec!["--fast".into()];
    spec.env = [("GREETING".to_owned(), "hello".to_owned()), ("A".to_owned(), "b=c".to_owned())].into();
    spec.working_dir = "/work".into();
    spec.labels =
        [(annotation::REVISION.to_owned(), "c0ffee".to_owned()), ("team".to_owned(), "sky".to_owned())].into();
    let built = place.layout.build(spec, "main").await.unwrap();

    let info = place.layout.inspect(&built.digest).await.unwrap();
    assert_eq!((info.size, &info.layers, &info.config_digest), (built.size, &built.layers, &built.config_digest));
    assert_eq!((info.architecture.as_str(), info.os.as_str()), (architecture(), "linux"));
    assert_eq!((info.entrypoint, info.cmd), (vec!["/app/pad".to_owned()], vec!["--fast".to_owned()]));
    assert_eq!(info.env, ["A=b=c", "GREETING=hello"]);
    assert_eq!(info.user.as_deref(), Some("65532:65532"));
    assert_eq!(info.created, Some(some_time()));
    assert_eq!(info.labels["team"], "sky");
    let expected = [(annotation::CREATED, "2026-03-01T12:00:00Z"), (annotation::REVISION, "c0ffee")];
    assert_eq!(info.annotations, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    place.layout.verify(&built.digest).await.unwrap();

    let unpacked = place.layout.unpack(&built.digest, &place.roots()).await.unwrap();
    assert_eq!(unpacked.root, place.roots().join(built.digest.hex()));
    assert_eq!(tree(&unpacked.root), ["app", "app/pad", "etc", "etc/pad", "etc/pad/settings", "work"]);
    assert_eq!(fs::read(unpacked.root.join("etc/pad/settings")).unwrap(), vec![7; 200_000]);
    let mode = |path: &str| fs::metadata(unpacked.root.join(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("app/pad"), mode("etc/pad/settings"), mode("work")), (0o755, 0o640, 0o755));
    assert_eq!(unpacked.working_dir.as_deref(), Some("/work"));
    let output = Command::new(unpacked.root.join("app/pad")).env("GREETING", "hello").output().unwrap();
    assert_eq!(output.stdout, b"hello\n");

    let inode = |path: &std::path::Path| fs::metadata(path).unwrap().ino();
    let before = inode(&unpacked.root.join("app/pad"));
    let again = place.layout.unpack(&built.digest, &place.roots()).await.unwrap();
    assert_eq!((inode(&again.root.join("app/pad")), again == unpacked), (before, true), "it is used again");
}

#[tokio::test]
async fn artifacts_that_can_not_run_are_refused() {
    let (artifact, place) = (Artifact::new("#!/bin/sh\n"), Place::new());
    let dir = artifact.dir.path();
    fs::write(dir.join("empty"), "").unwrap();
    fs::write(dir.join("archive"), "PK\x03\x04").unwrap();
    symlink("/etc/passwd", dir.join("link")).unwrap();
    assert!(Command::new("mkfifo").arg(dir.join("pipe")).status().unwrap().success());
    let build = async |name: &str| {
        let spec = ImageSpec::of_program(dir.join(name), "/app/pad", some_time());
        place.layout.build(spec, "main").await.unwrap_err()
    };
    assert!(matches!(build("missing").await, SupplyError::MissingFile { .. }));
    assert!(matches!(build("empty").await, SupplyError::EmptyFile { .. }));
    assert!(matches!(build("archive").await, SupplyError::NotExecutable { .. }));
    for name in ["link", "pipe", ""] {
        assert!(matches!(build(name).await, SupplyError::NotAFile { .. }), "{name}");
    }
    assert_eq!(build("missing").await.to_string(), format!("{} does not exist", dir.join("missing").display()));
    assert_eq!(place.layout.list().await.unwrap(), [], "nothing was named");
    assert_eq!(tree(&place.path().join("tmp")), ["lock"], "nothing was left behind");
}

#[tokio::test]
async fn artifacts_that_are_too_large_are_refused() {
    let (artifact, place) =
        (Artifact::new("#!/bin/sh\n"), Place::with_limits(Limits { bytes_max: 9, ..Limits::default() }));
    let error = place.layout.build(artifact.spec(), "main").await.unwrap_err();
    assert_eq!(error.to_string(), format!("{} is too large: the limit is 9 bytes", artifact.path().display()));
}

#[tokio::test]
async fn a_tag_is_moved_and_other_tags_stay() {
    let place = Place::new();
    let one = place.layout.build(Artifact::new("#!one").spec(), "main").await.unwrap().digest;
    let two = place.layout.build(Artifact::new("#!two").spec(), "next").await.unwrap().digest;
    place.layout.tag(&two, "main").await.unwrap();
    assert_eq!(place.layout.resolve("main").await.unwrap(), Some(two.clone()));
    assert_eq!(place.layout.resolve("old").await.unwrap(), None);
    let tags: Vec<_> = place.layout.list().await.unwrap().into_iter().map(|i| (i.tag.unwrap(), i.digest)).collect();
    assert_eq!(tags, [("next".to_owned(), two.clone()), ("main".to_owned(), two)]);
    assert!(matches!(place.layout.tag(&one, "not a tag").await, Err(SupplyError::InvalidTag { .. })));
    let missing = digest_of(b"nothing");
    assert!(matches!(place.layout.tag(&missing, "main").await, Err(SupplyError::MissingBlob { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_and_unpacks_at_once_do_not_disturb_each_other() {
    let place = Place::new();
    let other = Layout::open(&place.path()).unwrap();
    let mut builds = JoinSet::new();
    for number in 0..16 {
        let layout = if number % 2 == 0 { place.layout.clone() } else { other.clone() };
        let (artifact, roots) = (Artifact::new(&format!("#!{}", number / 4)), place.roots());
        builds.spawn(async move {
            let built = layout.build(artifact.spec(), &format!("build-{number}")).await.unwrap();
            layout.unpack(&built.digest, &roots).await.unwrap();
            built.digest
        });
    }
    let digests: std::collections::BTreeSet<_> = builds.join_all().await.into_iter().collect();
    assert_eq!(digests.len(), 4);
    assert_eq!(place.layout.list().await.unwrap().len(), 16, "no tag was lost");
    for digest in &digests {
        place.layout.verify(digest).await.unwrap();
    }
    let mut roots: Vec<String> = digests.iter().map(|d| d.hex().to_owned()).chain([".tmp".to_owned()]).collect();
    roots.sort();
    let found: Vec<String> = tree(&place.roots()).into_iter().filter(|path| !path.contains('/')).collect();
    assert_eq!(found, roots);
}

/// What a crash may leave: unfinished files, blobs that no index names, no index at all.
#[tokio::test]
async fn a_crash_leaves_a_layout_that_works() {
    let (artifact, place) = (Artifact::new("#!/bin/sh\n"), Place::new());
    let built = place.layout.build(artifact.spec(), "main").await.unwrap();
    let path = place.path();
    let Place { dir, layout } = place;
    drop(layout);
    fs::write(path.join("tmp/.half"), "half a blob").unwrap();
    fs::create_dir_all(dir.path().join("roots/.tmp/half/app")).unwrap();
    fs::remove_file(path.join("index.json")).unwrap();
    fs::remove_file(path.join("oci-layout")).unwrap();

    let layout = Layout::open(&path).unwrap();
    assert_eq!(tree(&path.join("tmp")), ["lock"]);
    assert_eq!(layout.list().await.unwrap(), []);
    assert_eq!(layout.build(artifact.spec(), "main").await.unwrap(), built, "the work is done again");
    let roots = dir.path().join("roots");
    layout.unpack(&built.digest, &roots).await.unwrap();
    assert_eq!(tree(&roots.join(".tmp")), ["lock"]);
}

#[tokio::test]
async fn rotten_blobs_are_found_and_a_new_build_heals_them() {
    let (artifact, place) = (Artifact::new("#!/bin/sh\n"), Place::new());
    let built = place.layout.build(artifact.spec(), "main").await.unwrap();
    for digest in [&built.digest, &built.config_digest, &built.layers[0].digest] {
        let path = place.blob(digest);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[good.len() / 2] ^= 1;
        for bad in [&flipped[..], &good[..good.len() - 1], b""] {
            fs::write(&path, bad).unwrap();
            for error in [
                place.layout.verify(&built.digest).await.unwrap_err(),
                place.layout.unpack(&built.digest, &place.roots()).await.unwrap_err(),
            ] {
                assert!(matches!(&error, SupplyError::Corrupt { digest: at, .. } if at == digest), "{error}");
            }
        }
        fs::remove_file(&path).unwrap();
        let error = place.layout.verify(&built.digest).await.unwrap_err();
        assert_eq!(error.to_string(), format!("blob {digest} is missing"));
        place.layout.build(artifact.spec(), "main").await.unwrap();
        place.layout.verify(&built.digest).await.unwrap();
    }
}

#[tokio::test]
async fn images_of_other_kinds_are_named() {
    let place = Place::new();
    let config = descriptor("application/vnd.oci.image.config.v1+json", &digest_of(b"x"), 1);
    let zstd = descriptor("application/vnd.oci.image.layer.v1.tar+zstd", &digest_of(b"x"), 1);
    let docker = descriptor("application/vnd.docker.container.image.v1+json", &digest_of(b"x"), 1);
    for document in [
        json!({ "schemaVersion": 2, "config": config, "layers": [zstd] }),
        json!({ "schemaVersion": 2, "config": docker, "layers": [] }),
        json!({ "schemaVersion": 2, "config": config, "layers": [], "manifests": [] }),
        json!({ "schemaVersion": 2, "mediaType": 5, "config": config, "layers": [] }),
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [] }),
        json!({ "mediaType": "application/vnd.docker.distribution.manifest.v2+json" }),
    ] {
        let error = place.layout.inspect(&place.put_json(&document)).await.unwrap_err();
        assert!(matches!(error, SupplyError::UnsupportedMediaType { .. }), "{document}: {error}");
    }
    for document in [json!({}), json!({ "schemaVersion": 2, "config": config })] {
        let error = place.layout.inspect(&place.put_json(&document)).await.unwrap_err();
        assert!(matches!(error, SupplyError::InvalidDocument { .. }), "{document}: {error}");
    }
    let deep = place.put(&vec![b'['; 1 << 20]);
    assert!(matches!(place.layout.inspect(&deep).await, Err(SupplyError::InvalidDocument { .. })));
    let huge = place.put(&vec![b' '; (4 << 20) + 1]);
    assert!(matches!(place.layout.inspect(&huge).await, Err(SupplyError::TooLarge { .. })));

    let foreign = json!({ "architecture": "s390x", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } });
    let size = foreign.to_string().len();
    let foreign = descriptor("application/vnd.oci.image.config.v1+json", &place.put_json(&foreign), size);
    let image = place.put_json(&json!({ "schemaVersion": 2, "config": foreign, "layers": [] }));
    let error = place.layout.unpack(&image, &place.roots()).await.unwrap_err();
    assert!(matches!(&error, SupplyError::WrongPlatform { found, .. } if found == "linux/s390x"), "{error}");
}

#[test]
fn layouts_of_other_versions_are_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    for text in [r#"{"imageLayoutVersion":"2.0.0"}"#, "{}", "x"] {
        fs::write(dir.path().join("oci-layout"), text).unwrap();
        let error = Layout::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("oci-layout is not an OCI image layout: "), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_in_use_and_not_asked_for_any_more_goes() {
    let (artifact, place) = (Artifact::new("#!/bin/sh\n"), Place::new());
    let mut built = Vec::new();
    for tag in ["used", "unused", "young"] {
        let mut spec = artifact.spec();
        spec.env = [("TAG".to_owned(), tag.to_owned())].into();
        let image = place.layout.build(spec, tag).await.unwrap().digest;
        let root = place.layout.unpack(&image, &place.roots()).await.unwrap().root;
        built.push((image, root));
    }
    fs::write(place.roots().join("notes"), "not an image").unwrap();
    let [(used, used_root), (unused, unused_root), (young, young_root)] = &built[..] else { panic!("{built:?}") };
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let age = |root: &std::path::Path| fs::File::open(root).unwrap().set_modified(long_ago).unwrap();
    let forget = async || {
        let before = "2001-01-01T00:00:00Z".parse().unwrap();
        place.layout.set_aside(&place.roots(), [used.clone()].into(), before).await.unwrap()
    };
    for root in [used_root, unused_root, young_root] {
        age(root);
    }
    // What is asked for is young again.
    place.layout.unpack(young, &place.roots()).await.unwrap();

    let aside = forget().await;
    assert!(used_root.exists() && young_root.exists() && !unused_root.exists());
    // One that comes back meanwhile is another one.
    place.layout.unpack(unused, &place.roots()).await.unwrap();
    assert_eq!(aside.remove().await.unwrap(), std::slice::from_ref(unused));
    assert!(unused_root.join("app/pad").exists() && place.roots().join("notes").exists());

    // What somebody who was killed had taken away is removed by the next.
    let scratch = place.roots().join(".tmp");
    fs::rename(unused_root, scratch.join("taken")).unwrap();
    assert!(forget().await.remove().await.unwrap().is_empty());
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 1, "the lock");
}
