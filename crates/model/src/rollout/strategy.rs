//! How a candidate takes over from the stable version; fixed when a rollout starts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Weight;
use crate::judge::Analysis;
use crate::quantity::Period;
use crate::runtime::RequestKey;
use crate::service::Step;

/// How the candidate takes over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "strategy")]
pub enum Strategy {
    /// All of the stable version is stopped before any of the candidate is started; nothing serves in between.
    Recreate,
    /// Replica by replica within Kubernetes' bounds.
    Rolling {
        /// How many replicas may run above the number wanted.
        surge: u32,
        /// How many may be missing.
        unavailable: u32,
    },
    /// All of the candidate is started beside the stable version and can be looked at; then all traffic moves at once,
    /// and the stable version is kept to move it back at once.
    BlueGreen {
        /// How long the candidate is looked at before it serves.
        preview: Period,
        /// How long the stable version is kept after the switch.
        keep: Period,
        /// How the candidate is judged meanwhile.
        analysis: Analysis,
    },
    /// Back to a release that served before: all of it is started beside what serves, then the traffic moves at once.
    /// It is never given up, because there is nothing better to go to.
    Return,
    /// By rising shares of traffic, each judged.
    Canary {
        /// The steps, weights rising to 100.
        steps: Vec<Step>,
        /// How each is judged.
        analysis: Analysis,
        /// Whose requests go to the candidate from the first step on, whatever its share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        audience: Option<AudienceRule>,
        /// What a user is known by, who then stays with one version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stick_to: Option<RequestKey>,
    },
}

/// What marks the requests that go to a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AudienceRule {
    /// Where it is written.
    pub key: RequestKey,
    /// The value that it has.
    pub value: String,
}

/// How a release is watched after it has all traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    /// How long.
    pub period: Period,
    /// How it is judged.
    pub analysis: Analysis,
}

impl Strategy {
    /// The step of that number, from 0. Only strategies that are judged have any.
    pub fn step(&self, step: u32) -> Option<Step> {
        match (self, step) {
            (Self::Canary { steps, .. }, step) => steps.get(usize::try_from(step).ok()?).copied(),
            (Self::BlueGreen { preview, .. }, 0) => {
                Some(Step { weight: Weight::ZERO, mirror: Weight::ZERO, bake: *preview })
            }
            (Self::BlueGreen { keep, .. }, 1) => Some(Step { weight: Weight::ALL, mirror: Weight::ZERO, bake: *keep }),
            (Self::BlueGreen { .. } | Self::Recreate | Self::Rolling { .. } | Self::Return, _) => None,
        }
    }

    /// How its steps are judged.
    pub fn analysis(&self) -> Option<&Analysis> {
        match self {
            Self::Canary { analysis, .. } | Self::BlueGreen { analysis, .. } => Some(analysis),
            Self::Recreate | Self::Rolling { .. } | Self::Return => None,
        }
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        match self {
            Self::Canary { steps, .. } => steps.len(),
            Self::BlueGreen { .. } => 2,
            Self::Recreate | Self::Rolling { .. } | Self::Return => 0,
        }
    }

    /// Whose requests go to the candidate in any case.
    pub fn audience(&self) -> Option<&AudienceRule> {
        match self {
            Self::Canary { audience, .. } => audience.as_ref(),
            Self::BlueGreen { .. } | Self::Recreate | Self::Rolling { .. } | Self::Return => None,
        }
    }
}
