//! The API's wire types. They are what clients see and stay as they are while the model moves.

mod application;
mod automation;
mod incident;

use std::collections::BTreeMap;

use jiff::Timestamp;
use prograde_model::flag::Setting;
use prograde_model::gate::Hold;
use prograde_model::ids::{CommitId, Digest, EnvironmentName, FlightId, ServiceName};
use prograde_model::judge::{Sample, Verdict};
use prograde_model::metric::MetricSummary;
use prograde_model::oncall::PageId;
use prograde_model::policy::PolicyAnswers;
use prograde_model::release::Evidence;
use prograde_model::runbook::End;
use prograde_model::runtime::Counters;
use prograde_model::scan::ScanReport;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use application::{ApplicationSetView, ApplicationView, ApplicationsView, SyncRequest};
pub use automation::{
    AutomatedRepositoryView, ImageAutomationView, ImagePolicyView, ImageTroubleView, ScannedImageView,
};
pub use incident::{
    ActionOrderRequest, ActionRequest, DeclareRequest, IncidentOrdered, IncidentRequest, IncidentView, MitigateRequest,
    PostmortemRequest, PostmortemView, Wanted,
};

/// The server and everything that it looks after.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// The server's version.
    pub version: String,
    /// The journal's last sequence.
    pub sequence: u64,
    /// Every service in every environment that it has entered.
    pub targets: Vec<TargetView>,
    /// Flights to which something may still happen by itself, the newest first.
    pub active: Vec<FlightSummary>,
    /// Digests in quarantine.
    pub quarantines: Vec<QuarantineView>,
}

/// One service in one environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetView {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Where it can be reached, such as `http://127.0.0.1:30080`.
    pub addresses: Vec<String>,
    /// Where a new version can be looked at before it serves, while there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The versions that run, the stable one first.
    pub versions: Vec<VersionView>,
    /// What keeps it from running what it should, if anything does.
    pub trouble: Option<String>,
}

/// One version of a service in one environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionView {
    /// The flight that brought it.
    pub flight: FlightId,
    /// Its commit.
    pub commit: CommitId,
    /// Its share of traffic in percent.
    pub weight: u8,
    /// Replicas that exist.
    pub replicas: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Restarts of its replicas.
    pub restarts: u32,
    /// Why a replica is not ready.
    pub waiting: Option<String>,
    /// Its requests so far.
    pub counters: Counters,
}

/// A flight in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlightSummary {
    /// Its id.
    pub id: FlightId,
    /// Its service.
    pub service: ServiceName,
    /// Its commit.
    pub commit: CommitId,
    /// First line of its commit's message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
    /// `reading`, `building`, `imaging`, `waiting`, `deploying`, `migrating`, `rolling`, `checking`, `watching`, `withdrawing`,
    /// `reverting`, `notifying`, `landed`, `refused`, `rejected`, `stopped`, `rolled_back`, `kept`, `aborted` or `superseded`.
    pub stage: String,
    /// The environment that the stage is in, if it is in one.
    pub environment: Option<EnvironmentName>,
    /// One line on what it does or waits for, or how it ended.
    pub detail: String,
    /// When it was opened, RFC 3339.
    pub opened_at: String,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
}

/// All of a flight.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlightView {
    /// What a list says.
    #[serde(flatten)]
    pub summary: FlightSummary,
    /// The image's digest, once made; none where several services fly together.
    pub digest: Option<Digest>,
    /// The digests of the images, by the service of a group.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<ServiceName, Digest>,
    /// The pipeline's jobs.
    pub jobs: Vec<JobView>,
    /// What happened in each environment, in order; with each service of a group.
    pub environments: Vec<EntryView>,
    /// What the manifests ask that the runtime can't do and does not have to.
    pub notices: Vec<String>,
    /// What the commit was looked through for, once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scan: Option<ScanReport>,
    /// What the policies said when it was read.
    #[serde(default, skip_serializing_if = "PolicyAnswers::is_empty")]
    pub policies: PolicyAnswers,
    /// How long each stage took, in milliseconds: `read`, `build`, `image`, and per environment, or environment and service
    /// as in `production/web`.
    pub stage_ms: BTreeMap<String, u64>,
    /// Its events, oldest first.
    pub events: Vec<EventView>,
}

/// What vouches for a flight's image of a service.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReleaseEvidence {
    /// The service.
    pub service: ServiceName,
    /// The commit.
    pub commit: CommitId,
    /// The image.
    pub digest: Digest,
    /// The size of all its blobs in bytes.
    pub size_bytes: u64,
    /// What was recorded of it; none where it was made before images were signed.
    pub recorded: Option<Evidence>,
    /// What lies beside the image now.
    pub found: Vec<FoundView>,
}

/// A signature or attestation that lies beside an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FoundView {
    /// Where: a tag and a layer, or a manifest that refers to the image.
    pub place: String,
    /// `tag`, as cosign 1 and 2 read it, or `bundle`, as cosign 3 does.
    pub form: String,
    /// The trusted key that signed it; none where it does not count.
    pub key: Option<String>,
    /// Why it does not count.
    pub refused: Option<String>,
    /// The type of what is attested; none for a signature.
    pub predicate_type: Option<String>,
    /// What is attested.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub predicate: Value,
}

/// A job of a pipeline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JobView {
    /// Such as `ci.yml/build`.
    pub job: String,
    /// `running`, `success`, `failure`, `cancelled` or `skipped`.
    pub state: String,
    /// How long it ran, once it has ended.
    pub duration_ms: Option<u64>,
    /// What failed.
    pub detail: Option<String>,
}

/// A flight in one environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntryView {
    /// The environment.
    pub environment: EnvironmentName,
    /// The service, where several fly together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// `outside`, `next`, `entering`, `migrating`, `rolling`, `unchecked`, `watched`, `settled`, `unchanged`, `kept`, `leaving`,
    /// `unreverted` or `gone`.
    pub standing: String,
    /// What the gate waits for, where it does.
    pub missing: Vec<String>,
    /// What holds the gate, where something that is no part of the release does; a person can let the flight past each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Hold>,
    /// The branch of the deployment repository on which its change is proposed, while it waits there to be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<String>,
    /// Who approved.
    pub approvals: Vec<String>,
    /// The candidate's share of traffic in percent.
    pub weight: u8,
    /// The step now baking, from 0, and how many there are.
    pub step: Option<(u32, u32)>,
    /// The judge's opinion of the step now.
    pub verdict: Option<Verdict>,
    /// What it is based on.
    pub evidence: Option<Sample>,
    /// What the metrics of the step say now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<MetricSummary>,
    /// The candidate's requests in this environment.
    pub requests: Counters,
    /// The commit in the deployment repository.
    pub deploy_commit: Option<CommitId>,
    /// What the policies said before that commit.
    #[serde(default, skip_serializing_if = "PolicyAnswers::is_empty")]
    pub policies: PolicyAnswers,
    /// The commit that took it out again.
    pub reverted: Option<CommitId>,
    /// Why it was taken back.
    pub failure: Option<String>,
}

/// A digest in quarantine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QuarantineView {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The digest.
    pub digest: Digest,
    /// The flight that brought it.
    pub flight: FlightId,
    /// Why.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
}

/// A repository on a Git host that is followed, or the copy of the deployment repository there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpstreamView {
    /// The service whose commits come from there; `deployments` for the copy.
    pub service: ServiceName,
    /// Where it is.
    pub url: String,
    /// The branch that is followed.
    pub branch: String,
    /// Where the branch was when it could be followed last; none before that.
    pub head: Option<CommitId>,
    /// When the host was asked last.
    pub looked_at: Option<Timestamp>,
    /// Since when it can't be followed, if it can't.
    pub troubled_since: Option<Timestamp>,
    /// Why not.
    pub trouble: Option<String>,
}

/// A stored event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventView {
    /// Its place in the journal.
    pub sequence: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The flight.
    pub flight: FlightId,
    /// Its type, such as `rollout.failed`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Its payload.
    pub data: serde_json::Value,
}

/// An objective and what is left of its error budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BudgetView {
    /// Its id, such as `pad-availability`.
    pub id: String,
    /// Its name.
    pub objective: String,
    /// The service as the objective names it.
    pub service: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The share of events that must be good.
    pub target: f64,
    /// Over what time, such as `30d`.
    pub window: String,
    /// When it was measured, RFC 3339; none before the first time.
    pub measured_at: Option<String>,
    /// From when the window goes, RFC 3339.
    pub from: Option<String>,
    /// When it ends, RFC 3339.
    pub until: Option<String>,
    /// `unknown`, `good`, `half spent` or `spent`.
    pub state: String,
    /// The share of the budget that is spent; more than 1 where more was.
    pub spent: Option<f64>,
    /// How many minutes of everything being bad the whole budget is, and how many are left.
    pub minutes: Option<f64>,
    /// How many are left.
    pub minutes_left: Option<f64>,
    /// How many events there were in the window, where they can be counted.
    pub events: Option<f64>,
    /// How many of them were bad.
    pub events_bad: Option<f64>,
    /// How many more may be bad.
    pub events_left: Option<f64>,
    /// How fast it goes now: 1 spends it in just the window.
    pub burn_rate: Option<f64>,
    /// The same over the windows that alerts look at.
    pub burns: Vec<BurnView>,
    /// In how many seconds it will be gone at that rate, if it goes.
    pub gone_in_s: Option<i64>,
    /// The service whose gate is held when it is spent.
    pub gate_service: Option<ServiceName>,
    /// The environment, where one alone is.
    pub gate_environment: Option<EnvironmentName>,
    /// What holds the gate now, if it does.
    pub hold: Option<String>,
    /// Why it could not be measured at the last try.
    pub problem: Option<String>,
    /// How it was calculated, a line for each step.
    pub explained: Vec<String>,
}

/// How fast a budget goes over a pair of windows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BurnView {
    /// `page` or `ticket`.
    pub severity: String,
    /// The long window, such as `1h`.
    pub long: String,
    /// The short window.
    pub short: String,
    /// The rate from which people are told.
    pub limit: f64,
    /// The rate over the long window.
    pub rate: Option<f64>,
    /// The rate over the short window.
    pub rate_short: Option<f64>,
}

/// Body of `POST /api/v1/flights/{id}/approve`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproveRequest {
    /// The environment; by default the one that the flight waits for.
    pub environment: Option<EnvironmentName>,
    /// Who approves.
    pub by: String,
    /// Whether what it has proposed is merged, instead of an approval.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge: bool,
}

/// Body of `POST /api/v1/flights/{id}/override`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OverrideRequest {
    /// The environment; by default the one that the flight waits for.
    pub environment: Option<EnvironmentName>,
    /// What holds its gate, such as `budget/pad-availability`.
    pub hold: String,
    /// Who lets it past.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Body of `POST /api/v1/flights/{id}/abort`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AbortRequest {
    /// Who aborts.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Body of `POST /api/v1/services/{service}/rollback`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The environment.
    pub environment: EnvironmentName,
    /// The flight to go back to; by default the one before.
    pub to: Option<FlightId>,
    /// Who orders it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether to go back even though a migration that can't be undone has been run since; by default that is refused.
    #[serde(default)]
    pub past_point_of_no_return: bool,
}

/// Body of `POST /api/v1/services/{service}/scale`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleRequest {
    /// The environment.
    pub environment: EnvironmentName,
    /// How many replicas what serves is to have.
    pub replicas: u32,
    /// Who orders it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Body of `POST /api/v1/quarantine/lift`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiftRequest {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The digest.
    pub digest: Digest,
    /// Who lifts it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A feature flag where it is evaluated.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlagView {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Its key.
    pub flag: String,
    /// Whether Git says that it is there; false as well where it is set and the flight that serves does not declare it.
    pub enabled: bool,
    /// Its variants and their values.
    pub variants: BTreeMap<String, serde_json::Value>,
    /// The variant for whom no rule names one.
    pub default_variant: Option<String>,
    /// The rule that chooses a variant.
    pub targeting: Option<serde_json::Value>,
    /// What people have set it to.
    pub set: Option<FlagSettingView>,
}

/// What people have set a flag to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlagSettingView {
    /// To what.
    pub to: Setting,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Whether it has an effect: the flight that serves declares the flag, and the variant if it is set to one.
    pub in_force: bool,
}

/// Body of `POST /api/v1/flags/set`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagSetRequest {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The flag's key.
    pub flag: String,
    /// To what: `{"variant": NAME}`, `"enabled"` or `"disabled"`.
    pub to: Setting,
    /// Who sets it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Body of `POST /api/v1/flags/unset`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagUnsetRequest {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The flag's key.
    pub flag: String,
    /// Who unsets it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Answer to `GET /api/v1/flags/token`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FlagToken {
    /// What a service shows to evaluate flags; good for nothing else.
    pub token: String,
}

/// Answer to an order: the facts that it made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ordered {
    /// The flight that it was carried out on.
    pub flight: FlightId,
    /// The types of the facts, such as `rollout.failed`.
    pub events: Vec<String>,
}

/// One line of a service's output.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogLineView {
    /// When, RFC 3339.
    pub at: String,
    /// The replica.
    pub replica: String,
    /// The flight that brought its version.
    pub flight: FlightId,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// The text.
    pub line: String,
}

/// The answer to everything that fails.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The stable code, with a page in `docs/errors/`.
    pub code: String,
    /// What went wrong.
    pub message: String,
    /// What can be done about it.
    pub hint: String,
}

/// Result of `POST /api/v1/journal/verify`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VerifyView {
    /// How many events there are.
    pub events: u64,
    /// Hash of the last one.
    pub head_hash: String,
}

/// One page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PageView {
    /// Its name, such as `P-17`.
    pub id: PageId,
    /// What it says in a line.
    pub title: String,
    /// By which escalation people are told.
    pub escalation: String,
    /// As the alerts say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// `open`, `waiting` for the end of quiet hours, `unanswered`, `acknowledged`, `snoozed` or `resolved`.
    pub state: String,
    /// Who was told and reached.
    pub reached: Vec<String>,
    /// Who is to be told and was not reached yet.
    pub calling: Vec<String>,
    /// Who took it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was first taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_at: Option<Timestamp>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// When something follows by itself: the next step, or the end of a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// How many alerts it is about.
    pub alerts: u64,
    /// The key of the alerts' group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Who raised it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raised_by: Option<String>,
    /// Whether it only tries out whether people are reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// Whether it was worth it, as whoever rated it last says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub useful: Option<bool>,
}

/// Pages whoever is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RaiseRequest {
    /// What it is about.
    pub title: String,
    /// By which escalation; needed where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<String>,
    /// What quiet hours look at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// Only to see whether people are reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// Who raises it.
    pub by: String,
}

/// Answers a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// Who.
    pub by: String,
}

/// Ends a run of a runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndRunRequest {
    /// How.
    pub end: End,
    /// Who.
    pub by: String,
}

/// Puts a page off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnoozeRequest {
    /// Until when.
    pub until: Timestamp,
    /// Who.
    pub by: String,
}

/// Says whether a page was worth it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateRequest {
    /// Whether it was.
    pub useful: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Who.
    pub by: String,
}
