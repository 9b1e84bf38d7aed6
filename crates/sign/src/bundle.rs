//! Sigstore's bundles with an envelope, version 0.3, in which cosign 3 keeps signatures and attestations.
//!
//! Source: `protos/sigstore_bundle.proto` of <https://github.com/sigstore/protobuf-specs>, in the JSON form of protocol
//! buffers. Fields that are not known are left out, as that form wants it: what is trusted is in the signed envelope.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::dsse::Envelope;
use crate::key::PublicKey;

/// The media type of a bundle that we make, and the type of the artifact that carries it.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// How bundles of all versions begin.
const PREFIX: &str = "application/vnd.dev.sigstore.bundle";

/// A bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bundle {
    media_type: String,
    verification_material: Material,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_signature: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    public_key: Option<Hint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    x509_certificate_chain: Option<Value>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Hint {
    hint: String,
}

/// Whether a media or artifact type is that of a bundle.
pub fn is_bundle(media_type: &str) -> bool {
    media_type.starts_with(PREFIX)
}

impl Bundle {
    /// An envelope that a key has signed.
    pub fn new(envelope: Envelope, key: &PublicKey) -> Self {
        let public_key = Some(Hint { hint: key.hint() });
        let verification_material = Material { public_key, certificate: None, x509_certificate_chain: None };
        let dsse_envelope = Some(envelope);
        Self { media_type: MEDIA_TYPE.to_owned(), verification_material, dsse_envelope, message_signature: None }
    }

    /// Its JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a bundle.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bundle: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no Sigstore bundle: {error}"))?;
        if !is_bundle(&bundle.media_type) {
            let found: String = bundle.media_type.chars().take(100).collect();
            return Err(format!("its media type is `{found}`, expected is `{MEDIA_TYPE}`"));
        }
        Ok(bundle)
    }

    /// Whether a certificate stands for the signer, and not a key.
    pub fn has_certificate(&self) -> bool {
        let material = &self.verification_material;
        material.certificate.is_some() || material.x509_certificate_chain.is_some()
    }

    /// The envelope.
    pub fn envelope(&self) -> Result<&Envelope, String> {
        if self.message_signature.is_some() {
            return Err("it signs a file and says nothing about an image".to_owned());
        }
        self.dsse_envelope.as_ref().ok_or_else(|| "it has no envelope".to_owned())
    }
}
