//! Facts about alerts.

use jiff::Timestamp;
use prograde_model::alert::{Alert, AlertEvent, Cause, Fingerprint, NotificationKey, Silence, Told, matchers};

use crate::check;

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
    check("alerts", &all());
}
