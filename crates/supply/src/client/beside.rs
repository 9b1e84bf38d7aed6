//! A registry's repository as the place where signatures of its images are kept.

use std::time::Duration;

use prograde_model::Digest;
use prograde_sign::{Cause, Store, StoredManifest, digest_of};

use super::{Client, Reference, RegistryError, Repository, Source};

/// Beside the images of one repository.
#[derive(Debug, Clone)]
pub struct Beside {
    client: Client,
    remote: Repository,
}

impl Beside {
    /// Beside the images of a repository.
    pub fn new(client: Client, remote: Repository) -> Self {
        Self { client, remote }
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.remote
    }

    fn reference(&self, name: &str) -> Result<Reference, RegistryError> {
        match name.parse::<Digest>() {
            Ok(digest) => Ok(self.remote.at(&digest)),
            Err(_) => self.remote.tagged(name),
        }
    }
}

impl Store for Beside {
    fn manifest(&self, name: &str) -> Result<Option<StoredManifest>, Cause> {
        match self.client.fetch_manifest(&self.reference(name)?) {
            Ok(found) => Ok(Some(StoredManifest { media_type: found.media_type, bytes: found.bytes })),
            Err(RegistryError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn blob(&self, digest: &Digest, bytes_max: u64) -> Result<Vec<u8>, Cause> {
        Ok(self.client.fetch_blob(&self.remote, digest, bytes_max)?)
    }

    fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Cause> {
        self.client.push_blob(&self.remote, digest, Source::Bytes(bytes), &[], &mut |_| {})?;
        Ok(())
    }

    fn put_manifest(&self, tag: Option<&str>, media_type: &str, bytes: &[u8]) -> Result<(), Cause> {
        let reference = match tag {
            Some(tag) => self.remote.tagged(tag)?,
            None => self.remote.at(&digest_of(bytes)),
        };
        match self.client.push_manifest(&reference, media_type, bytes) {
            // The manifest is there, and whoever wrote looks whether it is listed.
            Ok(_) | Err(RegistryError::Contended { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn referrers(&self, subject: &Digest) -> Result<Vec<(Digest, String)>, Cause> {
        let all = self.client.referrers(&self.remote, subject, None)?;
        Ok(all.into_iter().map(|one| (one.digest, one.artifact_type.unwrap_or_default())).collect())
    }

    fn pause(&self, attempt: u32) {
        // Longer than a writer takes from reading to writing, and never in step with another.
        let jitter = u64::from(std::process::id().wrapping_mul(attempt.wrapping_mul(2_654_435_761)) >> 24);
        std::thread::park_timeout(Duration::from_millis(100 + jitter));
    }
}
