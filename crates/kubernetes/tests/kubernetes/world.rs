//! What tests say and do: applications from text, other people's changes, and a cluster that counts and breaks off.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiff::SignedDuration;
use prograde_apps::{Objects, Rendered};
use prograde_control::SystemClock;
use prograde_kubernetes::{
    Cluster, Connection, Hearing, Inventory, Kinds, Listed, Orders, Place, Refused, Report, Resource, Standing, Stock,
    Target, Write, inventory, look, sync,
};
use prograde_model::Diagnostics;
use prograde_resource::options::Propagation;
use prograde_resource::sync::Ending;
use serde_json::{Value, json};

use crate::peer::Server;

/// A cluster that counts what is written, and can be made to break off.
pub(crate) struct Counted {
    pub(crate) inner: Connection,
    pub(crate) writes: AtomicUsize,
    /// What was written, in order.
    pub(crate) written: Mutex<Vec<String>>,
    /// After so many writes each answer is lost once.
    pub(crate) loses: Mutex<Option<usize>>,
    /// So often somebody else writes to a `ConfigMap` right after it was read.
    pub(crate) meddles: AtomicUsize,
    client: kube::Client,
}

#[async_trait]
impl Cluster for Counted {
    async fn kinds(&self, anew: bool) -> Result<Arc<Kinds>, Refused> {
        self.inner.api.kinds(anew).await
    }
    async fn get(&self, place: Place<'_>) -> Result<Option<Value>, Refused> {
        let found = self.inner.api.get(place).await;
        let left = self.meddles.load(Ordering::Relaxed);
        if left > 0 && place.resource.kind == "ConfigMap" {
            self.meddles.store(left - 1, Ordering::Relaxed);
            let uri = format!("/api/v1/namespaces/{}/configmaps/{}", place.namespace, place.name);
            let request = http::Request::patch(uri).header("content-type", "application/merge-patch+json");
            let change = json!({"data": {"meddled": left.to_string()}}).to_string().into_bytes();
            let _object: Value = self.client.request(request.body(change).unwrap()).await.unwrap();
        }
        found
    }
    async fn list(&self, resource: &Resource, namespace: Option<&str>) -> Result<Listed, Refused> {
        self.inner.api.list(resource, namespace).await
    }
    async fn write(&self, place: Place<'_>, write: Write<'_>) -> Result<Value, Refused> {
        let answer = self.inner.api.write(place, write).await;
        if write.dry {
            return answer;
        }
        self.written.lock().unwrap().push(place.name.to_owned());
        let number = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let lost = self.loses.lock().unwrap().take_if(|at| *at == number);
        if lost.is_some() { Err(Refused::Unreachable("the answer was lost".into())) } else { answer }
    }
    async fn delete(&self, place: Place<'_>, uid: &str, propagation: Propagation) -> Result<(), Refused> {
        self.written.lock().unwrap().push(format!("-{}", place.name));
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.api.delete(place, uid, propagation).await
    }
    async fn watch(
        &self,
        resource: &Resource,
        namespace: Option<&str>,
        version: &str,
        hearing: Hearing<'_>,
    ) -> Result<(), Refused> {
        self.inner.api.watch(resource, namespace, version, hearing).await
    }
}

/// A user beside a cluster.
pub(crate) struct World {
    pub(crate) cluster: Counted,
    pub(crate) client: kube::Client,
    pub(crate) told: Mutex<Vec<String>>,
}

impl World {
    pub(crate) async fn new(server: &Server) -> Self {
        Self::of(server, "admin").await
    }

    pub(crate) async fn of(server: &Server, user: &str) -> Self {
        let inner = Connection::open(Some(&server.kubeconfig(user)), None).await.unwrap();
        let client = server.client("admin").await.unwrap();
        let cluster = Counted {
            inner,
            writes: AtomicUsize::new(0),
            written: Mutex::default(),
            loses: Mutex::default(),
            meddles: AtomicUsize::new(0),
            client: client.clone(),
        };
        Self { cluster, client, told: Mutex::default() }
    }

    /// Synchronises, and says how it went.
    pub(crate) async fn sync(&self, target: &Target, orders: &Orders) -> Report {
        self.written();
        let telling = |verb: &'static str, text: String| self.told.lock().unwrap().push(format!("{verb} {text}"));
        sync((&self.cluster, &Stock::default()), target, orders, &SystemClock, &telling).await.unwrap()
    }

    /// Synchronises to a good end.
    pub(crate) async fn done(&self, target: &Target, orders: &Orders) -> Report {
        let report = self.sync(target, orders).await;
        assert_eq!(report.ending, Ending::Done, "{report:#?}");
        report
    }

    /// What was written since this was asked last.
    pub(crate) fn written(&self) -> Vec<String> {
        std::mem::take(&mut self.cluster.written.lock().unwrap())
    }

    /// How the application stands.
    pub(crate) async fn standing(&self, target: &Target) -> Standing {
        let kinds = self.cluster.kinds(true).await.unwrap();
        let settled = target.settle(&kinds, "x").unwrap();
        let found: Inventory = inventory(&self.cluster, &[target.namespace.clone()].into()).await.unwrap();
        let mut standing = look(&self.cluster, target, &settled).await.unwrap();
        standing.take(target, &settled, &found);
        standing
    }

    /// A request of somebody else.
    pub(crate) async fn ask(&self, method: &str, uri: &str, content: &str, body: &Value) -> Result<Value, kube::Error> {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(uri).header("content-type", content);
        self.client.request(request.body(bytes).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        self.ask("GET", path, "application/json", &Value::Null).await.ok()
    }

    pub(crate) async fn create(&self, path: &str, body: Value) -> Value {
        self.ask("POST", path, "application/json", &body).await.unwrap()
    }

    /// A change by `kubectl edit`.
    pub(crate) async fn edit(&self, path: &str, change: Value) -> Value {
        let path = format!("{path}?fieldManager=kubectl-edit");
        self.ask("PATCH", &path, "application/merge-patch+json", &change).await.unwrap()
    }

    /// A status, as a controller sets it.
    pub(crate) async fn status(&self, path: &str, status: Value) {
        let change = json!({"status": status});
        self.ask("PATCH", &format!("{path}/status"), "application/merge-patch+json", &change).await.unwrap();
    }

    pub(crate) async fn namespace(&self, name: &str) {
        self.create("/api/v1/namespaces", json!({"metadata": {"name": name}})).await;
    }
}

/// Waits until something is so.
pub(crate) async fn until<F: Future<Output = bool>>(mut is: impl FnMut() -> F) {
    for _ in 0..600 {
        if is().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it did not come about");
}

/// What is usually asked for.
pub(crate) fn orders() -> Orders {
    Orders { prune: true, confirmed: false, dry: false, hooks: true, timeout: SignedDuration::from_secs(60) }
}

/// An application with a sync policy and objects, in a namespace of its own name.
pub(crate) fn target(name: &str, policy: &str, objects: &str) -> Target {
    try_target(name, policy, objects).unwrap()
}

pub(crate) fn try_target(name: &str, policy: &str, objects: &str) -> Result<Target, Diagnostics> {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: {name}}}\nspec:\n  project: default\n  \
         source: {{repoURL: 'https://git.example/r', path: a}}\n  \
         destination: {{server: 'https://kubernetes.default.svc', namespace: {name}}}\n{policy}"
    );
    let mut read = Objects::default();
    prograde_apps::read("app.yaml", &text, &mut read);
    assert!(read.problems.is_empty(), "{:?}", read.problems);
    let rendered: Arc<[Rendered]> = prograde_kustomize::documents("objects.yaml", objects)
        .unwrap()
        .iter()
        .map(|node| Rendered { object: node.to_json().unwrap(), place: node.place.clone() })
        .collect();
    Target::of(&read.applications[0], &rendered)
}

/// A `ConfigMap`.
pub(crate) fn config(name: &str, value: &str) -> String {
    format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: '{value}'}}\n")
}
