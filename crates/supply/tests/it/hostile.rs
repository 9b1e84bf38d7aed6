//! Layers that attack whoever unpacks them.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prograde_supply::{Limits, SupplyError};

use proptest::prelude::*;

use crate::layers::{Maker, file, link};
use crate::{Place, descriptor, digest_of, tree};

/// Unpacks an image of these layers, which must be refused; nothing may be left where it would have been.
async fn refused(place: &Place, layers: &[Vec<u8>]) -> SupplyError {
    let canary = place.dir.path().join("canary");
    fs::write(&canary, "untouched").unwrap();
    let image = place.image(layers);
    let error = place.layout.unpack(&image, &place.roots()).await.expect_err("it is refused");
    assert_eq!(tree(&place.roots()), [".tmp", ".tmp/lock"], "nothing is left");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
    assert_eq!(fs::metadata(&canary).map(|m| std::os::unix::fs::MetadataExt::nlink(&m)).unwrap(), 1);
    error
}

#[tokio::test]
async fn paths_that_lead_out_are_refused() {
    let place = Place::new();
    for path in ["../canary", "a/../../../canary", "/canary", "..", "a/..", "../../../../../../tmp/canary"] {
        for layer in [file(path, b"x"), Maker::new().long_name(path).raw("short", b'0', b"x").done()] {
            let error = refused(&place, &[layer]).await;
            assert!(matches!(error, SupplyError::UnsafeEntry { .. }), "{path}: {error}");
        }
        let pax = Maker::new().pax(&[("path", path)]).raw("short", b'0', b"x").done();
        assert!(matches!(refused(&place, &[pax]).await, SupplyError::UnsafeEntry { .. }), "{path}");
    }
}

#[tokio::test]
async fn symbolic_links_that_lead_out_are_refused() {
    let place = Place::new();
    for target in ["..", "../../canary", "a/../../canary", "../../../../../../../../etc"] {
        let error = refused(&place, &[link(b'2', "out", target)]).await;
        assert!(matches!(error, SupplyError::UnsafeEntry { .. }), "{target}: {error}");
        let through = Maker::new().link(b'2', "out", target).raw("out/canary", b'0', b"x").done();
        assert!(matches!(refused(&place, &[through]).await, SupplyError::UnsafeEntry { .. }), "{target}");
    }
    // Two links that are harmless one by one, also over two layers.
    let one = Maker::new().raw("d/", b'5', b"").link(b'2', "d/top", "..").done();
    let two = link(b'2', "sly", "d/top/..");
    assert!(matches!(refused(&place, &[one, two]).await, SupplyError::UnsafeEntry { .. }));
    let round = Maker::new().link(b'2', "a", "b").link(b'2', "b", "a").raw("a/x", b'0', b"x").done();
    assert!(matches!(refused(&place, &[round]).await, SupplyError::UnsafeEntry { .. }));
}

#[tokio::test]
async fn hard_links_that_lead_out_are_refused() {
    let place = Place::new();
    let canary = place.dir.path().join("canary");
    for target in
        ["../canary", "../../../canary", "../../../../../../etc/passwd", "missing", "", ".", canary.to_str().unwrap()]
    {
        let error = refused(&place, &[link(b'1', "out", target)]).await;
        assert!(matches!(error, SupplyError::UnsafeEntry { .. }), "{target}: {error}");
    }
    let through = Maker::new().link(b'2', "up", "../..").link(b'1', "out", "up/canary").done();
    assert!(matches!(refused(&place, &[through]).await, SupplyError::UnsafeEntry { .. }));
    let to_link = Maker::new().link(b'2', "passwd", "../../../etc/passwd").link(b'1', "out", "passwd").done();
    assert!(matches!(refused(&place, &[to_link]).await, SupplyError::UnsafeEntry { .. }));
}

#[tokio::test]
async fn whiteouts_that_lead_out_are_refused() {
    let place = Place::new();
    for path in [".wh...", ".wh..", ".wh.", "a/.wh...", "../.wh.canary"] {
        let error = refused(&place, &[file("a/b", b"x"), file(path, b"")]).await;
        assert!(matches!(error, SupplyError::UnsafeEntry { .. }), "{path}: {error}");
    }
    let through = Maker::new().link(b'2', "up", "../..").raw("up/.wh.canary", b'0', b"").done();
    assert!(matches!(refused(&place, &[through]).await, SupplyError::UnsafeEntry { .. }));
}

#[tokio::test]
async fn devices_pipes_and_unknown_kinds_are_refused() {
    let place = Place::new();
    for kind in [b'3', b'4', b'6', b'S', b'V', b'M'] {
        let error = refused(&place, &[Maker::new().raw("thing", kind, b"").done()]).await;
        assert!(matches!(error, SupplyError::UnsafeEntry { .. }), "{}: {error}", char::from(kind));
    }
    for key in ["size", "GNU.sparse.major"] {
        let layer = Maker::new().pax(&[(key, "1")]).raw("thing", b'0', b"x").done();
        assert!(matches!(refused(&place, &[layer]).await, SupplyError::UnsafeEntry { .. }), "{key}");
    }
}

#[tokio::test]
async fn bombs_are_refused_before_they_are_written() {
    let limits = Limits { bytes_max: 8 << 20, ratio_free_bytes: 1 << 20, entries_max: 100, ..Limits::default() };
    let place = Place::with_limits(limits);
    let large = file("large", &vec![0; 9 << 20]);
    let halves = [file("one", &vec![0; 5 << 20]), file("two", &vec![0; 5 << 20])];
    let many = (0..101).fold(Maker::new(), |maker, number| maker.raw(&format!("f{number}"), b'0', b"")).done();
    let mut extension = Maker::new();
    extension = extension.long_name(&"a/".repeat(100 << 10));
    for layers in [vec![large], halves.to_vec(), vec![many], vec![extension.raw("x", b'0', b"").done()]] {
        let error = refused(&place, &layers).await;
        assert!(matches!(error, SupplyError::TooLarge { .. }), "{error}");
    }

    let content = file("zeros", &vec![0; 4 << 20]);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&content).unwrap();
    let packed = gzip.finish().unwrap();
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &place.put(&packed), packed.len());
    let image = place.image_of(&[layer], &[digest_of(&content)]);
    let error = place.layout.unpack(&image, &place.roots()).await.unwrap_err().to_string();
    assert_eq!(error, "the unpacked layer is too large: the limit is 200 times its compressed size");
}

#[tokio::test]
async fn trees_that_are_too_deep_are_refused() {
    let place = Place::new();
    let deep = format!("{}x", "d/".repeat(129));
    let layer = Maker::new().long_name(&deep).raw("short", b'0', b"x").done();
    assert!(matches!(refused(&place, &[layer]).await, SupplyError::UnsafeEntry { .. }));
    // Each link makes the real path longer than the written one.
    let mut maker = Maker::new().long_name(&"d/".repeat(100)).raw("short", b'5', b"");
    maker = maker.long_link("d/".repeat(100).trim_end_matches('/')).raw("down", b'2', b"");
    let layer = maker.long_name(&format!("down/{}x", "e/".repeat(100))).raw("short", b'0', b"x").done();
    assert!(matches!(refused(&place, &[layer]).await, SupplyError::UnsafeEntry { .. }));
}

#[tokio::test]
async fn broken_archives_are_named() {
    let place = Place::new();
    let good = file("name", &[1; 2000]);
    let whole = 512 + 2000;
    let mut bad_checksum = good.clone();
    bad_checksum[0] ^= 1;
    let mut huge_size = good.clone();
    huge_size[124..136].copy_from_slice(&[0xff; 12]);
    let mut bad_size = good.clone();
    bad_size[124..136].copy_from_slice(b"zzzzzzzzzzz\0");
    for broken in [
        bad_checksum,
        huge_size,
        bad_size,
        good[..whole - 1].to_vec(),
        good[..700].to_vec(),
        good[..100].to_vec(),
        vec![b'x'; 5000],
        vec![1; 100],
    ] {
        let error = refused(&place, &[broken]).await;
        assert!(matches!(error, SupplyError::BrokenLayer { .. }), "{error}");
    }
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &place.put(&good), good.len());
    let image = place.image_of(&[layer], &[digest_of(&good)]);
    let error = place.layout.unpack(&image, &place.roots()).await.unwrap_err();
    assert!(matches!(error, SupplyError::BrokenLayer { .. }), "not gzip: {error}");
}

#[tokio::test]
async fn content_other_than_the_configuration_promises_is_refused() {
    let place = Place::new();
    let content = file("name", b"x");
    let layer = descriptor("application/vnd.oci.image.layer.v1.tar", &place.put(&content), content.len());
    let image = place.image_of(std::slice::from_ref(&layer), &[digest_of(b"other")]);
    let error = place.layout.unpack(&image, &place.roots()).await.unwrap_err();
    assert!(matches!(error, SupplyError::Corrupt { .. }), "{error}");
    let image = place.image_of(&[layer], &[]);
    let error = place.layout.unpack(&image, &place.roots()).await.unwrap_err().to_string();
    assert!(error.ends_with("is not a valid image configuration: 1 layers, 0 diff ids"), "{error}");
}

/// A path out of few parts, so that paths meet; some of them lead out.
fn path(parts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(parts), 1..5).prop_map(|parts| parts.join("/"))
}

fn layer() -> impl Strategy<Value = Vec<u8>> {
    let name = path(&["a", "b", "c", "a", "b", "c", ".", "..", ".wh.a", ".wh.b", ".wh..wh..opq"]);
    let target = path(&["a", "b", "c", ".", "..", ".."]);
    let entry = (name, prop::sample::select(b"0051222".as_slice()), target, any::<bool>());
    let add = |maker: Maker, (name, kind, target, absolute): (String, u8, String, bool)| match kind {
        b'1' | b'2' if absolute => maker.link(kind, &name, &format!("/{target}")),
        b'1' | b'2' => maker.link(kind, &name, &target),
        _ => maker.raw(&name, kind, b""),
    };
    prop::collection::vec(entry, 1..8).prop_map(move |entries| entries.into_iter().fold(Maker::new(), add).done())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever two layers hold: nothing outside changes, and no link of what was accepted leads out.
    #[test]
    fn no_layer_reaches_outside(layers in prop::collection::vec(layer(), 1..3)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let place = Place::new();
        let fence = place.dir.path().join("roots/.tmp");
        for name in ["a", "b", "c"] {
            fs::create_dir_all(place.dir.path().join("roots")).unwrap();
            fs::write(place.dir.path().join(name), "outside").unwrap();
            fs::write(place.dir.path().join("roots").join(name), "outside").unwrap();
        }
        let image = place.image(&layers);
        let unpacked = runtime.block_on(place.layout.unpack(&image, &place.roots()));
        prop_assert_eq!(tree(&fence), ["lock"]);
        for name in ["a", "b", "c"] {
            for outside in [place.dir.path().join(name), place.dir.path().join("roots").join(name)] {
                prop_assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
                prop_assert_eq!(std::os::unix::fs::MetadataExt::nlink(&fs::symlink_metadata(&outside).unwrap()), 1);
            }
        }
        match unpacked {
            Err(error) => prop_assert!(matches!(error, SupplyError::UnsafeEntry { .. }), "{}", error),
            Ok(unpacked) => {
                let root = unpacked.root.canonicalize().unwrap();
                for path in tree(&root) {
                    if let Ok(real) = root.join(&path).canonicalize() {
                        prop_assert!(real.starts_with(&root), "{path} is {}", real.display());
                    }
                }
            }
        }
    }
}
