//! Copies of requests for a version that nobody sees yet: sent beside the request itself, read to the end, counted and
//! dropped.
//!
//! Invariant: the request that is copied never waits for its copy, nor fails or succeeds because of it. A copy is a task
//! of its own, there are only so many of them at a time, and one too many is not made. It holds its replica as any
//! request does, so that a replica is stopped only when its copies have ended too.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use http::{Method, StatusCode};
use tokio::time::{Duration, Instant, timeout};

use super::exchange::Exchange;
use super::headers::field;
use super::outgoing::Outgoing;
use super::route::{CopyLease, Lease};
use super::upload::Piece;
use super::upstream::{ExchangeError, Upstream};
use super::worker::Worker;

/// The header by which a replica can tell a copy from a request, with the value `1`. Taken off what clients send.
pub(super) const MARK: &str = "x-prograde-mirror";

/// How often it is said that copies are not made.
const SAY_PERIOD: Duration = Duration::from_mins(1);

/// A worker's copies on their way.
#[derive(Debug, Default)]
pub(super) struct Copies {
    in_flight: Cell<usize>,
    said: Cell<Option<Instant>>,
}

/// Counts as one of the copies on their way until dropped.
struct Slot(Rc<Worker>);

impl Drop for Slot {
    fn drop(&mut self) {
        let copies = &self.0.copies;
        copies.in_flight.set(copies.in_flight.get().saturating_sub(1));
    }
}

/// Copies a request that a replica has been taken for, if its turn has come. `head` writes it.
pub(super) fn copy(original: &Exchange, method: &Method, head: impl FnOnce() -> Vec<u8>) {
    let worker = &original.client.worker;
    let Some(lease) = original.client.view.lease_copy(&original.lease) else { return };
    let in_flight = worker.copies.in_flight.get();
    if in_flight >= worker.options.mirror_max {
        let uncopied = lease.count_uncopied();
        worker.copies.say(uncopied);
        return;
    }
    worker.copies.in_flight.set(in_flight + 1);
    let slot = Slot(Rc::clone(worker));
    let mut head = head();
    // Between the last header and the empty line.
    head.truncate(head.len().saturating_sub(2));
    field(&mut head, MARK, b"1");
    head.extend_from_slice(b"\r\n");
    let copy = Duplicate { slot, lease, method: method.clone(), head, started: original.started() };
    worker.housekeeping.spawn_local(copy.run());
}

impl Copies {
    fn say(&self, uncopied: u64) {
        let now = Instant::now();
        if self.said.get().is_none_or(|said| now.duration_since(said) >= SAY_PERIOD) {
            self.said.set(Some(now));
            tracing::warn!(uncopied, "requests are not copied: too many copies are on their way");
        }
    }
}

/// A copy on its way.
struct Duplicate {
    slot: Slot,
    lease: CopyLease,
    method: Method,
    head: Vec<u8>,
    started: Instant,
}

/// What became of a copy.
enum Outcome {
    /// Answered with this status, to the end or as far as an answer is read.
    Answered(StatusCode),
    /// No answer, or one that broke off.
    Failed(CopyError),
}

/// Why a copy has failed.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("the replica can't be reached")]
    Unreachable(#[source] io::Error),
    #[error("the replica gave no whole answer")]
    Answer(#[from] ExchangeError),
    #[error("the replica did not answer in time")]
    Late,
    #[error("the replica changed the protocol, which nobody had asked for")]
    Switched,
}

impl Duplicate {
    async fn run(mut self) {
        let outcome = self.exchange().await;
        let failed = match outcome {
            Outcome::Answered(status) => status.is_server_error(),
            Outcome::Failed(error) => {
                let endpoint = self.lease().endpoint.address();
                tracing::debug!(%endpoint, error = &error as &dyn std::error::Error, "copy of a request failed");
                true
            }
        };
        self.lease().counters.count(failed, self.started.elapsed());
    }

    fn lease(&self) -> &Lease {
        &self.lease.lease
    }

    fn worker(&self) -> &Worker {
        &self.slot.0
    }

    /// As for a request, a connection that was found closed costs nothing but a second try.
    async fn exchange(&mut self) -> Outcome {
        let mut result = self.attempt(false).await;
        if matches!(result, Err((_, true))) && self.lease.again() {
            result = self.attempt(true).await;
        }
        let limit = self.worker().options.mirror_body_timeout;
        match result {
            Ok((status, upstream)) => match timeout(limit, self.drop_body(upstream)).await {
                Ok(Err(error)) => Outcome::Failed(error.into()),
                // An answer that takes longer than it is listened to is not a bad one.
                Ok(Ok(())) | Err(_) => Outcome::Answered(status),
            },
            Err((error, _)) => Outcome::Failed(error),
        }
    }

    /// Sends the copy and reads the answer's head. An error comes with whether another try may fare better.
    async fn attempt(&self, fresh: bool) -> Result<(StatusCode, Box<Upstream>), (CopyError, bool)> {
        let (worker, endpoint) = (self.worker(), &self.lease().endpoint);
        let kept = if fresh { None } else { worker.pool.take(endpoint, Duration::MAX, self.started) };
        let reused = kept.is_some();
        let mut upstream = if let Some(upstream) = kept {
            upstream
        } else {
            let options = &worker.options;
            let connecting = Upstream::connect(Arc::clone(endpoint), options.connect_timeout, options.header_bytes_max);
            connecting.await.map_err(|error| (CopyError::Unreachable(error), true))?
        };
        upstream.begin(Outgoing::new(self.head.clone(), self.method.clone(), None, self.started));
        let limit = worker.options.response_header_timeout;
        let head = timeout(limit, std::future::poll_fn(|cx| upstream.poll_head(cx))).await;
        match head {
            Ok(Ok(head)) if head.status == StatusCode::SWITCHING_PROTOCOLS => Err((CopyError::Switched, false)),
            Ok(Ok(head)) => Ok((head.status, upstream)),
            Ok(Err(error)) => {
                let again = reused && matches!(error, ExchangeError::Unsent(_) | ExchangeError::Silent);
                Err((error.into(), again))
            }
            Err(_) => Err((CopyError::Late, false)),
        }
    }

    /// Reads the answer's body, as far as one is read, and keeps the connection if it can be used again.
    async fn drop_body(&self, mut upstream: Box<Upstream>) -> Result<(), ExchangeError> {
        let mut left = self.worker().options.mirror_bytes_max;
        while let Some(piece) = std::future::poll_fn(|cx| upstream.poll_body(cx)).await {
            match piece? {
                Piece::Data(data) if data.len() > left => return Ok(()),
                Piece::Data(data) => left -= data.len(),
                Piece::Trailers(_) => {}
            }
        }
        self.worker().keep(&self.lease().endpoint, upstream, Instant::now());
        Ok(())
    }
}
