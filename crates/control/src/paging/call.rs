//! Calls under way: each in a task of its own, until the person knows, can't be told, or need not be told any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use prograde_model::alert::{Attempt, Failure};
use prograde_model::oncall::{CallKey, PageFact};
use tokio::task::{AbortHandle, JoinSet};

use super::{Call, Shared};

/// How many people are told at the same time; others wait until one knows.
const UNDER_WAY_MAX: usize = 256;
/// The longest that one attempt may take.
const ATTEMPT_MAX: Duration = Duration::from_secs(30);

/// Calls under way, and what came of those that have ended.
#[derive(Default)]
pub(super) struct Calls {
    tasks: JoinSet<(CallKey, PageFact)>,
    /// Those whose end is not recorded yet.
    under_way: BTreeMap<CallKey, AbortHandle>,
    ended: Vec<(CallKey, PageFact)>,
}

impl Calls {
    /// Records what came of the calls that have ended.
    pub(super) async fn record(&mut self, shared: &Shared) -> Result<(), String> {
        let facts: Vec<PageFact> = self.ended.iter().map(|(_, fact)| fact.clone()).collect();
        let mut desk = shared.desk.lock().await;
        shared.record(&mut desk, &facts).await?;
        for (key, _) in self.ended.drain(..) {
            self.under_way.remove(&key);
        }
        Ok(())
    }

    /// Begins the calls that are outstanding and not under way, and ends those that are not outstanding any more.
    pub(super) async fn start(&mut self, shared: &Arc<Shared>) {
        let desk = shared.desk.lock().await;
        let planned: BTreeSet<CallKey> = desk.plan().into_iter().collect();
        self.under_way.retain(|key, task| {
            let wanted = planned.contains(key);
            if !wanted {
                task.abort();
            }
            wanted
        });
        for key in planned {
            if self.under_way.len() >= UNDER_WAY_MAX || self.under_way.contains_key(&key) {
                continue;
            }
            let Some(entry) = desk.page(key.page).cloned() else { continue };
            let receiver =
                shared.options.duty.rota().people.get(&key.person).and_then(|person| person.receiver.clone());
            let call = Call { key: key.clone(), receiver, entry, at: shared.options.clock.now() };
            let shared = Arc::clone(shared);
            let task = self.tasks.spawn(async move { tell(&shared, &call).await });
            self.under_way.insert(key, task);
        }
    }

    /// Waits until a call has ended; for ever where none is under way.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok(ended)) => {
                // One that was given up meanwhile is no matter any more, but that the person knows is.
                self.ended.push(ended);
            }
            Some(Err(error)) if error.is_cancelled() => {}
            Some(Err(error)) => {
                let id = error.id();
                let key = self.under_way.iter().find(|(_, task)| task.id() == id).map(|(key, _)| key.clone());
                self.ended.extend(key.map(|key| {
                    let fact = key.missed(format!("the call ended badly: {error}"));
                    (key, fact)
                }));
            }
        }
    }

    /// Ends all calls where they are.
    pub(super) async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }
}

/// Tells a person, and tries again until they know, or it is sure that they can't be told.
async fn tell(shared: &Shared, call: &Call) -> (CallKey, PageFact) {
    let key = call.key.clone();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let passing = |why: &str| Failure::Passing { why: why.to_owned(), retry_after: None };
        let told = tokio::time::timeout(ATTEMPT_MAX, shared.options.caller.call(call)).await;
        let failure = match told.unwrap_or_else(|_| Err(passing("no answer in time"))) {
            Ok(()) => return (key.clone(), key.reached()),
            Err(failure) => failure,
        };
        let why = failure.why();
        tracing::warn!(page = %key.page, person = key.person, attempts, "not told: {why}");
        // Where to stop is the page's affair: it goes on for as long as the person is to be told.
        match shared.options.retry.next(attempts, &failure, SignedDuration::MAX, spread(&key, attempts)) {
            Attempt::GiveUp => return (key.clone(), key.missed(why.to_owned())),
            Attempt::After(wait) => tokio::time::sleep(Duration::try_from(wait).unwrap_or_default()).await,
        }
    }
}

/// A number that differs from call to call, so that not all are tried again at the same moment.
fn spread(key: &CallKey, attempts: u32) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    (key.page, &key.person, key.step, attempts).hash(&mut hasher);
    hasher.finish()
}
