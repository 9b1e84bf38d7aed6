//! What a cluster has of each application: all objects that say whose they are.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, stream};
use prograde_resource::{Identity, Object};

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
}

impl Inventory {
    /// The objects that say that they are an application's.
    pub fn of(&self, instance: &str) -> BTreeMap<Identity, Object> {
        self.owned.get(instance).cloned().unwrap_or_default()
    }

    fn add(&mut self, listed: Listed) {
        for value in listed.objects {
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
            Ok(lists) => lists.into_iter().for_each(|listed| found.add(listed)),
            // The kind has gone since it was asked for, or can't be listed after all.
            Err(refused) if refused.is(404) || refused.is(405) => {}
            Err(refused @ Refused::Answer { .. }) => found.blind.push((resource.plural, refused.to_string())),
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
) -> Result<Vec<Listed>, Refused> {
    match cluster.list(resource, None).await {
        Err(refused) if refused.is(403) && resource.namespaced && !namespaces.is_empty() => {
            let mut lists = Vec::new();
            for namespace in namespaces {
                lists.push(cluster.list(resource, Some(namespace)).await?);
            }
            Ok(lists)
        }
        outcome => Ok(vec![outcome?]),
    }
}
