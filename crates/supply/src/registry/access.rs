//! Who may do what, and what else has to agree: two hooks that the registry asks and that others answer.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::registry::name::{ContentDigest, Reference, RepositoryName};

/// How long a verdict may take.
pub(super) const VERDICT_WAIT: Duration = Duration::from_secs(10);

/// What somebody wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<'a> {
    /// Know that there is a registry: `GET /v2/`, by which clients find out whether they need a token.
    Ping,
    /// Read a repository.
    Pull(&'a RepositoryName),
    /// Write to a repository.
    Push(&'a RepositoryName),
    /// Delete from a repository.
    Delete(&'a RepositoryName),
    /// List the repositories; those that may not be pulled from are left out.
    List,
    /// Collect garbage.
    Administer,
}

/// What somebody shows to be known by. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Shown {
    /// Nothing, or what can't be understood.
    Nothing,
    /// A bearer token (RFC 6750).
    Bearer(String),
    /// A name and a password (RFC 7617); the password may be a token.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: String,
    },
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Bearer(_) => "Bearer(***)",
            Self::Basic { .. } => "Basic(***)",
        })
    }
}

impl Shown {
    /// What an `Authorization` header shows.
    pub fn in_header(value: Option<&str>) -> Self {
        let Some((scheme, rest)) = value.and_then(|value| value.split_once(' ')) else { return Self::Nothing };
        if scheme.eq_ignore_ascii_case("bearer") {
            return Self::Bearer(rest.trim().to_owned());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return Self::Nothing;
        }
        let decoded = STANDARD.decode(rest.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|pair| pair.split_once(':')) {
            // Empty is what podman and skopeo send that have no credentials.
            Some(("", "")) | None => Self::Nothing,
            Some((user, password)) => Self::Basic { user: user.to_owned(), password: password.to_owned() },
        }
    }

    fn secret(&self) -> Option<&str> {
        match self {
            Self::Nothing => None,
            Self::Bearer(token) => Some(token),
            Self::Basic { password, .. } => Some(password),
        }
    }
}

/// Whether somebody may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// They may.
    Allowed,
    /// They may not, but perhaps would if they showed something else.
    Unauthorized,
    /// They may not, for this reason.
    Denied(String),
}

/// Decides who may do what. A closure is one.
pub trait Authorize: Send + Sync {
    /// Whether who shows this may do that.
    fn access(&self, shown: &Shown, action: &Action<'_>) -> Access;
}

impl<F: Fn(&Shown, &Action<'_>) -> Access + Send + Sync> Authorize for F {
    fn access(&self, shown: &Shown, action: &Action<'_>) -> Access {
        self(shown, action)
    }
}

/// What those may do who show nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// Nothing.
    #[default]
    Nothing,
    /// Pull.
    Pull,
}

/// One token that may do everything.
pub struct OneToken {
    /// Its hash, so that the time of comparing says nothing about it.
    hash: [u8; 32],
    anonymous: Anonymous,
}

impl OneToken {
    /// Lets in who shows `token`, and others as far as `anonymous` says.
    pub fn new(token: &str, anonymous: Anonymous) -> Self {
        Self { hash: Sha256::digest(token.as_bytes()).into(), anonymous }
    }
}

impl Authorize for OneToken {
    fn access(&self, shown: &Shown, action: &Action<'_>) -> Access {
        let known =
            shown.secret().is_some_and(|secret| <[u8; 32]>::from(Sha256::digest(secret.as_bytes())) == self.hash);
        // A wrong token is refused also where none is needed: whoever shows one should learn that it is wrong. And a
        // client that is let in at `/v2/` without a token never shows one, so that is where it is asked for.
        let open = self.anonymous == Anonymous::Pull && *shown == Shown::Nothing;
        if known || (open && matches!(action, Action::Pull(_) | Action::List)) {
            Access::Allowed
        } else {
            Access::Unauthorized
        }
    }
}

/// A manifest that somebody wants to push, complete and valid.
#[derive(Debug)]
pub struct Pushed<'a> {
    /// Where to.
    pub repository: &'a RepositoryName,
    /// Under which tag or digest.
    pub reference: &'a Reference,
    /// Its digest.
    pub digest: &'a ContentDigest,
    /// Its media type.
    pub media_type: &'a str,
    /// What it refers to, such as the image that it signs.
    pub subject: Option<&'a ContentDigest>,
    /// Its bytes.
    pub content: &'a [u8],
}

/// A manifest that somebody wants to pull.
#[derive(Debug)]
pub struct Pulled<'a> {
    /// Where from.
    pub repository: &'a RepositoryName,
    /// As it was asked for.
    pub reference: &'a Reference,
    /// Its digest.
    pub digest: &'a ContentDigest,
    /// Its media type.
    pub media_type: &'a str,
    /// Whether somebody asks for it who shows nothing to be known by.
    pub anonymous: bool,
}

/// Why a manifest is refused, and what can be done about it: people read it in their client's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, and the way out.
    pub why: String,
    /// Whether somebody who shows who they are would not be refused: then a client that can do so is asked to.
    pub known_may: bool,
}

impl Refusal {
    /// One that holds for everybody.
    pub fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), known_may: false }
    }
}

/// Agrees to manifests being pushed and pulled, or refuses with a reason. Has ten seconds for it.
#[async_trait]
pub trait Admission: Send + Sync {
    /// Asked before a manifest is stored.
    async fn push(&self, manifest: &Pushed<'_>) -> Result<(), Refusal>;
    /// Asked before a manifest is given out, also before its headers alone are.
    async fn pull(&self, manifest: &Pulled<'_>) -> Result<(), Refusal>;
}

/// Agrees to everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct AdmitAll;

#[async_trait]
impl Admission for AdmitAll {
    async fn push(&self, _: &Pushed<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn pull(&self, _: &Pulled<'_>) -> Result<(), Refusal> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_as_bearer_or_password_and_nothing_else() {
        let name = RepositoryName::new("pad").unwrap();
        let closed = OneToken::new("s3cret", Anonymous::Nothing);
        let open = OneToken::new("s3cret", Anonymous::Pull);
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let access =
            |who: &OneToken, header: Option<&str>, action: &Action<'_>| who.access(&Shown::in_header(header), action);
        for good in ["Bearer s3cret", "bearer s3cret", &basic("any:s3cret"), &basic(":s3cret")] {
            assert_eq!(access(&closed, Some(good), &Action::Push(&name)), Access::Allowed, "{good}");
            assert_eq!(access(&open, Some(good), &Action::Administer), Access::Allowed, "{good}");
        }
        for bad in [
            "Bearer s3cre",
            "Bearer",
            "Basic s3cret",
            "Basic !!!",
            "Digest s3cret",
            "",
            &basic("s3cret"),
            &basic("a:b"),
        ] {
            assert_eq!(access(&closed, Some(bad), &Action::Pull(&name)), Access::Unauthorized, "{bad}");
        }
        for nothing in [None, Some(basic(":"))] {
            assert_eq!(access(&open, nothing.as_deref(), &Action::Pull(&name)), Access::Allowed, "{nothing:?}");
        }
        assert_eq!(access(&open, None, &Action::Push(&name)), Access::Unauthorized);
        assert_eq!(access(&open, None, &Action::Ping), Access::Unauthorized, "or clients never show the token");
        assert_eq!(access(&open, Some("Bearer wrong"), &Action::Pull(&name)), Access::Unauthorized);
        assert_eq!(format!("{:?}", Shown::in_header(Some("Bearer s3cret"))), "Bearer(***)");
    }
}
