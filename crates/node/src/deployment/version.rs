//! One version of a target: whether it is wanted, and what was counted for it.

use std::sync::Arc;

use prograde_model::Weight;
use prograde_model::runtime::Counters;
use tokio::time::{Duration, Instant};

use crate::proxy::VersionCounters;
use crate::spec::Spec;

/// How long the counters of a version that nobody wants stay observable, unless the target's versions change before.
const KEPT: Duration = Duration::from_hours(1);

/// A version that is wanted, runs, or was counted for.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) counters: Arc<VersionCounters>,
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
    /// A version with what was counted before.
    pub(super) fn new(counters: Counters, restarts_gone: u32) -> Self {
        let restored = VersionCounters::default();
        restored.restore(counters);
        Self { counters: Arc::new(restored), restarts_gone, wanted: None, unwanted_since: Instant::now() }
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
        self.wanted.is_some()
            || (self.counters.snapshot().requests > 0 && now.duration_since(self.unwanted_since) < KEPT)
    }
}
