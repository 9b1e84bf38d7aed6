//! `prograde policy apply`.

use std::cell::Cell;

use jiff::Timestamp;
use prograde_policy::{Action, Policy, PolicyResult, RuleResult, Status};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use super::Inputs;
use super::read::{Read, Resource, read};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::one_line;
use crate::report::{self, Report};
use crate::text::counted;

/// How many answers there were of each kind.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    refused: u64,
    told: u64,
    passed: u64,
}

impl Counts {
    fn add(&mut self, result: &RuleResult) {
        match result.status {
            Status::Pass => self.passed += 1,
            Status::Skip => {}
            Status::Fail | Status::Warn | Status::Error if result.action == Action::Enforce => self.refused += 1,
            Status::Fail | Status::Warn | Status::Error => self.told += 1,
        }
    }
}

/// Applies the policies and shows what is broken.
pub(super) fn run(app: &App, inputs: &Inputs) -> Result<Exit, Report> {
    let read = read(app, inputs)?;
    let now = app.printer.now();
    let counts = if app.printer.style().json {
        let document = Document { read: &read, now, counts: Cell::default() };
        app.printer.json(&document)?;
        document.counts.get()
    } else {
        let mut counts = Counts::default();
        read.each(now, |resource, answers| {
            rules(&read, &answers).try_for_each(|(policy, result)| {
                counts.add(result);
                match result.status {
                    Status::Pass | Status::Skip => Ok(()),
                    Status::Fail | Status::Warn | Status::Error => tell(app, resource, policy, result),
                }
            })
        })?;
        counts
    };
    if counts.refused > 0 {
        let what = format!("{} refused by policy", counted(counts.refused, "violation"));
        return Err(Report::new(report::POLICY_REFUSES, what).exit(Exit::Refused).hint("each line says how to comply"));
    }
    let (passed, told) = (counted(counts.passed, "rule"), counted(counts.told, "violation"));
    app.printer.note("Good", format_args!("{passed} pass, {told} to look at"));
    Ok(Exit::Done)
}

fn rules<'a>(read: &'a Read<'_>, answers: &'a [PolicyResult]) -> impl Iterator<Item = (&'a Policy, &'a RuleResult)> {
    answers.iter().flat_map(|answer| {
        let policy = read.set.policies.get(answer.policy);
        policy.into_iter().flat_map(|policy| answer.results.iter().map(move |result| (policy, result)))
    })
}

fn tell(app: &App, resource: &Resource, policy: &Policy, result: &RuleResult) -> Result<(), Report> {
    let action = if result.action == Action::Enforce { "refused" } else { "told" };
    let place = format!("{}:{}", resource.file, resource.line(&result.path));
    let (name, status) = (policy.name(), result.status.as_str());
    app.printer.line(format_args!(
        "{place}: {}: {name}: {status} ({action}): {}",
        resource.named(),
        one_line(&result.message)
    ))?;
    match policy.annotation("prograde.dev/comply") {
        Some(comply) => app.printer.line(format_args!("  comply: {}", one_line(comply))),
        None => Ok(()),
    }
}

/// The whole answer, found out while it is written: of many resources it is never in memory as one.
struct Document<'a> {
    read: &'a Read<'a>,
    now: Timestamp,
    counts: Cell<Counts>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("results", &Results(self))?;
        let counts = self.counts.get();
        map.serialize_entry("refused", &counts.refused)?;
        map.serialize_entry("told", &counts.told)?;
        map.serialize_entry("passed", &counts.passed)?;
        map.end()
    }
}

struct Results<'a>(&'a Document<'a>);

impl Serialize for Results<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Document { read, now, counts } = self.0;
        let mut list = serializer.serialize_seq(None)?;
        let mut all = Counts::default();
        read.each(*now, |resource, answers| {
            rules(read, &answers).try_for_each(|(policy, result)| {
                all.add(result);
                list.serialize_element(&Told::of(resource, policy, result))
            })
        })?;
        counts.set(all);
        list.end()
    }
}

/// One answer, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    file: &'a str,
    line: u32,
    resource: String,
    policy: &'a str,
    rule: &'a str,
    result: &'static str,
    action: &'static str,
    message: &'a str,
    why: Option<&'a str>,
    comply: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn of(resource: &'a Resource, policy: &'a Policy, result: &'a RuleResult) -> Self {
        Self {
            file: &resource.file,
            line: resource.line(&result.path),
            resource: resource.named(),
            policy: policy.name(),
            rule: &result.rule,
            result: result.status.as_str(),
            action: if result.action == Action::Enforce { "enforce" } else { "audit" },
            message: &result.message,
            why: policy.annotation("policies.kyverno.io/description"),
            comply: policy.annotation("prograde.dev/comply"),
        }
    }
}
