//! What happens in a rollout: its facts as the journal stores them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pace::Caution;
use super::strategy::{Strategy, Watch};
use crate::ids::{FlightId, MetricName, Weight};
use crate::judge::{Finding, Mark, Sample, Verdict};
use crate::metric::MetricSummary;
use crate::runtime::{Counters, Tally};

/// A fact about a rollout.
#[expect(clippy::large_enum_variant, reason = "few exist at a time, and a box would stand in every pattern")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RolloutEvent {
    /// The candidate's replicas are being started; it has no traffic yet.
    #[serde(rename = "rollout.started")]
    Started(Start),
    /// The candidate has the capacity for a step and gets its share of traffic from now on.
    #[serde(rename = "rollout.step_entered")]
    StepEntered {
        /// The step, from 0.
        step: u32,
        /// The candidate's share.
        weight: Weight,
        /// The candidate's requests before the step.
        candidate: Tally,
        /// The stable version's requests before the step.
        stable: Tally,
        /// Copies of the stable version's requests that the candidate had before the step.
        #[serde(default, skip_serializing_if = "Tally::is_empty")]
        mirrored: Tally,
        /// The candidate's restarts before the step.
        restarts: u32,
    },
    /// What a step, or the watch after the last one, has shown so far is kept, so that it can be asked whether trouble began
    /// after this moment.
    #[serde(rename = "rollout.marked")]
    Marked {
        /// The step, from 0; the watch counts as one more.
        step: u32,
        /// What it has shown.
        mark: Mark,
    },
    /// A step's bake time is over but it can't be judged yet: traffic stays as it is.
    #[serde(rename = "rollout.step_held")]
    StepHeld {
        /// The step, from 0.
        step: u32,
        /// What is missing by the requests; Pass where a metric is what holds it.
        verdict: Verdict,
        /// On what evidence.
        evidence: Sample,
        /// What the metrics said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metrics: Vec<MetricSummary>,
    },
    /// A step was judged good.
    #[serde(rename = "rollout.step_passed")]
    StepPassed {
        /// The step, from 0.
        step: u32,
        /// On what evidence.
        evidence: Sample,
        /// What the metrics said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metrics: Vec<MetricSummary>,
        /// Who let it pass, where the evidence alone did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// The candidate is not good enough: its traffic ends now, or goes back where it has all of it.
    #[serde(rename = "rollout.failed")]
    Failed {
        /// Why.
        cause: Cause,
        /// On what evidence; zero where the candidate never had traffic.
        evidence: Sample,
        /// What the metrics said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metrics: Vec<MetricSummary>,
        /// Whether it keeps all traffic until a person decides, as its migration can't be undone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        serves_on: bool,
    },
    /// The candidate has all traffic and is the stable version from now on.
    #[serde(rename = "rollout.promoted")]
    Promoted {
        /// The candidate's requests in this environment so far.
        candidate: Tally,
        /// The requests of the version that it takes over from, all of them.
        #[serde(default, skip_serializing_if = "Tally::is_empty")]
        stable: Tally,
    },
    /// The candidate was watched for long enough after it had all traffic, or another release has come.
    #[serde(rename = "rollout.watched")]
    Watched {
        /// On what evidence.
        evidence: Sample,
        /// What the metrics said.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        metrics: Vec<MetricSummary>,
    },
    /// The candidate is gone from the environment.
    #[serde(rename = "rollout.withdrawn")]
    Withdrawn {
        /// The candidate's requests in this environment, all of them.
        candidate: Counters,
    },
}

/// How a rollout starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Start {
    /// The version that enters.
    pub candidate: FlightId,
    /// The version that serves, if any.
    pub stable: Option<FlightId>,
    /// How it takes over.
    #[serde(flatten)]
    pub strategy: Strategy,
    /// Why it goes slower than the service declares; the strategy is as it really goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<Caution>,
    /// How it is watched once it has all traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watch>,
    /// How many replicas the candidate has at 100%.
    pub replicas: u32,
    /// How many replicas the stable version has.
    pub stable_replicas: u32,
    /// Between which numbers the candidate's replicas are scaled by what they use, where they are; they then follow the
    /// stable version's while that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaled: Option<Bounds>,
    /// How long the candidate may take to become available before it is taken for broken, in seconds.
    pub progress_deadline_s: u32,
    /// Into how many parts each step is cut at most, so that trouble that begins within one is found sooner; 0 judges steps
    /// as a whole, as versions did that did not store it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub segments: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The fewest and the most replicas that a version may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bounds {
    /// The fewest.
    pub min_replicas: u32,
    /// The most.
    pub max_replicas: u32,
}

impl Bounds {
    /// The number nearest to `replicas` that is allowed.
    pub fn clamp(self, replicas: u32) -> u32 {
        replicas.min(self.max_replicas).max(self.min_replicas)
    }
}

/// Why a candidate was withdrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "cause")]
pub enum Cause {
    /// The judge's verdict on a step.
    Judged {
        /// The step, from 0.
        step: u32,
        /// The limit that was surely exceeded.
        limit: crate::quantity::Share,
        /// In what, by how much, and how surely; none in journals of versions that did not store it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finding: Option<Box<Finding>>,
    },
    /// Its replicas crash again and again.
    Crashing {
        /// How often they were restarted.
        restarts: u32,
        /// The runtime's words, if it gave any.
        detail: Option<String>,
    },
    /// Its replicas were not available in time.
    NeverAvailable {
        /// The runtime's words, if it gave any.
        detail: Option<String>,
    },
    /// A step could not be judged in the time given.
    NotJudged {
        /// The step, from 0.
        step: u32,
        /// What was missing last.
        verdict: Verdict,
        /// The metric that did not pass, where one did not, and why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metric: Option<String>,
    },
    /// A metric's verdict on a step.
    Metric {
        /// The step, from 0.
        step: u32,
        /// The metric.
        name: MetricName,
        /// What was wrong with it, in one sentence.
        detail: String,
    },
    /// A check in the environment failed.
    CheckFailed {
        /// What was asked and what came.
        detail: String,
    },
    /// A person ended it.
    Ordered {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let because = |f: &mut std::fmt::Formatter<'_>, detail: &Option<String>| match detail {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        };
        match self {
            Self::Judged { step, finding: Some(finding), .. } => write!(f, "step {} failed: {finding}", step + 1),
            Self::Judged { step, limit, finding: None } => {
                write!(f, "step {} failed: more than {limit} of the requests fail", step + 1)
            }
            Self::Crashing { restarts, detail } => {
                write!(f, "its replicas crash: {restarts} restarts")?;
                because(f, detail)
            }
            Self::NeverAvailable { detail } => {
                f.write_str("its replicas were not available in time")?;
                because(f, detail)
            }
            Self::NotJudged { step, metric, .. } => {
                write!(f, "step {} could not be judged in the time given", step + 1)?;
                because(f, metric)
            }
            Self::Metric { step, name, detail } => write!(f, "step {} failed: metric {name}: {detail}", step + 1),
            Self::CheckFailed { detail } => write!(f, "a check failed: {detail}"),
            Self::Ordered { by, reason } => write!(f, "ordered by {by}: {reason}"),
        }
    }
}

impl RolloutEvent {
    /// The event's stored type.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started(_) => "rollout.started",
            Self::StepEntered { .. } => "rollout.step_entered",
            Self::Marked { .. } => "rollout.marked",
            Self::StepHeld { .. } => "rollout.step_held",
            Self::StepPassed { .. } => "rollout.step_passed",
            Self::Failed { .. } => "rollout.failed",
            Self::Promoted { .. } => "rollout.promoted",
            Self::Watched { .. } => "rollout.watched",
            Self::Withdrawn { .. } => "rollout.withdrawn",
        }
    }
}
