//! A real API server with its store, on ports and in a folder of its own, ended with the last test that uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;

/// How long it may take to come up.
const READY_WAIT: Duration = Duration::from_mins(2);

/// The program, where `scripts/test-peers.sh` has built it; its absence is a failure in CI.
pub(crate) fn program() -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/apiserver/apiserver");
    if place.is_file() {
        return Some(place);
    }
    let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
    assert!(!ci, "apiserver is missing: run scripts/test-peers.sh apiserver");
    eprintln!("left out: apiserver is not built; scripts/test-peers.sh apiserver does it");
    None
}

/// A program that ends with it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

/// An API server.
pub(crate) struct Server {
    program: PathBuf,
    folder: TempDir,
    store: u16,
    port: u16,
    api: Mutex<Option<Process>>,
    _etcd: Process,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that tests share; each has namespaces and applications of its own.
pub(crate) async fn shared() -> Option<Arc<Server>> {
    let (server, new) = {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = shared.upgrade() {
            (there, false)
        } else {
            let made = Arc::new(Server::begin(program()?));
            *shared = Arc::downgrade(&made);
            (made, true)
        }
    };
    if new {
        server.start();
    }
    server.ready().await;
    Some(server)
}

/// A server that a test has for itself.
pub(crate) async fn own() -> Option<Server> {
    let server = Server::begin(program()?);
    server.start();
    server.ready().await;
    Some(server)
}

impl Server {
    fn begin(program: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, peers, port) = (prograde_ports::free(), prograde_ports::free(), prograde_ports::free());
        let (store_url, peers_url) = (format!("http://127.0.0.1:{store}"), format!("http://127.0.0.1:{peers}"));
        let log = fs::File::create(folder.path().join("etcd.log")).unwrap();
        let etcd = Command::new(&program)
            .arg("etcd")
            .args(["--data-dir", &folder.path().join("etcd").display().to_string()])
            .args(["--listen-client-urls", &store_url, "--advertise-client-urls", &store_url])
            .args(["--listen-peer-urls", &peers_url, "--initial-advertise-peer-urls", &peers_url])
            .args(["--initial-cluster", &format!("default={peers_url}"), "--unsafe-no-fsync"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let made = Command::new(&program).arg("key").arg(folder.path().join("sa.key")).status().unwrap();
        assert!(made.success());
        let tokens = "admin-token,admin,1,\"system:masters\"\nlimited-token,limited,2,\n";
        fs::write(folder.path().join("tokens.csv"), tokens).unwrap();
        Self { program, folder, store, port, api: Mutex::new(None), _etcd: Process(etcd) }
    }

    /// Starts the API server.
    pub(crate) fn start(&self) {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let log = fs::File::create(file("api.log")).unwrap();
        let api = Command::new(&self.program)
            .args(["--etcd-servers", &format!("http://127.0.0.1:{}", self.store)])
            .args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"])
            .args(["--secure-port", &self.port.to_string(), "--cert-dir", &file("certs")])
            .args([
                "--service-account-key-file",
                &file("sa.key"),
                "--service-account-signing-key-file",
                &file("sa.key"),
            ])
            .args(["--service-account-issuer", "https://kubernetes.default.svc"])
            .args(["--token-auth-file", &file("tokens.csv"), "--authorization-mode", "RBAC"])
            .args(["--service-cluster-ip-range", "10.0.0.0/24", "--disable-admission-plugins", "ServiceAccount"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.api.lock().unwrap() = Some(Process(api));
    }

    /// Ends the API server, as a crash would.
    pub(crate) fn stop(&self) {
        self.api.lock().unwrap().take();
    }

    /// Waits until it answers.
    pub(crate) async fn ready(&self) {
        let asked = async {
            loop {
                let certificate = self.folder.path().join("certs/apiserver.crt");
                if certificate.is_file()
                    && let Ok(client) = self.client("admin").await
                    && let Ok(text) = client.request_text(http::Request::get("/readyz").body(Vec::new()).unwrap()).await
                    && text == "ok"
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let log = |name: &str| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let is_ready = tokio::time::timeout(READY_WAIT, asked).await.is_ok();
        assert!(is_ready, "{}\n{}", log("etcd.log"), log("api.log"));
    }

    fn config(&self, user: &str) -> String {
        let certificate = self.folder.path().join("certs/apiserver.crt");
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: here, cluster: {{server: 'https://127.0.0.1:{}', certificate-authority: '{}'}}}}]\n\
             users: [{{name: {user}, user: {{token: {user}-token}}}}]\n\
             contexts: [{{name: test, context: {{cluster: here, user: {user}}}}}]\n",
            self.port,
            certificate.display(),
        )
    }

    /// A kubeconfig of a user. Tests that run beside each other never see half of it.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{user}.yaml"));
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        fs::write(file.path(), self.config(user)).unwrap();
        file.persist(&path).unwrap();
        path
    }

    /// A client of a user, as other programs have one.
    pub(crate) async fn client(&self, user: &str) -> Result<kube::Client, kube::Error> {
        let read = kube::config::Kubeconfig::from_yaml(&self.config(user)).unwrap();
        let config = kube::Config::from_custom_kubeconfig(read, &kube::config::KubeConfigOptions::default()).await;
        kube::Client::try_from(config.unwrap())
    }
}
