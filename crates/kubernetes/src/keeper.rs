//! Keeps applications as Git says, for as long as it is let work: what is new is synchronised, and changes in the cluster are
//! undone where an application says so. What to do is decided by [`Keep`]; a [`Witness`] is told before and after.

mod scopes;
mod witness;
mod work;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use prograde_control::Clock;
use prograde_resource::Identity;
use prograde_resource::keep::{Because, Before, Fact, Keep, Step};
use prograde_resource::sync::Ending;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::changes::{Ear, Ears, WATCHES_MAX, changes};
use crate::cluster::Cluster;
use crate::inventory::Stock;
use crate::sync::{Orders, Report, Stopped};
use crate::target::Target;
use scopes::{Scope, Scopes};
pub use witness::{Begin, Seen, Witness};
use work::{Looked, Work};

/// How many changes may wait to be looked at. If there are more, all applications are.
const CHANGES_MAX: usize = 10_000;

/// How many applications are looked at, at once: a sync does not wait until all of them were.
const LOOKS_MAX: usize = 32;

/// What a person asks for beyond what the application says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Order {
    /// Whether what Git names no longer is deleted.
    pub prune: bool,
    /// Whether all of it may go.
    pub confirmed: bool,
}

/// What is known of an application from before.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// What was tried, and whether something is to be gone on with.
    pub before: Before,
    /// What a person asked for in what is to be gone on with.
    pub order: Order,
    /// The revision of the sync that was broken off: what was asked for counts for no other.
    pub began: Option<String>,
    /// What the attempt that failed depended on.
    pub mark: Option<String>,
}

/// What is wanted of an application.
#[derive(Debug)]
pub struct Wish {
    /// What it wants of the cluster.
    pub target: Arc<Target>,
    /// How it is synchronised.
    pub orders: Orders,
    /// Whether it is synchronised without being asked for.
    pub follows: bool,
    /// What it was read from, for whoever is told.
    pub origin: Arc<str>,
}

/// An application that is kept.
struct Kept {
    keep: Keep,
    target: Arc<Target>,
    orders: Orders,
    origin: Arc<str>,
    follows: bool,
    order: Order,
    mark: Option<String>,
    running: Option<Running>,
    failed: bool,
    /// When it is to be decided again although nothing happened.
    alarm: Option<Timestamp>,
}

struct Running {
    task: AbortHandle,
    stopping: bool,
}

/// What has ended.
enum Came {
    Synced(Scope, Option<String>, Box<Result<Report, Stopped>>),
    Looked(Result<Looked, crate::refused::Refused>),
    Away,
}

/// Keeps applications.
pub struct Keeper {
    cluster: Arc<dyn Cluster>,
    clock: Arc<dyn Clock>,
    witness: Arc<dyn Witness>,
    kept: BTreeMap<String, Kept>,
    running: JoinSet<Came>,
    stock: Arc<Stock>,
    looks: Arc<Semaphore>,
    listening: JoinSet<()>,
    scopes: Scopes,
    /// Which application a task is of.
    tasks: HashMap<Id, String>,
    /// The applications of which something has happened since it was decided what to do.
    awake: BTreeSet<String>,
    alarms: BTreeSet<(Timestamp, String)>,
    listeners: BTreeMap<Ear, AbortHandle>,
    told: mpsc::Sender<(Identity, bool)>,
    heard: mpsc::Receiver<(Identity, bool)>,
    missed: Arc<AtomicBool>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kept.keys()).finish()
    }
}

impl Keeper {
    /// Keeps nothing yet.
    pub fn new(cluster: Arc<dyn Cluster>, clock: Arc<dyn Clock>, witness: Arc<dyn Witness>) -> Self {
        let (told, heard) = mpsc::channel(CHANGES_MAX);
        Self {
            cluster,
            clock,
            witness,
            kept: BTreeMap::new(),
            running: JoinSet::new(),
            stock: Arc::default(),
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            listening: JoinSet::new(),
            scopes: Scopes::default(),
            tasks: HashMap::new(),
            awake: BTreeSet::new(),
            alarms: BTreeSet::new(),
            listeners: BTreeMap::new(),
            told,
            heard,
            missed: Arc::default(),
        }
    }

    /// These are wanted now. Of those whose wish can't be read what they wanted last is kept; all others are no longer
    /// kept, and stay in the cluster as they are: what they wanted is given back. `past` is asked of those that were not kept before.
    pub fn want(
        &mut self,
        wishes: Vec<Wish>,
        unreadable: &BTreeSet<String>,
        past: &dyn Fn(&str) -> Past,
    ) -> BTreeMap<String, Arc<Target>> {
        let names: BTreeSet<&str> = wishes.iter().map(|wish| wish.target.name.as_str()).collect();
        let stays = |name: &String| names.contains(name.as_str()) || unreadable.contains(name);
        let gone: Vec<String> = self.kept.keys().filter(|name| !stays(name)).cloned().collect();
        let last = gone.into_iter().filter_map(|name| Some((self.let_go(&name)?, name)));
        let last = last.map(|(target, name)| (name, target)).collect();
        self.add(wishes, past);
        last
    }

    /// These are wanted as well.
    pub fn add(&mut self, wishes: Vec<Wish>, past: &dyn Fn(&str) -> Past) {
        for Wish { target, orders, follows, origin } in wishes {
            let (heals, backoff, revision) = (target.self_heal, target.backoff, target.revision.clone());
            if let Some(kept) = self.kept.get_mut(&target.name) {
                if !Arc::ptr_eq(&kept.target, &target) || kept.follows != follows {
                    kept.keep.take(Fact::Wanted { revision, follows, heals, backoff });
                    self.awake.insert(target.name.clone());
                }
                (kept.target, kept.orders, kept.follows, kept.origin) = (target, orders, follows, origin);
                continue;
            }
            let name = target.name.clone();
            let Past { mut before, mut order, began, mark } = past(&name);
            if began.is_some_and(|began| began != revision) {
                order = Order::default();
                // What is there is neither of the two: what follows is synchronised because it is new.
                (before.tried, before.unfinished) = (None, before.unfinished && !follows);
            }
            let failed = before.tried.as_ref().is_some_and(|(tried, failed, _)| *failed && *tried == revision);
            let mut keep = Keep::new(revision.clone(), heals, backoff).after(before);
            keep.take(Fact::Wanted { revision, follows, heals, backoff });
            let (running, alarm) = (None, None);
            self.awake.insert(name.clone());
            self.kept.insert(name, Kept { keep, target, orders, origin, follows, order, mark, running, failed, alarm });
        }
    }

    /// What a kept application wants.
    pub fn target(&self, name: &str) -> Option<&Arc<Target>> {
        self.kept.get(name).map(|kept| &kept.target)
    }

    /// An application is no longer kept, and stays in the cluster as it is. What it wanted.
    fn let_go(&mut self, name: &str) -> Option<Arc<Target>> {
        let kept = self.kept.remove(name)?;
        if let Some(running) = kept.running {
            running.task.abort();
        }
        self.scopes.forget(name);
        Some(kept.target)
    }

    /// A person asks for a sync. Whether the application is kept.
    pub fn order(&mut self, name: &str, order: Order) -> bool {
        let Some(kept) = self.kept.get_mut(name) else { return false };
        kept.order = order;
        self.tell(name, Fact::Ordered);
        true
    }

    /// Something has happened to an application.
    fn tell(&mut self, name: &str, fact: Fact) {
        if let Some(kept) = self.kept.get_mut(name) {
            kept.keep.take(fact);
            self.awake.insert(name.to_owned());
        }
    }

    fn tell_all(&mut self, fact: &Fact) {
        self.kept.values_mut().for_each(|kept| kept.keep.take(fact.clone()));
        self.awake.extend(self.kept.keys().cloned());
    }

    /// How all applications stand is to be looked at anew.
    pub fn look_again(&mut self) {
        self.tell_all(&Fact::Stale);
    }

    /// Works for so long, and gives the syncs that have ended. May be left at any time.
    pub async fn work(&mut self, time: Duration) -> Vec<(String, Result<Report, Stopped>)> {
        let end = Instant::now() + time;
        let mut ended = Vec::new();
        loop {
            let next = self.begin_due();
            self.listen();
            let wake = next.map_or(end, |pause| end.min(Instant::now() + pause));
            tokio::select! {
                Some((identity, first)) = self.heard.recv() => self.mark(&identity, first),
                Some(came) = self.running.join_next_with_id(), if !self.running.is_empty() => match came {
                    Ok((id, came)) => ended.extend(self.take(id, came)),
                    Err(error) => self.broken_off(error),
                },
                () = tokio::time::sleep_until(wake) => if Instant::now() >= end {
                    return ended;
                },
            }
        }
    }

    /// Begins what is due, and says when something will be.
    fn begin_due(&mut self) -> Option<Duration> {
        if self.missed.swap(false, Ordering::Relaxed) {
            self.tell_all(&Fact::Changed);
        }
        let now = self.clock.now();
        while let Some((_, name)) = self.alarms.first().filter(|(at, _)| *at <= now).cloned() {
            self.alarms.pop_first();
            self.awake.insert(name);
        }
        for name in std::mem::take(&mut self.awake) {
            self.begin(&name, now);
        }
        self.alarms.first().map(|(at, _)| Duration::try_from(at.duration_since(now)).unwrap_or_default())
    }

    /// Does what is to be done about an application.
    fn begin(&mut self, name: &str, now: Timestamp) {
        let Some(kept) = self.kept.get_mut(name) else { return };
        if let Some(before) = kept.alarm.take() {
            self.alarms.remove(&(before, name.to_owned()));
        }
        let step = kept.keep.decide(now);
        if let Some(running) = &mut kept.running {
            if step == Step::Stop && !running.stopping {
                running.task.abort();
                running.stopping = true;
            }
            return;
        }
        let work = || Work {
            cluster: Arc::clone(&self.cluster),
            stock: Arc::clone(&self.stock),
            target: Arc::clone(&kept.target),
            witness: Arc::clone(&self.witness),
        };
        let (clock, origin) = (Arc::clone(&self.clock), kept.origin.to_string());
        let task = match step {
            Step::Rest | Step::Stop => return,
            Step::WaitUntil(at) => {
                kept.alarm = Some(at);
                self.alarms.insert((at, name.to_owned()));
                return;
            }
            Step::Sync { hooks, because } => {
                kept.keep.take(Fact::Began(because));
                let orders = ordered(&kept.orders, hooks, because, kept.order);
                let begin = Begin {
                    name: name.to_owned(),
                    revision: kept.target.revision.clone(),
                    origin,
                    hooks,
                    because,
                    prune: orders.prune,
                    confirmed: orders.confirmed,
                    leaves: kept.target.leaves,
                };
                let work = work();
                self.running.spawn(async move { work.sync(begin, orders, &*clock).await })
            }
            Step::Look => {
                kept.keep.take(Fact::Looking);
                let extra = !kept.follows || kept.target.leaves;
                let (work, looks) = (work(), Arc::clone(&self.looks));
                self.running.spawn(async move {
                    // It is never closed.
                    let _slot = looks.acquire().await;
                    work.look(origin, extra, &*clock).await
                })
            }
        };
        self.tasks.insert(task.id(), name.to_owned());
        kept.running = Some(Running { task, stopping: false });
    }

    /// The application that a task is of, if it is still kept: the task is over.
    fn of(&mut self, id: Id) -> Option<(String, &mut Kept)> {
        let name = self.tasks.remove(&id)?;
        let kept = self.kept.get_mut(&name)?;
        // One that was let go and is kept again has another task.
        if kept.running.as_ref().is_none_or(|running| running.task.id() != id) {
            return None;
        }
        kept.running = None;
        self.awake.insert(name.clone());
        Some((name, kept))
    }

    fn broken_off(&mut self, error: JoinError) {
        if error.is_panic() {
            std::panic::resume_unwind(error.into_panic());
        }
        if let Some((_, kept)) = self.of(error.id()) {
            kept.keep.take(Fact::Stopped);
        }
    }

    fn take(&mut self, id: Id, came: Came) -> Option<(String, Result<Report, Stopped>)> {
        let now = self.clock.now();
        let witness = Arc::clone(&self.witness);
        let (name, kept) = self.of(id)?;
        match came {
            Came::Away => kept.keep.take(Fact::Away { at: now }),
            Came::Looked(Ok(Looked { seen, scope, mark })) => {
                let differs = !seen.drifts.is_empty();
                if differs {
                    witness.tells("Differs", name.clone());
                }
                // What it depends on was changed while nobody listened.
                if kept.failed && kept.mark.as_ref() != Some(&mark) {
                    kept.keep.take(Fact::Changed);
                }
                kept.mark = Some(mark);
                kept.keep.take(Fact::Looked { differs });
                if kept.target.leaves && !differs && !kept.failed {
                    self.let_go(&name);
                    return None;
                }
                self.watch(&name, scope);
            }
            Came::Looked(Err(refused)) if refused.is_passing() => kept.keep.take(Fact::Away { at: now }),
            Came::Looked(Err(refused)) => {
                witness.tells("Waiting", format!("{name}: {refused}"));
                kept.keep.take(Fact::Looked { differs: false });
            }
            Came::Synced(scope, mark, outcome) => {
                let failed = !is_done(&kept.target, &outcome);
                (kept.failed, kept.mark) = (failed, mark);
                kept.keep.take(Fact::Ended { failed, at: now });
                if kept.target.leaves && !failed {
                    self.let_go(&name);
                    return Some((name, *outcome));
                }
                self.watch(&name, scope);
                if failed {
                    self.tell(&name, Fact::Stale);
                }
                // It goes on once the cluster answers.
                if matches!(&*outcome, Err(Stopped::Refused(refused)) if refused.is_passing()) {
                    self.tell(&name, Fact::Changed);
                }
                return Some((name, *outcome));
            }
        }
        None
    }

    /// What an application depends on from now on. What was changed before that was not heard of.
    fn watch(&mut self, name: &str, scope: Scope) {
        if self.scopes.set(name, scope) {
            self.tell(name, Fact::Stale);
        }
    }

    /// What is there when listening begins may have changed before; what has failed is not tried again for that.
    fn mark(&mut self, identity: &Identity, first: bool) {
        for name in self.scopes.concerned(identity) {
            if !first || self.kept.get(&name).is_some_and(|kept| !kept.failed) {
                self.tell(&name, Fact::Changed);
            }
        }
    }

    /// Listens where objects of applications are.
    fn listen(&mut self) {
        let Some(ears) = self.scopes.new_ears() else { return };
        if ears.len() > WATCHES_MAX {
            let all = ears.len();
            let said =
                format!("changes are heard in {WATCHES_MAX} of {all} kinds and namespaces: split the applications");
            self.witness.tells("Warning", said);
        }
        let meant: BTreeSet<&Ear> = ears.iter().take(WATCHES_MAX).collect();
        self.listeners.retain(|ear, task| {
            let stays = meant.contains(ear);
            if !stays {
                task.abort();
            }
            stays
        });
        while self.listening.try_join_next().is_some() {}
        for ear in meant {
            if self.listeners.contains_key(ear) {
                continue;
            }
            let (cluster, told, missed) = (Arc::clone(&self.cluster), self.told.clone(), Arc::clone(&self.missed));
            let one = Ears::from([ear.clone()]);
            let task = self.listening.spawn(async move {
                let hearing = |identity: &Identity, first: bool| {
                    if told.try_send((identity.clone(), first)).is_err() {
                        missed.store(true, Ordering::Relaxed);
                    }
                };
                changes(&*cluster, &one, &hearing).await;
            });
            self.listeners.insert(ear.clone(), task);
        }
    }
}

/// Whether nothing is left to be done: what goes, and waits for a person, is not gone.
fn is_done(target: &Target, outcome: &Result<Report, Stopped>) -> bool {
    let Ok(report) = outcome else { return false };
    let waits = target.leaves && (report.refusal.is_some() || !report.asks.is_empty());
    report.ending == Ending::Done && !waits
}

/// How a sync is done: what a person asked for counts for theirs alone.
fn ordered(orders: &Orders, hooks: bool, because: Because, order: Order) -> Orders {
    let order = match because {
        Because::Order | Because::Resumed => order,
        Because::Revision | Because::Changed | Because::Drift => Order::default(),
    };
    Orders {
        hooks,
        prune: orders.prune || order.prune || order.confirmed,
        confirmed: orders.confirmed || order.confirmed,
        ..orders.clone()
    }
}
