//! The journal and its fold together: facts are appended, then taken into the fleet, in one order.

use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use prograde_model::event::{Event, Opened, Recorded};
use prograde_model::fleet::Fleet;
use prograde_model::ids::FlightId;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::ports::{AppendError, EventLog};

/// How many facts are read at once when the journal is replayed.
const REPLAY_CHUNK: usize = 1_000;

/// The journal and its fold.
pub(crate) struct Ledger {
    log: Arc<dyn EventLog>,
    fleet: RwLock<Fleet>,
    /// Held by whoever writes. True while the journal may hold facts that the fold does not: from before an append
    /// until its facts are taken in. An answer that was lost, or a caller that went away, leaves it so, and the next
    /// one to write reads what is missing first.
    writing: Mutex<bool>,
    changed: watch::Sender<u64>,
}

impl Ledger {
    /// Replays the whole journal.
    pub(crate) async fn replay(log: Arc<dyn EventLog>) -> Result<Self, AppendError> {
        let ledger = Self { log, fleet: RwLock::default(), writing: Mutex::new(true), changed: watch::Sender::new(0) };
        drop(ledger.lock().await?);
        Ok(ledger)
    }

    /// The right to write, with the fold as the journal is.
    async fn lock(&self) -> Result<MutexGuard<'_, bool>, AppendError> {
        let mut behind = self.writing.lock().await;
        while *behind {
            let chunk = self.log.read_after(self.with(Fleet::sequence), REPLAY_CHUNK).await?;
            self.take(&chunk);
            *behind = !chunk.is_empty();
        }
        Ok(behind)
    }

    /// Takes in what the journal holds and the fold does not. Whoever wrote that may have gone away, and nobody else may
    /// have anything to write.
    pub(crate) async fn catch_up(&self) -> Result<(), AppendError> {
        drop(self.lock().await?);
        Ok(())
    }

    /// Looks at the fleet. Must be short: facts wait meanwhile.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Fleet) -> R) -> R {
        // Nothing panics while it holds the lock for writing, and a poisoned fold would still be a prefix of the journal.
        look(&self.fleet.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Opens a flight, unless its commit is the one that the service's last flight flies; whether it did.
    pub(crate) async fn open(&self, flight: &FlightId, at: Timestamp, opened: Opened) -> Result<bool, AppendError> {
        let mut behind = self.lock().await?;
        if self.with(|fleet| fleet.latest(&opened.service).is_some_and(|f| *f.commit() == opened.commit)) {
            return Ok(false);
        }
        self.append_at(&mut behind, flight, 0, at, &[Event::Opened(opened)]).await?;
        Ok(true)
    }

    /// Appends what `decide` gives for the flight as it is now: nothing can come in between.
    pub(crate) async fn record<E: From<AppendError>>(
        &self,
        flight: &FlightId,
        at: Timestamp,
        decide: impl FnOnce(&Fleet) -> Result<Vec<Event>, E>,
    ) -> Result<Vec<Event>, E> {
        let mut behind = self.lock().await?;
        let (events, version) = self.with(|fleet| (decide(fleet), fleet.flight(flight).map_or(0, |f| f.version)));
        let events = events?;
        if !events.is_empty() {
            self.append_at(&mut behind, flight, version, at, &events).await?;
        }
        Ok(events)
    }

    async fn append_at(
        &self,
        behind: &mut bool,
        flight: &FlightId,
        version: u64,
        at: Timestamp,
        events: &[Event],
    ) -> Result<(), AppendError> {
        *behind = true;
        let left = WakeWhenLeft(Some(&self.changed));
        let appended = self.log.append(flight, version, at, events).await;
        left.stayed();
        self.take(&appended?);
        *behind = false;
        Ok(())
    }

    fn take(&self, facts: &[Recorded]) {
        {
            let mut fleet = self.fleet.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            for fact in facts {
                if let Err(conflict) = fleet.apply(fact) {
                    tracing::error!(sequence = fact.sequence, flight = %fact.flight, "journal: {conflict}");
                }
            }
        }
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Changes with every append.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// Says that something has changed when an append is left before its answer came: the facts may be in the journal, and
/// whoever waits for facts must read them.
struct WakeWhenLeft<'a>(Option<&'a watch::Sender<u64>>);

impl WakeWhenLeft<'_> {
    fn stayed(mut self) {
        self.0 = None;
    }
}

impl Drop for WakeWhenLeft<'_> {
    fn drop(&mut self) {
        if let Some(changed) = self.0 {
            changed.send_modify(|n| *n = n.wrapping_add(1));
        }
    }
}
