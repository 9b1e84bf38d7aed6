//! Metrics beside the proxy's own request counters by which a release's steps are judged: a Prometheus query, a webhook, or
//! requests to the candidate itself.
//!
//! This is what a team writes; [`problems`] is what can be wrong with it, [`MetricState`] what was measured and what
//! follows from it. A metric never promotes by itself: what could not be measured holds the step.

mod problems;
mod state;
mod step;
mod synthetic;
mod template;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::MetricName;
use crate::quantity::Period;

pub use problems::{METRICS_MAX, problems};
pub use state::{Found, MetricState, MetricSummary, MetricVerdict, Reading, Together, Told, together};
pub use step::{BakingStep, StepReadings, baking, summaries};
pub(crate) use synthetic::sent;
pub use synthetic::{Pairs, Wanted, wanted};
pub use template::{PLACEHOLDERS, Scene, fill};

/// Something that is measured again and again while a step bakes. Just one of `prometheus`, `webhook`, `requests` and
/// `job` says how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name, as it stands in verdicts: lower-case letters, digits and `-`.
    pub name: MetricName,
    /// Measured by a PromQL query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusQuery>,
    /// Judged by a service of the team's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Requests to the candidate itself, past the weights, one after the other. All must be answered as said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Vec<Request>>,
    /// A program of the candidate's own image, run to its end; good when it ends with status 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// A measurement must be below this; one that is not is a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// A measurement must be above this; one that is not is a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// How often it is measured, at least `1s`; default `1m`. The first time is so long after the step began, and at the
    /// end of its bake time at the latest.
    #[serde(default = "every")]
    pub every: Period,
    /// How long a measurement may take, up to `1m`, a job up to `30m`; default `10s`. Longer is a measurement that could not be had.
    #[serde(default = "timeout")]
    pub timeout: Period,
    /// How many failed measurements a step tolerates; default 0.
    #[serde(default)]
    pub failures_max: u32,
    /// After how many measurements in a row that could not be had the verdict is Error; default 4.
    #[serde(default = "errors_max")]
    pub errors_max: u32,
    /// How many good measurements a step needs before it may pass; default 1.
    #[serde(default = "measurements_min")]
    pub measurements_min: u32,
}

/// A query to the server's own time series, or to a server with Prometheus' HTTP API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrometheusQuery {
    /// The server, such as `http://127.0.0.1:9090`; `/api/v1/query` is asked below it. Left out, it is the embedded store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// PromQL that gives one number. `{{service}}`, `{{environment}}`, `{{flight}}`, `{{commit}}`, `{{stable_flight}}` and
    /// `{{step_s}}`, the step's seconds so far, are filled in.
    pub query: String,
    /// The file with the bearer token to show, in the server's `--metric-tokens` folder for that address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<String>,
}

/// An address that is sent what is judged, as JSON by POST, and answers with a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// The address.
    pub url: String,
    /// Headers to send. They are no place for secrets: everybody who can read the repository can read them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The file with the bearer token to show, in the server's `--metric-tokens` folder for that address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<String>,
}

/// A program of the candidate's own image that looks at it. It has the workload's environment and `PROGRADE_CANDIDATE`,
/// the address of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The arguments of the image's program, in place of its own.
    pub args: Vec<String>,
    /// Variables beside those of the workload. They are no place for secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// A GET request that the candidate must answer as said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The path, starting with `/`.
    pub get: String,
    /// The status that must come; default 200.
    #[serde(default = "status")]
    pub status: u16,
    /// A text that must stand in the answer's first mebibyte.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
}

fn every() -> Period {
    Period::seconds(60)
}
fn timeout() -> Period {
    Period::seconds(10)
}
fn errors_max() -> u32 {
    4
}
fn measurements_min() -> u32 {
    1
}
fn status() -> u16 {
    200
}

/// How a metric is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricSource {
    /// By a PromQL query.
    Prometheus(PrometheusQuery),
    /// By a service of the team's own.
    Webhook(Webhook),
    /// By requests to the candidate.
    Requests(Vec<Request>),
    /// By a program of the candidate's image.
    Job(Job),
}

impl Metric {
    /// How it is measured, with the placeholders filled in. `None` where it does not say, or says it twice, which
    /// [`problems`] refuses.
    pub fn source(&self, scene: &Scene<'_>) -> Option<MetricSource> {
        let query = |query: &PrometheusQuery| PrometheusQuery { query: fill(&query.query, scene), ..query.clone() };
        let said = [
            self.prometheus.as_ref().map(|said| MetricSource::Prometheus(query(said))),
            self.webhook.clone().map(MetricSource::Webhook),
            self.requests.clone().map(MetricSource::Requests),
            self.job.clone().map(MetricSource::Job),
        ];
        let mut said = said.into_iter().flatten();
        said.next().filter(|_| said.next().is_none())
    }

    /// Whether there is a limit to compare a number with.
    pub fn has_limit(&self) -> bool {
        self.below.is_some() || self.above.is_some()
    }
}

#[cfg(test)]
mod tests;
