//! What a runtime is asked to run, and what it is seen to run: the two sides that every rollout decision compares.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use schemars::JsonSchema;

use crate::ids::{Digest, FlightId, Target, Weight};
use crate::latency::Latencies;
use crate::metric::StepReadings;
use crate::workload::Workload;

/// All that should run for one service in one environment. A runtime is given the whole, never a change to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desired {
    /// Where.
    pub target: Target,
    /// The versions, the stable one first. Their weights sum to 100, or all are 0 where nothing is to serve yet.
    /// A version that runs but is not named here is drained and stopped.
    pub versions: Vec<DesiredVersion>,
    /// How requests are told apart beyond the weights.
    pub routing: Routing,
}

/// How requests are told apart beyond the weights. The default is none of it: each request is drawn by weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Routing {
    /// Whose requests go to which version whatever the weights say, the first that matches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<Audience>,
    /// What a user is known by: requests with the same value go to the same version as long as the weights allow it.
    /// A version named later takes over the values at the top of the hash's range, so that a user who has moved to it
    /// stays there while its weight rises. Requests without the key are drawn by weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky: Option<RequestKey>,
    /// A version that gets copies of requests that others answer; nobody sees its answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
    /// A version that can be reached at an address of its own, whatever its weight, before it serves anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<FlightId>,
}

/// Requests that go to one version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Audience {
    /// What marks them.
    pub key: RequestKey,
    /// The value that it must have.
    pub value: String,
    /// The version that they go to; without a replica that is ready they are drawn by weight.
    pub version: FlightId,
}

/// Where in a request something is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestKey {
    /// A header, by its name in lower case.
    Header(String),
    /// A cookie, by its name.
    Cookie(String),
}

impl RequestKey {
    /// With a header's name in lower case, as HTTP does not tell them apart.
    #[must_use]
    pub fn normalised(self) -> Self {
        match self {
            Self::Header(name) => Self::Header(name.to_ascii_lowercase()),
            Self::Cookie(name) => Self::Cookie(name),
        }
    }
}

/// Copies of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mirror {
    /// The version that gets them.
    pub version: FlightId,
    /// The share of the requests that are copied; only those that change nothing (GET, HEAD and OPTIONS without a body).
    pub share: Weight,
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
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Observation {
    /// Every version that has a replica, or had a request since it was last wanted.
    pub versions: Vec<VersionSeen>,
    /// What the metrics of the step that bakes gave so far; the controllers add it to what a runtime sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readings: Option<StepReadings>,
    /// Since when the controllers look without a break; they add it too. Nobody saw what was before.
    #[serde(skip)]
    pub looked_since: Option<Timestamp>,
}

impl Observation {
    /// What a runtime sees: versions alone.
    pub fn of(versions: Vec<VersionSeen>) -> Self {
        Self { versions, readings: None, looked_since: None }
    }

    /// How long it was looked at of the time since `since`.
    pub(crate) fn looked(&self, since: Timestamp, now: Timestamp) -> SignedDuration {
        now.duration_since(self.looked_since.map_or(since, |looked| looked.max(since)))
    }

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
    /// How long they took.
    pub latencies: Latencies,
    /// Copies of requests that others answered, so far; not in `counters`.
    pub mirrored: Tally,
}

impl VersionSeen {
    /// A version of which nothing is there.
    pub fn none(revision: FlightId) -> Self {
        Self {
            revision,
            replicas: 0,
            ready: 0,
            available: 0,
            restarts: 0,
            waiting: None,
            weight: Weight::ZERO,
            counters: Counters::default(),
            latencies: Latencies::default(),
            mirrored: Tally::default(),
        }
    }

    /// Its requests with how long they took.
    pub fn tally(&self) -> Tally {
        Tally { latencies: self.latencies.clone(), ..Tally::from(self.counters) }
    }
}

/// Requests, how many of them failed, and how long they took: what the judge looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// Requests answered or given up.
    pub requests: u64,
    /// Of these, the ones that failed.
    pub failures: u64,
    /// Sum of the times that they took, in microseconds.
    pub latency_us_sum: u64,
    /// How long they took; empty in what was recorded before it was counted.
    #[serde(default, skip_serializing_if = "Latencies::is_empty")]
    pub latencies: Latencies,
}

impl From<Counters> for Tally {
    fn from(counters: Counters) -> Self {
        let Counters { requests, failures, latency_us_sum } = counters;
        Self { requests, failures, latency_us_sum, latencies: Latencies::default() }
    }
}

impl From<&Tally> for Counters {
    fn from(tally: &Tally) -> Self {
        Self { requests: tally.requests, failures: tally.failures, latency_us_sum: tally.latency_us_sum }
    }
}

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.requests == 0
    }

    /// What was counted since `earlier`; zero where `earlier` is larger (the runtime lost its memory).
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failures: self.failures.saturating_sub(earlier.failures),
            latency_us_sum: self.latency_us_sum.saturating_sub(earlier.latency_us_sum),
            latencies: self.latencies.since(&earlier.latencies),
        }
    }
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

impl std::ops::Add for Counters {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            failures: self.failures.saturating_add(other.failures),
            latency_us_sum: self.latency_us_sum.saturating_add(other.latency_us_sum),
        }
    }
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
