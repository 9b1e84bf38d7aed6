//! Images in registries, and their repositories as places of signatures.

use clap::Args;
use prograde_sign::{Image, Repository, StoreError, codes};
use prograde_supply::client::{Beside, Reference, RegistryError};

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
    pub(crate) store: Beside,
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
        Ok(Self { store: Beside::new(client, remote), image: Image { repository, digest } })
    }

    /// The image as it can be pulled: by its digest.
    pub(crate) fn name(&self) -> String {
        format!("{}@{}", self.store.repository(), self.image.digest)
    }
}

fn unnamed(error: &dyn std::error::Error) -> Report {
    Report::new(codes::REFERENCE, error.to_string()).hint("expected is `registry.example.com/team/app`")
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
