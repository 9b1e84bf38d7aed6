//! What rules ask about images, and what somebody who may look found out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// How many bytes predicates may have, as JSON, for conditions to be tried on them.
pub const PREDICATES_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Whether somebody vouches for an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignedBy {
    /// The image, with its registry.
    pub image: String,
    /// Who.
    pub signer: Signer,
    /// What has to be there.
    pub demand: Demand,
}

/// Somebody whose signature a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signer {
    /// A public key, in PEM.
    Key(String),
    /// Somebody whom a certificate names.
    Identity(Identity),
}

/// Who a certificate has to name, and who has to say so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Who says so: an OIDC issuer.
    pub issuer: Name,
    /// An address of email, or of a workflow.
    pub subject: Name,
}

/// A name or a pattern for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// This text.
    Exactly(String),
    /// Texts that a regular expression matches from beginning to end.
    Whole(String),
}

/// What somebody has to have signed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// The image, with these annotations.
    Signature(Vec<(String, String)>),
    /// An attestation.
    Attestation {
        /// The type of its predicate.
        kind: String,
        /// Whether the predicate is needed.
        read: bool,
    },
}

/// What was found out about a signature or an attestation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// It is there and holds.
    Good,
    /// The attestations that are there and hold.
    Attested(Attested),
    /// It will be there before the image runs, and what it says is not known yet. Whoever answers this has to ask again then.
    Promised,
    /// There is none that holds, and why what is there does not count.
    Refused(String),
    /// Nobody could look, and why.
    Unreachable(String),
}

/// The predicates of attestations that hold. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    predicates: Arc<[Value]>,
    bytes: usize,
}

/// What was found out about signatures and attestations.
pub type Verified = BTreeMap<SignedBy, Signature>;

impl Attested {
    /// Takes what attestations say; an error where that is more than conditions are tried on.
    pub fn new(predicates: Vec<Value>) -> Result<Self, String> {
        let mut counted = Counted(0);
        if serde_json::to_writer(&mut counted, &predicates).is_err() {
            return Err(format!(
                "what is attested has more than the {PREDICATES_BYTES_MAX} bytes that conditions are tried on"
            ));
        }
        Ok(Self { predicates: predicates.into(), bytes: counted.0 })
    }

    /// The predicates.
    pub fn predicates(&self) -> &[Value] {
        &self.predicates
    }

    /// How much that is, in bytes of JSON.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Counts what is written, up to a limit.
struct Counted(usize);

impl std::io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        if self.0 > PREDICATES_BYTES_MAX {
            return Err(std::io::Error::from(std::io::ErrorKind::FileTooLarge));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
