//! Keys' files: cosign's encrypted ones, PKCS #8, and the `ECPrivateKey` that OpenSSL writes.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::encrypted::{self, Closed};
use super::private::ENCRYPTED;
use super::{KeyError, PrivateKey, PublicKey, pem};
use crate::limits::KEY_FILE_BYTES_MAX;

/// What a key is encrypted with; overwritten when it is dropped.
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// A password.
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The first line of a file, without its end.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let text = read(path)?;
        Ok(Self::new(text.lines().next().unwrap_or_default().as_bytes()))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// A file that was read and not opened yet.
pub struct KeyFile {
    path: PathBuf,
    text: Zeroizing<String>,
    mode: u32,
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyFile({})", self.path.display())
    }
}

impl KeyFile {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
        let mode = std::fs::metadata(path).map_err(unreadable)?.mode();
        Ok(Self { path: path.to_owned(), text: read(path)?, mode })
    }

    /// Whether it is a PEM block, and not the description of a signing program.
    pub fn is_pem(&self) -> bool {
        self.text.contains("-----BEGIN ")
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether others than its owner can read it.
    pub fn is_readable_by_others(&self) -> bool {
        self.mode & 0o077 != 0
    }

    /// Whether a password is needed.
    pub fn is_encrypted(&self) -> bool {
        ENCRYPTED.iter().any(|label| self.text.contains(&format!("-----BEGIN {label}-----")))
    }

    /// Whether it holds a private key.
    pub fn is_private(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY"))
    }

    /// The private key.
    pub fn private(&self, password: Option<&Password>) -> Result<PrivateKey, KeyError> {
        let what = self.path.display().to_string();
        let (label, bytes) = pem::block(&what, &self.text)?;
        if ENCRYPTED.contains(&label) {
            let password = password.ok_or_else(|| KeyError::NoPassword(what.clone()))?;
            let plain = encrypted::open(&bytes, password.bytes()).map_err(|closed| match closed {
                Closed::Form(why) => KeyError::form(&what, why),
                Closed::Password => KeyError::WrongPassword(what.clone()),
            })?;
            return PrivateKey::from_pkcs8(&what, &plain);
        }
        match label {
            "PRIVATE KEY" => PrivateKey::from_pkcs8(&what, &bytes),
            "EC PRIVATE KEY" => PrivateKey::from_sec1(&what, &bytes),
            "ENCRYPTED PRIVATE KEY" => {
                let way =
                    "`openssl pkcs8 -in KEY -out PLAIN` decrypts it and `prograde key import PLAIN` encrypts it anew";
                Err(KeyError::form(what, format!("it is encrypted as PKCS #8, which is not read: {way}")))
            }
            "PUBLIC KEY" => Err(KeyError::form(what, "it is a public key, expected is a private one")),
            label => Err(KeyError::form(what, format!("it holds `{label}`, expected is a private key"))),
        }
    }

    /// The public key, if it holds one.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        PublicKey::from_pem(&self.path.display().to_string(), &self.text)
    }
}

/// The text of a small file.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, KeyError> {
    let unreadable = |source| KeyError::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut text = Zeroizing::new(String::new());
    file.take(KEY_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > KEY_FILE_BYTES_MAX {
        return Err(KeyError::form(path.display().to_string(), format!("it has more than {KEY_FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
