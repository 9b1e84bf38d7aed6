//! One target, scraped again and again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::Arriving;
use super::ingest::{Answer, Ingest, Outcome};
use super::pool::Asking;
use super::state::{Health, SharedStatus, Status, write};
use super::target::Target;
use super::{Clock, Options};
use crate::append::Append;

/// How many answers are read and stored at the same time. Each may take up to a whole body.
const INGESTS_MAX: usize = 4;
/// How far a scrape may be from the moment that it was planned for and still get that moment's time. Times that are exactly
/// an interval apart are stored in less room.
const TOLERANCE_MS: i64 = 2;

/// What all cycles share.
pub(crate) struct Shared {
    pub(crate) append: Arc<dyn Append>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Ends all cycles.
    pub(crate) stop: CancellationToken,
    /// Moves with each scrape that was stored.
    pub(crate) scraped: watch::Sender<u64>,
    arriving: Arriving,
    ingests: tokio::sync::Semaphore,
}

impl Shared {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            append: Arc::clone(&options.append),
            clock: Arc::clone(&options.clock),
            stop: CancellationToken::new(),
            scraped: watch::Sender::new(0),
            arriving: Arriving::default(),
            ingests: tokio::sync::Semaphore::new(INGESTS_MAX),
        }
    }
}

/// How a cycle ends.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ending {
    /// At once, leaving all series as they are.
    pub(crate) stop: CancellationToken,
    /// The target is gone: its series end.
    pub(crate) gone: CancellationToken,
}

/// One target's cycle.
pub(crate) struct Cycle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) target: Target,
    pub(crate) asking: Asking,
    pub(crate) bytes_max: Option<u64>,
    /// Why no target of the job is asked at present; empty if they are.
    pub(crate) refusal: Arc<Mutex<String>>,
    pub(crate) ingest: Arc<Mutex<Ingest>>,
    pub(crate) status: SharedStatus,
    pub(crate) ending: Ending,
}

/// The first moment of a cycle that is not before a time.
pub(crate) fn next_moment(now_ms: i64, interval_ms: i64, hash: u64) -> i64 {
    let interval = interval_ms.max(1);
    let offset = i64::try_from(hash % interval.unsigned_abs()).unwrap_or(0);
    now_ms.saturating_add((offset - now_ms).rem_euclid(interval))
}

impl Cycle {
    pub(crate) async fn run(self) {
        let hash = self.target.hash();
        let interval_ms = self.target.interval_ms;
        let mut planned = next_moment(self.shared.clock.now_ms(), interval_ms, hash);
        loop {
            if !self.wait(planned).await {
                return;
            }
            if self.ending.gone.is_cancelled() {
                return self.end(planned).await;
            }
            let now = self.shared.clock.now_ms();
            let tolerance = TOLERANCE_MS.min(interval_ms / 100);
            let at = if (now - planned).abs() <= tolerance { planned } else { now };
            self.scrape(at).await;
            planned = next_moment(self.shared.clock.now_ms().max(planned + 1), interval_ms, hash);
        }
    }

    /// Waits for a moment; false if the cycle is stopped. When a clock is set back, no longer than an interval.
    async fn wait(&self, moment_ms: i64) -> bool {
        let ms = (moment_ms - self.shared.clock.now_ms()).clamp(0, self.target.interval_ms);
        tokio::select! {
            () = self.ending.stop.cancelled() => false,
            () = tokio::time::sleep(Duration::from_millis(ms.unsigned_abs())) => true,
        }
    }

    /// Ends all series, at the moment when the target would have been scraped next. That is stored an interval later, so that
    /// a target that has come back by then goes on.
    async fn end(&self, moment_ms: i64) {
        let later = self.target.interval_ms + self.target.interval_ms / 10;
        if self.wait(moment_ms).await && self.wait(moment_ms.saturating_add(later)).await {
            let append = Arc::clone(&self.shared.append);
            let ended = self.ingest(move |ingest| ingest.end(moment_ms, &*append)).await;
            if let Some(Err(error)) = ended {
                tracing::error!(target = self.target.url, "the end of its series could not be stored: {error}");
            }
        }
    }

    async fn scrape(&self, at_ms: i64) {
        let begin = Instant::now();
        let within = Duration::from_millis(self.target.timeout_ms.unsigned_abs());
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let client = self.asking.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let fetched = match client {
            _ if !refusal.is_empty() => Err(refusal),
            Err(error) => Err(error),
            Ok(client) => {
                let fetching = client.fetch(&self.target.url, within, self.bytes_max, &self.shared.arriving);
                // Nothing has been stored yet: a request may be dropped wherever it stands.
                tokio::select! {
                    () = self.ending.stop.cancelled() => return,
                    fetched = fetching => fetched.map_err(|error| error.to_string()),
                }
            }
        };
        let seconds = begin.elapsed().as_secs_f64();
        let append = Arc::clone(&self.shared.append);
        let taken = self.ingest(move |ingest| {
            let unpacked = fetched.and_then(|fetched| {
                let format = fetched.format;
                fetched.unpacked().map(|body| (format, body)).map_err(|error| error.to_string())
            });
            let answer = unpacked.as_ref().map(|(format, body)| Answer { format: *format, body });
            ingest.take(answer.map_err(Clone::clone), at_ms, seconds, &*append)
        });
        if let Some(outcome) = taken.await {
            self.shared.scraped.send_modify(|scrapes| *scrapes = scrapes.wrapping_add(1));
            self.tell(&outcome, at_ms, seconds);
        }
    }

    /// Does what blocks where it may, a few at a time, and to its end.
    async fn ingest<T: Send + 'static>(&self, work: impl FnOnce(&mut Ingest) -> T + Send + 'static) -> Option<T> {
        let permit = self.shared.ingests.acquire().await.ok()?;
        let ingest = Arc::clone(&self.ingest);
        let done =
            tokio::task::spawn_blocking(move || work(&mut ingest.lock().unwrap_or_else(PoisonError::into_inner)));
        let done = done.await;
        drop(permit);
        done.map_err(|error| tracing::error!(target = self.target.url, "a scrape ended badly: {error}")).ok()
    }

    fn tell(&self, outcome: &Outcome, at_ms: i64, seconds: f64) {
        let mut error = outcome.error.clone().unwrap_or_default();
        let left_out = match &outcome.appended {
            Ok(appended) => appended.out_of_order + appended.duplicate + appended.out_of_bounds,
            Err(failed) => {
                tracing::error!(target = self.target.url, "its samples could not be stored: {failed}");
                if error.is_empty() {
                    error = failed.to_string();
                }
                0
            }
        };
        let health = if error.is_empty() { Health::Up } else { Health::Down };
        if left_out > 0 {
            tracing::warn!(target = self.target.url, left_out, "samples were left out: too old, too new, or twice");
        }
        tracing::debug!(target = self.target.url, error, "scraped");
        let status = Status {
            health,
            last_error: error,
            last_scrape_ms: Some(at_ms),
            last_duration_seconds: seconds,
            counts: outcome.counts,
            left_out,
        };
        write(&self.status, status);
    }
}

#[cfg(test)]
mod tests {
    use super::next_moment;

    #[test]
    fn moments_follow_from_the_hash_and_are_an_interval_apart() {
        assert_eq!(next_moment(1_000, 100, 42), 1_042);
        assert_eq!(next_moment(1_042, 100, 42), 1_042);
        assert_eq!(next_moment(1_043, 100, 42), 1_142);
        assert_eq!(next_moment(-50, 100, 142), 42);
        assert_eq!(next_moment(5, 0, u64::MAX), 5);
    }
}
