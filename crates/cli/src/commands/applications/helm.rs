//! Runs the installed Helm. Invariant: it sees the chart's files and no others, none of the user's settings or credentials, and
//! ends by its deadline.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prograde_apps::helm::{Chart, Charts, Template};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::runtime::Handle;

/// How long rendering one chart may take, with fetching it.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How much it may print.
const STDOUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const STDERR_BYTES_MAX: u64 = 16 * 1024;
/// What it is told of its surroundings: how it gets out, and whom it believes.
const SURROUNDINGS: [&str; 8] =
    ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

/// The program.
pub(super) struct Helm {
    program: PathBuf,
    runtime: Handle,
    is_offline: bool,
}

impl Helm {
    pub(super) fn new(program: PathBuf, runtime: Handle, is_offline: bool) -> Self {
        Self { program, runtime, is_offline }
    }

    async fn run(&self, asked: &Template, folder: &Path) -> Result<String, String> {
        let mut command =
            self.command(asked, folder).map_err(|error| format!("its files can't be written: {error}"))?;
        let started = command.spawn().map_err(|error| {
            let program = self.program.display();
            if error.kind() == io::ErrorKind::NotFound {
                format!("there is no program `{program}`: install Helm 3")
            } else {
                format!("`{program}` can't be run: {error}")
            }
        });
        let mut child = started?;
        let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) else {
            return Err("it has no output".to_owned());
        };
        let (mut said, mut complaint) = (Vec::new(), Vec::new());
        let read = async {
            let (mut out, mut err) = (out.take(STDOUT_BYTES_MAX + 1), err.take(STDERR_BYTES_MAX));
            tokio::try_join!(out.read_to_end(&mut said), err.read_to_end(&mut complaint))?;
            drop(out);
            child.wait().await
        };
        let status = tokio::time::timeout(TIMEOUT, read).await;
        let status = status.map_err(|_| format!("it did not end within {} s", TIMEOUT.as_secs()))?;
        let status = status.map_err(|error| error.to_string())?;
        if !status.success() {
            let text = String::from_utf8_lossy(&complaint).trim().trim_start_matches("Error: ").to_owned();
            return Err(text.replace(&folder.display().to_string(), ""));
        }
        if said.len() as u64 > STDOUT_BYTES_MAX {
            return Err(format!("it prints more than {STDOUT_BYTES_MAX} bytes"));
        }
        String::from_utf8(said).map_err(|_| "what it prints is no text".to_owned())
    }

    fn command(&self, asked: &Template, folder: &Path) -> io::Result<Command> {
        let mut command = Command::new(&self.program);
        command.arg("template").arg(&asked.release);
        match &asked.chart {
            Chart::Files(files) => {
                let chart = folder.join("chart");
                for (path, content) in files {
                    write(&chart.join(path), content)?;
                }
                command.arg(chart);
            }
            Chart::Remote { repository, name, version } => {
                if repository.starts_with("oci://") {
                    command.arg([repository.trim_end_matches('/'), "/", name].concat());
                } else {
                    command.arg(name).arg("--repo").arg(repository);
                }
                command.arg("--version").arg(version);
            }
        }
        if !asked.namespace.is_empty() {
            command.arg("--namespace").arg(&asked.namespace);
        }
        for (at, content) in asked.values.iter().enumerate() {
            let path = folder.join(format!("values-{at}.yaml"));
            write(&path, content)?;
            command.arg("--values").arg(path);
        }
        for (at, (name, content)) in asked.files.iter().enumerate() {
            let path = folder.join(format!("file-{at}"));
            write(&path, content)?;
            command.arg("--set-file").arg([name, "=", &path.display().to_string()].concat());
        }
        command.args(&asked.flags).current_dir(folder).env_clear().env("HOME", folder).kill_on_drop(true);
        command.envs(SURROUNDINGS.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command)
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

impl Charts for Helm {
    fn template(&self, asked: &Template) -> Result<String, String> {
        if self.is_offline && matches!(asked.chart, Chart::Remote { .. }) {
            return Err("the chart lies on another machine, and none is asked".to_owned());
        }
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        self.runtime.block_on(self.run(asked, folder.path()))
    }
}
