//! A routing table: which versions there are, and which of them a request goes to.

use std::sync::Arc;

use http::HeaderMap;
use prograde_model::{FlightId, Weight};

use super::counters::VersionCounters;
use super::endpoint::Endpoint;
use super::rules::Rules;

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
    /// Where copies of requests that others answer are counted.
    pub mirrored: Arc<VersionCounters>,
}

/// Where a request stands in the route's sequence: decides its version, and seeds the choice of replicas.
#[derive(Debug, Clone, Copy)]
pub(super) struct Draw(pub(super) u64);

impl Draw {
    /// The point scaled to 0..`below`.
    pub(super) fn scaled(self, below: u64) -> u64 {
        u64::try_from((u128::from(self.0) * u128::from(below)) >> 64).unwrap_or(0)
    }

    /// A number that has nothing to do with the point any more (the finaliser of `SplitMix64`).
    pub(super) fn hashed(self) -> u64 {
        let mut z = self.0 ^ 0x5851_F42D_4C95_7F2D;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

/// What of a request decides where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) draw: Draw,
    /// Looked at only where there are rules.
    pub(super) headers: &'a HeaderMap,
}

/// The versions that have an endpoint, and the rules by which requests are told apart beyond their weights.
#[derive(Debug, Default)]
pub(super) struct Table {
    versions: Vec<RouteVersion>,
    weights: u64,
    /// Absent where there are none: then a request costs nothing more than the draw.
    rules: Option<Box<Rules>>,
}

impl Table {
    /// A table of `versions`, with rules made for just these.
    pub(super) fn new(mut versions: Vec<RouteVersion>, rules: Option<Box<Rules>>) -> Self {
        versions.retain(|version| !version.endpoints.is_empty());
        let weights = versions.iter().map(|version| u64::from(version.weight.percent())).sum();
        Self { versions, weights, rules }
    }

    /// Whether any requests are copied.
    pub(super) fn has_mirror(&self) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.mirror.is_some())
    }

    /// The version for a request that none has been tried for.
    pub(super) fn version(&self, ask: Ask<'_>) -> Option<&RouteVersion> {
        let Some(rules) = &self.rules else { return self.drawn(ask.draw) };
        if let Some(version) = rules.audience(ask.headers).and_then(|revision| self.find(revision)) {
            return Some(version);
        }
        let Some(user) = rules.user(ask.headers) else { return self.drawn(ask.draw) };
        // A user whose version can't serve is drawn once more among the others, and always the same one of them.
        self.find(user.version).or_else(|| self.drawn(Draw(Draw(user.point).hashed())))
    }

    /// The version for a request that a replica of the one counted by `counters` did not get: the same where that may
    /// still have it.
    pub(super) fn version_again(&self, ask: Ask<'_>, counters: &Arc<VersionCounters>) -> Option<&RouteVersion> {
        let is_same = |version: &&RouteVersion| Arc::ptr_eq(&version.counters, counters);
        let same = self.versions.iter().find(is_same);
        // One of weight 0 may have it only by a rule.
        same.filter(|version| version.weight > Weight::ZERO).or_else(|| self.version(ask))
    }

    /// The share of what the version counted by `counters` answers that is copied.
    pub(super) fn mirror_share(&self, counters: &Arc<VersionCounters>) -> Option<u64> {
        let share = self.rules.as_ref()?.mirror.as_ref()?.share;
        self.mirror().filter(|version| !Arc::ptr_eq(&version.counters, counters))?;
        Some(share.percent().into())
    }

    /// The version that gets copies.
    pub(super) fn mirror(&self) -> Option<&RouteVersion> {
        self.find(&self.rules.as_ref()?.mirror.as_ref()?.version)
    }

    fn find(&self, revision: &FlightId) -> Option<&RouteVersion> {
        self.versions.iter().find(|version| version.revision == *revision)
    }

    fn drawn(&self, draw: Draw) -> Option<&RouteVersion> {
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
pub(super) fn choose<'a>(
    endpoints: &'a [Arc<Endpoint>],
    draw: Draw,
    avoid: Option<&Endpoint>,
) -> Option<&'a Arc<Endpoint>> {
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
