//! Signing: what is written beside an image, in cosign's first form under a tag, and as a bundle that refers to the image.
//!
//! A registry has no "write if unchanged", so writers of one tag can overwrite each other. Whoever writes therefore looks
//! again after a moment whether its layer is still there, and otherwise adds it once more, a bounded number of times.
//! Bundles do not have this trouble: each is a manifest of its own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use prograde_model::Digest;
use serde_json::{Map, Value, json};

use crate::bundle::{self, Bundle};
use crate::document::{
    self, Descriptor, EMPTY_BYTES, ENVELOPE, MANIFEST, Manifest, PREDICATE_TYPE, SIGNATURE, SIMPLE_SIGNING,
};
use crate::dsse::Envelope;
use crate::key::Signer;
use crate::keyless::{Keyless, Made};
use crate::limits::{ATTEMPTS_MAX, FOUND_MAX};
use crate::payload::Payload;
use crate::predicate::COSIGN_SIGN;
use crate::reference::Repository;
use crate::statement::Statement;
use crate::store::{Store, StoreError, StoredManifest, digest_of};

/// In which forms something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A layer under a tag, which cosign 1 and 2 read.
    Tag,
    /// A bundle that refers to the image, which cosign 3 reads.
    Bundle,
    /// Both.
    Both,
}

impl Form {
    fn has_tag(self) -> bool {
        matches!(self, Self::Tag | Self::Both)
    }

    fn has_bundle(self) -> bool {
        matches!(self, Self::Bundle | Self::Both)
    }
}

/// A signature that is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// What was signed.
    pub payload: Vec<u8>,
    /// The signature over it.
    pub signature: Vec<u8>,
}

/// An image, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The repository that the signature names.
    pub repository: Repository,
    /// The image's digest.
    pub digest: Digest,
}

/// Signs an image in cosign's first form; nothing is stored.
pub fn sign_payload(image: &Image, annotations: Map<String, Value>, signer: &dyn Signer) -> Result<Signed, StoreError> {
    let payload = Payload::new(&image.repository, &image.digest, annotations).to_bytes()?;
    let signature = signer.sign(&payload)?;
    Ok(Signed { payload, signature })
}

/// Signs a statement as an envelope; nothing is stored.
pub fn sign_statement(statement: &Statement, signer: &dyn Signer) -> Result<Envelope, StoreError> {
    Ok(Envelope::sign(&statement.to_bytes()?, signer)?)
}

/// Signs an image and stores the signature.
pub fn sign(
    store: &dyn Store,
    image: &Image,
    annotations: &Map<String, Value>,
    signer: &dyn Signer,
    form: Form,
    now: Timestamp,
) -> Result<(), StoreError> {
    let subject = subject(store, image)?;
    if form.has_bundle() {
        let statement = Statement::about(&image.repository, &image.digest, COSIGN_SIGN, json!({}));
        let envelope = sign_statement(&statement.annotated(annotations), signer)?;
        let bundle = Bundle::new(envelope, signer.public_key()).to_bytes()?;
        put_bundle(store, &subject, &bundle, COSIGN_SIGN, now)?;
    }
    if form.has_tag() {
        let made = sign_payload(image, annotations.clone(), signer)?;
        let text = STANDARD.encode(&made.signature);
        let layer = Descriptor::of(SIMPLE_SIGNING, &made.payload).annotated(&[(SIGNATURE, &text)]);
        put_layer(store, &document::signature_tag(&image.digest), &layer, &made.payload)?;
    }
    Ok(())
}

/// Signs what a statement says of an image and stores it.
pub fn attest(
    store: &dyn Store,
    image: &Image,
    statement: &Statement,
    signer: &dyn Signer,
    form: Form,
    now: Timestamp,
) -> Result<(), StoreError> {
    let subject = subject(store, image)?;
    let envelope = sign_statement(statement, signer)?;
    let predicate_type = &statement.predicate_type;
    if form.has_tag() {
        let bytes = serde_json::to_vec(&envelope)?;
        let layer = Descriptor::of(ENVELOPE, &bytes).annotated(&[(SIGNATURE, ""), (PREDICATE_TYPE, predicate_type)]);
        put_layer(store, &document::attestation_tag(&image.digest), &layer, &bytes)?;
    }
    if form.has_bundle() {
        let bundle = Bundle::new(envelope, signer.public_key()).to_bytes()?;
        put_bundle(store, &subject, &bundle, predicate_type, now)?;
    }
    Ok(())
}

/// Signs an image without a key that anybody keeps, and stores the signature, as a bundle alone: the other form has no place
/// for what proves when it was made.
pub fn sign_keyless(
    store: &dyn Store,
    image: &Image,
    annotations: &Map<String, Value>,
    keyless: Keyless<'_>,
    now: Timestamp,
) -> Result<Made, StoreError> {
    let statement = Statement::about(&image.repository, &image.digest, COSIGN_SIGN, json!({}));
    attest_keyless(store, image, &statement.annotated(annotations), keyless, now)
}

/// Signs what a statement says of an image in the same way.
pub fn attest_keyless(
    store: &dyn Store,
    image: &Image,
    statement: &Statement,
    keyless: Keyless<'_>,
    now: Timestamp,
) -> Result<Made, StoreError> {
    // First: what a log has taken stays there, also if the image is missing.
    let subject = subject(store, image)?;
    let (bundle, made) = keyless.bundle(&statement.to_bytes()?, &image.digest)?;
    put_bundle(store, &subject, &bundle, &statement.predicate_type, now)?;
    Ok(made)
}

/// The image itself, which has to be there: a signature of something that nobody can pull helps nobody.
fn subject(store: &dyn Store, image: &Image) -> Result<Descriptor, StoreError> {
    let found = store.manifest(image.digest.as_str()).map_err(StoreError::failed(format!("read {}", image.digest)))?;
    let StoredManifest { media_type, bytes } = found.ok_or_else(|| StoreError::NoImage(image.digest.clone()))?;
    Ok(Descriptor::of(&media_type, &bytes))
}

fn put_bundle(
    store: &dyn Store,
    subject: &Descriptor,
    bytes: &[u8],
    predicate_type: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let layer = Descriptor::of(bundle::MEDIA_TYPE, bytes);
    let annotations = json!({
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": predicate_type,
        "org.opencontainers.image.created": format!("{now:.0}"),
    });
    let manifest = serde_json::to_vec(&document::referrer(subject, bundle::MEDIA_TYPE, &layer, &annotations))?;
    for blob in [bytes, EMPTY_BYTES] {
        store.put_blob(&digest_of(blob), blob).map_err(StoreError::failed("store the bundle"))?;
    }
    let digest = digest_of(&manifest);
    // Where the registry keeps no lists of referrers, the list is a tag that writers can overwrite for each other.
    for attempt in 1..=ATTEMPTS_MAX {
        store.put_manifest(None, MANIFEST, &manifest).map_err(StoreError::failed("store the bundle's manifest"))?;
        store.pause(attempt);
        let listed = store.referrers(&subject.digest).map_err(StoreError::failed("list what refers to the image"))?;
        if listed.iter().any(|(other, _)| *other == digest) {
            return Ok(());
        }
    }
    Err(StoreError::Contended {
        name: format!("the list of what refers to {}", subject.digest),
        attempts: ATTEMPTS_MAX,
    })
}

/// Adds a layer under a tag, and sees to it that it stays there.
fn put_layer(store: &dyn Store, tag: &str, layer: &Descriptor, bytes: &[u8]) -> Result<(), StoreError> {
    store.put_blob(&layer.digest, bytes).map_err(StoreError::failed(format!("store what belongs to {tag}")))?;
    for attempt in 1..=ATTEMPTS_MAX {
        let (mut layers, others) = layers(store, tag)?;
        if layers.iter().any(|other| same(other, layer)) {
            // Signed before, or in an earlier round; what this round saw has stood for a moment.
            return Ok(());
        }
        if layers.len() >= FOUND_MAX {
            let (found, limit) = (format!("{} layers", layers.len()), FOUND_MAX.to_string());
            return Err(StoreError::Limit { what: tag.to_owned(), found, limit });
        }
        layers.push(layer.clone());
        let (manifest, config) = Manifest::of_layers(layers, others)?;
        let failed = |cause| StoreError::failed(format!("write {tag}"))(cause);
        store.put_blob(&digest_of(&config), &config).map_err(failed)?;
        store.put_manifest(Some(tag), MANIFEST, &serde_json::to_vec(&manifest)?).map_err(failed)?;
        store.pause(attempt);
    }
    let (layers, _) = layers(store, tag)?;
    if layers.iter().any(|other| same(other, layer)) {
        return Ok(());
    }
    Err(StoreError::Contended { name: tag.to_owned(), attempts: ATTEMPTS_MAX })
}

fn same(one: &Descriptor, other: &Descriptor) -> bool {
    one.digest == other.digest && one.annotation(SIGNATURE) == other.annotation(SIGNATURE)
}

/// What is under a tag now.
fn layers(store: &dyn Store, tag: &str) -> Result<(Vec<Descriptor>, Map<String, Value>), StoreError> {
    let found = store.manifest(tag).map_err(StoreError::failed(format!("read {tag}")))?;
    let Some(found) = found else { return Ok((Vec::new(), Map::new())) };
    let manifest = Manifest::parse(&found.bytes).map_err(|why| StoreError::Form { name: tag.to_owned(), why })?;
    Ok(manifest.into_others())
}
