//! Every fact about incidents that a journal may hold can be read for ever.
//!
//! `golden/incidents/<type>[.<form>].v<version>.json` is a payload as that version stored it. **These files are never changed
//! and never deleted**, for the reasons that `golden.rs` gives. A new fact needs a file before this test passes.
#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use prograde_model::incident::{
    ActionId, ActionKind, IncidentEvent, IncidentId, Link, Origin, Role, Severity, Stage, VERSION, Way,
};

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

/// One of each fact, with the form that its file is named by.
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/incidents");
    for (form, fact) in all() {
        let (event_type, payload) = fact.encode();
        let form = if form.is_empty() { String::new() } else { format!(".{form}") };
        let file = folder.join(format!("{event_type}{form}.v{VERSION}.json"));
        let kept = std::fs::read_to_string(&file).unwrap_or_else(|error| {
            panic!("{}: {error}; it should hold\n{}", file.display(), serde_json::to_string_pretty(&payload).unwrap())
        });
        let stored: serde_json::Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(payload, stored, "{event_type}");
        assert_eq!(IncidentEvent::decode(&event_type, VERSION, stored.clone()).unwrap(), fact, "{event_type}");
        assert!(IncidentEvent::decode(&event_type, VERSION + 1, stored).is_err(), "a later release's");
        assert!(
            IncidentEvent::decode(&event_type, VERSION, serde_json::json!({"unknown": 1})).is_err(),
            "{event_type}"
        );
    }
    IncidentEvent::decode("incident.unheard_of", VERSION, serde_json::Value::Null).unwrap_err();
}

#[test]
fn every_fact_has_a_file() {
    let source = include_str!("../src/incident/event.rs");
    let types = source.split("#[serde(rename = \"").skip(1).filter_map(|tail| tail.split('"').next());
    let types: BTreeSet<String> = types.map(str::to_owned).collect();
    assert!(types.len() > 15, "the types were not found: {types:?}");
    let told: BTreeSet<String> = all().iter().map(|(_, fact)| fact.encode().0).collect();
    assert_eq!(types, told);
}
