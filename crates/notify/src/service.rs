//! Holds the parts together: requests come in, facts are recorded and then applied, and receivers are told until they know.
//!
//! A fact is recorded before it has any effect. Sending is asked for again after a crash, because what is outstanding
//! follows from the facts; a receiver is told twice only if the crash came between its answer and the record of it.

mod send;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_model::alert::{AlertEvent, Dispatcher, Limits, Retry};
use prograde_model::diagnostic::Diagnostics;
use prograde_model::oncall::Notified;
use prograde_model::stored::NotKept;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Answer, Request, Status};
use crate::config::Config;
use crate::delivery::Teller;

/// How long it is waited when facts could not be recorded.
const RECORD_AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep: a clock that was set is noticed by then.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Where facts are kept. Only those that outlast a restart are given.
#[async_trait]
pub trait Records: Send + Sync {
    /// Keeps facts, all or none, so that they are there after a crash once this returns.
    async fn append(&self, facts: &[AlertEvent], at: Timestamp) -> Result<(), NotKept<AlertEvent>>;
}

/// Wakes whoever is on call.
#[async_trait]
pub trait Pager: Send + Sync {
    /// Takes what is said of a group, so that it is there after a crash once this returns. `escalation` is by which people are
    /// told, where the receiver names one. Saying the same again changes nothing.
    async fn notified(&self, escalation: Option<&str>, said: Notified) -> Result<(), String>;
}

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What the service works with.
pub struct Options {
    /// The configuration.
    pub config: Config,
    /// The configuration's file, for messages; templates and secrets are looked for beside it.
    pub file: PathBuf,
    /// Where people find us; stands in what they are told.
    pub external_url: String,
    /// Where facts are kept.
    pub records: Arc<dyn Records>,
    /// The facts of before, in order.
    pub history: Vec<(Timestamp, AlertEvent)>,
    /// What time it is.
    pub clock: Clock,
    /// Who is told by receivers that are whoever is on call; without it there may be none of these.
    pub pager: Option<Arc<dyn Pager>>,
    /// How much is kept.
    pub limits: Limits,
    /// How often and how far apart it is tried to tell somebody.
    pub retry: Retry,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("file", &self.file).field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What all tasks share.
struct Shared {
    state: Mutex<State>,
    records: Arc<dyn Records>,
    pager: Option<Arc<dyn Pager>>,
    clock: Clock,
    retry: Retry,
    started: Timestamp,
    changed: Notify,
    stop: CancellationToken,
}

/// What changes.
struct State {
    dispatcher: Dispatcher,
    teller: Teller,
    receivers: Vec<String>,
    shown: String,
}

/// A running service. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    running: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl State {
    fn new(
        config: Config,
        file: &std::path::Path,
        external_url: String,
        dispatcher: Dispatcher,
    ) -> Result<Self, Diagnostics> {
        let teller = Teller::new(&config, file, external_url)?;
        let receivers = teller.receivers().map(str::to_owned).collect();
        Ok(Self { dispatcher, teller, receivers, shown: config.shown })
    }
}

impl Options {
    /// Starts the service with the state that the facts of before give.
    pub async fn start(self) -> Result<Handle, StartError> {
        let started = (self.clock)();
        let mut dispatcher = Dispatcher::new(self.config.routing.clone(), self.limits);
        let is_first = self.history.is_empty();
        for (at, fact) in &self.history {
            dispatcher.apply(fact, *at);
        }
        let state = State::new(self.config, &self.file, self.external_url, dispatcher)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            records: self.records,
            pager: self.pager,
            clock: self.clock,
            retry: self.retry,
            started,
            changed: Notify::new(),
            stop: CancellationToken::new(),
        });
        if !is_first {
            let mut state = shared.state.lock().await;
            shared.record(&mut state, vec![AlertEvent::Resumed], started).await.map_err(StartError::Record)?;
        }
        let task = Arc::clone(&shared);
        #[expect(clippy::disallowed_methods, reason = "owned: `shutdown` waits for it")]
        let running = tokio::spawn(async move { send::run(&task).await });
        Ok(Handle { shared, running: Arc::new(Mutex::new(Some(running))) })
    }
}

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A text of the configuration can't be used.
    #[error(transparent)]
    Configuration(#[from] Diagnostics),
    /// Facts can't be kept.
    #[error("the start could not be recorded: {0}")]
    Record(String),
}

impl Shared {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Keeps facts, then lets them have their effect.
    async fn record(&self, state: &mut State, facts: Vec<AlertEvent>, at: Timestamp) -> Result<(), String> {
        let kept: Vec<AlertEvent> = facts.iter().filter(|fact| fact.is_recorded()).cloned().collect();
        if !kept.is_empty()
            && let Err(not_kept) = self.records.append(&kept, at).await
        {
            let why = not_kept.to_string();
            for (at, fact) in not_kept.missed() {
                state.dispatcher.apply(&fact, at);
            }
            return Err(why);
        }
        for fact in &facts {
            state.dispatcher.apply(fact, at);
        }
        Ok(())
    }
}

impl Handle {
    /// Answers a request to the API, see [`api`].
    pub async fn answer(&self, request: &Request<'_>) -> Answer {
        let mut state = self.shared.state.lock().await;
        let now = self.shared.now();
        let new_id = match new_id() {
            Ok(id) => id,
            Err(error) => return failed(format!("the system gives no random bytes: {error}")),
        };
        let status =
            Status { config: &state.shown, receivers: &state.receivers, started: self.shared.started, new_id: &new_id };
        let mut answer = api::answer(&state.dispatcher, &status, request, now);
        let facts = std::mem::take(&mut answer.facts);
        if !facts.is_empty() {
            if let Err(why) = self.shared.record(&mut state, facts, now).await {
                return failed(format!("it could not be recorded: {why}"));
            }
            self.shared.changed.notify_one();
        }
        answer
    }

    /// Works by another configuration from now on; the old one stays in force where the new one can't be used.
    pub async fn reconfigure(
        &self,
        config: Config,
        file: &std::path::Path,
        external_url: String,
    ) -> Result<(), Diagnostics> {
        let mut state = self.shared.state.lock().await;
        let routing = config.routing.clone();
        let mut next = State::new(config, file, external_url, state.dispatcher.clone())?;
        next.dispatcher.reconfigure(routing, self.shared.now());
        *state = next;
        self.shared.changed.notify_one();
        Ok(())
    }

    /// Stops deciding and sending. What is outstanding is sent after the next start.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        if let Some(running) = self.running.lock().await.take()
            && let Err(error) = running.await
        {
            tracing::error!("the alerts' task ended badly: {error}");
        }
    }
}

fn failed(why: String) -> Answer {
    Answer { status: 503, body: Some(why.into()), facts: Vec::new() }
}

/// A UUID of version 4 (RFC 9562, section 5.4).
fn new_id() -> Result<String, getrandom::Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)?;
    let value = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{value:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    Ok(format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)))
}
