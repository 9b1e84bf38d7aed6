//! Facts about incidents and action items. What can be of several forms has a folder for each of the others.

use std::collections::BTreeSet;

use jiff::Timestamp;
use prograde_model::flag::Setting;
use prograde_model::incident::{
    ActionId, ActionKind, IncidentEvent, IncidentId, Link, Origin, Role, Severity, Stage, Way,
};
use prograde_model::stored::Fact as _;

use crate::check;

/// Which flight.
const FLIGHT: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Which incident.
fn the_incident() -> IncidentId {
    IncidentId::new(1)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn declared(origin: Origin) -> IncidentEvent {
    IncidentEvent::Declared {
        incident: the_incident(),
        title: text("Orders are lost"),
        severity: Severity::Sev2,
        service: "pad".parse().unwrap(),
        environment: "production".parse().unwrap(),
        since: at(-300),
        origin,
    }
}

fn by() -> String {
    text("Ann")
}

fn begun(way: Way) -> IncidentEvent {
    IncidentEvent::MitigationBegun { incident: the_incident(), way, by: by() }
}

fn flag(to: Option<Setting>) -> Way {
    let (service, environment) = ("pad".parse().unwrap(), "production".parse().unwrap());
    Way::Flag { service, environment, flag: text("new-basket"), to }
}

fn link(link: Link) -> IncidentEvent {
    IncidentEvent::LinkAdded { incident: the_incident(), link, by: by() }
}

/// What tells of an incident.
fn told() -> Vec<IncidentEvent> {
    let incident = the_incident();
    let (from, to) = (Severity::Sev2, Severity::Sev1);
    let (person, before) = (text("Bob"), Some(by()));
    let skipped = vec![Stage::Mitigate];
    vec![
        declared(Origin::Person { by: by() }),
        IncidentEvent::SeverityChanged { incident, from, to, by: by(), reason: text("all orders") },
        IncidentEvent::RoleTaken { incident, role: Role::Commander, person, before, by: by() },
        IncidentEvent::StageChanged { incident, from: Stage::Declare, to: Stage::Investigate, skipped, by: by() },
        IncidentEvent::NoteAdded { incident, text: text("the queue grows\nfast"), about: at(-60), by: by() },
        link(Link::Flight(FLIGHT.parse().unwrap())),
        IncidentEvent::Described {
            incident,
            title: Some(text("Orders are late")),
            channel: Some(text("#inc-1")),
            stakeholders: Some(vec![text("the shop")]),
            by: by(),
        },
        IncidentEvent::UpdatePublished { incident, message: text("We are looking."), by: by() },
        IncidentEvent::Unpublished { incident, by: by() },
    ]
}

/// What ends an incident, and what comes after.
fn ended() -> Vec<IncidentEvent> {
    let (incident, action) = (the_incident(), ActionId::new(1));
    let (service, environment) = ("pad".parse().unwrap(), "production".parse().unwrap());
    let way = Way::Rollback { service, environment, flight: FLIGHT.parse().unwrap() };
    let (sha256, report) = ("ab".repeat(32), text("# INC-1\n"));
    vec![
        IncidentEvent::MitigationBegun { incident, way: way.clone(), by: by() },
        IncidentEvent::MitigationFailed { incident, way, why: text("nothing to go back to") },
        IncidentEvent::Mitigated { incident, how: text("it was taken back"), by: text("rollout") },
        IncidentEvent::Resolved { incident, cause: text("a lock was held too long"), by: by() },
        IncidentEvent::Reopened { incident, to: Stage::Declare, reason: text("again"), by: by() },
        IncidentEvent::Merged { incident: IncidentId::new(2), into: incident, by: by() },
        IncidentEvent::PostmortemPublished { incident, sha256, text: report, by: by() },
        IncidentEvent::ActionAdded {
            action,
            incident,
            title: text("Test with locks"),
            owner: text("Bob"),
            due: "2027-02-01".parse().unwrap(),
            kind: ActionKind::Prevent,
            gate: true,
            by: by(),
        },
        IncidentEvent::ActionDone { action, note: text("commit abc"), by: by() },
        IncidentEvent::ActionDropped { action, reason: text("the queue is gone"), by: by() },
        IncidentEvent::ActionOverridden { action, until: at(86_400), reason: text("a fix"), by: by() },
        IncidentEvent::ActionFileAsked { action, tracker: Some(text("github")), by: by() },
        IncidentEvent::ActionFiled {
            action,
            tracker: text("github"),
            ticket: text("17"),
            url: text("https://github.com/team/pad/issues/17"),
        },
        IncidentEvent::TicketClosed { action, tracker: text("github"), ticket: text("17") },
    ]
}

#[test]
fn what_was_stored_can_be_read() {
    check("incidents", &[told(), ended()].concat());
    let page = declared(Origin::Page { page: text("p-17") });
    check("incidents/page", &[page, link(Link::Page(text("p-17")))]);
    check("incidents/judge", &[declared(Origin::Judge { flight: FLIGHT.parse().unwrap() })]);
    check("incidents/alerts", &[link(Link::AlertGroup(text("{}:{alertname=\"QueueIsDeep\"}")))]);
    let (service, environment) = ("pad".parse().unwrap(), "production".parse().unwrap());
    check("incidents/scale", &[begun(Way::Scale { service, environment, replicas: 4 })]);
    check("incidents/flag", &[begun(flag(Some(Setting::Variant(text("old")))))]);
    check("incidents/flag_to_git", &[begun(flag(None))]);
    check("incidents/url", &[link(Link::Url(text("https://example.com/board")))]);
}

#[test]
fn every_fact_has_a_file() {
    let source = include_str!("../../src/incident/event.rs");
    let types = source.split("#[serde(rename = \"").skip(1).filter_map(|tail| tail.split('"').next());
    let types: BTreeSet<String> = types.map(str::to_owned).collect();
    assert!(types.len() > 15, "the types were not found: {types:?}");
    let stored: BTreeSet<String> = [told(), ended()].concat().iter().map(|fact| fact.encode().0).collect();
    assert_eq!(types, stored);
}
