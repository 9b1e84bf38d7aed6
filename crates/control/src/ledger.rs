//! The journal and its fold together: facts are appended, then taken into the fleet, in one order.

use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use prograde_model::event::{Event, Recorded};
use prograde_model::fleet::Fleet;
use prograde_model::ids::FlightId;
use tokio::sync::{Mutex, watch};

use crate::ports::{AppendError, EventLog};

/// How many facts are read at once when the journal is replayed.
const REPLAY_CHUNK: usize = 1_000;

/// The journal and its fold.
pub(crate) struct Ledger {
    log: Arc<dyn EventLog>,
    fleet: RwLock<Fleet>,
    writing: Mutex<()>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    /// Replays the whole journal.
    pub(crate) async fn replay(log: Arc<dyn EventLog>) -> Result<Self, AppendError> {
        let mut fleet = Fleet::default();
        loop {
            let chunk = log.read_after(fleet.sequence(), REPLAY_CHUNK).await?;
            if chunk.is_empty() {
                break;
            }
            for recorded in &chunk {
                take(&mut fleet, recorded);
            }
        }
        Ok(Self { log, fleet: RwLock::new(fleet), writing: Mutex::new(()), changed: watch::Sender::new(0) })
    }

    /// Looks at the fleet. Must be short: facts wait meanwhile.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Fleet) -> R) -> R {
        // Nothing panics while it holds the lock for writing, and a poisoned fold would still be a prefix of the journal.
        look(&self.fleet.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Opens a flight.
    pub(crate) async fn open(&self, flight: &FlightId, at: Timestamp, event: Event) -> Result<(), AppendError> {
        let _writing = self.writing.lock().await;
        self.append_at(flight, 0, at, &[event]).await
    }

    /// Appends what `decide` gives for the flight as it is now: nothing can come in between.
    pub(crate) async fn record<E: From<AppendError>>(
        &self,
        flight: &FlightId,
        at: Timestamp,
        decide: impl FnOnce(&Fleet) -> Result<Vec<Event>, E>,
    ) -> Result<Vec<Event>, E> {
        let _writing = self.writing.lock().await;
        let (events, version) = self.with(|fleet| (decide(fleet), fleet.flight(flight).map_or(0, |f| f.version)));
        let events = events?;
        if !events.is_empty() {
            self.append_at(flight, version, at, &events).await?;
        }
        Ok(events)
    }

    async fn append_at(
        &self,
        flight: &FlightId,
        version: u64,
        at: Timestamp,
        events: &[Event],
    ) -> Result<(), AppendError> {
        let recorded = self.log.append(flight, version, at, events).await?;
        {
            let mut fleet = self.fleet.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            for fact in &recorded {
                take(&mut fleet, fact);
            }
        }
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
        Ok(())
    }

    /// Changes with every append.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

fn take(fleet: &mut Fleet, recorded: &Recorded) {
    if let Err(conflict) = fleet.apply(recorded) {
        tracing::error!(sequence = recorded.sequence, flight = %recorded.flight, "journal: {conflict}");
    }
}
