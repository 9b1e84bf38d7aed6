//! The embedded store of time series, while the server runs: opened with it, kept in order, asked with bounds, and given
//! what the server itself knows.

pub(crate) mod elsewhere;
mod moments;
pub(crate) mod objectives;
mod own;
mod replicas;
pub(crate) mod rules;
mod settings;
mod telling;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prograde_control::Control;
use prograde_model::Diagnostics;
use prograde_model::ids::Target;
use prograde_node::{Node, PodSeen};
use prograde_observe::scrape::{ScrapeJob, Senders};
use prograde_observe::store::{Store, StoreError};
use prograde_observe::tsdb::{self, Database, DatabaseError, Stats};
use prograde_observe::{evaluate, scrape};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

pub(crate) use own::exposition;

use elsewhere::Elsewhere;
use objectives::Budgets;
use own::Own;
use replicas::Pod;
use rules::{Evaluating, GroupState};
use settings::Settings;
use telling::Receiver;

/// How long a query may take; whoever asks may say less.
pub(crate) const QUERY_TIMEOUT: Duration = Duration::from_mins(2);
/// How many queries are answered at once; as many as they like wait until their time is over.
const QUERIES_AT_ONCE: usize = 8;
/// How often the store is put in order.
const MAINTENANCE: Duration = Duration::from_secs(10);
/// How often what the server itself knows is written down: Prometheus' default is a minute, which is too long to see a canary.
const OWN_PERIOD: Duration = Duration::from_secs(5);

/// How often budgets are measured where another server is asked, which no file says.
const ELSEWHERE_PERIOD_MS: i64 = 15_000;
/// How often replicas that ask for it are scraped at least.
const REPLICAS_PERIOD_MS: i64 = 15_000;
/// How long it is waited for more replicas to change before targets are looked for.
const DISCOVERY_PAUSE: Duration = Duration::from_millis(100);

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetricsError {
    /// The store can't be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The files that say what is done can't be used.
    #[error(transparent)]
    Settings(#[from] Diagnostics),
}

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

/// How it is started.
pub(crate) struct MetricsOptions {
    /// The store's folder.
    pub(crate) folder: PathBuf,
    /// For how long samples are kept.
    pub(crate) retention: Duration,
    /// The `prometheus.yml` that says what is scraped, if there is one.
    pub(crate) config: Option<PathBuf>,
    /// Where this server is found, for links in alerts.
    pub(crate) url: String,
    /// Files and folders of objectives.
    pub(crate) objectives: Vec<PathBuf>,
    /// Whom queries are asked of, if not the store.
    pub(crate) elsewhere: Option<Arc<Elsewhere>>,
}

/// The store, for those who ask it.
pub(crate) struct Asking {
    database: Arc<Database>,
    permits: Arc<Semaphore>,
}

/// The store, and all that fills it.
pub(crate) struct Metrics {
    database: Arc<Database>,
    asking: Arc<Asking>,
    /// Where the rules' alerts are handled, if they are.
    alerts: Option<prograde_notify::Handle>,
    control: Control,
    options: MetricsOptions,
    scraping: scrape::Handle,
    stop: CancellationToken,
    node: Node,
    following: Mutex<JoinSet<()>>,
    budgets: Arc<Budgets>,
    evaluation: Mutex<Evaluation>,
}

/// What is there before anything is done with it.
pub(crate) struct Prepared {
    options: MetricsOptions,
    settings: Settings,
    database: Arc<Database>,
    asking: Arc<Asking>,
    budgets: Arc<Budgets>,
}

impl Prepared {
    /// The store, for those who ask it.
    pub(crate) fn asking(&self) -> Arc<Asking> {
        Arc::clone(&self.asking)
    }

    /// Whom queries are asked of, if not the store.
    pub(crate) fn elsewhere(&self) -> Option<Arc<Elsewhere>> {
        self.options.elsewhere.clone()
    }

    /// The error budgets, for those who are held by them.
    pub(crate) fn budgets(&self) -> Arc<Budgets> {
        Arc::clone(&self.budgets)
    }

    /// Reads what is to be done, and opens the store or makes it.
    pub(crate) async fn new(options: MetricsOptions, now: Timestamp) -> Result<Self, MetricsError> {
        let settings = options.settings()?;
        let database = Arc::new(open(&options, now).await?);
        let asking = Arc::new(Asking::new(Arc::clone(&database)));
        let budgets = Arc::new(Budgets::default());
        budgets.follow(settings.objectives.clone());
        // Before anything is decided: what held gates when the last server ended holds them still.
        measure(&budgets, (&database, options.elsewhere.as_ref()), now, &CancellationToken::new()).await;
        Ok(Self { options, settings, database, asking, budgets })
    }
}

/// The rules that are evaluated.
#[derive(Default)]
struct Evaluation {
    groups: Vec<Arc<GroupState>>,
    stop: CancellationToken,
    task: JoinSet<()>,
    senders: Arc<Senders>,
    /// What discovers replicas.
    discovering: Vec<ScrapeJob>,
}

/// The controllers' clock, for scraping.
struct ControlClock(Control);

impl scrape::Clock for ControlClock {
    fn now_ms(&self) -> i64 {
        self.0.now().as_millisecond()
    }
}

/// Tells a question that nobody waits for its answer any more.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Begins to fill the store.
    pub(crate) async fn start(
        prepared: Prepared,
        (control, node): (Control, Node),
        alerts: Option<prograde_notify::Handle>,
    ) -> Arc<Self> {
        let Prepared { options, settings, database, asking, budgets } = prepared;
        let clock = Arc::new(ControlClock(control.clone()));
        let jobs = jobs(&settings.config);
        let scraping = scrape::run(scrape::Options { jobs, append: Arc::clone(&database) as _, clock }).await;
        let this = Arc::new(Self {
            asking,
            alerts,
            database,
            control,
            options,
            scraping,
            stop: CancellationToken::new(),
            node,
            following: Mutex::default(),
            budgets,
            evaluation: Mutex::default(),
        });
        this.evaluate(settings).await;
        let mut following = this.following.lock().await;
        following.spawn(Arc::clone(&this).run());
        following.spawn(Arc::clone(&this).discover());
        drop(following);
        this
    }

    /// Reads the files again, and goes on with what they say; when anything is wrong with them, with what they said before.
    pub(crate) async fn reload(&self) -> Result<(), Diagnostics> {
        let settings = self.options.settings()?;
        self.scraping.reload(jobs(&settings.config)).await;
        self.evaluate(settings).await;
        Ok(())
    }

    /// Evaluates rules in place of those before.
    async fn evaluate(&self, settings: Settings) {
        let mut evaluation = self.evaluation.lock().await;
        evaluation.end().await;
        let stop = self.stop.child_token();
        let senders = Arc::new(Senders::start(&settings.config.alertmanagers));
        let told = self.alerts.is_some() || !senders.is_empty();
        let receiver = told.then(|| Receiver {
            alerts: self.alerts.clone(),
            senders: Arc::clone(&senders),
            relabelling: Arc::new(settings.config.alert_relabelling.clone()),
            external: Arc::clone(&settings.external),
        });
        let evaluating = Evaluating {
            receiver,
            database: Arc::clone(&self.database),
            control: self.control.clone(),
            external: settings.external,
            scraped: self.scraping.scraped(),
            early: Arc::default(),
            stop: stop.clone(),
        };
        self.budgets.follow(settings.objectives);
        let mut task = JoinSet::new();
        task.spawn(evaluating.run(settings.groups.clone()));
        let interval_ms = settings.config.global.evaluation_interval_ms;
        let elsewhere_ms = self.options.elsewhere.as_ref().map_or(i64::MAX, |_| ELSEWHERE_PERIOD_MS);
        let period = objectives::period(interval_ms.min(elsewhere_ms));
        task.spawn(follow_budgets(
            (Arc::clone(&self.budgets), Arc::clone(&self.database), self.options.elsewhere.clone()),
            self.control.clone(),
            period,
            stop.clone(),
        ));
        let discovering = jobs(&settings.config).into_iter().filter(|job| !job.replicas.is_empty()).collect();
        *evaluation = Evaluation { groups: settings.groups, stop, task, senders, discovering };
        drop(evaluation);
        self.give_targets().await;
    }

    /// The groups of rules, in the order of their files.
    pub(crate) async fn groups(&self) -> Vec<Arc<GroupState>> {
        self.evaluation.lock().await.groups.clone()
    }

    /// The error budgets.
    pub(crate) fn budgets(&self) -> &Budgets {
        &self.budgets
    }

    /// Whom queries are asked of, if not the store.
    pub(crate) fn elsewhere(&self) -> Option<Arc<Elsewhere>> {
        self.options.elsewhere.clone()
    }

    /// What is scraped, and how.
    pub(crate) fn scraping(&self) -> &scrape::Handle {
        &self.scraping
    }

    /// Ends all of it. What was written is on the disk afterwards.
    pub(crate) async fn shutdown(&self) {
        self.stop.cancel();
        self.scraping.stop().await;
        self.evaluation.lock().await.end().await;
        while let Some(ended) = self.following.lock().await.join_next().await {
            if let Err(error) = ended {
                tracing::error!("keeping time series ended badly: {error}");
            }
        }
        self.maintain(self.control.now()).await;
    }

    /// As [`Asking::ask`].
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        timeout: Duration,
        question: impl FnOnce(&dyn Store, &evaluate::Options<'_>) -> R + Send + 'static,
    ) -> Result<R, Unanswered> {
        self.asking.ask(timeout, question).await
    }

    /// Gives the store what others send, on a thread that may wait for the disk.
    pub(crate) async fn take<R: Send + 'static>(
        &self,
        taking: impl FnOnce(&Database) -> R + Send + 'static,
    ) -> Result<R, Unanswered> {
        let database = Arc::clone(&self.database);
        Ok(spawn_blocking(move || taking(&database)).await?)
    }

    /// How much there is.
    pub(crate) async fn stats(&self) -> Result<Result<Stats, StoreError>, Unanswered> {
        let database = Arc::clone(&self.database);
        Ok(spawn_blocking(move || database.stats().map_err(StoreError::new)).await?)
    }

    /// Keeps the store in order and writes down what the server knows, until it is stopped.
    async fn run(self: Arc<Self>) {
        let (mut maintenance, mut looking) = (interval(MAINTENANCE), interval(OWN_PERIOD));
        maintenance.set_missed_tick_behavior(MissedTickBehavior::Skip);
        looking.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut own = Own::default();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = maintenance.tick() => self.maintain(self.control.now()).await,
                _ = looking.tick() => {
                    let batch = own.look(&self.control);
                    self.append(batch).await;
                }
            }
        }
    }

    /// Gives the jobs that discover replicas their targets whenever replicas change, until it is stopped.
    async fn discover(self: Arc<Self>) {
        let mut changed = self.node.changed();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                moved = changed.changed() => if moved.is_err() { return },
            }
            // Many changes in a moment are one.
            sleep(DISCOVERY_PAUSE).await;
            changed.mark_unchanged();
            self.give_targets().await;
        }
    }

    async fn give_targets(&self) {
        let discovering = self.evaluation.lock().await.discovering.clone();
        if discovering.is_empty() {
            return;
        }
        let pods: Vec<Pod> = self.node.pods().into_iter().map(|(target, seen)| self.pod(target, seen)).collect();
        for job in discovering {
            let groups = if job == built_in(job.interval_ms) {
                replicas::annotated(&pods)
            } else {
                replicas::discovered(&job, &pods)
            };
            self.scraping.set_targets(job.name, groups).await;
        }
    }

    fn pod(&self, target: Target, seen: PodSeen) -> Pod {
        let commit =
            self.control.with_fleet(|fleet| fleet.flight(&seen.revision).map(|flight| flight.commit().to_string()));
        Pod { target, commit: commit.unwrap_or_default(), seen }
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
            Ok(Ok(appended)) if appended.left_out() > 0 => {
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

impl Asking {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database, permits: Arc::new(Semaphore::new(QUERIES_AT_ONCE)) }
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
}

impl MetricsOptions {
    fn settings(&self) -> Result<Settings, Diagnostics> {
        let mut settings =
            self.config.as_ref().map_or_else(|| Ok(Settings::none()), |file| Settings::read(file, &self.url))?;
        if !self.objectives.is_empty() {
            let kept_ms = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
            // How long another server keeps samples is its own affair.
            let retention_ms = if self.elsewhere.is_some() { i64::MAX } else { kept_ms };
            let interval_ms = settings.config.global.evaluation_interval_ms;
            let read = objectives::read(&self.objectives, (interval_ms, retention_ms))?;
            // Another server evaluates its own rules: `prograde objectives rules` prints those of objectives.
            if self.elsewhere.is_none() {
                settings.groups.extend(read.groups);
            }
            settings.objectives = read.objectives;
        }
        Ok(settings)
    }
}

impl Evaluation {
    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.task.join_next().await {
            if let Err(error) = ended {
                tracing::error!("evaluating rules ended badly: {error}");
            }
        }
        self.senders.stop().await;
    }
}

/// What is scraped: what the file says, and replicas that ask for it where the file discovers none itself.
fn jobs(config: &scrape::Config) -> Vec<ScrapeJob> {
    let mut jobs = config.jobs.clone();
    if !jobs.iter().any(|job| !job.replicas.is_empty() || job.name == replicas::JOB) {
        jobs.push(built_in(config.global.scrape_interval_ms.min(REPLICAS_PERIOD_MS)));
    }
    jobs
}

/// The job of replicas that ask to be scraped.
fn built_in(interval_ms: i64) -> ScrapeJob {
    ScrapeJob::local_node(replicas::JOB, interval_ms)
}

/// Measures budgets until it is stopped.
async fn follow_budgets(
    (budgets, database, elsewhere): (Arc<Budgets>, Arc<Database>, Option<Arc<Elsewhere>>),
    control: Control,
    period: Duration,
    stop: CancellationToken,
) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => measure(&budgets, (&database, elsewhere.as_ref()), control.now(), &stop).await,
        }
    }
}

/// Measures all budgets once, by the store on a thread that may wait for the disk, or by another server.
async fn measure(
    budgets: &Arc<Budgets>,
    (database, elsewhere): (&Arc<Database>, Option<&Arc<Elsewhere>>),
    now: Timestamp,
    stop: &CancellationToken,
) {
    if let Some(elsewhere) = elsewhere {
        tokio::select! {
            () = stop.cancelled() => return,
            () = budgets.measure_elsewhere(elsewhere, now) => {}
        }
    }
    let is_elsewhere = elsewhere.is_some();
    let (budgets, database, stop) = (Arc::clone(budgets), Arc::clone(database), stop.clone());
    let measured = spawn_blocking(move || {
        let deadline = Instant::now() + QUERY_TIMEOUT;
        let goes_on = || !stop.is_cancelled() && Instant::now() < deadline;
        let options = evaluate::Options { goes_on: &goes_on, ..evaluate::Options::default() };
        if !is_elsewhere {
            budgets.measure(&*database, now, &options);
        }
        budgets.keep(&database, now);
    });
    if let Err(error) = measured.await {
        tracing::error!("measuring error budgets ended badly: {error}");
    }
}

async fn open(options: &MetricsOptions, now: Timestamp) -> Result<Database, DatabaseError> {
    let mut opening = tsdb::Options::new(&options.folder, now.as_millisecond());
    opening.retention_ms = i64::try_from(options.retention.as_millis()).unwrap_or(i64::MAX);
    // Reading the log takes a second for some millions of samples.
    let opened = spawn_blocking(move || Database::open(opening)).await;
    let path = options.folder.clone();
    let ended = |error| Err(DatabaseError::Io { doing: "open", path, source: std::io::Error::other(error) });
    let database = opened.unwrap_or_else(ended)?;
    let recovery = database.recovery();
    if let Some(torn) = &recovery.torn {
        tracing::warn!(?torn, "the end of the time series' log was not written to its end, and was cut");
    }
    tracing::info!(samples = recovery.samples, "the time series are open");
    Ok(database)
}
