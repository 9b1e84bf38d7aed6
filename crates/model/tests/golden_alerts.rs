//! Every fact about alerts that a journal may hold can be read for ever.
//!
//! `golden/alerts/<type>.v<version>.json` is a payload as that version stored it. **These files are never changed and never
//! deleted**, for the reasons that `golden.rs` gives. A new fact needs a file before this test passes.
#![cfg(test)]

use std::path::Path;

use jiff::Timestamp;
use prograde_model::alert::{Alert, AlertEvent, Cause, Fingerprint, NotificationKey, Silence, Told, VERSION, matchers};
use prograde_model::labels::Labels;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn alert() -> Alert {
    Alert {
        labels: [("alertname", "QueueIsDeep"), ("severity", "page")].into_iter().collect(),
        annotations: [("summary".to_owned(), "Queue b2 holds 5.12k".to_owned())].into(),
        starts_at: at(0),
        ends_at: at(240),
        timeout: true,
        updated_at: at(1),
        generator_url: "http://127.0.0.1:7878/prometheus".to_owned(),
    }
}

fn key() -> NotificationKey {
    let text = |text: &str| text.to_owned();
    NotificationKey {
        group: text("{}:{alertname=\"QueueIsDeep\"}"),
        receiver: text("team"),
        integration: text("webhook/0"),
    }
}

/// One of each fact that is stored. A match without a wildcard, so that a new one does not compile.
fn all() -> Vec<AlertEvent> {
    let fingerprint = Fingerprint::of(&alert().labels);
    let silence = Silence {
        id: "ed186d2d-388f-4e54-bde6-56d6d76048fc".to_owned(),
        matchers: matchers("{commit=\"c3\",job=~\"queue.*\",severity!=\"info\"}").unwrap(),
        starts_at: at(0),
        ends_at: at(3_600),
        updated_at: at(0),
        created_by: "ann".to_owned(),
        comment: "we know".to_owned(),
        ends_with_alerts: true,
    };
    let group = key().group;
    let told = Told {
        key: key(),
        cause: Some(Cause::First),
        decided_at: at(2),
        firing: [fingerprint].into(),
        resolved: [].into(),
        until: at(7_200),
    };
    let all = vec![
        AlertEvent::Received { alerts: vec![alert()] },
        AlertEvent::RanOut { alerts: [fingerprint].into() },
        AlertEvent::SilenceSet(silence.clone()),
        AlertEvent::SilenceEnded { id: silence.id, with_alerts: true },
        AlertEvent::Acknowledged { group: group.clone(), by: "ann".to_owned(), comment: "on it".to_owned() },
        AlertEvent::AcknowledgementWithdrawn { group, by: "bob".to_owned() },
        AlertEvent::Sent(told),
        AlertEvent::Failed { key: key(), why: "answered 500".to_owned(), attempts: 3 },
        AlertEvent::Resumed,
    ];
    for fact in &all {
        match fact {
            AlertEvent::Received { .. }
            | AlertEvent::RanOut { .. }
            | AlertEvent::SilenceSet(_)
            | AlertEvent::SilenceEnded { .. }
            | AlertEvent::Acknowledged { .. }
            | AlertEvent::AcknowledgementWithdrawn { .. }
            | AlertEvent::Sent(_)
            | AlertEvent::Failed { .. }
            | AlertEvent::Resumed => assert!(fact.is_recorded()),
            AlertEvent::Prolonged { .. } | AlertEvent::Flushed { .. } => panic!("{fact:?} is not stored"),
        }
    }
    all
}

#[test]
fn what_was_stored_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/alerts");
    let labels: Labels = alert().labels;
    assert_eq!(labels.get("alertname"), "QueueIsDeep");
    for fact in all() {
        let (event_type, payload) = fact.encode();
        let file = folder.join(format!("{event_type}.v{VERSION}.json"));
        let stored: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(payload, stored, "{event_type}");
        assert_eq!(AlertEvent::decode(&event_type, VERSION, stored.clone()).unwrap(), fact, "{event_type}");
        assert!(AlertEvent::decode(&event_type, VERSION + 1, stored).is_err(), "a later release's");
        assert!(AlertEvent::decode(&event_type, VERSION, serde_json::json!({"unknown": 1})).is_err(), "{event_type}");
    }
    assert!(AlertEvent::decode("alert.unheard_of", VERSION, serde_json::Value::Null).is_err());
}
