//! A program of a version's image that runs once, beside its replicas, and ends by itself or at its time's end.
//!
//! It has what a replica has: image, environment, ports, a group of its own, and its output in the target's log. Its
//! directory is among those of replicas and has no record, so a node that starts after a crash kills what is left of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use prograde_model::workload::{EnvValue, Workload};
use prograde_model::{Digest, FlightId, Target};
use rustix::process::Signal;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::confine;
use crate::context::Context;
use crate::files::{private_dir, remove_dir};
use crate::image::ImageRoot;
use crate::launch::{Facts, Launch, StartError, Surroundings, causes};
use crate::logs::{LogStream, writer};
use crate::ports::{PortLease, PortMap, needed};
use crate::process::{Exit, Process};
use crate::spec::Spec;
use crate::sync::lock;

/// How long a job may take to end after it was told to.
const TERM_GRACE: Duration = Duration::from_secs(10);
/// How much of the end of an output is looked at for its last line.
const TAIL_BYTES: u64 = 4096;
/// Shorter values are no secrets, and would leave nothing legible.
const SECRET_CHARS_MIN: usize = 4;
/// What stands between a service's name and a job's number.
const INFIX: &str = "-job-";
/// Why a job has no end of its own.
const STOPPED: &str = "it was stopped";

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOrder {
    /// Whose.
    pub target: Target,
    /// Of which version.
    pub revision: FlightId,
    /// What is known of that.
    pub version: JobVersion,
    /// The arguments, in place of those of the image or the manifest.
    pub args: Vec<String>,
    /// Variables beside those of the workload.
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether it waits until a job of the target before it, which is so as well, is gone: not merely told to end.
    pub alone: bool,
}

/// What is known of a job's version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobVersion {
    /// All: it runs there, or is to run.
    Known,
    /// Nothing yet: it is this.
    New {
        /// Its image's digest.
        digest: Digest,
        /// How it is to run.
        workload: Box<Workload>,
        /// Its image.
        image: ImageRoot,
    },
}

/// The jobs that there are.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    /// Where those that must be alone wait for each other, by target.
    queues: Mutex<BTreeMap<Target, Arc<AsyncMutex<()>>>>,
    /// What they are started from, until they are gone.
    specs: Mutex<Vec<Weak<Spec>>>,
}

impl Jobs {
    fn queue(&self, target: &Target) -> Arc<AsyncMutex<()>> {
        Arc::clone(lock(&self.queues).entry(target.clone()).or_default())
    }

    fn begins(&self, spec: &Arc<Spec>) {
        let mut specs = lock(&self.specs);
        specs.retain(|spec| spec.strong_count() > 0);
        specs.push(Arc::downgrade(spec));
    }

    /// The images that they run.
    pub(crate) fn images(&self) -> BTreeSet<Digest> {
        lock(&self.specs).iter().filter_map(Weak::upgrade).map(|spec| spec.digest.clone()).collect()
    }
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEnd {
    /// With status 0.
    Passed,
    /// Otherwise, or not in time: why, with the last line that it wrote. Holds no value of a `Secret`.
    Failed(String),
}

/// A job that runs.
struct Running {
    context: Arc<Context>,
    id: String,
    dir: PathBuf,
    process: Process,
    _lease: PortLease,
    /// Held until it is gone.
    _turn: Option<OwnedMutexGuard<()>>,
}

/// Runs a job to its end. When the caller goes away, it is ended too.
pub(crate) async fn run(context: Arc<Context>, spec: Arc<Spec>, order: JobOrder) -> Result<JobEnd, String> {
    context.jobs.begins(&spec);
    let cancel = context.stop.child_token();
    let _gone = cancel.clone().drop_guard();
    let (told, ended) = oneshot::channel();
    // A task of its own: a job whose caller goes away while it is being started is ended all the same.
    let tasks = context.tasks.clone();
    tasks.spawn(async move {
        let started = begin(context, Arc::clone(&spec), &order, &cancel).await;
        match started {
            Ok(running) => attend(running, &spec, order.timeout, &cancel, told).await,
            // Nobody may wait any more.
            Err(error) => drop(told.send(Err(error))),
        }
    });
    ended.await.unwrap_or_else(|_| Err("the job ended badly".to_owned()))
}

async fn begin(
    context: Arc<Context>,
    spec: Arc<Spec>,
    order: &JobOrder,
    cancel: &CancellationToken,
) -> Result<Running, String> {
    let stopped = || STOPPED.to_owned();
    let queue = order.alone.then(|| context.jobs.queue(&order.target));
    let turn = match queue {
        Some(queue) => Some(cancel.run_until_cancelled(queue.lock_owned()).await.ok_or_else(stopped)?),
        None => None,
    };
    if cancel.is_cancelled() {
        return Err(stopped());
    }
    let order = order.clone();
    let started = tokio::task::spawn_blocking(move || start(&context, &spec, &order, turn)).await;
    started.map_err(|error| error.to_string())?.map_err(|error| causes(&error))
}

async fn attend(
    mut running: Running,
    spec: &Spec,
    time: Duration,
    cancel: &CancellationToken,
    told: oneshot::Sender<Result<JobEnd, String>>,
) {
    let failed = |what: &str, dir: &Path| Ok(JobEnd::Failed(failure(what, dir, &secrets(spec))));
    let exit = cancel.run_until_cancelled(timeout(time, running.process.ended())).await;
    let end_of = match exit {
        Some(Ok(Exit::Status(0))) => Ok(JobEnd::Passed),
        Some(Ok(exit)) => failed(&exit.to_string(), &running.dir),
        Some(Err(_)) => failed(&format!("did not end within {} s", time.as_secs_f64()), &running.dir),
        None => Err(STOPPED.to_owned()),
    };
    // Whoever waits is told before a job that is late has been brought to its end.
    let _nobody_waits = told.send(end_of);
    end(running).await;
}

/// Whether that is the name of a job's directory, not of a replica's.
pub(crate) fn is_job(name: &str) -> bool {
    name.rsplit_once(INFIX)
        .is_some_and(|(_, number)| number.len() == 16 && number.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Touches the disk. The directory is there before the process is, so that a later node finds both.
fn start(
    context: &Arc<Context>,
    spec: &Spec,
    order: &JobOrder,
    turn: Option<OwnedMutexGuard<()>>,
) -> Result<Running, StartError> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).map_err(|error| StartError::Files(io::Error::other(error)))?;
    let id = format!("{}{INFIX}{:016x}", order.target.service, u64::from_le_bytes(number));
    let dir = context.replica_dir(&id);
    private_dir(&dir).map_err(StartError::Files)?;
    let started = launch(context, spec, order, &id).and_then(|(launch, lease)| {
        let stdout = writer(&dir, LogStream::Stdout.as_str()).map_err(StartError::Files)?;
        let stderr = writer(&dir, LogStream::Stderr.as_str()).map_err(StartError::Files)?;
        context.logs.register(&id, &order.target, &order.revision, &dir).map_err(StartError::Files)?;
        let program = launch.arguments.first().cloned().unwrap_or_default();
        let way = confine::way(context, spec, &launch, &dir)?;
        let process = Process::start(&way, &launch, &context.options.container_program, (stdout, stderr))
            .map_err(|error| StartError::Execute(program, error))?;
        Ok((process, lease))
    });
    match started {
        Ok((process, lease)) => {
            Ok(Running { context: Arc::clone(context), id, dir, process, _lease: lease, _turn: turn })
        }
        Err(error) => {
            forget(context, &id, &dir);
            Err(error)
        }
    }
}

fn launch(context: &Context, spec: &Spec, order: &JobOrder, id: &str) -> Result<(Launch, PortLease), StartError> {
    let mut container = spec.workload.container.clone();
    container.args = Some(order.args.clone());
    container.env.extend(order.env.iter().map(|(name, value)| (name.clone(), EnvValue::Plain(value.clone()))));
    let lease = context.pool.lease(needed(&spec.workload).len()).map_err(StartError::Ports)?;
    let ports = PortMap::new(&spec.workload, &lease.ports);
    let namespace = order.target.environment.as_str();
    let facts = Facts { name: id, namespace, ports: &ports, path: &context.options.path };
    let launch = Surroundings::new(&spec.image, &container, &facts)?.main(&spec.image, &container)?;
    Ok((launch, lease))
}

/// Ends what still runs, keeps the rest of its output, and removes its files.
async fn end(mut running: Running) {
    // Nothing happens to one that has ended.
    running.process.signal(Signal::TERM);
    let killed = running.context.kill.clone();
    let in_time = killed.run_until_cancelled(timeout(TERM_GRACE, running.process.ended())).await;
    if !matches!(in_time, Some(Ok(_))) {
        running.process.signal(Signal::KILL);
        running.process.ended().await;
    }
    let done = tokio::task::spawn_blocking(move || forget(&running.context, &running.id, &running.dir)).await;
    if let Err(error) = done {
        tracing::warn!(%error, "a job's files can't be removed");
    }
}

fn forget(context: &Context, id: &str, dir: &Path) {
    context.logs.flush(id, true);
    if let Err(error) = remove_dir(dir) {
        tracing::warn!(path = %dir.display(), %error, "a job's files can't be removed");
    }
}

fn secrets(spec: &Spec) -> Vec<String> {
    let secret = |(_, value): &(String, EnvValue)| match value {
        EnvValue::Secret(text) if text.chars().count() >= SECRET_CHARS_MIN => Some(text.clone()),
        EnvValue::Secret(_) | EnvValue::Plain(_) | EnvValue::Field(_) => None,
    };
    spec.workload.container.env.iter().filter_map(secret).collect()
}

/// What happened, with the last line that was written, to standard error rather than output.
fn failure(what: &str, dir: &Path, secrets: &[String]) -> String {
    let said = [LogStream::Stderr, LogStream::Stdout].into_iter().find_map(|stream| last_line(dir, stream));
    let Some(mut said) = said else { return what.to_owned() };
    for secret in secrets {
        said = said.replace(secret.as_str(), "***");
    }
    format!("{what}: {said}")
}

fn last_line(dir: &Path, stream: LogStream) -> Option<String> {
    let file = File::open(dir.join(stream.as_str())).ok()?;
    let size = file.metadata().ok()?.len();
    let mut tail = vec![0; usize::try_from(size.min(TAIL_BYTES)).ok()?];
    file.read_exact_at(&mut tail, size.saturating_sub(TAIL_BYTES)).ok()?;
    // What was taken into the log already may have been given back to the disk, and reads as zeros.
    let text = String::from_utf8_lossy(&tail).replace('\0', "");
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}
