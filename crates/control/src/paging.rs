//! Pages: what follows is decided, recorded, and whoever is to be told is told until they know or somebody has taken it.
//!
//! A fact is recorded before it has any effect. Whom to tell follows from the facts, so that after a crash the same people
//! are told; one person is told twice only if the crash came between the receiver's answer and the record of it.

mod call;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use prograde_model::alert::{Failure, Retry};
use prograde_model::oncall::page::{Page, PageEvent, PageRefusal};
use prograde_model::oncall::{CallKey, Desk, Entry, Notified, PageFact, PageId, Rota};
use prograde_model::stored::{Fact as _, NotKept};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::duty::Duty;
use crate::rota::zone;
use call::Calls;

/// How long it is waited when facts could not be recorded.
const RECORD_AGAIN: Duration = Duration::from_secs(1);
/// The longest sleep: a clock that was set is noticed by then.
const SLEEP_MAX: Duration = Duration::from_secs(30);
/// How many rounds of decisions one look may take; a page needs two for a step.
const ROUNDS_MAX: u32 = 10_000;

/// Where facts about pages are kept. Nobody else appends there.
#[async_trait]
pub trait PageLog: Send + Sync {
    /// Keeps facts, all or none, so that they are there after a crash once this returns.
    async fn append(&self, facts: &[PageFact], at: Timestamp) -> Result<(), NotKept<PageFact>>;
}

/// Tells people.
#[async_trait]
pub trait Caller: Send + Sync {
    /// Tells one person of one page, or that it is over, once. May be called again with the same after a crash.
    async fn call(&self, call: &Call) -> Result<(), Failure>;
}

/// What one person is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Who, of which page and step.
    pub key: CallKey,
    /// The receiver that tells them; none where `oncall.yaml` names none.
    pub receiver: Option<String>,
    /// What it is about.
    pub entry: Entry,
    /// When it was decided.
    pub at: Timestamp,
}

/// What paging works with.
#[derive(Clone)]
pub struct PagingOptions {
    /// Who is on call, and whom pages reach.
    pub duty: Duty,
    /// Where facts are kept.
    pub log: Arc<dyn PageLog>,
    /// Tells people.
    pub caller: Arc<dyn Caller>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// How often and how far apart it is tried to tell somebody.
    pub retry: Retry,
}

/// Why an order about a page is not carried out.
#[derive(Debug, thiserror::Error)]
pub enum PageOrderError {
    /// It does not fit what the page is.
    #[error(transparent)]
    Refused(#[from] PageRefusal),
    /// There is no such escalation.
    #[error("there is no escalation {name:?}")]
    Escalation {
        /// As it was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It could not be recorded.
    #[error("it could not be recorded: {0}")]
    Record(String),
}

/// Running paging. Cheap to clone.
#[derive(Clone)]
pub struct Paging {
    shared: Arc<Shared>,
    running: Arc<SyncMutex<Option<JoinHandle<()>>>>,
}

struct Shared {
    desk: Mutex<Desk>,
    /// Whether the log may hold facts that the desk does not know: what was said of an append was that it is not known.
    is_behind: AtomicBool,
    options: PagingOptions,
    changed: Notify,
    stop: CancellationToken,
}

impl Paging {
    /// Starts with the state that the facts of before give.
    pub fn start(options: PagingOptions, history: &[(Timestamp, PageFact)]) -> Self {
        let mut desk = Desk::default();
        for (at, fact) in history {
            desk.apply(fact, *at);
        }
        let (changed, stop) = (Notify::new(), CancellationToken::new());
        let shared =
            Arc::new(Shared { desk: Mutex::new(desk), is_behind: AtomicBool::new(false), options, changed, stop });
        let task = Arc::clone(&shared);
        #[expect(clippy::disallowed_methods, reason = "owned: `shutdown` waits for it")]
        let running = tokio::spawn(async move { run(&task).await });
        Self { shared, running: Arc::new(SyncMutex::new(Some(running))) }
    }

    /// Takes what alerts' routing says. Once this returns it is recorded.
    pub async fn notified(&self, said: &Notified) -> Result<(), String> {
        let mut desk = self.shared.desk.lock().await;
        let facts = desk.notified(said);
        self.shared.record(&mut desk, &facts).await
    }

    /// A person answers a page.
    pub async fn answer(
        &self,
        page: PageId,
        answer: impl FnOnce(&Page, Timestamp) -> Result<PageEvent, PageRefusal>,
    ) -> Result<Entry, PageOrderError> {
        let mut desk = self.shared.desk.lock().await;
        let now = self.shared.options.clock.now();
        let fact = desk.answer(page, |page| answer(page, now))?;
        self.shared.record(&mut desk, &[fact]).await.map_err(PageOrderError::Record)?;
        desk.page(page).cloned().ok_or(PageOrderError::Refused(PageRefusal::Unknown(page)))
    }

    /// A person raises a page by hand; with `test` only to see whether people are reached.
    pub async fn raise(
        &self,
        title: &str,
        escalation: Option<&str>,
        severity: &str,
        by: &str,
        test: bool,
    ) -> Result<PageId, PageOrderError> {
        let name = self.escalation(escalation)?;
        let mut desk = self.shared.desk.lock().await;
        let fact = desk.raised(title, &name, severity, by, test);
        let page = fact.page;
        self.shared.record(&mut desk, &[fact]).await.map_err(PageOrderError::Record)?;
        Ok(page)
    }

    /// The escalation of a name; where there is but one, it need not be named.
    pub fn escalation(&self, name: Option<&str>) -> Result<String, PageOrderError> {
        let rota = self.shared.options.duty.rota();
        let known = &rota.escalations;
        let named = match (name, known.len()) {
            (None, 1) => known.keys().next(),
            (name, _) => known.keys().find(|known| Some(known.as_str()) == name),
        };
        named.cloned().ok_or_else(|| {
            let name = name.unwrap_or_default().to_owned();
            PageOrderError::Escalation { name, known: known.keys().cloned().collect() }
        })
    }

    /// Looks at all pages. Must be short: facts wait meanwhile.
    pub async fn with_desk<R>(&self, look: impl FnOnce(&Desk) -> R) -> R {
        look(&*self.shared.desk.lock().await)
    }

    /// Who is on call, and whom pages reach.
    pub fn duty(&self) -> &Duty {
        &self.shared.options.duty
    }

    /// Goes by another file from now on, for pages that are under way as well.
    pub async fn declare(&self, rota: Rota) {
        self.duty().declare(rota).await;
        self.shared.changed.notify_one();
    }

    /// Stops deciding and telling. What is outstanding is told after the next start.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running
            && let Err(error) = running.await
        {
            tracing::error!("the pages' task ended badly: {error}");
        }
    }
}

impl Shared {
    /// Keeps facts, then lets them have their effect.
    async fn record(&self, desk: &mut Desk, facts: &[PageFact]) -> Result<(), String> {
        if facts.is_empty() {
            return Ok(());
        }
        let now = self.options.clock.now();
        self.append(desk, facts, now).await?;
        for fact in facts {
            desk.apply(fact, now);
            log(fact);
        }
        self.changed.notify_one();
        Ok(())
    }

    /// Appends facts. Those of before that turn out to be kept are taken in instead.
    async fn append(&self, desk: &mut Desk, facts: &[PageFact], now: Timestamp) -> Result<(), String> {
        let kept = self.options.log.append(facts, now).await;
        self.is_behind.store(matches!(kept, Err(NotKept::Failed(_))), Ordering::Relaxed);
        let Err(not_kept) = kept else { return Ok(()) };
        let why = not_kept.to_string();
        for (at, fact) in not_kept.missed() {
            desk.apply(&fact, at);
            log(&fact);
        }
        self.changed.notify_one();
        Err(why)
    }

    /// Finds out what was kept, before anybody is told anything that may not be so any more.
    async fn catch_up(&self) -> Result<(), String> {
        if !self.is_behind.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut desk = self.desk.lock().await;
        let caught_up = self.append(&mut desk, &[], self.options.clock.now()).await;
        if self.is_behind.load(Ordering::Relaxed) { caught_up } else { Ok(()) }
    }

    /// Records all that follows now; gives how long nothing will.
    async fn decide(&self) -> Result<Duration, String> {
        let mut desk = self.desk.lock().await;
        for _ in 0..ROUNDS_MAX {
            let now = self.options.clock.now();
            let rota = self.options.duty.rota();
            let facts = desk.decide(&rota, &zone, now);
            if facts.is_empty() {
                let wake = desk.wake_at(&rota).map(|wake| wake.duration_since(now));
                let pause = wake.map_or(SLEEP_MAX, |wait| Duration::try_from(wait).unwrap_or_default());
                return Ok(pause.clamp(Duration::from_millis(1), SLEEP_MAX));
            }
            self.record(&mut desk, &facts).await?;
        }
        tracing::error!("decisions about pages did not come to rest; going on with the next look");
        Ok(RECORD_AGAIN)
    }
}

fn log(fact: &PageFact) {
    let (name, payload) = fact.encode();
    tracing::info!(page = %fact.page, "{name} {payload}");
}

/// Runs until it is stopped.
async fn run(shared: &Arc<Shared>) {
    let mut calls = Calls::default();
    while !shared.stop.is_cancelled() {
        let pause = match step(shared, &mut calls).await {
            Ok(pause) => pause,
            Err(why) => {
                tracing::error!("what follows for pages could not be recorded: {why}");
                RECORD_AGAIN
            }
        };
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => {}
            () = calls.ended() => {}
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    calls.stop().await;
}

/// Records what people were told, then what follows, and begins to tell whoever is to be told now.
async fn step(shared: &Arc<Shared>, calls: &mut Calls) -> Result<Duration, String> {
    shared.catch_up().await?;
    calls.record(shared).await?;
    let pause = shared.decide().await?;
    calls.start(shared).await;
    Ok(pause)
}
