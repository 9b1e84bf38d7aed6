//! Public keys: ECDSA on P-256 with SHA-256, Ed25519, and RSA (PKCS #1 v1.5 with SHA-256). They are the algorithms that cosign
//! makes and imports keys for.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use pkcs8::ObjectIdentifier;
use pkcs8::spki::{DecodePublicKey as _, SubjectPublicKeyInfoRef};
use sha2::{Digest as _, Sha256};

use super::{KeyError, pem};

/// RFC 5480, section 2.1.1.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// RFC 8410, section 3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// RFC 3279, section 2.3.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; signatures in DER.
    EcdsaP256,
    /// Ed25519 over the message itself.
    Ed25519,
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rsa,
}

impl Algorithm {
    /// Its usual name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::Ed25519 => "Ed25519",
            Self::Rsa => "RSA",
        }
    }
}

/// A key that checks signatures.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    check: Check,
    /// `SubjectPublicKeyInfo`, as it was given.
    der: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq)]
enum Check {
    EcdsaP256(p256::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
    /// `RSAPublicKey` of RFC 8017.
    Rsa(Vec<u8>),
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm().as_str(), self.id())
    }
}

impl PublicKey {
    /// Reads a PEM block `PUBLIC KEY`. `what` is only for messages.
    pub fn from_pem(what: &str, text: &str) -> Result<Self, KeyError> {
        let (label, bytes) = pem::block(what, text)?;
        match label {
            "PUBLIC KEY" => Self::from_der(what, &bytes),
            "CERTIFICATE" => Err(KeyError::form(what, "it is a certificate, expected is a public key")),
            label if label.contains("PRIVATE") => Err(KeyError::form(
                what,
                "it is a private key, expected is a public key; `prograde key public` shows it",
            )),
            label => Err(KeyError::form(what, format!("it holds `{label}`, expected is `PUBLIC KEY`"))),
        }
    }

    /// Reads a DER `SubjectPublicKeyInfo`.
    pub fn from_der(what: &str, der: &[u8]) -> Result<Self, KeyError> {
        let wrong = |why: String| KeyError::form(what, why);
        let info =
            SubjectPublicKeyInfoRef::try_from(der).map_err(|error| wrong(format!("it is no public key: {error}")))?;
        let check = match info.algorithm.oid {
            EC => p256::ecdsa::VerifyingKey::from_public_key_der(der)
                .map(Check::EcdsaP256)
                .map_err(|_| wrong("it is an elliptic curve's key, but not one on P-256".to_owned()))?,
            ED25519 => ed25519_dalek::VerifyingKey::from_public_key_der(der)
                .map(Check::Ed25519)
                .map_err(|_| wrong("it is no Ed25519 key".to_owned()))?,
            RSA => {
                let inner = info.subject_public_key.as_bytes();
                Check::Rsa(inner.ok_or_else(|| wrong("it is no RSA key".to_owned()))?.to_vec())
            }
            other => {
                return Err(wrong(format!("its algorithm {other} is not supported: ECDSA P-256, Ed25519 and RSA are")));
            }
        };
        Ok(Self { check, der: der.to_vec() })
    }

    /// Whether `signature` is this key's over `message`. Only the one DER form of an ECDSA signature is taken.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            Check::EcdsaP256(key) => p256::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Check::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Check::Rsa(key) => {
                let algorithm = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
                ring::signature::UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
            }
        }
    }

    /// What it does.
    pub fn algorithm(&self) -> Algorithm {
        match &self.check {
            Check::EcdsaP256(_) => Algorithm::EcdsaP256,
            Check::Ed25519(_) => Algorithm::Ed25519,
            Check::Rsa(_) => Algorithm::Rsa,
        }
    }

    /// The SHA-256 of its DER form, in hex: what people compare.
    pub fn id(&self) -> String {
        hex::encode(Sha256::digest(&self.der))
    }

    /// The same in base64: what Sigstore's bundles carry as a hint.
    pub fn hint(&self) -> String {
        STANDARD.encode(Sha256::digest(&self.der))
    }

    /// Its DER form.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// As a PEM block.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        pem::write("PUBLIC KEY", &self.der)
    }
}
