//! What a cluster has of each application: all objects that say whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{self, Arc, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use prograde_resource::{Identity, Object};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::cluster::{Cluster, Listed};
use crate::kinds::Resource;
use crate::refused::Refused;
use crate::tracking::owner;

/// How many kinds are listed at once.
const AT_ONCE: usize = 8;

/// The objects of applications; of each its metadata.
#[derive(Debug, Default)]
pub struct Inventory {
    owned: BTreeMap<String, BTreeMap<Identity, Object>>,
    /// The kinds that could not be looked through, and why. Nothing of them is deleted.
    pub blind: Vec<(String, String)>,
    /// Whether something was looked for in some namespaces only.
    narrow: bool,
}

/// How long what was seen says that nothing is left over.
const RECENT: Duration = Duration::from_mins(1);

/// Looks for many at once: whoever asks while it is being looked waits for the next look, together with all others who do.
/// So nobody is given what was seen before they asked.
#[derive(Debug, Default)]
pub struct Stock {
    last: Mutex<Option<Held>>,
    /// When applications had applied all that they wanted.
    applied: sync::Mutex<BTreeMap<String, Instant>>,
}

#[derive(Debug)]
struct Held {
    began: Instant,
    namespaces: BTreeSet<String>,
    found: Arc<Inventory>,
}

impl Stock {
    /// What there is now. Who may not look everywhere looks in these namespaces.
    pub async fn inventory(
        &self,
        cluster: &dyn Cluster,
        namespaces: &BTreeSet<String>,
    ) -> Result<Arc<Inventory>, Refused> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(held) = last.as_ref().filter(|held| held.began >= asked && held.covers(namespaces)) {
            return Ok(Arc::clone(&held.found));
        }
        let began = Instant::now();
        let found = Arc::new(inventory(cluster, namespaces).await?);
        *last = Some(Held { began, namespaces: namespaces.clone(), found: Arc::clone(&found) });
        Ok(found)
    }

    /// What was seen lately, for an application that has just applied all that it wants. It knows what the application applied
    /// before that; what others make may be missing. So it may tell that nothing is left over, and nothing else.
    pub async fn recent(&self, name: &str, namespaces: &BTreeSet<String>) -> Option<Arc<Inventory>> {
        let now = Instant::now();
        let before = {
            let mut applied = self.applied.lock().unwrap_or_else(PoisonError::into_inner);
            applied.retain(|_, at| now.duration_since(*at) < RECENT);
            applied.insert(name.to_owned(), now)
        };
        let last = self.last.lock().await;
        let is_recent = |held: &&Held| {
            let is_after = before.is_none_or(|before| held.began >= before);
            is_after && now.saturating_duration_since(held.began) < RECENT && held.covers(namespaces)
        };
        last.as_ref().filter(is_recent).map(|held| Arc::clone(&held.found))
    }
}

impl Held {
    fn covers(&self, namespaces: &BTreeSet<String>) -> bool {
        !self.found.narrow || self.namespaces.is_superset(namespaces)
    }
}

impl Inventory {
    /// The objects that say that they are an application's.
    pub fn of(&self, instance: &str) -> BTreeMap<Identity, Object> {
        self.owned.get(instance).cloned().unwrap_or_default()
    }

    fn add(&mut self, listed: Listed) {
        for mut value in listed.objects {
            // Most of what is listed, and nobody asks for it.
            if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.shift_remove("managedFields");
            }
            // What has no name in a list is no object.
            let Ok(object) = Object::new(value, "") else { continue };
            if let Some(owner) = owner(&object).map(str::to_owned) {
                self.owned.entry(owner).or_default().insert(object.identity.clone(), object);
            }
        }
    }
}

/// Looks through all kinds. Who may not look everywhere looks in these namespaces.
pub async fn inventory(cluster: &dyn Cluster, namespaces: &BTreeSet<String>) -> Result<Inventory, Refused> {
    let kinds = cluster.kinds(false).await?;
    let mut found = Inventory::default();
    let asked = kinds.kept().cloned().map(|resource| async move {
        let listed = everywhere(cluster, &resource, namespaces).await;
        (resource, listed)
    });
    let answers: Vec<_> = stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
    for (resource, listed) in answers {
        match listed {
            Ok((lists, narrow)) => {
                found.narrow |= narrow;
                for listed in lists {
                    found.add(listed);
                }
            }
            // The kind has gone since it was asked for, or can't be listed after all.
            Err(refused) if refused.is(404) || refused.is(405) => {}
            Err(refused @ Refused::Answer { .. }) => {
                found.narrow = true;
                found.blind.push((resource.plural, refused.to_string()));
            }
            Err(refused) => return Err(refused),
        }
    }
    found.blind.sort();
    Ok(found)
}

async fn everywhere(
    cluster: &dyn Cluster,
    resource: &Resource,
    namespaces: &BTreeSet<String>,
) -> Result<(Vec<Listed>, bool), Refused> {
    match cluster.list(resource, None).await {
        Err(refused) if refused.is(403) && resource.namespaced && !namespaces.is_empty() => {
            let mut lists = Vec::new();
            for namespace in namespaces {
                lists.push(cluster.list(resource, Some(namespace)).await?);
            }
            Ok((lists, true))
        }
        outcome => Ok((vec![outcome?], false)),
    }
}
