//! Where signatures are kept: beside the image, in its repository. The port that this crate reads and writes through.

use std::error::Error;

use prograde_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::codes;

/// What went wrong in a store, in its own words.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A manifest as it is stored. Its digest has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredManifest {
    /// What it is.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// One repository: a registry's, or the embedded one. Whoever implements it checks every digest.
pub trait Store {
    /// The manifest under a tag or digest; nothing if there is none.
    fn manifest(&self, name: &str) -> Result<Option<StoredManifest>, Cause>;

    /// A blob of at most `bytes_max` bytes.
    fn blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Cause>;

    /// Keeps a blob.
    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Cause>;

    /// Keeps a manifest under a tag, or under its digest only. One with a `subject` becomes one of that subject's referrers,
    /// also where the registry keeps no such lists.
    fn put_manifest(&self, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<(), Cause>;

    /// The digests of what refers to a manifest, and the type of each.
    fn referrers(&self, subject: &Digest) -> Result<Vec<(Digest, String)>, Cause>;

    /// Waits a moment, each time differently, so that writers who meet do not meet again. The first of all is attempt 1.
    fn pause(&self, attempt: u32);
}

/// Why signatures can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store fails.
    #[error("can't {action}")]
    Failed {
        /// What was to be done.
        action: String,
        /// Why it can't be done.
        source: Cause,
    },
    /// The image is not there.
    #[error("there is no image {0} here")]
    NoImage(Digest),
    /// What is stored is no manifest that could be added to.
    #[error("{name} can't be used: {why}")]
    Form {
        /// The tag.
        name: String,
        /// Why.
        why: String,
    },
    /// There is more than is read.
    #[error("{what} has {found}, and no more than {limit} are read")]
    Limit {
        /// What.
        what: String,
        /// How much there is.
        found: String,
        /// How much is read.
        limit: String,
    },
    /// Others wrote at the same time, each time.
    #[error("{name} was written by others at the same time, {attempts} times in a row")]
    Contended {
        /// The tag.
        name: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A signer gave no signature.
    #[error(transparent)]
    Key(#[from] crate::key::KeyError),
    /// It can't be signed without a key.
    #[error(transparent)]
    Keyless(#[from] crate::keyless::KeylessError),
    /// A document can't be written as JSON.
    #[error("a document can't be written")]
    Json(#[from] serde_json::Error),
}

impl StoreError {
    pub(crate) fn failed(action: impl Into<String>) -> impl FnOnce(Cause) -> Self {
        let action = action.into();
        move |source| Self::Failed { action, source }
    }

    /// The error's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Failed { .. } | Self::NoImage(_) | Self::Form { .. } | Self::Json(_) => codes::STORE,
            Self::Limit { .. } => codes::LIMIT,
            Self::Contended { .. } => codes::CONTENDED,
            Self::Key(error) => error.code(),
            Self::Keyless(error) => error.code(),
        }
    }
}

/// The digest of bytes.
pub fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(Sha256::digest(bytes).into())
}
