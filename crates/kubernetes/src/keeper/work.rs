//! What is done to one application: it is synchronised, or compared with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prograde_control::Clock;
use prograde_resource::health::{Rules, assess};
use prograde_resource::{Drift, Identity, Object, Status};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::scopes::Scope;
use super::{Begin, Came, Seen, Witness, is_done};
use crate::cluster::{Cluster, Place};
use crate::inventory::Stock;
use crate::kinds::Kinds;
use crate::refused::Refused;
use crate::standing::{Standing, look};
use crate::sync::{Orders, Report, Stopped, sync};
use crate::target::{Settled, Target};

/// How much of the hash of what an application depends on stands for it.
const MARK_CHARS: usize = 16;

/// What a look gave.
pub(super) struct Looked {
    pub(super) seen: Seen,
    pub(super) scope: Scope,
    pub(super) mark: String,
}

/// What is done to one application.
pub(super) struct Work {
    pub(super) cluster: Arc<dyn Cluster>,
    pub(super) stock: Arc<Stock>,
    pub(super) target: Arc<Target>,
    pub(super) witness: Arc<dyn Witness>,
}

impl Work {
    pub(super) async fn sync(&self, begin: Begin, orders: Orders, clock: &dyn Clock) -> Came {
        // Nothing is said to have begun while nobody answers.
        if let Err(refused) = self.answers().await
            && refused.is_passing()
        {
            self.witness.away(&refused);
            return Came::Away;
        }
        self.witness.begins(&begin).await;
        let telling = |verb: &'static str, text: String| self.witness.tells(verb, text);
        let outcome = sync((&*self.cluster, &self.stock), &self.target, &orders, clock, &telling).await;
        let (scope, mark) = self.left(&outcome).await.unwrap_or_default();
        self.witness.ended(&begin, &outcome, mark.as_deref()).await;
        Came::Synced(scope, mark, Box::new(outcome))
    }

    pub(super) async fn look(&self, origin: String, extra: bool, clock: &dyn Clock) -> Came {
        let looked = self.looked(extra, clock).await;
        match &looked {
            Err(refused) if refused.is_passing() => self.witness.away(refused),
            Ok(_) | Err(_) => {
                let seen = looked.as_ref().map(|looked| &looked.seen);
                self.witness.looked(&self.target, &origin, seen).await;
            }
        }
        Came::Looked(looked)
    }

    /// Whether the cluster answers at all.
    async fn answers(&self) -> Result<(), Refused> {
        let kinds = self.cluster.kinds(false).await?;
        let namespace = if self.target.namespace.is_empty() { "default" } else { self.target.namespace.as_str() };
        match kinds.find("v1", "Namespace") {
            Some(resource) => {
                self.cluster.get(Place { resource, namespace: "", name: namespace }).await.map(|_found| ())
            }
            None => Ok(()),
        }
    }

    /// What a sync leaves to listen to, and what it depended on where it failed.
    async fn left(&self, outcome: &Result<Report, Stopped>) -> Option<(Scope, Option<String>)> {
        let kinds = self.cluster.kinds(false).await.ok()?;
        let settled = self.target.settle(&kinds, "").ok()?;
        let scope = Scope::of(&settled);
        if is_done(&self.target, outcome) {
            return Some((scope, None));
        }
        let mark = match self.standing(&settled, self.target.leaves).await {
            Ok(standing) => self.mark(&kinds, &settled, &standing).await.ok(),
            Err(_) => None,
        };
        Some((scope, mark))
    }

    /// How it stands, and whatever is there beyond what Git names, which does not come by itself.
    async fn standing(&self, settled: &Settled, extra: bool) -> Result<Standing, Refused> {
        let mut standing = look(&*self.cluster, &self.target, settled).await?;
        if extra {
            let inventory = self.stock.inventory(&*self.cluster, &self.target.spaces(settled)).await?;
            standing.take(&self.target, settled, &inventory);
        }
        Ok(standing)
    }

    async fn looked(&self, extra: bool, clock: &dyn Clock) -> Result<Looked, Refused> {
        let kinds = self.cluster.kinds(false).await?;
        let settled = self.target.settle(&kinds, "").map_err(|found| Refused::Unusable(found.to_string()))?;
        let standing = self.standing(&settled, extra).await?;
        let mark = self.mark(&kinds, &settled, &standing).await?;
        let rules = Rules::default();
        let now = clock.now();
        let is = |identity: &Identity| match standing.live.get(identity) {
            Some(object) => assess(&object.value, &rules, now).status,
            None => Status::Missing,
        };
        let health: BTreeMap<Identity, Status> =
            settled.desired.keys().map(|identity| (identity.clone(), is(identity))).collect();
        let drifts: Vec<(Identity, Drift)> = standing.drifts;
        Ok(Looked { seen: Seen { drifts, health }, scope: Scope::of(&settled), mark })
    }

    /// What the application depends on, in short: other once any of it was changed, save for a status alone.
    async fn mark(&self, kinds: &Kinds, settled: &Settled, standing: &Standing) -> Result<String, Refused> {
        let mut hash = Sha256::new();
        let mut spaces = BTreeSet::new();
        for (identity, object) in standing.owned.iter().filter(|_| self.target.leaves) {
            hash.update(format!("{identity} {}\n", state_of(object)));
        }
        for (identity, object) in &settled.desired {
            let is_known = kinds.find(object.api_version(), &identity.kind).is_some();
            let state = standing.live.get(identity).map(state_of);
            hash.update(format!("{identity} {is_known} {}\n", state.unwrap_or_default()));
            spaces.insert(identity.namespace.as_str());
        }
        if let Some(resource) = kinds.find("v1", "Namespace") {
            for name in spaces.into_iter().filter(|name| !name.is_empty()) {
                let found = self.cluster.get(Place { resource, namespace: "", name }).await;
                let state = match found {
                    Ok(found) => found.map(|value| text(&value, "uid")).unwrap_or_default(),
                    Err(refused) if refused.is_passing() => return Err(refused),
                    Err(_) => "unknown".to_owned(),
                };
                hash.update(format!("{name} {state}\n"));
            }
        }
        Ok(hex::encode(hash.finalize()).chars().take(MARK_CHARS).collect())
    }
}

/// What tells one state of an object from another.
fn state_of(object: &Object) -> String {
    let metadata = object.value.get("metadata");
    let version = match metadata.and_then(|metadata| metadata.get("generation")) {
        Some(generation) => generation.to_string(),
        None => text(&object.value, "resourceVersion"),
    };
    [text(&object.value, "uid"), version].join("/")
}

fn text(object: &Value, field: &str) -> String {
    let found = object.get("metadata").and_then(|metadata| metadata.get(field)).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}
