//! Keeps applications as Git says, for as long as it is let work: what is new is synchronised, and changes in the cluster are
//! undone where an application says so. What to do is decided by [`Keep`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prograde_control::Clock;
use prograde_resource::Identity;
use prograde_resource::keep::{Fact, Keep, Step};
use prograde_resource::sync::Ending;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::changes::{Ears, WATCHES_MAX, changes};
use crate::cluster::Cluster;
use crate::inventory::{Inventory, Stock};
use crate::refused::Refused;
use crate::standing::look;
use crate::sync::{Orders, Report, Stopped, sync};
use crate::target::Target;

/// How many changes may wait to be looked at. If there are more, all applications are.
const CHANGES_MAX: usize = 10_000;

/// Hears what happens, for as long as there is something to hear.
pub type Teller = Arc<dyn Fn(&'static str, String) + Send + Sync>;

/// An application that is kept.
struct Kept {
    keep: Keep,
    target: Arc<Target>,
    orders: Orders,
    busy: bool,
    failed: bool,
    scope: Scope,
}

/// Which objects are an application's, and where changes to them are heard.
#[derive(Debug, Clone, Default)]
struct Scope {
    wants: BTreeSet<Identity>,
    ears: Ears,
}

impl Scope {
    /// Whether an object is wanted, or what is wanted needs it.
    fn has(&self, identity: &Identity) -> bool {
        let needs = |wanted: &Identity| match (identity.group.as_str(), identity.kind.as_str()) {
            ("", "Namespace") => wanted.namespace == identity.name,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => {
                identity.name.split_once('.').is_some_and(|(_, group)| group == wanted.group)
            }
            _ => false,
        };
        self.wants.contains(identity) || self.wants.iter().any(needs)
    }
}

/// What has ended.
enum Came {
    Synced(String, Scope, Box<Result<Report, Stopped>>),
    Looked(String, Result<bool, Refused>),
}

/// Keeps applications.
pub struct Keeper {
    cluster: Arc<dyn Cluster>,
    clock: Arc<dyn Clock>,
    teller: Teller,
    kept: BTreeMap<String, Kept>,
    running: JoinSet<Came>,
    stock: Arc<Stock>,
    listening: JoinSet<()>,
    ears: Ears,
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
    pub fn new(cluster: Arc<dyn Cluster>, clock: Arc<dyn Clock>, teller: Teller) -> Self {
        let (told, heard) = mpsc::channel(CHANGES_MAX);
        Self {
            cluster,
            clock,
            teller,
            kept: BTreeMap::new(),
            running: JoinSet::new(),
            stock: Arc::default(),
            listening: JoinSet::new(),
            ears: Ears::new(),
            told,
            heard,
            missed: Arc::default(),
        }
    }

    /// These are wanted now. Of those whose wish can't be read what they wanted last is kept; all others are no longer
    /// kept, and stay in the cluster as they are.
    pub fn want(&mut self, targets: Vec<(Orders, Target)>, unreadable: &BTreeSet<String>) {
        let names: BTreeSet<String> = targets.iter().map(|(_, target)| target.name.clone()).collect();
        self.kept.retain(|name, _| names.contains(name) || unreadable.contains(name));
        for (orders, target) in targets {
            let target = Arc::new(target);
            if let Some(kept) = self.kept.get_mut(&target.name) {
                kept.keep.take(Fact::Wanted(target.revision.clone()));
                (kept.target, kept.orders) = (target, orders);
            } else {
                let keep = Keep::new(target.revision.clone(), target.self_heal, target.backoff);
                let (name, scope) = (target.name.clone(), Scope::default());
                self.kept.insert(name, Kept { keep, target, orders, busy: false, failed: false, scope });
            }
        }
    }

    /// Works for so long, and gives the syncs that have ended.
    pub async fn work(&mut self, time: Duration) -> Vec<(String, Result<Report, Stopped>)> {
        let end = Instant::now() + time;
        let mut ended = Vec::new();
        loop {
            let next = self.begin_due();
            self.listen();
            let wake = next.map_or(end, |pause| end.min(Instant::now() + pause));
            tokio::select! {
                Some((identity, first)) = self.heard.recv() => self.mark(&identity, first),
                Some(came) = self.running.join_next(), if !self.running.is_empty() => match came {
                    Ok(came) => ended.extend(self.take(came)),
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
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
        for (name, kept) in self.kept.iter_mut().filter(|(_, kept)| !kept.busy) {
            match kept.keep.decide(now) {
                Step::Rest => {}
                Step::WaitUntil(at) => {
                    let pause = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                    next = Some(next.map_or(pause, |other| other.min(pause)));
                }
                Step::Sync { hooks } => {
                    kept.keep.take(Fact::Began);
                    kept.busy = true;
                    let orders = Orders { hooks, ..kept.orders.clone() };
                    let work = Work::new(&self.cluster, &self.stock, &kept.target);
                    let (name, clock, teller) = (name.clone(), Arc::clone(&self.clock), Arc::clone(&self.teller));
                    self.running.spawn(async move { work.sync(name, orders, &*clock, &*teller).await });
                }
                Step::Look => {
                    kept.keep.take(Fact::Looking);
                    kept.busy = true;
                    let work = Work::new(&self.cluster, &self.stock, &kept.target);
                    let name = name.clone();
                    self.running.spawn(async move { Came::Looked(name, work.differs().await) });
                }
            }
        }
        next
    }

    fn take(&mut self, came: Came) -> Option<(String, Result<Report, Stopped>)> {
        match came {
            Came::Looked(name, differs) => {
                let kept = self.kept.get_mut(&name)?;
                kept.busy = false;
                let differs = differs.unwrap_or_else(|refused| {
                    (self.teller)("Waiting", format!("{name}: {refused}"));
                    // It is looked at again, after what asking has taken.
                    if refused.is_passing() {
                        kept.keep.take(Fact::Changed);
                    }
                    false
                });
                if differs {
                    (self.teller)("Differs", name);
                }
                kept.keep.take(Fact::Looked { differs });
                None
            }
            Came::Synced(name, scope, outcome) => {
                let kept = self.kept.get_mut(&name)?;
                kept.busy = false;
                kept.failed = !matches!(&*outcome, Ok(report) if report.ending == Ending::Done);
                kept.scope = scope;
                kept.keep.take(Fact::Ended { failed: kept.failed, at: self.clock.now() });
                Some((name, *outcome))
            }
        }
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
            (self.teller)("Warning", said);
        }
        self.listening.abort_all();
        let (cluster, told, missed) = (Arc::clone(&self.cluster), self.told.clone(), Arc::clone(&self.missed));
        self.listening.spawn(async move {
            let hearing = |identity: &Identity, first: bool| {
                if told.try_send((identity.clone(), first)).is_err() {
                    missed.store(true, Ordering::Relaxed);
                }
            };
            changes(&*cluster, &ears, &hearing).await;
        });
    }
}

/// What is done to one application.
struct Work {
    cluster: Arc<dyn Cluster>,
    stock: Arc<Stock>,
    target: Arc<Target>,
}

impl Work {
    fn new(cluster: &Arc<dyn Cluster>, stock: &Arc<Stock>, target: &Arc<Target>) -> Self {
        Self { cluster: Arc::clone(cluster), stock: Arc::clone(stock), target: Arc::clone(target) }
    }

    async fn sync(
        &self,
        name: String,
        orders: Orders,
        clock: &dyn Clock,
        telling: &(dyn Fn(&'static str, String) + Send + Sync),
    ) -> Came {
        let outcome = sync((&*self.cluster, &self.stock), &self.target, &orders, clock, telling).await;
        let scope = self.scope().await.unwrap_or_default();
        Came::Synced(name, scope, Box::new(outcome))
    }

    async fn scope(&self) -> Option<Scope> {
        let kinds = self.cluster.kinds(false).await.ok()?;
        let settled = self.target.settle(&kinds, "").ok()?;
        let mut scope = Scope { wants: settled.desired.keys().cloned().collect(), ears: Ears::new() };
        let ear = |version: &str, kind: &str, space: &str| (version.to_owned(), kind.to_owned(), space.to_owned());
        scope.ears.insert(ear("v1", "Namespace", ""));
        scope.ears.insert(ear("apiextensions.k8s.io/v1", "CustomResourceDefinition", ""));
        let own = settled.desired.values();
        scope.ears.extend(own.map(|one| ear(one.api_version(), &one.identity.kind, &one.identity.namespace)));
        Some(scope)
    }

    /// Whether anything is not as Git says. What is there beyond that does not come by itself.
    async fn differs(&self) -> Result<bool, Refused> {
        let kinds = self.cluster.kinds(false).await?;
        let settled = self.target.settle(&kinds, "").map_err(|found| Refused::Unusable(found.to_string()))?;
        let standing = look(&*self.cluster, &self.target, &settled, &Inventory::default()).await?;
        Ok(!standing.drifts.is_empty())
    }
}
