//! Verification: everything that vouches for an image, and for each whether it counts or why not.
//!
//! Invariant: nothing that a document says is used before a trusted key's signature over it has been checked, except to tell
//! what kind of document it is. A signature counts for the repository that it names and for no other.

mod collect;
mod judge;
mod proofs;

use jiff::Timestamp;
use prograde_model::Digest;
use serde_json::{Map, Value};

use self::judge::Unfit;
use crate::keyless::{Certified, Doubt};
use crate::publish::Image;
use crate::store::{Store, StoreError};
use crate::trust::{Trust, Untrusted};

/// What is looked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Signatures of the image that carry these annotations.
    Signatures(Map<String, Value>),
    /// Attestations, of one type of predicate or of all.
    Attestations(Option<String>),
}

/// Whose signatures count, and as of when.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The keys.
    pub trust: &'a Trust,
    /// When somebody trusted took note of what is verified; without a record, now.
    pub at: Timestamp,
}

/// What a trusted key or identity vouches for.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// The name of the key or identity.
    pub key: String,
    /// The key's id: the SHA-256 of its DER form, in hex.
    pub key_id: String,
    /// Who signed and when, where a certificate says so.
    pub certified: Option<Certified>,
    /// The image.
    pub digest: Digest,
    /// Whether the signature names the image's repository. cosign's signatures in bundles name none.
    pub bound: bool,
    /// What the signer says beyond that.
    pub annotations: Map<String, Value>,
    /// What an attestation says, by its type.
    pub predicate: Option<(String, Value)>,
}

/// Why something that was found does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It can't be fetched.
    #[error("it can't be read: {0}")]
    Unreadable(String),
    /// It is larger than what is read.
    #[error("it has {size} bytes, and no more than {limit} are read")]
    TooLarge {
        /// Its size.
        size: u64,
        /// What is read.
        limit: u64,
    },
    /// It is no signature or attestation.
    #[error("{0}")]
    Form(String),
    /// No trusted key has signed this.
    #[error("no trusted key made this signature over this content")]
    NoKey,
    /// A certificate stands for the signer, and nothing says whom to believe about certificates.
    #[error("a certificate stands for its signer, and there is no trusted root to check it with")]
    Certificate,
    /// It does not hold by the trusted root.
    #[error(transparent)]
    Doubtful(#[from] Doubt),
    /// Somebody whom the trust does not name.
    #[error("`{subject}` signed it, by the word of {issuer}: no trusted identity is that")]
    Stranger {
        /// Who signed.
        subject: String,
        /// Who says so.
        issuer: String,
    },
    /// It is about another image.
    #[error("it is about another image: {0}")]
    OtherDigest(String),
    /// It is about the same image elsewhere.
    #[error("it is about an image in another repository: `{0}`")]
    OtherRepository(String),
    /// It has not the annotations that were asked for.
    #[error("its annotation `{key}` is {found}")]
    Annotation {
        /// The annotation.
        key: String,
        /// What it is.
        found: String,
    },
    /// The key does not count.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
}

impl Refusal {
    /// A word for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge { .. } => "too_large",
            Self::Form(_) => "malformed",
            Self::NoKey => "no_trusted_key",
            Self::Certificate => "certificate",
            Self::Doubtful(doubt) => doubt.word(),
            Self::Stranger { .. } => "no_trusted_identity",
            Self::OtherDigest(_) => "other_image",
            Self::OtherRepository(_) => "other_repository",
            Self::Annotation { .. } => "annotation",
            Self::Untrusted(Untrusted::Revoked { .. }) => "revoked",
            Self::Untrusted(Untrusted::Early { .. }) => "not_yet_valid",
            Self::Untrusted(Untrusted::Late { .. }) => "expired",
            Self::Untrusted(Untrusted::Elsewhere { .. }) => "not_for_repository",
            Self::Untrusted(Untrusted::Unbound { .. }) => "unbound",
        }
    }
}

/// Something that was found beside an image.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Where: a tag and the layer's digest, or the digest of the manifest that refers to the image.
    pub place: String,
    /// Whether it is a bundle.
    pub bundle: bool,
    /// What it vouches for, or why it does not count.
    pub verdict: Result<Evidence, Refusal>,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified {
    /// The image.
    pub image: Image,
    /// What was looked for, in the order in which it is stored.
    pub found: Vec<Found>,
    /// Types of attestations that are there and were not asked for.
    pub others: Vec<String>,
}

impl Verified {
    /// What counts.
    pub fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.found.iter().filter_map(|found| found.verdict.as_ref().ok())
    }

    /// Whether anything counts.
    pub fn holds(&self) -> bool {
        self.evidence().next().is_some()
    }
}

/// Looks for signatures or attestations of an image and judges each.
pub fn verify(store: &dyn Store, image: &Image, asked: &Asked, terms: Terms<'_>) -> Result<Verified, StoreError> {
    let collected = collect::collect(store, image, asked)?;
    let mut verified = Verified { image: image.clone(), found: Vec::new(), others: Vec::new() };
    for one in collected {
        let judged = match &one.content {
            Ok(content) => judge::judge(content, image, asked, terms),
            Err(refusal) => Err(Unfit::Refused(refusal.clone())),
        };
        let verdict = match judged {
            Ok(evidence) => Ok(evidence),
            Err(Unfit::Refused(refusal)) => Err(refusal),
            Err(Unfit::Other(predicate_type)) => {
                if matches!(asked, Asked::Attestations(_)) && !verified.others.contains(&predicate_type) {
                    verified.others.push(predicate_type);
                }
                continue;
            }
        };
        verified.found.push(Found { place: one.place, bundle: one.bundle, verdict });
    }
    Ok(verified)
}
