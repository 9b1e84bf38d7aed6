//! Applications that the server keeps in a real cluster: how soon a push is applied, and what ten thousand that are as Git says cost.

#[path = "../../../../crates/kubernetes/tests/kubernetes/peer.rs"]
#[expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test's helper, which fails by panicking")]
#[allow(dead_code, reason = "not all of it is needed here")]
mod peer;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::harness::{Repository, Server, pause};
use crate::table::{Row, median};

/// How many there are where it is measured how soon a push is applied.
const FEW: usize = 10;
const PUSHES: usize = 9;
/// How many applications stand in one file.
const OF_FILE: usize = 100;
const LOOK: Duration = Duration::from_millis(2);
const FIRST_WAIT: Duration = Duration::from_mins(30);
const CHANGE_WAIT: Duration = Duration::from_mins(2);
/// Over which span it is looked how busy the server is.
const IDLE: Duration = Duration::from_secs(30);

/// With so many applications; nothing where the API server was not built.
pub(super) fn measure(prograde: &Path, many: usize) -> anyhow::Result<Vec<Row>> {
    if peer::program().is_none() {
        return Ok(Vec::new());
    }
    let mut rows = vec![World::start(prograde, FEW)?.pushes(&format!("push to applied, {FEW} applications"))?];
    let world = World::start(prograde, many)?;
    let name = |what: &str| format!("{what}, {many} applications");
    rows.push(Row::plain(&name("first sync"), world.first, "s"));
    let status = fs::read_to_string(format!("/proc/{}/status", world.server.pid()))?;
    rows.push(Row::below(&name("resident memory"), resident(&status)?, "MB", 500.0, "< 500 MB"));
    rows.push(Row::below(&name("idle CPU"), world.idle()?, "% of a core", 2.0, "< 2%"));
    rows.push(Row::below(&name("full drift pass (`app diff`)"), world.pass(prograde)?, "s", 30.0, "< 30 s"));
    rows.push(Row::plain(&name("change in the cluster to undone"), world.drift()?, "ms"));
    rows.push(world.pushes(&name("push to applied"))?);
    Ok(rows)
}

/// A cluster, a server that keeps applications in it, and the repository that says which.
struct World {
    runtime: Runtime,
    cluster: peer::Server,
    server: Server,
    repository: Repository,
    /// Seconds from the first push to all being synchronised.
    first: f64,
}

impl World {
    fn start(prograde: &Path, count: usize) -> anyhow::Result<Self> {
        let runtime = Runtime::new()?;
        let cluster = runtime.block_on(peer::own()).context("scripts/test-peers.sh apiserver")?;
        let folder = tempfile::tempdir()?;
        let sets = format!(
            "version: 1\napplications:\n- {{ name: bench, repository: apps, path: argocd, kubeconfig: '{}' }}\n",
            cluster.kubeconfig("admin").display()
        );
        fs::write(folder.path().join("applications.yaml"), sets)?;
        let mut command = Command::new(prograde);
        command.args(["serve", "--applications", "applications.yaml"]);
        let server = Server::start_in(folder, command)?;
        let repository = Repository::empty(&server, "apps")?;
        let mut world = Self { runtime, cluster, server, repository, first: 0.0 };
        world.write(count)?;
        let began = Instant::now();
        world.repository.push("first")?;
        while world.synced()? < count {
            ensure!(began.elapsed() < FIRST_WAIT, "they are not synchronised after {} s", FIRST_WAIT.as_secs());
            pause(Duration::from_secs(1));
        }
        world.first = began.elapsed().as_secs_f64();
        Ok(world)
    }

    fn write(&self, count: usize) -> anyhow::Result<()> {
        let argocd = self.repository.folder().join("argocd");
        fs::create_dir_all(&argocd)?;
        for file in 0..count.div_ceil(OF_FILE) {
            let all = (file * OF_FILE..count.min((file + 1) * OF_FILE)).map(|at| self.application(at));
            fs::write(argocd.join(format!("{file}.yaml")), all.collect::<Vec<_>>().join("---\n"))?;
        }
        (0..count).try_for_each(|at| self.say(at, "0"))
    }

    fn application(&self, at: usize) -> String {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: app-{at}, namespace: argocd}}\nspec:\n  project: default\n  \
             source: {{repoURL: '{}/git/apps.git', path: apps/{at}}}\n  destination: {{server: 'https://kubernetes.default.svc', namespace: default}}\n  \
             syncPolicy: {{automated: {{selfHeal: true, prune: true}}}}\n",
            self.server.url()
        )
    }

    /// Says what an application's object holds.
    fn say(&self, at: usize, value: &str) -> anyhow::Result<()> {
        let folder = self.repository.folder().join(format!("apps/{at}"));
        fs::create_dir_all(&folder)?;
        let text =
            format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config-{at}}}\ndata: {{key: '{value}'}}\n");
        Ok(fs::write(folder.join("config.yaml"), text)?)
    }

    fn synced(&self) -> anyhow::Result<usize> {
        let all = self.server.get("/api/v1/applications")?;
        let all = all.get("applications").and_then(Value::as_array).context("applications")?;
        Ok(all.iter().filter(|one| one.get("sync").and_then(Value::as_str) == Some("synced")).count())
    }

    fn key(&self, client: &kube::Client, at: usize) -> anyhow::Result<String> {
        let path = format!("/api/v1/namespaces/default/configmaps/config-{at}");
        let object: Value = self.runtime.block_on(client.request(http::Request::get(path).body(Vec::new())?))?;
        Ok(object.pointer("/data/key").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Milliseconds until an object in the cluster has a value.
    fn until(&self, client: &kube::Client, at: usize, value: &str, began: Instant) -> anyhow::Result<f64> {
        while self.key(client, at)? != value {
            if began.elapsed() > CHANGE_WAIT {
                bail!("config-{at} is not {value} after {} s", CHANGE_WAIT.as_secs());
            }
            pause(LOOK);
        }
        Ok(began.elapsed().as_secs_f64() * 1000.0)
    }

    fn client(&self) -> anyhow::Result<kube::Client> {
        Ok(self.runtime.block_on(self.cluster.client("admin"))?)
    }

    /// How long it takes from when `git push` has returned until the cluster has what was pushed.
    fn pushes(&self, name: &str) -> anyhow::Result<Row> {
        let client = self.client()?;
        let mut took = Vec::new();
        for push in 1..=PUSHES {
            self.say(3, &push.to_string())?;
            self.repository.push("a change")?;
            took.push(self.until(&client, 3, &push.to_string(), Instant::now())?);
        }
        Ok(Row::below(name, median(took), "ms", 200.0, "< 200 ms"))
    }

    fn drift(&self) -> anyhow::Result<f64> {
        let client = self.client()?;
        let mut took = Vec::new();
        // Each of another application: one that is changed again and again is put right ever more slowly.
        for at in FEW..FEW + PUSHES {
            let path = format!("/api/v1/namespaces/default/configmaps/config-{at}?fieldManager=kubectl-edit");
            let request = http::Request::patch(path).header("content-type", "application/merge-patch+json");
            let request = request.body(b"{\"data\":{\"key\":\"changed\"}}".to_vec())?;
            let _: Value = self.runtime.block_on(client.request(request))?;
            took.push(self.until(&client, at, "0", Instant::now())?);
        }
        Ok(median(took))
    }

    /// How much of a core the server takes while nothing happens.
    fn idle(&self) -> anyhow::Result<f64> {
        let ticks = || -> anyhow::Result<f64> {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.server.pid()))?;
            // After the name in parentheses: the state is the first field, user and system time the 12th and 13th (proc_pid_stat(5)).
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let field = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).context("a time");
            Ok(field(11)? + field(12)?)
        };
        pause(Duration::from_secs(10));
        let before = ticks()?;
        pause(IDLE);
        // A hundred ticks are a second on Linux.
        Ok((ticks()? - before) / IDLE.as_secs_f64())
    }

    /// All of them rendered and compared with the cluster by a process that knows nothing yet.
    fn pass(&self, prograde: &Path) -> anyhow::Result<f64> {
        let mut command = Command::new(prograde);
        command.args(["app", "diff", "argocd", "--json", "--kubeconfig"]).arg(self.cluster.kubeconfig("admin"));
        let began = Instant::now();
        let out = command.current_dir(self.repository.folder()).output()?;
        let took = began.elapsed().as_secs_f64();
        ensure!(out.status.success(), "app diff: {}", String::from_utf8_lossy(&out.stderr));
        Ok(took)
    }
}

/// Resident memory in MB, of a process' status.
fn resident(status: &str) -> anyhow::Result<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}
