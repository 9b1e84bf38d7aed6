//! The two registries as processes, each on an empty directory.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 400;

/// A registry that answers. Ended when dropped.
pub(crate) struct Registry {
    child: Child,
    pub(crate) url: String,
    pub(crate) token: String,
    folder: tempfile::TempDir,
}

impl Registry {
    /// Ours.
    pub(crate) fn ours(prograde: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(".")?;
        let port = prograde_ports::free();
        let mut command = Command::new(fs::canonicalize(prograde)?);
        command.args(["registry", "serve", "--quiet", "--dir", "store", "--listen"]).arg(format!("127.0.0.1:{port}"));
        let mut registry = Self::start(command, folder, port)?;
        let token = fs::read_to_string(registry.folder.path().join("store/token"))?;
        token.trim().clone_into(&mut registry.token);
        Ok(registry)
    }

    /// Debian's.
    pub(crate) fn debian() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(".")?;
        let port = prograde_ports::free();
        let config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\nstorage:\n  filesystem: {{ rootdirectory: store }}\n  \
             delete: {{ enabled: true }}\nhttp: {{ addr: '127.0.0.1:{port}' }}\n"
        );
        fs::write(folder.path().join("config.yml"), config)?;
        let mut command = Command::new("docker-registry");
        command.args(["serve", "config.yml"]);
        Self::start(command, folder, port).context("docker-registry: apt-get install docker-registry")
    }

    fn start(mut command: Command, folder: tempfile::TempDir, port: u16) -> anyhow::Result<Self> {
        let log = fs::File::create(folder.path().join("log"))?;
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut registry =
            Self { child: command.spawn()?, url: format!("http://127.0.0.1:{port}"), token: String::new(), folder };
        for _ in 0..LOOKS {
            let said = || fs::read_to_string(registry.folder.path().join("log")).unwrap_or_default();
            ensure!(registry.child.try_wait()?.is_none(), "it ended: {}", said());
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Ok(registry);
            }
            std::thread::park_timeout(LOOK);
        }
        bail!("it does not answer")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
