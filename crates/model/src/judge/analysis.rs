//! How a canary's steps are judged: the settings, their defaults, and which combinations make no sense.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::{Metric, Request};
use crate::quantity::{Factor, Period, Share};

/// How a canary's steps are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Analysis {
    /// The share of failed requests above which a release fails whatever the tolerated ratio says, unless the stable
    /// version suffers as much; default `1%`.
    pub failure_share_max: Share,
    /// The share of failed requests, beyond what the stable version has, that is ruled out before the rollout ends;
    /// five times as much, divided by the next step's weight, is ruled out before a step; default `1%`. Lower needs more
    /// requests: about `4 / share` when none fails.
    pub failure_share_detect: Share,
    /// The chance that a good release is rolled back, over the whole rollout; default `1%`.
    pub false_alarm_max: Share,
    /// How long a step that can't be judged yet is held after its bake time before it is rolled back; default `6h`.
    pub wait_max: Period,
    /// What is done meanwhile; default `extend`.
    #[serde(skip_serializing_if = "Undecided::is_default")]
    pub undecided: Undecided,
    /// What is sent with `undecided: synthetic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<Synthetic>,
    /// How many times as often as the stable version the candidate may fail; default `1.25`.
    #[serde(skip_serializing_if = "is_default_failure_ratio")]
    pub failure_ratio_max: Factor,
    /// How much larger the candidate's share of failed requests may be, whatever the ratio; default `0.05%`.
    #[serde(skip_serializing_if = "is_default_failure_slack")]
    pub failure_slack: Share,
    /// How many times as long as the stable version the candidate may take; default `1.25`. `0` judges no latency.
    #[serde(skip_serializing_if = "is_default_latency_ratio")]
    pub latency_ratio_max: Factor,
    /// How much longer than the stable version the candidate may take, whatever the ratio; default `5ms`.
    #[serde(skip_serializing_if = "is_default_latency_slack")]
    pub latency_slack: Period,
    /// What is measured beside the requests, at most 32 metrics; each must pass as well.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<Metric>,
}

/// What is not written when it is the default, so that events of earlier versions stay as they were.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_default_failure_ratio(factor: &Factor) -> bool {
    *factor == Analysis::default().failure_ratio_max
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_default_failure_slack(slack: &Share) -> bool {
    *slack == Analysis::default().failure_slack
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_default_latency_ratio(factor: &Factor) -> bool {
    *factor == Analysis::default().latency_ratio_max
}

fn is_default_latency_slack(slack: &Period) -> bool {
    *slack == Analysis::default().latency_slack
}

/// What is done with a step that can't be judged when its bake time is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// It is held until there are requests enough.
    #[default]
    Extend,
    /// As `extend`, and a person may let it pass with `prograde approve`.
    Ask,
    /// As `extend`, and the requests of `synthetic` are sent to both versions until there are requests enough.
    Synthetic,
}

/// Requests that are sent to the candidate and to the stable version alike, past the traffic, when a step's bake time is
/// over and users' requests are too few to judge it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Synthetic {
    /// The requests, sent in turn. One that is not answered as said has failed.
    pub requests: Vec<Request>,
    /// How many a second are sent to each of both versions, at most; 1 to 100, default 5.
    #[serde(default = "per_second")]
    pub per_second: u32,
}

fn per_second() -> u32 {
    5
}

impl Undecided {
    /// Whether it need not be written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            failure_share_max: Share::basis_points(100),
            failure_share_detect: Share::basis_points(100),
            false_alarm_max: Share::basis_points(100),
            wait_max: Period::seconds(6 * 3600),
            undecided: Undecided::Extend,
            synthetic: None,
            failure_ratio_max: Factor::percent(125),
            failure_slack: Share::basis_points(5),
            latency_ratio_max: Factor::percent(125),
            latency_slack: Period::milliseconds(5),
            metrics: Vec::new(),
        }
    }
}

/// The part of `false_alarm_max` that pays for the bounds on the stable version; the rest is the tests'.
const BOUNDS_PART: f64 = 0.1;

impl Analysis {
    /// What is wrong with the numbers together, if anything is.
    pub fn problem(&self) -> Option<String> {
        let (max, detect) = (self.failure_share_max.ratio(), self.failure_share_detect.ratio());
        let false_alarm = self.false_alarm_max.ratio();
        if max <= 0.0 || max >= 1.0 {
            Some(format!(
                "`failure_share_max` ({}) must lie above 0% and below 100%: one failed request would prove everything, or all of them nothing",
                self.failure_share_max
            ))
        } else if !(0.0001..1.0).contains(&detect) {
            Some(format!(
                "`failure_share_detect` ({}) must be at least 0.01% and below 100%: to rule out less takes more requests than a rollout has",
                self.failure_share_detect
            ))
        } else if !(0.000_001..0.5).contains(&false_alarm) {
            Some(format!("`false_alarm_max` ({}) must lie above 0% and below 50%", self.false_alarm_max))
        } else if self.failure_ratio_max.ratio() < 1.0 {
            Some(format!(
                "`failure_ratio_max` ({}) must be at least 1: a release that is as good as the one before has to pass",
                self.failure_ratio_max
            ))
        } else if self.failure_slack.ratio() >= max {
            Some(format!(
                "`failure_slack` ({}) must lie below `failure_share_max` ({}): it is a difference that nobody would notice",
                self.failure_slack, self.failure_share_max
            ))
        } else if self.judges_latency() && self.latency_ratio_max.ratio() < 1.0 {
            Some(format!(
                "`latency_ratio_max` ({}) must be at least 1, or 0 to judge no latency",
                self.latency_ratio_max
            ))
        } else {
            None
        }
    }

    /// How many times likelier than chance harm has to be before a release fails.
    pub fn evidence_needed(&self) -> f64 {
        self.log_evidence_needed().exp()
    }

    pub(super) fn log_evidence_needed(&self) -> f64 {
        -(self.alpha() * (1.0 - BOUNDS_PART)).ln()
    }

    pub(super) fn log_bounds_needed(&self) -> f64 {
        -(self.alpha() * BOUNDS_PART).ln()
    }

    pub(super) fn judges_latency(&self) -> bool {
        self.latency_ratio_max.ratio() > 0.0
    }

    /// Harm below this is not worth a rollback.
    pub(super) fn immaterial(&self) -> f64 {
        self.failure_share_detect.ratio() / 20.0
    }

    /// Never outside of what has a logarithm, whatever was stored.
    fn alpha(&self) -> f64 {
        self.false_alarm_max.ratio().clamp(1e-6, 0.5)
    }
}
