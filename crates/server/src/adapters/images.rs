//! Makes images from what pipelines uploaded.

use std::path::PathBuf;

use async_trait::async_trait;
use prograde_control::ports::{Images, PortError};
use prograde_model::Digest;
use prograde_model::event::Opened;
use prograde_model::group::Member;
use prograde_model::ids::FlightId;
use prograde_model::release::Release;
use prograde_supply::registry::{Adopted, Registry, RegistryError, RepositoryName, Tag};
use prograde_supply::{ImageSpec, SupplyError};

use crate::events::chain;

/// Builds into the registry's image layout from the artifacts below `ci`.
pub(crate) struct LayoutImages {
    pub(crate) registry: Registry,
    pub(crate) ci: PathBuf,
}

#[async_trait]
impl Images for LayoutImages {
    async fn make(&self, flight: &FlightId, opened: &Opened, member: &Member) -> Result<Release, PortError> {
        let image = &member.image;
        let source = self.artifact(flight, &image.artifact)?.join(&image.binary);
        let program = format!("/app/{}", image.binary);
        // Neither the commit nor its time goes in: the same program is the same digest, so that a quarantine holds
        // whichever commit brings it again. The journal says which commit made it.
        let mut spec = ImageSpec::of_program(source.clone(), &program, jiff::Timestamp::UNIX_EPOCH);
        spec.cmd.clone_from(&image.args);
        spec.labels.insert("org.opencontainers.image.title".to_owned(), member.name.to_string());
        let tag = format!("{}-{}", member.name, opened.commit.short());
        let layout = self.registry.layout();
        let built =
            layout.build(spec, &tag).await.map_err(|error| from_supply(&error, &image.artifact, &image.binary))?;
        self.publish(member.name.as_str(), opened.commit.short(), &built.digest).await?;
        Ok(Release { commit: opened.commit.clone(), digest: built.digest, size_bytes: built.size, service: None })
    }
}

impl LayoutImages {
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

fn from_supply(error: &SupplyError, artifact: &str, binary: &str) -> PortError {
    if matches!(
        error,
        SupplyError::DiskFull { .. } | SupplyError::Busy { .. } | SupplyError::Io { .. } | SupplyError::Stopped
    ) {
        return PortError::Passing(chain(error));
    }
    PortError::Final(format!("the image can't be made from `{binary}` of artifact `{artifact}`: {}", chain(error)))
}
