//! One request's account: which replica is busy with it, since when, and that it is counted exactly once.

use std::rc::Rc;

use http::StatusCode;
use tokio::time::Instant;

use super::route::Lease;
use super::worker::Worker;

/// A request that has been given to a replica. Whatever becomes of it, dropping this counts it.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) worker: Rc<Worker>,
    pub(super) lease: Lease,
    started: Instant,
    state: State,
}

/// What an exchange would be counted as, if it ended now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No answer yet: the client gave up, which is not the version's failure.
    Waiting,
    /// The answer's head is there.
    Answered { failed: bool },
    /// Counted.
    Done,
}

impl Exchange {
    pub(super) fn new(worker: Rc<Worker>, lease: Lease) -> Self {
        Self { worker, lease, started: Instant::now(), state: State::Waiting }
    }

    /// The replica answered with this status.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.state = State::Answered { failed: status.is_server_error() };
    }

    /// The answer's last byte has been read.
    pub(super) fn finish(&mut self) {
        if let State::Answered { failed } = self.state {
            self.count(failed);
        }
    }

    /// The replica gave no answer, or not all of it.
    pub(super) fn fail(&mut self) {
        if self.state != State::Done {
            self.count(true);
        }
    }

    fn count(&mut self, failed: bool) {
        self.lease.counters.count(failed, self.started.elapsed());
        self.state = State::Done;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.state {
            State::Waiting => self.lease.counters.count_abandoned(),
            State::Answered { failed } => self.count(failed),
            State::Done => {}
        }
    }
}
