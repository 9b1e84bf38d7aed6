//! Images made of files, moved through a registry, and seen by other people's tools.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use jiff::Timestamp;
use prograde_supply::client::{Client, Credentials, Reference, RegistryError};
use prograde_supply::image::{
    self, Assembled, DockerfileBuild, ImageError, Layer, Progress, Recipe, Settings, Source, assemble, differences,
    platform_of, pull, push, read_archive, write_archive,
};
use prograde_supply::{Descriptor, Layout, Limits, SupplyError};
use serde_json::{Value, json};

use crate::client::impatient;
use crate::client::peers::Registry;
use crate::client::script::{Reply, Script};
use crate::peers::{has, run};
use crate::{architecture, digest_of, tree};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Files to make an image of.
struct Sources {
    dir: tempfile::TempDir,
}

impl Sources {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("static/css")).unwrap();
        fs::write(dir.path().join("static/css/site.css"), "a{}").unwrap();
        fs::write(dir.path().join("static/empty"), "").unwrap();
        std::os::unix::fs::symlink("css/site.css", dir.path().join("static/link")).unwrap();
        let sources = Self { dir };
        sources.program(1);
        sources
    }

    /// A program of some megabytes that is hard to pack.
    fn program(&self, seed: u64) {
        let mut state = seed;
        let noise = (0..300_000).flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 20).to_le_bytes()
        });
        let content: Vec<u8> = b"#!/bin/sh\necho hello\nexit 0\n".iter().copied().chain(noise).collect();
        fs::write(self.dir.path().join("pad"), content).unwrap();
    }

    fn recipe(&self, platform: &str) -> Recipe {
        let mut content = Layer::new("directory /srv");
        content.add_tree(&self.dir.path().join("static"), "/srv", &|_| false, &Limits::default()).unwrap();
        let mut program = Layer::new("program");
        program.add_file(&self.dir.path().join("pad"), "/app/pad", true).unwrap();
        let settings = Settings {
            entrypoint: vec!["/app/pad".into()],
            cmd: vec!["serve".into()],
            env: BTreeMap::from([("A".into(), "b=c".into())]),
            user: Some("65532:65532".into()),
            labels: BTreeMap::from([
                ("org.opencontainers.image.title".into(), "pad".into()),
                ("team".into(), "sky".into()),
            ]),
            created: Timestamp::UNIX_EPOCH,
            ..Settings::default()
        };
        Recipe { platform: platform_of(platform).unwrap(), base: None, layers: vec![content, program], settings }
    }
}

fn layout() -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::open(&dir.path().join("layout")).unwrap();
    (dir, layout)
}

fn built(layout: &Layout, recipes: &[Recipe], tag: &str) -> Assembled {
    let assembled = assemble(layout, recipes).unwrap();
    tagged(layout, &assembled.descriptor, tag);
    assembled
}

fn tagged(layout: &Layout, descriptor: &Descriptor, tag: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(layout.tag_descriptor(descriptor.clone(), tag)).unwrap();
}

fn quiet(_: Progress<'_>) {}

#[test]
fn the_same_files_give_the_same_image_and_only_what_changed_is_packed_again() {
    let sources = Sources::new();
    let ((_one, one), (_other, other)) = (layout(), layout());
    let recipe = || [sources.recipe("linux/amd64")];
    let first = built(&one, &recipe(), "pad:latest");
    assert_eq!(first.descriptor, built(&other, &recipe(), "pad:latest").descriptor);
    let reused = |assembled: &Assembled| assembled.images[0].1.iter().map(|layer| layer.reused).collect::<Vec<_>>();
    assert_eq!(reused(&first), [false, false]);
    let again = built(&one, &recipe(), "pad:latest");
    assert_eq!((again.descriptor.clone(), reused(&again)), (first.descriptor.clone(), vec![true, true]));
    sources.program(2);
    let changed = built(&one, &recipe(), "pad:latest");
    assert_ne!(changed.descriptor.digest, first.descriptor.digest);
    assert_eq!(reused(&changed), [true, false]);
    assert_eq!(one.entries().unwrap().len(), 1, "the tag moved");
    // A blob that is gone is made again, whatever the cache says.
    fs::remove_file(one.dir().join("blobs/sha256").join(changed.images[0].1[0].digest.hex())).unwrap();
    let mended = built(&one, &recipe(), "pad:latest");
    assert_eq!((mended.descriptor.clone(), reused(&mended)), (changed.descriptor, vec![false, true]));
}

#[test]
fn what_can_not_start_is_refused() {
    let (sources, (_dir, layout)) = (Sources::new(), layout());
    let refused = |change: &dyn Fn(&mut Recipe)| {
        let mut recipe = sources.recipe("linux/amd64");
        change(&mut recipe);
        assemble(&layout, &[recipe]).unwrap_err()
    };
    for error in [
        refused(&|recipe| recipe.settings.entrypoint = vec!["/app/other".into()]),
        refused(&|recipe| recipe.settings.entrypoint = vec!["/srv/empty".into()]),
        refused(&|recipe| {
            recipe.settings.env.insert("A=B".into(), "c".into());
        }),
        assemble(&layout, &[]).unwrap_err(),
    ] {
        assert!(matches!(error, SupplyError::InvalidSpec { .. }), "{error}");
    }
}

#[test]
fn a_minimal_image_has_certificates_zones_and_a_user() {
    let (sources, (dir, layout)) = (Sources::new(), layout());
    let minimal = match image::minimal(&Limits::default()) {
        Ok(minimal) => minimal,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{error}");
            eprintln!("left out: a_minimal_image_has_certificates_zones_and_a_user, as {error} on this machine");
            return;
        }
    };
    let mut recipe = sources.recipe(&format!("linux/{}", architecture()));
    recipe.layers.splice(0..0, minimal);
    let image = built(&layout, &[recipe], "pad:latest");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let unpacked = runtime.block_on(layout.unpack(&image.descriptor.digest, &dir.path().join("roots"))).unwrap();
    let root = &unpacked.root;
    assert!(fs::read_to_string(root.join("etc/passwd")).unwrap().contains("nonroot:x:65532:65532"));
    assert!(fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt")).unwrap().contains("BEGIN CERTIFICATE"));
    assert!(root.join("usr/share/zoneinfo/UTC").exists() && root.join("tmp").is_dir());
    assert_eq!(fs::read_to_string(root.join("srv/link")).unwrap(), "a{}");
    assert_eq!((unpacked.entrypoint, unpacked.cmd), (vec!["/app/pad".to_owned()], vec!["serve".to_owned()]));
}

fn skopeo(arguments: &[&str]) -> String {
    run("skopeo", &arguments.iter().map(OsStr::new).collect::<Vec<_>>())
}

#[test]
fn images_go_to_a_registry_and_come_back_and_skopeo_agrees() {
    let test = "images_go_to_a_registry_and_come_back_and_skopeo_agrees";
    let Some(registry) = Registry::start(test, false) else { return };
    if !has("skopeo", test) {
        return;
    }
    let (sources, (_here, here), (_there, there)) = (Sources::new(), layout(), layout());
    let client = impatient(Credentials::none());
    let recipes = [sources.recipe("linux/amd64"), sources.recipe("linux/arm64")];
    let image = built(&here, &recipes, "pad:latest");
    assert_eq!(image.descriptor.media_type, INDEX);
    let reference = registry.reference("team/pad:v1");
    let moved = Mutex::new(0);
    let sent = push(&client, &here, &image.descriptor, &reference, &[], &|told| {
        if let Progress::Moved(bytes) = told {
            *moved.lock().unwrap() += bytes;
        }
    })
    .unwrap();
    assert_eq!((sent.present, sent.moved), (0, 4), "two layers that both share, and two configurations");
    assert_eq!(*moved.lock().unwrap(), sent.bytes);
    let again = push(&client, &here, &image.descriptor, &reference, &[], &quiet).unwrap();
    assert_eq!((again.present, again.moved, again.bytes), (4, 0, 0));

    let docker = format!("docker://{reference}");
    let raw = skopeo(&["inspect", "--tls-verify=false", "--raw", &docker]);
    assert_eq!(digest_of(raw.as_bytes()), image.descriptor.digest);
    let seen: Value =
        serde_json::from_str(&skopeo(&["--override-arch", "arm64", "inspect", "--tls-verify=false", &docker])).unwrap();
    assert_eq!((&seen["Architecture"], &seen["Labels"]["team"]), (&json!("arm64"), &json!("sky")));
    let config: Value = serde_json::from_str(&skopeo(&["inspect", "--tls-verify=false", "--config", &docker])).unwrap();
    assert_eq!(config["config"]["Cmd"], json!(["serve"]));

    // All of it comes back, and one of its images alone.
    let pulled = pull(&client, &reference, None, &there, &quiet).unwrap();
    assert_eq!((pulled.descriptor.digest.clone(), pulled.moved), (image.descriptor.digest.clone(), 4));
    let arm = platform_of("linux/arm64").unwrap();
    let one = pull(&client, &reference, Some(&arm), &there, &quiet).unwrap();
    assert_eq!((one.descriptor.digest, one.moved), (image.images[1].0.digest.clone(), 0));
    assert!(matches!(
        pull(&client, &reference, platform_of("linux/s390x").as_ref(), &there, &quiet).unwrap_err(),
        ImageError::Missing { .. }
    ));
    assert_eq!(fs::read_dir(there.dir().join("partial")).unwrap().count(), 0, "nothing is left half");

    // What skopeo pushes is what we pull.
    let copied = registry.reference("team/copied:v1");
    let from = format!("oci:{}:pad:latest", here.dir().display());
    skopeo(&["--insecure-policy", "copy", "--all", "--dest-tls-verify=false", &from, &format!("docker://{copied}")]);
    let theirs = pull(&client, &copied, None, &there, &quiet).unwrap();
    assert_eq!((theirs.descriptor.digest, theirs.moved), (image.descriptor.digest, 0));

    // Docker's own formats are read too.
    let v2 = registry.reference("team/v2:v1");
    let (source, target) = (format!("docker://{copied}"), format!("docker://{v2}"));
    skopeo(&[
        "--insecure-policy",
        "copy",
        "--format",
        "v2s2",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &source,
        &target,
    ]);
    let old = pull(&client, &v2, None, &there, &quiet).unwrap();
    assert_eq!(old.descriptor.media_type, "application/vnd.docker.distribution.manifest.v2+json");
    let viewed = Source::Layout(there.clone()).view(&old.descriptor).unwrap();
    assert_eq!(viewed.images[0].platform().unwrap().name(), "linux/amd64");
}

#[test]
fn an_image_is_laid_on_another() {
    let test = "an_image_is_laid_on_another";
    let Some(registry) = Registry::start(test, false) else { return };
    let (sources, (_here, here), (_there, there)) = (Sources::new(), layout(), layout());
    let client = impatient(Credentials::none());
    let mut base_recipe = sources.recipe("linux/amd64");
    base_recipe.layers.truncate(1);
    base_recipe.settings = Settings {
        env: BTreeMap::from([("PATH".into(), "/bin".into()), ("A".into(), "old".into())]),
        user: Some("7".into()),
        working_dir: Some("/srv".into()),
        created: Timestamp::UNIX_EPOCH,
        ..Settings::default()
    };
    let base = built(&here, &[base_recipe], "base:latest");
    let base_reference = registry.reference("base:v1");
    push(&client, &here, &base.descriptor, &base_reference, &[], &quiet).unwrap();

    let amd64 = platform_of("linux/amd64").unwrap();
    let fetched = image::fetch_base(&client, &base_reference, &amd64, &there, &quiet).unwrap();
    let mut recipe = sources.recipe("linux/amd64");
    recipe.base = Some(fetched);
    recipe.layers.remove(0);
    recipe.settings.user = None;
    let image = built(&there, &[recipe.clone()], "pad:latest");
    let viewed = Source::Layout(there.clone()).view(&image.descriptor).unwrap();
    let (config, annotations) = (&viewed.images[0].config["config"], &viewed.images[0].annotations);
    assert_eq!((&config["User"], &config["WorkingDir"]), (&json!("7"), &json!("/srv")));
    assert_eq!(config["Env"], json!(["PATH=/bin", "A=b=c"]));
    assert_eq!(annotations["org.opencontainers.image.base.name"], base_reference.to_string());
    assert_eq!(annotations["org.opencontainers.image.base.digest"], base.descriptor.digest.as_str());
    assert_eq!(viewed.images[0].config["history"].as_array().unwrap().len(), 2);
    assert_eq!(viewed.images[0].layers[0].digest, base.images[0].1[0].digest);

    // The base's layers are taken from its repository, not sent again.
    let sent = push(
        &client,
        &there,
        &image.descriptor,
        &registry.reference("pad:v1"),
        &[base_reference.repository().clone()],
        &quiet,
    );
    let sent = sent.unwrap();
    assert_eq!((sent.present, sent.moved), (1, 2));

    let arm = platform_of("linux/arm64").unwrap();
    let error = image::fetch_base(&client, &base_reference, &arm, &there, &quiet).unwrap_err();
    assert!(matches!(error, ImageError::Supply(SupplyError::WrongPlatform { .. })), "{error}");

    // What is different about the two.
    let (old, new) = (Source::Layout(here.clone()), Source::Layout(there));
    let before = old.view(&base.descriptor).unwrap();
    let found = differences((&old, &before.images[0]), (&new, &viewed.images[0]), &Limits::default()).unwrap();
    let paths: Vec<&str> = found.files.iter().map(|change| change.path.as_str()).collect();
    assert_eq!(paths, ["/app", "/app/pad"]);
    assert_eq!(found.files[1].after.as_ref().map(|node| (node.kind, node.mode)), Some(("file", 0o755)));
    assert_eq!((found.layers_shared.len(), found.layers_added.len(), found.layers_removed.len()), (1, 1, 0));
    let names: Vec<&str> = found.settings.iter().map(|setting| setting.name.as_str()).collect();
    assert!(names.contains(&"config.Entrypoint") && names.contains(&"config.Env"), "{names:?}");
    let same = differences((&old, &before.images[0]), (&old, &before.images[0]), &Limits::default()).unwrap();
    assert!(same.is_empty());
}

#[test]
fn archives_are_read_by_others_and_theirs_by_us() {
    let test = "archives_are_read_by_others_and_theirs_by_us";
    if !has("skopeo", test) {
        return;
    }
    let (sources, (dir, here), (_there, there)) = (Sources::new(), layout(), layout());
    let image = built(&here, &[sources.recipe("linux/amd64")], "pad:latest");
    let file = dir.path().join("pad.tar");
    write_archive(&here, &image.descriptor, "registry.example/pad:v1", &file).unwrap();
    let bytes = fs::read(&file).unwrap();
    write_archive(&here, &image.descriptor, "registry.example/pad:v1", &file).unwrap();
    assert!(bytes == fs::read(&file).unwrap(), "the same image gives the same archive");

    let seen = skopeo(&["inspect", "--raw", &format!("oci-archive:{}:v1", file.display())]);
    assert_eq!(digest_of(seen.as_bytes()), image.descriptor.digest);
    // The way that `docker load` of every version goes.
    let docker: Value =
        serde_json::from_str(&skopeo(&["inspect", "--config", &format!("docker-archive:{}", file.display())])).unwrap();
    assert_eq!(docker["config"]["Entrypoint"], json!(["/app/pad"]));

    let copy = dir.path().join("copy.tar");
    let (from, to) = (format!("oci:{}:pad:latest", here.dir().display()), format!("oci-archive:{}:x", copy.display()));
    skopeo(&["--insecure-policy", "copy", "--preserve-digests", &from, &to]);
    let found = read_archive(&copy, &there).unwrap();
    assert_eq!(found[0].digest, image.descriptor.digest);
    Source::Layout(there).view(&found[0]).unwrap();
}

#[test]
fn umoci_unpacks_what_was_put_together() {
    if !has("umoci", "umoci_unpacks_what_was_put_together") {
        return;
    }
    let (sources, (dir, here)) = (Sources::new(), layout());
    built(&here, &[sources.recipe(&format!("linux/{}", architecture()))], "pad");
    let (name, bundle) = (format!("{}:pad", here.dir().display()), dir.path().join("bundle"));
    run("umoci", &["unpack".as_ref(), "--rootless".as_ref(), "--image".as_ref(), name.as_ref(), bundle.as_ref()]);
    let paths = tree(&bundle.join("rootfs"));
    assert_eq!(paths, ["app", "app/pad", "srv", "srv/css", "srv/css/site.css", "srv/empty", "srv/link"]);
    let program = fs::read(sources.dir.path().join("pad")).unwrap();
    assert!(fs::read(bundle.join("rootfs/app/pad")).unwrap() == program);
}

#[test]
fn buildah_builds_dockerfiles_for_us() {
    let test = "buildah_builds_dockerfiles_for_us";
    if !has("buildah", test) {
        return;
    }
    let (dir, here) = layout();
    fs::write(
        dir.path().join("Dockerfile"),
        "FROM scratch\nARG V=1\nCOPY hello /app/hello\nLABEL v=$V\nENTRYPOINT [\"/app/hello\"]\n",
    )
    .unwrap();
    fs::write(dir.path().join("hello"), "#!/bin/sh\n").unwrap();
    let mut build = DockerfileBuild {
        dockerfile: dir.path().join("Dockerfile"),
        context: dir.path().to_owned(),
        platforms: Vec::new(),
        build_args: vec!["V=2".into()],
        target: None,
        builder: Some("buildah".into()),
    };
    let archive = dir.path().join("image.tar");
    assert_eq!(build.run(&archive).unwrap(), "buildah");
    let found = read_archive(&archive, &here).unwrap();
    let viewed = Source::Layout(here).view(&found[0]).unwrap();
    assert_eq!(viewed.images[0].config["config"]["Labels"]["v"], "2");
    fs::write(dir.path().join("Dockerfile"), "FROM scratch\nCOPY missing /x\n").unwrap();
    build.build_args.clear();
    let error = build.run(&archive).unwrap_err().to_string();
    assert!(error.contains("buildah ended with"), "{error}");
}

/// A registry that serves these documents and blobs by their digests, and `app:v1` as the tests say.
fn serving(tag: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static, blobs: Vec<Vec<u8>>) -> Script {
    Script::start(move |asked, before| {
        let kind = |bytes: &[u8]| {
            let document: Value = serde_json::from_slice(bytes).unwrap();
            document["mediaType"].as_str().unwrap().to_owned()
        };
        if asked.path.ends_with("/manifests/v1") {
            let bytes = tag(before);
            return Reply::ok(&kind(&bytes), bytes);
        }
        let found = blobs.iter().find(|blob| asked.path.ends_with(digest_of(blob).as_str()));
        match found {
            Some(blob) if asked.path.contains("/manifests/") => Reply::ok(&kind(blob), blob.clone()),
            Some(blob) => Reply::ok("application/octet-stream", blob.clone()),
            None => Reply::status(404),
        }
    })
}

fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
}

/// A manifest of one layer, with its configuration.
fn image_of(layer_type: &str, layer: &[u8]) -> [Vec<u8>; 3] {
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [digest_of(layer)] } });
    let config = config.to_string().into_bytes();
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST,
        "config": described("application/vnd.oci.image.config.v1+json", &config), "layers": [described(layer_type, layer)] });
    [manifest.to_string().into_bytes(), config, layer.to_vec()]
}

fn client() -> Client {
    impatient(Credentials::none())
}

fn tagged_v1(server: &Script) -> Reference {
    server.reference("app:v1")
}

#[test]
fn lists_without_end_end() {
    let mut documents = vec![image_of(LAYER_GZIP, b"x")[0].clone()];
    for _ in 0..10 {
        let inner = documents.last().unwrap();
        let kind = if documents.len() == 1 { MANIFEST } else { INDEX };
        let outer = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [described(kind, inner)] });
        documents.push(outer.to_string().into_bytes());
    }
    let top = documents.last().unwrap().clone();
    let server = serving(move |_| top.clone(), documents);
    let (_dir, here) = layout();
    let error = pull(&client(), &tagged_v1(&server), None, &here, &quiet).unwrap_err();
    assert!(matches!(error, ImageError::Supply(SupplyError::TooLarge { .. })), "{error}");
    assert!(server.seen().len() < 10);

    let many: Vec<Value> = (0..1000_u32).map(|at| described(MANIFEST, &at.to_le_bytes())).collect();
    let wide = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": many }).to_string().into_bytes();
    let blobs = vec![wide.clone()];
    let server = serving(move |_| wide.clone(), blobs);
    let error = pull(&client(), &tagged_v1(&server), None, &here, &quiet).unwrap_err();
    assert!(matches!(error, ImageError::Supply(SupplyError::TooLarge { .. })), "{error}");

    // A list and an image at once.
    let both =
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [], "layers": [described(LAYER_GZIP, b"x")] });
    let both = both.to_string().into_bytes();
    let blobs = vec![both.clone()];
    let server = serving(move |_| both.clone(), blobs);
    let error = pull(&client(), &tagged_v1(&server), None, &here, &quiet).unwrap_err();
    assert!(matches!(error, ImageError::Supply(SupplyError::InvalidDocument { .. })), "{error}");
}

#[test]
fn a_tag_that_moves_in_between_does_not_mix_images() {
    let (one, other) = (image_of(LAYER_GZIP, b"one"), image_of(LAYER_GZIP, b"other"));
    let (first, second) = (one[0].clone(), other[0].clone());
    let blobs = one.iter().chain(&other).cloned().collect();
    let server = serving(move |before| if before == 0 { first.clone() } else { second.clone() }, blobs);
    let (_dir, here) = layout();
    let pulled = pull(&client(), &tagged_v1(&server), None, &here, &quiet).unwrap();
    assert_eq!(pulled.descriptor.digest, digest_of(&one[0]));
    assert!(here.dir().join("blobs/sha256").join(digest_of(b"one").hex()).exists());
    assert!(!here.dir().join("blobs/sha256").join(digest_of(b"other").hex()).exists());
    let by_tag = server.seen().iter().filter(|asked| asked.path.ends_with("/manifests/v1")).count();
    assert_eq!(by_tag, 1);
}

#[test]
fn a_blob_that_is_another_is_not_kept() {
    let image = image_of(LAYER_GZIP, b"right");
    let manifest = image[0].clone();
    let server = Script::start({
        let image = image.clone();
        move |asked, _| match asked.path.as_str() {
            path if path.contains("/manifests/") => Reply::ok(MANIFEST, manifest.clone()),
            path if path.ends_with(digest_of(&image[1]).as_str()) => Reply::ok("x/y", image[1].clone()),
            _ => Reply::ok("x/y", "wrong"),
        }
    });
    let (_dir, here) = layout();
    let error = pull(&client(), &tagged_v1(&server), None, &here, &quiet).unwrap_err();
    assert!(matches!(error, ImageError::Registry(RegistryError::Corrupt { .. })), "{error}");
    assert!(
        !here.dir().join("blobs/sha256").join(digest_of(&image[0]).hex()).exists(),
        "no manifest without its blobs"
    );
}

#[test]
fn bombs_in_layers_are_not_read_to_their_end() {
    use std::io::Write as _;
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(200 << 20);
    header.set_mode(0o644);
    tar.append_data(&mut header, "zeros", std::io::Read::take(std::io::repeat(0), 200 << 20)).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&tar.into_inner().unwrap()).unwrap();
    let image = image_of(LAYER_GZIP, &gzip.finish().unwrap());
    let top = image[0].clone();
    let server = serving(move |_| top.clone(), image.to_vec());
    let (source, root, _) = Source::remote(&client(), &tagged_v1(&server)).unwrap();
    let viewed = source.view(&root).unwrap();
    let small = image_of(LAYER_GZIP, b"");
    let top = small[0].clone();
    let empty = serving(move |_| top.clone(), small.to_vec());
    let (other, other_root, _) = Source::remote(&client(), &tagged_v1(&empty)).unwrap();
    let other_view = other.view(&other_root).unwrap();
    let limits = Limits::default();
    let error = differences((&source, &viewed.images[0]), (&other, &other_view.images[0]), &limits).unwrap_err();
    assert!(matches!(error, ImageError::Supply(SupplyError::TooLarge { .. })), "{error}");
}

#[test]
fn a_layer_that_no_image_has_any_more_is_told() {
    let (sources, (_dir, here)) = (Sources::new(), layout());
    let image = built(&here, &[sources.recipe("linux/amd64")], "pad:latest");
    fs::remove_file(here.dir().join("blobs/sha256").join(image.images[0].1[1].digest.hex())).unwrap();
    let server = Script::start(|asked, _| if asked.method == "HEAD" { Reply::status(200) } else { Reply::status(201) });
    let error = push(&client(), &here, &image.descriptor, &tagged_v1(&server), &[], &quiet).unwrap_err();
    assert!(matches!(error, ImageError::Supply(SupplyError::MissingBlob { .. })), "{error}");
    assert!(server.seen().iter().all(|asked| asked.method != "PUT"), "no manifest goes out");
    assert!(Path::new(here.dir()).exists());
}
