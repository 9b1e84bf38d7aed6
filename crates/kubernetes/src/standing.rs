//! How an application stands in a cluster: what is there of what it wants, and how that differs.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use prograde_resource::{Drift, Identity, Object, Options, Sync, drift};

use crate::cluster::{Cluster, Place};
use crate::inventory::Inventory;
use crate::refused::Refused;
use crate::target::{Settled, Target};
use crate::tracking::owner;

/// How many objects of an application, or applications, are asked for at once.
const AT_ONCE: usize = 8;

/// How an application stands.
#[derive(Debug, Default)]
pub struct Standing {
    /// What is there of what is wanted.
    pub live: BTreeMap<Identity, Object>,
    /// How it differs, and what should be there no longer.
    pub drifts: Vec<(Identity, Drift)>,
    /// All objects that say that they are the application's, less those that were missing: known once they were looked for.
    pub owned: BTreeMap<Identity, Object>,
    /// What is wanted and says that it is another application's.
    pub shared: Vec<(Identity, String)>,
}

impl Standing {
    /// Whether an object is not as it should be.
    pub fn differs(&self, identity: &Identity) -> bool {
        self.drifts.iter().any(|(other, drift)| other == identity && *drift != Drift::Extra)
    }

    /// Takes over what there is of the application beyond what it wants.
    pub fn take(&mut self, target: &Target, settled: &Settled, inventory: &Inventory) {
        self.owned = inventory.of(&target.name);
        // What became the application's since it was looked at was not there to be lost.
        let was_own = |identity: &Identity| self.live.get(identity).and_then(owner) == Some(target.name.as_str());
        self.owned.retain(|identity, _| !settled.desired.contains_key(identity) || was_own(identity));
        self.drifts.retain(|(_, drift)| *drift != Drift::Extra);
        let extra = self.owned.iter().filter(|(identity, object)| settled.find(identity).is_none() && !is_hook(object));
        self.drifts.extend(extra.map(|(identity, _)| (identity.clone(), Drift::Extra)));
        self.drifts.sort_by(|(one, _), (other, _)| one.cmp(other));
    }
}

/// Looks at what is there of what is wanted. What is there beyond that is told by an inventory: [`Standing::take`].
pub async fn look(cluster: &dyn Cluster, target: &Target, settled: &Settled) -> Result<Standing, Refused> {
    let kinds = cluster.kinds(false).await?;
    // As a list: a stream of closures over what is borrowed could not be sent to another thread.
    let asked = settled.desired.values().filter_map(|object| {
        let resource = kinds.find(object.api_version(), &object.identity.kind)?.clone();
        Some(async move {
            let (namespace, name) = (object.identity.namespace.as_str(), object.identity.name.as_str());
            let found = cluster.get(Place { resource: &resource, namespace, name }).await?;
            Ok::<_, Refused>(found.map(|value| (object.identity.clone(), value)))
        })
    });
    let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await?;
    let mut live = BTreeMap::new();
    for (identity, value) in answers.into_iter().flatten() {
        let object = Object::new(value, "").map_err(|why| Refused::Strange(why.to_string()))?;
        live.insert(identity, object);
    }
    let mut drifts =
        drift(settled.desired.values(), &live, None, &Options::default(), &target.ignored, &target.namespace);
    drifts.sort_by(|(one, _), (other, _)| one.cmp(other));
    let others = live.iter().filter_map(|(identity, object)| Some((identity.clone(), owner(object)?.to_owned())));
    // The namespace that is made for an application is nobody's, and may be another's.
    let is_claimed = |identity: &Identity| settled.desired.get(identity).is_some_and(|object| owner(object).is_some());
    let shared = others.filter(|(identity, owner)| *owner != target.name && is_claimed(identity)).collect();
    Ok(Standing { live, drifts, owned: BTreeMap::new(), shared })
}

/// Looks at all that there is of many applications, in their order.
pub async fn look_all(
    cluster: &dyn Cluster,
    all: &[(Arc<Target>, Settled)],
    inventory: &Inventory,
) -> Result<Vec<Standing>, Refused> {
    let asked = all.iter().map(|(target, settled)| async move {
        let mut standing = look(cluster, target, settled).await?;
        standing.take(target, settled, inventory);
        Ok(standing)
    });
    stream::iter(asked.collect::<Vec<_>>()).buffered(AT_ONCE).try_collect().await
}

fn is_hook(object: &Object) -> bool {
    Sync::of(&object.value).is_ok_and(|sync| sync.hook)
}
