//! Private keys in memory. What they are made of is overwritten when they are dropped.

use p256::ecdsa::signature::Signer as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use zeroize::Zeroizing;

use super::{KeyError, PublicKey, Signer, encrypted, pem};

/// The labels of cosign's encrypted keys; the second is that of its first versions.
pub(super) const ENCRYPTED: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// A key that signs.
#[derive(Debug)]
pub struct PrivateKey {
    secret: Secret,
    public: PublicKey,
}

/// Both overwrite themselves on drop; neither shows itself with `Debug`.
#[derive(Debug)]
enum Secret {
    EcdsaP256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl PrivateKey {
    /// A new ECDSA key on P-256.
    pub fn generate() -> Result<Self, KeyError> {
        loop {
            let mut bytes = Zeroizing::new([0_u8; 32]);
            getrandom::fill(bytes.as_mut()).map_err(KeyError::Random)?;
            // Fewer than one in 2^31 texts of 32 bytes are no scalar of the curve.
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(bytes.as_ref()) {
                return Self::p256("the new key", key);
            }
        }
    }

    /// Reads PKCS #8 in DER.
    pub(super) fn from_pkcs8(what: &str, der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_der(der) {
            return Self::p256(what, key);
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_der(der).map_err(|_| {
            let why = "it is neither an ECDSA key on P-256 nor an Ed25519 key; others sign through a signing program";
            KeyError::form(what, why)
        })?;
        let public =
            key.verifying_key().to_public_key_der().map_err(|error| KeyError::form(what, error.to_string()))?;
        let public = PublicKey::from_der(what, public.as_bytes())?;
        Ok(Self { secret: Secret::Ed25519(Box::new(key)), public })
    }

    /// Reads the `ECPrivateKey` of RFC 5915 in DER.
    pub(super) fn from_sec1(what: &str, der: &[u8]) -> Result<Self, KeyError> {
        let key = p256::SecretKey::from_sec1_der(der)
            .map_err(|_| KeyError::form(what, "it is an elliptic curve's key, but not one on P-256"))?;
        Self::p256(what, key.into())
    }

    fn p256(what: &str, key: p256::ecdsa::SigningKey) -> Result<Self, KeyError> {
        let public =
            key.verifying_key().to_public_key_der().map_err(|error| KeyError::form(what, error.to_string()))?;
        let public = PublicKey::from_der(what, public.as_bytes())?;
        Ok(Self { secret: Secret::EcdsaP256(Box::new(key)), public })
    }

    /// As cosign writes it, encrypted with a password.
    pub fn to_encrypted_pem(&self, password: &[u8]) -> Result<String, KeyError> {
        let der = match &self.secret {
            Secret::EcdsaP256(key) => key.to_pkcs8_der(),
            Secret::Ed25519(key) => key.to_pkcs8_der(),
        };
        let der = der.map_err(|error| KeyError::form("the key", error.to_string()))?;
        pem::write(ENCRYPTED[0], &encrypted::seal(der.as_bytes(), password)?)
    }
}

impl Signer for PrivateKey {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Deterministic (RFC 6979, RFC 8032): the same message gives the same signature.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(match &self.secret {
            Secret::EcdsaP256(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Secret::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        })
    }
}
