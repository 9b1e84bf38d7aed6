//! Who we are to the registries of cloud providers: the identity that a runner or a pod has is exchanged for a password of
//! minutes or hours, so that none has to be kept.
//!
//! Invariant: what is exchanged goes over TLS or stays on this machine, and keys that never expire are not taken.
//!
//! Sources: AWS, `AssumeRoleWithWebIdentity` and ECR's `GetAuthorizationToken`; Google, AIP-4117 "External account
//! credentials" and RFC 8693 (token exchange); GitHub, "Working with the Container registry".

mod aws;
mod google;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use http::Uri;

use super::credentials::{Credential, Secret};
use super::error::RegistryError;
use super::http::{Ask, Http, host_of};
use super::reference::{Repository, is_loopback};

/// The largest file with a token, and the longest answer.
const BYTES_MAX: u64 = 256 * 1024;

/// What is known of our identity. What is left out is not used.
#[derive(Debug, Clone, Default)]
pub struct Federation {
    /// For Amazon's registries.
    pub aws: Option<AwsRole>,
    /// For Google's: a file of the kind `external_account`, as `gcloud iam workload-identity-pools create-cred-config` writes it.
    pub google: Option<PathBuf>,
    /// For GitHub's: the token that a workflow has while it runs, with the name of who runs it.
    pub github: Option<(String, Secret)>,
}

/// A role, and the identity that may take it.
#[derive(Debug, Clone)]
pub struct AwsRole {
    /// The role's ARN.
    pub role: String,
    /// The file with the identity's token (OIDC). It is read whenever it is needed.
    pub token_file: PathBuf,
    /// What the session is called in AWS' records.
    pub session: String,
    /// Another address of the token service (STS) than the region's.
    pub sts: Option<String>,
    /// Another address of the registries' API (ECR) than the region's.
    pub ecr: Option<String>,
}

impl Federation {
    /// What is shown to a registry; nothing where it is none of those that are known here. Asks other machines.
    pub(super) fn of(&self, http: &Http, repository: &Repository) -> Result<Option<Credential>, RegistryError> {
        let registry = repository.registry();
        let found = if let (Some(role), Some(region)) = (&self.aws, aws::region(registry)) {
            aws::password(http, role, region)
        } else if let (Some(file), true) = (&self.google, google::is_registry(registry)) {
            google::password(http, file)
        } else if let (Some((name, token)), "ghcr.io") = (&self.github, registry) {
            Ok(Credential::Basic { username: name.clone(), password: token.clone() })
        } else {
            return Ok(None);
        };
        let told = |error: FederationError| match error {
            FederationError::Registry(error) => error,
            FederationError::Unusable(why) => RegistryError::Credentials { registry: registry.to_owned(), why },
        };
        found.map(Some).map_err(told)
    }
}

/// Why there is no password.
enum FederationError {
    Registry(RegistryError),
    Unusable(String),
}

impl From<RegistryError> for FederationError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

/// A text in a file, without white space around it.
fn text_of(path: &Path) -> Result<Secret, FederationError> {
    let told = |why: String| FederationError::Unusable(format!("{} {why}", path.display()));
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text));
    read.map_err(|error| told(format!("can't be read: {error}")))?;
    if text.len() as u64 > BYTES_MAX {
        return Err(told(format!("is larger than {BYTES_MAX} bytes")));
    }
    if text.trim().is_empty() {
        return Err(told("is empty".to_owned()));
    }
    Ok(Secret::new(text.trim()))
}

/// An address to which secrets may go.
fn safe(address: &str) -> Result<Uri, FederationError> {
    let wrong = |why: &str| FederationError::Unusable(format!("an identity is not sent to {address:?}: {why}"));
    let uri: Uri = address.parse().map_err(|_| wrong("it is no address"))?;
    match uri.scheme_str() {
        _ if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) => {
            Err(wrong("it names no host, or a password"))
        }
        Some("https") => Ok(uri),
        Some("http") if is_loopback(uri.host().unwrap_or_default()) => Ok(uri),
        Some(_) | None => Err(wrong("that would be in clear")),
    }
}

/// Sends a question whose answer has to be good.
fn answer(http: &Http, ask: &Ask<'_>, action: &str) -> Result<Vec<u8>, FederationError> {
    let answer = http.send(ask)?;
    if !answer.status.is_success() {
        return Err(answer.refused(action).into());
    }
    Ok(answer.bytes(BYTES_MAX, "the answer")?)
}

/// An answer that has not the form that it should have. What it says may be secret.
fn unexpected(uri: &Uri, what: &'static str) -> FederationError {
    let why = "it is not of the expected form".to_owned();
    FederationError::Registry(RegistryError::Invalid { host: host_of(uri), what, why })
}

#[cfg(test)]
mod tests;
