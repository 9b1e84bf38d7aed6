//! Whose signatures count: keys with the time in which they hold and the repositories that they may sign for.
//!
//! A signature made with a key alone can't prove when it was made: its time is whatever the signer writes. So a key's time
//! is compared with the moment at which somebody else took note of the signature, such as the journal when a release was
//! recorded; the caller brings that moment, and without one it is now. A key that is no longer used keeps its `not_after`
//! and goes on verifying what was recorded before; one that was stolen is `revoked`, which ends everything at once.

use std::path::Path;

use jiff::Timestamp;
use prograde_model::{Diagnostic, Diagnostics};
use prograde_yaml::Node;
use serde::Deserialize;

use crate::codes;
use crate::key::{self, PublicKey};
use crate::limits::KEYS_MAX;
use crate::reference::{Pattern, Repository};

const HINT: &str = "expected `keys`, a list of `name`, `public_key` (a file or a PEM block), and if wanted `not_before`, `not_after`, `repositories`, `revoked`";

/// Whose signatures count.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<TrustedKey>,
}

/// One key that counts.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    name: String,
    key: PublicKey,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    repositories: Vec<Pattern>,
    revoked: Option<String>,
}

/// Why a key that made a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It was stolen or lost.
    #[error("the key `{key}` is revoked: {why}")]
    Revoked {
        /// The key's name.
        key: String,
        /// What the trust file says.
        why: String,
    },
    /// It does not hold yet.
    #[error("the key `{key}` holds from {from}, and the signature was recorded at {at}")]
    Early {
        /// The key's name.
        key: String,
        /// When it begins to hold.
        from: Timestamp,
        /// The moment that was asked about.
        at: Timestamp,
    },
    /// It does not hold any more.
    #[error("the key `{key}` held until {until}, and nobody recorded the signature before then (asked about {at})")]
    Late {
        /// The key's name.
        key: String,
        /// When it ceased to hold.
        until: Timestamp,
        /// The moment that was asked about.
        at: Timestamp,
    },
    /// It may not sign for this repository.
    #[error("the key `{key}` may not sign for {repository}")]
    Elsewhere {
        /// The key's name.
        key: String,
        /// The repository.
        repository: Repository,
    },
    /// It may sign for some repositories, and the signature names none.
    #[error("the key `{key}` may sign for certain repositories only, and the signature names none")]
    Unbound {
        /// The key's name.
        key: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    public_key: String,
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    repositories: Option<Vec<String>>,
    revoked: Option<String>,
}

impl Trust {
    /// One key, always and everywhere.
    pub fn of(name: &str, key: PublicKey) -> Self {
        let repositories = vec![Pattern::All];
        Self {
            keys: vec![TrustedKey {
                name: name.to_owned(),
                key,
                not_before: None,
                not_after: None,
                repositories,
                revoked: None,
            }],
        }
    }

    /// Reads a trust file and the public keys that it names.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        let file = path.display().to_string();
        let text = key::read(path).map_err(|error| {
            Diagnostic::file(codes::TRUST, &file, error_text(&error), "name a trust file that is there")
        })?;
        Self::parse(&file, &text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a trust file's text; keys' files are looked for in `folder`. Every fault is told.
    pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Self, Diagnostics> {
        let read: File = prograde_yaml::decode(file, text).map_err(Diagnostics::from)?;
        let documents = prograde_yaml::documents(file, text).map_err(Diagnostics::from)?;
        let nodes = documents.first().and_then(|document| document.get("keys")).map(Node::items).unwrap_or_default();
        let at = |index: usize, field: &str| {
            let node = nodes.get(index);
            let key = node.and_then(|node| node.key(field)).map(|key| (key.line, key.column));
            key.or_else(|| node.map(|node| (node.line, node.column))).unwrap_or_default()
        };
        let mut keys: Vec<TrustedKey> = Vec::new();
        let mut faults = Vec::new();
        let count = read.keys.len();
        if count == 0 || count > KEYS_MAX {
            let message = format!("there are {count} keys, expected are 1 to {KEYS_MAX}");
            faults.push(Diagnostic::file(codes::TRUST, file, message, HINT));
        }
        for (index, entry) in read.keys.into_iter().take(KEYS_MAX).enumerate() {
            match entry.checked(folder) {
                Ok(key) if keys.iter().any(|other| other.name == key.name) => {
                    let (line, column) = at(index, "name");
                    let message = format!("the name `{}` is there twice", key.name);
                    faults.push(Diagnostic::file(codes::TRUST, file, message, HINT).at(line, column));
                }
                Ok(key) => keys.push(key),
                Err((field, message)) => {
                    let (line, column) = at(index, field);
                    faults.push(Diagnostic::file(codes::TRUST, file, message, HINT).at(line, column));
                }
            }
        }
        if faults.is_empty() { Ok(Self { keys }) } else { Err(Diagnostics(faults)) }
    }

    /// The keys, in the file's order.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The keys that made a signature; several entries may hold the same key.
    pub fn makers<'a>(&'a self, message: &'a [u8], signature: &'a [u8]) -> impl Iterator<Item = &'a TrustedKey> {
        self.keys.iter().filter(move |one| one.key.verify(message, signature))
    }
}

impl Entry {
    /// The key, or the field that is wrong and why.
    fn checked(self, folder: &Path) -> Result<TrustedKey, (&'static str, String)> {
        if self.name.is_empty() || self.name.len() > 100 || self.name.contains(char::is_control) {
            return Err(("name", "a name has 1 to 100 characters".to_owned()));
        }
        let key = if self.public_key.contains("-----BEGIN ") {
            PublicKey::from_pem(&format!("the key `{}`", self.name), &self.public_key)
        } else {
            let path = folder.join(&self.public_key);
            key::read(&path).and_then(|text| PublicKey::from_pem(&path.display().to_string(), &text))
        };
        let key = key.map_err(|error| ("public_key", error_text(&error)))?;
        if let (Some(from), Some(until)) = (self.not_before, self.not_after)
            && until <= from
        {
            return Err(("not_after", format!("the key would hold from {from} until {until}, which is before")));
        }
        let repositories = self.repositories.unwrap_or_else(|| vec!["*".to_owned()]);
        if repositories.is_empty() {
            return Err(("repositories", "the key may sign for nothing: take the field or the key out".to_owned()));
        }
        let repositories: Result<Vec<Pattern>, _> = repositories.iter().map(|text| text.parse()).collect();
        let repositories =
            repositories.map_err(|error| ("repositories", format!("{error}, nor `HOST/PATH/*`, nor `*`")))?;
        let (not_before, not_after) = (self.not_before, self.not_after);
        Ok(TrustedKey { name: self.name, key, not_before, not_after, repositories, revoked: self.revoked })
    }
}

/// An error and what it comes from, in one line.
fn error_text(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

impl TrustedKey {
    /// Its name in the trust file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whether what it signed counts: recorded at `at`, and for `repository`. `bound` says that the signature names it.
    pub fn check(&self, repository: &Repository, bound: bool, at: Timestamp) -> Result<(), Untrusted> {
        let key = self.name.clone();
        if let Some(why) = &self.revoked {
            return Err(Untrusted::Revoked { key, why: why.clone() });
        }
        if let Some(from) = self.not_before.filter(|from| at < *from) {
            return Err(Untrusted::Early { key, from, at });
        }
        if let Some(until) = self.not_after.filter(|until| at >= *until) {
            return Err(Untrusted::Late { key, until, at });
        }
        if !self.repositories.iter().any(|pattern| pattern.matches(repository)) {
            return Err(Untrusted::Elsewhere { key, repository: repository.clone() });
        }
        if !bound && !self.repositories.contains(&Pattern::All) {
            return Err(Untrusted::Unbound { key });
        }
        Ok(())
    }
}
