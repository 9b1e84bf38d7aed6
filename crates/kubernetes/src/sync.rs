//! Brings an application to what Git says: asks [`Run`] what to do, does it, and tells it what came of that.
//!
//! What breaks off is done again: applying the same twice changes nothing, and a hook says which sync made it.

mod apply;
mod hooks;
mod prune;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use prograde_control::Clock;
use prograde_model::Diagnostics;
use prograde_resource::health::{Rules, assess};
use prograde_resource::order::{Outcome, Task};
use prograde_resource::prune::{Reason, Refusal};
use prograde_resource::sync::{Action, Attempts, Ending, Event, Run};
use prograde_resource::{Identity, Object, Status};
use serde::Serialize;
use serde_json::Value;

use crate::cluster::{Cluster, Place};
use crate::inventory::Stock;
use crate::kinds::{Kinds, Resource};
use crate::refused::Refused;
use crate::standing::{Standing, look};
use crate::target::{Settled, Target};

/// How long is waited before something is looked at again.
const LOOK: Duration = Duration::from_millis(500);
/// How many objects are applied or looked at, at once.
const AT_ONCE: usize = 8;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// Whether what Git names no longer is deleted.
    pub prune: bool,
    /// Whether a person has said that all of it may go.
    pub confirmed: bool,
    /// Whether nothing is changed, only tried.
    pub dry: bool,
    /// Whether hooks are run.
    pub hooks: bool,
    /// How long it may take in all.
    pub timeout: SignedDuration,
}

/// What was done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// It was made.
    Created,
    /// It was changed.
    Changed,
    /// It was as it should be.
    Unchanged,
    /// It was deleted.
    Pruned,
    /// It was refused.
    Failed,
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The object.
    pub object: Identity,
    /// What was done to it.
    pub what: What,
    /// How well it is.
    pub health: Option<Status>,
    /// Why.
    pub message: String,
}

/// How a sync went.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// How it ended.
    pub ending: Ending,
    /// What became of each object.
    pub lines: Vec<Line>,
    /// What would be deleted if a person said so.
    pub asks: Vec<(Identity, Reason)>,
    /// Why nothing was deleted.
    pub refusal: Option<Refusal>,
    /// What Git names no longer, and nobody asked to delete.
    pub left: Vec<Identity>,
    /// The kinds that could not be looked through.
    pub blind: Vec<(String, String)>,
    /// How many attempts it took.
    pub attempts: u32,
}

/// Why there was no sync.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Stopped {
    /// The cluster can't be asked.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What is wanted can't be.
    #[error(transparent)]
    Wrong(#[from] Diagnostics),
}

/// Hears what happens: a verb, and of what.
pub type Telling<'a> = &'a (dyn Fn(&'static str, String) + Send + Sync);

/// Brings an application to what Git says. `stock` is shared by all that are synchronised at the same time.
pub async fn sync(
    (cluster, stock): (&dyn Cluster, &Stock),
    target: &Target,
    orders: &Orders,
    clock: &dyn Clock,
    telling: Telling<'_>,
) -> Result<Report, Stopped> {
    let begun = clock.now();
    let named = format!("{}-{}", target.revision, begun.as_second());
    let settled = settle(cluster, target, orders, &named).await?;
    let attempts = Attempts { again: Some(target.again), backoff: target.backoff, timeout: orders.timeout };
    let mut run = Run::new(settled.plan.clone(), attempts, begun);
    let mut work = Work {
        cluster,
        stock,
        target,
        orders,
        clock,
        telling,
        settled,
        standing: Standing::default(),
        begun,
        attempt: 1,
        rules: Rules::default(),
        lines: Mutex::default(),
        pruning: prune::Pruned::default(),
        blind: Vec::new(),
    };
    // Of what goes, all waits where a person has to say yes to some of it: neither its hooks nor half of it come before that.
    let waits = target.leaves && !orders.dry && work.waits_for_a_person().await?;
    let ending = if waits { Ending::Done } else { work.carry_out(&mut run).await? };
    let lines = work.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Report {
        ending,
        lines: lines.into_values().collect(),
        asks: work.pruning.asks,
        refusal: work.pruning.refusal,
        left: work.pruning.left,
        blind: work.blind,
        attempts: run.attempt(),
    })
}

async fn settle(cluster: &dyn Cluster, target: &Target, orders: &Orders, named: &str) -> Result<Settled, Stopped> {
    let kinds = known(cluster, target.objects.iter()).await?;
    let mut settled = target.settle(&kinds, named)?;
    if !orders.hooks {
        settled.plan.tasks.retain(|task| !task.hook);
    }
    Ok(settled)
}

/// The kinds that the cluster knows, asked for anew where one of these objects' is not among them.
async fn known(cluster: &dyn Cluster, mut objects: impl Iterator<Item = &Object>) -> Result<Arc<Kinds>, Refused> {
    let kinds = cluster.kinds(false).await?;
    let misses = objects.any(|object| kinds.find(object.api_version(), &object.identity.kind).is_none());
    if misses { cluster.kinds(true).await } else { Ok(kinds) }
}

/// A sync at work.
struct Work<'a> {
    cluster: &'a dyn Cluster,
    stock: &'a Stock,
    target: &'a Target,
    orders: &'a Orders,
    clock: &'a dyn Clock,
    telling: Telling<'a>,
    settled: Settled,
    standing: Standing,
    begun: Timestamp,
    attempt: u32,
    rules: Rules,
    lines: Mutex<BTreeMap<Identity, Line>>,
    pruning: prune::Pruned,
    blind: Vec<(String, String)>,
}

impl Work<'_> {
    /// Looks for what is there beyond what is wanted. A whole cluster is looked through for that, so first it is seen whether
    /// what was found there lately is enough to say that there is nothing.
    async fn take_stock(&mut self) -> Result<(), Refused> {
        let spaces = self.target.spaces(&self.settled);
        // Before an application goes, a sync that was broken off may have made something.
        if !self.target.leaves
            && let Some(inventory) = self.stock.recent(&self.target.name, &spaces).await
        {
            self.standing.take(self.target, &self.settled, &inventory);
            self.blind.clone_from(&inventory.blind);
            if self.extra().next().is_none() {
                return Ok(());
            }
        }
        let inventory = self.stock.inventory(self.cluster, &spaces).await?;
        self.standing.take(self.target, &self.settled, &inventory);
        self.blind.clone_from(&inventory.blind);
        Ok(())
    }

    /// Goes on until the end. Where the server does not answer, the same is tried again for as long as there is time.
    async fn carry_out(&mut self, run: &mut Run) -> Result<Ending, Stopped> {
        loop {
            match self.step(run).await {
                Ok(None) => {}
                Ok(Some(ending)) => return Ok(ending),
                Err(refused) if refused.is_passing() && !run.is_late(self.clock.now()) => self.pause(&refused).await,
                Err(refused) => return Err(refused.into()),
            }
        }
    }

    async fn pause(&self, refused: &Refused) {
        (self.telling)("Waiting", format!("{}: {refused}", self.target.name));
        tokio::time::sleep(LOOK).await;
    }

    async fn step(&mut self, run: &mut Run) -> Result<Option<Ending>, Refused> {
        match run.decide(self.clock.now()) {
            Action::Try => {
                if run.attempt() > 1 {
                    known(self.cluster, self.settled.desired.values()).await?;
                }
                self.standing = look(self.cluster, self.target, &self.settled).await?;
                run.take(Event::Tried(self.try_all().await?));
            }
            Action::Apply(_) | Action::Look(_) if self.orders.dry => return self.only_tried().await.map(Some),
            Action::Apply(tasks) => self.apply_all(tasks, run).await,
            Action::Look(on) => {
                tokio::time::sleep(LOOK).await;
                self.look_at(on, run).await;
            }
            Action::Prune => run.take(Event::Pruned(self.prune().await?)),
            Action::Clean(hooks) => {
                self.clean(&hooks).await;
                run.take(Event::Cleaned);
            }
            Action::WaitUntil(at) => {
                let now = self.clock.now();
                let name = &self.target.name;
                (self.telling)("Waiting", format!("{name}: attempt {} failed, the next is at {at}", run.attempt()));
                run.take(Event::GaveUp(now));
                let pause = Duration::try_from(at.duration_since(now)).unwrap_or_default();
                tokio::time::sleep(pause).await;
            }
            Action::Restart => {
                run.take(Event::Restarted);
                self.attempt = run.attempt();
            }
            Action::End(ending) => return Ok(Some(ending)),
        }
        Ok(None)
    }

    /// What a sync would do, where it is only tried.
    async fn only_tried(&mut self) -> Result<Ending, Refused> {
        for (identity, drift) in &self.standing.drifts {
            let what = match drift {
                prograde_resource::Drift::Missing => What::Created,
                prograde_resource::Drift::Changed { .. } => What::Changed,
                prograde_resource::Drift::Extra => continue,
            };
            self.note(identity, what, None, "");
        }
        self.prune().await?;
        Ok(Ending::Done)
    }

    /// Applies what is given, one rank of kinds after the other. What could not be sent stays to be done.
    async fn apply_all(&self, tasks: Vec<Task>, run: &mut Run) {
        let mut ranks: BTreeMap<usize, Vec<Task>> = BTreeMap::new();
        for task in tasks {
            ranks.entry(task.rank).or_default().push(task);
        }
        for tasks in ranks.into_values() {
            let asked = tasks.into_iter().map(|task| async move {
                let came = if task.hook { self.apply_hook(&task).await } else { self.apply(&task.identity).await };
                (task, came)
            });
            let came: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
            let mut passing = None;
            for (task, came) in came {
                let outcome = match came {
                    Ok(health) => Outcome::Applied(health),
                    Err(refused) if refused.is_passing() && !run.is_late(self.clock.now()) => {
                        passing = Some(refused);
                        continue;
                    }
                    Err(refused) => self.failed(&task.identity, &refused),
                };
                run.take(Event::Came(task.identity, task.phase, outcome));
            }
            // What comes after it may need it.
            if let Some(refused) = passing {
                return self.pause(&refused).await;
            }
        }
    }

    fn failed(&self, identity: &Identity, refused: &Refused) -> Outcome {
        (self.telling)("Failed", format!("{}: {identity}: {refused}", self.target.name));
        self.note(identity, What::Failed, None, &refused.to_string());
        Outcome::Failed(refused.to_string())
    }

    /// Asks how well objects are. Who does not answer is asked again.
    async fn look_at(&self, on: Vec<(Identity, prograde_resource::Phase)>, run: &mut Run) {
        let asked = on.into_iter().map(|(identity, phase)| async move {
            let seen = self.get(&identity).await;
            (identity, phase, seen)
        });
        let seen: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        for (identity, phase, seen) in seen {
            let status = match seen {
                Ok(Some(object)) => self.healthy(&identity, &object),
                Ok(None) => Status::Missing,
                Err(refused) if refused.is_passing() => continue,
                Err(refused) => {
                    let outcome = self.failed(&identity, &refused);
                    run.take(Event::Came(identity, phase, outcome));
                    continue;
                }
            };
            run.take(Event::Came(identity, phase, Outcome::Applied(status)));
        }
    }

    /// How well an object is; kept for the report.
    fn healthy(&self, identity: &Identity, object: &Value) -> Status {
        let health = assess(object, &self.rules, self.clock.now());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(identity) {
            line.health = Some(health.status);
            line.message = health.message;
        }
        health.status
    }

    fn note(&self, identity: &Identity, what: What, health: Option<Status>, message: &str) {
        let line = Line { object: identity.clone(), what, health, message: message.to_owned() };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // What was changed stays so, even if it is as it should be when it is looked at again.
        let before = lines.get(identity).map(|line| line.what);
        let what = match (before, what) {
            (Some(before @ (What::Created | What::Changed)), What::Unchanged | What::Changed) => before,
            (_, what) => what,
        };
        lines.insert(identity.clone(), Line { what, ..line });
    }

    /// The kind of an object. One that came with this sync takes a while until it is known.
    async fn resource(&self, object: &Object) -> Result<Resource, Refused> {
        let (version, kind) = (object.api_version(), object.identity.kind.as_str());
        let find = |kinds: Arc<Kinds>| kinds.find(version, kind).cloned();
        if let Some(found) = find(self.cluster.kinds(false).await?) {
            return Ok(found);
        }
        let comes = self.settled.made.contains(&(object.identity.group.clone(), kind.to_owned()));
        for _ in 0..if comes { 20 } else { 1 } {
            if let Some(found) = find(self.cluster.kinds(true).await?) {
                return Ok(found);
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Refused::UnknownKind(format!("{kind} of {version}")))
    }

    async fn get(&self, identity: &Identity) -> Result<Option<Value>, Refused> {
        let Some(object) = self.settled.find(identity) else { return Ok(None) };
        let resource = self.resource(object).await?;
        self.cluster.get(place(&resource, identity)).await
    }
}

/// Where an object is.
fn place<'a>(resource: &'a Resource, identity: &'a Identity) -> Place<'a> {
    Place { resource, namespace: &identity.namespace, name: &identity.name }
}
