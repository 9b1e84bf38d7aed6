//! Facts about incidents and action items. What can be of several forms has a folder for each of the others.

use std::collections::BTreeSet;

use jiff::Timestamp;
use prograde_model::incident::{
    ActionId, ActionKind, IncidentEvent, IncidentId, Link, Origin, Role, Severity, Stage, Way,
};
use prograde_model::stored::Fact as _;

use crate::check;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn declared(origin: Origin) -> IncidentEvent {
    IncidentEvent::Declared {
        incident: IncidentId::new(1),
        title: text("Orders are lost"),
        severity: Severity::Sev2,
        service: "pad".parse().unwrap(),
        environment: "production".parse().unwrap(),
        since: at(-300),
        origin,
    }
}

/// One of each fact, with the form that its folder is named by.
fn all() -> Vec<(&'static str, IncidentEvent)> {
    let (incident, action, by) = (IncidentId::new(1), ActionId::new(1), || text("Ann"));
    let flight = "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap();
    let way = Way::Rollback {
        service: "pad".parse().unwrap(),
        environment: "production".parse().unwrap(),
        flight: "4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap(),
    };
    let link = |link| IncidentEvent::LinkAdded { incident, link, by: by() };
    vec![
        ("", declared(Origin::Person { by: by() })),
        ("page", declared(Origin::Page { page: text("p-17") })),
        ("judge", declared(Origin::Judge { flight })),
        (
            "",
            IncidentEvent::SeverityChanged {
                incident,
                from: Severity::Sev2,
                to: Severity::Sev1,
                by: by(),
                reason: text("all orders"),
            },
        ),
        (
            "",
            IncidentEvent::RoleTaken {
                incident,
                role: Role::Commander,
                person: text("Bob"),
                before: Some(by()),
                by: by(),
            },
        ),
        (
            "",
            IncidentEvent::StageChanged {
                incident,
                from: Stage::Declare,
                to: Stage::Investigate,
                skipped: vec![Stage::Mitigate],
                by: by(),
            },
        ),
        ("", IncidentEvent::NoteAdded { incident, text: text("the queue grows\nfast"), about: at(-60), by: by() }),
        ("", link(Link::Flight("4bf92f3577b34da6a3ce929d0e0e4736".parse().unwrap()))),
        ("alerts", link(Link::AlertGroup(text("{}:{alertname=\"QueueIsDeep\"}")))),
        ("page", link(Link::Page(text("p-17")))),
        ("url", link(Link::Url(text("https://example.com/board")))),
        (
            "",
            IncidentEvent::Described {
                incident,
                title: Some(text("Orders are late")),
                channel: Some(text("#inc-1")),
                stakeholders: Some(vec![text("the shop")]),
                by: by(),
            },
        ),
        ("", IncidentEvent::UpdatePublished { incident, message: text("We are looking."), by: by() }),
        ("", IncidentEvent::Unpublished { incident, by: by() }),
        ("", IncidentEvent::MitigationBegun { incident, way: way.clone(), by: by() }),
        ("", IncidentEvent::MitigationFailed { incident, way, why: text("nothing to go back to") }),
        ("", IncidentEvent::Mitigated { incident, how: text("it was taken back"), by: text("rollout") }),
        ("", IncidentEvent::Resolved { incident, cause: text("a lock was held too long"), by: by() }),
        ("", IncidentEvent::Reopened { incident, to: Stage::Declare, reason: text("again"), by: by() }),
        ("", IncidentEvent::Merged { incident: IncidentId::new(2), into: incident, by: by() }),
        (
            "",
            IncidentEvent::PostmortemPublished { incident, sha256: "ab".repeat(32), text: text("# INC-1\n"), by: by() },
        ),
        (
            "",
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
        ),
        ("", IncidentEvent::ActionDone { action, note: text("commit abc"), by: by() }),
        ("", IncidentEvent::ActionDropped { action, reason: text("the queue is gone"), by: by() }),
        ("", IncidentEvent::ActionOverridden { action, until: at(86_400), reason: text("a fix"), by: by() }),
    ]
}

#[test]
fn what_was_stored_can_be_read() {
    for form in ["", "page", "judge", "alerts", "url"] {
        let of_form: Vec<IncidentEvent> =
            all().into_iter().filter(|(of, _)| *of == form).map(|(_, fact)| fact).collect();
        assert!(!of_form.is_empty(), "{form}");
        check(&format!("incidents/{form}"), &of_form);
    }
}

#[test]
fn every_fact_has_a_file() {
    let source = include_str!("../../src/incident/event.rs");
    let types = source.split("#[serde(rename = \"").skip(1).filter_map(|tail| tail.split('"').next());
    let types: BTreeSet<String> = types.map(str::to_owned).collect();
    assert!(types.len() > 15, "the types were not found: {types:?}");
    let told: BTreeSet<String> = all().iter().map(|(_, fact)| fact.encode().0).collect();
    assert_eq!(types, told);
}
