//! How a job is stopped: first asked to, so that steps with `always()` can still tidy up, then for good.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What stops one job.
#[derive(Debug)]
pub(crate) struct JobCancel {
    /// Cancelled or timed out: steps that do not ask for it are ended or not run.
    pub(crate) soft: CancellationToken,
    /// Over: everything is killed.
    pub(crate) hard: CancellationToken,
    timed_out: AtomicBool,
}

impl JobCancel {
    /// Stopped by either of these as well.
    pub(crate) fn new(soft: &CancellationToken, hard: &CancellationToken) -> Self {
        Self { soft: soft.child_token(), hard: hard.child_token(), timed_out: AtomicBool::new(false) }
    }

    /// Whether the job's own time is up.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.timed_out.load(Ordering::Relaxed)
    }

    /// Watches over the job; never ends.
    pub(crate) async fn watch(&self, timeout: Duration, grace: Duration) {
        let deadline = Instant::now() + timeout;
        tokio::select! {
            () = self.soft.cancelled() => {}
            () = sleep_until(deadline) => {
                self.timed_out.store(true, Ordering::Relaxed);
                self.soft.cancel();
            }
        }
        sleep(grace).await;
        self.hard.cancel();
        std::future::pending::<()>().await;
    }

    /// Waits for what ends a step early. `goes_on` is whether the step runs although the job is cancelled.
    pub(crate) async fn interruption(&self, timeout: Option<Duration>, goes_on: bool) -> Interruption {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let timed_out = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = timed_out => Interruption::TimedOut,
            () = self.hard.cancelled() => Interruption::Cancelled,
            () = self.soft.cancelled(), if !goes_on => Interruption::Cancelled,
        }
    }
}

/// Why a step was ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// Its own time is up.
    TimedOut,
    /// The job is cancelled.
    Cancelled,
}
