//! A flight: one commit's whole way, from push to serving everywhere or back.
//!
//! [`Flight::decide`] says which facts follow now; [`Flight::plan`] says which effects are wanted. Both are pure. A flight
//! is the fold of its events and of nothing else.

mod orders;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

pub use orders::Refusal;

use crate::autoscale::Autoscaling;
use crate::entry::{Entry, Rollback, Standing};
use crate::event::{Event, JobRecord, Opened, Outcome, Recorded};
use crate::flag::Flags;
use crate::fleet::Fleet;
use crate::gate::{Closure, GateState, gate};
use crate::ids::{CommitId, Digest, EnvironmentName, FlightId, ServiceName, Target};
use crate::migration::MigrationState;
use crate::release::Release;
use crate::rollout::{Cause, Conflict, Phase, RolloutEvent, Start, Strategy};
use crate::runtime::Observation;
use crate::service::{Environment, Service};

/// A flight's whole state: the fold of its events.
#[derive(Debug, Clone, PartialEq)]
pub struct Flight {
    /// Its id, also its trace id.
    pub id: FlightId,
    /// What it flies.
    pub service: ServiceName,
    /// Where it came from.
    pub opened: Opened,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// The journal's sequence when it was opened: flights of a service are ordered by it.
    pub opened_at_sequence: u64,
    /// How many events it has: the version that the next append expects.
    pub version: u64,
    /// What it declares, once read.
    pub config: Option<Box<Service>>,
    /// What its manifests ask that the runtime can't do.
    pub notices: Vec<String>,
    /// Digest of its rendered manifests, by environment.
    pub manifests: BTreeMap<EnvironmentName, Digest>,
    /// Its flags, by the file that declares them.
    pub flags: BTreeMap<String, Arc<Flags>>,
    /// Its pipeline.
    pub pipeline: Pipeline,
    /// Its release, once made.
    pub release: Option<Release>,
    /// What happened in each environment.
    pub entries: BTreeMap<EnvironmentName, Entry>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// When its author was told.
    pub notified_at: Option<Timestamp>,
    /// When each stage was over: `configured`, `built`, `imaged`.
    pub stage_times: BTreeMap<&'static str, Timestamp>,
}

/// A flight's pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pipeline {
    /// The jobs that were started, and how they ended.
    pub jobs: BTreeMap<String, Option<JobRecord>>,
    /// How it ended: good, or what failed.
    pub finished: Option<Result<(), String>>,
}

/// The one thing that a flight is busy with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Its files are read.
    Reading,
    /// Its pipeline runs.
    Building,
    /// Its image is made.
    Imaging,
    /// It is in or before an environment.
    Environment(EnvironmentName, Standing),
    /// Its author is told how it ended.
    Notifying,
    /// It is over.
    Done,
}

/// What a flight wants done. Each is idempotent and keyed by the flight and itself: it is asked for again until the
/// fact that it is done is in the journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Read `prograde.yaml`, the workflows and the manifests.
    Read,
    /// Run the pipeline's jobs that have not ended.
    Build,
    /// Make the image.
    MakeImage,
    /// Commit the release to the deployment repository and say how its rollout starts.
    Deploy(EnvironmentName),
    /// Run the release's migration, and say how its rollout starts.
    Migrate(EnvironmentName),
    /// Run the environment's checks.
    Check(EnvironmentName),
    /// Take the release out of the deployment repository.
    Revert(EnvironmentName),
    /// Tell the author.
    Notify,
}

impl Flight {
    /// A flight that a commit opens.
    pub fn new(id: FlightId, opened: Opened, sequence: u64, at: Timestamp) -> Self {
        Self {
            id,
            service: opened.service.clone(),
            opened,
            opened_at: at,
            opened_at_sequence: sequence,
            version: 1,
            config: None,
            notices: Vec::new(),
            manifests: BTreeMap::new(),
            flags: BTreeMap::new(),
            pipeline: Pipeline::default(),
            release: None,
            entries: BTreeMap::new(),
            outcome: None,
            ended_at: None,
            notified_at: None,
            stage_times: BTreeMap::new(),
        }
    }

    /// What it declares, once read.
    pub fn service_config(&self) -> Option<&Service> {
        self.config.as_deref()
    }

    /// The service in one environment.
    pub fn target(&self, environment: &EnvironmentName) -> Target {
        Target { environment: environment.clone(), service: self.service.clone() }
    }

    /// What happened in one environment.
    pub fn entry(&self, environment: &EnvironmentName) -> Option<&Entry> {
        self.entries.get(environment)
    }

    /// Where it stands in one environment.
    pub fn standing(&self, environment: &EnvironmentName) -> Standing {
        let checks =
            self.service_config().and_then(|s| s.environment(environment)).is_some_and(|e| !e.checks.is_empty());
        self.entry(environment).map_or(Standing::Outside, |e| e.standing(checks))
    }

    /// Whether no other flight may enter the environment now.
    pub fn occupies(&self, environment: &EnvironmentName) -> bool {
        match self.standing(environment) {
            Standing::Entering
            | Standing::Migrating
            | Standing::Rolling
            | Standing::Unchecked
            | Standing::Leaving
            | Standing::Unreverted => true,
            Standing::Outside | Standing::Watched | Standing::Settled | Standing::Kept | Standing::Gone => false,
        }
    }

    /// Whether it stands before the environment's gate.
    pub fn waits_at(&self, environment: &EnvironmentName) -> bool {
        self.stage() == Stage::Environment(environment.clone(), Standing::Outside)
    }

    /// Whether something may still happen to it by itself.
    pub fn is_active(&self) -> bool {
        self.stage() != Stage::Done
    }

    /// Whether the author has to be told of that outcome.
    fn is_news(outcome: &Outcome) -> bool {
        match outcome {
            Outcome::Landed | Outcome::Superseded { .. } => false,
            Outcome::Refused { .. }
            | Outcome::Rejected { .. }
            | Outcome::Stopped { .. }
            | Outcome::RolledBack { .. }
            | Outcome::Kept { .. }
            | Outcome::Aborted { .. } => true,
        }
    }

    /// What it is busy with.
    pub fn stage(&self) -> Stage {
        // A rollback may be ordered after the end, and an abort leaves a candidate to be withdrawn: both go first.
        let leaving = self.entries.keys().map(|name| (name, self.standing(name))).find(|(_, s)| match s {
            Standing::Leaving | Standing::Unreverted => true,
            Standing::Outside
            | Standing::Entering
            | Standing::Migrating
            | Standing::Rolling
            | Standing::Unchecked
            | Standing::Watched
            | Standing::Settled
            | Standing::Kept
            | Standing::Gone => false,
        });
        if let Some((name, standing)) = leaving {
            return Stage::Environment(name.clone(), standing);
        }
        if let Some(outcome) = &self.outcome {
            let told = self.notified_at.is_some() || !Self::is_news(outcome);
            return if told { Stage::Done } else { Stage::Notifying };
        }
        let Some(service) = &self.config else { return Stage::Reading };
        match (&self.pipeline.finished, &self.release) {
            (None, _) => return Stage::Building,
            (Some(_), None) => return Stage::Imaging,
            (Some(_), Some(_)) => {}
        }
        for environment in &service.environments {
            let standing = self.standing(&environment.name);
            if standing != Standing::Settled {
                return Stage::Environment(environment.name.clone(), standing);
            }
        }
        Stage::Done
    }

    /// The effects that are wanted now.
    pub fn plan(&self) -> Vec<Effect> {
        let mut wanted = match self.stage() {
            Stage::Reading => vec![Effect::Read],
            Stage::Building => vec![Effect::Build],
            Stage::Imaging => vec![Effect::MakeImage],
            Stage::Environment(name, Standing::Entering) => vec![Effect::Deploy(name)],
            Stage::Environment(name, Standing::Migrating) if self.entry(&name).is_some_and(Entry::is_migrating) => {
                vec![Effect::Migrate(name)]
            }
            Stage::Environment(name, Standing::Unchecked) => vec![Effect::Check(name)],
            Stage::Environment(..) | Stage::Done => Vec::new(),
            Stage::Notifying => vec![Effect::Notify],
        };
        // Git is put right while the runtime still is: nothing waits for anything.
        wanted
            .extend(self.entries.iter().filter(|(_, e)| e.must_revert()).map(|(name, _)| Effect::Revert(name.clone())));
        wanted
    }

    /// How the rollout back starts, where one is ordered and has not started.
    fn way_back(&self, fleet: &Fleet, environment: &EnvironmentName) -> Option<Event> {
        let rollback = self.entry(environment)?.rollback.as_ref().filter(|r| r.rollout.is_none())?;
        let to = rollback.to.clone()?;
        let target = self.target(environment);
        let stable_replicas = fleet.replicas(&self.id, &target).unwrap_or(1);
        let autoscaled = fleet.autoscaled(&to, &target);
        let start = Start {
            replicas: autoscaled
                .map_or_else(|| fleet.replicas(&to, &target).unwrap_or(1), |bounds| bounds.clamp(stable_replicas)),
            candidate: to,
            stable: Some(self.id.clone()),
            stable_replicas,
            autoscaled,
            strategy: Strategy::Return,
            watch: None,
            progress_deadline_s: 0,
        };
        Some(Event::Rollout { environment: environment.clone(), event: RolloutEvent::Started(start) })
    }

    /// The facts that follow now, to be appended together.
    pub fn decide(&self, fleet: &Fleet, seen: impl Fn(&Target) -> Observation, now: Timestamp) -> Vec<Event> {
        match self.stage() {
            Stage::Reading | Stage::Building | Stage::Imaging => self.decide_early(fleet),
            Stage::Environment(name, Standing::Outside) => self.decide_gate(fleet, &name),
            Stage::Environment(name, Standing::Migrating) => self.decide_migrating(&name),
            Stage::Environment(name, Standing::Rolling | Standing::Leaving) => {
                let Some(rollout) = self.entry(&name).and_then(Entry::moving) else {
                    return self.way_back(fleet, &name).into_iter().collect();
                };
                let target = self.target(&name);
                let facts = fleet.sized(rollout, &target).decide(&seen(&target), now);
                self.with_consequences(fleet, &name, facts)
            }
            Stage::Environment(name, Standing::Watched) => {
                let seen = seen(&self.target(&name));
                self.decide_watched(fleet, &name, &seen, now)
            }
            Stage::Environment(name, Standing::Kept) => self.decide_kept(&name),
            Stage::Environment(_, Standing::Gone) => self.decide_gone(),
            Stage::Done if self.outcome.is_none() => vec![Event::Ended { outcome: Outcome::Landed }],
            Stage::Environment(
                _,
                Standing::Entering | Standing::Unchecked | Standing::Settled | Standing::Unreverted,
            )
            | Stage::Notifying
            | Stage::Done => Vec::new(),
        }
    }

    /// Until it has a release, a flight gives way to any later one, and ends when its pipeline fails.
    fn decide_early(&self, fleet: &Fleet) -> Vec<Event> {
        if let Some(Err(reason)) = &self.pipeline.finished {
            return vec![Event::Ended { outcome: Outcome::Rejected { reason: reason.clone() } }];
        }
        let later =
            fleet.active().filter(|f| f.service == self.service && f.opened_at_sequence > self.opened_at_sequence);
        match later.max_by_key(|f| f.opened_at_sequence) {
            Some(by) => vec![Event::Ended { outcome: Outcome::Superseded { by: by.id.clone() } }],
            None => Vec::new(),
        }
    }

    fn decide_gate(&self, fleet: &Fleet, environment: &EnvironmentName) -> Vec<Event> {
        match gate(fleet, self, environment) {
            GateState::Open => vec![Event::GatePassed {
                environment: environment.clone(),
                replaces: fleet.current(&self.target(environment)).cloned(),
            }],
            GateState::Waiting { .. } => Vec::new(),
            GateState::Closed { reason: Closure::Superseded { by } } => {
                vec![Event::Ended { outcome: Outcome::Superseded { by } }]
            }
            GateState::Closed { reason: Closure::Quarantined { reason } } => {
                let reason = format!("the digest is in quarantine: {reason}");
                vec![Event::Ended { outcome: Outcome::Stopped { environment: environment.clone(), reason } }]
            }
        }
    }

    /// It is watched until that is over, or another release comes, or it fails and there is one to go back to.
    fn decide_watched(
        &self,
        fleet: &Fleet,
        environment: &EnvironmentName,
        seen: &Observation,
        now: Timestamp,
    ) -> Vec<Event> {
        let Some(rollout) = self.entry(environment).and_then(|entry| entry.rollout.as_ref()) else { return Vec::new() };
        let in_event = |event| Event::Rollout { environment: environment.clone(), event };
        if self.another_is_inside(fleet, environment) {
            return rollout.end_watch(seen, now).map(in_event).into_iter().collect();
        }
        let Some(mut fact) = rollout.decide(seen, now).into_iter().next() else { return Vec::new() };
        let RolloutEvent::Failed { cause, serves_on, .. } = &mut fact else { return vec![in_event(fact)] };
        let reason = cause.to_string();
        match self.way_to(fleet, environment, None) {
            // What served before can't serve with the data as it is now: a person has to decide.
            Ok(_) if self.entry(environment).is_some_and(Entry::is_past_return) => {
                *serves_on = true;
                vec![in_event(fact)]
            }
            Ok(to) => {
                let ordered = Event::RollbackOrdered {
                    environment: environment.clone(),
                    to: Some(to),
                    by: "judge".into(),
                    reason: reason.clone(),
                };
                let quarantined = self.quarantine(fleet, environment, &reason);
                [in_event(fact), ordered].into_iter().chain(quarantined).collect()
            }
            // Nothing better can serve, so it goes on; what was seen is on record.
            Err(_) => rollout.end_watch(seen, now).map(in_event).into_iter().collect(),
        }
    }

    /// It ends as it was taken back last: it may have been taken out of one environment before.
    fn decide_gone(&self) -> Vec<Event> {
        let gone = self.entries.iter().filter(|(name, _)| self.standing(name) == Standing::Gone);
        let Some((environment, entry)) = gone.max_by_key(|(_, entry)| entry.failed_at()) else { return Vec::new() };
        let outcome = match (&entry.rollback, entry.rollout.as_ref().and_then(|r| r.failure())) {
            (Some(rollback), _) => {
                Outcome::RolledBack { environment: environment.clone(), reason: rollback.reason.clone() }
            }
            (None, Some(Cause::Ordered { by, reason })) => Outcome::Aborted { by: by.clone(), reason: reason.clone() },
            (None, Some(cause)) => Outcome::RolledBack { environment: environment.clone(), reason: cause.to_string() },
            (None, None) => match entry.migration_failure() {
                Some(failure) => failure.outcome(environment),
                None => return Vec::new(),
            },
        };
        vec![Event::Ended { outcome }]
    }

    /// A failure puts the digest into quarantine in the same append: there is no moment between the two.
    fn with_consequences(&self, fleet: &Fleet, environment: &EnvironmentName, facts: Vec<RolloutEvent>) -> Vec<Event> {
        let mut events = Vec::new();
        for event in facts {
            let cause = if let RolloutEvent::Failed { cause, .. } = &event { Some(cause.clone()) } else { None };
            events.push(Event::Rollout { environment: environment.clone(), event });
            if let Some(cause) = cause
                && self.entry(environment).is_some_and(|e| e.rollback.is_none())
            {
                events.extend(self.quarantine(fleet, environment, &cause.to_string()));
            }
        }
        events
    }

    pub(crate) fn quarantine(&self, fleet: &Fleet, environment: &EnvironmentName, reason: &str) -> Option<Event> {
        let digest = self.blamed(fleet, environment)?.clone();
        if fleet.quarantine(&self.target(environment), &digest).is_some() {
            return None;
        }
        Some(Event::Quarantined { environment: environment.clone(), digest, reason: reason.to_owned() })
    }

    /// What is to blame for a failure: the image, or the manifests where the same image served before, or neither where
    /// both did.
    fn blamed(&self, fleet: &Fleet, environment: &EnvironmentName) -> Option<&Digest> {
        let image = &self.release.as_ref()?.digest;
        let before = self.entry(environment)?.replaces.as_ref().and_then(|id| fleet.flight(id));
        let Some(before) = before.filter(|b| b.release.as_ref().is_some_and(|r| r.digest == *image)) else {
            return Some(image);
        };
        match self.manifests.get(environment) {
            None => Some(image),
            Some(manifests) => Some(manifests).filter(|m| before.manifests.get(environment) != Some(*m)),
        }
    }

    /// How its rollout starts, from what the rendered manifests say.
    pub fn rollout_start(
        &self,
        environment: &Environment,
        workload: &crate::workload::Workload,
        stable: Option<(FlightId, u32)>,
    ) -> Start {
        let autoscaled = workload.autoscaling.as_ref().map(Autoscaling::bounds);
        let now = stable.as_ref().map_or(workload.replicas, |(_, replicas)| *replicas);
        // Where replicas are scaled, the manifest's number says nothing of the traffic now.
        let replicas = autoscaled.map_or(workload.replicas, |bounds| bounds.clamp(now));
        Start {
            candidate: self.id.clone(),
            stable_replicas: stable.as_ref().map_or(0, |(_, replicas)| *replicas),
            stable: stable.map(|(id, _)| id),
            strategy: environment.takeover(workload.rolling, replicas),
            watch: environment.watch(),
            replicas,
            autoscaled,
            progress_deadline_s: workload.progress_deadline_s,
        }
    }

    /// What a finished check means: a failed one takes the release back as a person would, where that can be done.
    pub fn checked(&self, fleet: &Fleet, environment: &EnvironmentName, failure: Option<String>) -> Vec<Event> {
        let mut events = vec![Event::Checked { environment: environment.clone(), failure: failure.clone() }];
        let reason = failure.filter(|_| !self.entry(environment).is_some_and(Entry::is_past_return));
        if let Some(reason) = reason {
            let to = self.entry(environment).and_then(|e| e.replaces.clone());
            events.push(Event::RollbackOrdered {
                environment: environment.clone(),
                to,
                by: "checks".into(),
                reason: reason.clone(),
            });
            events.extend(self.quarantine(fleet, environment, &reason));
        }
        events
    }

    /// The state after one of its events. An event that does not fit is an error and changes nothing but the version.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), Conflict> {
        let at = recorded.at;
        self.version = self.version.saturating_add(1);
        match &recorded.event {
            // These are about what serves in a place, whichever flight that is.
            Event::Opened(_)
            | Event::QuarantineLifted { .. }
            | Event::Quarantined { .. }
            | Event::Scaled { .. }
            | Event::FlagSet { .. }
            | Event::FlagUnset { .. }
            | Event::FlagWatched { .. } => {}
            Event::Configured { service, notices, manifests, flags } => {
                self.manifests.clone_from(manifests);
                self.flags = flags.iter().map(|(file, flags)| (file.clone(), Arc::new(flags.clone()))).collect();
                self.config = Some(service.clone());
                self.notices.clone_from(notices);
                self.stage_times.insert("configured", at);
            }
            Event::JobStarted { job } => {
                self.pipeline.jobs.entry(job.clone()).or_insert(None);
            }
            Event::JobFinished { job, result } => {
                self.pipeline.jobs.insert(job.clone(), Some(result.clone()));
            }
            Event::PipelineFinished { succeeded, detail } => {
                self.stage_times.insert("built", at);
                let failure = || detail.clone().unwrap_or_else(|| "a job failed".to_owned());
                self.pipeline.finished = Some(if *succeeded { Ok(()) } else { Err(failure()) });
            }
            Event::ReleaseRecorded(release) => {
                self.stage_times.insert("imaged", at);
                self.release = Some(release.clone());
            }
            Event::AuthorNotified { .. } => self.notified_at = Some(at),
            Event::Ended { outcome } => {
                self.outcome = Some(outcome.clone());
                self.ended_at = Some(at);
            }
            Event::Approved { environment, .. }
            | Event::GatePassed { environment, .. }
            | Event::Deployed { environment, .. }
            | Event::MigrationStarted { environment, .. }
            | Event::Migrated { environment, .. }
            | Event::Rollout { environment, .. }
            | Event::Checked { environment, .. }
            | Event::RollbackOrdered { environment, .. }
            | Event::Reverted { environment, .. } => return self.apply_in(environment, &recorded.event, at),
        }
        Ok(())
    }

    fn apply_in(&mut self, environment: &EnvironmentName, event: &Event, at: Timestamp) -> Result<(), Conflict> {
        let entry = self.entries.entry(environment.clone()).or_default();
        match event {
            Event::Approved { by, .. } => entry.approvals.push(by.clone()),
            Event::GatePassed { replaces, .. } => {
                entry.passed_at = Some(at);
                entry.replaces.clone_from(replaces);
            }
            Event::Deployed { commit, .. } => entry.deploy_commit = Some(commit.clone()),
            Event::MigrationStarted { point_of_no_return, .. } => {
                entry.times.entry("environment.migration_started").or_insert(at);
                entry.migration = Some(MigrationState { point_of_no_return: *point_of_no_return, ended: None });
            }
            Event::Migrated { failure, by, .. } => {
                entry.times.entry("environment.migrated").or_insert(at);
                entry.take_migration_end(failure.as_ref(), by.as_ref());
            }
            Event::Rollout { event, .. } => entry.take_rollout_event(event, at)?,
            Event::Checked { failure, .. } => entry.checked = Some(failure.clone().map_or(Ok(()), Err)),
            Event::RollbackOrdered { to, by, reason, .. } => {
                entry.rollback =
                    Some(Rollback { to: to.clone(), by: by.clone(), reason: reason.clone(), at, rollout: None });
                // It flies again, to its end.
                self.outcome = None;
                self.notified_at = None;
            }
            Event::Reverted { commit, .. } => entry.reverted = Some(commit.clone()),
            Event::Opened(_)
            | Event::Configured { .. }
            | Event::JobStarted { .. }
            | Event::JobFinished { .. }
            | Event::PipelineFinished { .. }
            | Event::ReleaseRecorded(_)
            | Event::Quarantined { .. }
            | Event::QuarantineLifted { .. }
            | Event::Scaled { .. }
            | Event::FlagSet { .. }
            | Event::FlagUnset { .. }
            | Event::FlagWatched { .. }
            | Event::AuthorNotified { .. }
            | Event::Ended { .. } => {}
        }
        Ok(())
    }

    /// The commit that it flies.
    pub fn commit(&self) -> &CommitId {
        &self.opened.commit
    }

    /// The phase of the rollout that moves traffic in an environment now.
    pub fn phase(&self, environment: &EnvironmentName) -> Option<&Phase> {
        self.entry(environment).and_then(Entry::moving).map(|r| &r.phase)
    }
}

#[cfg(test)]
mod tests;
