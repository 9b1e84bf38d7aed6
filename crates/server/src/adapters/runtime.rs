//! The local node as the controllers' runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::ports::{PortError, ReplicaUse, RunVersion, Runtime};
use prograde_model::ids::{Digest, FlightId, Target};
use prograde_model::runtime::{Desired, DesiredVersion, Observation, Routing};
use prograde_node::{ImageRoot, Node, ReplicaSeen, ReplicaUsage};
use prograde_supply::{Layout, SupplyError};
use tokio::sync::{RwLock, RwLockWriteGuard, watch};

use crate::events::chain;
use crate::evidence::Vouching;

/// How often is tried to take images away while others are unpacked.
const TRIES: u32 = 3_000;
/// How long between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Unpacks images from a layout and runs them on the local node.
pub(crate) struct LocalRuntime {
    pub(crate) node: Node,
    pub(crate) layout: Layout,
    pub(crate) images: PathBuf,
    pub(crate) vouching: Vouching,
    /// Held by whoever unpacks an image, until the node knows of it; alone by whoever takes away what is not in use.
    pub(crate) unpacking: RwLock<()>,
}

impl LocalRuntime {
    /// Removes the images that are not needed, that nothing runs, and that nobody has asked for since a time. Which ones they were;
    /// none where images were being unpacked all the while.
    pub(crate) async fn forget(&self, needed: BTreeSet<Digest>, before: Timestamp) -> Result<Vec<Digest>, SupplyError> {
        let aside = {
            let Some(_alone) = self.alone().await else { return Ok(Vec::new()) };
            let used = self.node.images().into_iter().chain(needed).collect();
            self.layout.set_aside(&self.images, used, before).await?
        };
        aside.remove().await
    }

    /// Nobody who wants an image waits for this: a queue for the lock would keep all of them behind one that is large.
    async fn alone(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        for _ in 0..TRIES {
            if let Ok(alone) = self.unpacking.try_write() {
                return Some(alone);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        None
    }

    /// To be called with `unpacking` held.
    pub(super) async fn unpack(&self, digest: &Digest) -> Result<ImageRoot, PortError> {
        self.vouching.check_image(digest).await?;
        let unpacked =
            self.layout.unpack(digest, &self.images).await.map_err(|error| PortError::Passing(chain(&error)))?;
        Ok(ImageRoot {
            path: unpacked.root,
            entrypoint: unpacked.entrypoint,
            cmd: unpacked.cmd,
            env: unpacked.env,
            working_dir: unpacked.working_dir,
            user: unpacked.user,
        })
    }
}

fn in_use(replica: ReplicaSeen, used: &mut BTreeMap<String, ReplicaUsage>) -> ReplicaUse {
    let used = used.remove(&replica.replica);
    let cpu = used.as_ref().and_then(|used| Duration::try_from_secs_f64(used.cpu_seconds_total).ok());
    ReplicaUse {
        replica: replica.replica,
        revision: replica.revision,
        ready: replica.ready,
        cpu_us: cpu.and_then(|cpu| u64::try_from(cpu.as_micros()).ok()),
        memory_bytes: used.map(|used| used.resident_bytes),
    }
}

#[async_trait]
impl Runtime for LocalRuntime {
    async fn apply(&self, target: &Target, versions: Vec<RunVersion>, routing: Routing) -> Result<(), PortError> {
        let _unpacking = self.unpacking.read().await;
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

    async fn usage(&self, target: &Target) -> Vec<ReplicaUse> {
        let (node, target) = (self.node.clone(), target.clone());
        let read = move || {
            let mut used: BTreeMap<String, ReplicaUsage> =
                node.usage(&target).into_iter().map(|used| (used.replica.clone(), used)).collect();
            let replicas = node.replicas(&target).into_iter();
            replicas.map(|replica| in_use(replica, &mut used)).collect()
        };
        // It reads a file for each process of the machine.
        tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
            tracing::error!("what replicas use could not be read: {error}");
            Vec::new()
        })
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
