//! Makes each target run what the fleet wants there. Compares, applies the whole, and remembers only what it may
//! recompute: the versions rendered from Git, and what was applied last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prograde_model::fleet::Wanted;
use prograde_model::ids::{CommitId, Digest, FlightId, Target};
use prograde_model::workload::Workload;

use crate::controller::Inner;
use crate::ports::{PortError, RunVersion};

/// How long a runtime may take to accept what it is asked to run.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// What is remembered between rounds.
#[derive(Default)]
pub(crate) struct Synced {
    workloads: BTreeMap<(FlightId, Target), Arc<Workload>>,
    applied: BTreeMap<Target, Vec<Wanted>>,
}

impl Inner {
    /// Applies what has changed. A target that can't be applied is tried again next round and delays no other.
    pub(crate) async fn sync(&self, synced: &mut Synced) {
        let targets: Vec<Target> = self.ledger.with(|fleet| fleet.targets().cloned().collect());
        for target in targets {
            let seen = self.ports.runtime.observe(&target);
            let wanted = self.ledger.with(|fleet| fleet.wanted(&target, &seen));
            if synced.applied.get(&target) == Some(&wanted) {
                continue;
            }
            let applied = tokio::time::timeout(APPLY_TIMEOUT, self.apply(&target, &wanted, synced)).await;
            match applied.unwrap_or_else(|_| Err(PortError::Passing("the runtime did not answer in time".into()))) {
                Ok(()) => {
                    self.trouble(&target, None);
                    synced.applied.insert(target, wanted);
                }
                Err(error) => {
                    self.trouble(&target, Some(error.to_string()));
                    synced.applied.remove(&target);
                }
            }
        }
    }

    async fn apply(&self, target: &Target, wanted: &[Wanted], synced: &mut Synced) -> Result<(), PortError> {
        synced.workloads.retain(|(flight, at), _| at != target || wanted.iter().any(|w| w.flight == *flight));
        let mut versions = Vec::with_capacity(wanted.len());
        for version in wanted {
            let (commit, digest) = self.deployed(&version.flight, target)?;
            let key = (version.flight.clone(), target.clone());
            let workload = if let Some(known) = synced.workloads.get(&key) {
                Arc::clone(known)
            } else {
                let rendered = Arc::new(self.ports.deployments.workload(&commit, target).await?);
                synced.workloads.insert(key, Arc::clone(&rendered));
                rendered
            };
            versions.push(RunVersion {
                flight: version.flight.clone(),
                digest,
                workload: Workload::clone(&workload),
                replicas: version.replicas,
                weight: version.weight,
            });
        }
        self.ports.runtime.apply(target, versions).await
    }

    fn deployed(&self, flight: &FlightId, target: &Target) -> Result<(CommitId, Digest), PortError> {
        let found = self.ledger.with(|fleet| {
            let flight = fleet.flight(flight)?;
            let commit = flight.entry(&target.environment)?.deploy_commit.clone()?;
            Some((commit, flight.release.as_ref()?.digest.clone()))
        });
        found.ok_or_else(|| PortError::Final(format!("flight {flight} was never deployed to {target}")))
    }
}
