//! Runs a release's migration. It may be run again after a crash, or when its answer was lost: the intent is in the
//! journal before, the result after, and nothing tells how far it came between.

use std::collections::BTreeMap;

use prograde_model::event::Event;
use prograde_model::flight::Flight;
use prograde_model::ids::Target;
use prograde_model::rollout::RolloutEvent;
use prograde_model::service::Environment;
use prograde_model::workload::Workload;
use tokio_util::sync::CancellationToken;

use super::perform::{environment, release};
use crate::controller::Inner;
use crate::ports::{JobEnd, JobImage, JobRun, PortError};

impl Inner {
    /// Runs it to its end; when it went well the rollout starts in the same append. It is ended when nobody wants it any
    /// more.
    pub(super) async fn migrate(
        &self,
        flight: &Flight,
        target: &Target,
        cancel: CancellationToken,
    ) -> Result<Vec<Event>, PortError> {
        let environment = environment(flight, target)?;
        let migration = flight.migration(target);
        let migration = migration.ok_or_else(|| PortError::Final("the flight has no migration".into()))?;
        let commit = flight.entry(target).and_then(|entry| entry.deploy_commit.as_ref());
        let commit = commit.ok_or_else(|| PortError::Final("the flight was never deployed".into()))?;
        let mut workload = self.ports.deployments.workload(commit, target).await?;
        workload.unconfined = environment.unconfined().to_vec();
        let digest = release(flight, target)?.digest.clone();
        let image = JobImage::New { digest, workload: Box::new(workload.clone()) };
        let told = [
            ("PROGRADE_SERVICE", target.service.to_string()),
            ("PROGRADE_ENVIRONMENT", target.environment.to_string()),
            ("PROGRADE_FLIGHT", flight.id.to_string()),
            ("PROGRADE_COMMIT", flight.commit().to_string()),
        ];
        let run = self.ports.jobs.run(JobRun {
            target: target.clone(),
            flight: flight.id.clone(),
            image,
            args: migration.args.clone(),
            env: BTreeMap::from(told.map(|(variable, value)| (variable.to_owned(), value))),
            timeout: migration.timeout.duration().unsigned_abs(),
            alone: true,
        });
        let failure = match cancel.run_until_cancelled(run).await {
            None => return Ok(Vec::new()),
            Some(Ok(JobEnd::Passed)) => None,
            Some(Ok(JobEnd::Failed { reason })) => Some(reason),
            Some(Err(error)) => return Err(PortError::Passing(error)),
        };
        let started = failure.is_none().then(|| self.rollout_started(flight, (target, environment), &workload));
        let ended = self.ledger.with(|fleet| flight.migrated(fleet, target, failure));
        Ok(ended.into_iter().chain(started).collect())
    }

    /// How the rollout starts, with as many replicas as the version that serves has now.
    pub(super) fn rollout_started(
        &self,
        flight: &Flight,
        (target, environment): (&Target, &Environment),
        workload: &Workload,
    ) -> Event {
        let stable = flight.entry(target).and_then(|entry| entry.replaces.clone());
        let stable = self.ledger.with(|fleet| {
            let replicas = stable.as_ref().and_then(|id| fleet.replicas(id, target)).unwrap_or(1);
            stable.map(|id| (id, replicas))
        });
        let caution = self.holding.known().caution(flight, target);
        let start = flight.rollout_start(environment, workload, stable, caution);
        Event::Rollout { place: flight.place(target), event: RolloutEvent::Started(start) }
    }
}
