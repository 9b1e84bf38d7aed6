//! What is there: layers under cosign's tags, and bundles that refer to the image. Bounded in number and bytes.

use std::collections::BTreeMap;
use std::rc::Rc;

use prograde_model::Digest;

use super::proofs::Proofs;
use super::{Asked, Refusal};
use crate::bundle::{self, Bundle};
use crate::document::{self, Descriptor, ENVELOPE, Manifest, SIGNATURE, SIMPLE_SIGNING};
use crate::dsse::Envelope;
use crate::limits::{ATTESTATION_BYTES_MAX, FOUND_MAX, MANIFEST_BYTES_MAX, PAYLOAD_BYTES_MAX, READ_BYTES_MAX};
use crate::publish::Image;
use crate::store::{Store, StoreError};

/// Something that was found, before it is judged.
pub(super) struct Collected {
    pub(super) place: String,
    pub(super) bundle: bool,
    pub(super) content: Result<Content, Refusal>,
}

/// What is to be judged.
pub(super) enum Content {
    /// A payload with a signature in base64.
    Payload { payload: Rc<Vec<u8>>, signature: String, proofs: Option<Proofs> },
    /// An envelope in a layer.
    Envelope { envelope: Envelope, proofs: Option<Proofs> },
    /// An envelope in a bundle; with a certificate also the bundle's own bytes.
    Bundle { envelope: Envelope, certified: Option<Rc<Vec<u8>>> },
}

/// What may still be read, and what has been.
struct Reader<'a> {
    store: &'a dyn Store,
    left: u64,
    /// Many signatures may be over the same payload.
    read: BTreeMap<Digest, Rc<Vec<u8>>>,
}

/// All that is there of what was asked for, and of what can only be told from it by reading it.
pub(super) fn collect(store: &dyn Store, image: &Image, asked: &Asked) -> Result<Vec<Collected>, StoreError> {
    let mut reader = Reader { store, left: READ_BYTES_MAX, read: BTreeMap::new() };
    let (tag, media_type) = match asked {
        Asked::Signatures(_) => (document::signature_tag(&image.digest), SIMPLE_SIGNING),
        Asked::Attestations(_) => (document::attestation_tag(&image.digest), ENVELOPE),
    };
    let mut collected = Vec::new();
    let layers = reader.layers(&tag)?;
    let referrers = store.referrers(&image.digest);
    let referrers = referrers.map_err(StoreError::failed(format!("list what refers to {}", image.digest)))?;
    let bundles: Vec<Digest> =
        referrers.into_iter().filter(|(_, kind)| bundle::is_bundle(kind)).map(|(digest, _)| digest).collect();
    check_count(image, layers.len() + bundles.len())?;
    for layer in layers {
        let content = reader.layer(&layer, media_type);
        collected.push(Collected { place: format!("{tag} {}", layer.digest), bundle: false, content });
    }
    for digest in bundles {
        let content = reader.bundle(&digest);
        collected.push(Collected { place: digest.to_string(), bundle: true, content });
    }
    Ok(collected)
}

fn check_count(image: &Image, count: usize) -> Result<(), StoreError> {
    if count <= FOUND_MAX {
        return Ok(());
    }
    let (found, limit) = (format!("{count} signatures or attestations"), FOUND_MAX.to_string());
    Err(StoreError::Limit { what: image.digest.to_string(), found, limit })
}

impl Reader<'_> {
    fn layers(&self, tag: &str) -> Result<Vec<Descriptor>, StoreError> {
        let found = self.store.manifest(tag).map_err(StoreError::failed(format!("read {tag}")))?;
        let Some(found) = found else { return Ok(Vec::new()) };
        if found.bytes.len() as u64 > MANIFEST_BYTES_MAX {
            let (found, limit) = (format!("{} bytes", found.bytes.len()), MANIFEST_BYTES_MAX.to_string());
            return Err(StoreError::Limit { what: tag.to_owned(), found, limit });
        }
        let manifest = Manifest::parse(&found.bytes).map_err(|why| StoreError::Form { name: tag.to_owned(), why })?;
        Ok(manifest.layers)
    }

    fn layer(&mut self, layer: &Descriptor, media_type: &str) -> Result<Content, Refusal> {
        if layer.media_type != media_type {
            let found: String = layer.media_type.chars().take(100).collect();
            return Err(Refusal::Form(format!("its media type is `{found}`, expected is `{media_type}`")));
        }
        let proofs = Proofs::of(layer);
        if media_type == SIMPLE_SIGNING {
            let signature = layer.annotation(SIGNATURE).filter(|text| !text.is_empty());
            let signature = signature.ok_or_else(|| Refusal::Form(format!("it has no annotation `{SIGNATURE}`")))?;
            let payload = self.blob(layer, PAYLOAD_BYTES_MAX)?;
            return Ok(Content::Payload { payload, signature: signature.to_owned(), proofs });
        }
        let bytes = self.blob(layer, ATTESTATION_BYTES_MAX)?;
        let envelope = Envelope::parse(&bytes).map_err(Refusal::Form)?;
        Ok(Content::Envelope { envelope, proofs })
    }

    fn bundle(&mut self, digest: &Digest) -> Result<Content, Refusal> {
        let unreadable = |error: crate::store::Cause| Refusal::Unreadable(told(error.as_ref()));
        let found = self.store.manifest(digest.as_str()).map_err(unreadable)?;
        let found = found.ok_or_else(|| Refusal::Unreadable("it is listed and not there".to_owned()))?;
        self.take(found.bytes.len() as u64)?;
        let manifest = Manifest::parse(&found.bytes).map_err(Refusal::Form)?;
        let [layer] = manifest.layers.as_slice() else {
            return Err(Refusal::Form(format!("it has {} layers, expected is one bundle", manifest.layers.len())));
        };
        let bytes = self.blob(layer, ATTESTATION_BYTES_MAX)?;
        let bundle = Bundle::parse(&bytes).map_err(Refusal::Form)?;
        let envelope = bundle.envelope().map_err(Refusal::Form)?.clone();
        Ok(Content::Bundle { envelope, certified: bundle.has_certificate().then_some(bytes) })
    }

    fn blob(&mut self, layer: &Descriptor, bytes_max: u64) -> Result<Rc<Vec<u8>>, Refusal> {
        if let Some(read) = self.read.get(&layer.digest) {
            return Ok(Rc::clone(read));
        }
        if layer.size > bytes_max {
            return Err(Refusal::TooLarge { size: layer.size, limit: bytes_max });
        }
        self.take(layer.size)?;
        // The store stops where the manifest says that the blob ends.
        let bytes = self.store.blob(&layer.digest, layer.size);
        let bytes = Rc::new(bytes.map_err(|error| Refusal::Unreadable(told(error.as_ref())))?);
        self.read.insert(layer.digest.clone(), Rc::clone(&bytes));
        Ok(bytes)
    }

    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let over = Refusal::Unreadable(format!("more than {READ_BYTES_MAX} bytes would be read for this image"));
        self.left = self.left.checked_sub(bytes).ok_or(over)?;
        Ok(())
    }
}

/// An error with what it comes from, in one line.
fn told(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
