//! One request's account: which replica is busy with it, since when, and that it is counted exactly once.

use std::rc::Rc;

use http::StatusCode;
use tokio::time::Instant;

use super::client::Client;
use super::route::Lease;

/// A request that has been given to a replica. Whatever becomes of it, dropping this counts it.
pub(super) struct Exchange {
    pub(super) client: Rc<Client>,
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
    pub(super) fn new(client: Rc<Client>, lease: Lease, started: Instant) -> Self {
        Self { client, lease, started, state: State::Waiting }
    }

    /// When the request came.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// The replica answered with this status.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.state = State::Answered { failed: status.is_server_error() };
    }

    /// The answer's last byte has been read, now.
    pub(super) fn finish(&mut self) -> Instant {
        let now = self.client.look_at_clock();
        if let State::Answered { failed } = self.state {
            self.count(failed, now);
        }
        now
    }

    /// The replica gave no answer, or not all of it.
    pub(super) fn fail(&mut self) {
        if self.state != State::Done {
            self.count(true, self.client.look_at_clock());
        }
    }

    fn count(&mut self, failed: bool, now: Instant) {
        self.lease.counters.count(failed, now.duration_since(self.started));
        self.state = State::Done;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.state {
            State::Waiting => {
                self.client.look_at_clock();
                self.lease.counters.count_abandoned();
            }
            State::Answered { failed } => self.count(failed, self.client.look_at_clock()),
            State::Done => {}
        }
    }
}
