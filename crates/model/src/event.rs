//! The journal's events: facts in the past tense, each with a stored type and version.
//!
//! A stored event is never changed; when its form must change, its version rises and [`Event::decode`] reads both. A
//! golden file per type and version under `tests/golden/` keeps that promise.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::diagnostic::Diagnostic;
use crate::flag::{Flags, Setting};
use crate::ids::{CommitId, Digest, EnvironmentName, FlightId, ServiceName};
use crate::judge::Sample;
use crate::policy::PolicyAnswers;
use crate::quantity::Share;
use crate::release::Release;
use crate::rollout::RolloutEvent;
use crate::runtime::Tally;
use crate::scan::ScanReport;
use crate::service::Service;
use crate::work::Work;

/// A fact as the journal holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its place in the journal, from 1.
    pub sequence: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// The flight that it is about.
    pub flight: FlightId,
    /// The fact.
    pub event: Event,
}

/// A fact about a flight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::large_enum_variant, reason = "events are stored and folded one by one, never kept in numbers")]
pub enum Event {
    /// A commit arrived.
    #[serde(rename = "flight.opened")]
    Opened(Opened),
    /// Its `prograde.yaml`, workflows and manifests were read and are good.
    #[serde(rename = "flight.configured")]
    Configured {
        /// What it declares.
        service: Box<Service>,
        /// What its manifests ask that the runtime can't do, and does not have to.
        notices: Vec<String>,
        /// Digest of the rendered manifests less the image, by environment: two flights with the same image may still
        /// differ in these.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        manifests: BTreeMap<EnvironmentName, Digest>,
        /// The same of each service of a group.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        group: BTreeMap<ServiceName, BTreeMap<EnvironmentName, Digest>>,
        /// Its flags, by the file that declares them, with the shared evaluators filled in.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        #[schemars(with = "BTreeMap<String, Value>")]
        flags: BTreeMap<String, Flags>,
        /// What the policies in force said to what is rendered for its environments.
        #[serde(default, skip_serializing_if = "PolicyAnswers::is_empty")]
        policies: PolicyAnswers,
    },
    /// Its files, and the commits since the last one that was let past, were looked through, and nothing was found that
    /// may not be there.
    #[serde(rename = "flight.scanned")]
    Scanned(ScanReport),
    /// A job of its pipeline was started.
    #[serde(rename = "pipeline.job_started")]
    JobStarted {
        /// Such as `ci.yml/build`.
        job: String,
    },
    /// A job of its pipeline has come to an end and is not run again.
    #[serde(rename = "pipeline.job_finished")]
    JobFinished {
        /// Such as `ci.yml/build`.
        job: String,
        /// How it ended.
        result: JobRecord,
    },
    /// Its pipeline has come to an end.
    #[serde(rename = "pipeline.finished")]
    PipelineFinished {
        /// Whether every job that had to succeed did.
        succeeded: bool,
        /// What failed.
        detail: Option<String>,
    },
    /// Its image was made.
    #[serde(rename = "release.recorded")]
    ReleaseRecorded(Release),
    /// A person let it into an environment.
    #[serde(rename = "gate.approved")]
    Approved {
        /// Which environment.
        environment: EnvironmentName,
        /// Who.
        by: String,
    },
    /// A person let it past something that keeps releases out of an environment.
    #[serde(rename = "gate.overridden")]
    Overridden {
        /// Which environment.
        environment: EnvironmentName,
        /// What kept it out, such as `budget/pad-availability`.
        hold: String,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The gate asks for a merge, and its change lies on a branch of the deployment repository.
    #[serde(rename = "gate.proposed")]
    Proposed {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The commit on the branch.
        commit: CommitId,
    },
    /// A person merged its change: the deployment repository says that it should run.
    #[serde(rename = "gate.merged")]
    Merged {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The commit by which `main` says so.
        commit: CommitId,
        /// Who.
        by: String,
    },
    /// The gate is open and nobody else is inside: it enters.
    #[serde(rename = "gate.passed")]
    GatePassed {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The flight that serves there, if any.
        replaces: Option<FlightId>,
    },
    /// The gate is open, and a service of a group is as it serves there already: it stays.
    #[serde(rename = "environment.unchanged")]
    Unchanged {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The flight that serves there.
        serves: FlightId,
    },
    /// The deployment repository says that it should run.
    #[serde(rename = "environment.deployed")]
    Deployed {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The commit in the deployment repository.
        commit: CommitId,
        /// What the policies in force by then said to what is rendered for it with the image.
        #[serde(default, skip_serializing_if = "PolicyAnswers::is_empty")]
        policies: PolicyAnswers,
    },
    /// What it does to the environment's data is about to be run, before its first replica starts.
    #[serde(rename = "environment.migration_started")]
    MigrationStarted {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The program's arguments.
        args: Vec<String>,
        /// Whether what it does can't be undone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        point_of_no_return: bool,
    },
    /// Its migration has ended and is not run again. It may have been run more than once before.
    #[serde(rename = "environment.migrated")]
    Migrated {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// What failed, if anything did; why it was ended, where a person did that.
        failure: Option<String>,
        /// Who ended it, where it did not end by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A fact about its rollout, or about the one that takes it back.
    #[serde(rename = "rollout")]
    Rollout {
        /// Where.
        place: Place,
        /// What happened.
        event: RolloutEvent,
    },
    /// The environment's checks were run.
    #[serde(rename = "environment.checked")]
    Checked {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// What failed, if anything did.
        failure: Option<String>,
    },
    /// It has served, and is to be taken back.
    #[serde(rename = "environment.rollback_ordered")]
    RollbackOrdered {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The flight that serves again; none where there was none.
        to: Option<FlightId>,
        /// The release that was asked for, where the services of a group go back to what served with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<FlightId>,
        /// Whether the order said to go past a migration that can't be undone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        past_return: bool,
        /// Who, or which part of prograde.
        by: String,
        /// Why.
        reason: String,
    },
    /// Its digest may not enter the environment again.
    #[serde(rename = "quarantine.set")]
    Quarantined {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The image's digest; that of the rendered manifests where the image served well before.
        digest: Digest,
        /// Why.
        reason: String,
    },
    /// Its digest may enter the environment again.
    #[serde(rename = "quarantine.lifted")]
    QuarantineLifted {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// Which digest.
        digest: Digest,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The deployment repository no longer says that it should run.
    #[serde(rename = "environment.reverted")]
    Reverted {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// The commit in the deployment repository.
        commit: CommitId,
    },
    /// It serves, and is to have another number of replicas.
    #[serde(rename = "environment.scaled")]
    Scaled {
        /// Where.
        #[serde(flatten)]
        place: Place,
        /// How many replicas it had.
        before: u32,
        /// How many it is to have.
        replicas: u32,
        /// What was measured, and what limits the number; or why a person wants it.
        reason: String,
        /// Who, where it was a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// A feature flag was set where it serves; that holds whatever Git says, until it is unset.
    #[serde(rename = "flag.set")]
    FlagSet {
        /// Which environment.
        environment: EnvironmentName,
        /// The flag's key.
        flag: String,
        /// To what.
        to: Setting,
        /// Who, or which part of prograde.
        by: String,
        /// Why.
        reason: String,
        /// Its requests until then, where what follows is judged by them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Tally>,
    },
    /// A feature flag is again as Git says.
    #[serde(rename = "flag.unset")]
    FlagUnset {
        /// Which environment.
        environment: EnvironmentName,
        /// The flag's key.
        flag: String,
        /// Who, or which part of prograde.
        by: String,
        /// Why.
        reason: String,
        /// Its requests until then, where what follows is judged by them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<Tally>,
    },
    /// What followed on a flag's change was watched, and that is over.
    #[serde(rename = "flag.watched")]
    FlagWatched {
        /// Which environment.
        environment: EnvironmentName,
        /// The flag's key.
        flag: String,
        /// The share of failed requests that was surely exceeded, if one was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<Share>,
        /// What was seen.
        evidence: Sample,
    },
    /// Its author was told how it ended.
    #[serde(rename = "flight.author_notified")]
    AuthorNotified {
        /// Over which channels, such as `log` or `webhook`.
        channels: Vec<String>,
        /// The channels that did not take it, and why.
        failures: Vec<String>,
    },
    /// Nothing more happens to it by itself.
    #[serde(rename = "flight.ended")]
    Ended {
        /// How it ended.
        outcome: Outcome,
    },
}

/// Where in a flight: an environment, and which of its services where it flies a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// Which environment.
    pub environment: EnvironmentName,
    /// Which service of a group; absent where the flight flies the one service that it is named after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.service {
            Some(service) => write!(f, "{}/{service}", self.environment),
            None => self.environment.fmt(f),
        }
    }
}

/// A commit that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Opened {
    /// The service whose repository it was pushed to.
    pub service: ServiceName,
    /// The commit.
    pub commit: CommitId,
    /// The branch.
    pub branch: String,
    /// First line of the commit's message.
    pub subject: String,
    /// Who wrote it.
    pub author: Person,
    /// When it was committed.
    #[schemars(with = "String")]
    pub committed_at: Timestamp,
    /// What its message says that it mends, if it does; such a flight passes gates that are held for features alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// A person as Git knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The address.
    pub email: String,
}

/// How a job of a pipeline ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobRecord {
    /// `success`, `failure`, `cancelled` or `skipped`.
    pub conclusion: JobConclusion,
    /// Whether `continue-on-error` lets the pipeline go on as if it had succeeded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tolerated: bool,
    /// Its outputs, for the jobs that need it.
    #[serde(default)]
    pub outputs: BTreeMap<String, String>,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
    /// What failed, with the last lines of its log.
    #[serde(default)]
    pub detail: Option<String>,
}

/// A job's conclusion, as GitHub Actions names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobConclusion {
    /// Every step that had to succeed did.
    Success,
    /// A step failed.
    Failure,
    /// It was stopped.
    Cancelled,
    /// Its condition did not hold.
    Skipped,
}

/// How a flight ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It serves in its last environment.
    Landed,
    /// Its configuration can't be used.
    Refused {
        /// What is wrong with it.
        diagnostics: Vec<Diagnostic>,
    },
    /// Its pipeline failed, or its image could not be made.
    Rejected {
        /// Why.
        reason: String,
    },
    /// A gate does not let it in.
    Stopped {
        /// Which environment's.
        environment: EnvironmentName,
        /// Why.
        reason: String,
    },
    /// It was taken back.
    RolledBack {
        /// From which environment.
        environment: EnvironmentName,
        /// Why.
        reason: String,
    },
    /// It failed past a point of no return: it serves on until a person decides.
    Kept {
        /// In which environment.
        environment: EnvironmentName,
        /// What failed.
        reason: String,
    },
    /// A person ended it.
    Aborted {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// A later commit took its place.
    Superseded {
        /// Which flight.
        by: FlightId,
    },
}

/// Why a stored event can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A later version of prograde wrote it.
    #[error("event {event_type} has version {version}, which this prograde does not know")]
    UnknownVersion {
        /// The stored type.
        event_type: String,
        /// The stored version.
        version: u32,
    },
    /// Its payload does not have the form of its type.
    #[error("event {event_type} can't be read")]
    Payload {
        /// The stored type.
        event_type: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// The version that every type has today.
pub const VERSION: u32 = 1;

impl Event {
    /// The stored type and payload.
    pub fn encode(&self) -> (String, Value) {
        let (tagged, place) = if let Self::Rollout { place, event } = self {
            (serde_json::to_value(event), Some(place))
        } else {
            (serde_json::to_value(self), None)
        };
        let mut payload = Value::Null;
        let mut name = String::new();
        // Serialising our own types fails for no value they can hold; an empty type would be refused by the journal.
        if let Ok(Value::Object(map)) = tagged
            && let Some((key, value)) = map.into_iter().next()
        {
            (name, payload) = (key, value);
        }
        if let (Some(place), Value::Object(fields)) = (place, &mut payload) {
            fields.insert("environment".to_owned(), Value::String(place.environment.to_string()));
            if let Some(service) = &place.service {
                fields.insert("service".to_owned(), Value::String(service.to_string()));
            }
        }
        (name, payload)
    }

    /// Reads what [`Event::encode`] wrote, of this version or an earlier one.
    pub fn decode(event_type: &str, version: u32, mut payload: Value) -> Result<Self, DecodeError> {
        if version != VERSION {
            return Err(DecodeError::UnknownVersion { event_type: event_type.to_owned(), version });
        }
        let wrong = |source| DecodeError::Payload { event_type: event_type.to_owned(), source };
        if !event_type.starts_with("rollout.") {
            return serde_json::from_value(tagged(event_type, payload)).map_err(wrong);
        }
        let mut taken = |name| payload.as_object_mut().and_then(|fields| fields.shift_remove(name)).unwrap_or_default();
        let (environment, service) = (taken("environment"), taken("service"));
        let place = Place {
            environment: serde_json::from_value(environment).map_err(wrong)?,
            service: serde_json::from_value(service).map_err(wrong)?,
        };
        Ok(Self::Rollout { place, event: serde_json::from_value(tagged(event_type, payload)).map_err(wrong)? })
    }
}

fn tagged(name: &str, payload: Value) -> Value {
    Value::Object(Map::from_iter([(name.to_owned(), payload)]))
}
