//! Images in registries, and their repositories as places of signatures.

use std::time::Duration;

use clap::Args;
use prograde_model::Digest;
use prograde_sign::{Cause, Image, Repository, Store, StoreError, StoredManifest, codes};
use prograde_supply::client::{Client, Reference, RegistryError, Repository as Remote, Source};

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::image::tell;
use crate::report::Report;

/// Where an image and its signatures are.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// The repository that signatures name, where the registry is reached by another name, such as a mirror
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// An image that was found.
pub(crate) struct Place {
    /// Its repository.
    pub(crate) store: RegistryStore,
    /// Its digest, and the repository that signatures name.
    pub(crate) image: Image,
}

impl Place {
    /// Looks up an image; a tag is resolved here and never again.
    pub(crate) fn find(app: &App, args: &RegistryArgs, text: &str) -> Result<Self, Report> {
        Self::of(app, &args.access, args.repository.as_deref(), text)
    }

    /// The same, where signatures name the repository `named`, else the image's own.
    pub(crate) fn of(app: &App, access: &Access, named: Option<&str>, text: &str) -> Result<Self, Report> {
        let reference: Reference = text.parse().map_err(|error: RegistryError| unnamed(&error))?;
        let remote = reference.repository().clone();
        let named = named.map_or_else(|| remote.to_string().parse(), str::parse);
        let repository: Repository = named.map_err(|error| unnamed(&error))?;
        let client = access.client(app, &[&reference])?;
        let digest = match reference.digest() {
            Some(digest) => digest.clone(),
            None => client.fetch_manifest(&reference).map_err(|error| tell::registry(&error))?.digest,
        };
        Ok(Self { store: RegistryStore { client, remote }, image: Image { repository, digest } })
    }

    /// The image as it can be pulled: by its digest.
    pub(crate) fn name(&self) -> String {
        format!("{}@{}", self.store.remote, self.image.digest)
    }
}

fn unnamed(error: &dyn std::error::Error) -> Report {
    Report::new(codes::REFERENCE, error.to_string()).hint("expected is `registry.example.com/team/app`")
}

/// One repository of a registry.
pub(crate) struct RegistryStore {
    client: Client,
    remote: Remote,
}

impl RegistryStore {
    fn reference(&self, name: &str) -> Result<Reference, RegistryError> {
        match name.parse::<Digest>() {
            Ok(digest) => Ok(self.remote.at(&digest)),
            Err(_) => self.remote.tagged(name),
        }
    }
}

impl Store for RegistryStore {
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
            None => self.remote.at(&prograde_sign::digest_of(bytes)),
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

/// What went wrong with signatures in a registry.
#[expect(clippy::needless_pass_by_value, reason = "it ends here, as what `map_err` is given does")]
pub(crate) fn report(error: StoreError) -> Report {
    let report = Report::new(error.code(), error.to_string()).caused_by(&error);
    match &error {
        StoreError::Key(error) => report.hint(error.hint()),
        StoreError::Keyless(error) => report.hint(error.hint()),
        StoreError::Contended { .. } => report.hint("run the command again: nothing that others wrote was lost"),
        StoreError::Failed { .. }
        | StoreError::NoImage(_)
        | StoreError::Form { .. }
        | StoreError::Limit { .. }
        | StoreError::Json(_) => report,
    }
}
