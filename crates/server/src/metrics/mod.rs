//! The embedded store of time series, while the server runs: opened with it, kept in order, asked with bounds, and given
//! what the server itself knows.

mod own;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prograde_control::Control;
use prograde_observe::evaluate;
use prograde_observe::store::{Store, StoreError};
use prograde_observe::tsdb::{Database, DatabaseError, Options, Stats};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;

pub(crate) use own::{Own, exposition};

/// How long a query may take; whoever asks may say less.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_mins(2);
/// How many queries are answered at once; as many as they like wait until their time is over.
const QUERIES_AT_ONCE: usize = 8;
/// How often the store is put in order.
const MAINTENANCE: Duration = Duration::from_secs(10);
/// How often what the server itself knows is written down: Prometheus' default is a minute, which is too long to see a canary.
const OWN_PERIOD: Duration = Duration::from_secs(5);

/// Why a question to the store has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// Others' questions took all of the time.
    #[error("too many others ask as well")]
    Busy,
    /// Answering panicked, or the server ends.
    #[error("answering ended badly")]
    Ended(#[from] JoinError),
}

/// The store.
pub(crate) struct Metrics {
    database: Arc<Database>,
    permits: Arc<Semaphore>,
}

/// Tells a question that nobody waits for its answer any more.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Opens the store in a folder, or makes it.
    pub(crate) async fn open(folder: PathBuf, retention: Duration, now: Timestamp) -> Result<Self, DatabaseError> {
        let mut options = Options::new(folder, now.as_millisecond());
        options.retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        // Reading the log takes a second for some millions of samples.
        let path = options.path.clone();
        let opened = spawn_blocking(move || Database::open(options)).await;
        let ended = |error| Err(DatabaseError::Io { doing: "open", path, source: std::io::Error::other(error) });
        let database = opened.unwrap_or_else(ended)?;
        let recovery = database.recovery();
        tracing::info!(?recovery, "the time series are open");
        Ok(Self { database: Arc::new(database), permits: Arc::new(Semaphore::new(QUERIES_AT_ONCE)) })
    }

    /// Asks the store on a thread that may take its time, until the time is over or nobody waits for the answer.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        timeout: Duration,
        question: impl FnOnce(&dyn Store, &evaluate::Options<'_>) -> R + Send + 'static,
    ) -> Result<R, Unanswered> {
        let deadline = Instant::now() + timeout;
        let waiting = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = waiting.map_err(|_| Unanswered::Busy)?.map_err(|_| Unanswered::Busy)?;
        let (database, unwanted) = (Arc::clone(&self.database), Arc::new(AtomicBool::new(false)));
        let guard = Unwanted(Arc::clone(&unwanted));
        let answering = spawn_blocking(move || {
            let goes_on = || !unwanted.load(Ordering::Relaxed) && Instant::now() < deadline;
            let options = evaluate::Options { goes_on: &goes_on, ..evaluate::Options::default() };
            let answer = question(&*database, &options);
            drop(permit);
            answer
        });
        let answer = answering.await;
        drop(guard);
        Ok(answer?)
    }

    /// How much there is.
    pub(crate) async fn stats(&self) -> Result<Result<Stats, StoreError>, Unanswered> {
        let database = Arc::clone(&self.database);
        Ok(spawn_blocking(move || database.stats().map_err(StoreError::new)).await?)
    }

    /// Keeps the store in order and writes down what the server knows, until it is stopped.
    pub(crate) async fn run(self: Arc<Self>, control: Control, stop: CancellationToken) {
        let (mut maintenance, mut looking) = (interval(MAINTENANCE), interval(OWN_PERIOD));
        maintenance.set_missed_tick_behavior(MissedTickBehavior::Skip);
        looking.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut own = Own::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = maintenance.tick() => self.maintain(control.now()).await,
                _ = looking.tick() => {
                    let batch = own.look(&control);
                    self.append(batch).await;
                }
            }
        }
        // What was written until now is on the disk before the process ends.
        self.maintain(control.now()).await;
    }

    async fn maintain(&self, now: Timestamp) {
        let database = Arc::clone(&self.database);
        match spawn_blocking(move || database.maintain(now.as_millisecond())).await {
            Ok(Ok(done)) => tracing::debug!(?done, "the time series are in order"),
            Ok(Err(error)) => {
                tracing::error!("the time series could not be put in order: {}", crate::events::chain(&error));
            }
            Err(error) => tracing::error!("putting the time series in order ended badly: {error}"),
        }
    }

    async fn append(&self, batch: own::Batch) {
        let database = Arc::clone(&self.database);
        match spawn_blocking(move || own::append(&*database, &batch)).await {
            Ok(Ok(appended)) if appended.out_of_bounds + appended.duplicate + appended.out_of_order > 0 => {
                tracing::warn!(?appended, "some of the server's own samples were left out");
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::error!("the server's own samples could not be kept: {}", crate::events::chain(&error));
            }
            Err(error) => tracing::error!("keeping the server's own samples ended badly: {error}"),
        }
    }
}
