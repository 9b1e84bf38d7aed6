//! What happened and when, in one list: flights, alerts, pages, and what people did and wrote down.
//!
//! Each source gives [`Entry`]s of its own; [`timeline`] puts them in order. A new source needs nothing but that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::event::IncidentEvent;
use super::state::{Incident, Link, Origin};
use crate::alert::{AlertEvent, Fingerprint};
use crate::event::{Event, Recorded};
use crate::ids::{FlightId, ServiceName, Target};
use crate::rollout::{RolloutEvent, Start, Strategy};

/// From when until when is told.
pub use crate::dora::Span;

/// Where an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A flight, or a flag.
    Flight,
    /// An alert, or who was told of it.
    Alert,
    /// A page.
    Page,
    /// A runbook that somebody went through.
    Runbook,
    /// The incident itself.
    Incident,
    /// What a person wrote down.
    Note,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Where it comes from.
    pub kind: Kind,
    /// What, in a line or, where a person wrote it down, more.
    pub text: String,
    /// Who did it, if a person did.
    pub by: Option<String>,
    /// The flight that it is about.
    pub flight: Option<FlightId>,
}

/// How many entries a timeline has at most: the first ones, then those that are not left out.
const ENTRIES_MAX: usize = 2_000;

/// All of it in order of time; nothing twice.
pub fn timeline(sources: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let ordered: BTreeSet<Entry> = sources.into_iter().collect();
    ordered.into_iter().take(ENTRIES_MAX).collect()
}

/// What the incident's own facts tell.
pub fn incident_entries(incident: &Incident) -> Vec<Entry> {
    let entry = |(at, fact): &(Timestamp, IncidentEvent)| {
        let (kind, at) = match fact {
            IncidentEvent::NoteAdded { about, .. } => (Kind::Note, *about),
            IncidentEvent::Declared { .. }
            | IncidentEvent::SeverityChanged { .. }
            | IncidentEvent::RoleTaken { .. }
            | IncidentEvent::StageChanged { .. }
            | IncidentEvent::LinkAdded { .. }
            | IncidentEvent::Described { .. }
            | IncidentEvent::UpdatePublished { .. }
            | IncidentEvent::Unpublished { .. }
            | IncidentEvent::MitigationBegun { .. }
            | IncidentEvent::MitigationFailed { .. }
            | IncidentEvent::Mitigated { .. }
            | IncidentEvent::Resolved { .. }
            | IncidentEvent::Reopened { .. }
            | IncidentEvent::Merged { .. }
            | IncidentEvent::PostmortemPublished { .. }
            | IncidentEvent::ActionAdded { .. }
            | IncidentEvent::ActionDone { .. }
            | IncidentEvent::ActionDropped { .. }
            | IncidentEvent::ActionOverridden { .. }
            | IncidentEvent::ActionFileAsked { .. }
            | IncidentEvent::ActionFiled { .. }
            | IncidentEvent::TicketClosed { .. } => (Kind::Incident, *at),
        };
        Entry { at, kind, text: told(fact), by: fact.person().map(str::to_owned), flight: None }
    };
    incident.facts.iter().map(entry).collect()
}

/// A fact in a line.
fn told(fact: &IncidentEvent) -> String {
    match fact {
        IncidentEvent::Declared { incident, title, severity, origin, .. } => {
            let by = match origin {
                Origin::Person { by } => format!("by {by}"),
                Origin::Page { page } => format!("by page {page}"),
                Origin::Judge { flight } => {
                    format!("as flight {} was taken back and requests go on failing", flight.short())
                }
            };
            format!("{incident} declared {severity} {by}: {title}")
        }
        IncidentEvent::SeverityChanged { from, to, reason, .. } => format!("severity {from} to {to}: {reason}"),
        IncidentEvent::RoleTaken { role, person, before: None, .. } => format!("{person} takes the role {role}"),
        IncidentEvent::RoleTaken { role, person, before: Some(before), .. } => {
            format!("{person} takes the role {role} over from {before}")
        }
        IncidentEvent::StageChanged { from, to, skipped, .. } if skipped.is_empty() => {
            format!("{from} is over, now {to}")
        }
        IncidentEvent::StageChanged { from, to, skipped, .. } => {
            let skipped: Vec<&str> = skipped.iter().map(|stage| stage.word()).collect();
            format!("{from} is over, now {to}; left out: {}", skipped.join(", "))
        }
        IncidentEvent::NoteAdded { text, .. } => text.clone(),
        IncidentEvent::LinkAdded { link, .. } => format!("linked to {link}"),
        IncidentEvent::Described { title, channel, stakeholders, .. } => {
            let title = title.iter().map(|title| format!("title: {title}"));
            let channel = channel.iter().map(|channel| format!("channel: {channel}"));
            let all = stakeholders.iter().map(|all| format!("stakeholders: {}", all.join(", ")));
            title.chain(channel).chain(all).collect::<Vec<_>>().join("; ")
        }
        IncidentEvent::UpdatePublished { message, .. } => format!("published: {message}"),
        IncidentEvent::Unpublished { .. } => "taken off the status page".to_owned(),
        IncidentEvent::MitigationBegun { way, .. } => format!("to end the harm, {way}"),
        IncidentEvent::MitigationFailed { why, .. } => format!("that was refused: {why}"),
        IncidentEvent::Mitigated { how, .. } => format!("mitigated: {how}"),
        IncidentEvent::Resolved { cause, .. } => format!("resolved: {cause}"),
        IncidentEvent::Reopened { reason, .. } => format!("reopened: {reason}"),
        IncidentEvent::Merged { into, .. } => format!("merged into {into}"),
        IncidentEvent::PostmortemPublished { sha256, .. } => {
            format!("post-mortem published, sha256 {}", sha256.get(..12).unwrap_or(sha256))
        }
        IncidentEvent::ActionAdded { action, title, owner, due, .. } => {
            format!("{action} added for {owner}, due {due}: {title}")
        }
        IncidentEvent::ActionDone { action, note, .. } => format!("{action} done: {note}"),
        IncidentEvent::ActionDropped { action, reason, .. } => format!("{action} dropped: {reason}"),
        IncidentEvent::ActionOverridden { action, until, reason, .. } => {
            format!("releases do not wait for {action} until {until}: {reason}")
        }
        IncidentEvent::ActionFileAsked { action, tracker, .. } => match tracker {
            Some(tracker) => format!("{action} is to have a ticket in {tracker}"),
            None => format!("{action} is to have a ticket"),
        },
        IncidentEvent::ActionFiled { action, url, .. } => format!("{action} has a ticket: {url}"),
        IncidentEvent::TicketClosed { action, tracker, ticket } => {
            format!("the ticket of {action} is closed: {ticket} in {tracker}")
        }
    }
}

/// What a flight's fact tells of one of the services; nothing where it is about others or of no interest.
pub fn flight_entries(
    changes: &Changes,
    recorded: &Recorded,
    services: &BTreeSet<ServiceName>,
    near: &Target,
    span: Span,
) -> Option<Entry> {
    if !span.contains(recorded.at) {
        return None;
    }
    let (place, text, by) = of_flight(&recorded.event)?;
    let target = changes.target(&recorded.flight, &place)?;
    let concerns = target.environment == near.environment && services.contains(&target.service);
    let by = by.filter(|by| !["judge", "checks", "group"].contains(by)).map(str::to_owned);
    let flight = Some(recorded.flight.clone());
    concerns.then(|| Entry {
        at: recorded.at,
        kind: Kind::Flight,
        text: format!("{} flight {}: {text}", target.service, recorded.flight.short()),
        by,
        flight,
    })
}

/// Where a fact was, what it tells, and who did it.
fn of_flight(event: &Event) -> Option<(crate::event::Place, String, Option<&str>)> {
    let place = |environment: &crate::ids::EnvironmentName| crate::event::Place {
        environment: environment.clone(),
        service: None,
    };
    match event {
        Event::GatePassed { place, .. } => Some((place.clone(), "passed the gate".to_owned(), None)),
        Event::MigrationStarted { place, args, .. } => {
            Some((place.clone(), format!("migration started: {}", args.join(" ")), None))
        }
        Event::Migrated { place, failure, by } => {
            let how = failure.as_ref().map_or("done".to_owned(), |why| format!("failed: {why}"));
            Some((place.clone(), format!("migration {how}"), by.as_deref()))
        }
        Event::Rollout { place, event } => Some((place.clone(), of_rollout(event)?, None)),
        Event::Checked { place, failure: Some(why) } => Some((place.clone(), format!("a check failed: {why}"), None)),
        Event::RollbackOrdered { place, to, by, reason, .. } => {
            let to = to.as_ref().map_or("nothing".to_owned(), |to| format!("flight {}", to.short()));
            Some((place.clone(), format!("to be taken back to {to}, by {by}: {reason}"), Some(by)))
        }
        Event::Quarantined { place, digest, .. } => {
            Some((place.clone(), format!("image {} is in quarantine", digest.short()), None))
        }
        Event::QuarantineLifted { place, digest, by, reason } => {
            Some((place.clone(), format!("image {} is out of quarantine: {reason}", digest.short()), Some(by)))
        }
        Event::FlagSet { environment, flag, by, reason, .. } => {
            Some((place(environment), format!("flag {flag} set by {by}: {reason}"), Some(by)))
        }
        Event::FlagUnset { environment, flag, by, reason, .. } => {
            Some((place(environment), format!("flag {flag} left to Git by {by}: {reason}"), Some(by)))
        }
        Event::Scaled { place, before, replicas, reason, by: Some(by) } => {
            Some((place.clone(), format!("scaled from {before} to {replicas} replicas by {by}: {reason}"), Some(by)))
        }
        Event::Overridden { environment, hold, by, reason } => {
            Some((place(environment), format!("let past {hold} by {by}: {reason}"), Some(by)))
        }
        Event::Opened(_)
        | Event::Configured { .. }
        | Event::Scanned(_)
        | Event::JobStarted { .. }
        | Event::JobFinished { .. }
        | Event::PipelineFinished { .. }
        | Event::ReleaseRecorded(_)
        | Event::Approved { .. }
        | Event::Proposed { .. }
        | Event::Merged { .. }
        | Event::Unchanged { .. }
        | Event::Deployed { .. }
        | Event::Checked { failure: None, .. }
        | Event::Reverted { .. }
        | Event::Scaled { by: None, .. }
        | Event::FlagWatched { .. }
        | Event::AuthorNotified { .. }
        | Event::Ended { .. } => None,
    }
}

fn of_rollout(event: &RolloutEvent) -> Option<String> {
    match event {
        RolloutEvent::Started(start) if start.strategy == Strategy::Return => {
            Some(format!("flight {} is coming back", start.candidate.short()))
        }
        RolloutEvent::Started(Start { caution: Some(caution), .. }) => Some(format!("rollout started {caution}")),
        RolloutEvent::Started(_) => Some("rollout started".to_owned()),
        RolloutEvent::StepEntered { weight, .. } => Some(format!("{}% of the traffic", weight.percent())),
        RolloutEvent::StepHeld { verdict, .. } => Some(format!("held: {verdict}")),
        RolloutEvent::Failed { cause, .. } => Some(format!("failed: {cause}")),
        RolloutEvent::Promoted { .. } => Some("all of the traffic has moved".to_owned()),
        RolloutEvent::Withdrawn { .. } => Some("out of the environment".to_owned()),
        RolloutEvent::StepPassed { .. } | RolloutEvent::Watched { .. } | RolloutEvent::Marked { .. } => None,
    }
}

/// What the facts about alerts tell of an incident: those of alerts that name its service in a label, or of groups that it
/// is linked to.
pub fn alert_entries(incident: &Incident, facts: &[(Timestamp, AlertEvent)], span: Span) -> Vec<Entry> {
    let group_is_linked = |group: &str| incident.links.contains(&Link::AlertGroup(group.to_owned()));
    let service = incident.target.service.as_str();
    let mut concerning: BTreeSet<Fingerprint> = BTreeSet::new();
    let mut found = Vec::new();
    let mut add = |at: Timestamp, text: String, by: Option<&str>| {
        if span.contains(at) {
            found.push(Entry { at, kind: Kind::Alert, text, by: by.map(str::to_owned), flight: None });
        }
    };
    // A linked group names its alerts in what was told of it, which comes after they were received.
    for (_, fact) in facts {
        if let AlertEvent::Sent(told) = fact
            && group_is_linked(&told.key.group)
        {
            concerning.extend(told.firing.iter().chain(&told.resolved));
        }
    }
    for (at, fact) in facts {
        match fact {
            AlertEvent::Received { alerts } => {
                for alert in alerts {
                    let is_its = alert.labels.iter().any(|label| &*label.value == service);
                    if is_its {
                        concerning.insert(alert.fingerprint());
                    }
                    if concerning.contains(&alert.fingerprint()) {
                        let (when, how) =
                            if alert.has_ended(*at) { (alert.ends_at, "ended") } else { (alert.starts_at, "fires") };
                        add(when, format!("{} {how}", alert.name()), None);
                    }
                }
            }
            AlertEvent::Sent(told) => {
                let known = |set: &BTreeSet<Fingerprint>| set.iter().filter(|one| concerning.contains(one)).count();
                let (firing, resolved) = (known(&told.firing), known(&told.resolved));
                if told.cause.is_some() && firing + resolved > 0 {
                    let text = format!("{} was told: {firing} firing, {resolved} ended", told.key.receiver);
                    add(*at, text, None);
                }
            }
            AlertEvent::Failed { key, why, .. } if group_is_linked(&key.group) => {
                add(*at, format!("{} could not be told: {why}", key.receiver), None);
            }
            AlertEvent::Acknowledged { group, by, comment } if group_is_linked(group) => {
                add(*at, format!("alerts acknowledged by {by}: {comment}"), Some(by));
            }
            AlertEvent::Failed { .. }
            | AlertEvent::Acknowledged { .. }
            | AlertEvent::Prolonged { .. }
            | AlertEvent::RanOut { .. }
            | AlertEvent::SilenceSet(_)
            | AlertEvent::SilenceEnded { .. }
            | AlertEvent::AcknowledgementWithdrawn { .. }
            | AlertEvent::Flushed { .. }
            | AlertEvent::Resumed => {}
        }
    }
    found
}
