//! Servers of others, each run by the test that asks it.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::wait::until;

/// A server that runs in a folder of its own and ends with this value.
pub(crate) struct Peer {
    child: Child,
    _dir: TempDir,
    pub(crate) url: String,
}

impl Peer {
    /// Starts it and waits until it says in its log where it listens. Its configuration is in `config.yml`. `None` where it is
    /// not installed, which is a failure in CI.
    pub(crate) fn start(program: &str, config: &str, arguments: &[&str]) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix(&format!("prograde-it-{program}-")).tempdir().unwrap();
        fs::write(dir.path().join("config.yml"), config).unwrap();
        let log = dir.path().join("log");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = match command.stderr(File::create(&log).unwrap()).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let ci = std::env::vars().any(|(name, value)| name == "CI" && value == "true");
                assert!(!ci, "{program} is missing: run scripts/test-peers.sh");
                left_out(program);
                return None;
            }
            Err(error) => panic!("{program} can't be started: {error}"),
        };
        let mut this = Self { child, _dir: dir, url: String::new() };
        this.url = until("the peer listens", || {
            let log = fs::read_to_string(&log).unwrap();
            let (_, place) = log.lines().find_map(|line| line.split_once("istening on"))?;
            let address = place.split("address=").nth(1).unwrap_or(place);
            let address = address.split(|c: char| c.is_whitespace() || c == '"').find(|word| !word.is_empty())?;
            Some(format!("http://{address}"))
        });
        Some(this)
    }

    /// Debian's registry, which keeps what it is given for as long as the test takes.
    pub(crate) fn registry(port: u16) -> Option<Self> {
        Self::start("docker-registry", &stored_at(port), &["serve", "config.yml"])
    }

    /// The same, which tells of pushes and shows a secret with that.
    pub(crate) fn registry_that_tells(port: u16, address: &str, secret: &str) -> Option<Self> {
        let endpoint = format!(
            "name: it, url: '{address}', headers: {{ Authorization: ['Bearer {secret}'] }}, timeout: 5s, threshold: 5, backoff: 1s"
        );
        let config = format!("{}notifications: {{ endpoints: [{{ {endpoint} }}] }}\n", stored_at(port));
        Self::start("docker-registry", &config, &["serve", "config.yml"])
    }

    /// Host and port.
    pub(crate) fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The alerts that an Alertmanager has.
    pub(crate) fn alerts(&self) -> Vec<serde_json::Value> {
        let mut answer = ureq::get(format!("{}/api/v2/alerts", self.url)).call().unwrap();
        answer.body_mut().read_json().unwrap()
    }

    /// An Alertmanager that tells nobody.
    pub(crate) fn alertmanager(port: u16) -> Option<Self> {
        let config = "route: { receiver: nobody }\nreceivers: [{ name: nobody }]\n";
        let listen = format!("--web.listen-address=127.0.0.1:{port}");
        let arguments = ["--config.file=config.yml", "--storage.path=data", "--cluster.listen-address=", &listen];
        Self::start("prometheus-alertmanager", config, &arguments)
    }
}

/// The settings of a registry that keeps what it has beside them.
fn stored_at(port: u16) -> String {
    format!(
        "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: data }} }}\nhttp: {{ addr: '127.0.0.1:{port}' }}\n"
    )
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests should know which they did not run")]
pub(crate) fn left_out(program: &str) {
    eprintln!("left out: {program} is not installed");
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
