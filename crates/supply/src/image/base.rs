//! What an image is laid on: another one, fetched into the layout and known by its digest.

use prograde_model::Digest;
use serde_json::Value;

use super::transfer::{Told, fetch_all};
use super::view::{ImageError, Source};
use crate::client::{Client, Reference};
use crate::document::{CONFIG, DOCKER_LAYER_GZIP, Descriptor, LAYER, LAYER_GZIP, LAYER_ZSTD, Platform};
use crate::error::{SupplyError, cut};
use crate::layout::Layout;

/// What Docker calls a configuration.
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// A base, whose layers are in the layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Base {
    /// Its reference as it was written, in full.
    pub name: String,
    /// The digest that the reference had: of the image, or of the list with one for each platform.
    pub digest: Digest,
    pub(super) layers: Vec<Descriptor>,
    pub(super) config: Value,
}

/// Fetches the image for one platform; what the layout has already is not fetched again.
pub fn fetch_base(
    client: &Client,
    reference: &Reference,
    platform: &Platform,
    layout: &Layout,
    told: Told<'_>,
) -> Result<Base, ImageError> {
    let (source, root, _) = Source::remote(client, reference)?;
    let mut found = source.manifests(&root, Some(platform))?;
    let (descriptor, document) = found.pop().ok_or_else(|| ImageError::Missing {
        what: format!("an image for {}", platform.name()),
        place: reference.to_string(),
        has: "none".to_owned(),
    })?;
    let unsupported = |digest: &Digest, media_type: &str| SupplyError::UnsupportedMediaType {
        digest: digest.clone(),
        media_type: cut(media_type, 100),
    };
    let config = document.config.ok_or_else(|| unsupported(&descriptor.digest, &descriptor.media_type))?;
    if ![CONFIG, DOCKER_CONFIG].contains(&config.media_type.as_str()) {
        return Err(unsupported(&config.digest, &config.media_type).into());
    }
    let mut layers = Vec::new();
    for layer in document.layers {
        let media_type = match layer.media_type.as_str() {
            DOCKER_LAYER_GZIP => LAYER_GZIP,
            known @ (LAYER | LAYER_GZIP | LAYER_ZSTD) => known,
            other => return Err(unsupported(&layer.digest, other).into()),
        };
        layers.push(Descriptor::new(media_type, layer.digest, layer.size));
    }
    let bytes = source.small(&config)?;
    let invalid =
        |why: String| SupplyError::InvalidDocument { digest: config.digest.clone(), what: "image configuration", why };
    let config: Value = serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
    let text = |key| config.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    // A single image says nothing of its platform before its configuration does.
    if (text("architecture"), text("os")) != (platform.architecture.clone(), platform.os.clone()) {
        return Err(SupplyError::WrongPlatform {
            subject: reference.to_string(),
            found: cut(&format!("{}/{}", text("os"), text("architecture")), 100),
            host: format!("the image is for {}", platform.name()),
        }
        .into());
    }
    fetch_all(client, reference.repository(), layout, &layers, told)?;
    Ok(Base { name: reference.to_string(), digest: root.digest, layers, config })
}
