//! The cryptography that `sigstore-verify` is given: what is linked anyway, instead of a library of its own.

use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use ring::signature as known;
use sha2::Digest as _;
use sigstore_verify::crypto::{CryptoProvider, Error, HashContext, Result, SigningScheme, install_default_provider};
use sigstore_verify::types::HashAlgorithm;

/// SHA-2 by `sha2`, signatures by `ring` and `p256`.
#[derive(Debug)]
struct Provider;

/// Sees to it that there is one; has to be called before anything of `sigstore-verify`.
pub(super) fn ready() {
    // It fails where it was called before, and then all is well.
    install_default_provider(&Provider).ok();
}

/// A hash that is being computed.
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl HashContext for State {
    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Sha256(state) => state.update(data),
            Self::Sha384(state) => state.update(data),
            Self::Sha512(state) => state.update(data),
        }
    }

    fn finalize(self: Box<Self>) -> Vec<u8> {
        match *self {
            Self::Sha256(state) => state.finalize().to_vec(),
            Self::Sha384(state) => state.finalize().to_vec(),
            Self::Sha512(state) => state.finalize().to_vec(),
        }
    }
}

fn unsupported(scheme: SigningScheme) -> Error {
    Error::UnsupportedAlgorithm(format!("signatures of the kind {} are not checked", scheme.name()))
}

fn algorithm(scheme: SigningScheme) -> Result<&'static dyn known::VerificationAlgorithm> {
    Ok(match scheme {
        SigningScheme::EcdsaP256Sha256 => &known::ECDSA_P256_SHA256_ASN1,
        SigningScheme::EcdsaP256Sha384 => &known::ECDSA_P256_SHA384_ASN1,
        SigningScheme::EcdsaP384Sha256 => &known::ECDSA_P384_SHA256_ASN1,
        SigningScheme::EcdsaP384Sha384 => &known::ECDSA_P384_SHA384_ASN1,
        SigningScheme::Ed25519 => &known::ED25519,
        SigningScheme::RsaPssSha256 => &known::RSA_PSS_2048_8192_SHA256,
        SigningScheme::RsaPssSha384 => &known::RSA_PSS_2048_8192_SHA384,
        SigningScheme::RsaPssSha512 => &known::RSA_PSS_2048_8192_SHA512,
        SigningScheme::RsaPkcs1Sha256 => &known::RSA_PKCS1_2048_8192_SHA256,
        SigningScheme::RsaPkcs1Sha384 => &known::RSA_PKCS1_2048_8192_SHA384,
        SigningScheme::RsaPkcs1Sha512 => &known::RSA_PKCS1_2048_8192_SHA512,
        // And what a later version of the crate knows.
        other @ (SigningScheme::MlDsa44 | SigningScheme::MlDsa65 | SigningScheme::MlDsa87 | _) => {
            return Err(unsupported(other));
        }
    })
}

fn wrong(scheme: SigningScheme) -> Error {
    Error::Verification(format!("the signature ({}) is not by this key over this content", scheme.name()))
}

impl CryptoProvider for Provider {
    fn hash(&self, algorithm: HashAlgorithm) -> Result<Box<dyn HashContext>> {
        Ok(Box::new(match algorithm {
            HashAlgorithm::Sha2256 => State::Sha256(sha2::Sha256::new()),
            HashAlgorithm::Sha2384 => State::Sha384(sha2::Sha384::new()),
            HashAlgorithm::Sha2512 => State::Sha512(sha2::Sha512::new()),
            other => return Err(Error::UnsupportedAlgorithm(format!("the hash {other} is not computed"))),
        }))
    }

    fn verify_raw(&self, scheme: SigningScheme, key: &[u8], data: &[u8], signature: &[u8]) -> Result<()> {
        let key = known::UnparsedPublicKey::new(algorithm(scheme)?, key);
        key.verify(data, signature).map_err(|_| wrong(scheme))
    }

    /// For signatures over files, of which only the hash is known; statements are always checked whole. `ring` does not check
    /// hashes, so this is done for what Fulcio's certificates have, and refused for others.
    fn verify_prehashed(&self, scheme: SigningScheme, key: &[u8], digest: &[u8], signature: &[u8]) -> Result<()> {
        if scheme != SigningScheme::EcdsaP256Sha256 {
            return Err(unsupported(scheme));
        }
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| wrong(scheme))?;
        let signature = p256::ecdsa::DerSignature::from_bytes(signature).map_err(|_| wrong(scheme))?;
        key.verify_prehash(digest, &signature).map_err(|_| wrong(scheme))
    }
}
