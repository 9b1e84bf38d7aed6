//! One version of a target: whether it is wanted, and what was counted for it.

use std::sync::Arc;

use prograde_model::Weight;
use tokio::time::{Duration, Instant};

use crate::ledger::Entry;
use crate::proxy::VersionCounters;
use crate::spec::Spec;

/// How long the counters of a version that nobody wants stay observable, unless the target's versions change before.
const KEPT: Duration = Duration::from_hours(1);

/// A version that is wanted, runs, or was counted for.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) counters: Arc<VersionCounters>,
    /// Copies of requests that others answered.
    pub(super) mirrored: Arc<VersionCounters>,
    /// Restarts of replicas that are gone.
    pub(super) restarts_gone: u32,
    pub(super) wanted: Option<Wanted>,
    unwanted_since: Instant,
}

/// What is wanted of a version.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) spec: Arc<Spec>,
    pub(super) replicas: u32,
    pub(super) weight: Weight,
}

impl Version {
    /// A version of which nothing was counted.
    pub(super) fn new() -> Self {
        let (counters, mirrored) = (Arc::default(), Arc::default());
        Self { counters, mirrored, restarts_gone: 0, wanted: None, unwanted_since: Instant::now() }
    }

    /// A version with what an earlier node counted.
    pub(super) fn restored(entry: &Entry) -> Self {
        let version = Self { restarts_gone: entry.restarts, ..Self::new() };
        version.counters.restore(entry.counters, &entry.latencies);
        version.mirrored.restore((&entry.mirrored).into(), &entry.mirrored.latencies);
        version
    }

    pub(super) fn weight(&self) -> Weight {
        self.wanted.as_ref().map_or(Weight::ZERO, |wanted| wanted.weight)
    }

    pub(super) fn forsake(&mut self) {
        if self.wanted.take().is_some() {
            self.unwanted_since = Instant::now();
        }
    }

    /// Since when nobody wants it.
    pub(super) fn unwanted_since(&self) -> Option<Instant> {
        self.wanted.is_none().then_some(self.unwanted_since)
    }

    /// Whether it still says something about requests that nobody may have looked at yet.
    pub(super) fn is_worth_keeping(&self, now: Instant) -> bool {
        let requests = [&self.counters, &self.mirrored].map(|counters| counters.snapshot().requests);
        self.wanted.is_some() || (requests != [0, 0] && now.duration_since(self.unwanted_since) < KEPT)
    }
}
