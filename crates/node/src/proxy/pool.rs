//! A worker's idle connections to replicas. Never shared between workers; never holds one that is known to be closed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

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

/// How many connections are kept, and for how long.
pub(super) struct Limits {
    pub(super) per_endpoint: usize,
    pub(super) idle: Duration,
}

struct Idle {
    upstream: Box<Upstream>,
    since: Instant,
    until: Instant,
}

impl Pool {
    /// A kept connection that was idle for at most `trust`, the last one used first.
    pub(super) fn take(&self, endpoint: &Endpoint, trust: Duration, now: Instant) -> Option<Box<Upstream>> {
        let mut endpoints = self.endpoints.borrow_mut();
        let idle = endpoints.get_mut(&endpoint.id())?;
        // The last one was idle for the shortest time: if it is too old, all are.
        while let Some(last) = idle.pop_if(|last| now.duration_since(last.since) <= trust) {
            if last.is_usable(endpoint, now) {
                return Some(last.upstream);
            }
        }
        None
    }

    /// Keeps a connection for the endpoint's next request, if it can have one. True for the first one of an endpoint:
    /// then [`Pool::watch`] must run for it.
    pub(super) fn put(&self, endpoint: &Endpoint, upstream: Box<Upstream>, limits: &Limits, now: Instant) -> bool {
        if !upstream.is_idle() || upstream.epoch != endpoint.idle_epoch() {
            return false;
        }
        // A second less than the replica says, as its closing and our next request would otherwise cross.
        let said = upstream.keep_alive.map_or(limits.idle, |said| said.saturating_sub(Duration::from_secs(1)));
        let mut endpoints = self.endpoints.borrow_mut();
        let first = !endpoints.contains_key(&endpoint.id());
        let kept = endpoints.entry(endpoint.id()).or_default();
        if kept.len() < limits.per_endpoint {
            kept.push(Idle { upstream, since: now, until: now + limits.idle.min(said) });
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
        let now = Instant::now();
        kept.retain(|idle| idle.is_usable(endpoint, now));
        if kept.is_empty() {
            endpoints.remove(&endpoint.id());
            return false;
        }
        true
    }
}

impl Idle {
    fn is_usable(&self, endpoint: &Endpoint, now: Instant) -> bool {
        self.upstream.epoch == endpoint.idle_epoch() && now < self.until && !self.upstream.is_closed()
    }
}
