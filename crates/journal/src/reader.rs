//! Reads events in pages, over a few connections that never write. An event is checked against its hash before it
//! leaves: what was altered is an error, never an event.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Row, Rows};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::chain::{Hash, Link, NO_HASH};
use crate::connection::Location;
use crate::error::JournalError;
use crate::event::StoredEvent;

/// How many events one read returns at most.
pub const PAGE_EVENTS_MAX: usize = 10_000;
/// A read ends after the event with which its payloads reach this many bytes.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// How many events of one subject are returned at once.
pub const SUBJECT_EVENTS_MAX: usize = 100_000;

/// How many reads run at the same time.
const CONNECTIONS_MAX: u32 = 4;
/// How long a read waits for a connection.
const CONNECTION_WAIT: Duration = Duration::from_secs(30);
/// How long a page may take.
const PAGE_WAIT: Duration = Duration::from_mins(1);

/// Every column, and the hash of the event before.
pub(crate) const COLUMNS: &str = "SELECT sequence, subject, subject_version, event_type, version, at, payload, hash,
    (SELECT before.hash FROM event AS before WHERE before.sequence = event.sequence - 1) FROM event";

/// Which events, in which order.
#[derive(Debug, Clone)]
pub(crate) enum Query {
    /// Those after a sequence.
    After(u64),
    /// Those of a subject, after a subject version.
    Subject(String, u64),
}

/// The connections that read.
pub(crate) struct Readers {
    location: Location,
    slots: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(location: Location) -> Self {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        Self { location, slots, idle: Arc::default() }
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Runs a read on one of the connections, off the runtime.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Location) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let slot = self.slot(1).await?;
        let (location, idle) = (self.location.clone(), Arc::clone(&self.idle));
        let task = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = match kept {
                Some(connection) => connection,
                None => location.open_reader().map_err(|error| location.failed(&error))?,
            };
            let answer = read(&connection, &location);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            answer
        });
        match timeout(PAGE_WAIT, task).await {
            Ok(Ok(answer)) => answer,
            // The runtime is shutting down.
            Ok(Err(_)) => Err(JournalError::Closed),
            Err(_) => Err(JournalError::Unanswered { seconds: PAGE_WAIT.as_secs() }),
        }
    }

    /// Up to `limit` events; at least one if there is any.
    pub(crate) async fn page(&self, query: Query, limit: usize) -> Result<Vec<StoredEvent>, JournalError> {
        self.run(move |connection, location| read_page(connection, location, &query, limit)).await
    }

    /// Waits for the reads that run, refuses new ones and closes the connections.
    pub(crate) async fn close(&self) -> Result<(), JournalError> {
        let all = self.slot(CONNECTIONS_MAX).await?;
        self.slots.close();
        let idle = Arc::clone(&self.idle);
        let closing = tokio::task::spawn_blocking(move || {
            idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
            drop(all);
        });
        closing.await.map_err(|_| JournalError::Closed)
    }

    async fn slot(&self, count: u32) -> Result<OwnedSemaphorePermit, JournalError> {
        timeout(CONNECTION_WAIT, Arc::clone(&self.slots).acquire_many_owned(count))
            .await
            .map_err(|_| JournalError::Busy { seconds: CONNECTION_WAIT.as_secs() })?
            .map_err(|_| JournalError::Closed)
    }
}

fn read_page(
    connection: &Connection,
    location: &Location,
    query: &Query,
    limit: usize,
) -> Result<Vec<StoredEvent>, JournalError> {
    let failed = |error| location.failed(&error);
    let limit = i64::try_from(limit.min(PAGE_EVENTS_MAX)).unwrap_or(i64::MAX);
    let (sql, after) = match query {
        Query::After(after) => (format!("{COLUMNS} WHERE sequence > ?1 ORDER BY sequence LIMIT ?2"), after),
        Query::Subject(_, after) => {
            (format!("{COLUMNS} WHERE subject_version > ?1 AND subject = ?3 ORDER BY subject_version LIMIT ?2"), after)
        }
    };
    let after = i64::try_from(*after).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut rows = match query {
        Query::After(_) => statement.query((after, limit)),
        Query::Subject(subject, _) => statement.query((after, limit, subject)),
    }
    .map_err(failed)?;
    collect(&mut rows, location)
}

fn collect(rows: &mut Rows<'_>, location: &Location) -> Result<Vec<StoredEvent>, JournalError> {
    let mut events = Vec::new();
    let mut bytes = 0;
    while bytes < PAGE_BYTES_MAX {
        let Some(row) = rows.next().map_err(|error| location.failed(&error))? else { break };
        let (event, payload_bytes) = checked_event(row, location)?;
        bytes += payload_bytes;
        events.push(event);
    }
    Ok(events)
}

/// The event in a row of [`COLUMNS`], and its payload's size, if it is what its hash says.
pub(crate) fn checked_event(row: &Row<'_>, location: &Location) -> Result<(StoredEvent, usize), JournalError> {
    let sequence: i64 = row.get(0).map_err(|error| location.failed(&error))?;
    let sequence =
        u64::try_from(sequence).map_err(|_| JournalError::Broken { sequence: 0, reason: "a sequence is below 1" })?;
    let broken = |reason| JournalError::Broken { sequence, reason };
    let columns = Columns::of(row).map_err(|_| broken("a column holds a value of another kind"))?;
    let previous = match columns.previous {
        Some(previous) => previous,
        None if sequence == 1 => NO_HASH,
        None => return Err(broken("the event before it is missing")),
    };
    let link = Link {
        previous: &previous,
        sequence,
        subject: &columns.subject,
        subject_version: columns.subject_version,
        event_type: &columns.event_type,
        version: columns.version,
        at: &columns.at,
        payload: &columns.payload,
    };
    if link.hash() != columns.hash {
        return Err(broken("its contents do not match its hash"));
    }
    let event = StoredEvent {
        sequence,
        at: columns.at.parse().map_err(|_| broken("its time is not a time"))?,
        payload: serde_json::from_str(&columns.payload).map_err(|_| broken("its payload is not JSON"))?,
        subject: columns.subject,
        subject_version: columns.subject_version,
        event_type: columns.event_type,
        version: columns.version,
        previous_hash: hex::encode(previous),
        hash: hex::encode(columns.hash),
    };
    Ok((event, columns.payload.len()))
}

struct Columns {
    subject: String,
    subject_version: u64,
    event_type: String,
    version: u32,
    at: String,
    payload: String,
    hash: Hash,
    previous: Option<Hash>,
}

impl Columns {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            subject: row.get(1)?,
            subject_version: number(row, 2)?,
            event_type: row.get(3)?,
            version: row.get(4)?,
            at: row.get(5)?,
            payload: row.get(6)?,
            hash: row.get(7)?,
            previous: row.get(8)?,
        })
    }
}

/// A count from a column; SQLite's integers have a sign.
fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let signed: i64 = row.get(index)?;
    u64::try_from(signed).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(index, signed))
}
