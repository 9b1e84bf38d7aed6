//! Follows the journal from a place on. Events always come from the store, page by page, and the writer only says how
//! far it is: a slow follower costs one page of memory, and nothing can be missed or repeated.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;

use tokio::sync::watch;

use crate::error::JournalError;
use crate::event::StoredEvent;
use crate::journal::Journal;

/// How many events are read at once.
const PAGE_EVENTS: usize = 256;

type Reading = Pin<Box<dyn Future<Output = Result<Vec<StoredEvent>, JournalError>> + Send>>;

/// The journal's events from a place on, first those that are stored, then those that are being appended. It keeps the
/// journal from being dropped, not from being closed.
pub struct Subscription {
    journal: Journal,
    /// How far the writer is; `None` where nobody writes through this journal.
    head: Option<watch::Receiver<u64>>,
    /// The last event that was handed out.
    cursor: u64,
    page: VecDeque<StoredEvent>,
    /// A read that has started. It outlives a `next` that is given up, so that even a caller who gives up often gets on.
    reading: Option<Reading>,
}

impl Subscription {
    pub(crate) fn new(journal: Journal, head: Option<watch::Receiver<u64>>, after: u64) -> Self {
        Self { journal, head, cursor: after, page: VecDeque::new(), reading: None }
    }

    /// The next event; waits for it as long as the journal is open. Cancel-safe: giving up loses nothing.
    ///
    /// Fails with [`JournalError::Closed`] once the journal is closed, with [`JournalError::ReadOnly`] at the end of a
    /// journal that was opened read-only, and like a read otherwise; after such a failure it can be called again and
    /// goes on where it was.
    pub async fn next(&mut self) -> Result<StoredEvent, JournalError> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.cursor = event.sequence;
                return Ok(event);
            }
            if self.reading.is_none() {
                self.more_is_stored().await?;
                let (journal, cursor) = (self.journal.clone(), self.cursor);
                self.reading = Some(Box::pin(async move { journal.read_after(cursor, PAGE_EVENTS).await }));
            }
            if let Some(reading) = &mut self.reading {
                let page = reading.await;
                self.reading = None;
                self.page = page?.into();
            }
            if self.page.is_empty() && self.head.is_none() {
                return Err(self.journal.read_only());
            }
        }
    }

    /// The sequence of the last event that [`Self::next`] returned; where to subscribe again after a restart.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    async fn more_is_stored(&mut self) -> Result<(), JournalError> {
        let Some(head) = &mut self.head else { return Ok(()) };
        head.wait_for(|head| *head > self.cursor).await.map(drop).map_err(|_| JournalError::Closed)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
