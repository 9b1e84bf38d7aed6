//! What happened in a run, line by line, as a person reads it.

use std::fmt;

use prograde_model::event::{Event, Outcome, Recorded};
use prograde_model::ids::FlightId;
use prograde_model::rollout::{RolloutEvent, Strategy};
use serde::Serialize;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The world went on: a push, traffic, the calm after the faults.
    World,
    /// Something was made to go wrong.
    Fault,
    /// A person ordered something.
    Person,
    /// The controllers recorded a fact.
    Fact,
    /// The controllers asked the runtime for something.
    Runtime,
    /// Git was written.
    Git,
    /// An invariant broke.
    Broken,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Fault => "fault",
            Self::Person => "person",
            Self::Fact => "fact",
            Self::Runtime => "runtime",
            Self::Git => "git",
            Self::Broken => "BROKEN",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When, in milliseconds of the world's own time since the beginning.
    pub at_ms: i64,
    /// What it is about.
    pub kind: Kind,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, ms) = (self.at_ms / 1_000, self.at_ms % 1_000);
        write!(f, "{seconds:>5}.{ms:03} s  {:<8}{}", self.kind.word(), self.text)
    }
}

/// A flight's name within a story: ids are drawn, so the first digits are enough.
pub(crate) fn named(flight: &FlightId) -> &str {
    flight.short()
}

/// A fact in a line.
pub(crate) fn fact(recorded: &Recorded) -> String {
    let flight = named(&recorded.flight);
    let said = match &recorded.event {
        Event::Opened(opened) => format!("opened for {} ({})", opened.commit.short(), opened.subject),
        Event::Configured { .. } => "read and good".to_owned(),
        Event::Scanned(_) => "looked through".to_owned(),
        Event::JobStarted { job } => format!("job {job} started"),
        Event::JobFinished { job, .. } => format!("job {job} finished"),
        Event::PipelineFinished { succeeded, .. } => format!("pipeline {}", if *succeeded { "good" } else { "failed" }),
        Event::ReleaseRecorded(release) => format!("image {}", release.digest.short()),
        Event::Approved { environment, by } => format!("approved for {environment} by {by}"),
        Event::Overridden { environment, hold, by, reason } => {
            format!("let past {hold} into {environment} by {by}: {reason}")
        }
        Event::Proposed { place, commit } => format!("proposed for {place} by {}", commit.short()),
        Event::Merged { place, commit, by } => format!("merged into {place} by {} by {by}", commit.short()),
        Event::GatePassed { place, replaces } => match replaces {
            Some(other) => format!("enters {place}, where {} serves", named(other)),
            None => format!("enters {place}, where nothing serves"),
        },
        Event::Unchanged { place, serves } => format!("leaves {place} to {}, as nothing has changed", named(serves)),
        Event::Deployed { place, commit, .. } => format!("deployed to {place} by {}", commit.short()),
        Event::MigrationStarted { place, point_of_no_return, .. } => {
            format!("migration starts in {place}{}", if *point_of_no_return { ", for good" } else { "" })
        }
        Event::Migrated { place, failure: None, .. } => format!("migrated in {place}"),
        Event::Migrated { place, failure: Some(why), by: None } => {
            format!("migration failed in {place}: {why}")
        }
        Event::Migrated { place, failure: Some(why), by: Some(by) } => {
            format!("migration ended in {place} by {by}: {why}")
        }
        Event::Rollout { place, event } => format!("{}, in {place}", rollout(event)),
        Event::Checked { place, failure: None } => format!("checks are good in {place}"),
        Event::Checked { place, failure: Some(why) } => format!("checks fail in {place}: {why}"),
        Event::RollbackOrdered { place, to, by, reason, .. } => {
            let to = to.as_ref().map_or("nothing", named);
            format!("is taken back from {place} to {to} by {by}: {reason}")
        }
        Event::Quarantined { place, digest, reason } => {
            format!("digest {} may not enter {place}: {reason}", digest.short())
        }
        Event::QuarantineLifted { place, digest, by, .. } => {
            format!("digest {} may enter {place} again, by {by}", digest.short())
        }
        Event::Reverted { place, commit } => format!("reverted in {place} by {}", commit.short()),
        Event::Scaled { place, before, replicas, reason, .. } => {
            format!("scaled from {before} to {replicas} in {place}: {reason}")
        }
        Event::FlagSet { environment, flag, by, .. } => format!("flag {flag} set in {environment} by {by}"),
        Event::FlagUnset { environment, flag, by, .. } => format!("flag {flag} unset in {environment} by {by}"),
        Event::FlagWatched { environment, flag, .. } => format!("flag {flag} watched in {environment}"),
        Event::AuthorNotified { failures, .. } if failures.is_empty() => "author told".to_owned(),
        Event::AuthorNotified { failures, .. } => format!("author could not be told: {}", failures.join("; ")),
        Event::Ended { outcome } => format!("ended: {}", ended(outcome)),
    };
    format!("{flight} {said}")
}

fn rollout(event: &RolloutEvent) -> String {
    match event {
        RolloutEvent::Started(start) => {
            let how = match &start.strategy {
                Strategy::Recreate => "replacement",
                Strategy::Rolling { .. } => "rolling update",
                Strategy::BlueGreen { .. } => "blue-green release",
                Strategy::Return => "way back",
                Strategy::Canary { .. } => "canary",
            };
            format!("{how} of {} replicas started", start.replicas)
        }
        RolloutEvent::StepEntered { step, weight, .. } => format!("step {} entered: {weight}", step + 1),
        RolloutEvent::Marked { step, mark } => {
            let seen = &mark.candidate;
            format!("step {} marked: {} of {} requests failed", step + 1, seen.failures, seen.requests)
        }
        RolloutEvent::StepHeld { step, .. } => format!("step {} held: it can't be judged yet", step + 1),
        RolloutEvent::StepPassed { step, by: Some(by), .. } => format!("step {} let pass by {by}", step + 1),
        RolloutEvent::StepPassed { step, evidence, by: None, .. } => {
            let seen = &evidence.candidate;
            format!("step {} passed: {} of {} requests failed", step + 1, seen.failures, seen.requests)
        }
        RolloutEvent::Failed { cause, evidence, .. } => {
            let seen = &evidence.candidate;
            format!("FAILED: {cause} ({} of {} requests failed)", seen.failures, seen.requests)
        }
        RolloutEvent::Promoted { .. } => "promoted".to_owned(),
        RolloutEvent::Watched { .. } => "watched for long enough".to_owned(),
        RolloutEvent::Withdrawn { .. } => "withdrawn".to_owned(),
    }
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Landed => "it serves".to_owned(),
        Outcome::Refused { .. } => "refused".to_owned(),
        Outcome::Rejected { reason } => format!("rejected: {reason}"),
        Outcome::Stopped { environment, reason } => format!("not let into {environment}: {reason}"),
        Outcome::RolledBack { environment, reason } => format!("rolled back from {environment}: {reason}"),
        Outcome::Kept { environment, reason } => format!("failed in {environment} and serves on: {reason}"),
        Outcome::Aborted { by, reason } => format!("ended by {by}: {reason}"),
        Outcome::Superseded { by } => format!("gave way to {}", named(by)),
    }
}
