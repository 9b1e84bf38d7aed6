//! The proxy as its owner sees it: start, listen, shut down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::listener::{Door, Listener, accept, bind};
use super::options::{ProxyError, ProxyOptions};
use super::route::Route;
use super::worker::WorkerHandle;

/// How long threads may take to end once nothing is left to do.
const THREAD_END: Duration = Duration::from_secs(5);

/// The proxy's threads. Dropping it ends them at once, with all that they serve; see [`Proxy::shutdown`].
#[derive(Debug)]
pub struct Proxy {
    acceptor: Handle,
    workers: Vec<WorkerHandle>,
    /// Resolve as the threads end.
    ends: Vec<oneshot::Receiver<()>>,
    slots: Arc<Semaphore>,
    tasks: TaskTracker,
    /// Accept no more, and end each connection with its request.
    drain: CancellationToken,
    stop: DropGuard,
}

impl Proxy {
    /// Starts the threads: the workers and the one that accepts.
    pub fn start(options: ProxyOptions) -> Result<Self, ProxyError> {
        check(&options)?;
        let options = Arc::new(options);
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        // From here on an error stops the threads that have been started.
        let guard = stop.clone().drop_guard();
        let mut workers = Vec::with_capacity(options.workers);
        let mut ends = Vec::with_capacity(options.workers + 1);
        for index in 0..options.workers {
            let (worker, end) = WorkerHandle::start(index, Arc::clone(&options), tasks.clone(), stop.clone())?;
            workers.push(worker);
            ends.push(end);
        }
        let (acceptor, end) = start_acceptor(stop)?;
        ends.push(end);
        let slots = Arc::new(Semaphore::new(options.connections_max));
        Ok(Self { acceptor, workers, ends, slots, tasks, drain: CancellationToken::new(), stop: guard })
    }

    /// Listens on `address` and sends what arrives along `route`. The port is bound when this returns.
    pub fn listen(&self, address: SocketAddr, route: Arc<Route>) -> Result<Listener, ProxyError> {
        let socket = bind(address)?;
        let address = socket.local_addr().map_err(|source| ProxyError::Listen { address, source })?;
        let (door, listener, close) = Door::open(address, route, &self.drain);
        let accepting = accept(socket, Arc::new(door), close, Arc::clone(&self.slots), self.workers.clone());
        self.tasks.spawn_on(accepting, &self.acceptor);
        Ok(listener)
    }

    /// Stops accepting, lets requests and tunnels end for up to `grace`, then breaks off what is left and ends the
    /// threads.
    pub async fn shutdown(self, grace: Duration) {
        self.drain.cancel();
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!(left = self.tasks.len(), "connections are broken off");
        }
        drop(self.stop);
        for end in self.ends {
            // An error means that the thread is gone already.
            if timeout(THREAD_END, end).await.is_err() {
                tracing::error!("a proxy thread does not end");
            }
        }
    }
}

fn check(options: &ProxyOptions) -> Result<(), ProxyError> {
    if options.workers == 0 {
        return Err(ProxyError::Option { option: "workers", expected: "at least 1" });
    }
    if options.header_bytes_max < 8192 {
        return Err(ProxyError::Option { option: "header_bytes_max", expected: "at least 8192" });
    }
    if options.connections_max == 0 || options.connections_max > Semaphore::MAX_PERMITS {
        return Err(ProxyError::Option { option: "connections_max", expected: "at least 1 and not astronomic" });
    }
    if options.via.as_ref().is_some_and(|via| http::HeaderValue::try_from(via.as_str()).is_err()) {
        return Err(ProxyError::Option { option: "via", expected: "a valid header value" });
    }
    Ok(())
}

/// The thread that accepts for all listeners.
fn start_acceptor(stop: CancellationToken) -> Result<(Handle, oneshot::Receiver<()>), ProxyError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ProxyError::Thread)?;
    let handle = runtime.handle().clone();
    let (ended, end) = oneshot::channel();
    let run = move || {
        runtime.block_on(stop.cancelled());
        drop(runtime);
        // Nobody may be waiting for it.
        let _ = ended.send(());
    };
    std::thread::Builder::new().name("proxy-accept".to_owned()).spawn(run).map_err(ProxyError::Thread)?;
    Ok((handle, end))
}
