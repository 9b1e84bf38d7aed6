//! What each effect does. Every one may be asked for again after a crash, and then gives the same facts.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use prograde_model::entry::Entry;
use prograde_model::event::{Event, Outcome};
use prograde_model::flag::Flags;
use prograde_model::flight::{Effect, Flight};
use prograde_model::group::Member;
use prograde_model::ids::{CommitId, Digest, EnvironmentName, Target};
use prograde_model::policy::PolicyAnswers;
use prograde_model::release::Release;
use prograde_model::service::{Check, Environment, Service};
use prograde_model::{Diagnostic, Diagnostics};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::controller::Inner;
use crate::effects::Failure;
use crate::flags;
use crate::ports::{Build, Committed, Deployment, JobFact, Notice, PortError, Revert};

/// How often a check is tried, and the wait between two tries: one lost request must not take a release back.
const CHECK_TRIES: u32 = 3;
const CHECK_PAUSE: Duration = Duration::from_secs(1);
/// How many job facts may wait to be recorded.
const JOB_FACTS_MAX: usize = 256;

/// What has been told about manifests that can be used.
#[derive(Default)]
struct Told {
    notices: Vec<String>,
    policies: PolicyAnswers,
}

impl Inner {
    pub(crate) async fn perform(
        &self,
        flight: &Flight,
        effect: &Effect,
        cancel: CancellationToken,
    ) -> Result<Vec<Event>, Failure> {
        let facts = match effect {
            Effect::Read => self.read(flight).await,
            Effect::Build => return self.build(flight, cancel).await,
            Effect::MakeImage => self.make_image(flight).await,
            Effect::Propose(target) => self.propose(flight, target).await,
            Effect::Deploy(target) => self.deploy(flight, target).await,
            Effect::Migrate(target) => self.migrate(flight, target, cancel).await,
            Effect::Check(target) => self.check(flight, target).await,
            Effect::Revert(target) => self.revert(flight, target).await,
            Effect::Notify => self.notify(flight).await,
        };
        Ok(facts?)
    }

    /// Everything that a person wrote is read and checked before anything is run.
    async fn read(&self, flight: &Flight) -> Result<Vec<Event>, PortError> {
        let commit = flight.commit();
        let bytes = self.ports.source.file(&flight.service, commit, config::FILE).await?.ok_or_else(no_config)?;
        let text = String::from_utf8(bytes).map_err(|_| not_text(config::FILE))?;
        let service = config::read(&text)?;
        if service.service != flight.service {
            let message = format!("service {} was pushed to the repository of {}", service.service, flight.service);
            let found = Diagnostic::file(
                "PG0102",
                config::FILE,
                message,
                "push it to the repository of its own name, or change `service`",
            );
            return Err(Diagnostics::from(found).into());
        }
        self.ports.pipelines.check(&flight.service, commit).await?;
        let scanned = self.ports.scanner.scan(&flight.service, commit, self.let_past(flight).as_ref()).await?;
        let (mut told, mut digests) = (Told::default(), BTreeMap::new());
        for member in service.members() {
            let rendered = self.render(flight, &service, &member, &mut told).await?;
            digests.insert(member.name, rendered);
        }
        let Told { mut notices, policies } = told;
        notices.sort();
        notices.dedup();
        let flags = self.read_flags(flight, &service).await?;
        let (manifests, group) = if service.is_group() {
            (BTreeMap::new(), digests)
        } else {
            (digests.into_values().next().unwrap_or_default(), BTreeMap::new())
        };
        let configured = Event::Configured { service: Box::new(service), notices, manifests, group, flags, policies };
        Ok(vec![Event::Scanned(scanned), configured])
    }

    /// The newest commit of the service before this one that was looked through and let past.
    fn let_past(&self, flight: &Flight) -> Option<CommitId> {
        self.ledger.with(|fleet| {
            let before = |f: &&Flight| f.service == flight.service && f.opened_at_sequence < flight.opened_at_sequence;
            let let_past = fleet.flights().filter(before).filter(|f| f.config.is_some());
            let_past.max_by_key(|f| f.opened_at_sequence).map(|f| f.commit().clone())
        })
    }

    /// Renders what a service runs in each environment; gives the digests.
    async fn render(
        &self,
        flight: &Flight,
        service: &Service,
        member: &Member,
        told: &mut Told,
    ) -> Result<BTreeMap<EnvironmentName, Digest>, PortError> {
        let folder = member.manifests_path();
        let manifests = self.ports.source.files(&flight.service, flight.commit(), &folder).await?;
        let mut digests = BTreeMap::new();
        for environment in &service.environments {
            let target = Target { environment: environment.name.clone(), service: member.name.clone() };
            let (overlay, unconfined) = (environment.overlay_path(), environment.unconfined());
            let found = self.ports.deployments.check(&target, &overlay, &manifests, unconfined).await;
            let checked = found.map_err(|error| below(&folder, error))?;
            told.notices.extend(checked.notices);
            told.policies.merge(&checked.policies);
            digests.insert(environment.name.clone(), checked.digest);
        }
        Ok(digests)
    }

    /// The flags of all environments, each file once.
    async fn read_flags(&self, flight: &Flight, service: &Service) -> Result<BTreeMap<String, Flags>, PortError> {
        let mut read = BTreeMap::new();
        for file in service.environments.iter().filter_map(|environment| service.flags_file(environment)) {
            if read.contains_key(file) {
                continue;
            }
            let bytes = self.ports.source.file(&flight.service, flight.commit(), file).await?;
            let bytes = bytes.ok_or_else(|| Diagnostics::from(flags::missing(file)))?;
            let text = String::from_utf8(bytes).map_err(|_| not_text(file))?;
            read.insert(file.to_owned(), flags::read(file, &text)?);
        }
        Ok(read)
    }

    async fn build(&self, flight: &Flight, cancel: CancellationToken) -> Result<Vec<Event>, Failure> {
        let ended = flight.pipeline.jobs.iter().filter_map(|(job, record)| Some((job.clone(), record.clone()?)));
        let finished: BTreeMap<_, _> = ended.collect();
        let earlier = |f: &&Flight| f.service == flight.service && f.opened_at_sequence <= flight.opened_at_sequence;
        let number = self.ledger.with(|fleet| fleet.flights().filter(earlier).count());
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        let build = Build { flight: flight.id.clone(), opened: flight.opened.clone(), number, finished };
        let (sender, mut facts) = mpsc::channel(JOB_FACTS_MAX);
        let run = self.ports.pipelines.run(build, sender, cancel.clone());
        // `facts` is dropped with the first one that can't be recorded: the pipeline must not wait for room in it.
        let record = async move {
            while let Some(fact) = facts.recv().await {
                let event = match fact {
                    JobFact::Started { job } => Event::JobStarted { job },
                    JobFact::Finished { job, result } => Event::JobFinished { job, result },
                };
                self.record_result(&flight.id, &Effect::Build, |_, _| vec![event]).await?;
            }
            Ok::<_, Failure>(())
        };
        let (result, recorded) = futures_util::join!(run, record);
        if cancel.is_cancelled() {
            return Ok(Vec::new());
        }
        recorded?;
        let detail = result?;
        Ok(vec![Event::PipelineFinished { succeeded: detail.is_none(), detail }])
    }

    async fn make_image(&self, flight: &Flight) -> Result<Vec<Event>, PortError> {
        let mut facts = Vec::new();
        for member in service(flight)?.members() {
            let release = self.ports.images.make(flight, &member).await?;
            let service = flight.is_group().then_some(member.name);
            facts.push(Event::ReleaseRecorded(Release { service, ..release }));
        }
        Ok(facts)
    }

    /// What is to be written of a release.
    async fn deployment(&self, flight: &Flight, target: &Target) -> Result<Deployment, PortError> {
        let environment = environment(flight, target)?;
        let release = release(flight, target)?;
        self.ports.images.vouched(&target.service, release).await?;
        let folder = member(flight, target)?.manifests_path();
        let manifests = self.ports.source.files(&flight.service, flight.commit(), &folder).await?;
        Ok(Deployment {
            target: target.clone(),
            flight: flight.id.clone(),
            commit: flight.commit().clone(),
            digest: release.digest.clone(),
            evidence: release.evidence.clone(),
            scanned: flight.scan.is_some(),
            overlay: environment.overlay_path(),
            manifests,
            author: flight.opened.author.clone(),
            subject: flight.opened.subject.clone(),
            merged: flight.entry(target).and_then(|entry| entry.merged.clone()),
            at: self.entered_at(flight, target),
        })
    }

    /// The same time again after a crash, so that the commits are the same.
    fn entered_at(&self, flight: &Flight, target: &Target) -> Timestamp {
        flight.entry(target).and_then(|entry| entry.passed_at).unwrap_or_else(|| self.clock.now())
    }

    async fn propose(&self, flight: &Flight, target: &Target) -> Result<Vec<Event>, PortError> {
        let deployment = self.deployment(flight, target).await?;
        let proposed = self.ports.deployments.propose(deployment).await;
        let commit = proposed.map_err(|error| in_folder(flight, target, error))?;
        Ok(vec![Event::Proposed { place: flight.place(target), commit }])
    }

    async fn commit(&self, flight: &Flight, target: &Target) -> Result<Committed, PortError> {
        let deployment = self.deployment(flight, target).await?;
        let committed = self.ports.deployments.commit(deployment).await;
        committed.map_err(|error| in_folder(flight, target, error))
    }

    async fn deploy(&self, flight: &Flight, target: &Target) -> Result<Vec<Event>, PortError> {
        let environment = environment(flight, target)?;
        let Committed { commit, policies } =
            match (self.commit(flight, target).await, flight.entry(target).and_then(|e| e.merged.clone())) {
                (Ok(committed), _) => committed,
                (Err(error), Some(merged)) => return Err(self.take_out(flight, target, merged, error).await),
                (Err(error), None) => return Err(error),
            };
        let workload = match self.ports.deployments.workload(&commit, target).await {
            Ok(workload) => workload,
            Err(error) => return Err(self.take_out(flight, target, commit, error).await),
        };
        // What has to be migrated first has no replica before that is done.
        let migrates = flight.migration(target).is_some();
        let started = (!migrates).then(|| self.rollout_started(flight, (target, environment), &workload));
        let deployed = Event::Deployed { place: flight.place(target), commit, policies };
        Ok([deployed].into_iter().chain(started).collect())
    }

    /// What Git says and can't be run: the flight ends with this error, and Git must not go on naming what never ran.
    async fn take_out(&self, flight: &Flight, target: &Target, commit: CommitId, error: PortError) -> PortError {
        if matches!(error, PortError::Passing(_)) {
            return error;
        }
        let revert = Revert {
            target: target.clone(),
            flight: flight.id.clone(),
            commit,
            restore: flight.entry(target).and_then(|entry| self.restored(entry, target)),
            supersedes: None,
            reason: error.to_string(),
            at: self.entered_at(flight, target),
        };
        let reverted = self.ports.deployments.revert(revert).await;
        reverted.err().unwrap_or(error)
    }

    /// The commit of what is to be there again, where that is not what lies right before the deployment: a rollback may go
    /// further back, and a merge brings along whatever lies between.
    fn restored(&self, entry: &Entry, target: &Target) -> Option<CommitId> {
        let replaces = entry.replaces.as_ref();
        let to = entry.rollback.as_ref().and_then(|r| r.to.as_ref()).filter(|to| Some(*to) != replaces);
        let to = to.or_else(|| entry.merged.as_ref().and(replaces))?;
        self.ledger.with(|fleet| fleet.flight(to)?.entry(target)?.deploy_commit.clone())
    }

    async fn check(&self, flight: &Flight, target: &Target) -> Result<Vec<Event>, PortError> {
        let environment = environment(flight, target)?;
        let Some((_, address)) = self.ports.runtime.addresses(target).into_iter().next() else {
            return Err(PortError::Passing(format!("{target} has no address yet")));
        };
        let mut failure = None;
        for check in environment.checks_of(&target.service) {
            failure = self.check_once(address, check).await;
            if failure.is_some() {
                break;
            }
        }
        Ok(self.ledger.with(|fleet| flight.checked(fleet, target, failure)))
    }

    async fn check_once(&self, address: std::net::SocketAddr, check: &Check) -> Option<String> {
        let mut last = None;
        for attempt in 0..CHECK_TRIES {
            if attempt > 0 {
                tokio::time::sleep(CHECK_PAUSE).await;
            }
            last = match self.ports.prober.get(address, &check.get).await {
                Ok(status) if status == check.status => return None,
                Ok(status) => Some(format!("GET {} answered {status}, expected {}", check.get, check.status)),
                Err(error) => Some(format!("GET {} was not answered: {error}", check.get)),
            };
        }
        last
    }

    async fn revert(&self, flight: &Flight, target: &Target) -> Result<Vec<Event>, PortError> {
        let Some(entry) = flight.entry(target) else { return Ok(Vec::new()) };
        let Some(commit) = entry.deploy_commit.clone() else { return Ok(Vec::new()) };
        let cause = entry.rollout.as_ref().and_then(|r| r.failure()).map(ToString::to_string);
        let cause = cause.or_else(|| entry.migration_failure().map(ToString::to_string));
        let reason = entry.rollback.as_ref().map(|r| format!("ordered by {}: {}", r.by, r.reason)).or(cause);
        let revert = Revert {
            restore: self.restored(entry, target),
            supersedes: entry.rollback.as_ref().and_then(|rollback| rollback.supersedes.clone()),
            target: target.clone(),
            flight: flight.id.clone(),
            commit,
            reason: reason.unwrap_or_else(|| "taken back".to_owned()),
            at: entry.failed_at().unwrap_or_else(|| self.clock.now()),
        };
        let commit = self.ports.deployments.revert(revert).await?;
        Ok(vec![Event::Reverted { place: flight.place(target), commit }])
    }

    async fn notify(&self, flight: &Flight) -> Result<Vec<Event>, PortError> {
        let Some(outcome) = &flight.outcome else { return Ok(Vec::new()) };
        let notice = Notice::of(flight, sentence(flight, outcome));
        let told = self.ports.notifier.notify(&notice).await;
        if !told.is_empty() && told.iter().all(|(_, result)| result.is_err()) {
            let errors: Vec<_> =
                told.into_iter().filter_map(|(channel, r)| Some(format!("{channel}: {}", r.err()?))).collect();
            return Err(PortError::Passing(errors.join("; ")));
        }
        let mut event = (Vec::new(), Vec::new());
        for (channel, result) in told {
            match result {
                Ok(()) => event.0.push(channel),
                Err(error) => event.1.push(format!("{channel}: {error}")),
            }
        }
        Ok(vec![Event::AuthorNotified { channels: event.0, failures: event.1 }])
    }
}

/// How a flight ended, in one sentence for its author.
fn sentence(flight: &Flight, outcome: &Outcome) -> String {
    let commit = flight.commit().short();
    let what = format!("{} {commit} ({})", flight.service, flight.opened.subject);
    match outcome {
        Outcome::Landed => format!("{what} serves"),
        Outcome::Refused { diagnostics } => {
            let findings: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
            format!("{what} can't be used:\n{}", findings.join("\n"))
        }
        Outcome::Rejected { reason } => format!("{what} was rejected: {reason}"),
        Outcome::Stopped { environment, reason } => format!("{what} was not let into {environment}: {reason}"),
        Outcome::RolledBack { environment, reason } => format!("{what} was rolled back from {environment}: {reason}"),
        Outcome::Kept { environment, reason } => format!(
            "{what} failed in {environment} and serves on: {reason}\nIts migration can't be undone, so a person must decide: \
             push a commit that mends it, or take it back all the same with `prograde rollback {} --environment \
             {environment} --past-point-of-no-return`",
            flight.service
        ),
        Outcome::Aborted { by, reason } => format!("{what} was ended by {by}: {reason}"),
        Outcome::Superseded { by } => format!("{what} gave way to flight {}", by.short()),
    }
}

fn service(flight: &Flight) -> Result<&Service, PortError> {
    flight.service_config().ok_or_else(|| PortError::Final("the flight has no configuration".into()))
}

pub(super) fn environment<'a>(flight: &'a Flight, target: &Target) -> Result<&'a Environment, PortError> {
    let name = &target.environment;
    service(flight)?.environment(name).ok_or_else(|| PortError::Final(format!("the flight has no environment {name}")))
}

pub(super) fn release<'a>(flight: &'a Flight, target: &Target) -> Result<&'a Release, PortError> {
    flight.release(target).ok_or_else(|| PortError::Final(format!("the flight has no release of {target}")))
}

fn member(flight: &Flight, target: &Target) -> Result<Member, PortError> {
    let name = &target.service;
    service(flight)?.member(name).ok_or_else(|| PortError::Final(format!("the flight has no service {name}")))
}

fn no_config() -> PortError {
    Diagnostics::from(Diagnostic::file(
        "PG0103",
        config::FILE,
        "the file is missing at the top of the repository",
        "`prograde init` writes one to start from",
    ))
    .into()
}

fn not_text(file: &str) -> PortError {
    Diagnostics::from(Diagnostic::file("PG0101", file, "the file is not UTF-8 text", "save it as UTF-8")).into()
}

/// What is wrong with a flight's manifests, by their place in its repository.
fn in_folder(flight: &Flight, target: &Target, error: PortError) -> PortError {
    match member(flight, target) {
        Ok(member) => below(&member.manifests_path(), error),
        Err(_) => error,
    }
}

/// Manifests are read below their folder; people know them by their path in the repository.
fn below(folder: &str, error: PortError) -> PortError {
    match error {
        PortError::Input(mut diagnostics) => {
            for diagnostic in &mut diagnostics.0 {
                diagnostic.file = format!("{folder}/{}", diagnostic.file);
            }
            PortError::Input(diagnostics)
        }
        other @ (PortError::Final(_) | PortError::Passing(_)) => other,
    }
}
