//! The route to one Service port: which version gets the next request, and which of its replicas.
//!
//! The split is a Weyl sequence, not a draw of lots. The n-th request of a route stands at the fractional part of n/φ;
//! each version owns a stretch of [0, 1) as long as its weight. Of all sequences this one spreads its points most
//! evenly: after any number of requests every version has had its share to within three requests, so that a canary
//! at 1% is seen by the first hundred requests and never by five in a row, and the judge's sample arrives steadily.
//! A rotation over a list of slots would be as even, but beats with the clients' own rhythm: where every second
//! request is a POST, an even list of slots gives one version all of them. Every evenly spaced subsequence of a Weyl
//! sequence is again one, so such traffic is split fairly too.
//!
//! The position belongs to the route, not to the table: a table that is set often does not start over.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prograde_model::Target;
use prograde_model::runtime::Routing;

use super::counters::VersionCounters;
use super::endpoint::Endpoint;
use super::rules::{Rules, Salt};
use super::table::{Ask, Draw, RouteVersion, Table, choose};

/// 2^64 / φ, the step of the Weyl sequence with the golden ratio; odd, so that it visits all of 2^64.
const GOLDEN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Where the requests to one Service port go. Shared by the listener and whoever knows the replicas.
#[derive(Debug, Default)]
pub struct Route {
    table: Mutex<Arc<Table>>,
    /// How often the table was set. Workers compare it with the one their copy is of.
    generation: AtomicU64,
    sequence: AtomicU64,
    /// As `sequence`, of the requests that may be copied.
    mirror_sequence: AtomicU64,
    unserved: AtomicU64,
    uncopied: AtomicU64,
    salt: Salt,
}

impl Route {
    /// A route to nothing: every request is answered 503. All ports of `target` know its users alike.
    pub fn new(target: &Target) -> Self {
        Self { salt: Salt::new(target), ..Self::default() }
    }

    /// Replaces the table at once. Requests on their way finish where they are; every later one sees only `versions`.
    ///
    /// A version of weight 0 gets nothing but its audiences, not even when no other can serve. The share of a version
    /// without endpoints goes to the others by their weights. Of `routing`, `preview` is not for this route to follow.
    pub fn set(&self, versions: Vec<RouteVersion>, routing: &Routing) {
        let rules = Rules::new(routing, &versions, self.salt);
        let table = Arc::new(Table::new(versions, rules));
        let mut current = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        *current = table;
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Requests answered 503 because no version could take them.
    pub fn unserved(&self) -> u64 {
        self.unserved.load(Ordering::Relaxed)
    }

    /// Requests that were to be copied and were not, because too many copies were on their way.
    pub fn uncopied(&self) -> u64 {
        self.uncopied.load(Ordering::Relaxed)
    }

    pub(super) fn count_unserved(&self) {
        self.unserved.fetch_add(1, Ordering::Relaxed);
    }

    /// The next request's point in [0, 2^64).
    pub(super) fn draw(&self) -> Draw {
        Draw(self.sequence.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN_STEP))
    }
}

/// A replica taken for one request: counted as in flight there until dropped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) counters: Arc<VersionCounters>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.end();
    }
}

/// A replica taken for a copy.
#[derive(Debug)]
pub(super) struct CopyLease {
    route: Arc<Route>,
    draw: Draw,
    pub(super) lease: Lease,
}

impl CopyLease {
    /// Takes another replica of the version, or the same once more if there is no other; false when the version can't
    /// have copies any more.
    pub(super) fn again(&mut self) -> bool {
        let again = RouteView::new(Arc::clone(&self.route)).take(|table| {
            let version = table.mirror().filter(|version| Arc::ptr_eq(&version.mirrored, &self.lease.counters))?;
            Some((&version.mirrored, choose(&version.endpoints, self.draw, Some(&self.lease.endpoint))?))
        });
        again.is_some_and(|lease| {
            self.lease = lease;
            true
        })
    }

    /// Notes that there will be no copy. Returns of how many requests there was none.
    pub(super) fn count_uncopied(&self) -> u64 {
        self.route.uncopied.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// One client connection's copy of the table, renewed when the route has a newer one.
#[derive(Debug)]
pub(super) struct RouteView {
    route: Arc<Route>,
    generation: Cell<u64>,
    table: RefCell<Arc<Table>>,
}

impl RouteView {
    pub(super) fn new(route: Arc<Route>) -> Self {
        let view = Self { route, generation: Cell::new(0), table: RefCell::default() };
        view.renew();
        view
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    fn renew(&self) {
        let current = self.route.table.lock().unwrap_or_else(PoisonError::into_inner);
        self.generation.set(self.route.generation.load(Ordering::SeqCst));
        *self.table.borrow_mut() = Arc::clone(&current);
    }

    /// Takes a replica by the newest table, or none where no version can serve.
    ///
    /// The replica is first counted as busy, then the generation is compared; `Route::set` first moves the generation,
    /// then its caller reads the count. Both orders are sequentially consistent, so either the caller sees the request
    /// or the request sees the new table: none can slip to a replica that was found idle.
    pub(super) fn lease(&self, ask: Ask<'_>) -> Option<Lease> {
        self.take(|table| {
            let version = table.version(ask)?;
            Some((&version.counters, choose(&version.endpoints, ask.draw, None)?))
        })
    }

    /// Takes a replica for a request that `failed` did not get: another one of the same version if there is one.
    pub(super) fn lease_again(&self, ask: Ask<'_>, failed: &Lease) -> Option<Lease> {
        self.take(|table| {
            let version = table.version_again(ask, &failed.counters)?;
            Some((&version.counters, choose(&version.endpoints, ask.draw, Some(&failed.endpoint))?))
        })
    }

    /// Whether some requests are copied.
    pub(super) fn has_mirror(&self) -> bool {
        self.table.borrow().has_mirror()
    }

    /// Takes a replica for a copy of the request that `original` was taken for, if it is to be copied.
    pub(super) fn lease_copy(&self, original: &Lease) -> Option<CopyLease> {
        let share = self.table.borrow().mirror_share(&original.counters)?;
        let position = self.route.mirror_sequence.fetch_add(1, Ordering::Relaxed);
        let draw = Draw(position.wrapping_mul(GOLDEN_STEP));
        if draw.scaled(100) >= share {
            return None;
        }
        let lease = self.take(|table| {
            let version = table.mirror().filter(|version| !Arc::ptr_eq(&version.counters, &original.counters))?;
            Some((&version.mirrored, choose(&version.endpoints, draw, None)?))
        })?;
        Some(CopyLease { route: Arc::clone(&self.route), draw, lease })
    }

    fn take(&self, pick: impl Fn(&Table) -> Option<(&Arc<VersionCounters>, &Arc<Endpoint>)>) -> Option<Lease> {
        // Each turn beyond the first means that the table was set in between, so this ends when its setter pauses.
        loop {
            if self.generation.get() != self.route.generation.load(Ordering::SeqCst) {
                self.renew();
            }
            let table = self.table.borrow();
            let (counters, endpoint) = pick(&table)?;
            endpoint.begin();
            let lease = Lease { endpoint: Arc::clone(endpoint), counters: Arc::clone(counters) };
            if self.generation.get() == self.route.generation.load(Ordering::SeqCst) {
                return Some(lease);
            }
        }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
