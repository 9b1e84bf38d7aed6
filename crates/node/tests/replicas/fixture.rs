//! What the tests share: an image made of this binary, a node in a temporary directory, requests, and waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use prograde_model::runtime::{Desired, DesiredVersion, Routing, VersionSeen};
use prograde_model::workload::{
    Container, ContainerPort, EnvValue, IntOrPercent, PortRef, Probe, ProbeAction, RollingUpdate, ServicePort, Workload,
};
use prograde_model::{Digest, FlightId, Target, Weight};
use prograde_node::{ImageRoot, Node, NodeError, NodeOptions};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::app;

/// Longer than anything here takes, on any machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn revision(digit: char) -> FlightId {
    digit.to_string().repeat(32).parse().unwrap()
}

pub(crate) fn digest() -> Digest {
    format!("sha256:{}", "a".repeat(64)).parse().unwrap()
}

pub(crate) fn target(service: &str) -> Target {
    Target { environment: "staging".parse().unwrap(), service: service.parse().unwrap() }
}

/// An image whose `/bin/app` is this binary, running `app::serve`.
pub(crate) fn image(dir: &Path) -> BTreeMap<Digest, ImageRoot> {
    let root = dir.join("root");
    let program = root.join("bin/app");
    if !program.exists() {
        fs::create_dir_all(root.join("bin")).unwrap();
        let this = std::env::current_exe().unwrap();
        fs::hard_link(&this, &program).or_else(|_| fs::copy(&this, &program).map(drop)).unwrap();
    }
    let entrypoint = std::iter::once("/bin/app").chain(app::ARGUMENTS).map(str::to_owned).collect();
    let env = vec!["APP=1".to_owned(), "FROM_IMAGE=yes".to_owned()];
    BTreeMap::from([(digest(), ImageRoot { path: root, entrypoint, cmd: vec![], env, working_dir: None, user: None })])
}

pub(crate) fn probe(path: &str) -> Probe {
    let action = ProbeAction::Http { path: path.into(), port: PortRef::Name("http".into()), headers: vec![] };
    Probe { action, initial_delay_s: 0, period_s: 1, timeout_s: 5, success_threshold: 1, failure_threshold: 1 }
}

/// One port, a readiness probe, a short grace.
pub(crate) fn workload() -> Workload {
    Workload {
        name: "pad".into(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        replicas: 1,
        rolling: RollingUpdate { max_surge: IntOrPercent::Int(1), max_unavailable: IntOrPercent::Int(0) },
        min_ready_s: 0,
        progress_deadline_s: 600,
        termination_grace_s: 20,
        container: Container {
            name: "pad".into(),
            image: "registry/pad".into(),
            command: None,
            args: None,
            working_dir: None,
            env: Vec::new(),
            ports: vec![ContainerPort { name: Some("http".into()), port: 8080 }],
            startup: None,
            liveness: None,
            readiness: Some(probe("/ready")),
        },
        autoscaling: None,
        confinement: None,
        unconfined: Vec::new(),
        service_ports: vec![ServicePort {
            name: Some("http".into()),
            port: 80,
            target: PortRef::Name("http".into()),
            node_port: None,
        }],
    }
}

pub(crate) fn with_env(mut workload: Workload, name: &str, value: &str) -> Workload {
    workload.container.env.push((name.into(), EnvValue::Plain(value.into())));
    workload
}

pub(crate) fn version(digit: char, workload: &Workload, replicas: u32, weight: u8) -> DesiredVersion {
    let weight = Weight::new(weight).unwrap();
    DesiredVersion { revision: revision(digit), digest: digest(), workload: workload.clone(), replicas, weight }
}

/// Each directory has ports of its own, so that tests beside each other, and nodes one after the other, don't meet.
pub(crate) fn options(dir: &Path) -> NodeOptions {
    let mut options = NodeOptions::new(dir.join("data"));
    let mut hasher = DefaultHasher::new();
    dir.hash(&mut hasher);
    options.node_ports = 30000 + u16::try_from(hasher.finish() % 2000).unwrap()..=32767;
    options.restart_backoff = Duration::from_millis(20);
    options.restart_backoff_max = Duration::from_millis(100);
    options
}

/// A directory that leaves no replica behind when its test fails.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Ok(records) = fs::read_dir(self.path().join("data/replicas")) else { return };
        for record in records.flatten().flat_map(|entry| fs::read_to_string(entry.path().join("state.json"))) {
            let record: serde_json::Value = serde_json::from_str(&record).unwrap_or_default();
            let pid = record["running"]["process"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
            if let Some(group) = pid.filter(|pid| *pid > 1).and_then(rustix::process::Pid::from_raw) {
                rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
            }
        }
    }
}

/// A node, an image, and one target.
pub(crate) struct Fixture {
    pub(crate) dir: Scratch,
    pub(crate) node: Node,
    pub(crate) target: Target,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let dir = Scratch::new();
        let node = Node::start(options(dir.path())).await.unwrap();
        Self { dir, node, target: target("pad") }
    }

    pub(crate) async fn try_apply(&self, target: &Target, versions: Vec<DesiredVersion>) -> Result<(), NodeError> {
        let desired = Desired { target: target.clone(), versions, routing: Routing::default() };
        self.node.apply(desired, image(self.dir.path())).await
    }

    pub(crate) async fn route(&self, versions: Vec<DesiredVersion>, routing: &Routing) {
        let desired = Desired { target: self.target.clone(), versions, routing: routing.clone() };
        self.node.apply(desired, image(self.dir.path())).await.unwrap();
    }

    pub(crate) async fn apply(&self, versions: Vec<DesiredVersion>) {
        self.try_apply(&self.target, versions).await.unwrap();
    }

    /// What is seen of a version; nothing of one that is not there.
    pub(crate) fn seen(&self, digit: char) -> VersionSeen {
        let observation = self.node.observe(&self.target);
        observation.version(&revision(digit)).cloned().unwrap_or_else(|| VersionSeen::none(revision(digit)))
    }

    /// Waits until what is seen of a version is as it should be; woken by the node itself, as its users are.
    pub(crate) async fn until(&self, digit: char, is_as_wanted: impl Fn(&VersionSeen) -> bool) -> VersionSeen {
        let mut changed = self.node.changed();
        let wait = async {
            loop {
                let seen = self.seen(digit);
                if is_as_wanted(&seen) {
                    return seen;
                }
                changed.changed().await.unwrap();
            }
        };
        let waited = timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("waited in vain, last seen: {:?}", self.node.observe(&self.target)))
    }

    pub(crate) async fn until_ready(&self, digit: char, count: u32) {
        self.until(digit, |seen| seen.ready == count && seen.replicas == count).await;
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.node.addresses(&self.target)[0].1
    }

    /// The answer's body from the replica that the proxy chose.
    pub(crate) async fn get(&self, path: &str) -> String {
        let (status, body) = get(self.address(), path).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The process that answered.
    pub(crate) async fn pid(&self) -> i32 {
        pid(&self.get("/").await)
    }

    /// The processes that answer `count` requests.
    pub(crate) async fn pids(&self, count: usize) -> BTreeSet<i32> {
        let mut pids = BTreeSet::new();
        for _ in 0..count {
            pids.insert(self.pid().await);
        }
        pids
    }

    pub(crate) fn replicas_dir(&self) -> PathBuf {
        self.dir.path().join("data/replicas")
    }

    /// Stops the node; nothing may be left of its replicas.
    pub(crate) async fn end(self) {
        let replicas = self.replicas_dir();
        timeout(PATIENCE, self.node.shutdown(Duration::from_secs(20))).await.unwrap();
        assert_eq!(fs::read_dir(replicas).unwrap().count(), 0, "no replica's record is left");
    }
}

/// The process number in an answer of the app.
pub(crate) fn pid(body: &str) -> i32 {
    body.split(' ').next().unwrap().parse().unwrap()
}

/// The machine's port of the replica that answered.
pub(crate) fn replica_address(body: &str) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], body.split(' ').nth(1).unwrap().parse().unwrap()))
}

/// One request on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    get_with(address, path, ("accept", "*/*")).await
}

/// One request with this header.
pub(crate) async fn get_with(address: SocketAddr, path: &str, header: (&str, &str)) -> anyhow::Result<(u16, String)> {
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { connection.await.ok() });
        let request = Request::get(path).header("host", "pad").header(header.0, header.1).body(Empty::<Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    timeout(PATIENCE, exchange).await?
}

/// Waits for a condition that nobody announces.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

/// Whether a process exists and is no zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Clients that ask without pause until they are stopped.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failed: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, path: &'static str) -> Self {
        let mut load =
            Self { tasks: JoinSet::new(), stop: Arc::default(), answered: Arc::default(), failed: Arc::default() };
        for _ in 0..4 {
            let (stop, answered, failed) = (load.stop.clone(), load.answered.clone(), load.failed.clone());
            load.tasks.spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    match get(address, path).await {
                        Ok((200, _)) => {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        other => failed.lock().unwrap().push(format!("{other:?}")),
                    }
                }
            });
        }
        load
    }

    /// Waits for so many more answers.
    pub(crate) async fn run(&self, more: usize) {
        let goal = self.answered.load(Ordering::SeqCst) + more;
        until("answers", || self.answered.load(Ordering::SeqCst) >= goal).await;
    }

    /// No request may have failed.
    pub(crate) async fn end(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        while self.tasks.join_next().await.is_some() {}
        let failed = self.failed.lock().unwrap();
        assert!(failed.is_empty(), "{} failed of {:?}: {:?}", failed.len(), self.answered, failed.first());
    }
}
