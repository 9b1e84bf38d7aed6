//! Reads images wherever they are: a registry, a layout, an archive. Every document is checked against its digest, and
//! a list of lists ends.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::Path;

use prograde_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::blob::DOCUMENT_BYTES_MAX;
use crate::client::{Client, Reference, RegistryError, Repository};
use crate::document::{DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, INDEX, MANIFEST, Platform, host};
use crate::error::{SupplyError, cut};
use crate::layout::Layout;

/// How deep lists of images may be nested; one is usual.
const DEPTH_MAX: usize = 3;
/// How many images one list may lead to.
const IMAGES_MAX: usize = 500;

/// What went wrong with an image that is here or there.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// At the registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// On this machine.
    #[error(transparent)]
    Supply(#[from] SupplyError),
    /// There is no such image.
    #[error("{what} is not in {place}: it has {has}")]
    Missing {
        /// What was looked for.
        what: String,
        /// Where.
        place: String,
        /// What is there instead.
        has: String,
    },
}

/// Where images are read from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A repository of a registry.
    Registry(Client, Repository),
    /// A directory.
    Layout(Layout),
}

/// One image of one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Its manifest.
    pub descriptor: Descriptor,
    /// Its configuration's descriptor.
    pub config_descriptor: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest's annotations.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// What kind of artifact it is, where it is no image.
    pub artifact_type: Option<String>,
    /// Its configuration.
    pub config: Value,
}

/// An image with all its platforms.
#[derive(Debug, Clone, PartialEq)]
pub struct Viewed {
    /// What was named: a manifest or an index.
    pub root: Descriptor,
    /// The images.
    pub images: Vec<View>,
}

/// What manifests and indexes have in common.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(default)]
    pub(super) manifests: Option<Vec<Descriptor>>,
    #[serde(default)]
    pub(super) config: Option<Descriptor>,
    #[serde(default)]
    pub(super) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(super) annotations: Option<std::collections::BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) artifact_type: Option<String>,
}

impl Document {
    pub(super) fn parse(descriptor: &Descriptor, bytes: &[u8]) -> Result<Self, SupplyError> {
        let invalid = |why: String| SupplyError::InvalidDocument {
            digest: descriptor.digest.clone(),
            what: "manifest",
            why: cut(&why, 300),
        };
        let document: Self = serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        let is_index = [INDEX, DOCKER_INDEX].contains(&descriptor.media_type.as_str());
        if !is_index && ![MANIFEST, DOCKER_MANIFEST].contains(&descriptor.media_type.as_str()) {
            let (digest, media_type) = (descriptor.digest.clone(), cut(&descriptor.media_type, 100));
            return Err(SupplyError::UnsupportedMediaType { digest, media_type });
        }
        // What is an index to one reader and a manifest to another is a trap (GHSA-77vh-xpmg-72qh).
        match (&document.manifests, &document.config) {
            (Some(_), None) if is_index && document.layers.is_empty() => Ok(document),
            (None, Some(_)) if !is_index => Ok(document),
            _ => Err(invalid(format!("it has not what a {} has", cut(&descriptor.media_type, 100)))),
        }
    }
}

/// A platform as people write it: `os/architecture[/variant]`.
pub fn platform_of(text: &str) -> Option<Platform> {
    let parts: Vec<&str> = text.split('/').collect();
    let is_word = |part: &&str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    let (os, architecture, variant) = match parts.as_slice() {
        [os, architecture] => (os, architecture, None),
        [os, architecture, variant] => (os, architecture, Some(variant)),
        _ => return None,
    };
    if !parts.iter().all(is_word) {
        return None;
    }
    let others = variant.iter().map(|variant| ("variant".to_owned(), Value::from(**variant))).collect();
    Some(Platform { architecture: (*architecture).to_owned(), os: (*os).to_owned(), others })
}

impl Platform {
    /// This machine's.
    pub fn host() -> Self {
        let (architecture, os) = host();
        Self { architecture: architecture.to_owned(), os: os.to_owned(), others: serde_json::Map::new() }
    }

    /// Its short form, such as `linux/arm/v7`.
    pub fn name(&self) -> String {
        let variant = self.others.get("variant").and_then(Value::as_str).filter(|variant| !variant.is_empty());
        let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        format!("{}/{}{variant}", self.os, self.architecture)
    }

    /// Whether an image for `other` is one for this: same machine, and the same variant where one is asked for.
    pub fn fits(&self, other: &Self) -> bool {
        let variant = |platform: &Self| platform.others.get("variant").cloned();
        self.os == other.os
            && self.architecture == other.architecture
            && (variant(self).is_none() || variant(self) == variant(other))
    }
}

impl Source {
    /// Its name in messages.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Registry(_, repository) => repository.to_string(),
            Self::Layout(layout) => layout.dir().display().to_string(),
        }
    }

    /// What a layout has under a tag or a digest; with neither, the only one that it has.
    pub fn find(layout: &Layout, name: Option<&str>) -> Result<Descriptor, ImageError> {
        let entries = layout.entries()?;
        let tags: Vec<&str> = entries.iter().filter_map(Descriptor::tag).collect();
        let has = if tags.is_empty() { format!("{} without tags", entries.len()) } else { tags.join(", ") };
        let missing = |what: &str| ImageError::Missing {
            what: what.to_owned(),
            place: layout.dir().display().to_string(),
            has: cut(&has, 300),
        };
        if let Some(name) = name {
            let named = |entry: &&Descriptor| entry.tag() == Some(name) || entry.digest.as_str() == name;
            entries.iter().find(named).cloned().ok_or_else(|| missing(name))
        } else {
            // Artifacts that belong to an image stand in the list without being meant.
            let mut images = entries.iter().filter(|entry| entry.artifact_type.is_none());
            match (images.next(), images.next()) {
                (Some(only), None) => Ok(only.clone()),
                _ => Err(missing("the one image that is meant")),
            }
        }
    }

    /// What a registry has under a name.
    pub fn remote(client: &Client, reference: &Reference) -> Result<(Self, Descriptor, Vec<u8>), ImageError> {
        let fetched = client.fetch_manifest(reference)?;
        let descriptor = Descriptor::new(&fetched.media_type, fetched.digest, fetched.bytes.len() as u64);
        Ok((Self::Registry(client.clone(), reference.repository().clone()), descriptor, fetched.bytes))
    }

    /// The bytes of a manifest.
    pub(super) fn manifest(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        match self {
            Self::Registry(client, repository) => Ok(client.fetch_manifest(&repository.at(&descriptor.digest))?.bytes),
            Self::Layout(layout) => Ok(layout.blobs().read_document(&descriptor.digest)?),
        }
    }

    /// The bytes of a configuration or another small blob.
    pub fn small(&self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        match self {
            Self::Registry(client, repository) => {
                Ok(client.fetch_blob(repository, &descriptor.digest, DOCUMENT_BYTES_MAX)?)
            }
            Self::Layout(layout) => Ok(layout.blobs().read_document(&descriptor.digest)?),
        }
    }

    /// A layer, checked, at its start.
    pub(super) fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read>, ImageError> {
        match self {
            Self::Registry(client, repository) => {
                let told =
                    |source| SupplyError::Io { action: "use a temporary file for", path: "a layer".into(), source };
                let mut file: File = tempfile::tempfile().map_err(told)?;
                client.fetch_blob_into(repository, &descriptor.digest, descriptor.size, &mut file, &mut |_| {})?;
                file.rewind().map_err(told)?;
                Ok(Box::new(file))
            }
            Self::Layout(layout) => Ok(Box::new(layout.blobs().open_verified(descriptor)?)),
        }
    }

    /// All images that a manifest or index leads to.
    pub fn view(&self, root: &Descriptor) -> Result<Viewed, ImageError> {
        let mut images = Vec::new();
        for (descriptor, document) in self.manifests(root, None)? {
            let Some(config_descriptor) = document.config else { continue };
            let config = if config_descriptor.media_type.ends_with("json") {
                let bytes = self.small(&config_descriptor)?;
                serde_json::from_slice(&bytes).map_err(|error| SupplyError::InvalidDocument {
                    digest: config_descriptor.digest.clone(),
                    what: "image configuration",
                    why: error.to_string(),
                })?
            } else {
                Value::Null
            };
            let (annotations, layers) = (document.annotations.unwrap_or_default(), document.layers);
            let artifact_type = document.artifact_type;
            images.push(View { descriptor, config_descriptor, layers, annotations, artifact_type, config });
        }
        Ok(Viewed { root: root.clone(), images })
    }

    /// The manifests below a root, without indexes; of one platform, if one is named.
    pub(super) fn manifests(
        &self,
        root: &Descriptor,
        platform: Option<&Platform>,
    ) -> Result<Vec<(Descriptor, Document)>, ImageError> {
        let too_many = |limit: String| SupplyError::TooLarge { what: format!("the list {}", root.digest), limit };
        let (mut waiting, mut found, mut seen) = (vec![(root.clone(), 0)], Vec::new(), Vec::new());
        while let Some((descriptor, depth)) = waiting.pop() {
            let bytes = self.manifest(&descriptor)?;
            let document = Document::parse(&descriptor, &bytes)?;
            let Some(children) = document.manifests else {
                found.push((descriptor, document));
                continue;
            };
            if depth >= DEPTH_MAX {
                return Err(too_many(format!("{DEPTH_MAX} lists within each other")).into());
            }
            if seen.len() + children.len() > IMAGES_MAX {
                return Err(too_many(format!("{IMAGES_MAX} images")).into());
            }
            let is_index = |child: &Descriptor| [INDEX, DOCKER_INDEX].contains(&child.media_type.as_str());
            let fits = |child: &Descriptor| match (platform, &child.platform) {
                (None, _) => true,
                (Some(wanted), Some(has)) => wanted.fits(has),
                (Some(_), None) => is_index(child),
            };
            // The last one in is the first one out, and the order is told to people.
            for child in children.into_iter().rev() {
                if fits(&child) && !seen.contains(&child.digest) {
                    seen.push(child.digest.clone());
                    waiting.push((child, depth + 1));
                }
            }
        }
        if found.is_empty()
            && let Some(wanted) = platform
        {
            return Err(ImageError::Missing {
                what: format!("an image for {}", wanted.name()),
                place: self.place(),
                has: "others".to_owned(),
            });
        }
        Ok(found)
    }
}

/// Whether a directory is a layout.
pub fn is_layout(path: &Path) -> bool {
    path.join("oci-layout").is_file()
}

impl Viewed {
    /// Bytes of everything.
    pub fn size(&self) -> u64 {
        let of = |image: &View| {
            let layers = image.layers.iter().fold(0_u64, |sum, layer| sum.saturating_add(layer.size));
            layers.saturating_add(image.config_descriptor.size).saturating_add(image.descriptor.size)
        };
        self.images.iter().map(of).fold(0, u64::saturating_add)
    }
}

impl View {
    /// What it runs on, as its configuration says, or else as the list says that names it.
    pub fn platform(&self) -> Option<Platform> {
        let text =
            |key| self.config.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let own = text("architecture").zip(text("os")).map(|(architecture, os)| {
            let others =
                text("variant").map(|variant| ("variant".to_owned(), Value::from(variant))).into_iter().collect();
            Platform { architecture, os, others }
        });
        own.or_else(|| self.descriptor.platform.clone())
    }

    /// The digest of its manifest.
    pub fn digest(&self) -> &Digest {
        &self.descriptor.digest
    }
}
