//! Keys: public ones that check, and private ones that sign, at rest always encrypted when we write them.

mod encrypted;
mod file;
mod pem;
mod private;
mod program;
mod public;

use std::path::{Path, PathBuf};

use prograde_model::Diagnostic;

use crate::codes;

pub(crate) use file::read;
pub use file::{KeyFile, Password};
pub use private::PrivateKey;
pub use program::ProgramSigner;
pub use public::{Algorithm, PublicKey};

/// Makes signatures: a key in memory, or a program that asks something which keeps its key to itself.
pub trait Signer: Send + Sync {
    /// The key that checks what this signs.
    fn public_key(&self) -> &PublicKey;

    /// The signature over `message`: DER for ECDSA, as the algorithm defines it for others.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError>;
}

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file can't be read.
    #[error("the key {} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It holds no key that can be used.
    #[error("{what} can't be used: {why}")]
    Form {
        /// The file, or what the key is for.
        what: String,
        /// Why, and what was expected.
        why: String,
    },
    /// It is encrypted, and there is no password.
    #[error("{0} is encrypted and there is no password")]
    NoPassword(String),
    /// The password is another one, or the file was changed.
    #[error("{0} can't be decrypted: the password is another one, or the file was changed")]
    WrongPassword(String),
    /// A signing program failed.
    #[error("the signing program {program} gave no signature: {why}")]
    Program {
        /// The program.
        program: String,
        /// Why.
        why: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random(#[source] getrandom::Error),
}

impl KeyError {
    pub(crate) fn form(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Form { what: what.into(), why: why.into() }
    }

    /// The error's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Form { .. } | Self::Random(_) => codes::KEY,
            Self::NoPassword(_) | Self::WrongPassword(_) => codes::PASSWORD,
            Self::Program { .. } => codes::PROGRAM,
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "make a pair with `prograde key generate`",
            Self::Form { .. } => {
                "expected are PEM keys: what `prograde key generate` or `cosign generate-key-pair` writes"
            }
            Self::NoPassword(_) => "set PROGRADE_KEY_PASSWORD or COSIGN_PASSWORD, or name a file with --password-file",
            Self::Program { .. } => "docs/guides/signing.md says what a signing program is given and has to answer",
            Self::WrongPassword(_) | Self::Random(_) => "",
        }
    }

    /// The same as a finding about a file.
    pub fn diagnostic(&self, file: &Path) -> Diagnostic {
        Diagnostic::file(self.code(), file.display().to_string(), self.to_string(), self.hint())
    }
}
