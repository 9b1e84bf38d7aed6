//! What cosign signs of an image in its first form: "simple signing", JSON that names the repository and the digest.
//!
//! Source of the format: containers-signature(5) of <https://github.com/containers/image>, with cosign's own `type`.

use prograde_model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::reference::Repository;

/// What stands in `critical.type`.
const TYPE: &str = "cosign container image signature";

/// The payload of a signature. What is critical must be understood, so nothing unknown may stand there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    critical: Critical,
    #[serde(default)]
    optional: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    r#type: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identity {
    docker_reference: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Image {
    docker_manifest_digest: Digest,
}

impl Payload {
    /// What is signed of an image, with annotations of the signer.
    pub fn new(repository: &Repository, digest: &Digest, annotations: Map<String, Value>) -> Self {
        let identity = Identity { docker_reference: repository.to_string() };
        let image = Image { docker_manifest_digest: digest.clone() };
        let critical = Critical { identity, image, r#type: TYPE.to_owned() };
        Self { critical, optional: (!annotations.is_empty()).then_some(annotations) }
    }

    /// The bytes that are signed. The same image and annotations give the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads what was signed.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let payload: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if payload.critical.r#type != TYPE {
            return Err(format!("its type is `{}`, expected is `{TYPE}`", payload.critical.r#type));
        }
        Ok(payload)
    }

    /// The image's digest.
    pub fn digest(&self) -> &Digest {
        &self.critical.image.docker_manifest_digest
    }

    /// The repository, as it was written.
    pub fn repository(&self) -> &str {
        &self.critical.identity.docker_reference
    }

    /// What the signer says beyond that.
    pub fn annotations(&self) -> Map<String, Value> {
        self.optional.clone().unwrap_or_default()
    }
}
