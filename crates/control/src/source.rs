//! Opens a flight for every commit that arrives. Level-triggered: it compares each repository's newest commit with the
//! service's last flight, so that a push whose news was lost in a crash is found at the next look.

use std::fmt;

use prograde_model::ids::FlightId;

use crate::controller::Inner;
use crate::ports::{AppendError, Head, PortError};

/// Why commits were not looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the system gives no random bytes")]
    Random,
}

impl Inner {
    /// Opens the flights that are due.
    pub(crate) async fn look_for_commits(&self) -> Result<(), SourceError> {
        for head in self.ports.source.heads().await? {
            let known = self.ledger.with(|fleet| fleet.latest(&head.service).map(|f| f.commit().clone()));
            if known.as_ref() != Some(&head.commit) {
                self.open_flight(&head).await?;
            }
        }
        Ok(())
    }

    async fn open_flight(&self, head: &Head) -> Result<(), SourceError> {
        let opened = self.ports.source.opened(head).await?;
        let id = self.options.flight_ids.next().ok_or(SourceError::Random)?;
        let subject = opened.subject.clone();
        if self.ledger.open(&id, self.clock.now(), opened).await? {
            tracing::info!(flight = %id, service = %head.service, commit = head.commit.short(), "flight opened: {subject}");
        }
        Ok(())
    }
}

/// Gives each flight its id.
pub trait FlightIds: fmt::Debug + Send + Sync {
    /// An id that no other flight has; none where the system gives no random bytes.
    fn next(&self) -> Option<FlightId>;
}

/// Ids of the system's random bytes, as W3C Trace Context asks of trace ids (section 3.2.2.3).
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomIds;

impl FlightIds for RandomIds {
    fn next(&self) -> Option<FlightId> {
        let mut bytes = [0u8; 16];
        getrandom::fill(&mut bytes).ok()?;
        FlightId::from_random(bytes)
    }
}
