//! The namespaces of resources, asked of the cluster and kept for a moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prograde_kubernetes::{Api, Cluster as _, Connection, NoWay, Place};
use serde_json::Value;
use tokio::time::Instant;

/// For how long one is not asked for again: so long a change of its labels may not count yet.
const KEPT_MAX: Duration = Duration::from_secs(5);
/// How many are kept.
const NAMESPACES_MAX: usize = 1_000;

/// Who knows them.
pub(super) struct Namespaces {
    api: Arc<Api>,
    known: Mutex<BTreeMap<String, (Instant, Arc<Value>)>>,
}

impl Namespaces {
    /// Of the cluster that a kubeconfig leads to.
    pub(super) async fn open(kubeconfig: &Path) -> Result<Self, NoWay> {
        let connection = Connection::open(Some(kubeconfig), None).await?;
        Ok(Self { api: connection.api, known: Mutex::default() })
    }

    /// One namespace.
    pub(super) async fn get(&self, name: &str) -> Result<Arc<Value>, String> {
        if let Some(known) = self.fresh(name) {
            return Ok(known);
        }
        let kinds = self.api.kinds(false).await.map_err(|refused| refused.to_string())?;
        let resource = kinds.find("v1", "Namespace").ok_or("the cluster knows no namespaces")?;
        let found = self.api.get(Place { resource, namespace: "", name }).await;
        let found = found.map_err(|refused| refused.to_string())?.ok_or("there is no such namespace")?;
        let found = Arc::new(found);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= NAMESPACES_MAX {
            known.clear();
        }
        known.insert(name.to_owned(), (Instant::now(), Arc::clone(&found)));
        Ok(found)
    }

    fn fresh(&self, name: &str) -> Option<Arc<Value>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, found) = known.get(name)?;
        (at.elapsed() < KEPT_MAX).then(|| Arc::clone(found))
    }
}
