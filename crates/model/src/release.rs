//! A release: what a commit became. Immutable once recorded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{CommitId, Digest, ServiceName};

/// A commit and the image made from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// The commit.
    pub commit: CommitId,
    /// Digest of the image's manifest.
    pub digest: Digest,
    /// Size of all its blobs in bytes.
    pub size_bytes: u64,
    /// Which service of a group it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// What vouches for the image; none where it was made before images were signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
}

/// What vouches for an image: signed, and kept beside it in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The repository that signatures name, such as `registry.example:443/pad`.
    pub repository: String,
    /// The repository of another registry in which the image and all that vouches for it are as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<String>,
    /// The key that signed: the SHA-256 of its DER form, in hex.
    pub key_id: String,
    /// What is attested, by the types of in-toto's predicates.
    pub attestations: Vec<String>,
}
