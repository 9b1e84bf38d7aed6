//! Another registry, into which releases' images go as well, with all that vouches for them.

use std::fmt;

use prograde_control::ports::PortError;
use prograde_model::ids::{Digest, ServiceName};
use prograde_supply::client::{Beside, Client, Reference, RegistryError};
use prograde_supply::image::{self, ImageError, Source};
use prograde_supply::{Layout, SupplyError};

use crate::events::chain;

/// The registry, and where in it.
pub(super) struct Elsewhere {
    client: Client,
    /// Host and path, below which each service has its repository.
    below: String,
}

impl Elsewhere {
    /// Repositories below a host and a path, such as `ghcr.io/team`.
    pub(super) fn below(client: Client, below: &str) -> Result<Self, RegistryError> {
        let below = below.trim_end_matches('/').to_owned();
        let this = Self { client, below };
        this.reference("service", "tag").map(|_| this)
    }

    fn reference(&self, service: impl fmt::Display, tag: &str) -> Result<Reference, RegistryError> {
        format!("{}/{service}:{tag}", self.below).parse()
    }

    /// Sends a flight's image as `SERVICE:COMMIT`; what is there already is not sent again. Whatever fails is the registry's
    /// fault or the operator's, never the commit's. Blocks.
    pub(super) fn take(
        &self,
        layout: &Layout,
        service: &ServiceName,
        commit: &str,
        digest: &Digest,
    ) -> Result<Beside, PortError> {
        let failed = |error: ImageError| {
            PortError::Passing(format!("the image can't be pushed to {}/{service}: {}", self.below, chain(&error)))
        };
        let reference = self.reference(service, commit).map_err(|error| failed(error.into()))?;
        let found = Source::find(layout, Some(digest.as_str())).map_err(failed)?;
        let sent = image::push(&self.client, layout, &found, &reference, &[], &|_| {}).map_err(failed)?;
        if sent.descriptor.digest != *digest {
            let why = SupplyError::Changed { path: layout.dir().to_owned() };
            return Err(failed(why.into()));
        }
        tracing::info!("{reference}: {} bytes sent, {} blobs there already", sent.bytes, sent.present);
        Ok(Beside::new(self.client.clone(), reference.repository().clone()))
    }
}
