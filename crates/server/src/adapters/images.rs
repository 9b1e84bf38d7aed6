//! Makes images from what pipelines uploaded.

mod content;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use prograde_control::ports::{Images, PortError};
use prograde_gitops::git::Repositories;
use prograde_model::flight::Flight;
use prograde_model::group::Member;
use prograde_model::ids::{FlightId, ServiceName};
use prograde_model::release::Release;
use prograde_model::{Diagnostic, Digest};
use prograde_scan::sbom::{self, About};
use prograde_scan::target;
use prograde_scan::walk::Ignored;
use prograde_supply::client::Client;
use prograde_supply::registry::{Adopted, Registry, RegistryError, RepositoryName, Tag};
use serde_json::Value;

use super::scanner::files;
use super::source::from_git;
use crate::events::chain;
use crate::evidence::{Vouching, off};

/// Builds into the registry's image layout from the artifacts below `ci`.
pub(crate) struct LayoutImages {
    pub(crate) registry: Registry,
    pub(crate) ci: PathBuf,
    pub(crate) repositories: Repositories,
    /// Where commits' files are laid for a moment.
    pub(crate) scratch: PathBuf,
    pub(crate) vouching: Vouching,
    /// Asks registries for bases.
    pub(crate) client: Client,
}

#[async_trait]
impl Images for LayoutImages {
    async fn make(&self, flight: &Flight, member: &Member) -> Result<Release, PortError> {
        let (image, opened) = (&member.image, &flight.opened);
        let source = self.artifact(&flight.id, &image.artifact)?.join(image.file().1);
        let tag = format!("{}-{}", member.name, opened.commit.short());
        let named = (member.name.as_str(), tag.as_str());
        let built = content::make(self.registry.layout(), &self.client, &image.content, source.clone(), named).await?;
        self.publish(member.name.as_str(), opened.commit.short(), &built.digest).await?;
        let bill = self.bill(flight, member, &source).await?;
        let (vouching, of, what, image) = (self.vouching.clone(), flight.clone(), member.clone(), built.digest.clone());
        let evidence = Some(off(move || vouching.vouch(&of, &what, &image, &bill)).await?);
        let (commit, digest, size_bytes) = (opened.commit.clone(), built.digest, built.size);
        Ok(Release { commit, digest, size_bytes, service: None, evidence })
    }

    async fn vouched(&self, service: &ServiceName, release: &Release) -> Result<(), PortError> {
        self.vouching.check_release(service, release).await
    }
}

impl LayoutImages {
    /// The bill of materials: of the program, where it says what it is made of, else of the commit's lock files.
    async fn bill(&self, flight: &Flight, member: &Member, program: &Path) -> Result<Value, PortError> {
        let repository = self.repositories.get(&flight.service).await.map_err(|error| from_git(&error))?;
        let files = files(&repository, flight.commit(), &self.scratch).await?;
        let (program, name, commit) = (program.to_owned(), member.name.to_string(), flight.commit().short().to_owned());
        let read = move || {
            let said = target::inventory(&program, Ignored::LookedAt);
            let inventory = said.or_else(|_| target::inventory(files.path(), Ignored::LookedAt))?;
            let (created, tool_version) = (None, env!("CARGO_PKG_VERSION").to_owned());
            let about = About { name, version: Some(commit), created, tool_version };
            Ok::<_, Diagnostic>(sbom::cyclonedx(&inventory, &about))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| PortError::Passing(error.to_string()))?;
        read.map_err(|error| PortError::Input(error.into()))
    }

    /// Makes an image that is in the layout one that can be pulled, as `SERVICE:COMMIT`.
    async fn publish(&self, service: &str, commit: &str, image: &Digest) -> Result<(), PortError> {
        // Also a registry that can't be written is the disk's fault and not the flight's.
        let failed = |error: RegistryError| PortError::Passing(chain(&error));
        let (repository, tag) = (RepositoryName::new(service).map_err(failed)?, Tag::new(commit).map_err(failed)?);
        match self.registry.adopt(&repository, &tag, image).await.map_err(failed)? {
            Adopted::Tagged => {}
            Adopted::Untagged => {
                tracing::info!("{repository}:{tag} is another flight's image: this one is {repository}@{image} alone");
            }
        }
        Ok(())
    }

    /// Where the files of a flight's artifact are.
    fn artifact(&self, flight: &FlightId, name: &str) -> Result<PathBuf, PortError> {
        let found = prograde_pipeline::artifacts(&self.ci.join(flight.as_str()))
            .map_err(|e| PortError::Passing(e.to_string()))?;
        let mut named = found.iter().filter(|artifact| artifact.name == name);
        match (named.next(), named.next()) {
            (Some(one), None) => Ok(one.path.clone()),
            (Some(one), Some(other)) => Err(PortError::Final(format!(
                "artifact `{name}` was uploaded by {} and by {}; give one of them another name",
                one.workflow, other.workflow
            ))),
            (None, _) => {
                let all: Vec<&str> = found.iter().map(|artifact| artifact.name.as_str()).collect();
                let have = if all.is_empty() { "none was".to_owned() } else { format!("there are {}", all.join(", ")) };
                Err(PortError::Final(format!(
                    "no job uploaded artifact `{name}`, which `image.artifact` names; {have}"
                )))
            }
        }
    }
}
