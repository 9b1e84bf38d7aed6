//! What all of a node's parts share.

use std::path::PathBuf;
use std::sync::Arc;

use prograde_confine::Machine;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::job::Jobs;
use crate::logs::LogKeeper;
use crate::options::NodeOptions;
use crate::ports::PortPool;
use crate::usage::Processes;

/// The node's options, its keepers, and how it ends.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) options: NodeOptions,
    pub(crate) logs: Arc<LogKeeper>,
    pub(crate) pool: Arc<PortPool>,
    /// What can be given to containers here.
    pub(crate) machine: Machine,
    /// Every task of the node, so that a shutdown waits for it.
    pub(crate) tasks: TaskTracker,
    /// Replicas are to drain and stop, and no new ones start.
    pub(crate) stop: CancellationToken,
    /// The grace is over: what still runs is killed.
    pub(crate) kill: CancellationToken,
    /// All replicas are gone: keepers write for the last time and end.
    pub(crate) closed: CancellationToken,
    pub(crate) processes: Processes,
    pub(crate) jobs: Jobs,
    changed: watch::Sender<u64>,
}

impl Context {
    pub(crate) fn new(options: NodeOptions, logs: Arc<LogKeeper>, pool: Arc<PortPool>, machine: Machine) -> Arc<Self> {
        let (changed, _) = watch::channel(0);
        let [stop, kill, closed] = std::array::from_fn(|_| CancellationToken::new());
        let (tasks, processes, jobs) = (TaskTracker::new(), Processes::default(), Jobs::default());
        Arc::new(Self { options, logs, pool, machine, tasks, stop, kill, closed, processes, jobs, changed })
    }

    /// Where one replica's files are.
    pub(crate) fn replica_dir(&self, id: &str) -> PathBuf {
        self.options.data_dir.join("replicas").join(id)
    }

    /// Tells whoever waits that an observation is different now.
    pub(crate) fn bump(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Moves with every [`Context::bump`].
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
