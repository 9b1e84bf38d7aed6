//! One life of the controllers' process: its clock, its way to the world, and where it ends. Every call passes a point
//! before and one after what it does; at the chosen point the process dies, or the call fails.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use prograde_control::Clock;
use prograde_control::ports::{
    AppendError, Build, Checked, Deployment, Deployments, EventLog, Files, Head, Images, JobFact, MeasureError,
    Measurement, Measures, Notice, Notifier, Pipelines, PortError, Prober, Revert, RunVersion, Runtime, Source,
};
use prograde_model::event::{Event, JobConclusion, JobRecord, Opened, Person, Recorded};
use prograde_model::ids::{CommitId, Digest, FlightId, ServiceName, Target};
use prograde_model::metric::{Found, MetricSource};
use prograde_model::release::Release;
use prograde_model::runtime::{Observation, Routing};
use prograde_model::service::Service;
use prograde_model::workload::Workload;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::world::{State, World, commit, digest, workload};
use crate::{APPEND_TAKES, config};

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing, ever.
    None,
    /// The process dies there: nothing that it awaits comes back, and whatever it calls later does nothing.
    Death(u64),
    /// The call fails there, which may be before or after it did its work.
    Failure(u64),
}

/// The call's answer is lost.
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
pub(crate) struct Life {
    world: Arc<World>,
    fault: Fault,
    points: AtomicU64,
    dead: AtomicBool,
    died: Notify,
    born: Timestamp,
    started: Instant,
}

impl Life {
    pub(crate) fn new(world: &Arc<World>, fault: Fault) -> Self {
        Self {
            world: Arc::clone(world),
            fault,
            points: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            died: Notify::new(),
            born: world.copy().now,
            started: Instant::now(),
        }
    }

    pub(crate) async fn died(&self) {
        self.died.notified().await;
    }

    /// How many points it has passed.
    pub(crate) fn points(&self) -> u64 {
        self.points.load(Ordering::SeqCst)
    }

    async fn point(&self) -> Result<(), Lost> {
        if self.dead.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let point = self.points.fetch_add(1, Ordering::SeqCst);
        match self.fault {
            Fault::Death(at) if at == point => {
                self.dead.store(true, Ordering::SeqCst);
                self.died.notify_one();
                std::future::pending().await
            }
            Fault::Failure(at) if at == point => Err(Lost),
            Fault::None | Fault::Death(_) | Fault::Failure(_) => Ok(()),
        }
    }

    /// A call to a part of the world that may be down for a while.
    async fn call_up<R>(&self, what: &str, act: impl FnOnce(&mut State) -> R) -> Result<R, Lost> {
        let until = self.world.at(self.now()).down.get(what).copied();
        if until.is_some_and(|until| self.now() < until) {
            return Err(Lost);
        }
        self.call(act).await
    }

    async fn call<R>(&self, act: impl FnOnce(&mut State) -> R) -> Result<R, Lost> {
        self.point().await?;
        let result = act(&mut self.world.at(self.now()));
        self.point().await?;
        Ok(result)
    }
}

impl Clock for Life {
    fn now(&self) -> Timestamp {
        self.born + SignedDuration::try_from(self.started.elapsed()).unwrap()
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
        let recorded = self.call_up("journal", |world| world.append(flight, expected_version, at, events)).await?;
        tokio::time::sleep(APPEND_TAKES).await;
        recorded
    }

    async fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Recorded>, AppendError> {
        let facts = self.call(|world| {
            world.journal.iter().filter(|r| r.sequence > sequence).take(limit).cloned().collect::<Vec<_>>()
        });
        Ok(facts.await?)
    }
}

#[async_trait]
impl Source for Life {
    async fn heads(&self) -> Result<Vec<Head>, PortError> {
        if self.world.at(self.now()).silent {
            return std::future::pending().await;
        }
        let head = |letter| Head { service: "pad".parse().unwrap(), branch: "main".into(), commit: commit(letter) };
        Ok(self.call(|world| world.head.map(head).into_iter().collect()).await?)
    }

    async fn opened(&self, head: &Head) -> Result<Opened, PortError> {
        let opened = |_: &mut State| Opened {
            service: head.service.clone(),
            commit: head.commit.clone(),
            branch: head.branch.clone(),
            subject: "Change something".into(),
            author: Person { name: "Ann".into(), email: "ann@example.com".into() },
            committed_at: Timestamp::UNIX_EPOCH,
        };
        Ok(self.call(opened).await?)
    }

    async fn file(&self, _: &ServiceName, _: &CommitId, path: &str) -> Result<Option<Vec<u8>>, PortError> {
        let config = |world: &mut State| (path == "prograde.yaml").then(|| config(world.approvals).into_bytes());
        Ok(self.call(config).await?)
    }

    async fn files(&self, _: &ServiceName, _: &CommitId, folder: &str) -> Result<Files, PortError> {
        Ok(self.call(|_| Files::from([(format!("{folder}.yaml"), Vec::new())])).await?)
    }
}

#[async_trait]
impl Pipelines for Life {
    async fn check(&self, _: &ServiceName, _: &CommitId) -> Result<(), PortError> {
        Ok(self.call(|_| ()).await?)
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
            self.call(|world| {
                if world.journal.iter().any(|r| r.flight == build.flight && ended(&r.event)) {
                    world.broken.push(format!("{job} had ended and ran again"));
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
        Ok(self.call(|_| None).await?)
    }
}

#[async_trait]
impl Images for Life {
    async fn make(&self, _: &FlightId, opened: &Opened, _: &Service) -> Result<Release, PortError> {
        let release = Release { commit: opened.commit.clone(), digest: digest(&opened.commit), size_bytes: 1 };
        let make = |world: &mut State| {
            world.done("image");
            release
        };
        Ok(self.call(make).await?)
    }
}

#[async_trait]
impl Deployments for Life {
    async fn check(&self, _: &Target, _: &str, _: &Files) -> Result<Checked, PortError> {
        let checked = Checked { notices: Vec::new(), digest: Digest::from_sha256([0; 32]) };
        Ok(self.call(|_| checked).await?)
    }

    async fn commit(&self, deployment: Deployment) -> Result<CommitId, PortError> {
        Ok(self.call(|world| world.commit(&deployment)).await?)
    }

    async fn revert(&self, revert: Revert) -> Result<CommitId, PortError> {
        self.call(|world| world.revert(&revert)).await?
    }

    async fn workload(&self, commit: &CommitId, _: &Target) -> Result<Workload, PortError> {
        let known = self.call_up("git", |world| world.git.iter().any(|(id, ..)| id == commit)).await?;
        if known { Ok(workload()) } else { Err(PortError::Final(format!("there is no commit {commit}"))) }
    }
}

#[async_trait]
impl Runtime for Life {
    async fn apply(&self, target: &Target, versions: Vec<RunVersion>, _: Routing) -> Result<(), PortError> {
        self.call(|world| world.apply(target, versions)).await?;
        self.world.changed.send_modify(|n| *n += 1);
        Ok(())
    }

    fn observe(&self, target: &Target) -> Observation {
        self.world.at(self.now()).observe(target)
    }

    fn addresses(&self, target: &Target) -> Vec<(Option<String>, SocketAddr)> {
        let port = if target.environment.as_str() == "production" { 2 } else { 1 };
        vec![(None, SocketAddr::from(([127, 0, 0, 1], port)))]
    }

    fn version_addresses(&self, _: &Target, _: &FlightId) -> Vec<SocketAddr> {
        Vec::new()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.world.changed.subscribe()
    }
}

#[async_trait]
impl Prober for Life {
    async fn get(&self, address: SocketAddr, _: &str) -> Result<u16, String> {
        let environment = if address.port() == 2 { "production" } else { "test" };
        self.call(|world| world.status(environment)).await.map_err(|Lost| "the answer was lost".to_owned())
    }
}

#[async_trait]
impl Measures for Life {
    async fn measure(&self, measurement: &Measurement) -> Result<Found, MeasureError> {
        let MetricSource::Prometheus(query) = &measurement.source else {
            return Err(MeasureError::Answer("nobody declared that".into()));
        };
        let measured = self.call(|world| world.measure(&measurement.flight, &query.query)).await;
        measured.map_err(|Lost| MeasureError::Unreachable("the answer was lost".into()))
    }
}

#[async_trait]
impl Notifier for Life {
    async fn notify(&self, notice: &Notice) -> Vec<(String, Result<(), String>)> {
        let told = self.call(|world| world.notices.push(notice.clone())).await;
        vec![("log".into(), told.map_err(|Lost| "the answer was lost".to_owned()))]
    }
}
