//! One replica as the proxy knows it: an address, the requests it is working on, and the age of its idle connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::Notify;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Where one replica listens. The same `Endpoint` is given to [`Route::set`](super::Route::set) again and again for as
/// long as the replica lives, because it carries the replica's requests in flight and its pooled connections.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    id: u64,
    in_flight: AtomicUsize,
    idle_epoch: AtomicU64,
    idle_closed: Notify,
}

impl Endpoint {
    /// An endpoint without requests.
    pub fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            in_flight: AtomicUsize::new(0),
            idle_epoch: AtomicU64::new(0),
            idle_closed: Notify::new(),
        })
    }

    /// Where the replica listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests and upgraded connections that the replica is working on.
    ///
    /// Once the endpoint has been left out of a [`Route::set`](super::Route::set) that returned, a 0 read here is
    /// final: no request can still be on its way to the replica.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Closes the connections that are open to the replica and carry no request, now and on every worker; those that
    /// carry one are closed when it ends. To be called before the replica is told to stop: many servers wait for their
    /// idle connections. Later requests open new ones.
    pub fn close_idle(&self) {
        self.idle_epoch.fetch_add(1, Ordering::AcqRel);
        self.idle_closed.notify_waiters();
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Connections opened under an earlier epoch are not used again.
    pub(super) fn idle_epoch(&self) -> u64 {
        self.idle_epoch.load(Ordering::Acquire)
    }

    pub(super) fn idle_closed(&self) -> &Notify {
        &self.idle_closed
    }

    /// Sequentially consistent, as `Route` relies on it: see `RouteView::lease`.
    pub(super) fn begin(&self) {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
