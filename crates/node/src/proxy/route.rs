//! The routing table: which version gets the next request, and which of its replicas.
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

use prograde_model::{FlightId, Weight};

use super::counters::VersionCounters;
use super::endpoint::Endpoint;

/// 2^64 / φ, the step of the Weyl sequence with the golden ratio; odd, so that it visits all of 2^64.
const GOLDEN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// One version in a routing table.
#[derive(Debug, Clone)]
pub struct RouteVersion {
    /// The flight that brought it.
    pub revision: FlightId,
    /// Its share of requests; those of a table sum to 100.
    pub weight: Weight,
    /// Its replicas, only those that are ready.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Where its requests are counted.
    pub counters: Arc<VersionCounters>,
}

/// Where the requests to one Service port go. Shared by the listener and whoever knows the replicas.
#[derive(Debug, Default)]
pub struct Route {
    table: Mutex<Arc<Table>>,
    /// How often the table was set. Workers compare it with the one their copy is of.
    generation: AtomicU64,
    sequence: AtomicU64,
    unserved: AtomicU64,
}

impl Route {
    /// A route to nothing: every request is answered 503.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces the table at once. Requests on their way finish where they are; every later one sees only `versions`.
    ///
    /// A version of weight 0 gets nothing, not even when no other can serve. The share of a version without endpoints
    /// goes to the others by their weights.
    pub fn set(&self, versions: Vec<RouteVersion>) {
        let table = Arc::new(Table::new(versions));
        let mut current = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        *current = table;
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// Requests answered 503 because no version could take them.
    pub fn unserved(&self) -> u64 {
        self.unserved.load(Ordering::Relaxed)
    }

    pub(super) fn count_unserved(&self) {
        self.unserved.fetch_add(1, Ordering::Relaxed);
    }

    /// The next request's point in [0, 2^64).
    pub(super) fn draw(&self) -> Draw {
        Draw(self.sequence.fetch_add(1, Ordering::Relaxed).wrapping_mul(GOLDEN_STEP))
    }
}

/// Where a request stands in the route's sequence: decides its version, and seeds the choice of replicas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw(u64);

impl Draw {
    /// The point scaled to 0..`below`.
    fn scaled(self, below: u64) -> u64 {
        u64::try_from((u128::from(self.0) * u128::from(below)) >> 64).unwrap_or(0)
    }

    /// A number that has nothing to do with the point any more (the finaliser of `SplitMix64`).
    fn hashed(self) -> u64 {
        let mut z = self.0 ^ 0x5851_F42D_4C95_7F2D;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// The versions that may get requests: of weight above 0 and with an endpoint.
#[derive(Debug, Default)]
struct Table {
    versions: Vec<RouteVersion>,
    weights: u64,
}

impl Table {
    fn new(mut versions: Vec<RouteVersion>) -> Self {
        versions.retain(|version| version.weight > Weight::ZERO && !version.endpoints.is_empty());
        let weights = versions.iter().map(|version| u64::from(version.weight.percent())).sum();
        Self { versions, weights }
    }

    fn version(&self, draw: Draw) -> Option<&RouteVersion> {
        let mut point = draw.scaled(self.weights);
        for version in &self.versions {
            let weight = u64::from(version.weight.percent());
            if point < weight {
                return Some(version);
            }
            point -= weight;
        }
        None
    }
}

/// The better of two replicas drawn at random, by requests in flight; `avoid` only where it is the only one.
/// Two choices come close to the best of all and, unlike it, don't send every worker to the same one.
fn choose<'a>(endpoints: &'a [Arc<Endpoint>], draw: Draw, avoid: Option<&Endpoint>) -> Option<&'a Arc<Endpoint>> {
    let count = u64::try_from(endpoints.len()).ok().filter(|count| *count > 0)?;
    let hash = draw.hashed();
    let first = hash % count;
    let second = if count > 1 { (first + 1 + (hash >> 32) % (count - 1)) % count } else { first };
    let at = |index: u64| usize::try_from(index).ok().and_then(|index| endpoints.get(index));
    let (first, second) = (at(first)?, at(second)?);
    let avoided = |endpoint: &Endpoint| avoid.is_some_and(|avoid| avoid.id() == endpoint.id());
    if avoided(first) || (!avoided(second) && second.in_flight() < first.in_flight()) {
        Some(second)
    } else {
        Some(first)
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
    pub(super) fn lease(&self, draw: Draw) -> Option<Lease> {
        self.take(|table| {
            let version = table.version(draw)?;
            Some((version, choose(&version.endpoints, draw, None)?))
        })
    }

    /// Takes a replica for a request that `failed` did not get: another one of the same version if there is one.
    pub(super) fn lease_again(&self, draw: Draw, failed: &Lease) -> Option<Lease> {
        self.take(|table| {
            let same = table.versions.iter().find(|version| Arc::ptr_eq(&version.counters, &failed.counters));
            let version = same.or_else(|| table.version(draw))?;
            Some((version, choose(&version.endpoints, draw, Some(&failed.endpoint))?))
        })
    }

    fn take(&self, pick: impl Fn(&Table) -> Option<(&RouteVersion, &Arc<Endpoint>)>) -> Option<Lease> {
        // Each turn beyond the first means that the table was set in between, so this ends when its setter pauses.
        loop {
            if self.generation.get() != self.route.generation.load(Ordering::SeqCst) {
                self.renew();
            }
            let table = self.table.borrow();
            let (version, endpoint) = pick(&table)?;
            endpoint.begin();
            let lease = Lease { endpoint: Arc::clone(endpoint), counters: Arc::clone(&version.counters) };
            if self.generation.get() == self.route.generation.load(Ordering::SeqCst) {
                return Some(lease);
            }
        }
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;
