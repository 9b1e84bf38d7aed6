//! A worker's idle connections to replicas. Never shared between workers; never holds one that is known to be closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::time::{Duration, Instant, sleep};

use super::endpoint::Endpoint;
use super::upstream::Upstream;

/// How often idle connections are looked at: bounds how long a closed one is kept.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// The idle connections of one worker, by endpoint.
#[derive(Default)]
pub(super) struct Pool {
    endpoints: RefCell<HashMap<u64, Vec<Idle>>>,
}

struct Idle {
    upstream: Box<Upstream>,
    since: Instant,
    until: Instant,
}

impl Pool {
    /// A kept connection that was idle for at most `trust`, the last one used first.
    pub(super) fn take(&self, endpoint: &Endpoint, trust: Duration) -> Option<Box<Upstream>> {
        let mut endpoints = self.endpoints.borrow_mut();
        let idle = endpoints.get_mut(&endpoint.id())?;
        // The last one was idle for the shortest time: if it is too old, all are.
        while let Some(last) = idle.pop_if(|last| last.since.elapsed() <= trust) {
            if last.is_usable(endpoint) {
                return Some(last.upstream);
            }
        }
        None
    }

    /// Keeps a connection for the endpoint's next request. True for the first one of an endpoint: then
    /// [`Pool::watch`] must run for it.
    pub(super) fn put(&self, endpoint: &Endpoint, mut upstream: Box<Upstream>, idle: Duration, max: usize) -> bool {
        if !upstream.is_reusable() {
            upstream.drive(&mut Context::from_waker(Waker::noop()));
        }
        if !upstream.is_reusable() || upstream.epoch != endpoint.idle_epoch() {
            return false;
        }
        // A second less than the replica says, as its closing and our next request would otherwise cross.
        let said = upstream.keep_alive.map_or(idle, |said| said.saturating_sub(Duration::from_secs(1)));
        let since = Instant::now();
        let mut endpoints = self.endpoints.borrow_mut();
        let first = !endpoints.contains_key(&endpoint.id());
        let kept = endpoints.entry(endpoint.id()).or_default();
        if kept.len() < max {
            kept.push(Idle { upstream, since, until: since + idle.min(said) });
        }
        first
    }

    /// Closes what must not be kept any longer: at once when the endpoint says so, else at the next sweep. Ends when
    /// nothing is kept.
    pub(super) async fn watch(self: Rc<Self>, endpoint: Arc<Endpoint>) {
        loop {
            let closed = endpoint.idle_closed().notified();
            if !self.sweep(&endpoint) {
                return;
            }
            tokio::select! {
                () = closed => {}
                () = sleep(SWEEP_PERIOD) => {}
            }
        }
    }

    /// Whether any connection is left.
    fn sweep(&self, endpoint: &Endpoint) -> bool {
        let mut endpoints = self.endpoints.borrow_mut();
        let Some(kept) = endpoints.get_mut(&endpoint.id()) else { return false };
        kept.retain_mut(|idle| {
            // What the replica sent meanwhile, most likely its closing, is seen only when looked for.
            idle.upstream.drive(&mut Context::from_waker(Waker::noop()));
            idle.is_usable(endpoint)
        });
        if kept.is_empty() {
            endpoints.remove(&endpoint.id());
            return false;
        }
        true
    }
}

impl Idle {
    fn is_usable(&self, endpoint: &Endpoint) -> bool {
        self.upstream.epoch == endpoint.idle_epoch() && Instant::now() < self.until && !self.upstream.ended()
    }
}
