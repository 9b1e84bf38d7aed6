//! One life of the controllers' process: its clock, its way to the world, and where it ends. Every call passes a point
//! before and one after what it does; at such a point the process may die, the call may fail, or take long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::ports::{
    AppendError, Build, Checked, Committed, Deployment, Deployments, EventLog, Files, Gatekeeper, Head, Images, JobEnd,
    JobFact, JobRun, Jobs, MeasureError, Measurement, Measures, Notice, Notifier, Pipelines, PortError, Prober,
    ReplicaUse, Revert, RunVersion, Runtime, Scanner, Source,
};
use prograde_control::{Clock, FlightIds, Options, Ports};
use prograde_model::confinement::Part as Unconfined;
use prograde_model::event::{Event, JobConclusion, JobRecord, Opened, Person, Recorded};
use prograde_model::flight::Flight;
use prograde_model::gate::Holds;
use prograde_model::group::Member;
use prograde_model::ids::{CommitId, Digest, FlightId, ServiceName, Target};
use prograde_model::metric::Found;
use prograde_model::policy::PolicyAnswers;
use prograde_model::release::Release;
use prograde_model::runtime::{Observation, Routing};
use prograde_model::scan::ScanReport;
use prograde_model::work::Work;
use prograde_model::workload::Workload;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::check::Invariant;
use crate::random::Random;
use crate::scenario::Noise;
use crate::story::Kind;
use crate::trouble::{Part, Trouble};
use crate::world::{Mutant, State, World};

/// How long the journal takes to answer.
pub const APPEND_TAKES: Duration = Duration::from_millis(2);

/// What disturbs a life.
#[derive(Debug, Clone, Default)]
pub struct Fate {
    /// The point at which the process dies: nothing that it awaits comes back, and whatever it calls later does nothing.
    pub death: Option<u64>,
    /// The point at which a call fails, which may be before or after it did its work.
    pub failure: Option<u64>,
    /// What happens to any call, and what draws it.
    pub noise: Option<(Noise, Random)>,
}

/// The call's answer is lost.
#[derive(Debug)]
struct Lost;

impl From<Lost> for PortError {
    fn from(_: Lost) -> Self {
        Self::Passing("the answer was lost".into())
    }
}

impl From<Lost> for AppendError {
    fn from(_: Lost) -> Self {
        Self::Journal("the answer was lost".into())
    }
}

/// A life, and the ports of the controllers that live it.
#[derive(Debug)]
pub struct Life {
    world: Arc<World>,
    fate: Fate,
    noise: Mutex<Random>,
    calm_ms: i64,
    points: AtomicU64,
    dead: AtomicBool,
    died: Notify,
    born_ms: i64,
    started: Instant,
}

impl Life {
    /// A life that begins now. From `calm_ms` on no call goes wrong by noise.
    pub fn new(world: &Arc<World>, fate: Fate, calm_ms: i64) -> Self {
        let born_ms = {
            let mut state = world.last();
            let now_ms = state.now_ms;
            state.check.forget(now_ms);
            now_ms
        };
        let noise = Mutex::new(fate.noise.as_ref().map_or_else(|| Random::new(0), |(_, random)| random.clone()));
        Self {
            world: Arc::clone(world),
            fate,
            noise,
            calm_ms,
            points: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            died: Notify::new(),
            born_ms,
            started: Instant::now(),
        }
    }

    /// The controllers' ports.
    pub fn ports(self: &Arc<Self>) -> Ports {
        Ports {
            source: Arc::clone(self) as _,
            scanner: Arc::clone(self) as _,
            pipelines: Arc::clone(self) as _,
            images: Arc::clone(self) as _,
            deployments: Arc::clone(self) as _,
            runtime: Arc::clone(self) as _,
            jobs: Arc::clone(self) as _,
            prober: Arc::clone(self) as _,
            measures: Arc::clone(self) as _,
            notifier: Arc::clone(self) as _,
            holds: vec![Arc::clone(self) as _],
        }
    }

    /// The controllers' options.
    pub fn options(self: &Arc<Self>, busy_period: Duration) -> Options {
        Options { busy_period, flight_ids: Arc::clone(self) as _, ..Options::default() }
    }

    /// Waits for the end.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// How many points it has passed.
    pub fn points(&self) -> u64 {
        self.points.load(Ordering::SeqCst)
    }

    /// The world's own time, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.born_ms.saturating_add(i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX))
    }

    async fn point(&self) -> Result<(), Lost> {
        if self.dead.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let point = self.points.fetch_add(1, Ordering::SeqCst);
        if self.fate.death == Some(point) {
            self.world.at(self.now_ms()).tell(Kind::Fault, || format!("the process dies at its call {point}"));
            self.dead.store(true, Ordering::SeqCst);
            self.died.notify_one();
            return std::future::pending().await;
        }
        if self.fate.failure == Some(point) {
            drop(self.disturbed(0));
            return Err(Lost);
        }
        match &self.fate.noise {
            Some((noise, _)) => self.noisy(*noise, point).await,
            None => Ok(()),
        }
    }

    async fn noisy(&self, noise: Noise, point: u64) -> Result<(), Lost> {
        if self.now_ms() >= self.calm_ms {
            return Ok(());
        }
        let (drawn, late_ms) = {
            let mut random = self.noise.lock().unwrap_or_else(PoisonError::into_inner);
            (random.below(1_000_000), random.between(1, noise.late_ms))
        };
        if drawn < noise.lost {
            self.disturbed(0).tell(Kind::Fault, || format!("the answer to call {point} is lost"));
            return Err(Lost);
        }
        if drawn < noise.lost + noise.late {
            self.disturbed(late_ms).tell(Kind::Fault, || format!("call {point} takes {late_ms} ms longer"));
            sleep_ms(late_ms).await;
        }
        Ok(())
    }

    fn disturbed(&self, for_ms: i64) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.world.at(self.now_ms());
        let now_ms = state.now_ms;
        state.check.disturbed = true;
        state.check.excuse(now_ms.saturating_add(for_ms));
        state
    }

    /// What a part that is not well does to a call.
    async fn troubled(&self, part: Part) -> Result<(), Lost> {
        let now_ms = self.now_ms();
        let Some((trouble, to_ms)) = self.world.at(now_ms).trouble_at(part) else { return Ok(()) };
        match trouble {
            Trouble::Silent(_) if to_ms == i64::MAX => std::future::pending().await,
            Trouble::Silent(_) => {
                drop(self.disturbed(to_ms - now_ms));
                sleep_ms(to_ms - now_ms).await;
                Err(Lost)
            }
            Trouble::Slow(_, ms) => {
                drop(self.disturbed(ms));
                sleep_ms(ms).await;
                Ok(())
            }
            Trouble::Down(_)
            | Trouble::Blind
            | Trouble::Stale
            | Trouble::HidesFailures
            | Trouble::InventsFailures
            | Trouble::CountersReset
            | Trouble::ReplicaCrash
            | Trouble::Clock(_) => {
                drop(self.disturbed(0));
                Err(Lost)
            }
        }
    }

    async fn call<R>(&self, part: Part, act: impl FnOnce(&mut State) -> R) -> Result<R, Lost> {
        self.point().await?;
        self.troubled(part).await?;
        let result = act(&mut self.world.at(self.now_ms()));
        self.point().await?;
        Ok(result)
    }
}

async fn sleep_ms(ms: i64) {
    tokio::time::sleep(Duration::from_millis(u64::try_from(ms).unwrap_or_default())).await;
}

impl Clock for Life {
    fn now(&self) -> Timestamp {
        self.world.at(self.now_ms()).wall()
    }
}

impl FlightIds for Life {
    fn next(&self) -> Option<FlightId> {
        self.world.at(self.now_ms()).next_id()
    }
}

#[async_trait]
impl EventLog for Life {
    async fn append(
        &self,
        flight: &FlightId,
        expected_version: u64,
        at: Timestamp,
        events: &[Event],
    ) -> Result<Vec<Recorded>, AppendError> {
        let appended = self.call(Part::Journal, |world| world.append(flight, expected_version, at, events)).await;
        let recorded = appended??;
        tokio::time::sleep(APPEND_TAKES).await;
        let mut world = self.world.at(self.now_ms());
        let now_ms = world.now_ms;
        world.check.acknowledge(&recorded, now_ms);
        Ok(recorded)
    }

    async fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Recorded>, AppendError> {
        let facts = self.call(Part::Journal, |world| world.read_after(sequence, limit)).await?;
        let mut world = self.world.at(self.now_ms());
        let now_ms = world.now_ms;
        world.check.acknowledge(&facts, now_ms);
        Ok(facts)
    }
}

#[async_trait]
impl Source for Life {
    async fn heads(&self) -> Result<Vec<Head>, PortError> {
        let heads = |world: &mut State| {
            let service = world.service.service.clone();
            world.head().map(|commit| Head { service, branch: "main".into(), commit }).into_iter().collect()
        };
        Ok(self.call(Part::Source, heads).await?)
    }

    async fn opened(&self, head: &Head) -> Result<Opened, PortError> {
        let opened = |world: &mut State| Opened {
            service: head.service.clone(),
            commit: head.commit.clone(),
            branch: head.branch.clone(),
            subject: world.push_of(&head.commit).map_or_else(String::new, |push| format!("Change {}", push.commit)),
            author: Person { name: "Dora".into(), email: "dora@example.com".into() },
            committed_at: Timestamp::UNIX_EPOCH,
            work: world.push_of(&head.commit).filter(|push| push.fix).map(|_| Work::Fix),
        };
        Ok(self.call(Part::Source, opened).await?)
    }

    async fn file(&self, _: &ServiceName, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, PortError> {
        let config = |world: &mut State| (path == "prograde.yaml").then(|| world.config_of(commit).into_bytes());
        Ok(self.call(Part::Source, config).await?)
    }

    async fn files(&self, _: &ServiceName, _: &CommitId, folder: &str) -> Result<Files, PortError> {
        Ok(self.call(Part::Source, |_| Files::from([(format!("{folder}.yaml"), Vec::new())])).await?)
    }
}

#[async_trait]
impl Scanner for Life {
    async fn scan(&self, _: &ServiceName, _: &CommitId, _: Option<&CommitId>) -> Result<ScanReport, PortError> {
        Ok(self.call(Part::Pipelines, |_| ScanReport::default()).await?)
    }
}

#[async_trait]
impl Pipelines for Life {
    async fn check(&self, _: &ServiceName, _: &CommitId) -> Result<(), PortError> {
        Ok(self.call(Part::Pipelines, |_| ()).await?)
    }

    async fn run(
        &self,
        build: Build,
        facts: mpsc::Sender<JobFact>,
        _: CancellationToken,
    ) -> Result<Option<String>, PortError> {
        for job in ["ci.yml/build", "ci.yml/test"].map(str::to_owned) {
            if build.finished.contains_key(&job) {
                continue;
            }
            let fact = JobFact::Started { job: job.clone() };
            facts.send(fact).await.map_err(|_| PortError::Passing("nobody listens".into()))?;
            let ended = |fact: &Event| matches!(fact, Event::JobFinished { job: ended, .. } if *ended == job);
            self.call(Part::Pipelines, |world| {
                if world.journal.iter().any(|r| r.flight == build.flight && ended(&r.event)) {
                    world.broke(Invariant::Idempotent, format!("{job} had ended and ran again"));
                }
            })
            .await?;
            let result = JobRecord {
                conclusion: JobConclusion::Success,
                tolerated: false,
                outputs: [("by".to_owned(), job.clone())].into(),
                duration_ms: 1,
                detail: None,
            };
            let fact = JobFact::Finished { job, result };
            facts.send(fact).await.map_err(|_| PortError::Passing("nobody listens".into()))?;
        }
        let fails = |world: &mut State| world.push_of(&build.opened.commit).is_some_and(|p| p.character.pipeline_fails);
        Ok(self.call(Part::Pipelines, fails).await?.then(|| "job ci.yml/test failed".to_owned()))
    }
}

#[async_trait]
impl Images for Life {
    async fn make(&self, flight: &Flight, member: &Member) -> Result<Release, PortError> {
        let make = |world: &mut State| {
            world.done(Part::Images);
            let image = world.push_of(flight.commit()).map_or(0, |push| push.image);
            let digest = world.digest_of(image, &member.name);
            Release { commit: flight.commit().clone(), digest, size_bytes: 1, service: None, evidence: None }
        };
        Ok(self.call(Part::Images, make).await?)
    }

    async fn vouched(&self, _: &ServiceName, _: &Release) -> Result<(), PortError> {
        Ok(self.call(Part::Images, |_| ()).await?)
    }
}

#[async_trait]
impl Deployments for Life {
    async fn check(&self, _: &Target, _: &str, _: &Files, _: &[Unconfined]) -> Result<Checked, PortError> {
        let (notices, digest) = (Vec::new(), Digest::from_sha256([0; 32]));
        let checked = |_: &mut State| Checked { notices, digest, policies: PolicyAnswers::default() };
        Ok(self.call(Part::Git, checked).await?)
    }

    async fn commit(&self, deployment: Deployment) -> Result<Committed, PortError> {
        let commit = self.call(Part::Git, |world| world.deploy(deployment)).await?;
        Ok(Committed { commit, policies: PolicyAnswers::default() })
    }

    async fn propose(&self, deployment: Deployment) -> Result<CommitId, PortError> {
        Ok(self.call(Part::Git, |world| world.git.propose(&deployment)).await?)
    }

    async fn revert(&self, revert: Revert) -> Result<CommitId, PortError> {
        self.call(Part::Git, |world| world.revert(&revert)).await?
    }

    async fn workload(&self, commit: &CommitId, _: &Target) -> Result<Workload, PortError> {
        let known = |world: &mut State| world.git.has(commit).then(|| world.workload.clone());
        let found = self.call(Part::Git, known).await?;
        found.ok_or_else(|| PortError::Final(format!("there is no commit {commit}")))
    }
}

#[async_trait]
impl Measures for Life {
    async fn measure(&self, measurement: &Measurement) -> Result<Found, MeasureError> {
        let found = self.call(Part::Prober, |world| world.measure(measurement)).await;
        found.map_err(|Lost| MeasureError::Unreachable("the answer was lost".into()))
    }
}

#[async_trait]
impl Runtime for Life {
    async fn apply(&self, target: &Target, versions: Vec<RunVersion>, routing: Routing) -> Result<(), PortError> {
        let asked = {
            let mut world = self.world.at(self.now_ms());
            let asked = world.mutated(target, versions);
            if !self.dead.load(Ordering::SeqCst) {
                world.check_asked(target, &asked, &routing);
            }
            asked
        };
        self.call(Part::Runtime, |world| world.apply(target, &asked, &routing)).await?;
        self.world.changed.send_modify(|n| *n += 1);
        Ok(())
    }

    fn observe(&self, target: &Target) -> Observation {
        self.world.at(self.now_ms()).show(target)
    }

    async fn usage(&self, target: &Target) -> Vec<ReplicaUse> {
        let now_ms = self.now_ms();
        self.world.at(now_ms).cluster.usage(target, now_ms)
    }

    /// One address for each target: the port is its place in the list of all.
    fn addresses(&self, target: &Target) -> Vec<(Option<String>, SocketAddr)> {
        let world = self.world.at(self.now_ms());
        let place = world.targets().iter().position(|other| other == target);
        let port = place.and_then(|place| u16::try_from(place + 1).ok());
        port.map(|port| (None, SocketAddr::from(([127, 0, 0, 1], port)))).into_iter().collect()
    }

    fn version_addresses(&self, _: &Target, _: &FlightId) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.world.changed.subscribe()
    }
}

/// Only migrations come here: what is measured has no jobs in this world. One whose process dies is ended with it, as the
/// next one would do.
#[async_trait]
impl Jobs for Life {
    async fn run(&self, job: JobRun) -> Result<JobEnd, String> {
        let lost = |Lost| "the answer was lost".to_owned();
        let (target, flight) = (&job.target, &job.flight);
        let takes_ms = self.call(Part::Runtime, |world| world.begin_migration(target, flight)).await.map_err(lost)?;
        sleep_ms(takes_ms).await;
        self.call(Part::Runtime, |world| world.end_migration(target, flight)).await.map_err(lost)
    }
}

#[async_trait]
impl Prober for Life {
    async fn get(&self, address: SocketAddr, _: &str) -> Result<u16, String> {
        let status = |world: &mut State| {
            let targets = world.targets();
            let target = targets.get(usize::from(address.port()).saturating_sub(1));
            target.map_or(503, |target| world.status(target))
        };
        self.call(Part::Prober, status).await.map_err(|Lost| "the answer was lost".to_owned())
    }
}

/// Asked before each look, and answered from what is known: no call that a process could die in.
#[async_trait]
impl Gatekeeper for Life {
    async fn held(&self) -> Result<Holds, PortError> {
        if self.dead.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        self.world.at(self.now_ms()).held()
    }
}

#[async_trait]
impl Notifier for Life {
    async fn notify(&self, notice: &Notice) -> Vec<(String, Result<(), String>)> {
        let tell = |world: &mut State| {
            if world.mutant != Some(Mutant::TellsNobody) {
                world.notices.push(notice.clone());
            }
        };
        let told = self.call(Part::Notifier, tell).await;
        vec![("log".into(), told.map_err(|Lost| "the answer was lost".to_owned()))]
    }
}
