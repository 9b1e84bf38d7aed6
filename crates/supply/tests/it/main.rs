//! Images as their users meet them: built, stored, read again, attacked, and read by other people's tools.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

mod build;
mod client;
mod hostile;
mod images;
mod layers;
mod peers;
mod registry;

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use prograde_model::Digest;
use prograde_supply::{ImageSpec, Layout, Limits};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A time as good as any.
fn some_time() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// A directory with a script that can be packed.
struct Artifact {
    dir: TempDir,
}

impl Artifact {
    fn new(content: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("pad"), content).unwrap();
        Self { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("pad")
    }

    fn spec(&self) -> ImageSpec {
        ImageSpec::of_program(self.path(), "/app/pad", some_time())
    }
}

/// A layout in a directory of its own, with a place to unpack to.
struct Place {
    dir: TempDir,
    layout: Layout,
}

impl Place {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::with_limits(&dir.path().join("layout"), limits).unwrap();
        Self { dir, layout }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("layout")
    }

    fn roots(&self) -> PathBuf {
        self.dir.path().join("roots")
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path().join("blobs/sha256").join(digest.hex())
    }

    /// Stores a blob without the help of what is tested.
    fn put(&self, bytes: &[u8]) -> Digest {
        let digest = digest_of(bytes);
        fs::write(self.blob(&digest), bytes).unwrap();
        digest
    }

    fn put_json(&self, document: &Value) -> Digest {
        self.put(document.to_string().as_bytes())
    }

    /// An image of these uncompressed layers, made by hand.
    fn image(&self, layers: &[Vec<u8>]) -> Digest {
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|layer| {
                let digest = self.put(layer);
                descriptor("application/vnd.oci.image.layer.v1.tar", &digest, layer.len())
            })
            .collect();
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| digest_of(layer)).collect();
        self.image_of(&descriptors, &diff_ids)
    }

    fn image_of(&self, layers: &[Value], diff_ids: &[Digest]) -> Digest {
        let config = json!({
            "architecture": architecture(),
            "os": "linux",
            "config": { "Entrypoint": ["/bin/app"], "Cmd": null },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let size = config.to_string().len();
        let config = descriptor("application/vnd.oci.image.config.v1+json", &self.put_json(&config), size);
        self.put_json(&json!({ "schemaVersion": 2, "config": config, "layers": layers }))
    }
}

fn digest_of(bytes: &[u8]) -> Digest {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes))).parse().unwrap()
}

fn descriptor(media_type: &str, digest: &Digest, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// All paths below a directory, sorted.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            found.push(entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
