//! The journal as its callers see it. All work on SQLite is done on other threads than the runtime's.

use std::fmt;
use std::iter;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::connection::{self, Location};
use crate::error::JournalError;
use crate::event::{self, APPEND_BYTES_MAX, NewEvent, StoredEvent};
use crate::head::read_head;
use crate::reader::{Query, Readers, SUBJECT_EVENTS_MAX};
use crate::subscription::Subscription;
use crate::verify::{self, Interrupt, VerifyReport};
use crate::writer::{self, Append, Request};

/// How long an append waits for a place in the queue.
const QUEUE_WAIT: Duration = Duration::from_secs(30);
/// How long an append waits for the disk.
const DISK_WAIT: Duration = Duration::from_mins(1);
/// How many bytes of payload may wait.
const WAITING_BYTES_MAX: usize = 64 << 20;
/// What an append takes of that at least, for its names and its overhead.
const APPEND_BYTES_MIN: usize = 1024;

/// The journal. Clones are handles to the same one.
///
/// End with [`Journal::close`]. When the last handle and subscription is dropped instead, what was queued is still
/// stored, but the lock is let go at some later time.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    readers: Readers,
    /// `None` when opened read-only.
    writer: Option<Writer>,
}

struct Writer {
    requests: mpsc::Sender<Request>,
    head: watch::Receiver<u64>,
    memory: Arc<Semaphore>,
}

impl Journal {
    /// Opens a journal for writing, alone; creates the file if there is none and brings an older format up to date.
    /// Does blocking work on a few pages; call it when starting.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let (opened, location) = connection::open_for_writing(path)?;
        let (requests, head) = writer::start(opened, location.clone())?;
        let memory = Arc::new(Semaphore::new(WAITING_BYTES_MAX));
        Ok(Self::new(location, Some(Writer { requests, head, memory })))
    }

    /// Opens a journal for reading, also while another process writes it, and also from a directory that can't be
    /// written. Does blocking work on a few pages.
    pub fn open_read_only(path: &Path) -> Result<Self, JournalError> {
        Ok(Self::new(connection::locate_for_reading(path)?, None))
    }

    fn new(location: Location, writer: Option<Writer>) -> Self {
        Self(Arc::new(Shared { readers: Readers::new(location), writer }))
    }

    /// Stores all the events or none, if `subject` is at `expected_version` (0 when it has no event); returns them as
    /// stored, once they are on the disk. No events: only the version is checked.
    ///
    /// Safe to try again with the same `expected_version` after [`JournalError::Unanswered`] or
    /// [`JournalError::Storage`]: if the first attempt was stored after all, the second is a [`JournalError::Conflict`].
    /// Giving up waiting does not take the events back. The waits are measured by the runtime's clock, which must not be
    /// paused.
    pub async fn append(
        &self,
        subject: &str,
        expected_version: u64,
        at: Timestamp,
        events: Vec<NewEvent>,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let writer = self.0.writer.as_ref().ok_or_else(|| self.read_only())?;
        event::check_subject(subject)?;
        let at_text = event::stored_time(at)?;
        let (events, bytes) = event::prepare(events)?;
        let busy = |_| JournalError::Busy { seconds: QUEUE_WAIT.as_secs() };
        let (reply, answer) = oneshot::channel();
        let queued = async {
            let share = u32::try_from(bytes.clamp(APPEND_BYTES_MIN, APPEND_BYTES_MAX)).unwrap_or(u32::MAX);
            let memory =
                Arc::clone(&writer.memory).acquire_many_owned(share).await.map_err(|_| JournalError::Closed)?;
            let subject = subject.to_owned();
            let append = Append { subject, expected_version, at, at_text, events, memory, reply };
            writer.requests.send(Request::Append(append)).await.map_err(|_| JournalError::Closed)
        };
        timeout(QUEUE_WAIT, queued).await.map_err(busy)??;
        answered(answer).await?
    }

    /// Up to `limit` events after the event `cursor` (0 for the first), in order. At least one if there is any, but
    /// fewer than asked for when there are more than [`crate::PAGE_EVENTS_MAX`] or they are larger than
    /// [`crate::PAGE_BYTES_MAX`]: only an empty answer is the end.
    pub async fn read_after(&self, cursor: u64, limit: usize) -> Result<Vec<StoredEvent>, JournalError> {
        self.0.readers.page(Query::After(cursor), limit).await
    }

    /// All events of a subject, in order; none if it is unknown. At most [`SUBJECT_EVENTS_MAX`]; beyond that, read
    /// [`Self::read_subject_after`] page by page.
    pub async fn read_subject(&self, subject: &str) -> Result<Vec<StoredEvent>, JournalError> {
        let mut events: Vec<StoredEvent> = Vec::new();
        loop {
            let version = events.last().map_or(0, |last| last.subject_version);
            let page = self.read_subject_after(subject, version, SUBJECT_EVENTS_MAX).await?;
            if page.is_empty() {
                return Ok(events);
            }
            events.extend(page);
            if events.len() > SUBJECT_EVENTS_MAX {
                return Err(JournalError::SubjectTooLong { subject: subject.to_owned(), limit: SUBJECT_EVENTS_MAX });
            }
        }
    }

    /// Up to `limit` events of a subject after its version `version`, in order, bounded as [`Self::read_after`] is.
    pub async fn read_subject_after(
        &self,
        subject: &str,
        version: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        let events = self.0.readers.page(Query::Subject(subject.to_owned(), version), limit).await?;
        let versions = events.iter().map(|event| event.subject_version);
        let gap = events
            .iter()
            .zip(iter::once(version).chain(versions))
            .find(|(event, before)| event.subject_version != before + 1);
        match gap {
            Some((event, _)) => {
                let reason = "the event before it in its subject is missing";
                Err(JournalError::Broken { sequence: event.sequence, reason })
            }
            None => Ok(events),
        }
    }

    /// The last stored event's sequence; 0 when there is none.
    pub async fn head(&self) -> Result<u64, JournalError> {
        match &self.0.writer {
            Some(writer) if writer.requests.is_closed() => Err(JournalError::Closed),
            Some(writer) => Ok(*writer.head.borrow()),
            None => {
                let read = |connection: &_, location: &_| read_head(connection, location);
                Ok(self.0.readers.run(read).await?.sequence)
            }
        }
    }

    /// Follows the journal after the event `after` (0 for the first); beyond the end, waits until it is reached.
    pub fn subscribe(&self, after: u64) -> Subscription {
        let head = self.0.writer.as_ref().map(|writer| writer.head.clone());
        Subscription::new(self.clone(), head, after)
    }

    /// Checks everything that is stored now, on a connection of its own. Takes as long as the journal is large; giving
    /// up stops it.
    ///
    /// An event that was changed, moved, inserted or taken out is [`JournalError::Broken`], and so is a tail that was
    /// cut off; damage below the events is [`JournalError::Corrupt`].
    pub async fn verify(&self) -> Result<VerifyReport, JournalError> {
        let location = self.0.readers.location().clone();
        let opened =
            self.0.readers.run(|_, location| location.open_reader().map_err(|error| location.failed(&error))).await;
        let mut connection = opened?;
        let _interrupt = Interrupt::of(&connection);
        tokio::task::spawn_blocking(move || verify::verify(&mut connection, &location))
            .await
            .map_err(|_| JournalError::Closed)?
    }

    /// Refuses new reads, stores what was queued, and lets go of the file and of the lock. Every other handle then
    /// answers [`JournalError::Closed`]. Closing again is no error; after [`JournalError::Busy`] it can be tried again.
    pub async fn close(self) -> Result<(), JournalError> {
        // Readers first: the last connection to go puts the log into the file and removes it.
        match self.0.readers.close().await {
            Ok(()) | Err(JournalError::Closed) => {}
            Err(busy) => return Err(busy),
        }
        let Some(writer) = &self.0.writer else { return Ok(()) };
        let (reply, answer) = oneshot::channel();
        match timeout(QUEUE_WAIT, writer.requests.send(Request::Close(reply))).await {
            Ok(Ok(())) => answered(answer).await?,
            // Closed by another handle.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(JournalError::Busy { seconds: QUEUE_WAIT.as_secs() }),
        }
    }

    /// The writer's queue, for tests that hold it up.
    #[cfg(test)]
    pub(crate) fn requests(&self) -> &mpsc::Sender<Request> {
        &self.0.writer.as_ref().expect("opened for writing").requests
    }

    pub(crate) fn read_only(&self) -> JournalError {
        JournalError::ReadOnly { path: self.0.readers.location().path.clone() }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("location", self.0.readers.location()).finish_non_exhaustive()
    }
}

/// Waits for the writer's answer.
async fn answered<T>(answer: oneshot::Receiver<T>) -> Result<T, JournalError> {
    timeout(DISK_WAIT, answer)
        .await
        .map_err(|_| JournalError::Unanswered { seconds: DISK_WAIT.as_secs() })?
        .map_err(|_| JournalError::Closed)
}
