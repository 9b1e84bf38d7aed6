//! Every event that a journal may hold can be read for ever.
//!
//! `golden/events/<type>[.<variant>].v<version>.json` is a payload as that version stored it. **These files are never
//! changed and never deleted**: somewhere a journal holds such an event, and its hash chain forbids rewriting it. When the
//! form of an event has to change, raise its version, keep reading the old one in [`Event::decode`], and add files for the
//! new version beside the old. A new type or variant needs a file before these tests pass.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prograde_model::event::{DecodeError, Event, JobConclusion, Opened, Outcome, VERSION};
use prograde_model::flag::Setting;
use prograde_model::judge::Verdict;
use prograde_model::rollout::{Cause, RolloutEvent, Strategy};
use prograde_model::work::Work;
use serde_json::{Value, json};

/// A match without a wildcard and the list of all its answers, from one table: a variant that is not in the table does
/// not compile, and one that is in it needs a file.
macro_rules! forms {
    ($(fn $name:ident($kind:ty) in $all:ident { $($variant:pat => $text:literal,)+ })+) => {$(
        const $all: &[&str] = &[$($text),+];
        fn $name(of: &$kind) -> &'static str {
            match of { $($variant => $text,)+ }
        }
    )+};
}

forms! {
    fn event(Event) in EVENTS {
        Event::Opened(_) => "flight.opened",
        Event::Configured { .. } => "flight.configured",
        Event::Scanned(_) => "flight.scanned",
        Event::JobStarted { .. } => "pipeline.job_started",
        Event::JobFinished { .. } => "pipeline.job_finished",
        Event::PipelineFinished { .. } => "pipeline.finished",
        Event::ReleaseRecorded(_) => "release.recorded",
        Event::Approved { .. } => "gate.approved",
        Event::Overridden { .. } => "gate.overridden",
        Event::Proposed { .. } => "gate.proposed",
        Event::Merged { .. } => "gate.merged",
        Event::GatePassed { .. } => "gate.passed",
        Event::Unchanged { .. } => "environment.unchanged",
        Event::Deployed { .. } => "environment.deployed",
        Event::MigrationStarted { .. } => "environment.migration_started",
        Event::Migrated { .. } => "environment.migrated",
        Event::Rollout { .. } => "rollout",
        Event::Checked { .. } => "environment.checked",
        Event::RollbackOrdered { .. } => "environment.rollback_ordered",
        Event::Quarantined { .. } => "quarantine.set",
        Event::QuarantineLifted { .. } => "quarantine.lifted",
        Event::Reverted { .. } => "environment.reverted",
        Event::Scaled { .. } => "environment.scaled",
        Event::FlagSet { .. } => "flag.set",
        Event::FlagUnset { .. } => "flag.unset",
        Event::FlagWatched { .. } => "flag.watched",
        Event::AuthorNotified { .. } => "flight.author_notified",
        Event::Ended { .. } => "flight.ended",
    }
    fn rollout_event(RolloutEvent) in ROLLOUT_EVENTS {
        RolloutEvent::Started(_) => "rollout.started",
        RolloutEvent::StepEntered { .. } => "rollout.step_entered",
        RolloutEvent::Marked { .. } => "rollout.marked",
        RolloutEvent::StepHeld { .. } => "rollout.step_held",
        RolloutEvent::StepPassed { .. } => "rollout.step_passed",
        RolloutEvent::Watched { .. } => "rollout.watched",
        RolloutEvent::Failed { .. } => "rollout.failed",
        RolloutEvent::Promoted { .. } => "rollout.promoted",
        RolloutEvent::Withdrawn { .. } => "rollout.withdrawn",
    }
    fn outcome(Outcome) in OUTCOMES {
        Outcome::Landed => "landed",
        Outcome::Refused { .. } => "refused",
        Outcome::Rejected { .. } => "rejected",
        Outcome::Stopped { .. } => "stopped",
        Outcome::RolledBack { .. } => "rolled_back",
        Outcome::Kept { .. } => "kept",
        Outcome::Aborted { .. } => "aborted",
        Outcome::Superseded { .. } => "superseded",
    }
    fn cause(Cause) in CAUSES {
        Cause::Judged { .. } => "judged",
        Cause::Crashing { .. } => "crashing",
        Cause::NeverAvailable { .. } => "never_available",
        Cause::NotJudged { .. } => "not_judged",
        Cause::CheckFailed { .. } => "check_failed",
        Cause::Ordered { .. } => "ordered",
        Cause::Metric { .. } => "metric",
    }
    fn verdict(Verdict) in VERDICTS {
        Verdict::Pass => "pass",
        Verdict::Fail { .. } => "fail",
        Verdict::Inconclusive { .. } => "inconclusive",
        Verdict::Error { .. } => "error",
    }
    fn strategy(Strategy) in STRATEGIES {
        Strategy::Recreate => "recreate",
        Strategy::Rolling { .. } => "rolling",
        Strategy::BlueGreen { .. } => "blue_green",
        Strategy::Return => "return",
        Strategy::Canary { .. } => "canary",
    }
    fn setting(Setting) in SETTINGS {
        Setting::Variant(_) => "variant",
        Setting::Enabled => "enabled",
        Setting::Disabled => "disabled",
    }
    fn conclusion(JobConclusion) in CONCLUSIONS {
        JobConclusion::Success => "success",
        JobConclusion::Failure => "failure",
        JobConclusion::Cancelled => "cancelled",
        JobConclusion::Skipped => "skipped",
    }
}

/// The forms of a group's facts, which name a service, of commits that say what they mend, and of what a person scaled.
const OF_GROUPS: &[&str] = &[
    "flight.opened.fix",
    "flight.opened.reliability",
    "flight.configured.group",
    "flight.configured.asked",
    "environment.deployed.asked",
    "flight.scanned.looked_up",
    "release.recorded.group",
    "release.recorded.signed",
    "gate.passed.group",
    "environment.rollback_ordered.group",
    "environment.scaled.by_hand",
    "rollout.withdrawn.group",
];

/// The variants of a type, where it has any; the options that are empty or filled count as well.
fn variants(event_type: &str) -> Vec<&'static str> {
    let variants: &[&str] = match event_type {
        "pipeline.job_finished" => return [CONCLUSIONS, &["tolerated"]].concat(),
        "pipeline.finished" => &["succeeded", "failed"],
        "gate.passed" => &["first", "replacing"],
        "environment.migration_started" => &["returnable", "for_good"],
        "environment.migrated" => &["good", "failed", "stopped"],
        "environment.checked" | "flag.watched" => &["good", "failed"],
        "environment.rollback_ordered" => &["emptied", "back"],
        "flag.set" => SETTINGS,
        "flight.ended" => OUTCOMES,
        "rollout.started" => return [STRATEGIES, &["autoscaled", "segmented"]].concat(),
        "rollout.step_held" => VERDICTS,
        "rollout.failed" => return [CAUSES, &["serves_on", "within_step"]].concat(),
        _ => &[],
    };
    variants.to_vec()
}

/// The name of an event's file, less version and ending.
fn form(of: &Event) -> String {
    let variant = match of {
        Event::Opened(Opened { work: Some(Work::Fix), .. }) => "fix",
        Event::Opened(Opened { work: Some(Work::Reliability), .. }) => "reliability",
        Event::Configured { group, .. } if !group.is_empty() => "group",
        Event::Configured { policies, .. } | Event::Deployed { policies, .. } if !policies.is_empty() => "asked",
        Event::Scanned(report) if report.database.is_some() => "looked_up",
        Event::Scaled { by: Some(_), .. } => "by_hand",
        Event::ReleaseRecorded(release) if release.evidence.is_some() => "signed",
        Event::ReleaseRecorded(release) if release.service.is_some() => "group",
        Event::GatePassed { place, .. } | Event::RollbackOrdered { place, .. } if place.service.is_some() => "group",
        Event::Rollout { place, .. } if place.service.is_some() => "group",
        Event::JobFinished { result, .. } if result.tolerated => "tolerated",
        Event::JobFinished { result, .. } => conclusion(&result.conclusion),
        Event::PipelineFinished { succeeded, .. } => ["failed", "succeeded"][usize::from(*succeeded)],
        Event::GatePassed { replaces, .. } => ["first", "replacing"][usize::from(replaces.is_some())],
        Event::MigrationStarted { point_of_no_return, .. } => {
            ["returnable", "for_good"][usize::from(*point_of_no_return)]
        }
        Event::Migrated { by: Some(_), .. } => "stopped",
        Event::Migrated { failure, .. } | Event::Checked { failure, .. } => {
            ["good", "failed"][usize::from(failure.is_some())]
        }
        Event::RollbackOrdered { to, .. } => ["emptied", "back"][usize::from(to.is_some())],
        Event::FlagSet { to, .. } => setting(to),
        Event::FlagWatched { limit, .. } => ["good", "failed"][usize::from(limit.is_some())],
        Event::Ended { outcome: how } => outcome(how),
        Event::Rollout { event: RolloutEvent::Started(start), .. } if start.autoscaled.is_some() => "autoscaled",
        Event::Rollout { event: RolloutEvent::Started(start), .. } if start.segments > 0 => "segmented",
        Event::Rollout { event: RolloutEvent::Started(start), .. } => strategy(&start.strategy),
        Event::Rollout { event: RolloutEvent::StepHeld { verdict: said, .. }, .. } => verdict(said),
        Event::Rollout { event: RolloutEvent::Failed { serves_on: true, .. }, .. } => "serves_on",
        Event::Rollout { event: RolloutEvent::Failed { cause: Cause::Judged { finding, .. }, .. }, .. }
            if finding.as_ref().is_some_and(|finding| finding.since_ms.is_some()) =>
        {
            "within_step"
        }
        Event::Rollout { event: RolloutEvent::Failed { cause: why, .. }, .. } => cause(why),
        Event::Rollout { event, .. } => return rollout_event(event).to_owned(),
        Event::Opened(_)
        | Event::Overridden { .. }
        | Event::Proposed { .. }
        | Event::Merged { .. }
        | Event::Configured { .. }
        | Event::Scanned(_)
        | Event::JobStarted { .. }
        | Event::ReleaseRecorded(_)
        | Event::Approved { .. }
        | Event::Unchanged { .. }
        | Event::Deployed { .. }
        | Event::Quarantined { .. }
        | Event::QuarantineLifted { .. }
        | Event::Reverted { .. }
        | Event::Scaled { .. }
        | Event::FlagUnset { .. }
        | Event::AuthorNotified { .. } => return event(of).to_owned(),
    };
    let event_type = if let Event::Rollout { event, .. } = of { rollout_event(event) } else { event(of) };
    format!("{event_type}.{variant}")
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events")
}

/// Every kept file: its form, type, version and payload.
fn kept() -> Vec<(String, String, u32, Value)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let mut kept: Vec<_> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            let (form, version) = name.strip_suffix(".json").unwrap().rsplit_once(".v").unwrap();
            let event_type = form.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
            let payload = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            (form.to_owned(), event_type, version.parse().unwrap(), payload)
        })
        .collect();
    kept.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
    kept
}

#[test]
fn every_kept_event_is_read_and_today_s_are_written_the_same_again() {
    for (name, event_type, version, payload) in kept() {
        let read = Event::decode(&event_type, version, payload.clone()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(form(&read), name, "the file's name says what is in it");
        let (written_type, written) = read.encode();
        assert_eq!(written_type, event_type, "{name}");
        if version == VERSION {
            assert_eq!(written, payload, "{name}");
        }
        assert_eq!(Event::decode(&written_type, VERSION, written).unwrap(), read, "{name}: nothing is lost");
    }
}

#[test]
fn every_type_and_variant_is_kept() {
    let types = EVENTS.iter().filter(|t| **t != "rollout").chain(ROLLOUT_EVENTS);
    let wanted: BTreeSet<String> = types
        .flat_map(|event_type| match variants(event_type).as_slice() {
            [] => vec![(*event_type).to_owned()],
            variants => variants.iter().map(|variant| format!("{event_type}.{variant}")).collect(),
        })
        .collect();
    let today = kept().into_iter().filter(|(_, _, version, _)| *version == VERSION);
    let of_groups = OF_GROUPS.iter().map(|form| (*form).to_owned());
    assert_eq!(today.map(|(form, ..)| form).collect::<BTreeSet<_>>(), wanted.into_iter().chain(of_groups).collect());
}

#[test]
fn what_is_not_known_is_refused_and_named() {
    let ended = || json!({ "outcome": { "outcome": "landed" } });
    assert!(Event::decode("flight.ended", VERSION, ended()).is_ok());
    let later = Event::decode("flight.ended", VERSION + 1, ended()).unwrap_err();
    assert_eq!(later.to_string(), "event flight.ended has version 2, which this prograde does not know");
    for (event_type, payload) in [
        ("flight.landed", ended()),
        ("", ended()),
        ("rollout", ended()),
        ("rollout.flown", json!({ "environment": "production" })),
        ("rollout.promoted", json!({ "candidate": { "requests": 1, "failures": 0, "latency_us_sum": 1 } })),
        ("rollout.promoted", json!(7)),
        ("flight.ended", json!({ "outcome": { "outcome": "lost" } })),
        ("flight.ended", Value::Null),
        ("gate.approved", json!({ "environment": "../etc", "by": "ann" })),
    ] {
        let error = Event::decode(event_type, VERSION, payload.clone()).unwrap_err();
        assert!(matches!(&error, DecodeError::Payload { event_type: named, .. } if named == event_type), "{error:?}");
    }
}
