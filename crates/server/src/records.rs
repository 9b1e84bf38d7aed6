//! Facts that are no flight's: each kind has a subject of its own in the journal, and a state that is the fold of them.

use jiff::Timestamp;
use prograde_journal::{Journal, JournalError, NewEvent};
use prograde_model::alert::{AlertEvent, DecodeError, VERSION};
use prograde_model::incident::IncidentEvent;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::events::chain;

/// How many facts are read at once.
const READ_CHUNK: usize = 1_000;
/// The subjects of all kinds; what stands under another is a flight's.
const SUBJECTS: [&str; 2] = [AlertEvent::SUBJECT, IncidentEvent::SUBJECT];

/// Whether a subject is one of those.
pub(crate) fn is_subject(subject: &str) -> bool {
    SUBJECTS.contains(&subject)
}

/// A kind of facts.
pub(crate) trait Fact: Sized {
    /// Under which subject they are stored.
    const SUBJECT: &'static str;
    /// In which form they are written.
    const VERSION: u32;
    /// The type and the payload to store.
    fn encode(&self) -> (String, Value);
    /// A stored fact of any version.
    fn decode(event_type: &str, version: u32, payload: Value) -> Result<Self, DecodeError>;
}

impl Fact for AlertEvent {
    const SUBJECT: &'static str = "alerts";
    const VERSION: u32 = VERSION;
    fn encode(&self) -> (String, Value) {
        Self::encode(self)
    }
    fn decode(event_type: &str, version: u32, payload: Value) -> Result<Self, DecodeError> {
        Self::decode(event_type, version, payload)
    }
}

/// Why the facts of before can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// The journal can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fact is none that this release knows.
    #[error("event {sequence} of the journal can't be read")]
    Fact {
        /// Its place.
        sequence: u64,
        /// Why.
        source: DecodeError,
    },
}

/// The place of one kind of facts in the journal. Nothing else appends there.
pub(crate) struct Records {
    journal: Journal,
    subject: &'static str,
    /// How many there are.
    version: Mutex<u64>,
}

impl Records {
    /// The place, and all facts of before in order.
    pub(crate) async fn open<F: Fact>(journal: Journal) -> Result<(Self, Vec<(Timestamp, F)>), RecordsError> {
        let facts = read(&journal).await?;
        let version = Mutex::new(u64::try_from(facts.len()).unwrap_or(u64::MAX));
        Ok((Self { journal, subject: F::SUBJECT, version }, facts))
    }

    /// Appends all of the facts, or none.
    pub(crate) async fn append<F: Fact>(&self, facts: &[F], at: Timestamp) -> Result<(), String> {
        let events = facts.iter().map(|fact| {
            let (event_type, payload) = fact.encode();
            NewEvent { event_type, version: F::VERSION, payload }
        });
        let mut version = self.version.lock().await;
        let appended = self.journal.append(self.subject, *version, at, events.collect()).await;
        *version += u64::try_from(appended.map_err(|error| chain(&error))?.len()).unwrap_or(0);
        Ok(())
    }
}

/// All facts of a kind, in order.
pub(crate) async fn read<F: Fact>(journal: &Journal) -> Result<Vec<(Timestamp, F)>, RecordsError> {
    let mut facts = Vec::new();
    loop {
        let version = u64::try_from(facts.len()).unwrap_or(u64::MAX);
        let chunk = journal.read_subject_after(F::SUBJECT, version, READ_CHUNK).await?;
        if chunk.is_empty() {
            return Ok(facts);
        }
        for stored in chunk {
            let sequence = stored.sequence;
            let fact = F::decode(&stored.event_type, stored.version, stored.payload);
            facts.push((stored.at, fact.map_err(|source| RecordsError::Fact { sequence, source })?));
        }
    }
}
