//! The JSON documents of an image (OCI image specification 1.1: descriptor.md, manifest.md, image-index.md, config.md).

use std::collections::BTreeMap;

use prograde_model::Digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{SupplyError, cut};

/// Keys of annotations and labels (annotations.md, section "Pre-Defined Annotation Keys").
pub mod annotation {
    /// What all of them start with.
    pub const PREFIX: &str = "org.opencontainers.image.";
    /// When the image was made, RFC 3339.
    pub const CREATED: &str = "org.opencontainers.image.created";
    /// The commit.
    pub const REVISION: &str = "org.opencontainers.image.revision";
    /// Where the source is.
    pub const SOURCE: &str = "org.opencontainers.image.source";
    /// The version of what is packed.
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// The name for people.
    pub const TITLE: &str = "org.opencontainers.image.title";
    /// What the image was made from.
    pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
    /// Which one of that name it was.
    pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
    /// The tag, on a descriptor in `index.json`.
    pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Of what has no configuration (manifest.md, "Guidance for an Empty Descriptor").
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// What Docker calls its own (distribution, "Image Manifest Version 2, Schema 2").
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
pub(crate) const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A blob by what it is, its digest and its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// What kind of artifact the manifest is that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What the image runs on that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What others wrote and is kept when `index.json` is rewritten.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Descriptor {
    /// One without annotations.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        let (media_type, annotations, others) = (media_type.to_owned(), BTreeMap::new(), Map::new());
        Self { media_type, digest, size, artifact_type: None, annotations, platform: None, others }
    }

    pub(crate) fn tag(&self) -> Option<&str> {
        self.annotations.get(annotation::REF_NAME).map(String::as_str)
    }
}

/// What an image runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// The architecture, such as `amd64`.
    pub architecture: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// What else is said of it, such as `variant`.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// This machine's architecture and operating system, in Go's words, which the specification uses.
pub(crate) fn host() -> (&'static str, &'static str) {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        other => other,
    };
    (architecture, std::env::consts::OS)
}

/// The manifest of one image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The configuration of one image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<jiff::Timestamp>,
    pub(crate) architecture: String,
    pub(crate) os: String,
    #[serde(default, rename = "config")]
    pub(crate) execution: Execution,
    pub(crate) rootfs: RootFs,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<History>,
}

/// How a container of the image starts. Tools write `null` where nothing is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Execution {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) working_dir: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// The digests of the uncompressed layers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RootFs {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) diff_ids: Vec<Digest>,
}

/// Where a layer came from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<jiff::Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
}

fn parsed<T: DeserializeOwned>(digest: &Digest, what: &'static str, bytes: &[u8]) -> Result<T, SupplyError> {
    let invalid = |error: serde_json::Error| SupplyError::InvalidDocument {
        digest: digest.clone(),
        what,
        why: cut(&error.to_string(), 300),
    };
    serde_json::from_slice(bytes).map_err(invalid)
}

fn unsupported(digest: &Digest, media_type: &str) -> SupplyError {
    SupplyError::UnsupportedMediaType { digest: digest.clone(), media_type: cut(media_type, 100) }
}

impl Manifest {
    /// The manifest in these bytes, if it is one that can be used.
    pub(crate) fn parse(digest: &Digest, bytes: &[u8]) -> Result<Self, SupplyError> {
        let document: Map<String, Value> = parsed(digest, "image manifest", bytes)?;
        match document.get("mediaType") {
            None | Some(Value::String(_)) => {}
            Some(other) => return Err(unsupported(digest, &other.to_string())),
        }
        let media_type = document.get("mediaType").and_then(Value::as_str);
        if media_type.is_some_and(|media_type| media_type != MANIFEST) {
            return Err(unsupported(digest, media_type.unwrap_or_default()));
        }
        // What is an index to one reader and a manifest to another is a trap (GHSA-77vh-xpmg-72qh).
        if document.contains_key("manifests") {
            return Err(unsupported(digest, INDEX));
        }
        let manifest: Self = parsed(digest, "image manifest", bytes)?;
        if manifest.config.media_type != CONFIG {
            return Err(unsupported(&manifest.config.digest, &manifest.config.media_type));
        }
        let unknown = manifest.layers.iter().find(|layer| ![LAYER, LAYER_GZIP].contains(&layer.media_type.as_str()));
        match unknown {
            Some(layer) => Err(unsupported(&layer.digest, &layer.media_type)),
            None => Ok(manifest),
        }
    }
}

impl Config {
    /// The configuration in these bytes, if it fits the manifest.
    pub(crate) fn parse(bytes: &[u8], manifest: &Manifest) -> Result<Self, SupplyError> {
        let digest = &manifest.config.digest;
        let config: Self = parsed(digest, "image configuration", bytes)?;
        if config.rootfs.diff_ids.len() != manifest.layers.len() {
            let why = format!("{} layers, {} diff ids", manifest.layers.len(), config.rootfs.diff_ids.len());
            return Err(SupplyError::InvalidDocument { digest: digest.clone(), what: "image configuration", why });
        }
        Ok(config)
    }

    /// Refuses an image for another kind of machine.
    pub(crate) fn check_platform(&self, image: &Digest) -> Result<(), SupplyError> {
        let (architecture, os) = host();
        if (self.architecture.as_str(), self.os.as_str()) == (architecture, os) {
            return Ok(());
        }
        let found = cut(&format!("{}/{}", self.os, self.architecture), 100);
        Err(SupplyError::WrongPlatform { subject: image.to_string(), found, host: format!("{os}/{architecture}") })
    }
}
