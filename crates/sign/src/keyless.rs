//! Signatures without a key that anybody keeps: the key exists for one signature, a certificate says who made it, and a log
//! and a clock that are trusted say when.
//!
//! Source: the specifications of <https://github.com/sigstore/architecture-docs>. What is checked, and by whom: the crate
//! `sigstore-verify` checks certificate, log entry, timestamp and signature of a bundle from bytes alone; which identities
//! count, for which repositories and when, is decided in [`crate::Trust`].
//!
//! Invariants: the private key never leaves [`Keyless::bundle`] and is overwritten at its end. The identity token is sent to
//! the certificate authority alone, and shows itself nowhere. Nothing is sent to an address that the caller's signing
//! configuration does not name.

mod chosen;
mod provider;
mod request;
mod root;
mod sign;
mod token;

use std::path::PathBuf;

pub use chosen::{Services, is_address};
pub(crate) use root::Signed;
pub use root::{Certified, Doubt, TrustedRoot};
pub use sign::{Keyless, Made, Port, Request};
pub use token::Token;

use crate::codes;
use crate::key::KeyError;
use crate::store::Cause;

/// Why something can't be signed without a key, or why what a signature is checked with can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeylessError {
    /// A file can't be read.
    #[error("{} can't be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The code of what it should have been.
        code: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// A trusted root can't be used.
    #[error("the trusted root {what} can't be used: {why}")]
    Root {
        /// The file.
        what: String,
        /// Why.
        why: String,
    },
    /// A signing configuration can't be used.
    #[error("the signing configuration {what} can't be used: {why}")]
    Config {
        /// The file.
        what: String,
        /// Why.
        why: String,
    },
    /// There is no identity token, or it is none.
    #[error("{0}")]
    Token(String),
    /// A service can't be reached, or refuses.
    #[error("the {service} at {url} gave no answer that helps")]
    Service {
        /// What it does.
        service: &'static str,
        /// Where it is.
        url: String,
        /// Why.
        source: Cause,
    },
    /// A service's answer can't be used.
    #[error("the answer of the {service} at {url} can't be used: {why}")]
    Answer {
        /// What it does.
        service: &'static str,
        /// Where it is.
        url: String,
        /// Why.
        why: String,
    },
    /// What was made does not hold by the trusted root that was given.
    #[error("what was signed does not hold by the trusted root, and is not stored")]
    Unsound(#[source] Doubt),
    /// An identity's pattern can't be used.
    #[error("{0}")]
    Pattern(String),
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeylessError {
    /// The error's code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { code, .. } => code,
            Self::Root { .. } => codes::TRUSTED_ROOT,
            Self::Config { .. } => codes::SIGNING_CONFIG,
            Self::Token(_) => codes::TOKEN,
            Self::Service { .. } => codes::SERVICE,
            Self::Answer { .. } | Self::Unsound(_) => codes::ANSWER,
            Self::Pattern(_) => codes::IDENTITY,
            Self::Key(error) => error.code(),
        }
    }

    /// What can be done about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::Root { .. } | Self::Config { .. } => {
                "docs/guides/signing.md says where trusted roots and signing configurations come from"
            }
            Self::Token(_) => {
                "name a file with --identity-token, set SIGSTORE_ID_TOKEN, or give the job the permission `id-token: write`"
            }
            Self::Service { .. } => "tokens are good for some minutes only: get a new one before you try again",
            Self::Pattern(_) => "a pattern has to match the whole identity, such as `.*@example[.]com`",
            Self::Key(error) => error.hint(),
            Self::Answer { .. } | Self::Unsound(_) => "",
        }
    }
}

/// Reads a file of at most `bytes_max` bytes as text.
pub(crate) fn read(path: &std::path::Path, bytes_max: u64, code: &'static str) -> Result<String, KeylessError> {
    use std::io::Read as _;
    let failed = |source| KeylessError::Unreadable { path: path.to_owned(), code, source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(bytes_max + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > bytes_max {
        return Err(failed(std::io::Error::other(format!("it has more than {bytes_max} bytes"))));
    }
    Ok(text)
}
