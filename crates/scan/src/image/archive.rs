//! Where an image's documents and layers are: files of a directory, or parts of an archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use prograde_model::Diagnostic;
use serde::Deserialize;

use super::{BYTES_MAX, malformed};
use crate::codes;

/// The largest document, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most files of an archive.
const ENTRIES_MAX: usize = 100_000;
/// The most layers.
const LAYERS_MAX: usize = 1000;
/// How deep indexes may name other indexes.
const INDEXES_MAX: usize = 8;

/// An image that is open.
pub(super) enum Store {
    Directory(PathBuf),
    Archive { file: File, parts: BTreeMap<String, (u64, u64)> },
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layer {
    /// Its place in the store.
    pub(super) name: String,
    /// Its digest, where one is said.
    pub(super) digest: Option<String>,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, Diagnostic> {
        let shown = path.display().to_string();
        let bad = |error: io::Error| malformed(&shown, error);
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let mut file = File::open(path).map_err(bad)?;
        let mut start = [0_u8; 2];
        let length = file.read(&mut start).map_err(bad)?;
        file.rewind().map_err(bad)?;
        if start.get(..length) == Some(&[0x1f, 0x8b]) {
            file = unpacked(file, &shown)?;
        }
        let mut parts = BTreeMap::new();
        let mut archive = tar::Archive::new(BufReader::new(&file));
        for entry in archive.entries_with_seek().map_err(bad)? {
            let entry = entry.map_err(bad)?;
            if entry.header().entry_type().is_file() {
                let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
                parts.insert(name, (entry.raw_file_position(), entry.size()));
            } else if let Some(target) = entry.link_name_bytes() {
                // `docker save` links layers that are the same.
                let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
                let target = resolved(&name, &String::from_utf8_lossy(&target));
                if let Some(place) = target.and_then(|target| parts.get(&target).copied()) {
                    parts.insert(name, place);
                }
            }
            if parts.len() > ENTRIES_MAX {
                return Err(malformed(&shown, format!("it has more than {ENTRIES_MAX} files")));
            }
        }
        Ok(Self::Archive { file, parts })
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(folder) => folder.join(name).is_file(),
            Self::Archive { parts, .. } => parts.contains_key(name),
        }
    }

    /// Reads a part.
    pub(super) fn with<T>(
        &self,
        name: &str,
        shown: &str,
        read: impl FnOnce(&mut dyn Read, u64) -> Result<T, Diagnostic>,
    ) -> Result<T, Diagnostic> {
        let missing = |error: io::Error| malformed(shown, format!("`{name}` can't be read: {error}"));
        match self {
            Self::Directory(folder) => {
                let file = File::open(folder.join(name)).map_err(missing)?;
                let size = file.metadata().map_err(missing)?.len();
                read(&mut BufReader::with_capacity(128 * 1024, file), size)
            }
            Self::Archive { file, parts } => {
                let (at, size) = parts.get(name).ok_or_else(|| missing(io::ErrorKind::NotFound.into()))?;
                let mut file = file.try_clone().map_err(missing)?;
                file.seek(SeekFrom::Start(*at)).map_err(missing)?;
                read(&mut BufReader::with_capacity(128 * 1024, file.take(*size)), *size)
            }
        }
    }

    fn document(&self, name: &str, shown: &str) -> Result<Vec<u8>, Diagnostic> {
        self.with(name, shown, |reader, _| {
            let mut bytes = Vec::new();
            reader.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| malformed(shown, error))?;
            if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
                return Err(Diagnostic::file(
                    codes::TOO_LARGE,
                    shown,
                    format!("`{name}` is larger than a document may be"),
                    "",
                ));
            }
            Ok(bytes)
        })
    }
}

/// The target of a link, from the place where it stands.
fn resolved(name: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn unpacked(file: File, shown: &str) -> Result<File, Diagnostic> {
    let bad = |error: io::Error| malformed(shown, error);
    let mut out = tempfile::tempfile().map_err(bad)?;
    let mut reader = flate2::read::GzDecoder::new(BufReader::new(file)).take(BYTES_MAX + 1);
    if io::copy(&mut reader, &mut out).map_err(bad)? > BYTES_MAX {
        return Err(Diagnostic::file(
            codes::TOO_LARGE,
            shown,
            format!("it unpacks to more than {BYTES_MAX} bytes"),
            "",
        ));
    }
    out.rewind().map_err(bad)?;
    Ok(out)
}

#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize, Clone)]
struct Descriptor {
    digest: String,
    platform: Option<Platform>,
}

#[derive(Deserialize, Clone)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

/// The layers of the image that fits this machine, the lowest first.
pub(super) fn layers(store: &Store, shown: &str) -> Result<Vec<Layer>, Diagnostic> {
    let layers = if store.has("index.json") {
        let text = store.document("index.json", shown)?;
        let index: Index =
            serde_json::from_slice(&text).map_err(|error| malformed(shown, format!("index.json: {error}")))?;
        of_index(store, shown, &index.manifests)?
    } else if store.has("manifest.json") {
        let text = store.document("manifest.json", shown)?;
        let saved: Vec<Saved> =
            serde_json::from_slice(&text).map_err(|error| malformed(shown, format!("manifest.json: {error}")))?;
        let [image] = saved.as_slice() else {
            return Err(malformed(shown, format!("it has {} images, expected one", saved.len())));
        };
        image.layers.iter().map(|name| Layer { name: name.clone(), digest: None }).collect()
    } else {
        return Err(malformed(shown, "it has neither index.json nor manifest.json"));
    };
    if layers.len() > LAYERS_MAX {
        return Err(malformed(shown, format!("it has more than {LAYERS_MAX} layers")));
    }
    Ok(layers)
}

fn of_index(store: &Store, shown: &str, manifests: &[Descriptor]) -> Result<Vec<Layer>, Diagnostic> {
    let mut listed = manifests.to_vec();
    for _ in 0..INDEXES_MAX {
        let chosen = chosen(&listed).ok_or_else(|| malformed(shown, "its index names no image"))?;
        let text = store.document(&blob(&chosen.digest, shown)?, shown)?;
        if crate::image::layers::digest_of(&text) != chosen.digest && chosen.digest.starts_with("sha256:") {
            return Err(malformed(shown, format!("the manifest is not what its digest {} says", chosen.digest)));
        }
        let manifest: Manifest =
            serde_json::from_slice(&text).map_err(|error| malformed(shown, format!("the manifest: {error}")))?;
        if manifest.manifests.is_empty() {
            let layer = |layer: &Descriptor| {
                Ok(Layer { name: blob(&layer.digest, shown)?, digest: Some(layer.digest.clone()) })
            };
            return manifest.layers.iter().map(layer).collect();
        }
        listed = manifest.manifests;
    }
    Err(malformed(shown, format!("its indexes are nested more than {INDEXES_MAX} deep")))
}

/// The image for this machine, else the first that is one; attestations say that they are for no system.
fn chosen(listed: &[Descriptor]) -> Option<&Descriptor> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let fits = |one: &&Descriptor| {
        one.platform.as_ref().is_some_and(|platform| platform.architecture == architecture && platform.os == "linux")
    };
    let image = |one: &&Descriptor| one.platform.as_ref().is_none_or(|platform| platform.os != "unknown");
    listed.iter().find(fits).or_else(|| listed.iter().find(image))
}

fn blob(digest: &str, shown: &str) -> Result<String, Diagnostic> {
    let (algorithm, digits) = digest.split_once(':').unwrap_or((digest, ""));
    let good = ["sha256", "sha512"].contains(&algorithm)
        && digits.len() >= 64
        && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if good {
        Ok(format!("blobs/{algorithm}/{digits}"))
    } else {
        Err(malformed(shown, format!("`{}` is no digest", digest.chars().take(80).collect::<String>())))
    }
}
