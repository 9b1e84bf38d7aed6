//! What is calculated from the whole journal at once: read in chunks, folded, never kept.

use prograde_control::ports::AppendError;
use prograde_journal::{Journal, JournalError};
use prograde_model::dora::History;
use prograde_model::event::Recorded;
use prograde_model::toil::{Done, Toil};

use crate::events::from_store;
use crate::records::{self, RecordsError};

/// How many events are read at once.
const CHUNK: usize = 1_000;

/// Why the journal's facts can't be read.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The store can't be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A fact is not understood.
    #[error(transparent)]
    Fact(#[from] AppendError),
    /// A fact that is no flight's is not understood.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// All deployments that a journal knows of.
pub async fn deployments(journal: &Journal) -> Result<History, HistoryError> {
    let mut history = History::default();
    for_each(journal, |fact| history.apply(fact)).await?;
    Ok(history)
}

/// All that people did by hand that a journal knows of.
pub async fn toil(journal: &Journal) -> Result<Vec<Done>, HistoryError> {
    let mut toil = Toil::default();
    for_each(journal, |fact| toil.apply(fact)).await?;
    for (at, fact) in records::read(journal).await? {
        toil.apply_alert(&fact, at);
    }
    for (at, fact) in records::read(journal).await? {
        toil.apply_run(&fact, at);
    }
    Ok(toil.into_done())
}

/// Every fact about flights in a journal, in order.
pub async fn for_each(journal: &Journal, mut take: impl FnMut(&Recorded)) -> Result<(), HistoryError> {
    let mut after = 0;
    loop {
        let events = journal.read_after(after, CHUNK).await?;
        let Some(last) = events.last() else { return Ok(()) };
        after = last.sequence;
        for event in &events {
            if let Some(fact) = from_store(event)? {
                take(&fact);
            }
        }
    }
}
