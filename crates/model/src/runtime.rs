//! What a runtime is asked to run, and what it is seen to run: the two sides that every rollout decision compares.

use serde::{Deserialize, Serialize};

use schemars::JsonSchema;

use crate::ids::{Digest, FlightId, Target, Weight};
use crate::workload::Workload;

/// All that should run for one service in one environment. A runtime is given the whole, never a change to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Where.
    pub target: Target,
    /// The versions, the stable one first. Their weights sum to 100, or all are 0 where nothing is to serve yet.
    /// A version that runs but is not named here is drained and stopped.
    pub versions: Vec<DesiredVersion>,
}

/// One version of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredVersion {
    /// The flight that brought it; names the version in the runtime.
    pub revision: FlightId,
    /// The image's manifest digest.
    pub digest: Digest,
    /// How to run it.
    pub workload: Workload,
    /// How many replicas; may differ from `workload.replicas` during a rollout.
    pub replicas: u32,
    /// Its share of traffic.
    pub weight: Weight,
}

/// What is seen of one service in one environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Observation {
    /// Every version that has a replica, or had a request since it was last wanted.
    pub versions: Vec<VersionSeen>,
}

impl Observation {
    /// What is seen of one version.
    pub fn version(&self, revision: &FlightId) -> Option<&VersionSeen> {
        self.versions.iter().find(|v| v.revision == *revision)
    }
}

/// What is seen of one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VersionSeen {
    /// Which.
    pub revision: FlightId,
    /// Replicas that exist, ready or not.
    pub replicas: u32,
    /// Replicas that are ready now.
    pub ready: u32,
    /// Replicas that have been ready for `minReadySeconds`.
    pub available: u32,
    /// How often its replicas have been restarted since the version started.
    pub restarts: u32,
    /// Why a replica is not ready, in the runtime's words, such as `CrashLoopBackOff: exit status 101`.
    pub waiting: Option<String>,
    /// The traffic weight now in force.
    pub weight: Weight,
    /// Its requests so far; never decreases while the version is wanted, also over a restart of the server.
    pub counters: Counters,
}

/// Requests as the proxy saw them, summed over a version's replicas since the version started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// Requests answered or given up.
    pub requests: u64,
    /// Of these, the ones that failed: status 500 to 599, or no answer from the replica.
    pub failures: u64,
    /// Sum of the times from request to last byte of the answer, in microseconds.
    pub latency_us_sum: u64,
}

impl Counters {
    /// What was counted since `earlier`; zero where `earlier` is larger (the runtime lost its memory).
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failures: self.failures.saturating_sub(earlier.failures),
            latency_us_sum: self.latency_us_sum.saturating_sub(earlier.latency_us_sum),
        }
    }
}
