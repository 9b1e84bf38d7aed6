//! Facts about pages.

use jiff::Timestamp;
use prograde_model::alert::Alert;
use prograde_model::oncall::PageFact;
use prograde_model::oncall::page::{About, PageEvent};

use crate::check;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// One of each fact that is stored. A match without a wildcard, so that a new one does not compile.
fn all() -> Vec<PageEvent> {
    let alert = Alert {
        labels: [("alertname", "QueueIsDeep"), ("severity", "page")].into_iter().collect(),
        annotations: [("summary".to_owned(), "Queue b2 holds 5.12k".to_owned())].into(),
        starts_at: at(0),
        ends_at: at(240),
        timeout: true,
        updated_at: at(1),
        generator_url: "http://127.0.0.1:7878/prometheus".to_owned(),
    };
    let about = About {
        title: "QueueIsDeep: Queue b2 holds 5.12k".to_owned(),
        escalation: "pad".to_owned(),
        severity: "page".to_owned(),
        group: "{}:{alertname=\"QueueIsDeep\"}".to_owned(),
        alerts: vec![alert.clone()],
        alerts_count: 1,
        raised_by: Some("cem".to_owned()),
        test: true,
    };
    let (pass, step, person) = (1, 0, "ann".to_owned());
    let by = person.clone();
    let all = vec![
        PageEvent::Opened(about),
        PageEvent::Changed { alerts: vec![alert], alerts_count: 1 },
        PageEvent::Told { pass, step, person: person.clone() },
        PageEvent::Reached { pass, step, person: person.clone() },
        PageEvent::Missed { pass, step, person: person.clone(), why: "status 404".to_owned() },
        PageEvent::StepTaken { step },
        PageEvent::Escalated { step: 1, pass },
        PageEvent::Deferred { until: at(60) },
        PageEvent::QuietEnded,
        PageEvent::Exhausted,
        PageEvent::Acknowledged { by: by.clone() },
        PageEvent::Snoozed { by: by.clone(), until: at(60) },
        PageEvent::Awoke,
        PageEvent::Resolved { by: "alerts".to_owned() },
        PageEvent::EndTold { person, failure: Some("status 404".to_owned()) },
        PageEvent::Rated { useful: false, by, comment: "it was the deployment".to_owned() },
    ];
    for event in &all {
        match event {
            PageEvent::Opened(_)
            | PageEvent::Changed { .. }
            | PageEvent::Told { .. }
            | PageEvent::Reached { .. }
            | PageEvent::Missed { .. }
            | PageEvent::StepTaken { .. }
            | PageEvent::Escalated { .. }
            | PageEvent::Deferred { .. }
            | PageEvent::QuietEnded
            | PageEvent::Exhausted
            | PageEvent::Acknowledged { .. }
            | PageEvent::Snoozed { .. }
            | PageEvent::Awoke
            | PageEvent::Resolved { .. }
            | PageEvent::EndTold { .. }
            | PageEvent::Rated { .. } => {}
        }
    }
    all
}

#[test]
fn what_was_stored_can_be_read() {
    let page = "P-17".parse().unwrap();
    let facts: Vec<_> = all().into_iter().map(|event| PageFact { page, event }).collect();
    check("pages", &facts);
}
