//! Layers made by hand, and how harmless ones are applied.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::{Place, tree};

/// Writes an archive without asking whether it makes sense.
pub(crate) struct Maker {
    bytes: Vec<u8>,
}

impl Maker {
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    fn entry(mut self, name: &str, kind: u8, target: &str, mode: u32, content: &[u8]) -> Self {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
        header[108..124].copy_from_slice(b"0000000\x000000000\0");
        header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
        header[136..148].copy_from_slice(b"00000000000\0");
        header[156] = kind;
        header[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend(header);
        self.bytes.extend(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    /// An entry of this kind, mode 0755.
    pub(crate) fn raw(self, name: &str, kind: u8, content: &[u8]) -> Self {
        self.entry(name, kind, "", 0o755, content)
    }

    pub(crate) fn mode(self, name: &str, kind: u8, mode: u32) -> Self {
        self.entry(name, kind, "", mode, b"")
    }

    /// A symbolic (`2`) or hard (`1`) link.
    pub(crate) fn link(self, kind: u8, name: &str, target: &str) -> Self {
        self.entry(name, kind, target, 0o777, b"")
    }

    /// GNU's way to give the next entry a long name.
    pub(crate) fn long_name(self, name: &str) -> Self {
        self.raw("././@LongLink", b'L', format!("{name}\0").as_bytes())
    }

    /// GNU's way to give the next entry a long target.
    pub(crate) fn long_link(self, target: &str) -> Self {
        self.raw("././@LongLink", b'K', format!("{target}\0").as_bytes())
    }

    /// POSIX' way to say more about the next entry.
    pub(crate) fn pax(self, fields: &[(&str, &str)]) -> Self {
        let line = |(key, value): &(&str, &str)| {
            let rest = format!(" {key}={value}\n");
            // The length counts its own digits.
            let length =
                (rest.len()..rest.len() + 10).find(|length| length.to_string().len() + rest.len() == *length).unwrap();
            format!("{length}{rest}")
        };
        let content: String = fields.iter().map(line).collect();
        self.raw("pax", b'x', content.as_bytes())
    }

    pub(crate) fn done(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }
}

/// A layer of one file.
pub(crate) fn file(path: &str, content: &[u8]) -> Vec<u8> {
    Maker::new().raw(path, b'0', content).done()
}

/// A layer of one link.
pub(crate) fn link(kind: u8, path: &str, target: &str) -> Vec<u8> {
    Maker::new().link(kind, path, target).done()
}

async fn unpacked(layers: &[Vec<u8>]) -> (Place, std::path::PathBuf) {
    let place = Place::new();
    let root = place.layout.unpack(&place.image(layers), &place.roots()).await.unwrap().root;
    (place, root)
}

#[tokio::test]
async fn later_layers_replace_and_hide_what_earlier_ones_hold() {
    let lower = Maker::new()
        .raw("./", b'5', b"")
        .raw("./a/", b'5', b"")
        .raw("./a/gone", b'0', b"1")
        .raw("./a/kept", b'0', b"1")
        .raw("./b/gone", b'0', b"1")
        .raw("./b/deep/gone", b'0', b"1")
        .raw("./c/gone", b'0', b"1")
        .raw("./d", b'0', b"1")
        .raw("./e/was-dir", b'0', b"1")
        .link(b'2', "./f", "a")
        .done();
    // Opaque and single whiteouts after and before what the same layer adds.
    let upper = Maker::new()
        .raw("a/.wh.gone", b'0', b"")
        .raw("b/new", b'0', b"2")
        .raw("b/deep/new", b'0', b"2")
        .raw("b/.wh..wh..opq", b'0', b"")
        .raw("c/new", b'0', b"2")
        .raw(".wh.c", b'0', b"")
        .raw("d/", b'5', b"")
        .raw("d/now-dir", b'0', b"2")
        .raw("e", b'0', b"2")
        .raw("f/", b'5', b"")
        .raw("f/own", b'0', b"2")
        .raw(".wh.never-there", b'0', b"")
        .raw("no/.wh.such", b'0', b"")
        .raw(".wh..wh.plnk", b'0', b"")
        .done();
    let (_place, root) = unpacked(&[lower, upper]).await;
    let expected =
        ["a", "a/kept", "b", "b/deep", "b/deep/new", "b/new", "c", "c/new", "d", "d/now-dir", "e", "f", "f/own"];
    assert_eq!(tree(&root), expected);
    assert!(fs::symlink_metadata(root.join("f")).unwrap().is_dir(), "the link gave way to the directory");
}

#[tokio::test]
async fn links_that_stay_inside_work() {
    let long = "x".repeat(150);
    let layer = Maker::new()
        .raw("usr/lib/real", b'0', b"content")
        .link(b'2', "lib", "usr/lib")
        .raw("lib/through-link", b'0', b"content")
        .link(b'1', "hard", "lib/real")
        .link(b'1', "hard-too", "/usr/lib/real")
        .link(b'2', "usr/bin/absolute", "/usr/lib/real")
        .link(b'2', "dangling", "not/yet/here")
        .long_name(&format!("usr/{long}"))
        .raw("short", b'0', b"long")
        .pax(&[("mtime", "1.5"), ("SCHILY.xattr.user.a", "b"), ("linkpath", "usr/lib/real"), ("path", "usr/ä")])
        .link(b'2', "short", "short")
        .raw("pax_global_header", b'g', b"13 comment=ab\n")
        .done();
    let (_place, root) = unpacked(&[layer]).await;
    assert_eq!(fs::read(root.join("usr/lib/through-link")).unwrap(), b"content");
    assert_eq!(fs::metadata(root.join("hard")).unwrap().nlink(), 3);
    assert_eq!(fs::read_link(root.join("usr/bin/absolute")).unwrap().to_str(), Some("../../usr/lib/real"));
    assert_eq!(fs::read(root.join("usr/bin/absolute")).unwrap(), b"content");
    assert_eq!(fs::read(root.join("usr").join(&long)).unwrap(), b"long");
    assert_eq!(fs::read_link(root.join("usr/ä")).unwrap().to_str(), Some("usr/lib/real"));
}

#[tokio::test]
async fn dangerous_bits_are_dropped_and_the_owner_can_always_remove() {
    let layer = Maker::new()
        .mode("setuid", b'0', 0o6755)
        .mode("none", b'0', 0o000)
        .mode("locked/", b'5', 0o000)
        .raw("locked/inside", b'0', b"x")
        .mode("sticky/", b'5', 0o1777)
        .done();
    let (_place, root) = unpacked(&[layer]).await;
    let mode = |path: &str| fs::symlink_metadata(root.join(path)).unwrap().mode() & 0o7777;
    let modes = ["setuid", "none", "locked", "locked/inside", "sticky"].map(mode);
    assert_eq!(modes, [0o755, 0o400, 0o700, 0o755, 0o777]);
}
