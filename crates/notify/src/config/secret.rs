//! What nobody should see.

use std::fmt;
use std::path::{Path, PathBuf};

/// How large a file with a secret may be, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A password, a token, or an address that is as good as one. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// It stands in the configuration.
    Inline(String),
    /// It stands in a file, which is read whenever it is needed, so that it can be changed there.
    File(PathBuf),
}

/// Why a secret can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file can't be read.
    #[error("the secret in {} can't be read", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its file is not a secret's.
    #[error("the secret in {} has more than {FILE_BYTES_MAX} bytes, or is no text", path.display())]
    Form {
        /// Where it is.
        path: PathBuf,
    },
}

impl Secret {
    /// The secret itself, without white space around it. A relative path is looked for in `folder`.
    pub fn read(&self, folder: &Path) -> Result<String, SecretError> {
        use std::io::Read as _;
        let path = match self {
            Self::Inline(text) => return Ok(text.clone()),
            Self::File(path) => folder.join(path),
        };
        let read = || {
            let mut bytes = Vec::new();
            std::fs::File::open(&path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = read().map_err(|source| SecretError::Read { path: path.clone(), source })?;
        let is_small = u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES_MAX);
        let text = String::from_utf8(bytes).ok().filter(|_| is_small);
        text.map(|text| text.trim().to_owned()).ok_or(SecretError::Form { path })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inline(_) => f.write_str("<secret>"),
            Self::File(path) => write!(f, "<secret in {}>", path.display()),
        }
    }
}
