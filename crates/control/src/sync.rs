//! Makes each target run what the fleet wants there. Compares, applies the whole, and remembers only what it may
//! recompute: the versions rendered from Git, and what was applied last.
//!
//! Each target has a task of its own, so that one whose runtime does not answer delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use prograde_model::confinement::Part as Unconfined;
use prograde_model::fleet::{Fleet, WantedThere};
use prograde_model::ids::{CommitId, Digest, FlightId, Target};
use prograde_model::workload::Workload;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use crate::controller::Inner;
use crate::halted::Part;
use crate::ports::{PortError, RunVersion};

/// How long a runtime may take to accept what it is asked to run.
const APPLY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a round waits for what it has asked for. Nearly every answer comes at once and is decided upon in the same
/// round; a slow one is taken in when it comes.
const PATIENCE: Duration = Duration::from_millis(250);

/// The versions of one target as they were rendered.
type Rendered = BTreeMap<FlightId, Arc<Workload>>;

/// What came of one target.
struct Outcome {
    target: Target,
    wanted: WantedThere,
    rendered: Rendered,
    result: Result<Applied, PortError>,
}

/// What became of what was wanted.
enum Applied {
    /// The runtime does it.
    Whole,
    /// Something else is wanted by now.
    Outdated,
}

/// What is remembered between rounds.
#[derive(Default)]
pub(crate) struct Synced {
    rendered: BTreeMap<Target, Rendered>,
    applied: BTreeMap<Target, WantedThere>,
    tasks: JoinSet<Outcome>,
    busy: BTreeMap<Id, Target>,
}

impl Synced {
    /// A version's workload, where it was rendered.
    pub(crate) fn workload(&self, target: &Target, flight: &FlightId) -> Option<&Workload> {
        self.rendered.get(target)?.get(flight).map(Arc::as_ref)
    }

    /// Waits until a target has answered and takes that in. Cancel-safe: an answer is only taken once.
    pub(crate) async fn ended(&mut self, inner: &Inner) {
        match self.tasks.join_next_with_id().await {
            Some(joined) => self.take(joined, inner),
            None => std::future::pending().await,
        }
    }

    /// Ends everything at once, as a crash would: it is applied again after the next start.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    fn take(&mut self, joined: Result<(Id, Outcome), JoinError>, inner: &Inner) {
        let (id, outcome) = match joined {
            Ok((id, outcome)) => (id, Ok(outcome)),
            // A panic at one target must not stop the others.
            Err(error) => (error.id(), Err(format!("applying it ended badly: {error}"))),
        };
        let Some(target) = self.busy.remove(&id) else { return };
        let failure = match outcome {
            Ok(outcome) => {
                self.rendered.insert(outcome.target, outcome.rendered);
                match outcome.result {
                    Ok(Applied::Whole) => {
                        self.applied.insert(target.clone(), outcome.wanted);
                        None
                    }
                    Ok(Applied::Outdated) => return,
                    Err(error) => Some(error.to_string()),
                }
            }
            Err(text) => Some(text),
        };
        if failure.is_some() {
            self.applied.remove(&target);
        }
        inner.trouble(&target, failure);
    }
}

impl Inner {
    /// Applies what has changed. A target that can't be applied is tried again with the next round.
    pub(crate) async fn sync(self: &Arc<Self>, synced: &mut Synced) {
        let targets: Vec<Target> = self.ledger.with(|fleet| fleet.targets().cloned().collect());
        let mut started = BTreeSet::new();
        for target in targets {
            if synced.busy.values().any(|busy| *busy == target) {
                continue;
            }
            // What was applied last stays in force where that can't be decided.
            let Some(wanted) = self.wanted(&target) else { continue };
            if synced.applied.get(&target) == Some(&wanted) {
                continue;
            }
            let known = synced.rendered.get(&target).cloned().unwrap_or_default();
            let inner = Arc::clone(self);
            let of = target.clone();
            let task = synced.tasks.spawn(async move { inner.bring(of, wanted, known).await });
            synced.busy.insert(task.id(), target.clone());
            started.insert(target);
        }
        let patience = Instant::now() + PATIENCE;
        while synced.busy.values().any(|busy| started.contains(busy)) {
            match timeout_at(patience, synced.tasks.join_next_with_id()).await {
                Ok(Some(joined)) => synced.take(joined, self),
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// What is to run somewhere; nothing where deciding that panicked.
    fn wanted(&self, target: &Target) -> Option<WantedThere> {
        let wanted = || self.ledger.with(|fleet| fleet.wanted(target, &self.ports.runtime.observe(target)));
        let moves = |fleet: &Fleet| Some(fleet.active().find(|flight| flight.moves(target))?.id.clone());
        let of = self.ledger.with(|fleet| moves(fleet).or_else(|| fleet.current(target).cloned()));
        let wanted = self.halted.beside(Part::Running, (target, of.as_ref()), wanted);
        if wanted.is_none() {
            self.trouble(target, Some("what should run could not be decided".to_owned()));
        }
        wanted
    }

    async fn bring(&self, target: Target, wanted: WantedThere, mut rendered: Rendered) -> Outcome {
        rendered.retain(|flight, _| wanted.versions.iter().any(|w| w.flight == *flight));
        let applied = timeout(APPLY_TIMEOUT, self.apply(&target, &wanted, &mut rendered)).await;
        let result = applied.unwrap_or_else(|_| Err(PortError::Passing("the runtime did not answer in time".into())));
        Outcome { target, wanted, rendered, result }
    }

    async fn apply(
        &self,
        target: &Target,
        wanted: &WantedThere,
        rendered: &mut Rendered,
    ) -> Result<Applied, PortError> {
        let mut versions = Vec::with_capacity(wanted.versions.len());
        for version in &wanted.versions {
            let (commit, digest, unconfined) = self.deployed(&version.flight, target)?;
            let workload = if let Some(known) = rendered.get(&version.flight) {
                Arc::clone(known)
            } else {
                let mut workload = self.ports.deployments.workload(&commit, target).await?;
                workload.unconfined = unconfined;
                let workload = Arc::new(workload);
                rendered.insert(version.flight.clone(), Arc::clone(&workload));
                workload
            };
            versions.push(RunVersion {
                flight: version.flight.clone(),
                digest,
                workload: Workload::clone(&workload),
                replicas: version.replicas,
                weight: version.weight,
            });
        }
        // Rendering takes a while, in which a person may have ended the rollout: what was wanted before must not be
        // asked for after. The next round asks for what is wanted then.
        if self.wanted(target).is_some_and(|now| now != *wanted) {
            return Ok(Applied::Outdated);
        }
        self.ports.runtime.apply(target, versions, wanted.routing.clone()).await?;
        Ok(Applied::Whole)
    }

    /// The commit and the image of a version, and what its environment allows to be missing.
    fn deployed(&self, flight: &FlightId, target: &Target) -> Result<(CommitId, Digest, Vec<Unconfined>), PortError> {
        let found = self.ledger.with(|fleet| {
            let flight = fleet.flight(flight)?;
            let commit = flight.entry(target)?.deploy_commit.clone()?;
            let environments = flight.config.iter().flat_map(|config| &config.environments);
            let here = environments.into_iter().find(|environment| environment.name == target.environment);
            let unconfined = here.map(|environment| environment.unconfined().to_vec()).unwrap_or_default();
            Some((commit, flight.release(target)?.digest.clone(), unconfined))
        });
        found.ok_or_else(|| PortError::Final(format!("flight {flight} was never deployed to {target}")))
    }
}
