//! What may have hurt users: the changes before it, the likeliest first, each with what takes it back.
//!
//! The order is one that a person can follow: what changed within ten minutes before the harm began comes before what
//! changed within the hour, then the six hours, then the day, then all others. Within such a stretch, what is still in force
//! comes before what is gone, the service that is hurt before those that it needs, and releases before manifests alone,
//! flags and rollbacks; then the later change.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Way;
use super::changes::{Change, Changes, What};
use crate::flag::Setting;
use crate::fleet::Fleet;
use crate::ids::{CommitId, EnvironmentName, FlightId, ServiceName, Target};

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The service that is hurt, and where.
    pub target: Target,
    /// Since when.
    pub since: Timestamp,
    /// How long before that a change may have been.
    pub window: SignedDuration,
    /// What the offered commands give as their reason, such as `INC-1`.
    pub reason: String,
}

/// A change that may have hurt users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspect {
    /// The service that was changed.
    pub service: ServiceName,
    /// Where.
    pub environment: EnvironmentName,
    /// Whether it is the service that is hurt, rather than one that it needs.
    pub is_hurt: bool,
    /// `release`, `config`, `flag` or `rollback`.
    pub kind: String,
    /// What changed, in a line.
    pub what: String,
    /// The flight that brought it, or that served.
    pub flight: FlightId,
    /// Its commit.
    pub commit: Option<CommitId>,
    /// Who wrote the commit, or who ordered the change.
    pub author: String,
    /// When users met it for the last time before they were hurt: the moment that counts.
    #[schemars(with = "String")]
    pub changed_at: Timestamp,
    /// How many seconds that was before.
    pub before_s: u64,
    /// When its share of traffic rose, and to how many percent.
    pub steps: Vec<Exposure>,
    /// Whether it is still in force.
    pub in_force: bool,
    /// Shows what changed, in the service's repository.
    pub diff: Option<String>,
    /// What takes it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The command for it.
    pub mitigation: Option<String>,
    /// Why nothing takes it back.
    pub no_way: Option<String>,
}

/// A moment from which a change had a share of traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// How many percent.
    pub percent: u8,
}

/// How much later than the harm a change may be recorded, as the harm's beginning is often known to the minute only.
const SLACK: SignedDuration = SignedDuration::from_secs(60);
/// The stretches of time, in seconds.
const STRETCHES: [u64; 4] = [10 * 60, 3_600, 6 * 3_600, 86_400];
/// How many are told of.
const SUSPECTS_MAX: usize = 50;

/// The services that one needs in its environment, as far as is known: those of its group that it comes after.
pub fn needs(fleet: &Fleet, target: &Target) -> BTreeSet<ServiceName> {
    let config = fleet.current(target).and_then(|id| fleet.flight(id)).and_then(|flight| flight.service_config());
    let mut found = BTreeSet::new();
    let mut open = vec![target.service.clone()];
    while let Some(name) = open.pop() {
        let member = config.into_iter().flat_map(|service| &service.services).find(|member| member.name == name);
        let after = member.into_iter().flat_map(|member| &member.after).cloned();
        open.extend(after.filter(|needed| *needed != target.service && found.insert(needed.clone())));
    }
    found
}

/// The changes that may have done it, the likeliest first.
pub fn suspects(changes: &Changes, fleet: &Fleet, question: &Question) -> Vec<Suspect> {
    let needed = needs(fleet, &question.target);
    let concerns = |target: &Target| {
        let is_near = target.service == question.target.service || needed.contains(&target.service);
        target.environment == question.target.environment && is_near
    };
    let all = changes.all().iter().filter(|change| concerns(&change.target));
    let mut found: Vec<Suspect> = all.filter_map(|change| suspect(changes, fleet, change, question)).collect();
    found.sort_by_key(|suspect| {
        let stretch = STRETCHES.iter().position(|longest| suspect.before_s <= *longest).unwrap_or(STRETCHES.len());
        let kind = ["release", "config", "flag", "rollback"].iter().position(|kind| *kind == suspect.kind);
        (stretch, !suspect.in_force, !suspect.is_hurt, kind, suspect.before_s, suspect.flight.clone())
    });
    found.truncate(SUSPECTS_MAX);
    found
}

fn suspect(changes: &Changes, fleet: &Fleet, change: &Change, question: &Question) -> Option<Suspect> {
    let last = question.since.checked_add(SLACK).ok()?;
    let met = change.steps.iter().map(|(at, _)| *at).filter(|at| *at <= last).max()?;
    let before = question.since.duration_since(met).max(SignedDuration::ZERO);
    if before > question.window {
        return None;
    }
    let in_force = change.ended_at.is_none() && !matches!(change.what, What::Flag { to: None, .. });
    let (flight, author) = match &change.what {
        What::Release { flight, author, .. } => (flight, &author.name),
        What::Return { flight, by, .. } | What::Flag { flight, by, .. } => (flight, by),
    };
    let (way, mitigation, no_way) = match way_back(fleet, change, question) {
        Ok((way, command)) => (Some(way), Some(command), None),
        Err(why) => (None, None, Some(why)),
    };
    let percent = |(at, weight): &(Timestamp, crate::ids::Weight)| Exposure { at: *at, percent: weight.percent() };
    Some(Suspect {
        service: change.target.service.clone(),
        environment: change.target.environment.clone(),
        is_hurt: change.target.service == question.target.service,
        kind: kind(&change.what).to_owned(),
        what: what(&change.what),
        flight: flight.clone(),
        commit: changes.commit(flight).cloned(),
        author: author.clone(),
        changed_at: met,
        before_s: u64::try_from(before.as_secs()).unwrap_or(0),
        steps: change.steps.iter().map(percent).collect(),
        in_force,
        diff: diff(&change.what),
        way,
        mitigation,
        no_way,
    })
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Release { config_only: false, .. } => "release",
        What::Release { config_only: true, .. } => "config",
        What::Flag { .. } => "flag",
        What::Return { .. } => "rollback",
    }
}

fn what(what: &What) -> String {
    match what {
        What::Release { subject, config_only, migrated, .. } => {
            let only = if *config_only { " (manifests only)" } else { "" };
            let data = if *migrated { " (with a migration)" } else { "" };
            format!("{subject}{only}{data}")
        }
        What::Return { flight, to: Some(to), reason, .. } => {
            format!("flight {} was taken back to {}: {reason}", flight.short(), to.short())
        }
        What::Return { flight, to: None, reason, .. } => format!("flight {} was taken out: {reason}", flight.short()),
        What::Flag { flag, to: Some(to), reason, .. } => format!("flag {flag} was set to {to}: {reason}"),
        What::Flag { flag, to: None, reason, .. } => format!("flag {flag} was left to Git: {reason}"),
    }
}

fn diff(what: &What) -> Option<String> {
    match what {
        What::Release { commit, replaces: Some((_, before)), .. } => Some(format!("git diff {before}..{commit}")),
        What::Release { commit, replaces: None, .. } => Some(format!("git show {commit}")),
        What::Return { .. } | What::Flag { .. } => None,
    }
}

/// What takes a change back, with its command, or why there is none.
fn way_back(fleet: &Fleet, change: &Change, question: &Question) -> Result<(Way, String), String> {
    let Target { environment, service } = &change.target;
    let reason = quoted(&question.reason);
    let (service_name, environment_name) = (service.clone(), environment.clone());
    match &change.what {
        What::Release { flight, replaces, .. } => {
            let before = replaces.as_ref().map(|(id, _)| id);
            let to = release_back(fleet, &change.target, flight, before, change.ended_at)?;
            let way = Way::Rollback { service: service_name, environment: environment_name, flight: flight.clone() };
            Ok((way, format!("prograde rollback {service} --environment {environment}{to} --reason {reason}")))
        }
        What::Return { .. } => Err("push a commit that puts right what it was taken back for".to_owned()),
        What::Flag { .. } if change.ended_at.is_some() => Err("the flag was changed again since".to_owned()),
        What::Flag { flag, from, to, .. } => {
            let place = format!("{} -s {service} -e {environment}", quoted(flag));
            let command = match (from, to) {
                (None, None) => return Err("the flag was not set before".to_owned()),
                (None, Some(_)) => format!("prograde flag unset {place} --reason {reason}"),
                (Some(Setting::Variant(variant)), _) => {
                    format!("prograde flag set {place} --variant {} --reason {reason}", quoted(variant))
                }
                (Some(state @ (Setting::Enabled | Setting::Disabled)), _) => {
                    format!("prograde flag set {place} --state {state} --reason {reason}")
                }
            };
            let (flag, to) = (flag.clone(), from.clone());
            Ok((Way::Flag { service: service_name, environment: environment_name, flag, to }, command))
        }
    }
}

/// What a rollback's command says of where to, or why it would be refused: asked of the order itself.
fn release_back(
    fleet: &Fleet,
    target: &Target,
    flight: &FlightId,
    before: Option<&FlightId>,
    ended: Option<Timestamp>,
) -> Result<String, String> {
    let busy = fleet.active().find(|other| other.standing(target).is_busy());
    let inside = busy.map(|other| &other.id).or_else(|| fleet.current(target));
    let ordered = inside.and_then(|id| fleet.flight(id)).ok_or_else(|| "nothing serves there".to_owned())?;
    let try_order = |to: Option<&FlightId>| {
        let asked = ordered.roll_back(fleet, target, (to.cloned(), false), "incident", "incident");
        asked.map(|_| to.map(|to| format!(" --to {}", to.short())).unwrap_or_default()).map_err(|why| why.to_string())
    };
    match ended {
        _ if ordered.id == *flight => try_order(None),
        None => Err(format!("flight {} is on its way there: abort it first", ordered.id.short())),
        // It was replaced by what may well hold the same commit; what was before it is further back.
        Some(_) if fleet.flight(flight).is_some_and(|gone| gone.standing(target).serves()) => match before {
            Some(before) => try_order(Some(before)),
            None => Err("nothing served before it".to_owned()),
        },
        Some(_) => Err("it is out already".to_owned()),
    }
}

/// A text as one word of a shell (POSIX.1-2017, Shell Command Language, section 2.2.2).
pub(super) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
