//! A stored event as a CloudEvent (CloudEvents 1.0.2, "JSON Event Format", structured mode), for export line by line.

use serde_json::{Value, json};

use crate::chain;
use crate::event::StoredEvent;

/// The event as one JSON object. `source` is a URI reference that names this journal among all, `ce_type` the type
/// under which the receivers know the event.
///
/// Extension attributes: `sequence` as the CloudEvents extension of that name defines it, with leading zeros so that
/// texts sort as numbers do; `subjectversion`, `eventtype` and `eventversion` in decimal; `prevhash` and `hash`, with
/// which the line can be checked: `data`, printed without spaces, is the payload as it was stored, and `time` the time.
/// `id` is the hash, which also tells apart the events of a journal that was restored from a backup and went on.
pub fn to_cloudevent(event: &StoredEvent, source: &str, ce_type: &str) -> Value {
    json!({
        "specversion": "1.0",
        "id": event.hash,
        "source": source,
        "type": ce_type,
        "subject": event.subject,
        "time": chain::time_text(event.at).unwrap_or_else(|| event.at.to_string()),
        "datacontenttype": "application/json",
        "sequence": format!("{:020}", event.sequence),
        "subjectversion": event.subject_version.to_string(),
        "eventtype": event.event_type,
        "eventversion": event.version.to_string(),
        "prevhash": event.previous_hash,
        "hash": event.hash,
        "data": event.payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Hash, Link};

    fn event(sequence: u64) -> StoredEvent {
        let text = r#"{"z":1,"a":[0.1,"é"]}"#;
        let link = Link {
            previous: &[7; 32],
            sequence,
            subject: "flight/1",
            subject_version: 3,
            event_type: "flight.opened",
            version: 2,
            at: "2026-01-02T03:04:05.000000000Z",
            payload: text,
        };
        StoredEvent {
            sequence,
            subject: link.subject.into(),
            subject_version: link.subject_version,
            event_type: link.event_type.into(),
            version: link.version,
            at: link.at.parse().unwrap(),
            payload: serde_json::from_str(text).unwrap(),
            previous_hash: hex::encode(link.previous),
            hash: hex::encode(link.hash()),
        }
    }

    #[test]
    fn attributes_keep_the_rules_of_cloudevents() {
        let line = to_cloudevent(&event(12), "/prograde/pad", "dev.cdevents.change.created.0.3.0");
        for required in ["id", "source", "specversion", "type"] {
            assert!(line[required].as_str().is_some_and(|text| !text.is_empty()), "{required}");
        }
        for (name, value) in line.as_object().unwrap() {
            assert!(name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
            assert!(name == "data" || value.is_string(), "{name}: the larger numbers fit only a String attribute");
        }
        assert_eq!(line["sequence"], "00000000000000000012");
        assert_eq!(line["time"], "2026-01-02T03:04:05.000000000Z");
        assert_eq!(line["data"], event(12).payload);
        assert!(!line.to_string().contains('\n'), "one event, one line");
    }

    #[test]
    fn sequences_sort_as_texts() {
        let text = |sequence| to_cloudevent(&event(sequence), "/s", "t")["sequence"].as_str().unwrap().to_owned();
        assert!(text(9) < text(10) && text(10) < text(u64::MAX));
    }

    #[test]
    fn an_exported_line_can_be_checked_by_itself() {
        let exported: Value = serde_json::from_str(&to_cloudevent(&event(12), "/s", "t").to_string()).unwrap();
        let text = |name: &str| exported[name].as_str().unwrap();
        let mut previous: Hash = [0; 32];
        hex::decode_to_slice(text("prevhash"), &mut previous).unwrap();
        let link = Link {
            previous: &previous,
            sequence: text("sequence").parse().unwrap(),
            subject: text("subject"),
            subject_version: text("subjectversion").parse().unwrap(),
            event_type: text("eventtype"),
            version: text("eventversion").parse().unwrap(),
            at: text("time"),
            payload: &exported["data"].to_string(),
        };
        assert_eq!(hex::encode(link.hash()), text("hash"));
    }
}
