//! The journal as the controllers' event log.

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::ports::{AppendError, EventLog};
use prograde_journal::{Journal, JournalError};
use prograde_model::event::{Event, Recorded};
use prograde_model::ids::FlightId;

use crate::events::{chain, from_store, subject, to_store};

pub(crate) struct JournalLog(pub(crate) Journal);

#[async_trait]
impl EventLog for JournalLog {
    async fn append(
        &self,
        flight: &FlightId,
        expected_version: u64,
        at: Timestamp,
        events: &[Event],
    ) -> Result<Vec<Recorded>, AppendError> {
        let stored = self.0.append(&subject(flight), expected_version, at, events.iter().map(to_store).collect()).await;
        let stored = stored.map_err(|error| {
            let moved_on = matches!(error, JournalError::Conflict { .. });
            if moved_on {
                AppendError::Conflict { flight: flight.clone() }
            } else {
                AppendError::Journal(chain(&error))
            }
        })?;
        stored.iter().filter_map(|event| from_store(event).transpose()).collect()
    }

    async fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Recorded>, AppendError> {
        let mut after = sequence;
        loop {
            let stored = self.0.read_after(after, limit).await.map_err(|error| AppendError::Journal(chain(&error)))?;
            let Some(last) = stored.last().map(|event| event.sequence) else { return Ok(Vec::new()) };
            let of_flights =
                stored.iter().filter_map(|event| from_store(event).transpose()).collect::<Result<Vec<_>, _>>()?;
            // Nothing is the end, so it is gone on until there is something.
            if !of_flights.is_empty() {
                return Ok(of_flights);
            }
            after = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use prograde_journal::NewEvent;
    use prograde_model::event::Person;
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn any_number_of_facts_about_alerts_hides_no_flight() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db")).unwrap();
        let fact = || NewEvent { event_type: "alert.resumed".into(), version: 1, payload: Value::Null };
        let at = Timestamp::UNIX_EPOCH;
        journal.append("alerts", 0, at, (0..250).map(|_| fact()).collect()).await.unwrap();
        let log = JournalLog(journal.clone());
        assert_eq!(log.read_after(0, 100).await.unwrap(), [], "there is nothing but alerts");
        let flight: FlightId = "a".repeat(32).parse().unwrap();
        let opened = Event::Opened(prograde_model::event::Opened {
            service: "pad".parse().unwrap(),
            commit: "b".repeat(40).parse().unwrap(),
            branch: "main".into(),
            subject: "Change".into(),
            author: Person { name: "Ann".into(), email: "ann@example.com".into() },
            committed_at: at,
            work: None,
        });
        let recorded = log.append(&flight, 0, at, &[opened]).await.unwrap();
        assert_eq!(log.read_after(0, 100).await.unwrap(), recorded);
        journal.append("alerts", 250, at, vec![fact()]).await.unwrap();
        assert_eq!(log.read_after(251, 100).await.unwrap(), []);
        journal.close().await.unwrap();
    }
}
