//! Hears of changes to objects in a cluster, for as long as it is listened to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use prograde_resource::{Identity, Object};
use serde_json::{Value, json};

use crate::MANAGER;
use crate::cluster::Cluster;
use crate::kinds::Resource;
use crate::refused::Refused;

/// The most watches at once.
pub const WATCHES_MAX: usize = 1_000;
/// How long is waited after a watch that broke off; twice as long after each that follows.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where is listened: a kind by its `apiVersion` and name, and a namespace where it has them.
pub type Ears = BTreeSet<Ear>;
/// A kind by its `apiVersion` and name, and a namespace where it has them.
pub type Ear = (String, String, String);

/// Is told of an object, and whether it was there when listening began.
pub type Told<'a> = &'a (dyn Fn(&Identity, bool) + Send + Sync);

/// Tells of every object that is new, gone or other than before, and was not made so by us. Ends only by being dropped.
pub async fn changes(cluster: &dyn Cluster, ears: &Ears, told: Told<'_>) {
    let all = ears.iter().take(WATCHES_MAX).map(|(version, kind, namespace)| async move {
        let known = Known::default();
        let mut failures = 0_u32;
        loop {
            match once(cluster, (version, kind, namespace), &known, told).await {
                Ok(()) => failures = 0,
                Err(refused) => {
                    tracing::debug!(%refused, kind, namespace, "a watch broke off");
                    let pause = PAUSE.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(pause.mul_f64(crate::api::share())).await;
                }
            }
        }
    });
    join_all(all).await;
}

/// Lists, tells what has changed since, and watches until that ends.
async fn once(
    cluster: &dyn Cluster,
    (version, kind, namespace): (&str, &str, &str),
    known: &Known,
    told: Told<'_>,
) -> Result<(), Refused> {
    let unknown = || Refused::UnknownKind(format!("{kind} of {version}"));
    let found = cluster.kinds(false).await?.find(version, kind).cloned();
    let resource: Resource = match found {
        Some(resource) => resource,
        None => cluster.kinds(true).await?.find(version, kind).cloned().ok_or_else(unknown)?,
    };
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    let listed = cluster.list(&resource, namespace).await?;
    let first = !std::mem::replace(&mut *known.listed.lock().unwrap_or_else(PoisonError::into_inner), true);
    let mut gone = known.identities();
    for value in &listed.objects {
        if let Some(identity) = known.hear(value, false, first, told) {
            gone.remove(&identity);
        }
    }
    for identity in gone {
        known.forget(&identity);
        told(&identity, false);
    }
    let hearing = |value: &Value, gone: bool| {
        let _identity = known.hear(value, gone, false, told);
    };
    cluster.watch(&resource, namespace, &listed.version, &hearing).await
}

/// What is known of the objects of a kind.
#[derive(Debug, Default)]
struct Known {
    marks: Mutex<BTreeMap<Identity, Mark>>,
    listed: Mutex<bool>,
}

impl Known {
    fn identities(&self) -> BTreeSet<Identity> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn forget(&self, identity: &Identity) -> bool {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).remove(identity).is_some()
    }

    fn hear(&self, value: &Value, gone: bool, first: bool, told: Told<'_>) -> Option<Identity> {
        let identity = Object::new(value.clone(), "").ok()?.identity;
        let is_told = if gone {
            self.forget(&identity)
        } else {
            let mark = Mark::of(value);
            let before =
                self.marks.lock().unwrap_or_else(PoisonError::into_inner).insert(identity.clone(), mark.clone());
            before.is_none_or(|before| mark.is_others(&before))
        };
        if is_told {
            told(&identity, first);
        }
        Some(identity)
    }
}

/// What tells one state of an object from another. A status alone does not, where the object counts what is asked of it.
#[derive(Debug, Clone, PartialEq)]
struct Mark {
    state: Value,
    /// When we wrote it last.
    ours: String,
    /// When anybody did.
    newest: String,
    /// Whether nobody else wrote it at the same time.
    alone: bool,
}

impl Mark {
    fn of(value: &Value) -> Self {
        let part =
            |name: &str| value.get("metadata").and_then(|metadata| metadata.get(name)).cloned().unwrap_or_default();
        let generation = part("generation");
        // A definition serves its kind once its status says so.
        let serves = value.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition");
        let version = if generation.is_null() || serves { part("resourceVersion") } else { generation };
        let state = json!([part("uid"), version, part("labels"), part("annotations"), part("deletionTimestamp")]);
        let fields = part("managedFields");
        let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let entries: Vec<(String, String)> = fields
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| (text(entry, "time"), text(entry, "manager")))
            .collect();
        let newest = entries.iter().map(|(time, _)| time.clone()).max().unwrap_or_default();
        let ours = entries.iter().filter(|(_, manager)| manager == MANAGER).map(|(time, _)| time.clone()).max();
        let alone = entries.iter().all(|(time, manager)| *time != newest || manager == MANAGER);
        Self { state, ours: ours.unwrap_or_default(), newest, alone }
    }

    /// Whether somebody else made it so.
    fn is_others(&self, before: &Self) -> bool {
        let is_ours = self.alone && self.ours == self.newest && self.ours != before.ours;
        self.state != before.state && !is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(steps: &[(Value, bool, usize)]) {
        let known = Known::default();
        let count = Mutex::new(0);
        let told = |_: &Identity, _: bool| *count.lock().unwrap() += 1;
        for (metadata, gone, after) in steps {
            let mut value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata});
            value["metadata"]["name"] = json!("a");
            known.hear(&value, *gone, false, &told);
            assert_eq!(*count.lock().unwrap(), *after, "{metadata}");
        }
    }

    #[test]
    fn a_status_alone_is_no_change() {
        heard(&[
            (json!({"generation": 1, "resourceVersion": "1"}), false, 1),
            (json!({"generation": 1, "resourceVersion": "2"}), false, 1),
            (json!({"generation": 2, "resourceVersion": "3"}), false, 2),
            (json!({"generation": 2, "resourceVersion": "4", "labels": {"a": "b"}}), false, 3),
            (json!({"generation": 2, "resourceVersion": "4"}), true, 4),
            (json!({"generation": 2, "resourceVersion": "4"}), true, 4),
        ]);
    }

    #[test]
    fn what_we_write_ourselves_is_no_change() {
        let by = |all: &[(&str, &str)]| -> Value {
            all.iter().map(|(manager, time)| json!({"manager": manager, "time": time})).collect()
        };
        heard(&[
            (json!({"resourceVersion": "1", "managedFields": by(&[("prograde", "1")])}), false, 1),
            (json!({"resourceVersion": "2", "managedFields": by(&[("prograde", "2")])}), false, 1),
            (json!({"resourceVersion": "3", "managedFields": by(&[("prograde", "2"), ("kubectl", "3")])}), false, 2),
            (json!({"resourceVersion": "4", "managedFields": by(&[("prograde", "3"), ("kubectl", "3")])}), false, 3),
            // Somebody took a field away, and owns none.
            (json!({"resourceVersion": "5", "managedFields": by(&[("prograde", "3")])}), false, 4),
        ]);
    }
}
