//! The node as its owner sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::Stream;
use prograde_confine::Machine;
use prograde_model::runtime::{Desired, Observation};
use prograde_model::{Digest, FlightId, Target};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use crate::check::check;
use crate::confine;
use crate::context::Context;
use crate::deployment::Deployment;
use crate::error::NodeError;
use crate::files::private_dir;
use crate::image::ImageRoot;
use crate::job::{self, JobEnd, JobOrder, JobVersion};
use crate::ledger::{self, Entry};
use crate::logs::{self, LogKeeper, LogLine, LogQuery};
use crate::options::NodeOptions;
use crate::pod::PodSeen;
use crate::ports::PortPool;
use crate::proxy::Proxy;
use crate::service_ports::PortBook;
use crate::spec::Spec;
use crate::survivor::{self, Survivor};
use crate::sync::lock;
use crate::usage::{ReplicaSeen, ReplicaUsage};

/// How often replicas' output is read.
const LOG_PERIOD: Duration = Duration::from_millis(100);
/// How often counters are written.
const LEDGER_PERIOD: Duration = Duration::from_secs(1);
/// How long it may take until a port that was closed is free again, and how often it is tried.
const CLOSE_MAX: Duration = Duration::from_secs(2);
const CLOSE_PERIOD: Duration = Duration::from_millis(10);
/// How long the last tasks may take once everything has been killed.
const END_MAX: Duration = Duration::from_secs(40);

/// Runs the versions of services on this machine as processes, behind the proxy. Cheap to clone.
///
/// Replicas are children of this program but do not depend on it: when it dies, or is dropped without
/// [`Node::shutdown`], they run on, and the next [`Node::start`] on the same data directory takes them over. (A service
/// manager must let them: systemd needs `KillMode=process`.)
///
/// A replica must listen on the port in its environment variable `PORT` (or `PORT_<NAME>` for a named container port),
/// on 127.0.0.1 or all addresses: replicas share this machine's network, so the manifest's `containerPort` is only a
/// name for a port that the node chooses. They also share its file system: paths other than the program's own are
/// those of the machine.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    context: Arc<Context>,
    deployments: Mutex<BTreeMap<Target, Arc<Deployment>>>,
    ports: Arc<PortBook>,
    /// Gone once the node shuts down.
    proxy: Mutex<Option<Arc<Proxy>>>,
    /// Held as long as the data directory is used.
    _lock: File,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("data_dir", &self.shared.context.options.data_dir).finish_non_exhaustive()
    }
}

/// What was found in the data directory.
struct Found {
    lock: File,
    context: Arc<Context>,
    ports: PortBook,
    entries: Vec<Entry>,
    survivors: Vec<Survivor>,
}

impl Node {
    /// Starts the node and takes over the replicas that survived the death of the one before. They serve again once
    /// [`Node::apply`] says that they are wanted; until then nothing happens to them.
    pub async fn start(options: NodeOptions) -> Result<Self, NodeError> {
        let proxy = Proxy::start(options.proxy.clone())?;
        let path = options.data_dir.clone();
        let opened = tokio::task::spawn_blocking(move || open(options)).await;
        let Found { lock, context, ports, entries, survivors } =
            opened.map_err(|error| failed(&path)(std::io::Error::other(error)))??;
        let mut deployments = BTreeMap::new();
        let mut deployment = |target: &Target| {
            let new = || Deployment::new(target.clone(), Arc::clone(&context));
            Arc::clone(deployments.entry(target.clone()).or_insert_with(new))
        };
        for entry in entries {
            deployment(&entry.target).restore(entry);
        }
        for survivor in survivors {
            deployment(&survivor.record.target).survived(survivor);
        }
        let shared = Arc::new(Shared {
            context: Arc::clone(&context),
            deployments: Mutex::new(deployments),
            ports: Arc::new(ports),
            proxy: Mutex::new(Some(Arc::new(proxy))),
            _lock: lock,
        });
        context.tasks.spawn(keep_logs(Arc::clone(&context)));
        context.tasks.spawn(keep_ledger(Arc::clone(&shared)));
        Ok(Self { shared })
    }

    /// Makes `desired` what should run for its target: all of it, not a change to it. Idempotent, and cheap when
    /// nothing changed.
    ///
    /// When this returns the weights are in force, whatever the replicas do; it does not wait for any to be ready.
    /// `images` holds the images of the versions; those given before and still in use may be left out. An error about a
    /// port leaves everything else done; calling again tries the port again. After any other error nothing has changed.
    pub async fn apply(&self, desired: Desired, images: BTreeMap<Digest, ImageRoot>) -> Result<(), NodeError> {
        check(&desired, &self.shared.context.options)?;
        let proxy = lock(&self.shared.proxy).clone().ok_or(NodeError::Stopping)?;
        let target = desired.target.clone();
        let deployment = self.deployment(&target);
        let mut open = Arc::clone(&deployment.open).lock_owned().await;
        if self.shared.context.stop.is_cancelled() {
            return Err(NodeError::Stopping);
        }
        deployment.set(desired, images).map_err(|digest| NodeError::MissingImage { target, digest })?;
        if deployment.is_listening(&open) {
            return Ok(());
        }
        let begun = Instant::now();
        loop {
            let (ports, deployment, proxy) =
                (Arc::clone(&self.shared.ports), Arc::clone(&deployment), Arc::clone(&proxy));
            let listen = move || (ports.listen(&deployment, &mut open, &proxy), open);
            let listened = tokio::task::spawn_blocking(listen).await;
            let path = &self.shared.context.options.data_dir;
            let (result, returned) = listened.map_err(|error| failed(path)(std::io::Error::other(error)))?;
            open = returned;
            match result {
                // A port that this node has just closed is free in a moment.
                Err(NodeError::PortInUse { port, .. })
                    if begun.elapsed() < CLOSE_MAX && self.shared.ports.is_closing(port) =>
                {
                    sleep(CLOSE_PERIOD).await;
                }
                other => return other,
            }
        }
    }

    fn deployment(&self, target: &Target) -> Arc<Deployment> {
        let new = || Deployment::new(target.clone(), Arc::clone(&self.shared.context));
        Arc::clone(lock(&self.shared.deployments).entry(target.clone()).or_insert_with(new))
    }

    fn known(&self, target: &Target) -> Option<Arc<Deployment>> {
        lock(&self.shared.deployments).get(target).cloned()
    }

    /// Every target of which something runs or is wanted, survivors of the node before included. One that should not be
    /// there any more is ended by applying a [`Desired`] without versions.
    pub fn targets(&self) -> Vec<Target> {
        let deployments = lock(&self.shared.deployments);
        deployments.iter().filter(|(_, deployment)| !deployment.is_vacant()).map(|(target, _)| target.clone()).collect()
    }

    /// What is seen of `target` now; nothing for one that is unknown. Takes microseconds.
    pub fn observe(&self, target: &Target) -> Observation {
        self.known(target).map(|deployment| deployment.observe()).unwrap_or_default()
    }

    /// Where the target's Service ports are, with their names; last, under the name `preview`, the one where only the
    /// version of [`Routing::preview`](prograde_model::runtime::Routing) answers.
    pub fn addresses(&self, target: &Target) -> Vec<(Option<String>, SocketAddr)> {
        self.known(target).map(|deployment| deployment.addresses()).unwrap_or_default()
    }

    /// What the target's replicas use of the machine now, those without a process left out. Reads a small
    /// file of `/proc` for each process of the machine, at most once a second for all targets.
    pub fn usage(&self, target: &Target) -> Vec<ReplicaUsage> {
        self.known(target).map(|deployment| deployment.usage()).unwrap_or_default()
    }

    /// Where one version's ready replicas answer for the Service's first port, past the proxy and its weights: what is
    /// asked there is not counted as a user's request.
    pub fn replica_addresses(&self, target: &Target, revision: &FlightId) -> Vec<SocketAddr> {
        self.known(target).map(|deployment| deployment.replica_addresses(revision)).unwrap_or_default()
    }

    /// Runs a program of a version's image once, as its replicas are run, and waits until it has ended. It is ended when
    /// its time is over, or the caller goes away. An error says why it could not be started, or that it was stopped with
    /// the node.
    pub async fn run_job(&self, mut order: JobOrder) -> Result<JobEnd, String> {
        let spec = match std::mem::replace(&mut order.version, JobVersion::Known) {
            JobVersion::New { digest, workload, image } => {
                Arc::new(Spec::new(order.revision.clone(), digest, *workload, image))
            }
            JobVersion::Known => {
                let spec = self.known(&order.target).and_then(|deployment| deployment.spec(&order.revision));
                spec.ok_or_else(|| format!("version {} is not to run in {}", order.revision, order.target))?
            }
        };
        job::run(Arc::clone(&self.shared.context), spec, order).await
    }

    /// The target's replicas that are not on their way out, those without a process included.
    pub fn replicas(&self, target: &Target) -> Vec<ReplicaSeen> {
        self.known(target).map(|deployment| deployment.staying()).unwrap_or_default()
    }

    /// All targets' replicas that have a process and are to stay, with what their pod templates say.
    pub fn pods(&self) -> Vec<(Target, PodSeen)> {
        let deployments: Vec<(Target, Arc<Deployment>)> =
            lock(&self.shared.deployments).iter().map(|(target, known)| (target.clone(), Arc::clone(known))).collect();
        let of = |(target, deployment): (Target, Arc<Deployment>)| {
            deployment.pods().into_iter().map(move |pod| (target.clone(), pod))
        };
        deployments.into_iter().flat_map(of).collect()
    }

    /// The images that a replica or a job runs, or is to be started from.
    pub fn images(&self) -> BTreeSet<Digest> {
        let deployments: Vec<Arc<Deployment>> = lock(&self.shared.deployments).values().cloned().collect();
        let mut images = self.shared.context.jobs.images();
        images.extend(deployments.iter().flat_map(|deployment| deployment.images()));
        images
    }

    /// What this machine can give to containers, as it was when the node started.
    pub fn machine(&self) -> &Machine {
        &self.shared.context.machine
    }

    /// Moves whenever an observation changes in anything but its counters.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.context.changed()
    }

    /// The lines that the target's replicas wrote, those of replicas that are gone included, as far as they are kept.
    pub async fn logs(&self, target: &Target, query: LogQuery) -> impl Stream<Item = LogLine> + Send + use<> {
        let context = &self.shared.context;
        logs::stream(Arc::clone(&context.logs), target, query, context.closed.clone()).await
    }

    /// Stops everything: the proxy takes no more requests and lets those on their way end, replicas are told to stop,
    /// and after `grace` what is left is killed. Later calls of [`Node::apply`] are refused.
    pub async fn shutdown(self, grace: Duration) {
        let shared = self.shared;
        let context = &shared.context;
        let deadline = Instant::now() + grace;
        let proxy = lock(&shared.proxy).take();
        if let Some(proxy) = proxy {
            // An endless answer must not take the replicas' time to end in order.
            shut_proxy(proxy, deadline - grace / 2).await;
        }
        // No replica is created from here on: `stop` is looked at under the lock that creates them.
        context.stop.cancel();
        let deployments: Vec<Arc<Deployment>> = lock(&shared.deployments).values().cloned().collect();
        deployments.iter().for_each(Deployment::retire_survivors);
        let replicas_gone = async {
            while deployments.iter().any(|deployment| deployment.has_replicas()) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::pin!(replicas_gone);
        if timeout_at(deadline, &mut replicas_gone).await.is_err() {
            context.kill.cancel();
            if timeout(END_MAX, replicas_gone).await.is_err() {
                tracing::error!("replicas are left that can't be killed");
            }
        }
        confine::forget_node(&context.options.data_dir);
        context.closed.cancel();
        context.tasks.close();
        if timeout(END_MAX, context.tasks.wait()).await.is_err() {
            tracing::error!(left = context.tasks.len(), "tasks of the node do not end");
        }
    }
}

/// Waits for whoever is just about to listen, then lets the requests end.
async fn shut_proxy(mut proxy: Arc<Proxy>, deadline: Instant) {
    loop {
        match Arc::try_unwrap(proxy) {
            Ok(proxy) => return proxy.shutdown(deadline.saturating_duration_since(Instant::now())).await,
            Err(shared) if Instant::now() >= deadline => {
                drop(shared);
                return;
            }
            Err(shared) => proxy = shared,
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> NodeError + use<> {
    let path = path.to_owned();
    move |source| NodeError::DataDir { path, source }
}

/// Locks the data directory and reads what is in it. Touches the disk.
fn open(mut options: NodeOptions) -> Result<Found, NodeError> {
    let dir = options.data_dir.clone();
    private_dir(&dir).map_err(failed(&dir))?;
    // The system names open files by their true path: strays are found by it.
    let dir = dir.canonicalize().map_err(failed(&dir))?;
    options.data_dir.clone_from(&dir);
    let lock = lock_dir(&dir)?;
    let replicas = dir.join("replicas");
    private_dir(&replicas).map_err(failed(&replicas))?;

    let ports_path = dir.join("ports.json");
    let ports = PortBook::open(&ports_path).map_err(failed(&ports_path))?;
    let entries = ledger::read(&ledger_path(&dir)).unwrap_or_else(|error| {
        tracing::warn!(%error, "counters of the node before can't be read, they start at zero");
        Vec::new()
    });
    let logs = LogKeeper::new(dir.join("logs"), options.log_bytes_max);
    let mut seed = [0; 2];
    // Without randomness two nodes on one machine try the same ports first, and find out.
    let _unneeded = getrandom::fill(&mut seed);
    let pool = PortPool::new(options.replica_ports.clone(), u16::from_le_bytes(seed));
    let survivors = survivor::find(&replicas, &logs).map_err(failed(&replicas))?;
    let known = survivors.iter().map(|survivor| survivor.record.id.clone()).collect();
    confine::end_strays(&replicas, &known);
    let context = Context::new(options, logs, pool, Machine::survey());
    Ok(Found { lock, context, ports, entries, survivors })
}

fn lock_dir(dir: &Path) -> Result<File, NodeError> {
    let path = dir.join("lock");
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| NodeError::DataDir { path: path.clone(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(NodeError::DataDirInUse { path: dir.to_owned() }),
        Err(error) => Err(NodeError::DataDir { path, source: error.into() }),
    }
}

fn ledger_path(dir: &Path) -> PathBuf {
    dir.join("versions.json")
}

/// Reads what replicas write until the node has ended.
async fn keep_logs(context: Arc<Context>) {
    let mut more = false;
    loop {
        let pause = if more { Duration::ZERO } else { LOG_PERIOD };
        if context.closed.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
        let logs = Arc::clone(&context.logs);
        more = tokio::task::spawn_blocking(move || logs.poll()).await.unwrap_or(false);
    }
}

/// Writes the counters when they have changed, and a last time when the node has ended.
async fn keep_ledger(shared: Arc<Shared>) {
    let context = Arc::clone(&shared.context);
    let mut written = Vec::new();
    let mut failing = false;
    loop {
        let is_last = context.closed.run_until_cancelled(sleep(LEDGER_PERIOD)).await.is_none();
        let deployments: Vec<Arc<Deployment>> = lock(&shared.deployments).values().cloned().collect();
        let entries: Vec<Entry> = deployments.iter().flat_map(|deployment| deployment.ledger()).collect();
        if entries != written {
            let (path, copy) = (ledger_path(&context.options.data_dir), entries.clone());
            match tokio::task::spawn_blocking(move || ledger::write(&path, &copy)).await {
                Ok(Ok(())) => (written, failing) = (entries, false),
                Ok(Err(error)) => {
                    if !failing {
                        tracing::warn!(%error, "counters can't be written");
                    }
                    failing = true;
                }
                Err(_stopping) => return,
            }
        }
        if is_last {
            return;
        }
    }
}
