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
}
