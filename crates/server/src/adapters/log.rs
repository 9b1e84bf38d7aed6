//! The journal as the controllers' event log.

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_control::ports::{AppendError, EventLog};
use prograde_journal::{Journal, JournalError};
use prograde_model::event::{Event, Recorded};
use prograde_model::ids::FlightId;

use crate::alerts;
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
        stored.iter().map(from_store).collect()
    }

    async fn read_after(&self, sequence: u64, limit: usize) -> Result<Vec<Recorded>, AppendError> {
        let mut after = sequence;
        loop {
            let stored = self.0.read_after(after, limit).await.map_err(|error| AppendError::Journal(chain(&error)))?;
            let Some(last) = stored.last().map(|event| event.sequence) else { return Ok(Vec::new()) };
            // Facts about alerts are no flight's. Nothing is the end, so it is gone on until there is something.
            let of_flights: Vec<_> = stored.iter().filter(|event| event.subject != alerts::SUBJECT).collect();
            if !of_flights.is_empty() {
                return of_flights.into_iter().map(from_store).collect();
            }
            after = last;
        }
    }
}
