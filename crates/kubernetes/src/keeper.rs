//! Keeps applications as Git says, for as long as it is let work: what is new is synchronised, and changes in the cluster are
//! undone where an application says so. What to do is decided by [`Keep`]; a [`Witness`] is told before and after.

mod witness;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prograde_control::Clock;
use prograde_resource::Identity;
use prograde_resource::keep::{Because, Before, Fact, Keep, Step};
use prograde_resource::sync::Ending;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::changes::{Ear, Ears, WATCHES_MAX, changes};
use crate::cluster::Cluster;
use crate::inventory::Stock;
use crate::sync::{Orders, Report, Stopped};
use crate::target::Target;
pub use witness::{Begin, Seen, Witness};
use work::{Looked, Scope, Work};

/// How many changes may wait to be looked at. If there are more, all applications are.
const CHANGES_MAX: usize = 10_000;

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
    pub target: Target,
    /// How it is synchronised.
    pub orders: Orders,
    /// Whether it is synchronised without being asked for.
    pub follows: bool,
    /// What it was read from, for whoever is told.
    pub origin: String,
}

/// An application that is kept.
struct Kept {
    keep: Keep,
    target: Arc<Target>,
    orders: Orders,
    origin: String,
    follows: bool,
    order: Order,
    mark: Option<String>,
    running: Option<Running>,
    failed: bool,
    scope: Scope,
}

impl Kept {
    /// What it is from now on. What was changed before that was not heard of.
    fn watch(&mut self, scope: Scope) {
        if scope != self.scope {
            self.scope = scope;
            self.keep.take(Fact::Stale);
        }
    }
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
    listening: JoinSet<()>,
    ears: Ears,
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
            listening: JoinSet::new(),
            ears: Ears::new(),
            listeners: BTreeMap::new(),
            told,
            heard,
            missed: Arc::default(),
        }
    }

    /// These are wanted now. Of those whose wish can't be read what they wanted last is kept; all others are no longer
    /// kept, and stay in the cluster as they are. `past` is asked of those that were not kept before.
    pub fn want(&mut self, wishes: Vec<Wish>, unreadable: &BTreeSet<String>, past: &dyn Fn(&str) -> Past) {
        let names: BTreeSet<String> = wishes.iter().map(|wish| wish.target.name.clone()).collect();
        self.kept.retain(|name, kept| {
            let stays = names.contains(name) || unreadable.contains(name);
            if let (false, Some(running)) = (stays, &kept.running) {
                running.task.abort();
            }
            stays
        });
        for Wish { target, orders, follows, origin } in wishes {
            let (heals, backoff, revision) = (target.self_heal, target.backoff, target.revision.clone());
            let name = target.name.clone();
            let target = Arc::new(target);
            if let Some(kept) = self.kept.get_mut(&name) {
                kept.keep.take(Fact::Wanted { revision, follows, heals, backoff });
                (kept.target, kept.orders, kept.follows, kept.origin) = (target, orders, follows, origin);
                continue;
            }
            let Past { mut before, mut order, began, mark } = past(&name);
            if began.is_some_and(|began| began != revision) {
                order = Order::default();
                // What is there is neither of the two: what follows is synchronised because it is new.
                (before.tried, before.unfinished) = (None, before.unfinished && !follows);
            }
            let failed = before.tried.as_ref().is_some_and(|(_, failed, _)| *failed);
            let mut keep = Keep::new(revision.clone(), heals, backoff).after(before);
            keep.take(Fact::Wanted { revision, follows, heals, backoff });
            let (running, scope) = (None, Scope::default());
            self.kept.insert(name, Kept { keep, target, orders, origin, follows, order, mark, running, failed, scope });
        }
    }

    /// A person asks for a sync. Whether the application is kept.
    pub fn order(&mut self, name: &str, order: Order) -> bool {
        let Some(kept) = self.kept.get_mut(name) else { return false };
        kept.order = order;
        kept.keep.take(Fact::Ordered);
        true
    }

    /// How all applications stand is to be looked at anew.
    pub fn look_again(&mut self) {
        self.kept.values_mut().for_each(|kept| kept.keep.take(Fact::Stale));
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
            self.kept.values_mut().for_each(|kept| kept.keep.take(Fact::Changed));
        }
        let now = self.clock.now();
        let mut next: Option<Duration> = None;
        for (name, kept) in &mut self.kept {
            let step = kept.keep.decide(now);
            if let Some(running) = &mut kept.running {
                if step == Step::Stop && !running.stopping {
                    running.task.abort();
                    running.stopping = true;
                }
                continue;
            }
            let work = || Work {
                cluster: Arc::clone(&self.cluster),
                stock: Arc::clone(&self.stock),
                target: Arc::clone(&kept.target),
                witness: Arc::clone(&self.witness),
            };
            let (clock, origin) = (Arc::clone(&self.clock), kept.origin.clone());
            let task = match step {
                Step::Rest | Step::Stop => continue,
                Step::WaitUntil(at) => {
                    let pause = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                    next = Some(next.map_or(pause, |other| other.min(pause)));
                    continue;
                }
                Step::Sync { hooks, because } => {
                    kept.keep.take(Fact::Began(because));
                    let orders = ordered(&kept.orders, hooks, because, kept.order);
                    let begin = Begin {
                        name: name.clone(),
                        revision: kept.target.revision.clone(),
                        origin,
                        hooks,
                        because,
                        prune: orders.prune,
                        confirmed: orders.confirmed,
                    };
                    let work = work();
                    self.running.spawn(async move { work.sync(begin, orders, &*clock).await })
                }
                Step::Look => {
                    kept.keep.take(Fact::Looking);
                    let (work, extra) = (work(), !kept.follows);
                    self.running.spawn(async move { work.look(origin, extra, &*clock).await })
                }
            };
            kept.running = Some(Running { task, stopping: false });
        }
        next
    }

    /// The application that a task is of, if it is still kept: the task is over.
    fn of(&mut self, id: Id) -> Option<(String, &mut Kept)> {
        let is = |kept: &Kept| kept.running.as_ref().is_some_and(|running| running.task.id() == id);
        let (name, kept) = self.kept.iter_mut().find(|(_, kept)| is(kept))?;
        kept.running = None;
        Some((name.clone(), kept))
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
                    witness.tells("Differs", name);
                }
                // What it depends on was changed while nobody listened.
                if kept.failed && kept.mark.as_ref() != Some(&mark) {
                    kept.keep.take(Fact::Changed);
                }
                kept.mark = Some(mark);
                kept.keep.take(Fact::Looked { differs });
                kept.watch(scope);
            }
            Came::Looked(Err(refused)) if refused.is_passing() => kept.keep.take(Fact::Away { at: now }),
            Came::Looked(Err(refused)) => {
                witness.tells("Waiting", format!("{name}: {refused}"));
                kept.keep.take(Fact::Looked { differs: false });
            }
            Came::Synced(scope, mark, outcome) => {
                kept.failed = !matches!(&*outcome, Ok(report) if report.ending == Ending::Done);
                kept.mark = mark;
                kept.keep.take(Fact::Ended { failed: kept.failed, at: now });
                kept.watch(scope);
                if kept.failed {
                    kept.keep.take(Fact::Stale);
                }
                // It goes on once the cluster answers.
                if matches!(&*outcome, Err(Stopped::Refused(refused)) if refused.is_passing()) {
                    kept.keep.take(Fact::Changed);
                }
                return Some((name, *outcome));
            }
        }
        None
    }

    /// What is there when listening begins may have changed before; what has failed is not tried again for that.
    fn mark(&mut self, identity: &Identity, first: bool) {
        let concerned = self.kept.values_mut().filter(|kept| !(first && kept.failed) && kept.scope.has(identity));
        concerned.for_each(|kept| kept.keep.take(Fact::Changed));
    }

    /// Listens where objects of applications are.
    fn listen(&mut self) {
        let ears: Ears = self.kept.values().flat_map(|kept| kept.scope.ears.iter().cloned()).collect();
        if ears == self.ears {
            return;
        }
        self.ears.clone_from(&ears);
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
