//! `index.json` (OCI image specification, image-layout.md, section "index.json file"): which images have which tag.
//!
//! Invariant: it is replaced as a whole, by one writer at a time, in this process and in others.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use prograde_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::document::{Descriptor, INDEX, annotation};
use crate::error::{SupplyError, blocking, cut, io};
use crate::scratch::{Scratch, lock_file, sync_directory};

const BYTES_MAX: u64 = 64 << 20;
const LOCK_WAIT: Duration = Duration::from_secs(30);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const TAG_BYTES_MAX: usize = 255;

/// The images of a layout.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    schema_version: u32,
    pub(crate) manifests: Vec<Descriptor>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Index {
    fn empty() -> Self {
        let others = Map::from_iter([("mediaType".to_owned(), json!(INDEX))]);
        Self { schema_version: 2, manifests: Vec::new(), others }
    }

    /// The index of the layout in `dir`; an empty one where none has been written.
    pub(crate) fn read(dir: &Path) -> Result<Self, SupplyError> {
        let path = dir.join("index.json");
        let invalid = |why: String| SupplyError::InvalidLayout { path: path.clone(), why: cut(&why, 300) };
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty()),
            opened => opened.map_err(io("open", &path))?,
        };
        let mut text = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(io("read", &path))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(invalid(format!("it is larger than {BYTES_MAX} bytes")));
        }
        serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))
    }

    /// Writes it in place of the present one.
    pub(crate) fn write(&self, dir: &Path, scratch: &Scratch) -> Result<(), SupplyError> {
        let path = dir.join("index.json");
        let text = serde_json::to_vec(self)
            .map_err(|error| SupplyError::InvalidLayout { path: path.clone(), why: error.to_string() })?;
        replace(&path, &text, scratch)?;
        sync_directory(dir)
    }

    /// Gives the tag to an image and takes it from the one that had it.
    pub(crate) fn tag(&mut self, mut image: Descriptor, tag: &str) {
        self.manifests.retain(|other| other.tag() != Some(tag));
        image.annotations.insert(annotation::REF_NAME.to_owned(), tag.to_owned());
        self.manifests.push(image);
    }

    /// The image with this tag.
    pub(crate) fn digest_of(&self, tag: &str) -> Option<&Digest> {
        self.manifests.iter().find(|image| image.tag() == Some(tag)).map(|image| &image.digest)
    }
}

/// Replaces a small file by one rename, so that a reader sees the old or the new one and never half of it.
pub(crate) fn replace(path: &Path, bytes: &[u8], scratch: &Scratch) -> Result<(), SupplyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut file = scratch.file()?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(io("set the mode of", path))?;
    file.as_file().sync_all().map_err(io("sync", path))?;
    file.persist(path).map_err(|error| io("replace", path)(error.error))?;
    Ok(())
}

/// Waits for the right to write the index; it ends when the file is closed.
pub(crate) async fn lock(dir: &Path) -> Result<File, SupplyError> {
    let path: PathBuf = dir.join("index.lock");
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        let at = path.clone();
        let attempt = blocking(move || {
            let file = lock_file(&at)?;
            match file.try_lock() {
                Ok(()) => Ok(Some(file)),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(io("lock", &at)(error)),
            }
        });
        if let Some(file) = attempt.await? {
            return Ok(file);
        }
        if Instant::now() >= deadline {
            return Err(SupplyError::Busy { path });
        }
        sleep(LOCK_PAUSE).await;
    }
}

/// Refuses what the specification does not allow as a tag: `component ("/" component)*`, where a component is letters
/// and digits with single separators out of `-._:@+`, or `--`, between them.
pub(crate) fn check_tag(tag: &str) -> Result<(), SupplyError> {
    let is_separator = |c: char| "-._:@+".contains(c);
    let component = |text: &str| {
        let plain = text.replace("--", "-");
        let ends = plain.starts_with(is_separator) || plain.ends_with(is_separator);
        let allowed = plain.chars().all(|c| c.is_ascii_alphanumeric() || is_separator(c));
        let single = !plain.chars().zip(plain.chars().skip(1)).any(|(a, b)| is_separator(a) && is_separator(b));
        !plain.is_empty() && !ends && allowed && single
    };
    if tag.len() <= TAG_BYTES_MAX && tag.split('/').all(component) {
        Ok(())
    } else {
        Err(SupplyError::InvalidTag { tag: cut(tag, 100) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_specification() {
        for good in ["latest", "v1.0.0", "pad/main", "a--b", "a@b:c+d", &"a".repeat(255)] {
            assert!(check_tag(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a//b", "/a", "a b", "ä", "../up", "a---b", &"a".repeat(256)] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_others_wrote_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(dir.path().join("tmp")).unwrap();
        let text = json!({
            "schemaVersion": 2,
            "annotations": { "a": "b" },
            "manifests": [{
                "mediaType": "application/x", "size": 1, "digest": format!("sha256:{}", "0".repeat(64)),
                "artifactType": "y",
            }],
        });
        fs::write(dir.path().join("index.json"), text.to_string()).unwrap();
        let mut index = Index::read(dir.path()).unwrap();
        let digest: Digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
        for _ in 0..2 {
            index.tag(Descriptor::new("application/z", digest.clone(), 2), "main");
        }
        index.write(dir.path(), &scratch).unwrap();
        let written: Value = serde_json::from_slice(&fs::read(dir.path().join("index.json")).unwrap()).unwrap();
        assert_eq!(written["annotations"], text["annotations"]);
        assert_eq!(written["manifests"][0], text["manifests"][0]);
        assert_eq!(written["manifests"].as_array().unwrap().len(), 2, "a tag is there once");
        assert_eq!(Index::read(dir.path()).unwrap().digest_of("main"), Some(&digest));
    }

    #[test]
    fn a_broken_index_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for broken in
            ["", "{", "[]", r#"{"schemaVersion":2}"#, r#"{"schemaVersion":2,"manifests":[{"digest":"../x"}]}"#]
        {
            fs::write(dir.path().join("index.json"), broken).unwrap();
            let error = Index::read(dir.path()).unwrap_err().to_string();
            assert!(error.contains("index.json is not an OCI image layout: "), "{broken}: {error}");
        }
    }
}
