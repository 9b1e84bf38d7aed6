//! An OCI image layout (OCI image specification 1.1, image-layout.md): the directory that holds images.
//!
//! Invariant: whatever is stored is complete before it is named, so a crash at any point leaves a valid layout, and
//! several users of the directory, also other processes, do not disturb each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use prograde_model::Digest;
use serde_json::{Map, Value, json};

use crate::blob::Blobs;
use crate::document::{CONFIG, Config, Descriptor, History, LAYER_GZIP, MANIFEST, Manifest, Platform, RootFs, host};
use crate::error::{SupplyError, blocking, io};
use crate::index::{self, Index};
use crate::layer;
use crate::limits::Limits;
use crate::scratch::sync_directory;
use crate::spec::ImageSpec;
use crate::unpack::{self, Aside, UnpackedImage};

/// `imageLayoutVersion`, the only one there is.
const VERSION: &str = "1.0.0";

/// A layout that is open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Layout(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    blobs: Blobs,
    limits: Limits,
}

/// A blob that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
    /// Its media type.
    pub media_type: String,
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltImage {
    /// The manifest's digest: the image's name.
    pub digest: Digest,
    /// Bytes of manifest, configuration and layers together.
    pub size: u64,
    /// The configuration's digest.
    pub config_digest: Digest,
    /// The layers, the lowest first.
    pub layers: Vec<Stored>,
}

/// What an image says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// The manifest's digest.
    pub digest: Digest,
    /// Bytes of manifest, configuration and layers together.
    pub size: u64,
    /// The configuration's digest.
    pub config_digest: Digest,
    /// The layers, the lowest first.
    pub layers: Vec<Stored>,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// The architecture, such as `amd64`.
    pub architecture: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub cmd: Vec<String>,
    /// `Env`, each `NAME=value`.
    pub env: Vec<String>,
    /// `User`.
    pub user: Option<String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `Labels`.
    pub labels: BTreeMap<String, String>,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// One line of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    /// The tag, if it has one.
    pub tag: Option<String>,
    /// The manifest's digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: String,
}

impl Layout {
    /// Opens the layout in `dir`, or makes an empty one there. Blocks for as long as a few small files take.
    pub fn open(dir: &Path) -> Result<Self, SupplyError> {
        Self::with_limits(dir, Limits::default())
    }

    /// The same with other bounds for what is read and built.
    pub fn with_limits(dir: &Path, limits: Limits) -> Result<Self, SupplyError> {
        let blobs = Blobs::open(dir)?;
        let path = dir.join("oci-layout");
        match fs::read(&path) {
            Ok(text) => check_version(&path, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                index::replace(
                    &path,
                    json!({ "imageLayoutVersion": VERSION }).to_string().as_bytes(),
                    blobs.scratch(),
                )?;
                sync_directory(dir)?;
            }
            Err(error) => return Err(io("read", &path)(error)),
        }
        Index::read(dir)?;
        Ok(Self(Arc::new(Inner { dir: dir.to_owned(), blobs, limits })))
    }

    /// Builds an image, stores it and gives it a tag. The same description of the same files gives the same digest.
    pub async fn build(&self, spec: ImageSpec, tag: &str) -> Result<BuiltImage, SupplyError> {
        index::check_tag(tag)?;
        let inner = Arc::clone(&self.0);
        let (image, descriptor) = blocking(move || inner.build(&spec)).await?;
        self.tag_as(descriptor, tag).await?;
        Ok(image)
    }

    /// Gives a tag to an image, taking it from another that has it.
    pub async fn tag(&self, digest: &Digest, tag: &str) -> Result<(), SupplyError> {
        index::check_tag(tag)?;
        let (inner, digest) = (Arc::clone(&self.0), digest.clone());
        let descriptor = blocking(move || {
            let (manifest, size) = inner.manifest(&digest)?;
            let config = inner.config(&manifest)?;
            let mut descriptor = Descriptor::new(MANIFEST, digest, size);
            descriptor.platform = Some(platform(config.architecture, config.os));
            Ok(descriptor)
        });
        self.tag_as(descriptor.await?, tag).await
    }

    /// The image with a tag.
    pub async fn resolve(&self, tag: &str) -> Result<Option<Digest>, SupplyError> {
        let (inner, tag) = (Arc::clone(&self.0), tag.to_owned());
        blocking(move || Ok(Index::read(&inner.dir)?.digest_of(&tag).cloned())).await
    }

    /// All images of the index, in its order.
    pub async fn list(&self) -> Result<Vec<Tagged>, SupplyError> {
        let inner = Arc::clone(&self.0);
        let index = blocking(move || Index::read(&inner.dir)).await?;
        let tagged = |image: Descriptor| Tagged {
            tag: image.tag().map(str::to_owned),
            digest: image.digest,
            media_type: image.media_type,
        };
        Ok(index.manifests.into_iter().map(tagged).collect())
    }

    /// What an image says about itself; manifest and configuration are checked against their digests, layers are not.
    pub async fn inspect(&self, digest: &Digest) -> Result<ImageInfo, SupplyError> {
        let (inner, digest) = (Arc::clone(&self.0), digest.clone());
        blocking(move || inner.inspect(digest)).await
    }

    /// Hashes every blob of an image again.
    pub async fn verify(&self, digest: &Digest) -> Result<(), SupplyError> {
        let (inner, digest) = (Arc::clone(&self.0), digest.clone());
        blocking(move || {
            let (manifest, _) = inner.manifest(&digest)?;
            inner.config(&manifest)?;
            manifest.layers.iter().try_for_each(|layer| inner.blobs.open_verified(layer).map(drop))
        })
        .await
    }

    /// Unpacks an image into the directory `<into>/<hex digits of the digest>`, which appears when it is complete.
    /// Where it is already there it is used again. No privileges are needed; owners, setuid bits and extended
    /// attributes are not kept.
    pub async fn unpack(&self, digest: &Digest, into: &Path) -> Result<UnpackedImage, SupplyError> {
        let (inner, digest, into) = (Arc::clone(&self.0), digest.clone(), into.to_owned());
        blocking(move || {
            let (manifest, _) = inner.manifest(&digest)?;
            let config = inner.config(&manifest)?;
            config.check_platform(&digest)?;
            unpack::unpack(&inner.blobs, inner.limits, &digest, &manifest, config, &into)
        })
        .await
    }

    /// Takes away what was unpacked into a directory and was asked for last before a time, save for what is in use. Nobody may
    /// unpack there meanwhile, who may have been given what is taken away; what is removed then is in nobody's way.
    pub async fn set_aside(
        &self,
        into: &Path,
        used: BTreeSet<Digest>,
        before: Timestamp,
    ) -> Result<Aside, SupplyError> {
        let into = into.to_owned();
        blocking(move || unpack::set_aside(&into, &used, before)).await
    }

    /// Gives a tag to any manifest or index, taking it from another that has it.
    pub async fn tag_descriptor(&self, image: Descriptor, tag: &str) -> Result<(), SupplyError> {
        index::check_tag(tag)?;
        self.tag_as(image, tag).await
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// All entries of the index, in its order. Blocks for one small file.
    pub fn entries(&self) -> Result<Vec<Descriptor>, SupplyError> {
        Ok(Index::read(&self.0.dir)?.manifests)
    }

    pub(crate) fn blobs(&self) -> &Blobs {
        &self.0.blobs
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.limits
    }

    async fn tag_as(&self, image: Descriptor, tag: &str) -> Result<(), SupplyError> {
        let lock = index::lock(&self.0.dir).await?;
        let (inner, tag) = (Arc::clone(&self.0), tag.to_owned());
        // The lock goes along: when the caller is dropped, the write still ends under it.
        blocking(move || {
            let mut index = Index::read(&inner.dir)?;
            index.tag(image, &tag);
            index.write(&inner.dir, inner.blobs.scratch())?;
            drop(lock);
            Ok(())
        })
        .await
    }
}

impl Inner {
    fn build(&self, spec: &ImageSpec) -> Result<(BuiltImage, Descriptor), SupplyError> {
        let (layer_digest, layer_size, diff_id) =
            self.blobs.put(|out| layer::write(spec, self.limits.bytes_max, out, &self.dir))?;
        let (architecture, os) = host();
        let history = History { created: Some(spec.created), created_by: Some("prograde".to_owned()) };
        let config = Config {
            created: Some(spec.created),
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            execution: spec.execution(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: vec![diff_id] },
            history: vec![history],
        };
        let (config_digest, config_size) = self.put_document(&config)?;
        let layer = Descriptor::new(LAYER_GZIP, layer_digest, layer_size);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.to_owned()),
            config: Descriptor::new(CONFIG, config_digest.clone(), config_size),
            layers: vec![layer],
            annotations: spec.annotations(),
        };
        let (digest, manifest_size) = self.put_document(&manifest)?;
        let mut descriptor = Descriptor::new(MANIFEST, digest.clone(), manifest_size);
        descriptor.platform = Some(platform(config.architecture, config.os));
        let size = manifest_size + config_size + layer_size;
        Ok((BuiltImage { digest, size, config_digest, layers: stored(manifest.layers) }, descriptor))
    }

    fn put_document(&self, document: &impl serde::Serialize) -> Result<(Digest, u64), SupplyError> {
        let text = serde_json::to_vec(document)
            .map_err(|error| SupplyError::InvalidLayout { path: self.dir.clone(), why: error.to_string() })?;
        self.blobs.put_bytes(&text)
    }

    fn manifest(&self, digest: &Digest) -> Result<(Manifest, u64), SupplyError> {
        let text = self.blobs.read_document(digest)?;
        let manifest = Manifest::parse(digest, &text)?;
        if manifest.layers.len() > self.limits.layers_max {
            let limit = format!("{} layers", self.limits.layers_max);
            return Err(SupplyError::TooLarge { what: format!("the image {digest}"), limit });
        }
        Ok((manifest, text.len() as u64))
    }

    fn config(&self, manifest: &Manifest) -> Result<Config, SupplyError> {
        Config::parse(&self.blobs.read_document(&manifest.config.digest)?, manifest)
    }

    fn inspect(&self, digest: Digest) -> Result<ImageInfo, SupplyError> {
        let (manifest, manifest_size) = self.manifest(&digest)?;
        let config = self.config(&manifest)?;
        let layers_size = manifest.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
        let execution = config.execution;
        Ok(ImageInfo {
            digest,
            size: layers_size.saturating_add(manifest.config.size).saturating_add(manifest_size),
            config_digest: manifest.config.digest,
            layers: stored(manifest.layers),
            created: config.created,
            architecture: config.architecture,
            os: config.os,
            entrypoint: execution.entrypoint.unwrap_or_default(),
            cmd: execution.cmd.unwrap_or_default(),
            env: execution.env.unwrap_or_default(),
            user: execution.user,
            working_dir: execution.working_dir,
            labels: execution.labels.unwrap_or_default(),
            annotations: manifest.annotations,
        })
    }
}

fn stored(layers: Vec<Descriptor>) -> Vec<Stored> {
    let stored = |layer: Descriptor| Stored { digest: layer.digest, size: layer.size, media_type: layer.media_type };
    layers.into_iter().map(stored).collect()
}

fn platform(architecture: String, os: String) -> Platform {
    Platform { architecture, os, others: Map::new() }
}

fn check_version(path: &Path, text: &[u8]) -> Result<(), SupplyError> {
    let invalid = |why: String| SupplyError::InvalidLayout { path: path.to_owned(), why };
    let document: Value = serde_json::from_slice(text).map_err(|error| invalid(error.to_string()))?;
    match document.get("imageLayoutVersion").and_then(Value::as_str) {
        Some(VERSION) => Ok(()),
        Some(other) => Err(invalid(format!("version {:?}, expected {VERSION:?}", crate::error::cut(other, 50)))),
        None => Err(invalid("no `imageLayoutVersion`".to_owned())),
    }
}
