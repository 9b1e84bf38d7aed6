//! A migration: what a release does to its data before its first replica starts, and how that went in one environment.
//!
//! It may be run more than once, as a server that dies while it runs can't know how far it came; and it is never run
//! backwards: what serves again after a rollback serves with the data that the migration left.

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::event::{Event, Outcome};
use crate::fleet::Fleet;
use crate::flight::{Flight, Refusal};
use crate::ids::{EnvironmentName, Target};
use crate::quantity::Period;
use crate::rollout::{Phase, Promoted, Watched};
use crate::service::{Environment, Problem, Service};

/// The most arguments.
const ARGS_MAX: usize = 100;
/// The longest argument, in bytes.
const ARG_BYTES_MAX: usize = 4_096;
/// The longest that a migration may take.
const TIMEOUT_MAX: SignedDuration = SignedDuration::from_hours(24);

/// What a release's image does to the data of an environment before its first replica starts there: run once with these
/// arguments and the workload's variables, good when it ends with status 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Migration {
    /// The program's arguments, in place of those of the image or the manifest.
    pub args: Vec<String>,
    /// How long it may take, up to `24h`; default `10m`. One that takes longer is ended and has failed.
    #[serde(default = "default_timeout")]
    pub timeout: Period,
    /// Whether the release before can't serve with the data that it leaves; default `false`. Each environment then asks
    /// for an approval, and once the release serves, nothing but an explicit order takes it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub point_of_no_return: bool,
}

fn default_timeout() -> Period {
    Period::seconds(600)
}

impl Migration {
    /// What the types can't refuse.
    pub(crate) fn problems(&self, at: &[&str]) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add = |field: &str, message: String, hint: &str| {
            let path = [at, &["migration", field]].concat().into_iter().map(str::to_owned).collect();
            found.push(Problem { path, message, hint: hint.to_owned() });
        };
        let wrong = |arg: &String| arg.len() > ARG_BYTES_MAX || arg.contains('\0');
        if self.args.is_empty() || self.args.len() > ARGS_MAX || self.args.iter().any(wrong) {
            let message = format!("a migration has 1 to {ARGS_MAX} arguments of up to {ARG_BYTES_MAX} bytes");
            add("args", message, "write `args: [migrate]`: without any it would be another replica");
        }
        if self.timeout.is_zero() || self.timeout.duration() > TIMEOUT_MAX {
            let message = "a migration may take more than no time and up to a day".to_owned();
            add("timeout", message, "leave it out for `10m`, or write up to `24h`");
        }
        found
    }
}

/// How a release's migration goes in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationState {
    /// Whether nothing but an explicit order takes the release back once it serves.
    pub point_of_no_return: bool,
    /// How it ended, if it has.
    pub ended: Option<Result<(), MigrationFailure>>,
}

/// Why a migration did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationFailure {
    /// The program failed, took too long, or could not be started.
    #[error("the migration failed: {0}")]
    Failed(String),
    /// A person ended it.
    #[error("ordered by {by}: {reason}")]
    Ended {
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
}

impl MigrationFailure {
    /// How a flight ends that leaves an environment for it; `of` says which service of a group.
    pub(crate) fn outcome(&self, environment: &EnvironmentName, of: &str) -> Outcome {
        match self {
            Self::Failed(_) => Outcome::RolledBack { environment: environment.clone(), reason: format!("{of}{self}") },
            Self::Ended { by, reason } => Outcome::Aborted { by: by.clone(), reason: reason.clone() },
        }
    }
}

impl Service {
    /// How many people must approve before an environment is entered: one at least where what follows can't be undone.
    pub fn approvals(&self, environment: &Environment) -> u32 {
        environment.gate.approvals.max(u32::from(self.has_point_of_no_return()))
    }

    /// Whether its migration can't be undone.
    pub fn has_point_of_no_return(&self) -> bool {
        let of_group = self.services.iter().filter_map(|member| member.migration.as_ref());
        self.migration.iter().chain(of_group).any(|migration| migration.point_of_no_return)
    }
}

impl Entry {
    pub(crate) fn take_migration_end(&mut self, failure: Option<&String>, by: Option<&String>) {
        let failed = failure.cloned().map(|reason| match by.cloned() {
            Some(by) => MigrationFailure::Ended { by, reason },
            None => MigrationFailure::Failed(reason),
        });
        // A person may end it before it was begun.
        let migration = self.migration.get_or_insert(MigrationState { point_of_no_return: false, ended: None });
        migration.ended = Some(failed.map_or(Ok(()), Err));
    }

    /// Why its migration did not end well, if it did not.
    pub fn migration_failure(&self) -> Option<&MigrationFailure> {
        self.migration.as_ref()?.ended.as_ref()?.as_ref().err()
    }

    /// Whether its migration was started and has not ended.
    pub fn is_migrating(&self) -> bool {
        self.migration.as_ref().is_some_and(|migration| migration.ended.is_none())
    }

    /// Whether what served before can't serve again without more ado: a migration that can't be undone was started, and
    /// the release has had all traffic. Until then the stable version serves with the migrated data anyway.
    pub fn is_past_return(&self) -> bool {
        let promoted = self.rollout.as_ref().is_some_and(|r| matches!(r.phase, Phase::Promoted(_)));
        promoted && self.migration.as_ref().is_some_and(|migration| migration.point_of_no_return)
    }

    /// What failed although it serves on, as it is past a point of no return and nobody has taken it back.
    pub fn kept(&self) -> Option<String> {
        if self.rollback.is_some() || !self.is_past_return() {
            return None;
        }
        if let Some(Err(reason)) = &self.checked {
            return Some(reason.clone());
        }
        match &self.rollout.as_ref()?.phase {
            Phase::Promoted(Promoted { watched: Watched::Failed { cause }, .. }) => Some(cause.to_string()),
            Phase::Promoted(_)
            | Phase::Preparing { .. }
            | Phase::Baking(_)
            | Phase::Withdrawing { .. }
            | Phase::Withdrawn { .. } => None,
        }
    }
}

impl Flight {
    /// What a service declares of its migration.
    pub fn migration(&self, target: &Target) -> Option<&Migration> {
        let service = self.service_config()?;
        let of_group = service.services.iter().find(|member| member.name == target.service);
        of_group.map_or(service.migration.as_ref(), |member| member.migration.as_ref())
    }

    /// The intent is on record before anything is run.
    pub(crate) fn decide_migrating(&self, target: &Target) -> Vec<Event> {
        let begun = self.entry(target).is_some_and(|entry| entry.migration.is_some());
        let started = self.migration(target).filter(|_| !begun).map(|migration| Event::MigrationStarted {
            place: self.place(target),
            args: migration.args.clone(),
            point_of_no_return: migration.point_of_no_return,
        });
        started.into_iter().collect()
    }

    /// What a migration that has ended means: after a failed one the release has no way in.
    pub fn migrated(&self, fleet: &Fleet, target: &Target, failure: Option<String>) -> Vec<Event> {
        let mut events = vec![Event::Migrated { place: self.place(target), failure: failure.clone(), by: None }];
        if let Some(reason) = failure {
            let reason = MigrationFailure::Failed(reason).to_string();
            events.extend(self.quarantine(fleet, target, &reason));
        }
        events
    }

    /// A person ends it while it migrates: the program is ended, and the release goes out.
    pub(crate) fn end_migration(&self, target: &Target, by: &str, reason: &str) -> Event {
        let (failure, by) = (Some(reason.to_owned()), Some(by.to_owned()));
        Event::Migrated { place: self.place(target), failure, by }
    }

    /// A release that failed past its point of no return serves on, and goes no further.
    pub(crate) fn decide_kept(&self, target: &Target) -> Vec<Event> {
        let kept = self.entry(target).and_then(Entry::kept);
        let environment = target.environment.clone();
        let ended = kept.map(|reason| Event::Ended { outcome: Outcome::Kept { environment, reason } });
        ended.into_iter().collect()
    }

    pub(crate) fn past_return(&self, environment: &EnvironmentName) -> Refusal {
        Refusal::PastReturn { flight: self.id.clone(), environment: environment.clone() }
    }
}

#[cfg(test)]
mod tests;
