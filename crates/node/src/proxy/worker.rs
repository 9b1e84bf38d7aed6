//! A worker: one thread with an event loop of its own, and all that the connections given to it share.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::LocalOptions;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client::{Accepted, Open, serve};
use super::endpoint::Endpoint;
use super::mirror::Copies;
use super::options::{ProxyError, ProxyOptions};
use super::pool::{Limits, Pool};
use super::trace_context::TraceIds;
use super::upstream::Upstream;

/// Connections that may be on their way to a worker.
const HANDOVER_MAX: usize = 256;

/// How many tasks are run before the system is asked what has happened meanwhile.
const EVENT_INTERVAL: u32 = 1024;

/// What the connections of one worker share.
pub(super) struct Worker {
    pub(super) options: Arc<ProxyOptions>,
    pub(super) pool: Rc<Pool>,
    pool_limits: Limits,
    pub(super) trace_ids: TraceIds,
    pub(super) server: hyper::server::conn::http1::Builder,
    /// Connections and tunnels: what a shutdown waits for.
    pub(super) tasks: TaskTracker,
    /// What it does not wait for.
    pub(super) housekeeping: TaskTracker,
    /// Copies of requests, which are among it.
    pub(super) copies: Copies,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("tasks", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Worker {
    fn new(options: Arc<ProxyOptions>, tasks: TaskTracker) -> Self {
        let mut server = hyper::server::conn::http1::Builder::new();
        server
            // `Client` watches the time itself, without a timer for each request.
            .header_read_timeout(None)
            .max_header_size(options.header_bytes_max)
            .max_buf_size(options.header_bytes_max)
            // Aggregated flushes lose the last answer where a client has sent more than was read.
            .pipeline_flush(false);
        let pool_limits = Limits { per_endpoint: options.upstream_idle_max, idle: options.upstream_idle_timeout };
        Self {
            options,
            pool: Rc::default(),
            pool_limits,
            trace_ids: TraceIds::new(),
            server,
            tasks,
            housekeeping: TaskTracker::new(),
            copies: Copies::default(),
        }
    }

    /// Keeps a connection for the next request to its endpoint, if it can have one.
    pub(super) fn keep(&self, endpoint: &Arc<Endpoint>, upstream: Box<Upstream>, now: Instant) {
        if self.pool.put(endpoint, upstream, &self.pool_limits, now) {
            self.housekeeping.spawn_local(Rc::clone(&self.pool).watch(Arc::clone(endpoint)));
        }
    }
}

/// A worker as the accepting thread sees it.
#[derive(Debug, Clone)]
pub(super) struct WorkerHandle {
    accepted: mpsc::Sender<Accepted>,
    open: Arc<AtomicUsize>,
}

impl WorkerHandle {
    /// Starts the thread. The receiver resolves when it has ended.
    pub(super) fn start(
        index: usize,
        options: Arc<ProxyOptions>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Result<(Self, oneshot::Receiver<()>), ProxyError> {
        let (accepted, mut incoming) = mpsc::channel::<Accepted>(HANDOVER_MAX);
        let (started, start) = std::sync::mpsc::sync_channel(1);
        let (ended, end) = oneshot::channel();
        let run = move || {
            // All that the system has reported is worked off before it is asked again: fewer calls, larger batches.
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .event_interval(EVENT_INTERVAL)
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => {
                    // The other end waits for it.
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let _ = started.send(Ok(()));
            runtime.block_on(async move {
                let worker = Rc::new(Worker::new(options, tasks));
                while let Some(Some(accepted)) = stop.run_until_cancelled(incoming.recv()).await {
                    worker.tasks.spawn_local(serve(Rc::clone(&worker), accepted));
                }
                stop.cancelled().await;
            });
            drop(runtime);
            // Nobody may be waiting for it.
            let _ = ended.send(());
        };
        std::thread::Builder::new().name(format!("proxy-{index}")).spawn(run).map_err(ProxyError::Thread)?;
        start.recv().unwrap_or(Err(std::io::ErrorKind::BrokenPipe.into())).map_err(ProxyError::Thread)?;
        Ok((Self { accepted, open: Arc::default() }, end))
    }

    /// Connections at this worker.
    pub(super) fn load(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Marks a connection as this worker's.
    pub(super) fn open(&self) -> Open {
        Open::new(&self.open)
    }

    /// Hands a connection over; drops it when the worker is stopping.
    pub(super) async fn accept(&self, accepted: Accepted) {
        if self.accepted.send(accepted).await.is_err() {
            tracing::debug!("connection accepted while stopping");
        }
    }
}
