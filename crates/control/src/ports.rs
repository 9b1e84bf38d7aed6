//! What the controllers need from the world. Each trait is named after what it does for them, and each method may be
//! called again with the same arguments after a crash, and then gives the same result.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_model::Diagnostics;
use prograde_model::confinement::Part;
use prograde_model::event::{Event, JobRecord, Opened, Person, Recorded};
use prograde_model::flight::Flight;
use prograde_model::gate::Holds;
use prograde_model::group::Member;
use prograde_model::ids::{CommitId, Digest, FlightId, ServiceName, Target, Weight};
use prograde_model::metric::{Found, MetricSource};
use prograde_model::policy::PolicyAnswers;
use prograde_model::release::{Evidence, Release};
use prograde_model::runtime::{Observation, Routing};
use prograde_model::scan::ScanReport;
use prograde_model::workload::Workload;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Files by path, as Git holds them.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a port did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// What a person wrote can't be used; asking again changes nothing.
    #[error(transparent)]
    Input(#[from] Diagnostics),
    /// It can't be done, and asking again changes nothing.
    #[error("{0}")]
    Final(String),
    /// It did not work this time.
    #[error("{0}")]
    Passing(String),
}

/// Why facts were not recorded.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The flight has moved on since the facts were decided.
    #[error("flight {flight} has moved on")]
    Conflict {
        /// Which.
        flight: FlightId,
    },
    /// The journal can't be written, or read.
    #[error("{0}")]
    Journal(String),
}

/// The journal, as far as the controllers use it.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends all of the facts, or none. `expected_version` is how many events the flight has.
    async fn append(
        &self,
        flight: &FlightId,
        expected_version: u64,
        at: Timestamp,
        events: &[Event],
    ) -> Result<Vec<Recorded>, AppendError>;

    /// At most `limit` facts after a sequence, in order; none only when there are no more.
    async fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Recorded>, AppendError>;
}

/// The newest commit of a service's repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The service.
    pub service: ServiceName,
    /// The branch whose commits fly.
    pub branch: String,
    /// Its newest commit.
    pub commit: CommitId,
}

/// Where commits come from.
#[async_trait]
pub trait Source: Send + Sync {
    /// The newest commit of every repository that has one.
    async fn heads(&self) -> Result<Vec<Head>, PortError>;
    /// What Git knows of a commit.
    async fn opened(&self, head: &Head) -> Result<Opened, PortError>;
    /// One file of a commit, if it is there.
    async fn file(&self, service: &ServiceName, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, PortError>;
    /// All files below a folder of a commit, by their path below it.
    async fn files(&self, service: &ServiceName, commit: &CommitId, folder: &str) -> Result<Files, PortError>;
}

/// Looks through what commits bring, before anything of them is built.
#[async_trait]
pub trait Scanner: Send + Sync {
    /// Looks through a commit's files, and through the commits since the last one that was let past. What may not be
    /// there is [`PortError::Input`].
    async fn scan(
        &self,
        service: &ServiceName,
        commit: &CommitId,
        since: Option<&CommitId>,
    ) -> Result<ScanReport, PortError>;
}

/// A fact from a running pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobFact {
    /// A job was started.
    Started {
        /// Which.
        job: String,
    },
    /// A job has ended.
    Finished {
        /// Which.
        job: String,
        /// How.
        result: JobRecord,
    },
}

/// A pipeline to run.
#[derive(Debug, Clone)]
pub struct Build {
    /// For which flight.
    pub flight: FlightId,
    /// What was pushed.
    pub opened: Opened,
    /// Which flight of its service it is, from 1.
    pub number: u64,
    /// The jobs that have ended before; they are not run again.
    pub finished: BTreeMap<String, JobRecord>,
}

/// Runs a repository's pipeline.
#[async_trait]
pub trait Pipelines: Send + Sync {
    /// Whether a commit's workflows can be run; called before anything is.
    async fn check(&self, service: &ServiceName, commit: &CommitId) -> Result<(), PortError>;
    /// Runs the jobs that have not ended. `Ok(None)` is success, `Ok(Some)` says what failed.
    async fn run(
        &self,
        build: Build,
        facts: mpsc::Sender<JobFact>,
        cancel: CancellationToken,
    ) -> Result<Option<String>, PortError>;
}

/// Makes images.
#[async_trait]
pub trait Images: Send + Sync {
    /// Makes the image of a service from what a flight's pipeline built.
    async fn make(&self, flight: &Flight, member: &Member) -> Result<Release, PortError>;

    /// Whether all vouches for a release that has to before it is deployed; [`PortError::Final`] says what is missing.
    async fn vouched(&self, service: &ServiceName, release: &Release) -> Result<(), PortError>;
}

/// A release to write into the deployment repository.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Where to.
    pub target: Target,
    /// The flight.
    pub flight: FlightId,
    /// The commit that it flies.
    pub commit: CommitId,
    /// Its image.
    pub digest: Digest,
    /// What vouches for the image, which was checked; none where it was made before images were signed.
    pub evidence: Option<Evidence>,
    /// Whether the commit was looked through, and let past.
    pub scanned: bool,
    /// The overlay below the manifests.
    pub overlay: String,
    /// The manifests.
    pub manifests: Files,
    /// Who wrote the commit.
    pub author: Person,
    /// First line of its message.
    pub subject: String,
    /// The commit by which a person merged it, where it was proposed.
    pub merged: Option<CommitId>,
    /// Now.
    pub at: Timestamp,
}

/// A release to take out of the deployment repository.
#[derive(Debug, Clone)]
pub struct Revert {
    /// Where from.
    pub target: Target,
    /// The flight.
    pub flight: FlightId,
    /// The commit that brought it.
    pub commit: CommitId,
    /// The commit that brought what is to be there again; none for what was there before.
    pub restore: Option<CommitId>,
    /// The commit that took it out before, for another release, where that was changed on the way.
    pub supersedes: Option<CommitId>,
    /// Why; goes into the commit's message.
    pub reason: String,
    /// Now.
    pub at: Timestamp,
}

/// Manifests that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What they ask that the runtime can't do and does not have to.
    pub notices: Vec<String>,
    /// Digest of what was rendered, less the image.
    pub digest: Digest,
    /// What the policies said.
    pub policies: PolicyAnswers,
}

/// A release that Git names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The commit by which it does.
    pub commit: CommitId,
    /// What the policies said before.
    pub policies: PolicyAnswers,
}

/// The deployment repository.
#[async_trait]
pub trait Deployments: Send + Sync {
    /// Renders manifests without writing them, and asks the policies in force of them. What they ask the runtime for must be
    /// there, save for the parts that may be missing.
    async fn check(
        &self,
        target: &Target,
        overlay: &str,
        manifests: &Files,
        unconfined: &[Part],
    ) -> Result<Checked, PortError>;
    /// Writes on a branch of its own what [`Deployments::commit`] would write, if the policies in force let it. A later
    /// flight's takes the place of an earlier one's.
    async fn propose(&self, deployment: Deployment) -> Result<CommitId, PortError>;
    /// Writes a release, if the policies in force let it; the same flight and target give the same commit. Where a person
    /// has merged it, that is the commit.
    async fn commit(&self, deployment: Deployment) -> Result<Committed, PortError>;
    /// Takes a release out again; the same flight and target give the same commit.
    async fn revert(&self, revert: Revert) -> Result<CommitId, PortError>;
    /// What a commit says should run at a target.
    async fn workload(&self, commit: &CommitId, target: &Target) -> Result<Workload, PortError>;
}

/// One version to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunVersion {
    /// The flight that brought it.
    pub flight: FlightId,
    /// Its image.
    pub digest: Digest,
    /// How to run it.
    pub workload: Workload,
    /// How many replicas.
    pub replicas: u32,
    /// Its share of traffic.
    pub weight: Weight,
}

/// What one replica has used so far, and uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaUse {
    /// The replica's name.
    pub replica: String,
    /// Its version.
    pub revision: FlightId,
    /// Whether it is ready now.
    pub ready: bool,
    /// Microseconds of processor time since its process was started; none while it has no process.
    pub cpu_us: Option<u64>,
    /// Bytes of memory in use now; none while it has no process.
    pub memory_bytes: Option<u64>,
}

/// Runs workloads.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Makes a target run just these versions, the stable one first. Returns when weights and routing are in force.
    async fn apply(&self, target: &Target, versions: Vec<RunVersion>, routing: Routing) -> Result<(), PortError>;
    /// What is seen there.
    fn observe(&self, target: &Target) -> Observation;
    /// What the replicas there use, those on their way out left out.
    async fn usage(&self, target: &Target) -> Vec<ReplicaUse>;
    /// Where the service can be reached.
    fn addresses(&self, target: &Target) -> Vec<(Option<String>, SocketAddr)>;
    /// Where one version can be reached past the weights, such as its ready replicas; none while there is no such place.
    fn version_addresses(&self, target: &Target, version: &FlightId) -> Vec<SocketAddr>;
    /// Changes when something other than a counter does.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// Asks a service.
#[async_trait]
pub trait Prober: Send + Sync {
    /// The status that a GET is answered with.
    async fn get(&self, address: SocketAddr, path: &str) -> Result<u16, String>;
}

/// Something to measure, with all that a provider may want to know.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// How, with the placeholders filled in.
    pub source: MetricSource,
    /// Where the rollout goes on.
    pub target: Target,
    /// The candidate.
    pub flight: FlightId,
    /// The candidate's commit.
    pub commit: CommitId,
    /// The step, from 0.
    pub step: u32,
    /// The candidate's share of traffic.
    pub weight: Weight,
    /// When the step began.
    pub since: Timestamp,
    /// Where the candidate can be reached past the weights.
    pub addresses: Vec<SocketAddr>,
    /// How long it may take.
    pub timeout: Duration,
    /// Now, by the controllers' clock.
    pub at: Timestamp,
}

/// Why a measurement could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// No answer came in time.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The provider refuses.
    #[error("answered {status}{}", colon(.detail))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The provider's words, if it has any.
        detail: String,
    },
    /// What came is not what was asked for.
    #[error("{0}")]
    Answer(String),
    /// The bearer token can't be had.
    #[error("{0}")]
    Token(String),
    /// There is nobody to ask.
    #[error("no replica of the candidate is ready")]
    NoReplica,
}

fn colon(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// Measures what a team has declared as a metric.
#[async_trait]
pub trait Measures: Send + Sync {
    /// Measures once. It may be asked for again at any time, and is given up after `timeout`.
    async fn measure(&self, measurement: &Measurement) -> Result<Found, MeasureError>;
}

/// A program of a version's image to run once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRun {
    /// Where.
    pub target: Target,
    /// The version.
    pub flight: FlightId,
    /// Where its image is known from.
    pub image: JobImage,
    /// The program's arguments.
    pub args: Vec<String>,
    /// Variables beside those of the workload.
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it waits until a job before it at the same place, which is so as well, has surely ended.
    pub alone: bool,
}

/// Where a job's image and its surroundings are known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobImage {
    /// The version runs there, or is to run.
    Running,
    /// The version does not run there yet.
    New {
        /// Its image.
        digest: Digest,
        /// How it is to run.
        workload: Box<Workload>,
    },
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// Well.
    Passed,
    /// Badly, or not in time.
    Failed {
        /// Why; holds no secret.
        reason: String,
    },
}

/// Runs jobs.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Runs one to its end; it is ended when nobody waits any more. An error says why it could not be started, or that it
    /// was stopped with what runs it.
    async fn run(&self, job: JobRun) -> Result<JobEnd, String>;
}

/// Something that people should know.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Notice {
    /// The flight.
    pub flight: FlightId,
    /// Its service.
    pub service: ServiceName,
    /// Its commit.
    pub commit: CommitId,
    /// Who wrote it.
    pub author: Person,
    /// What happened, in one sentence.
    pub text: String,
}

impl Notice {
    /// Of a flight.
    pub(crate) fn of(flight: &Flight, text: String) -> Self {
        Self {
            flight: flight.id.clone(),
            service: flight.service.clone(),
            commit: flight.commit().clone(),
            author: flight.opened.author.clone(),
            text,
        }
    }
}

/// Knows of something beside the journal that keeps releases out, such as a spent error budget.
#[async_trait]
pub trait Gatekeeper: Send + Sync {
    /// What keeps which releases out now. It is asked before each look, so it answers from what it knows already.
    async fn held(&self) -> Result<Holds, PortError>;
}

/// Tells people.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Tells over every channel; a channel and, if it did not take it, why.
    async fn notify(&self, notice: &Notice) -> Vec<(String, Result<(), String>)>;
}
