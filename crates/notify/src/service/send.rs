//! The loop: decide, record, send.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prograde_model::alert::{AlertEvent, Attempt, Failure, Notification, NotificationKey};
use prograde_model::oncall::Notified;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{RECORD_AGAIN, SLEEP_MAX, Shared};
use crate::config::{Kind, Oncall, Way};
use crate::delivery::Teller;

/// How many are told at the same time; others wait for their turn.
const AT_ONCE: usize = 16;
/// How many notifications are under way at most, those included that wait for their turn or their next attempt.
const UNDER_WAY_MAX: usize = 10_000;

/// How sending ended.
struct Ended {
    notification: Notification,
    result: Result<(), Failure>,
    attempts: u32,
}

/// Runs until it is stopped.
pub(super) async fn run(shared: &Arc<Shared>) {
    let mut sending: JoinSet<Ended> = JoinSet::new();
    let mut under_way: BTreeSet<NotificationKey> = BTreeSet::new();
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    while !shared.stop.is_cancelled() {
        let pause = match decide(shared).await {
            Ok(pause) => pause,
            Err(why) => {
                tracing::error!("what follows for alerts could not be recorded: {why}");
                RECORD_AGAIN
            }
        };
        start(shared, &mut sending, &mut under_way, &turns).await;
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = shared.changed.notified() => {}
            () = sleep(pause) => {}
            Some(ended) = sending.join_next() => match ended {
                Ok(ended) => {
                    under_way.remove(&ended.notification.key);
                    finish(shared, ended).await;
                }
                Err(error) => {
                    // Its key is not known any more: all that have none running are asked for again.
                    tracing::error!("sending a notification ended badly: {error}");
                    under_way.clear();
                    sending.abort_all();
                }
            },
        }
    }
    sending.shutdown().await;
}

/// Records and applies all that follows now; gives how long nothing will.
async fn decide(shared: &Shared) -> Result<Duration, String> {
    let mut state = shared.state.lock().await;
    loop {
        let now = shared.now();
        let facts = state.dispatcher.decide(now);
        if facts.is_empty() {
            let wake = state.dispatcher.wake_at().map(|wake| wake.duration_since(now));
            let pause = wake.map_or(SLEEP_MAX, |wait| Duration::try_from(wait).unwrap_or_default());
            return Ok(pause.clamp(Duration::from_millis(1), SLEEP_MAX));
        }
        shared.record(&mut state, facts, now).await?;
    }
}

/// Begins to send what is outstanding and not under way.
async fn start(
    shared: &Arc<Shared>,
    sending: &mut JoinSet<Ended>,
    under_way: &mut BTreeSet<NotificationKey>,
    turns: &Arc<Semaphore>,
) {
    let state = shared.state.lock().await;
    for notification in state.dispatcher.plan() {
        let key = &notification.key;
        if under_way.len() >= UNDER_WAY_MAX || under_way.contains(key) {
            continue;
        }
        let way = state.teller.ways(&key.receiver).iter().find(|way| way.name == key.integration).cloned();
        under_way.insert(key.clone());
        let (shared, turns) = (Arc::clone(shared), Arc::clone(turns));
        let (teller, notification) = (state.teller.clone(), notification.clone());
        sending.spawn(async move { send(&shared, teller, way, notification, &turns).await });
    }
}

/// Tells a receiver, and tries again until it knows or the time is up.
async fn send(
    shared: &Shared,
    teller: Teller,
    way: Option<Way>,
    notification: Notification,
    turns: &Semaphore,
) -> Ended {
    let Some(way) = way else {
        let why = "the configuration has no such receiver any more".to_owned();
        return Ended { notification, result: Err(Failure::Lasting { why }), attempts: 0 };
    };
    let mut attempts = 0;
    loop {
        attempts += 1;
        let result = attempt(shared, &teller, &way, &notification, turns).await;
        let Err(failure) = result else { return Ended { notification, result: Ok(()), attempts } };
        let left = notification.give_up_at.duration_since(shared.now());
        let mut random = [0_u8; 8];
        // Without random bytes the wait is whole, and nothing else is lost.
        let drawn = getrandom::fill(&mut random).map_or(0, |()| u64::from_le_bytes(random));
        match shared.retry.next(attempts, &failure, left, drawn) {
            Attempt::GiveUp => return Ended { notification, result: Err(failure), attempts },
            Attempt::After(wait) => {
                tracing::debug!(receiver = notification.key.receiver, attempts, "not told yet: {}", failure.why());
                sleep(Duration::try_from(wait).unwrap_or_default()).await;
            }
        }
    }
}

async fn attempt(
    shared: &Shared,
    teller: &Teller,
    way: &Way,
    notification: &Notification,
    turns: &Semaphore,
) -> Result<(), Failure> {
    let passing = |why: &str| Failure::Passing { why: why.to_owned(), retry_after: None };
    let left = notification.give_up_at.duration_since(shared.now());
    let left = Duration::try_from(left).unwrap_or_default().max(Duration::from_secs(1));
    let Ok(Ok(_turn)) = timeout(left, turns.acquire()).await else {
        return Err(passing("too many others were to be told at the same time"));
    };
    match &way.kind {
        Kind::Oncall(oncall) => page(shared, oncall, notification).await.map_err(|why| passing(&why)),
        Kind::Webhook(_)
        | Kind::Email(_)
        | Kind::PagerDuty(_)
        | Kind::Slack(_)
        | Kind::Matrix(_)
        | Kind::Ntfy(_)
        | Kind::Console(_) => teller.attempt(way.clone(), notification.clone(), None, left).await,
    }
}

/// Hands what is said of a group to whoever wakes people.
async fn page(shared: &Shared, oncall: &Oncall, notification: &Notification) -> Result<(), String> {
    let pager = shared.pager.as_ref().ok_or("nobody is on call here")?;
    let firing = notification.alerts.iter().filter(|(_, fires)| *fires).map(|(alert, _)| alert.clone());
    let said = Notified {
        // Filled in by whoever knows the escalations.
        escalation: String::new(),
        group: notification.key.group.clone(),
        firing: firing.collect(),
        cause: notification.cause,
    };
    pager.notified(oncall.escalation.as_deref(), said).await
}

/// Records how it ended, as often as it takes: what is not recorded would be sent again.
async fn finish(shared: &Shared, ended: Ended) {
    let Ended { notification, result, attempts } = ended;
    let key = notification.key.clone();
    match &result {
        Ok(()) => {
            tracing::info!(receiver = key.receiver, integration = key.integration, group = key.group, attempts, "told");
        }
        Err(failure) => {
            let why = failure.why();
            tracing::warn!(receiver = key.receiver, integration = key.integration, attempts, "not told: {why}");
        }
    }
    while !shared.stop.is_cancelled() {
        let mut state = shared.state.lock().await;
        let fact = match &result {
            Ok(()) => AlertEvent::Sent(state.dispatcher.told_by(&notification)),
            Err(failure) => AlertEvent::Failed { key: key.clone(), why: failure.why().to_owned(), attempts },
        };
        let Err(why) = shared.record(&mut state, vec![fact], shared.now()).await else { return };
        drop(state);
        tracing::error!("how a notification ended could not be recorded: {why}");
        tokio::select! {
            () = shared.stop.cancelled() => {}
            () = sleep(RECORD_AGAIN) => {}
        }
    }
}
