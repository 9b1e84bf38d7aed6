//! Carries out what flights want. One task an effect; an effect that ends gives facts, one that fails for a passing
//! reason is tried again with growing waits, one that is no longer wanted is cancelled.

mod migrate;
mod perform;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use prograde_model::event::{Event, Outcome};
use prograde_model::fleet::Fleet;
use prograde_model::flight::{Effect, Flight};
use prograde_model::ids::FlightId;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::controller::{Inner, Options, log};
use crate::halted::{Part, called};
use crate::ports::{AppendError, PortError};

type Key = (FlightId, Effect);

/// Why an effect did not end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The world did not do it.
    #[error(transparent)]
    Port(#[from] PortError),
    /// What came of it could not be recorded. No flight is given up for that: it is not its fault.
    #[error(transparent)]
    Journal(#[from] AppendError),
}

/// The longest wait between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// The effects that are under way, and those that wait to be tried again.
pub(crate) struct Effects {
    inner: Arc<Inner>,
    tasks: JoinSet<Result<(), Failure>>,
    running: BTreeMap<Key, CancellationToken>,
    keys: BTreeMap<tokio::task::Id, Key>,
    failed: BTreeMap<Key, (u32, Instant)>,
}

/// Why something that a flight needs is tried again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldUp {
    /// Since when it does not work.
    pub since: Timestamp,
    /// Why it did not work the last time.
    pub why: String,
}

/// What holds flights up, each by what it waits for. It is seen, not decided upon: nothing of it is a fact.
#[derive(Debug, Default)]
pub(crate) struct HeldUps(Mutex<BTreeMap<Key, HeldUp>>);

impl HeldUps {
    fn locked(&self) -> MutexGuard<'_, BTreeMap<Key, HeldUp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What holds a flight up the longest.
    pub(crate) fn of(&self, flight: &FlightId) -> Option<HeldUp> {
        let all = self.locked();
        let own = all.iter().filter(|((of, _), _)| of == flight).map(|(_, held)| held);
        own.min_by_key(|held| held.since).cloned()
    }

    /// It did not work again. Whether that was known before, for the same reason.
    fn tell(&self, key: &Key, now: Timestamp, why: &str) -> bool {
        let mut all = self.locked();
        let before = all.get(key);
        let is_known = before.is_some_and(|held| held.why == why);
        let since = before.map_or(now, |held| held.since);
        all.insert(key.clone(), HeldUp { since, why: why.to_owned() });
        is_known
    }

    fn clear(&self, is_over: impl Fn(&Key) -> bool) {
        self.locked().retain(|key, _| !is_over(key));
    }
}

impl Effects {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner, tasks: JoinSet::new(), running: BTreeMap::new(), keys: BTreeMap::new(), failed: BTreeMap::new() }
    }

    /// Starts what is wanted and not under way; cancels what is under way and not wanted.
    pub(crate) fn start_wanted(&mut self) {
        let wanted: Vec<Key> = self.inner.ledger.with(|fleet| fleet.active().flat_map(|f| self.wanted(f)).collect());
        for (key, cancel) in &self.running {
            if !wanted.contains(key) {
                cancel.cancel();
            }
        }
        self.failed.retain(|key, _| wanted.contains(key));
        self.inner.held_up.clear(|key| !wanted.contains(key));
        let now = Instant::now();
        for key in wanted {
            let waits = self.failed.get(&key).is_some_and(|(_, again)| *again > now);
            if !waits && !self.running.contains_key(&key) {
                self.start(key);
            }
        }
    }

    /// What a flight wants; what is under way for it, if that can't be told.
    fn wanted(&self, flight: &Flight) -> Vec<Key> {
        let planned = self.inner.halted.beside(Part::Effects, (&called(flight), Some(&flight.id)), || flight.plan());
        match planned {
            Some(effects) => effects.into_iter().map(|effect| (flight.id.clone(), effect)).collect(),
            None => self.running.keys().filter(|(of, _)| *of == flight.id).cloned().collect(),
        }
    }

    fn start(&mut self, key: Key) {
        let cancel = CancellationToken::new();
        self.running.insert(key.clone(), cancel.clone());
        let inner = Arc::clone(&self.inner);
        let of = key.clone();
        let task = self.tasks.spawn(async move { inner.carry_out(&of, cancel).await });
        self.keys.insert(task.id(), key);
    }

    /// Waits for an effect to end and takes its result in. Cancel-safe: an effect that ended is only taken once.
    pub(crate) async fn ended(&mut self) {
        let Some(joined) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let (id, result) = match joined {
            Ok((id, result)) => (id, result),
            // A panic in one effect must not stop the others, nor be tried without end.
            Err(error) => (error.id(), Err(PortError::Passing(format!("it ended badly: {error}")).into())),
        };
        let Some(key) = self.keys.remove(&id) else { return };
        self.running.remove(&key);
        match result {
            Ok(()) => {
                self.failed.remove(&key);
                self.inner.held_up.clear(|other| *other == key);
            }
            Err(error) => self.failed_once(key, error),
        }
    }

    fn failed_once(&mut self, key: Key, failure: Failure) {
        let attempts = self.failed.get(&key).map_or(0, |(n, _)| *n).saturating_add(1);
        let (options, now) = (&self.inner.options, self.inner.clock.now());
        let why = failure.to_string();
        if self.inner.held_up.tell(&key, now, &why) {
            tracing::debug!(flight = key.0.short(), effect = ?key.1, attempts, "did not work: {why}");
        } else {
            tracing::warn!(flight = key.0.short(), effect = ?key.1, attempts, "did not work: {why}");
        }
        let opened = self.inner.ledger.with(|fleet| fleet.flight(&key.0).map(|flight| flight.opened_at));
        let waited = opened.map(|opened| now.duration_since(opened)).unwrap_or_default();
        let often = is_enough(&key.1, attempts, waited, options);
        match failure {
            Failure::Port(error) if gives_up(&key.1, &error, often) => {
                // Recording that is itself an effect: it is done by the next task under the same key.
                let inner = Arc::clone(&self.inner);
                self.running.insert(key.clone(), CancellationToken::new());
                let of = key.clone();
                let task = self.tasks.spawn(async move { Ok(inner.give_up(&of, error).await?) });
                self.keys.insert(task.id(), key);
                return;
            }
            Failure::Port(_) | Failure::Journal(_) => {}
        }
        let wait = options.retry_after.saturating_mul(1 << attempts.min(10).saturating_sub(1)).min(RETRY_MAX);
        self.failed.insert(key, (attempts, Instant::now() + wait));
    }

    /// Ends everything at once, as a crash would: what was not finished is asked for again after the next start.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Whether an effect has failed often enough for a passing reason. What a commit says may lie with a host that is away: its flight
/// waits for that by time, as a person would.
fn is_enough(effect: &Effect, attempts: u32, waited: SignedDuration, options: &Options) -> bool {
    match effect {
        Effect::Read => waited >= options.read_wait_max,
        Effect::Build
        | Effect::MakeImage
        | Effect::Propose(_)
        | Effect::Deploy(_)
        | Effect::Migrate(_)
        | Effect::Check(_)
        | Effect::Notify
        | Effect::Revert(_) => attempts >= options.attempts_max,
    }
}

/// Whether an effect that failed is not tried again. Git must not say for ever what does not run: a revert is never
/// given up, and a deployment, which may have been written before it failed, only when asking again changes nothing.
fn gives_up(effect: &Effect, error: &PortError, often: bool) -> bool {
    match (effect, error) {
        (Effect::Revert(_), _) | (Effect::Propose(_) | Effect::Deploy(_), PortError::Passing(_)) => false,
        (_, PortError::Input(_) | PortError::Final(_)) => true,
        (_, PortError::Passing(_)) => often,
    }
}

impl Inner {
    async fn carry_out(&self, (id, effect): &Key, cancel: CancellationToken) -> Result<(), Failure> {
        let Some(flight) = self.ledger.with(|fleet| fleet.flight(id).cloned()) else { return Ok(()) };
        let facts = self.perform(&flight, effect, cancel);
        let events = facts.await?;
        Ok(self.record_result(id, effect, |flight, fleet| flight.admit(fleet, events)).await?)
    }

    /// Records what an effect brought, if the flight still wants it.
    pub(crate) async fn record_result(
        &self,
        id: &FlightId,
        effect: &Effect,
        events: impl FnOnce(&Flight, &Fleet) -> Vec<Event>,
    ) -> Result<(), AppendError> {
        let recorded = self.ledger.record(id, self.clock.now(), |fleet| {
            let wanted = fleet.flight(id).filter(|f| f.plan().contains(effect));
            Ok::<_, AppendError>(wanted.map_or_else(Vec::new, |flight| events(flight, fleet)))
        });
        for event in &recorded.await? {
            log(id, event);
        }
        Ok(())
    }

    /// What it means for a flight that one of its effects can't be had.
    async fn give_up(&self, (id, effect): &Key, error: PortError) -> Result<(), AppendError> {
        self.record_result(id, effect, |flight, fleet| match (effect, error) {
            (Effect::Read | Effect::Build, PortError::Input(diagnostics)) => {
                vec![Event::Ended { outcome: Outcome::Refused { diagnostics: diagnostics.0 } }]
            }
            (Effect::Build, error) => {
                vec![Event::PipelineFinished { succeeded: false, detail: Some(error.to_string()) }]
            }
            (Effect::Propose(target) | Effect::Deploy(target), error) => {
                flight.not_deployed(fleet, target, error.to_string())
            }
            (Effect::Read | Effect::MakeImage, error) => {
                vec![Event::Ended { outcome: Outcome::Rejected { reason: error.to_string() } }]
            }
            (Effect::Migrate(target), error) => flight.migrated(fleet, target, Some(error.to_string())),
            (Effect::Check(target), error) => flight.checked(fleet, target, Some(error.to_string())),
            (Effect::Notify, error) => {
                vec![Event::AuthorNotified { channels: Vec::new(), failures: vec![error.to_string()] }]
            }
            // Never given up: Git must not say for ever what does not run.
            (Effect::Revert(_), _) => Vec::new(),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_waits_by_time_and_the_rest_by_attempts() {
        let options = Options::default();
        let hours = SignedDuration::from_hours;
        for (effect, attempts, waited, enough) in [
            (Effect::Read, 5_000, hours(23), false),
            (Effect::Read, 1, hours(24), true),
            (Effect::Build, 7, hours(100), false),
            (Effect::Build, 8, hours(0), true),
        ] {
            assert_eq!(is_enough(&effect, attempts, waited, &options), enough, "{effect:?} {attempts} {waited}");
        }
        let passing = PortError::Passing("the host is away".into());
        assert!(gives_up(&Effect::Read, &passing, true) && !gives_up(&Effect::Read, &passing, false));
        assert!(gives_up(&Effect::Read, &PortError::Final("there is no such commit".into()), false));
    }

    #[test]
    fn what_holds_a_flight_up_is_known_since_it_began() {
        let (held, key): (HeldUps, Key) = (HeldUps::default(), ("1".repeat(32).parse().unwrap(), Effect::Read));
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!held.tell(&key, at(1), "away"));
        assert!(held.tell(&key, at(2), "away") && !held.tell(&key, at(3), "refused"));
        assert_eq!(held.of(&key.0), Some(HeldUp { since: at(1), why: "refused".into() }));
        held.clear(|other| *other == key);
        assert_eq!(held.of(&key.0), None);
    }
}
