//! Hashing while bytes pass, with either of the algorithms.

use sha2::{Digest as _, Sha256, Sha512};

use crate::registry::name::{Algorithm, ContentDigest};

/// What has been hashed so far.
#[derive(Debug, Clone)]
pub(super) enum Hasher {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Sha256(_) => Algorithm::Sha256,
            Self::Sha512(_) => Algorithm::Sha512,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    pub(super) fn finish(self) -> ContentDigest {
        let algorithm = self.algorithm();
        match self {
            Self::Sha256(hasher) => ContentDigest::from_hash(algorithm, &hasher.finalize()),
            Self::Sha512(hasher) => ContentDigest::from_hash(algorithm, &hasher.finalize()),
        }
    }
}

/// The digest of a whole document.
pub(super) fn digest_of(algorithm: Algorithm, bytes: &[u8]) -> ContentDigest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}
