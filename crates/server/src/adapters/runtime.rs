//! The local node as the controllers' runtime.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use prograde_control::ports::{PortError, RunVersion, Runtime};
use prograde_model::ids::{Digest, FlightId, Target};
use prograde_model::runtime::{Desired, DesiredVersion, Observation, Routing};
use prograde_node::{ImageRoot, Node};
use prograde_supply::Layout;
use tokio::sync::watch;

use crate::events::chain;

/// Unpacks images from a layout and runs them on the local node.
pub(crate) struct LocalRuntime {
    pub(crate) node: Node,
    pub(crate) layout: Layout,
    pub(crate) images: PathBuf,
}

impl LocalRuntime {
    async fn unpack(&self, digest: &Digest) -> Result<ImageRoot, PortError> {
        let unpacked =
            self.layout.unpack(digest, &self.images).await.map_err(|error| PortError::Passing(chain(&error)))?;
        Ok(ImageRoot {
            path: unpacked.root,
            entrypoint: unpacked.entrypoint,
            cmd: unpacked.cmd,
            env: unpacked.env,
            working_dir: unpacked.working_dir,
        })
    }
}

#[async_trait]
impl Runtime for LocalRuntime {
    async fn apply(&self, target: &Target, versions: Vec<RunVersion>, routing: Routing) -> Result<(), PortError> {
        let mut images = BTreeMap::new();
        for version in &versions {
            if !images.contains_key(&version.digest) {
                images.insert(version.digest.clone(), self.unpack(&version.digest).await?);
            }
        }
        let versions = versions.into_iter().map(|version| DesiredVersion {
            revision: version.flight,
            digest: version.digest,
            workload: version.workload,
            replicas: version.replicas,
            weight: version.weight,
        });
        let desired = Desired { target: target.clone(), versions: versions.collect(), routing };
        self.node
            .apply(desired, images)
            .await
            .map_err(|error| PortError::Passing(format!("{} [{}]", chain(&error), error.code())))
    }

    fn observe(&self, target: &Target) -> Observation {
        self.node.observe(target)
    }

    fn addresses(&self, target: &Target) -> Vec<(Option<String>, SocketAddr)> {
        self.node.addresses(target)
    }

    fn version_addresses(&self, target: &Target, version: &FlightId) -> Vec<SocketAddr> {
        self.node.replica_addresses(target, version)
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.node.changed()
    }
}
