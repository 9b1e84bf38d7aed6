//! Whose signatures count: keys and identities with the time in which they hold and the repositories that they may sign for.
//!
//! A signature made with a key alone can't prove when it was made: its time is whatever the signer writes. So a key's time
//! is compared with the moment at which somebody else took note of the signature, such as the journal when a release was
//! recorded; the caller brings that moment, and without one it is now. A key that is no longer used keeps its `not_after`
//! and goes on verifying what was recorded before; one that was stolen is `revoked`, which ends everything at once.
//!
//! Beside keys there are identities, of which certificates speak that a trusted root vouches for; when those signed is proven.

mod file;
mod identity;

use std::path::Path;

use jiff::Timestamp;
use prograde_model::{Diagnostic, Diagnostics};

pub use self::identity::{TrustedIdentity, Wanted};
use crate::codes;
use crate::key::{self, PublicKey};
use crate::keyless::TrustedRoot;
use crate::reference::{Pattern, Repository};

/// Whose signatures count.
#[derive(Debug, Clone)]
pub struct Trust {
    keys: Vec<TrustedKey>,
    identities: Vec<TrustedIdentity>,
    root: Option<TrustedRoot>,
}

/// One key that counts.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    name: String,
    key: PublicKey,
    bounds: Bounds,
}

/// When a key or an identity counts, and for which repositories.
#[derive(Debug, Clone)]
struct Bounds {
    not_before: Option<Timestamp>,
    not_after: Option<Timestamp>,
    repositories: Vec<Pattern>,
    revoked: Option<String>,
}

impl Default for Bounds {
    /// Always, for all.
    fn default() -> Self {
        Self { not_before: None, not_after: None, repositories: vec![Pattern::All], revoked: None }
    }
}

/// Why a key or an identity that made a signature does not count. `who` is "key" or "identity" with its name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// It was stolen or lost.
    #[error("the {who} is revoked: {why}")]
    Revoked {
        /// Whose signature it is.
        who: String,
        /// What the trust file says.
        why: String,
    },
    /// It does not hold yet.
    #[error("the {who} holds from {from}, and the signature was recorded at {at}")]
    Early {
        /// Whose signature it is.
        who: String,
        /// When it begins to hold.
        from: Timestamp,
        /// The moment that was asked about.
        at: Timestamp,
    },
    /// It does not hold any more.
    #[error("the {who} held until {until}, and nobody recorded the signature before then (asked about {at})")]
    Late {
        /// Whose signature it is.
        who: String,
        /// When it ceased to hold.
        until: Timestamp,
        /// The moment that was asked about.
        at: Timestamp,
    },
    /// It may not sign for this repository.
    #[error("the {who} may not sign for {repository}")]
    Elsewhere {
        /// Whose signature it is.
        who: String,
        /// The repository.
        repository: Repository,
    },
    /// It may sign for some repositories, and the signature names none.
    #[error("the {who} may sign for certain repositories only, and the signature names none")]
    Unbound {
        /// Whose signature it is.
        who: String,
    },
}

impl Trust {
    /// One key, always and everywhere.
    pub fn of(name: &str, key: PublicKey) -> Self {
        let key = TrustedKey { name: name.to_owned(), key, bounds: Bounds::default() };
        Self { keys: vec![key], identities: Vec::new(), root: None }
    }

    /// One identity, and who is believed about it.
    pub fn of_identity(identity: TrustedIdentity, root: TrustedRoot) -> Self {
        Self { keys: Vec::new(), identities: vec![identity], root: Some(root) }
    }

    /// Reads a trust file, and the public keys and the trusted root that it names.
    pub fn read(path: &Path) -> Result<Self, Diagnostics> {
        let file = path.display().to_string();
        let text = key::read(path).map_err(|error| {
            Diagnostic::file(codes::TRUST, &file, error_text(&error), "name a trust file that is there")
        })?;
        Self::parse(&file, &text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a trust file's text; the files that it names are looked for in `folder`. Every fault is told.
    pub fn parse(file: &str, text: &str, folder: &Path) -> Result<Self, Diagnostics> {
        file::parse(file, text, folder)
    }

    /// The keys, in the file's order.
    pub fn keys(&self) -> &[TrustedKey] {
        &self.keys
    }

    /// The identities, in the file's order.
    pub fn identities(&self) -> &[TrustedIdentity] {
        &self.identities
    }

    /// Who is believed about certificates and time.
    pub fn root(&self) -> Option<&TrustedRoot> {
        self.root.as_ref()
    }

    /// The keys that made a signature; several entries may hold the same key.
    pub fn makers<'a>(&'a self, message: &'a [u8], signature: &'a [u8]) -> impl Iterator<Item = &'a TrustedKey> {
        self.keys.iter().filter(move |one| one.key.verify(message, signature))
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
        self.bounds.check(|| format!("key `{}`", self.name), repository, bound, (at, at))
    }
}

impl Bounds {
    /// Whether what was signed between two moments counts.
    fn check(
        &self,
        who: impl Fn() -> String,
        repository: &Repository,
        bound: bool,
        (first, last): (Timestamp, Timestamp),
    ) -> Result<(), Untrusted> {
        if let Some(why) = &self.revoked {
            return Err(Untrusted::Revoked { who: who(), why: why.clone() });
        }
        if let Some(from) = self.not_before.filter(|from| first < *from) {
            return Err(Untrusted::Early { who: who(), from, at: first });
        }
        if let Some(until) = self.not_after.filter(|until| last >= *until) {
            return Err(Untrusted::Late { who: who(), until, at: last });
        }
        if !self.repositories.iter().any(|pattern| pattern.matches(repository)) {
            return Err(Untrusted::Elsewhere { who: who(), repository: repository.clone() });
        }
        if !bound && !self.repositories.contains(&Pattern::All) {
            return Err(Untrusted::Unbound { who: who() });
        }
        Ok(())
    }
}
