//! A client of OCI registries (OCI distribution specification 1.1): manifests, blobs, tags and referrers.
//!
//! It blocks: call it where blocking is allowed, from as many threads as you like. Nothing is given out before its
//! digest has been checked, every answer is bounded in time and size, and what a registry says it is busy with is
//! waited for as long as [`Patience`] allows.

mod auth;
mod beside;
mod blobs;
mod credentials;
mod error;
mod federation;
mod http;
mod manifests;
mod reference;
mod referrers;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use ::http::{StatusCode, Uri, header};

pub use self::beside::Beside;
pub use self::blobs::{Pushed, Source};
pub use self::credentials::{Credential, Credentials, Secret};
pub use self::error::RegistryError;
pub use self::federation::{AwsRole, Federation};
pub use self::http::Patience;
pub use self::manifests::Fetched;
pub use self::reference::{Reference, Repository};
pub use self::referrers::Artifact;

use self::auth::Tokens;
use self::http::{Answer, Ask, Http, host_of, same_origin};
use self::reference::is_loopback;

/// How a client behaves.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Who we are.
    pub credentials: Credentials,
    /// Who the surroundings say that we are, where there are no credentials.
    pub federation: Federation,
    /// Registries (`host[:port]`) that are spoken to without TLS. This machine itself always is, but on port 443.
    pub insecure: BTreeSet<String>,
    /// How long things may take.
    pub patience: Patience,
    /// The largest blob that is sent in one piece; larger ones go in pieces of this size.
    pub piece_bytes: u64,
    /// The largest blob that is fetched where nobody says how large it is.
    pub blob_bytes_max: u64,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::none(),
            federation: Federation::default(),
            insecure: BTreeSet::new(),
            patience: Patience::default(),
            piece_bytes: 256 << 20,
            blob_bytes_max: 16 << 30,
        }
    }
}

/// Speaks to registries. Cheap to clone; clones share connections and tokens.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: ClientOptions,
    http: Http,
    tokens: Tokens,
    known: Mutex<BTreeMap<Repository, Option<Credential>>>,
    /// Held while a token is asked for, so that many threads ask once.
    asking: Mutex<()>,
}

/// What is to be done with a repository, in the words of a token's scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish<'a> {
    Pull,
    Push,
    /// Push, and read the other one to mount from it.
    Mount(&'a Repository),
    Delete,
}

impl Wish<'_> {
    fn scope(self, repository: &Repository) -> String {
        let name = repository.name();
        match self {
            Self::Pull => format!("repository:{name}:pull"),
            Self::Push => format!("repository:{name}:pull,push"),
            Self::Mount(other) => format!("repository:{name}:pull,push repository:{}:pull", other.name()),
            Self::Delete => format!("repository:{name}:delete,pull"),
        }
    }
}

impl Client {
    /// A client; nothing is asked yet.
    pub fn new(options: ClientOptions) -> Self {
        let http = Http::new(options.patience);
        let (tokens, known, asking) = (Tokens::default(), Mutex::default(), Mutex::default());
        Self(Arc::new(Inner { options, http, tokens, known, asking }))
    }

    /// The address of something in a repository.
    fn uri(&self, repository: &Repository, rest: &str) -> Result<Uri, RegistryError> {
        let base = self.base(repository);
        format!("{base}/v2/{}/{rest}", repository.name()).parse().map_err(|_| RegistryError::InvalidReference {
            text: repository.to_string(),
            why: "no address can be made of it",
        })
    }

    /// Scheme and host. Clear text only to this machine, or where it was asked for.
    fn base(&self, repository: &Repository) -> String {
        let authority = repository.authority();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port),
            _ => (authority, ""),
        };
        let is_clear = self.0.options.insecure.contains(repository.registry()) || (is_loopback(host) && port != "443");
        format!("{}://{authority}", if is_clear { "http" } else { "https" })
    }

    /// Asks a registry, saying who we are if it wants to know.
    fn call(&self, repository: &Repository, wish: Wish<'_>, mut ask: Ask<'_>) -> Result<Answer, RegistryError> {
        let registry = self.uri(repository, "")?;
        // An upload may go on at another host, which is not told who we are.
        if !same_origin(&registry, &ask.uri) {
            return self.0.http.send(&ask);
        }
        let (authority, scope) = (host_of(&registry), wish.scope(repository));
        let before = self.0.tokens.get(&authority, &scope);
        if let Some(shown) = &before {
            show(&mut ask, shown);
        }
        let answer = self.0.http.send(&ask)?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let shown = self.authorise(repository, &registry, &scope, answer, before.as_ref())?;
        show(&mut ask, &shown);
        self.0.http.send(&ask)
    }

    fn authorise(
        &self,
        repository: &Repository,
        registry: &Uri,
        scope: &str,
        refused: Answer,
        before: Option<&auth::Shown>,
    ) -> Result<auth::Shown, RegistryError> {
        let authority = host_of(registry);
        let _asking = self.0.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.0.tokens.get(&authority, scope);
        if let Some(shown) = now.filter(|now| before.is_none_or(|before| before.value != now.value)) {
            refused.finish();
            return Ok(shown);
        }
        let credential = self.credential(repository)?;
        let shown = auth::answer(&self.0.http, refused, registry, scope, credential.as_ref())?;
        self.0.tokens.put(&authority, scope, &shown);
        Ok(shown)
    }

    fn credential(&self, repository: &Repository) -> Result<Option<Credential>, RegistryError> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner).get(repository).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let kept = self.0.options.credentials.of(repository)?;
        let found = match kept {
            Some(kept) => Some(kept),
            None => self.0.options.federation.of(&self.0.http, repository)?,
        };
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner).insert(repository.clone(), found.clone());
        Ok(found)
    }
}

fn show(ask: &mut Ask<'_>, shown: &auth::Shown) {
    ask.headers.insert(header::AUTHORIZATION, shown.value.clone());
    ask.secrets.clone_from(&shown.secrets);
}
