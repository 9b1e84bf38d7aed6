//! The loop: observe, decide, append, carry out. It is woken by facts, by the runtime, by effects that end, and by time,
//! and does the same each time, whatever woke it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prograde_model::event::Event;
use prograde_model::fleet::Fleet;
use prograde_model::flight::Flight;
use prograde_model::gate::Holds;
use prograde_model::ids::{FlightId, Target};
use prograde_model::runtime::Observation;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SteadyClock};
use crate::effects::{Effects, HeldUp, HeldUps};
use crate::halted::{Halted, Part, called};
use crate::holding::Holding;
use crate::ledger::Ledger;
use crate::measure::{Judged, Measuring, Readings};
use crate::ports::{
    AppendError, Deployments, EventLog, Gatekeeper, Images, Jobs, Measures, Notice, Notifier, Pipelines, Prober,
    Runtime, Scanner, Source,
};
use crate::scale::Scaling;
use crate::source::{FlightIds, RandomIds};
use crate::sync::Synced;
use crate::tellings::Tellings;

/// The world, as the controllers see it.
#[derive(Clone)]
pub struct Ports {
    /// Where commits come from.
    pub source: Arc<dyn Source>,
    /// Looks through commits.
    pub scanner: Arc<dyn Scanner>,
    /// Runs pipelines.
    pub pipelines: Arc<dyn Pipelines>,
    /// Makes images.
    pub images: Arc<dyn Images>,
    /// The deployment repository.
    pub deployments: Arc<dyn Deployments>,
    /// Runs workloads.
    pub runtime: Arc<dyn Runtime>,
    /// Runs jobs.
    pub jobs: Arc<dyn Jobs>,
    /// Asks services.
    pub prober: Arc<dyn Prober>,
    /// Tells people.
    pub notifier: Arc<dyn Notifier>,
    /// Measures what releases are judged by beside their requests.
    pub measures: Arc<dyn Measures>,
    /// Know what keeps releases out beside what the journal says; all of them are asked.
    pub holds: Vec<Arc<dyn Gatekeeper>>,
}

/// How the controllers behave.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often flights that wait for measurements or replicas are looked at; default 100 ms.
    pub busy_period: Duration,
    /// How often everything is looked at although nothing happened; default 30 s.
    pub idle_period: Duration,
    /// How often an effect that failed for a passing reason is tried before the flight is given up; default 8.
    pub attempts_max: u32,
    /// How long after its beginning a flight that can't be read for a passing reason is given up, such as a host of a base that
    /// is away; default a day.
    pub read_wait_max: SignedDuration,
    /// The wait after the first failed attempt; it doubles each time, up to 30 s. Default 500 ms.
    pub retry_after: Duration,
    /// Where flights' ids come from; default [`RandomIds`].
    pub flight_ids: Arc<dyn FlightIds>,
    /// How often the number of replicas is looked at where an autoscaler says so; default 15 s, as Kubernetes has it.
    pub autoscale_period: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_period: Duration::from_millis(100),
            idle_period: Duration::from_secs(30),
            attempts_max: 8,
            read_wait_max: SignedDuration::from_hours(24),
            retry_after: Duration::from_millis(500),
            flight_ids: Arc::new(RandomIds),
            autoscale_period: Duration::from_secs(15),
        }
    }
}

/// Why the controllers did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal can't be replayed.
    #[error("the journal can't be replayed")]
    Journal(#[from] AppendError),
}

/// The running controllers. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    pub(crate) inner: Arc<Inner>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

pub(crate) struct Inner {
    pub(crate) ledger: Ledger,
    pub(crate) ports: Ports,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    arrived: Notify,
    arrivals: watch::Sender<u64>,
    stop: CancellationToken,
    troubles: Mutex<BTreeMap<Target, String>>,
    pub(crate) halted: Halted,
    pub(crate) held_up: HeldUps,
    pub(crate) holding: Holding,
    tellings: Tellings,
    readings: Arc<Readings>,
    looked_since: Timestamp,
}

impl Control {
    /// Replays the journal and starts the loop.
    pub async fn start(
        log: Arc<dyn EventLog>,
        ports: Ports,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, StartError> {
        let ledger = Ledger::replay(log).await?;
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::new(clock, ledger.with(Fleet::last_at)));
        let inner = Arc::new(Inner {
            ledger,
            ports,
            looked_since: clock.now(),
            clock,
            options,
            arrived: Notify::new(),
            arrivals: watch::Sender::new(0),
            stop: CancellationToken::new(),
            troubles: Mutex::default(),
            halted: Halted::default(),
            held_up: HeldUps::default(),
            holding: Holding::default(),
            tellings: Tellings::default(),
            readings: Arc::default(),
        });
        let running = Arc::clone(&inner);
        #[expect(clippy::disallowed_methods, reason = "owned: `shutdown` waits for it")]
        let task = tokio::spawn(async move { running.run().await });
        Ok(Self { inner, task: Arc::new(Mutex::new(Some(task))) })
    }

    /// Looks at the fleet. Must be short: facts wait meanwhile.
    pub fn with_fleet<R>(&self, look: impl FnOnce(&Fleet) -> R) -> R {
        self.inner.ledger.with(look)
    }

    /// What is seen at a target.
    pub fn observe(&self, target: &Target) -> Observation {
        self.inner.observe(target)
    }

    /// Where a service can be reached.
    pub fn addresses(&self, target: &Target) -> Vec<(Option<String>, std::net::SocketAddr)> {
        self.inner.ports.runtime.addresses(target)
    }

    /// What keeps a target from running what it should, if anything does.
    pub fn trouble_at(&self, target: &Target) -> Option<String> {
        self.inner.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(target).cloned()
    }

    /// Why a flight is not decided upon any more, if it is not.
    pub fn halted(&self, flight: &FlightId) -> Option<String> {
        self.inner.halted.reason(flight)
    }

    /// What holds a flight up, if something that it needs does not work.
    pub fn held_up(&self, flight: &FlightId) -> Option<HeldUp> {
        self.inner.held_up.of(flight)
    }

    /// What keeps releases out, as it was last known.
    pub fn holds(&self) -> Arc<Holds> {
        self.inner.holding.known()
    }

    /// The controllers' clock.
    pub fn now(&self) -> jiff::Timestamp {
        self.inner.clock.now()
    }

    /// Says that commits may have arrived.
    pub fn commits_arrived(&self) {
        self.inner.arrived.notify_one();
        self.inner.arrivals.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes each time that commits may have arrived.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.inner.arrivals.subscribe()
    }

    /// Changes with every fact.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.ledger.changed()
    }

    /// Stops the loop and what it carries out; what was not finished is done after the next start.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!("the control loop ended badly: {error}");
        }
    }
}

/// How many rounds of decisions one look may take before it waits; a flight needs about ten from end to end.
const ROUNDS_MAX: u32 = 64;
/// How long the source may take to say what has arrived.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);

impl Inner {
    async fn run(self: Arc<Self>) {
        let mut effects = Effects::new(Arc::clone(&self));
        let mut measuring = Measuring::new(Arc::clone(&self.ports.measures), Arc::clone(&self.readings));
        let mut synced = Synced::default();
        let mut scaling = Scaling::new();
        let mut runtime = self.ports.runtime.changed();
        let mut facts = self.ledger.changed();
        // One look at the source at a time, beside the rounds: a canary is judged while a repository does not answer.
        let mut looks = JoinSet::new();
        let (mut arrived, mut look_again) = (true, Instant::now());
        loop {
            if looks.is_empty() && (arrived || Instant::now() >= look_again) {
                arrived = false;
                look_again = Instant::now() + self.options.idle_period;
                let inner = Arc::clone(&self);
                looks.spawn(async move { inner.look_at_source().await });
            }
            facts.borrow_and_update();
            runtime.borrow_and_update();
            self.look_at_holds().await;
            self.round(&mut synced).await;
            self.scale(&mut scaling, &synced).await;
            effects.start_wanted();
            measuring.start_due(self.judged_steps(), self.clock.now(), &self.halted);
            self.ledger.with(|fleet| self.halted.untold(fleet)).into_iter().for_each(|notice| self.tell(notice));
            let busy =
                self.ledger.with(|fleet| fleet.active().next().is_some() || fleet.flag_watches().next().is_some());
            let period = if busy {
                self.options.busy_period
            } else if self.is_troubled() {
                self.options.retry_after
            } else {
                self.options.idle_period
            };
            // In a fixed order, so that the same causes have the same effects; whatever wakes it, a round looks at all.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = effects.ended() => {}
                () = synced.ended(&self) => {}
                () = measuring.ended(&self.halted) => {}
                () = self.arrived.notified() => arrived = true,
                Some(looked) = looks.join_next() => {
                    if let Err(error) = looked {
                        tracing::error!("looking for commits ended badly: {error}");
                    }
                }
                _ = facts.changed() => {}
                _ = runtime.changed() => {}
                () = tokio::time::sleep(period) => {}
                () = tokio::time::sleep_until(scaling.due()) => {}
            }
        }
        looks.shutdown().await;
        measuring.stop().await;
        effects.stop().await;
        synced.stop().await;
        self.tellings.stop().await;
    }

    async fn look_at_source(&self) {
        match tokio::time::timeout(LOOK_TIMEOUT, self.look_for_commits()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("commits could not be looked for: {error}"),
            Err(_) => tracing::warn!("commits could not be looked for: the source did not answer in time"),
        }
    }

    /// Decides until nothing more follows, and lets the runtime follow each decision at once.
    async fn round(self: &Arc<Self>, synced: &mut Synced) {
        if let Err(error) = self.ledger.catch_up().await {
            tracing::error!("the journal can't be read: {error}");
        }
        for _ in 0..ROUNDS_MAX {
            self.sync(synced).await;
            let active: Vec<FlightId> = self.ledger.with(|fleet| fleet.active().map(|f| f.id.clone()).collect());
            let mut decided = false;
            for id in active {
                decided |= self.decide(&id).await;
            }
            decided |= self.decide_flags().await;
            if !decided {
                return;
            }
        }
        tracing::error!("decisions did not come to rest; going on with the next look");
    }

    /// Records what follows for one flight; whether anything did.
    async fn decide(&self, id: &FlightId) -> bool {
        let (now, holds) = (self.clock.now(), self.holding.known());
        let decided = self
            .ledger
            .record(id, now, |fleet| {
                let Some(flight) = fleet.flight(id) else { return Ok::<_, AppendError>(Vec::new()) };
                let decide = || flight.decide(fleet, |target| self.observe(target), &holds, now);
                Ok(self.halted.guard(flight, decide, |notice| self.tell(notice)))
            })
            .await;
        match decided {
            Ok(events) => {
                for event in &events {
                    log(id, event);
                }
                !events.is_empty()
            }
            Err(error) => {
                tracing::error!(flight = %id, "a decision could not be recorded: {error}");
                false
            }
        }
    }

    /// Tells people, beside what else is done.
    pub(crate) fn tell(&self, notice: Notice) {
        self.tellings.tell(Arc::clone(&self.ports.notifier), notice);
    }

    /// Whether some target does not run what it should: it is tried again soon, though no flight waits for it.
    fn is_troubled(&self) -> bool {
        !self.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty()
    }

    /// What the runtime sees at a target, and what was measured there.
    pub(crate) fn observe(&self, target: &Target) -> Observation {
        let looked_since = Some(self.looked_since);
        Observation { readings: self.readings.of(target), looked_since, ..self.ports.runtime.observe(target) }
    }

    /// Every step, or watch after the last one, that is judged by metrics now.
    fn judged_steps(&self) -> Vec<Judged> {
        let now = self.clock.now();
        let of_flight = |flight: &Flight| {
            let judged = || Judged::of_flight(flight, |target| self.observe(target), now);
            self.halted.beside(Part::Measuring, (&called(flight), Some(&flight.id)), judged)
        };
        let mut steps: Vec<Judged> = self.ledger.with(|fleet| fleet.active().filter_map(of_flight).flatten().collect());
        for step in &mut steps {
            step.addresses = self.ports.runtime.version_addresses(&step.target, &step.flight);
            if let (Some(_), Some(stable)) = (&step.synthetic, &step.stable) {
                step.stable_addresses = self.ports.runtime.version_addresses(&step.target, stable);
            }
        }
        steps
    }

    pub(crate) fn trouble(&self, target: &Target, trouble: Option<String>) {
        let mut troubles = self.troubles.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match trouble {
            Some(text) => {
                if troubles.get(target) != Some(&text) {
                    tracing::error!(%target, "can't be brought to what it should run: {text}");
                }
                troubles.insert(target.clone(), text);
            }
            None => {
                troubles.remove(target);
            }
        }
    }
}

pub(crate) fn log(flight: &FlightId, event: &Event) {
    let (name, payload) = event.encode();
    tracing::info!(flight = flight.short(), "{name} {payload}");
}
