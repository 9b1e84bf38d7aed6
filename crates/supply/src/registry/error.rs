//! What can go wrong with a request, in the specification's codes (OCI distribution specification 1.1, "Error Codes").

use std::path::PathBuf;

use crate::error::SupplyError;
use crate::registry::name::{ContentDigest, RepositoryName, Tag};

/// Why the registry did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A name that no repository can have.
    #[error(
        "{name:?} is not a repository's name: expected lower-case letters and digits with single separators out of `._-/` between them, 255 characters at most"
    )]
    NameInvalid {
        /// The text, cut to 100 characters.
        name: String,
    },
    /// A text that no tag can be.
    #[error(
        "{tag:?} is not a tag: expected letters, digits, `.`, `_` and `-`, 128 characters at most, none of `.-` first"
    )]
    TagInvalid {
        /// The text, cut to 100 characters.
        tag: String,
    },
    /// A digest that is none, or is not the content's.
    #[error("{why}")]
    DigestInvalid {
        /// What is wrong with it.
        why: String,
    },
    /// Nothing was ever pushed there.
    #[error("there is no repository {name}")]
    NameUnknown {
        /// Which.
        name: RepositoryName,
    },
    /// The repository does not have the blob.
    #[error("the repository has no blob {digest}")]
    BlobUnknown {
        /// Which.
        digest: ContentDigest,
    },
    /// The repository does not have the manifest.
    #[error("the repository has no manifest {reference}")]
    ManifestUnknown {
        /// Its tag or digest.
        reference: String,
    },
    /// There is no such upload, or it has expired.
    #[error("there is no such upload: it has ended, was given up, or never began")]
    UploadUnknown,
    /// A part of an upload can't be taken.
    #[error("{why}")]
    UploadInvalid {
        /// Why.
        why: String,
    },
    /// A part of an upload does not begin where the last one ended.
    #[error("the next byte of this upload is {expected}, and what was sent {found}")]
    OutOfOrder {
        /// Where the next part has to begin.
        expected: u64,
        /// What was sent instead.
        found: String,
    },
    /// A manifest names what the repository does not have.
    #[error("the manifest needs {} that the repository does not have: {}", counted(.missing.len()), named(.missing))]
    ReferenceUnknown {
        /// What is missing.
        missing: Vec<ContentDigest>,
    },
    /// A manifest that can't be taken.
    #[error("the manifest can't be taken: {why}")]
    ManifestInvalid {
        /// Why.
        why: String,
    },
    /// More bytes than are allowed, or another number than was promised.
    #[error("{why}")]
    SizeInvalid {
        /// What was sent, and the limit.
        why: String,
        /// Whether it is more than is allowed.
        too_large: bool,
    },
    /// A tag that can't be moved any more.
    #[error("the tag {tag} can't be moved or deleted: {why}")]
    Immutable {
        /// Which.
        tag: Tag,
        /// Why, and the way out.
        why: String,
    },
    /// What is still needed can't be deleted.
    #[error("{what} is still needed by {by}: delete that first")]
    InUse {
        /// What was to be deleted.
        what: String,
        /// What needs it.
        by: String,
    },
    /// Nobody has said who they are.
    #[error("a token is needed, as a bearer or as the password of basic authentication")]
    Unauthorized,
    /// Nobody has said who they are, and a policy is against strangers.
    #[error("{why}; a token is needed")]
    Stranger {
        /// Why.
        why: String,
    },
    /// Who asks may not do that, or a policy is against it.
    #[error("{why}")]
    Denied {
        /// Why, and the way out.
        why: String,
    },
    /// A part of a list that can't be given.
    #[error("{text:?} is not a number of entries: expected a whole number that is not below 0")]
    PageInvalid {
        /// What was asked for, cut to 100 characters.
        text: String,
    },
    /// The address or the method is none of the registry's.
    #[error("{what}")]
    Unsupported {
        /// Which.
        what: String,
    },
    /// The address does not take that method.
    #[error("{method} is not for this address")]
    Method {
        /// Which.
        method: String,
    },
    /// Too much is under way.
    #[error("{why}")]
    TooManyRequests {
        /// What, and the way out.
        why: String,
    },
    /// The client sent too little for too long.
    #[error("nothing, or next to nothing, was sent for {seconds} seconds: the upload can be resumed")]
    Slow {
        /// How long was waited.
        seconds: u64,
    },
    /// The connection broke off.
    #[error("the body broke off: {why}")]
    BrokenOff {
        /// How.
        why: String,
    },
    /// Whoever has to agree did not answer.
    #[error("what has to agree to this did not answer in {seconds} seconds: try again")]
    NoVerdict {
        /// How long was waited.
        seconds: u64,
    },
    /// Another process has the registry open.
    #[error("the registry in {} is in use by another process", .dir.display())]
    Locked {
        /// Which.
        dir: PathBuf,
    },
    /// The database of names can't be used.
    #[error("can't use {}", .path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The database of names was written by a newer version.
    #[error("{} has the format {found}, and this version knows {known}: use the version that wrote it", .path.display())]
    NewerFormat {
        /// Which.
        path: PathBuf,
        /// The format it has.
        found: i64,
        /// The newest that is known.
        known: i64,
    },
    /// A setting that can't be used.
    #[error("the setting {setting} can't be used")]
    Setting {
        /// Which.
        setting: &'static str,
        /// Why.
        source: regex::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] SupplyError),
}

fn counted(missing: usize) -> String {
    if missing == 1 { "something".to_owned() } else { format!("{missing} things") }
}

fn named(missing: &[ContentDigest]) -> String {
    let shown: Vec<&str> = missing.iter().take(3).map(ContentDigest::as_str).collect();
    let more = missing.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

impl RegistryError {
    /// The specification's code and the HTTP status that goes with it.
    pub fn code(&self) -> (&'static str, u16) {
        match self {
            Self::NameInvalid { .. } => ("NAME_INVALID", 400),
            Self::TagInvalid { .. } | Self::ManifestInvalid { .. } => ("MANIFEST_INVALID", 400),
            Self::DigestInvalid { .. } => ("DIGEST_INVALID", 400),
            Self::NameUnknown { .. } => ("NAME_UNKNOWN", 404),
            Self::BlobUnknown { .. } => ("BLOB_UNKNOWN", 404),
            Self::ManifestUnknown { .. } => ("MANIFEST_UNKNOWN", 404),
            Self::UploadUnknown => ("BLOB_UPLOAD_UNKNOWN", 404),
            Self::UploadInvalid { .. } | Self::BrokenOff { .. } => ("BLOB_UPLOAD_INVALID", 400),
            Self::OutOfOrder { .. } => ("BLOB_UPLOAD_INVALID", 416),
            Self::ReferenceUnknown { .. } => ("MANIFEST_BLOB_UNKNOWN", 400),
            Self::SizeInvalid { too_large: false, .. } => ("SIZE_INVALID", 400),
            Self::SizeInvalid { too_large: true, .. } => ("SIZE_INVALID", 413),
            Self::Immutable { .. } | Self::Denied { .. } => ("DENIED", 403),
            Self::InUse { .. } => ("DENIED", 405),
            Self::Unauthorized | Self::Stranger { .. } => ("UNAUTHORIZED", 401),
            // The code that Docker's registry has for it; the specification has none.
            Self::PageInvalid { .. } => ("PAGINATION_NUMBER_INVALID", 400),
            Self::Unsupported { .. } => ("UNSUPPORTED", 404),
            Self::Method { .. } => ("UNSUPPORTED", 405),
            Self::TooManyRequests { .. } => ("TOOMANYREQUESTS", 429),
            Self::Slow { .. } => ("BLOB_UPLOAD_INVALID", 408),
            Self::NoVerdict { .. } => ("DENIED", 503),
            Self::Store(SupplyError::DiskFull { .. }) => ("UNKNOWN", 507),
            Self::Locked { .. }
            | Self::Database { .. }
            | Self::NewerFormat { .. }
            | Self::Setting { .. }
            | Self::Store(_) => ("UNKNOWN", 500),
        }
    }

    /// Whether it is the registry's fault and not the client's.
    pub fn is_internal(&self) -> bool {
        matches!(self.code(), ("UNKNOWN", _))
    }
}
