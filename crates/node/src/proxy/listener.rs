//! Listening: one socket per Service port, accepted from by one thread for all workers.
//!
//! The socket is bound without `SO_REUSEPORT`, so that a port that is taken is an error and not a silent share of
//! somebody's traffic; connections are handed to the worker that has the fewest, which also splits few connections
//! evenly where the kernel's hash would not.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio::time::{Duration, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::Accepted;
use super::options::ProxyError;
use super::route::Route;
use super::worker::WorkerHandle;

/// Connections that the kernel keeps for us while all are busy.
const BACKLOG: i32 = 1024;

/// How long accepting pauses when the system has no more sockets or memory to give.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// A port that is listened on. Dropping it stops accepting at once and closes each of its connections when the request
/// on it is done.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    _close: DropGuard,
}

impl Listener {
    /// The address, with the port that the system chose where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What all connections of a listener share.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) route: Arc<Route>,
    shut: AtomicBool,
    shutting: CancellationToken,
}

impl Door {
    /// A door, and what its owner holds to keep it open; it also shuts when `drain` is cancelled.
    pub(super) fn open(
        address: SocketAddr,
        route: Arc<Route>,
        drain: &CancellationToken,
    ) -> (Self, Listener, CancellationToken) {
        let close = drain.child_token();
        let listener = Listener { address, _close: close.clone().drop_guard() };
        (Self { address, route, shut: AtomicBool::new(false), shutting: CancellationToken::new() }, listener, close)
    }

    fn shut(&self) {
        self.shut.store(true, Ordering::Release);
        self.shutting.cancel();
    }

    /// Whether connections are to end. Set before [`Door::shutting`] wakes anybody, and cheaper to ask than the token,
    /// which takes a lock.
    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    /// Wakes whoever waits for the door to shut.
    pub(super) fn shutting(&self) -> &CancellationToken {
        &self.shutting
    }
}

/// Binds a socket that does not block.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, ProxyError> {
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AddrInUse {
            ProxyError::AddressInUse { address }
        } else {
            ProxyError::Listen { address, source }
        }
    };
    let socket = TcpListener::bind(address).map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    // Sets the length of the queue anew: the standard library's is short.
    rustix::net::listen(&socket, BACKLOG).map_err(|error| failed(error.into()))?;
    Ok(socket)
}

/// Accepts until `close`, then shuts the door.
pub(super) async fn accept(
    socket: TcpListener,
    door: Arc<Door>,
    close: CancellationToken,
    slots: Arc<Semaphore>,
    workers: Vec<WorkerHandle>,
) {
    match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => {
            close.run_until_cancelled(accept_each(socket, &door, &slots, &workers)).await;
        }
        Err(error) => tracing::error!(address = %door.address, %error, "can't wait for connections"),
    }
    door.shut();
}

async fn accept_each(
    socket: tokio::net::TcpListener,
    door: &Arc<Door>,
    slots: &Arc<Semaphore>,
    workers: &[WorkerHandle],
) {
    while let Ok(permit) = Arc::clone(slots).acquire_owned().await {
        let (stream, peer) = next(&socket, door).await;
        let Some(worker) = workers.iter().min_by_key(|worker| worker.load()) else { return };
        let open = worker.open();
        worker.accept(Accepted { stream, peer, door: Arc::clone(door), permit, open }).await;
    }
}

/// The next connection, not bound to this thread's event loop. Errors concern one connection, or pass.
async fn next(socket: &tokio::net::TcpListener, door: &Door) -> (std::net::TcpStream, SocketAddr) {
    loop {
        let accepted = socket.accept().await;
        match accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer))) {
            Ok(accepted) => return accepted,
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {
            }
            Err(error) => {
                tracing::warn!(address = %door.address, %error, "can't accept a connection");
                sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}
