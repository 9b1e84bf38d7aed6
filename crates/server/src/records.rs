//! The places in the journal of facts that are no flight's.

use jiff::Timestamp;
use prograde_journal::{Journal, JournalError, NewEvent};
use prograde_model::alert::AlertEvent;
use prograde_model::incident::IncidentEvent;
use prograde_model::oncall::PageFact;
use prograde_model::stored::{DecodeError, Fact};
use tokio::sync::Mutex;

use crate::events::chain;

/// How many facts are read at once.
const READ_CHUNK: usize = 1_000;
/// The subjects of all kinds; what stands under another is a flight's.
const SUBJECTS: [&str; 3] = [AlertEvent::SUBJECT, IncidentEvent::SUBJECT, PageFact::SUBJECT];

/// Whether a subject is one of those.
pub(crate) fn is_subject(subject: &str) -> bool {
    SUBJECTS.contains(&subject)
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
