//! Stored events and the model's: the journal's subject and payload on one side, [`Event`] on the other.

use prograde_control::ports::AppendError;
use prograde_journal::{NewEvent, StoredEvent};
use prograde_model::event::{Event, Recorded, VERSION};
use prograde_model::ids::FlightId;

use crate::records;

/// The subject under which a flight's events are stored.
pub(crate) fn subject(flight: &FlightId) -> String {
    format!("flight/{flight}")
}

/// The flight that a subject names.
pub(crate) fn flight_of(subject: &str) -> Option<FlightId> {
    subject.strip_prefix("flight/")?.parse().ok()
}

pub(crate) fn to_store(event: &Event) -> NewEvent {
    let (event_type, payload) = event.encode();
    NewEvent { event_type, version: VERSION, payload }
}

/// A flight's fact; nothing for a fact that is no flight's, such as one about alerts.
pub(crate) fn from_store(stored: &StoredEvent) -> Result<Option<Recorded>, AppendError> {
    if records::is_subject(&stored.subject) {
        return Ok(None);
    }
    let unreadable = |why: String| AppendError::Journal(format!("event {}: {why}", stored.sequence));
    let flight = flight_of(&stored.subject).ok_or_else(|| unreadable(format!("unknown subject {}", stored.subject)))?;
    let event =
        Event::decode(&stored.event_type, stored.version, stored.payload.clone()).map_err(|e| unreadable(chain(&e)))?;
    Ok(Some(Recorded { sequence: stored.sequence, at: stored.at, flight, event }))
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}
