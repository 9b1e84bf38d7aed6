//! The manifests that carry signatures (OCI image specification 1.1, manifest.md), and where cosign puts them.
//!
//! Source of names and types: `SPEC.md` of <https://github.com/sigstore/cosign>.

use std::collections::BTreeMap;

use prograde_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::store::digest_of;

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
pub(crate) const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// The signature of a layer, in base64.
pub(crate) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The certificate that stands for the signer, in PEM.
pub(crate) const CERTIFICATE: &str = "dev.sigstore.cosign/certificate";
/// What an attestation in a layer says, so that it can be chosen without reading it.
pub(crate) const PREDICATE_TYPE: &str = "predicateType";

/// A blob by what it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    /// What others wrote, kept as it is.
    #[serde(flatten)]
    pub(crate) others: Map<String, Value>,
}

impl Descriptor {
    pub(crate) fn of(media_type: &str, bytes: &[u8]) -> Self {
        let (size, digest) = (bytes.len() as u64, digest_of(bytes));
        Self { media_type: media_type.to_owned(), size, digest, annotations: None, others: Map::new() }
    }

    #[must_use]
    pub(crate) fn annotated(mut self, annotations: &[(&str, &str)]) -> Self {
        let pairs = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        self.annotations = Some(pairs.collect());
        self
    }

    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

/// A manifest whose layers are signatures or attestations.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Manifest {
    /// One with these layers, and its configuration: a signature's layer is not compressed, so its digest is its `diff_id`.
    pub(crate) fn of_layers(
        layers: Vec<Descriptor>,
        others: Map<String, Value>,
    ) -> Result<(Self, Vec<u8>), serde_json::Error> {
        let ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
        let config = serde_json::to_vec(&json!({
            "architecture": "", "created": "0001-01-01T00:00:00Z", "os": "",
            "rootfs": { "type": "layers", "diff_ids": ids }, "config": {},
        }))?;
        let descriptor = Descriptor::of(CONFIG, &config);
        let media_type = Some(MANIFEST.to_owned());
        Ok((Self { schema_version: 2, media_type, config: descriptor, layers, others }, config))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest: {error}"))
    }

    /// Annotations and whatever else others wrote.
    pub(crate) fn into_others(self) -> (Vec<Descriptor>, Map<String, Value>) {
        (self.layers, self.others)
    }
}

/// The manifest that ties a bundle to an image.
pub(crate) fn referrer(subject: &Descriptor, artifact_type: &str, layer: &Descriptor, annotations: &Value) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": artifact_type,
        "config": Descriptor::of(EMPTY, EMPTY_BYTES),
        "layers": [layer],
        "subject": subject,
        "annotations": annotations,
    })
}

/// The content of a configuration that says nothing.
pub(crate) const EMPTY_BYTES: &[u8] = b"{}";

/// The tag under which an image's signatures are.
pub fn signature_tag(digest: &Digest) -> String {
    format!("sha256-{}.sig", digest.hex())
}

/// The tag under which an image's attestations are.
pub fn attestation_tag(digest: &Digest) -> String {
    format!("sha256-{}.att", digest.hex())
}
