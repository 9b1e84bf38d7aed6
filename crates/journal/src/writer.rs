//! The one thread that writes. It takes all the appends that are waiting, stores them in one transaction and answers
//! them once the disk has it: under load, many appends share one wait for the disk.
//!
//! Each append is still decided alone. A conflict is found before anything of its append is written. Where one append
//! can be to blame for the failure of the transaction, such as by not fitting on the disk, each is tried again alone.

use std::{mem, thread};

use rusqlite::{Connection, Statement, Transaction, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::chain::{Hash, Link};
use crate::connection::{Location, WriteConnection};
use crate::error::JournalError;
use crate::event::{PreparedEvent, StoredEvent};
use crate::head::{Head, read_head};

/// How many appends wait in the queue, and how many share a transaction.
pub(crate) const QUEUE_MAX: usize = 1024;

/// What the writer is asked.
pub(crate) enum Request {
    /// To store events.
    Append(Append),
    /// To finish: what came before is stored, what comes after is refused.
    Close(oneshot::Sender<Result<(), JournalError>>),
    /// To run a test's statements on the connection that writes.
    #[cfg(test)]
    Inspect(Box<dyn FnOnce(&mut Connection) + Send>),
}

/// One append: all of its events or none.
pub(crate) struct Append {
    pub(crate) subject: String,
    pub(crate) expected_version: u64,
    pub(crate) at: jiff::Timestamp,
    /// `at` as it is stored.
    pub(crate) at_text: String,
    pub(crate) events: Vec<PreparedEvent>,
    /// Its share of the memory that waiting appends may take.
    pub(crate) memory: OwnedSemaphorePermit,
    pub(crate) reply: oneshot::Sender<Result<Vec<StoredEvent>, JournalError>>,
}

/// What an event got when it was stored.
struct Place {
    sequence: u64,
    subject_version: u64,
    previous_hash: Hash,
    hash: Hash,
}

/// Starts the thread. It ends when asked to close or when no sender of requests is left.
pub(crate) fn start(
    opened: WriteConnection,
    location: Location,
) -> Result<(mpsc::Sender<Request>, watch::Receiver<u64>), JournalError> {
    let head = read_head(&opened.connection, &location)?;
    let (sender, requests) = mpsc::channel(QUEUE_MAX);
    let (published, watched) = watch::channel(head.sequence);
    let path = location.path.clone();
    let writer = Writer { opened, location, head, published };
    thread::Builder::new()
        .name("journal".into())
        .spawn(move || writer.run(requests))
        .map_err(|error| JournalError::from_io(&path, error))?;
    Ok((sender, watched))
}

struct Writer {
    opened: WriteConnection,
    location: Location,
    head: Head,
    published: watch::Sender<u64>,
}

impl Writer {
    fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let mut batch = Vec::new();
        while let Some(request) = requests.blocking_recv() {
            let mut next = Some(request);
            while let Some(request) = next {
                match request {
                    Request::Append(append) => batch.push(append),
                    Request::Close(reply) => {
                        self.store(&mut batch);
                        return self.close(requests, reply);
                    }
                    #[cfg(test)]
                    Request::Inspect(inspect) => inspect(&mut self.opened.connection),
                }
                next = if batch.len() < QUEUE_MAX { waiting(&mut requests) } else { None };
            }
            self.store(&mut batch);
        }
    }

    /// Stores and answers all appends of the batch.
    fn store(&mut self, batch: &mut Vec<Append>) {
        match self.transact(batch) {
            Ok(outcomes) => {
                for (append, outcome) in batch.drain(..).zip(outcomes) {
                    append.answer(outcome);
                }
            }
            Err(JournalError::DiskFull { .. } | JournalError::Corrupt { .. }) if batch.len() > 1 => {
                for append in mem::take(batch) {
                    self.store(&mut vec![append]);
                }
            }
            Err(error) => {
                for append in batch.drain(..) {
                    append.answer(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction with an outcome for each append, or an error and nothing is stored.
    fn transact(&mut self, batch: &[Append]) -> Result<Vec<Result<Vec<Place>, JournalError>>, JournalError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let location = &self.location;
        let failed = |error| location.failed(&error);
        let transaction =
            Transaction::new(&mut self.opened.connection, TransactionBehavior::Immediate).map_err(failed)?;
        let mut head = self.head;
        let outcomes = Statements::prepare(&transaction)
            .and_then(|mut statements| batch.iter().map(|append| statements.store(append, &mut head)).collect())
            .map_err(failed)?;
        if head != self.head {
            let recorded = (number(head.sequence).map_err(failed)?, head.hash);
            transaction.execute("UPDATE head SET sequence = ?1, hash = ?2 WHERE id = 1", recorded).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        self.head = head;
        self.published.send_replace(head.sequence);
        Ok(outcomes)
    }

    /// Lets go of the file; requests that came too late find the queue gone.
    fn close(self, mut requests: mpsc::Receiver<Request>, reply: oneshot::Sender<Result<(), JournalError>>) {
        requests.close();
        let closed = self.opened.close().map_err(|error| self.location.failed(&error));
        drop(self.published);
        // Whoever asked may have stopped waiting.
        let _ = reply.send(closed);
    }
}

/// A request that is waiting. Callers that were just answered are about to ask again: they are let run once.
fn waiting(requests: &mut mpsc::Receiver<Request>) -> Option<Request> {
    requests.try_recv().ok().or_else(|| {
        thread::yield_now();
        requests.try_recv().ok()
    })
}

struct Statements<'a> {
    version: Statement<'a>,
    insert: Statement<'a>,
}

impl<'a> Statements<'a> {
    fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            version: connection.prepare("SELECT coalesce(max(subject_version), 0) FROM event WHERE subject = ?1")?,
            insert: connection.prepare("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?,
        })
    }

    /// Writes the events of one append after `head`, unless its subject moved on.
    fn store(&mut self, append: &Append, head: &mut Head) -> rusqlite::Result<Result<Vec<Place>, JournalError>> {
        let actual: i64 = self.version.query_row([&append.subject], |row| row.get(0))?;
        let actual = u64::try_from(actual).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, actual))?;
        if actual != append.expected_version {
            let Append { subject, expected_version: expected, .. } = append;
            return Ok(Err(JournalError::Conflict { subject: subject.clone(), expected: *expected, actual }));
        }
        let mut places = Vec::with_capacity(append.events.len());
        for (subject_version, event) in (actual + 1..).zip(&append.events) {
            let place = append.place(event, subject_version, head);
            self.insert.execute((
                number(place.sequence)?,
                &append.subject,
                number(place.subject_version)?,
                &event.event_type,
                event.version,
                &append.at_text,
                &event.text,
                &place.hash,
            ))?;
            *head = Head { sequence: place.sequence, hash: place.hash };
            places.push(place);
        }
        Ok(Ok(places))
    }
}

impl Append {
    fn place(&self, event: &PreparedEvent, subject_version: u64, head: &Head) -> Place {
        let sequence = head.sequence + 1;
        let link = Link {
            previous: &head.hash,
            sequence,
            subject: &self.subject,
            subject_version,
            event_type: &event.event_type,
            version: event.version,
            at: &self.at_text,
            payload: &event.text,
        };
        Place { sequence, subject_version, previous_hash: head.hash, hash: link.hash() }
    }

    fn answer(self, outcome: Result<Vec<Place>, JournalError>) {
        let Self { subject, at, events, memory, reply, .. } = self;
        let stored = |(event, place): (PreparedEvent, Place)| StoredEvent {
            sequence: place.sequence,
            subject: subject.clone(),
            subject_version: place.subject_version,
            event_type: event.event_type,
            version: event.version,
            at,
            payload: event.payload,
            previous_hash: hex::encode(place.previous_hash),
            hash: hex::encode(place.hash),
        };
        let answer = outcome.map(|places| events.into_iter().zip(places).map(stored).collect());
        drop(memory);
        // Whoever asked may have stopped waiting; the events are stored all the same.
        let _ = reply.send(answer);
    }
}

/// A count as SQLite's signed integer.
fn number(count: u64) -> rusqlite::Result<i64> {
    i64::try_from(count).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value, json};
    use tokio::task::JoinSet;

    use super::*;
    use crate::event::NewEvent;
    use crate::journal::Journal;

    fn event(payload: Value) -> Vec<NewEvent> {
        vec![NewEvent { event_type: "test.happened".into(), version: 1, payload }]
    }

    async fn append(
        journal: &Journal,
        subject: &str,
        version: u64,
        events: Vec<NewEvent>,
    ) -> Result<Vec<StoredEvent>, JournalError> {
        journal.append(subject, version, jiff::Timestamp::UNIX_EPOCH, events).await
    }

    async fn inspect(journal: &Journal, inspect: impl FnOnce(&mut Connection) + Send + 'static) {
        assert!(journal.requests().send(Request::Inspect(Box::new(inspect))).await.is_ok());
    }

    /// Leaves room for so many more pages of 4096 bytes; SQLite reports `SQLITE_FULL` beyond, as on a full disk.
    async fn leave_pages(journal: &Journal, more: i64) {
        inspect(journal, move |connection| {
            let used: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
            connection.query_row(&format!("PRAGMA max_page_count = {}", used + more), [], |_| Ok(())).unwrap();
        })
        .await;
    }

    /// Holds the writer until all the appends are queued, so that it meets them at once.
    async fn append_at_once(
        journal: &Journal,
        appends: Vec<(String, u64, Vec<NewEvent>)>,
    ) -> Vec<Result<Vec<StoredEvent>, JournalError>> {
        let (release, held) = std::sync::mpsc::channel::<()>();
        inspect(journal, move |_| assert!(held.recv().is_err())).await;
        let mut tasks = JoinSet::new();
        let count = appends.len();
        for (index, (subject, version, events)) in appends.into_iter().enumerate() {
            let journal = journal.clone();
            tasks.spawn(async move { (index, append(&journal, &subject, version, events).await) });
        }
        while journal.requests().capacity() > QUEUE_MAX - count {
            tokio::task::yield_now().await;
        }
        drop(release);
        let mut outcomes = tasks.join_all().await;
        outcomes.sort_by_key(|(index, _)| *index);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    fn open(directory: &tempfile::TempDir) -> Journal {
        Journal::open(&directory.path().join("journal.db")).unwrap()
    }

    #[tokio::test]
    async fn appends_that_wait_together_share_one_commit() {
        let directory = tempfile::tempdir().unwrap();
        let journal = open(&directory);
        let commits = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&commits);
        inspect(&journal, move |connection| {
            connection
                .commit_hook(Some(move || {
                    counter.fetch_add(1, Ordering::SeqCst);
                    false
                }))
                .unwrap();
        })
        .await;
        // Every fourth is stale, and two of each ten want the same subject: only those fail.
        let appends = (0..100_u64).map(|i| (format!("subject/{}", i % 90), u64::from(i % 4 == 3), event(json!(i))));
        let outcomes = append_at_once(&journal, appends.collect()).await;
        assert_eq!(commits.load(Ordering::SeqCst), 1);
        let stored: Vec<_> = outcomes.iter().flatten().flatten().map(|event| event.payload.clone()).collect();
        assert_eq!(journal.head().await.unwrap(), stored.len() as u64);
        assert!(stored.len() >= 68, "{}", stored.len());
        for outcome in outcomes {
            if let Err(error) = outcome {
                assert!(matches!(error, JournalError::Conflict { .. }), "{error}");
            }
        }
        journal.verify().await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_refuses_what_does_not_fit_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let journal = open(&directory);
        leave_pages(&journal, 8).await;
        let large = || event(Value::String("x".repeat(100_000)));
        let outcomes = append_at_once(
            &journal,
            vec![
                ("small/1".into(), 0, event(json!(1))),
                ("large/1".into(), 0, large()),
                ("small/1".into(), 1, event(json!(2))),
                ("small/2".into(), 7, event(json!(3))),
            ],
        )
        .await;
        assert_eq!(outcomes[0].as_ref().unwrap()[0].sequence, 1);
        assert!(matches!(outcomes[1], Err(JournalError::DiskFull { .. })), "{:?}", outcomes[1]);
        assert_eq!(outcomes[2].as_ref().unwrap()[0].sequence, 2);
        assert!(matches!(outcomes[3], Err(JournalError::Conflict { actual: 0, .. })));

        // An append whose first event fits and whose second does not leaves neither.
        let both = [event(json!(4)), large()].concat();
        let full = append(&journal, "both/1", 0, both.clone()).await;
        assert!(matches!(full, Err(JournalError::DiskFull { .. })), "{full:?}");
        assert!(journal.read_subject("both/1").await.unwrap().is_empty());
        assert_eq!(journal.head().await.unwrap(), 2);

        leave_pages(&journal, 1000).await;
        assert_eq!(append(&journal, "both/1", 0, both).await.unwrap()[1].sequence, 4);
        assert_eq!(journal.verify().await.unwrap().events, 4);
        journal.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_queued_when_the_journal_closes_is_stored() {
        let directory = tempfile::tempdir().unwrap();
        let journal = open(&directory);
        let (release, held) = std::sync::mpsc::channel::<()>();
        inspect(&journal, move |_| assert!(held.recv().is_err())).await;
        let handle = journal.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { append(&handle, "subject/1", 0, event(json!(1))).await.map(drop) });
        while journal.requests().capacity() == QUEUE_MAX {
            tokio::task::yield_now().await;
        }
        let closing = journal.clone();
        tasks.spawn(async move { closing.close().await });
        while journal.requests().capacity() > QUEUE_MAX - 2 {
            tokio::task::yield_now().await;
        }
        drop(release);
        for outcome in tasks.join_all().await {
            outcome.unwrap();
        }
        let late = append(&journal, "subject/1", 1, event(json!(2))).await;
        assert!(matches!(late, Err(JournalError::Closed)), "{late:?}");
        assert_eq!(open(&directory).head().await.unwrap(), 1);
    }
}
