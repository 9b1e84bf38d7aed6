//! Tickets of action items: opened once in the tracker of their service, looked at, and closed with the item.
//!
//! Whether a ticket was opened is known to the tracker before it is known to the journal: a crash comes between the two. So a ticket
//! is looked for by the item's mark before one is opened, and what is done follows from the facts alone. One task a tracker; what
//! goes wrong is tried again, each item by itself, and a tracker that wants to be left alone is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use prograde_model::alert::Failure;
use prograde_model::incident::{ActionId, Draft, Ending, TicketTask};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// How often it is looked for something to do.
const LOOK: Duration = Duration::from_secs(2);
/// The longest that a call may take.
const CALL_MAX: Duration = Duration::from_mins(1);
/// The first wait after a failure; it doubles with each.
const WAIT_FIRST: SignedDuration = SignedDuration::from_secs(5);
/// The longest wait after a failure.
const WAIT_MAX: SignedDuration = SignedDuration::from_mins(15);
/// The longest that a tracker's wish to be left alone is heeded.
const PAUSE_MAX: SignedDuration = SignedDuration::from_hours(1);

/// A ticket in a tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// What the tracker calls it.
    pub id: String,
    /// Where people find it.
    pub url: String,
}

/// Holds tickets. Each call may be made again with the same after a crash.
#[async_trait]
pub trait Tracker: Send + Sync {
    /// The ticket that bears an action item's mark, open or closed; the oldest where there are several.
    async fn find(&self, action: ActionId) -> Result<Option<Ticket>, Failure>;
    /// Opens a ticket that bears the item's mark from the beginning.
    async fn open(&self, draft: &Draft) -> Result<Ticket, Failure>;
    /// How a ticket ended, if it did.
    async fn look(&self, ticket: &str) -> Result<Option<Ending>, Failure>;
    /// Closes a ticket that is open.
    async fn close(&self, ticket: &str, ending: Ending, comment: &str) -> Result<(), Failure>;
}

/// The action items, and where facts about their tickets are kept.
#[async_trait]
pub trait ActionItems: Send + Sync {
    /// What is to be done in a tracker now.
    fn tasks(&self, tracker: &str) -> Vec<TicketTask>;
    /// Keeps that an item has a ticket.
    async fn filed(&self, action: ActionId, tracker: &str, ticket: &Ticket) -> Result<(), String>;
    /// Keeps that an item's ticket is closed, and with it the item.
    async fn closed(&self, action: ActionId, ending: Ending) -> Result<(), String>;
}

/// A tracker by its name.
pub struct Named {
    /// The name.
    pub name: String,
    /// How often tickets are looked at.
    pub every: SignedDuration,
    /// The tracker itself.
    pub tracker: Arc<dyn Tracker>,
}

/// Tickets as they are being kept. Cheap to clone.
#[derive(Clone)]
pub struct Filing(Arc<Inner>);

struct Inner {
    items: Arc<dyn ActionItems>,
    clock: Arc<dyn Clock>,
    names: Vec<String>,
    /// What went wrong last, by item.
    problems: Mutex<BTreeMap<ActionId, String>>,
    running: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

impl Filing {
    /// Starts a task for each tracker.
    pub fn start(trackers: Vec<Named>, items: Arc<dyn ActionItems>, clock: Arc<dyn Clock>) -> Self {
        let names = trackers.iter().map(|tracker| tracker.name.clone()).collect();
        let (problems, running, stop) = (Mutex::default(), Mutex::default(), CancellationToken::new());
        let inner = Arc::new(Inner { items, clock, names, problems, running, stop });
        for named in trackers {
            let mut worker = Worker { inner: Arc::clone(&inner), named, waits: BTreeMap::new(), paused_until: None };
            let mut running = inner.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.spawn(async move { worker.run().await });
        }
        Self(inner)
    }

    /// The names of the trackers.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }

    /// What went wrong last with the ticket of an item.
    pub fn problem(&self, action: ActionId) -> Option<String> {
        self.0.problems.lock().unwrap_or_else(PoisonError::into_inner).get(&action).cloned()
    }

    /// Stops; what is outstanding is done after the next start.
    pub async fn shutdown(&self) {
        self.0.stop.cancel();
        let mut running = std::mem::take(&mut *self.0.running.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                tracing::error!("the task of a tracker ended badly: {error}");
            }
        }
    }
}

/// When an item is the next to be seen to.
struct Wait {
    until: Timestamp,
    failures: u32,
}

struct Worker {
    inner: Arc<Inner>,
    named: Named,
    waits: BTreeMap<ActionId, Wait>,
    paused_until: Option<Timestamp>,
}

impl Worker {
    async fn run(&mut self) {
        loop {
            self.round().await;
            tokio::select! {
                biased;
                () = self.inner.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Does what is to be done and need not wait.
    async fn round(&mut self) {
        let tasks = self.inner.items.tasks(&self.named.name);
        self.waits.retain(|action, _| tasks.iter().any(|task| task.action() == *action));
        for task in tasks {
            let now = self.inner.clock.now();
            if self.inner.stop.is_cancelled() || self.paused_until.is_some_and(|until| now < until) {
                return;
            }
            let action = task.action();
            let looked = matches!(task, TicketTask::Look { .. });
            // A ticket that is to be opened or closed does not wait for the next look.
            let waits = |wait: &Wait| now < wait.until && (looked || wait.failures > 0);
            if self.waits.get(&action).is_some_and(waits) {
                continue;
            }
            let inner = Arc::clone(&self.inner);
            let done = tokio::select! {
                biased;
                () = inner.stop.cancelled() => return,
                done = tokio::time::timeout(CALL_MAX, self.perform(&task)) => done,
            };
            let late = || Failure::Passing { why: "no answer in time".into(), retry_after: None };
            self.note(action, done.unwrap_or_else(|_| Err(late())));
        }
    }

    async fn perform(&self, task: &TicketTask) -> Result<(), Failure> {
        let (tracker, items) = (&self.named.tracker, &self.inner.items);
        let kept = |kept: Result<(), String>| kept.map_err(|why| Failure::Passing { why, retry_after: None });
        match task {
            TicketTask::Open(draft) => {
                let ticket = match tracker.find(draft.action).await? {
                    Some(ticket) => ticket,
                    None => tracker.open(draft).await?,
                };
                kept(items.filed(draft.action, &self.named.name, &ticket).await)?;
                tracing::info!(action = %draft.action, tracker = self.named.name, ticket = ticket.id, "has a ticket");
            }
            TicketTask::Look { action, ticket } => {
                if let Some(ending) = tracker.look(ticket).await? {
                    kept(items.closed(*action, ending).await)?;
                }
            }
            TicketTask::Close { action, ticket, ending, comment } => {
                if tracker.look(ticket).await?.is_none() {
                    tracker.close(ticket, *ending, comment).await?;
                }
                kept(items.closed(*action, *ending).await)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, action: ActionId, done: Result<(), Failure>) {
        let now = self.inner.clock.now();
        let after = |wait: SignedDuration| now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let mut problems = self.inner.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(failure) = done else {
            problems.remove(&action);
            self.waits.insert(action, Wait { until: after(self.named.every), failures: 0 });
            return;
        };
        let failures = self.waits.get(&action).map_or(0, |wait| wait.failures).saturating_add(1);
        let wait = backoff(failures, action);
        tracing::warn!(%action, tracker = self.named.name, failures, "no ticket was opened, read or closed: {}", failure.why());
        problems.insert(action, format!("{}: {}", self.named.name, failure.why()));
        self.waits.insert(action, Wait { until: after(wait), failures });
        if let Failure::Passing { retry_after: Some(wish), .. } = failure {
            self.paused_until = Some(after(wish.min(PAUSE_MAX)));
        }
    }
}

/// How long it is waited after so many failures: doubled each time up to the longest, less up to a fifth that differs by item.
fn backoff(failures: u32, action: ActionId) -> SignedDuration {
    let doubled = 2_i32.checked_pow(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let whole = WAIT_FIRST.checked_mul(doubled).unwrap_or(WAIT_MAX).min(WAIT_MAX);
    let spread = i32::try_from((action.number().wrapping_mul(2_654_435_761) ^ failures) % 20).unwrap_or(0);
    whole - whole * spread / 100
}

#[cfg(test)]
mod tests;
