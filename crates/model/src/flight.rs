//! A flight: one commit's whole way, from push to serving everywhere or back.
//!
//! [`Flight::decide`] says which facts follow now; [`Flight::plan`] says which effects are wanted. Both are pure. A flight
//! is the fold of its events and of nothing else.

mod back;
mod orders;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

pub use orders::Refusal;

use crate::autoscale::Autoscaling;
use crate::diagnostic::Diagnostic;
use crate::entry::{Entry, Rollback, Standing};
use crate::event::{Event, JobRecord, Opened, Outcome, Place, Recorded};
use crate::flag::Flags;
use crate::fleet::Fleet;
use crate::gate::{Closure, GateState, Holds, gate};
use crate::ids::{CommitId, Digest, EnvironmentName, FlightId, ServiceName, Target};
use crate::judge::SEGMENTS;
use crate::migration::MigrationState;
use crate::policy::PolicyAnswers;
use crate::release::Release;
use crate::rollout::{Cause, Caution, Conflict, Phase, RolloutEvent, Start, Strategy};
use crate::runtime::Observation;
use crate::scan::ScanReport;
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
    /// What the policies said to it when it was read.
    pub policies: PolicyAnswers,
    /// What it was looked through for.
    pub scan: Option<ScanReport>,
    /// Digest of its rendered manifests, by place.
    pub manifests: BTreeMap<Target, Digest>,
    /// Its flags, by the file that declares them.
    pub flags: BTreeMap<String, Arc<Flags>>,
    /// Its pipeline.
    pub pipeline: Pipeline,
    /// Its releases, once made: one, or one for each service of a group.
    pub releases: BTreeMap<ServiceName, Release>,
    /// Who approved for each environment, in order, each once.
    pub approvals: BTreeMap<EnvironmentName, Vec<String>>,
    /// What people let it past that keeps releases out of each environment.
    pub overrides: BTreeMap<EnvironmentName, BTreeSet<String>>,
    /// Where it goes, in order: every service in one environment, then in the next.
    pub places: Vec<Target>,
    /// What happened in each place.
    pub entries: BTreeMap<Target, Entry>,
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
    /// It is in or before a place.
    At(Target, Standing),
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
    /// Propose the release on a branch of the deployment repository.
    Propose(Target),
    /// Commit the release to the deployment repository and say how its rollout starts.
    Deploy(Target),
    /// Run the release's migration, and say how its rollout starts.
    Migrate(Target),
    /// Run the environment's checks.
    Check(Target),
    /// Take the release out of the deployment repository.
    Revert(Target),
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
            policies: PolicyAnswers::default(),
            scan: None,
            manifests: BTreeMap::new(),
            flags: BTreeMap::new(),
            pipeline: Pipeline::default(),
            releases: BTreeMap::new(),
            approvals: BTreeMap::new(),
            overrides: BTreeMap::new(),
            places: Vec::new(),
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

    /// Whether it flies a group of services.
    pub fn is_group(&self) -> bool {
        self.config.as_ref().is_some_and(|service| service.is_group())
    }

    /// Whether it is a service's: it was pushed to its repository, or brings it as one of a group.
    pub fn flies(&self, service: &ServiceName) -> bool {
        self.service == *service || self.places.iter().any(|target| target.service == *service)
    }

    /// The place that one of its facts names.
    pub fn target(&self, place: &Place) -> Target {
        let service = place.service.clone().unwrap_or_else(|| self.service.clone());
        Target { environment: place.environment.clone(), service }
    }

    /// How its facts name a place.
    pub fn place(&self, target: &Target) -> Place {
        let service = self.is_group().then(|| target.service.clone());
        Place { environment: target.environment.clone(), service }
    }

    /// Its places in one environment, in order.
    pub fn places_in<'a>(
        &'a self,
        environment: &'a EnvironmentName,
    ) -> impl DoubleEndedIterator<Item = &'a Target> + 'a {
        self.places.iter().filter(move |target| target.environment == *environment)
    }

    /// What it brings to a place, once made.
    pub fn release(&self, target: &Target) -> Option<&Release> {
        self.releases.get(&target.service)
    }

    /// What happened in one place.
    pub fn entry(&self, target: &Target) -> Option<&Entry> {
        self.entries.get(target)
    }

    /// Where it stands in one place.
    pub fn standing(&self, target: &Target) -> Standing {
        let rules = self.service_config().and_then(|service| service.environment(&target.environment));
        let checks = rules.is_some_and(|rules| rules.checks_of(&target.service).next().is_some());
        self.entry(target).map_or(Standing::Outside, |e| e.standing(checks))
    }

    /// Whether no other flight may enter the environment now.
    pub fn occupies(&self, environment: &EnvironmentName) -> bool {
        let any = |is: fn(Standing) -> bool| self.places_in(environment).any(|target| is(self.standing(target)));
        // Until the last of a group is back, the next flight would come between.
        let torn = || any(|standing| standing == Standing::Gone) && any(Standing::serves);
        any(Standing::is_busy) || (self.outcome.is_none() && torn())
    }

    /// Whether what serves in a place is being replaced, or about to be.
    pub fn moves(&self, target: &Target) -> bool {
        let standing = self.standing(target);
        // Those of a group enter one after the other.
        let is_next = || self.stage() == Stage::At(target.clone(), Standing::Entering);
        standing.is_busy() && (standing != Standing::Entering || is_next())
    }

    /// Whether it stands before the environment's gate.
    pub fn waits_at(&self, environment: &EnvironmentName) -> bool {
        matches!(self.stage(), Stage::At(at, Standing::Outside) if at.environment == *environment)
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
        // A rollback may be ordered after the end, and an abort leaves a candidate to be withdrawn: both go first, and
        // traffic before Git.
        for first in [Standing::Leaving, Standing::Unreverted] {
            if let Some(target) = self.entries.keys().find(|target| self.standing(target) == first) {
                return Stage::At(target.clone(), first);
            }
        }
        if let Some(outcome) = &self.outcome {
            let told = self.notified_at.is_some() || !Self::is_news(outcome);
            return if told { Stage::Done } else { Stage::Notifying };
        }
        if self.config.is_none() {
            return Stage::Reading;
        }
        if self.pipeline.finished.is_none() {
            return Stage::Building;
        }
        if self.places.iter().any(|target| self.release(target).is_none()) {
            return Stage::Imaging;
        }
        let at = |target: &Target| Stage::At(target.clone(), self.standing(target));
        let is_left = |target: &&Target| !matches!(self.standing(target), Standing::Settled | Standing::Unchanged);
        self.places.iter().find(is_left).map_or(Stage::Done, at)
    }

    /// The effects that are wanted now.
    pub fn plan(&self) -> Vec<Effect> {
        let mut wanted = match self.stage() {
            Stage::Reading => vec![Effect::Read],
            Stage::Building => vec![Effect::Build],
            Stage::Imaging => vec![Effect::MakeImage],
            Stage::At(target, Standing::Outside) if self.is_to_propose(&target) => vec![Effect::Propose(target)],
            Stage::At(target, Standing::Entering) => vec![Effect::Deploy(target)],
            Stage::At(target, Standing::Migrating) if self.entry(&target).is_some_and(Entry::is_migrating) => {
                vec![Effect::Migrate(target)]
            }
            Stage::At(target, Standing::Unchecked) => vec![Effect::Check(target)],
            Stage::At(..) | Stage::Done => Vec::new(),
            Stage::Notifying => vec![Effect::Notify],
        };
        // Git is put right while the runtime still is: nothing waits for anything.
        let reverted = self.entries.iter().filter(|(_, entry)| entry.must_revert());
        wanted.extend(reverted.map(|(target, _)| Effect::Revert(target.clone())));
        wanted
    }

    /// How the rollout back starts, where one is ordered and has not started.
    fn way_back(&self, fleet: &Fleet, target: &Target) -> Option<Event> {
        let rollback = self.entry(target)?.rollback.as_ref().filter(|r| r.rollout.is_none())?;
        let to = rollback.to.clone()?;
        let stable_replicas = fleet.replicas(&self.id, target).unwrap_or(1);
        let autoscaled = fleet.autoscaled(&to, target);
        let start = Start {
            replicas: autoscaled
                .map_or_else(|| fleet.replicas(&to, target).unwrap_or(1), |bounds| bounds.clamp(stable_replicas)),
            candidate: to,
            stable: Some(self.id.clone()),
            stable_replicas,
            autoscaled,
            strategy: Strategy::Return,
            caution: None,
            watch: None,
            progress_deadline_s: 0,
            segments: 0,
        };
        Some(Event::Rollout { place: self.place(target), event: RolloutEvent::Started(start) })
    }

    /// The facts that follow now, to be appended together.
    pub fn decide(
        &self,
        fleet: &Fleet,
        seen: impl Fn(&Target) -> Observation,
        holds: &Holds,
        now: Timestamp,
    ) -> Vec<Event> {
        match self.stage() {
            Stage::Reading | Stage::Building | Stage::Imaging => self.decide_early(fleet),
            Stage::At(target, Standing::Outside) => self.decide_gate(fleet, &target.environment, holds),
            Stage::At(target, Standing::Migrating) => self.decide_migrating(&target),
            Stage::At(target, Standing::Rolling | Standing::Leaving) => {
                let Some(rollout) = self.entry(&target).and_then(Entry::moving) else {
                    return self.way_back(fleet, &target).into_iter().collect();
                };
                let facts = fleet.sized(rollout, &target).decide(&seen(&target), now);
                self.with_consequences(fleet, &target, facts)
            }
            Stage::At(target, Standing::Watched) => self.decide_watched(fleet, &target, &seen(&target), now),
            Stage::At(target, Standing::Kept) => self.decide_kept(&target),
            Stage::At(_, Standing::Unreverted) => self.others_back(fleet).into_iter().collect(),
            Stage::At(_, Standing::Gone) => match self.others_back(fleet) {
                Some(back) => vec![back],
                None => self.decide_gone(),
            },
            Stage::Done if self.outcome.is_none() => vec![Event::Ended { outcome: Outcome::Landed }],
            Stage::At(_, Standing::Entering | Standing::Unchecked | Standing::Settled | Standing::Unchanged)
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

    fn decide_gate(&self, fleet: &Fleet, environment: &EnvironmentName, holds: &Holds) -> Vec<Event> {
        match gate(fleet, self, environment, holds) {
            GateState::Open => self.places_in(environment).map(|target| self.enters(fleet, target)).collect(),
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

    fn enters(&self, fleet: &Fleet, target: &Target) -> Event {
        let (place, serves) = (self.place(target), fleet.current(target).cloned());
        match serves {
            Some(serves) if fleet.is_unchanged(self, target) => Event::Unchanged { place, serves },
            replaces => Event::GatePassed { place, replaces },
        }
    }

    /// It is watched until that is over, or another release comes, or it fails and there is one to go back to.
    fn decide_watched(&self, fleet: &Fleet, target: &Target, seen: &Observation, now: Timestamp) -> Vec<Event> {
        let Some(rollout) = self.entry(target).and_then(|entry| entry.rollout.as_ref()) else { return Vec::new() };
        let in_event = |event| Event::Rollout { place: self.place(target), event };
        if self.another_is_inside(fleet, target) {
            return rollout.end_watch(seen, now).map(in_event).into_iter().collect();
        }
        let Some(mut fact) = rollout.decide(seen, now).into_iter().next() else { return Vec::new() };
        let RolloutEvent::Failed { cause, serves_on, .. } = &mut fact else { return vec![in_event(fact)] };
        let reason = cause.to_string();
        match self.way_out(fleet, target, None) {
            // What served before can't serve with the data as it is now: a person has to decide.
            Ok(_) if self.entry(target).is_some_and(Entry::is_past_return) => {
                *serves_on = true;
                vec![in_event(fact)]
            }
            Ok(to) => {
                let ordered = Event::RollbackOrdered {
                    place: self.place(target),
                    to,
                    asked: None,
                    past_return: false,
                    by: "judge".into(),
                    reason: reason.clone(),
                };
                let quarantined = self.quarantine(fleet, target, &reason);
                [in_event(fact), ordered].into_iter().chain(quarantined).collect()
            }
            // Nothing better can serve, so it goes on; what was seen is on record.
            Err(_) => rollout.end_watch(seen, now).map(in_event).into_iter().collect(),
        }
    }

    /// It ends as it was taken back last: it may have been taken out of one environment before. Of a group's services,
    /// the first one that was taken back says why.
    fn decide_gone(&self) -> Vec<Event> {
        let gone = || self.entries.iter().filter(|(target, _)| self.standing(target) == Standing::Gone);
        let last = gone().max_by_key(|(_, entry)| entry.failed_at());
        let Some(environment) = last.map(|(target, _)| &target.environment) else { return Vec::new() };
        let first = gone().filter(|(target, _)| target.environment == *environment).min_by_key(|(_, e)| e.failed_at());
        let Some((target, entry)) = first else { return Vec::new() };
        let of = if self.is_group() { format!("{}: ", target.service) } else { String::new() };
        let outcome = match (&entry.rollback, entry.rollout.as_ref().and_then(|r| r.failure())) {
            (Some(rollback), _) => {
                Outcome::RolledBack { environment: environment.clone(), reason: format!("{of}{}", rollback.reason) }
            }
            (None, Some(Cause::Ordered { by, reason })) => Outcome::Aborted { by: by.clone(), reason: reason.clone() },
            (None, Some(cause)) => {
                Outcome::RolledBack { environment: environment.clone(), reason: format!("{of}{cause}") }
            }
            (None, None) => match entry.migration_failure() {
                Some(failure) => failure.outcome(environment, &of),
                None => return Vec::new(),
            },
        };
        vec![Event::Ended { outcome }]
    }

    /// A failure puts the digest into quarantine in the same append: there is no moment between the two.
    fn with_consequences(&self, fleet: &Fleet, target: &Target, facts: Vec<RolloutEvent>) -> Vec<Event> {
        let mut events = Vec::new();
        for event in facts {
            let cause = if let RolloutEvent::Failed { cause, .. } = &event { Some(cause.clone()) } else { None };
            events.push(Event::Rollout { place: self.place(target), event });
            if let Some(cause) = cause
                && self.entry(target).is_some_and(|e| e.rollback.is_none())
            {
                events.extend(self.quarantine(fleet, target, &cause.to_string()));
            }
        }
        events
    }

    pub(crate) fn quarantine(&self, fleet: &Fleet, target: &Target, reason: &str) -> Option<Event> {
        let digest = self.blamed(fleet, target)?.clone();
        if fleet.quarantine(target, &digest).is_some() {
            return None;
        }
        Some(Event::Quarantined { place: self.place(target), digest, reason: reason.to_owned() })
    }

    /// What is to blame for a failure: the image, or the manifests where the same image served before, or neither where
    /// both did.
    fn blamed(&self, fleet: &Fleet, target: &Target) -> Option<&Digest> {
        let image = &self.release(target)?.digest;
        let before = self.entry(target)?.replaces.as_ref().and_then(|id| fleet.flight(id));
        let Some(before) = before.filter(|b| b.release(target).is_some_and(|r| r.digest == *image)) else {
            return Some(image);
        };
        match self.manifests.get(target) {
            None => Some(image),
            Some(manifests) => Some(manifests).filter(|m| before.manifests.get(target) != Some(*m)),
        }
    }

    /// How its rollout starts, from what the rendered manifests say.
    pub fn rollout_start(
        &self,
        environment: &Environment,
        workload: &crate::workload::Workload,
        stable: Option<(FlightId, u32)>,
        caution: Option<Caution>,
    ) -> Start {
        let autoscaled = workload.autoscaling.as_ref().map(Autoscaling::bounds);
        let now = stable.as_ref().map_or(workload.replicas, |(_, replicas)| *replicas);
        // Where replicas are scaled, the manifest's number says nothing of the traffic now.
        let replicas = autoscaled.map_or(workload.replicas, |bounds| bounds.clamp(now));
        Start {
            candidate: self.id.clone(),
            stable_replicas: stable.as_ref().map_or(0, |(_, replicas)| *replicas),
            stable: stable.map(|(id, _)| id),
            strategy: match &caution {
                Some(caution) => environment.takeover(workload.rolling, replicas).paced(caution),
                None => environment.takeover(workload.rolling, replicas),
            },
            caution,
            watch: environment.watch(),
            replicas,
            autoscaled,
            progress_deadline_s: workload.progress_deadline_s,
            segments: SEGMENTS,
        }
    }

    /// What was read is taken on, unless another repository deploys a service of the same name: one place has one owner.
    pub fn admit(&self, fleet: &Fleet, facts: Vec<Event>) -> Vec<Event> {
        let declared = facts
            .iter()
            .find_map(|fact| if let Event::Configured { service, .. } = fact { Some(service) } else { None });
        let members = declared.map(|service| service.members()).unwrap_or_default();
        let taken = members.iter().find_map(|member| Some((&member.name, fleet.owner_beside(self, &member.name)?)));
        let Some((name, owner)) = taken else { return facts };
        let message = format!("the repository of {} deploys a service {name} already", owner.service);
        let hint = "give one of the two another name";
        let found = Diagnostic::file("PG0102", "prograde.yaml", message, hint);
        vec![Event::Ended { outcome: Outcome::Refused { diagnostics: vec![found] } }]
    }

    /// What it means that a release can't be deployed: the flight ends, and of a group what serves already goes back.
    pub fn not_deployed(&self, fleet: &Fleet, target: &Target, reason: String) -> Vec<Event> {
        let reason = if self.is_group() { format!("{}: {reason}", target.service) } else { reason };
        match self.places_in(&target.environment).rev().find(|place| self.serves(fleet, place)) {
            Some(place) => vec![self.back_to_before(place, "group", &reason)],
            None => vec![Event::Ended { outcome: Outcome::Rejected { reason } }],
        }
    }

    /// What a finished check means: a failed one takes the release back as a person would, where that can be done.
    pub fn checked(&self, fleet: &Fleet, target: &Target, failure: Option<String>) -> Vec<Event> {
        let mut events = vec![Event::Checked { place: self.place(target), failure: failure.clone() }];
        let reason = failure.filter(|_| !self.entry(target).is_some_and(Entry::is_past_return));
        if let Some(reason) = reason {
            events.push(self.back_to_before(target, "checks", &reason));
            events.extend(self.quarantine(fleet, target, &reason));
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
            Event::Configured { service, notices, manifests, group, flags, policies } => {
                self.take_places(service, manifests, group);
                self.flags = flags.iter().map(|(file, flags)| (file.clone(), Arc::new(flags.clone()))).collect();
                self.config = Some(service.clone());
                self.notices.clone_from(notices);
                self.policies.clone_from(policies);
                self.stage_times.insert("configured", at);
            }
            Event::Scanned(report) => self.scan = Some(report.clone()),
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
                let service = release.service.clone().unwrap_or_else(|| self.service.clone());
                self.releases.insert(service, release.clone());
            }
            Event::AuthorNotified { .. } => self.notified_at = Some(at),
            Event::Ended { outcome } => {
                self.outcome = Some(outcome.clone());
                self.ended_at = Some(at);
            }
            Event::Approved { environment, by } => {
                self.approvals.entry(environment.clone()).or_default().push(by.clone());
            }
            Event::Overridden { environment, hold, .. } => {
                self.overrides.entry(environment.clone()).or_default().insert(hold.clone());
            }
            Event::Proposed { place, .. }
            | Event::Merged { place, .. }
            | Event::GatePassed { place, .. }
            | Event::Unchanged { place, .. }
            | Event::Deployed { place, .. }
            | Event::MigrationStarted { place, .. }
            | Event::Migrated { place, .. }
            | Event::Rollout { place, .. }
            | Event::Checked { place, .. }
            | Event::RollbackOrdered { place, .. }
            | Event::Reverted { place, .. } => return self.apply_at(self.target(place), &recorded.event, at),
        }
        Ok(())
    }

    /// Where it goes, once its configuration is read, and the digests of what is rendered there.
    fn take_places(
        &mut self,
        service: &Service,
        own: &BTreeMap<EnvironmentName, Digest>,
        group: &BTreeMap<ServiceName, BTreeMap<EnvironmentName, Digest>>,
    ) {
        let members = service.members();
        let at = |environment: &EnvironmentName, service: &ServiceName| Target {
            environment: environment.clone(),
            service: service.clone(),
        };
        let environments = service.environments.iter().map(|environment| &environment.name);
        self.places = environments.flat_map(|name| members.iter().map(|member| at(name, &member.name))).collect();
        let of = |(name, digest): (&EnvironmentName, &Digest)| (at(name, &self.service), digest.clone());
        self.manifests = own.iter().map(of).collect();
        for (service, digests) in group {
            self.manifests.extend(digests.iter().map(|(name, digest)| (at(name, service), digest.clone())));
        }
    }

    fn apply_at(&mut self, target: Target, event: &Event, at: Timestamp) -> Result<(), Conflict> {
        let entry = self.entries.entry(target).or_default();
        match event {
            Event::Proposed { commit, .. } => entry.proposed = Some(commit.clone()),
            Event::Merged { commit, .. } => entry.merged = Some(commit.clone()),
            Event::GatePassed { replaces, .. } => {
                entry.passed_at = Some(at);
                entry.replaces.clone_from(replaces);
            }
            Event::Unchanged { serves, .. } => entry.unchanged = Some(serves.clone()),
            Event::Deployed { commit, policies, .. } => {
                entry.deploy_commit = Some(commit.clone());
                entry.policies.clone_from(policies);
            }
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
            Event::RollbackOrdered { to, asked, past_return, by, reason, .. } => {
                entry.rollback = Some(Rollback {
                    supersedes: entry.reverted.take(),
                    to: to.clone(),
                    asked: asked.clone(),
                    past_return: *past_return,
                    by: by.clone(),
                    reason: reason.clone(),
                    at,
                    rollout: None,
                });
                // It flies again, to its end.
                self.outcome = None;
                self.notified_at = None;
            }
            Event::Reverted { commit, .. } => entry.reverted = Some(commit.clone()),
            Event::Opened(_)
            | Event::Configured { .. }
            | Event::Scanned(_)
            | Event::JobStarted { .. }
            | Event::JobFinished { .. }
            | Event::PipelineFinished { .. }
            | Event::ReleaseRecorded(_)
            | Event::Approved { .. }
            | Event::Overridden { .. }
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

    /// The phase of the rollout that moves traffic in a place now.
    pub fn phase(&self, target: &Target) -> Option<&Phase> {
        self.entry(target).and_then(Entry::moving).map(|r| &r.phase)
    }
}

#[cfg(test)]
mod group_tests;
#[cfg(test)]
mod tests;
