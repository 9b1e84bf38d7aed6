//! The journal for other systems: CloudEvents, one a line, in the vocabulary of CDEvents 0.4.1 (cdevents.dev) where that
//! has a word for what happened, else in our own.
//!
//! A CDEvent's `data` is the form that CDEvents demands, with the stored payload in `customData`; any other event's
//! `data` is the stored payload. Either way the line can be checked against the hash chain.

use std::collections::BTreeMap;

use prograde_journal::{StoredEvent, cloudevents};
use serde_json::{Value, json};

/// The version of the CDEvents specification.
const SPECIFICATION: &str = "0.4.1";

/// Turns stored events into CloudEvents. Events must come in their order from the beginning, because some forms need what
/// earlier events of the flight said.
#[derive(Debug)]
pub struct Exporter {
    source: String,
    flights: BTreeMap<String, Flight>,
}

/// What CDEvents want to know of a flight.
#[derive(Debug, Default, Clone)]
struct Flight {
    service: String,
    commit: String,
    /// By the service of a group; by the empty name where there is none.
    artifacts: BTreeMap<String, String>,
}

/// A CDEvent's own part: its type, and its subject's id, kind and content.
struct Subject {
    event_type: &'static str,
    id: String,
    kind: &'static str,
    content: Value,
}

impl Exporter {
    /// An exporter; `source` is a URI reference that names this journal among all.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), flights: BTreeMap::new() }
    }

    /// The event as one JSON object.
    pub fn cloud_event(&mut self, event: &StoredEvent) -> Value {
        self.remember(event);
        let flight = self.flights.get(&event.subject).cloned().unwrap_or_default();
        let Some(subject) = cd_subject(event, &flight) else {
            let own = format!("dev.prograde.{}.v{}", event.event_type, event.version);
            return cloudevents::to_cloudevent(event, &self.source, &own);
        };
        let mut line = cloudevents::to_cloudevent(event, &self.source, subject.event_type);
        let time = line.get("time").cloned().unwrap_or_default();
        let data = json!({
            "context": {
                "version": SPECIFICATION, "id": event.hash, "source": self.source, "type": subject.event_type, "timestamp": time,
            },
            "subject": {"id": subject.id, "source": self.source, "type": subject.kind, "content": subject.content},
            "customData": event.payload,
            "customDataContentType": "application/json",
        });
        if let Some(fields) = line.as_object_mut() {
            fields.insert("data".to_owned(), data);
        }
        line
    }

    fn remember(&mut self, event: &StoredEvent) {
        let text = |field: &str| event.payload.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        if event.event_type == "flight.opened" {
            let opened = Flight { service: text("service"), commit: text("commit"), ..Flight::default() };
            self.flights.insert(event.subject.clone(), opened);
        }
        if event.event_type == "release.recorded"
            && let Some(flight) = self.flights.get_mut(&event.subject)
        {
            let service = text("service");
            let name = if service.is_empty() { &flight.service } else { &service };
            // A package URL of type oci (package-url/purl-spec, "oci").
            let artifact = format!("pkg:oci/{name}@{}", text("digest").replace(':', "%3A"));
            flight.artifacts.insert(service, artifact);
        }
    }
}

/// What an event is in the vocabulary of CDEvents, if it has a word for it.
fn cd_subject(event: &StoredEvent, flight: &Flight) -> Option<Subject> {
    let text = |field: &str| event.payload.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let run = event.subject.trim_start_matches("flight/").to_owned();
    let subject = |event_type, id, kind, content| Some(Subject { event_type, id, kind, content });
    let task = |job: &str| format!("{run}/{job}");
    let artifact = flight.artifacts.get(&text("service"));
    let service = || Some(text("service")).filter(|name| !name.is_empty()).unwrap_or_else(|| flight.service.clone());
    let deployed = || json!({"environment": {"id": text("environment")}, "artifactId": artifact});
    match event.event_type.as_str() {
        "flight.opened" => subject(
            "dev.cdevents.change.merged.0.2.0",
            flight.commit.clone(),
            "change",
            json!({"repository": {"id": flight.service}}),
        ),
        "pipeline.job_started" => subject(
            "dev.cdevents.taskrun.started.0.2.0",
            task(&text("job")),
            "taskRun",
            json!({"taskName": text("job"), "pipelineRun": {"id": run}}),
        ),
        "pipeline.job_finished" => {
            let outcome = match event.payload.pointer("/result/conclusion").and_then(Value::as_str) {
                Some("success") => "success",
                Some("failure") => "failure",
                // Cancelled and skipped are no outcomes of CDEvents.
                _ => return None,
            };
            let content = json!({"taskName": text("job"), "pipelineRun": {"id": run}, "outcome": outcome});
            subject("dev.cdevents.taskrun.finished.0.2.0", task(&text("job")), "taskRun", content)
        }
        "pipeline.finished" => {
            let succeeded = event.payload.get("succeeded").and_then(Value::as_bool) == Some(true);
            let outcome = if succeeded { "success" } else { "failure" };
            let mut content = json!({"pipelineName": flight.service, "outcome": outcome});
            if let (false, Some(fields)) = (succeeded, content.as_object_mut()) {
                fields.insert("errors".to_owned(), Value::String(text("detail")));
            }
            subject("dev.cdevents.pipelinerun.finished.0.2.0", run, "pipelineRun", content)
        }
        "release.recorded" => subject(
            "dev.cdevents.artifact.packaged.0.2.0",
            artifact.cloned()?,
            "artifact",
            json!({"change": {"id": flight.commit}}),
        ),
        "rollout.promoted" => subject("dev.cdevents.service.deployed.0.2.0", service(), "service", deployed()),
        "rollout.withdrawn" => subject("dev.cdevents.service.rolledback.0.2.0", service(), "service", deployed()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: &str, payload: Value) -> StoredEvent {
        StoredEvent {
            sequence: 1,
            subject: "flight/4bf92f3577b34da6a3ce929d0e0e4736".into(),
            subject_version: 1,
            event_type: event_type.into(),
            version: 1,
            at: jiff::Timestamp::UNIX_EPOCH,
            payload,
            previous_hash: "0".repeat(64),
            hash: "1".repeat(64),
        }
    }

    #[test]
    fn what_cdevents_has_a_word_for_takes_its_form() {
        let mut exporter = Exporter::new("/prograde");
        exporter.cloud_event(&event("flight.opened", json!({"service": "pad", "commit": "abc"})));
        let packaged = exporter.cloud_event(&event("release.recorded", json!({"digest": "sha256:12"})));
        assert_eq!(packaged["type"], "dev.cdevents.artifact.packaged.0.2.0");
        assert_eq!(packaged["data"]["subject"]["id"], "pkg:oci/pad@sha256%3A12");
        assert_eq!(packaged["data"]["subject"]["content"]["change"]["id"], "abc");
        assert_eq!(packaged["data"]["customData"], json!({"digest": "sha256:12"}));
        let deployed = exporter.cloud_event(&event("rollout.promoted", json!({"environment": "production"})));
        assert_eq!(deployed["data"]["context"]["type"], deployed["type"]);
        assert_eq!(deployed["data"]["subject"]["content"]["environment"]["id"], "production");
        assert_eq!(deployed["data"]["subject"]["content"]["artifactId"], "pkg:oci/pad@sha256%3A12");
    }

    #[test]
    fn everything_else_keeps_our_own_type_and_payload() {
        let payload = json!({"environment": "production", "reason": "it failed"});
        let line = Exporter::new("/prograde").cloud_event(&event("quarantine.set", payload.clone()));
        assert_eq!((&line["type"], &line["data"]), (&json!("dev.prograde.quarantine.set.v1"), &payload));
        let skipped = json!({"job": "ci.yml/x", "result": {"conclusion": "skipped"}});
        let line = Exporter::new("/prograde").cloud_event(&event("pipeline.job_finished", skipped));
        assert_eq!(line["type"], "dev.prograde.pipeline.job_finished.v1");
    }
}
