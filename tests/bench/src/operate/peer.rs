//! Debian's Prometheus and Alertmanager, started for a measurement.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use super::api::Api;
use crate::harness::pause;

/// What Debian 12 has; another one is named as it names itself.
pub(super) const PROMETHEUS: &str = "prometheus";
/// The same of Alertmanager.
pub(super) const ALERTMANAGER: &str = "alertmanager";

/// A running program. Ended when dropped.
pub(super) struct Peer {
    child: Child,
    folder: tempfile::TempDir,
    pub(super) api: Api,
}

impl Peer {
    /// A Prometheus with a configuration, which takes what is written to it; files of rules lie beside it.
    pub(super) fn prometheus(config: &str, rules: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("rules.yml"), rules)?;
        fs::write(folder.path().join("prometheus.yml"), config)?;
        let mut command = Command::new("prometheus");
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=99y"]);
        command.args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"]);
        Self::start(command, folder)
    }

    /// An Alertmanager with a configuration.
    pub(super) fn alertmanager(config: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("alertmanager.yml"), config)?;
        let mut command = Command::new("prometheus-alertmanager");
        command.args(["--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address="]);
        Self::start(command, folder)
    }

    fn start(mut command: Command, folder: tempfile::TempDir) -> anyhow::Result<Self> {
        let log = folder.path().join("log");
        command.arg("--web.listen-address=127.0.0.1:0").current_dir(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => bail!("{command:?}: run scripts/test-peers.sh"),
            Err(error) => return Err(error).with_context(|| format!("starting {command:?}")),
        };
        let mut this = Self { child, folder, api: Api::new(String::new(), None) };
        for _ in 0..3000 {
            pause(Duration::from_millis(20));
            ensure!(this.child.try_wait()?.is_none(), "{command:?} ended:\n{}", fs::read_to_string(&log)?);
            let said = fs::read_to_string(&log)?;
            let line = said.lines().find(|line| line.contains("Listening on"));
            let address = line.and_then(|line| line.split("address=").nth(1)?.split_whitespace().next());
            let Some(address) = address else { continue };
            this.api = Api::new(format!("http://{address}"), None);
            if this.api.get("/-/ready").is_ok() {
                return Ok(this);
            }
        }
        bail!("{command:?} does not become ready:\n{}", fs::read_to_string(&log)?)
    }

    /// Where it keeps what it has.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
