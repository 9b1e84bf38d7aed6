//! What clients name things by: repositories, tags and digests (OCI distribution specification 1.1, "Pulling manifests").
//!
//! Invariant: what has passed here can stand in a path on the disk; it holds no `..`, no empty part and no control character.

use std::fmt;

use crate::error::cut;
use crate::registry::error::RegistryError;

/// As many as most clients take for host and name together.
const REPOSITORY_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

/// A repository's name, such as `team/pad`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryName(String);

/// A tag, such as `v1.2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// How content is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// What content is known by: `sha256:` or `sha512:` and its hash in lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentDigest {
    algorithm: Algorithm,
    text: String,
}

/// How a manifest is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By its tag.
    Tag(Tag),
    /// By its digest.
    Digest(ContentDigest),
}

impl RepositoryName {
    /// The name, if it is one: lower-case letters and digits with single separators (`.`, `_`, `__` or any number of `-`)
    /// between them, in parts between slashes.
    pub fn new(text: &str) -> Result<Self, RegistryError> {
        if text.len() <= REPOSITORY_BYTES_MAX && text.split('/').all(is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RegistryError::NameInvalid { name: cut(text, 100) })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = text;
    loop {
        let after = rest.trim_start_matches(is_word);
        if after.len() == rest.len() {
            return false;
        }
        if after.is_empty() {
            return true;
        }
        let separated = after.trim_start_matches('-');
        rest = if separated.len() < after.len() {
            separated
        } else if let Some(next) = after.strip_prefix("__").or_else(|| after.strip_prefix(['.', '_'])) {
            next
        } else {
            return false;
        };
    }
}

impl Tag {
    /// The tag, if it is one: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    pub fn new(text: &str) -> Result<Self, RegistryError> {
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let allowed = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if begins && allowed && text.len() <= TAG_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(RegistryError::TagInvalid { tag: cut(text, 100) })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Algorithm {
    /// The folder below `blobs`, and what stands before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The algorithm with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sha256, Self::Sha512].into_iter().find(|algorithm| algorithm.name() == name)
    }

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

impl ContentDigest {
    /// The digest, if it is one of an algorithm that is known.
    pub fn new(text: &str) -> Result<Self, RegistryError> {
        let invalid = || RegistryError::DigestInvalid {
            why: format!(
                "{:?} is not a digest: expected `sha256:` and 64, or `sha512:` and 128, lower-case hex digits",
                cut(text, 150)
            ),
        };
        let (name, digits) = text.split_once(':').ok_or_else(invalid)?;
        let algorithm = Algorithm::from_name(name).ok_or_else(invalid)?;
        let hex = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if hex && digits.len() == algorithm.digits() {
            Ok(Self { algorithm, text: text.to_owned() })
        } else {
            Err(invalid())
        }
    }

    pub(super) fn from_hash(algorithm: Algorithm, hash: &[u8]) -> Self {
        Self { algorithm, text: format!("{}:{}", algorithm.name(), hex::encode(hash)) }
    }

    /// How it was made.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits after the colon.
    pub fn hex(&self) -> &str {
        self.text.split_once(':').map_or("", |(_, digits)| digits)
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl From<&prograde_model::Digest> for ContentDigest {
    fn from(digest: &prograde_model::Digest) -> Self {
        Self { algorithm: Algorithm::Sha256, text: digest.as_str().to_owned() }
    }
}

impl Reference {
    /// What stands after `/manifests/`.
    pub fn new(text: &str) -> Result<Self, RegistryError> {
        if text.contains(':') { ContentDigest::new(text).map(Self::Digest) } else { Tag::new(text).map(Self::Tag) }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_specification() {
        for good in ["a", "pad", "team/pad", "a.b", "a_b", "a__b", "a---b", "0/1/2", &"a".repeat(255)] {
            assert!(RepositoryName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/a",
            "a//b",
            "A",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a.",
            "..",
            "a/../b",
            "a/./b",
            "a b",
            "ä",
            "a._b",
            "a\0b",
            "a\nb",
            "_catalog",
            &"a".repeat(256),
        ] {
            assert!(RepositoryName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn tags_and_digests_are_told_apart() {
        for good in ["a", "_", "V1.2-x_y", &"a".repeat(128)] {
            assert!(matches!(Reference::new(good), Ok(Reference::Tag(_))), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a b", "..", "ä", &"a".repeat(129)] {
            assert!(Reference::new(bad).is_err(), "{bad:?}");
        }
        for (algorithm, digits) in [("sha256", 64), ("sha512", 128)] {
            let text = format!("{algorithm}:{}", "0a".repeat(digits / 2));
            let digest = ContentDigest::new(&text).unwrap();
            assert_eq!((digest.as_str(), digest.hex().len(), digest.algorithm().name()), (&*text, digits, algorithm));
        }
        for bad in [
            "sha256:",
            "sha256:baddigeststring",
            "md5:00",
            ":",
            "sha256:../../x",
            &format!("sha256:{}", "A".repeat(64)),
        ] {
            assert!(Reference::new(bad).is_err(), "{bad:?}");
        }
    }
}
