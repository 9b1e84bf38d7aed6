//! Runs the installed Helm. Invariant: it sees the chart's files and no others, none of the user's settings or credentials, and
//! ends by its deadline.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prograde_kustomize::helm::{BYTES_MAX, ChartFiles, Charts, FILES_MAX, RemoteChart, Template};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::runtime::Handle;

use crate::kept;

/// How long rendering or fetching one chart may take.
const TIMEOUT: Duration = Duration::from_mins(2);
/// How much it may print.
const STDOUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
const STDERR_BYTES_MAX: u64 = 16 * 1024;
/// How deep a chart's folders may be.
const DEPTH_MAX: usize = 32;
/// What it is told of its surroundings: how it gets out, and whom it believes.
const SURROUNDINGS: [&str; 8] =
    ["PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

/// The program, and where charts of other machines are kept.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    dir: PathBuf,
    runtime: Handle,
    is_offline: bool,
}

impl Helm {
    /// Runs `program`, and keeps charts of other machines below `dir`. Whoever asks must not be on one of the runtime's own
    /// threads, because answers are waited for.
    pub fn new(program: PathBuf, dir: PathBuf, runtime: Handle) -> Self {
        Self { program, dir, runtime, is_offline: false }
    }

    /// Takes charts of other machines only from where they are kept.
    #[must_use]
    pub fn offline(self, is_offline: bool) -> Self {
        Self { is_offline, ..self }
    }

    /// A command that sees `folder` and nothing of the user's.
    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(folder).env_clear().env("HOME", folder).kill_on_drop(true);
        command.envs(SURROUNDINGS.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn run(&self, mut command: Command, folder: &Path) -> Result<String, String> {
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

    fn rendering(&self, asked: &Template, folder: &Path) -> io::Result<Command> {
        let mut command = self.command(folder);
        command.arg("template");
        match &asked.release {
            Some(name) => command.arg(name),
            None => command.arg("--generate-name"),
        };
        let chart = folder.join("chart");
        for (path, content) in &asked.chart {
            write(&chart.join(path), content)?;
        }
        command.arg(chart);
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
        command.args(&asked.flags);
        Ok(command)
    }

    /// Fetches a chart into the folder that is kept.
    async fn fetch(&self, chart: &RemoteChart, named: &Path) -> Result<(), String> {
        let disk = |error: io::Error| format!("it can't be kept in {}: {error}", self.dir.display());
        let new = kept::begin(&self.dir).await.map_err(disk)?;
        let mut command = self.command(new.path());
        command.args(["pull", "--untar", "--untardir", "pulled", "--version", chart.version()]);
        let (repository, name) = (chart.repository(), chart.name());
        if repository.starts_with("oci://") {
            command.arg([repository, "/", name].concat());
        } else {
            command.args(["--repo", repository, name]);
        }
        self.run(command, new.path()).await?;
        // The folder is called as the chart calls itself.
        let mut pulled = fs::read_dir(new.path().join("pulled")).map_err(disk)?;
        let only = pulled.next().transpose().map_err(disk)?.ok_or("it has no files")?;
        kept::finish(&only.path(), named).await.map_err(disk)
    }
}

/// What Helm, and Go's `net` below it, say where a host is away or has no time: the next attempt may go otherwise.
const AWAY: [&str; 16] = [
    "connection refused",
    "connection reset",
    "no such host",
    "server misbehaving",
    "network is unreachable",
    "no route to host",
    "i/o timeout",
    "handshake timeout",
    "deadline exceeded",
    "unexpected EOF",
    "it did not end within",
    "Too Many Requests",
    "Internal Server Error",
    "Bad Gateway",
    "Service Unavailable",
    "Gateway Timeout",
];

/// Whether a chart that can't be had may be had later: its host does not answer, or says that it can't just now. A chart, a version or a
/// right that is missing will be missing then too.
pub fn is_away(why: &str) -> bool {
    AWAY.iter().any(|said| why.contains(said))
}

impl Helm {
    /// Where a chart of another machine is kept.
    fn place(&self, chart: &RemoteChart) -> PathBuf {
        let address = [chart.repository(), "/", chart.name()].concat();
        let name: String = hex::encode(Sha256::digest(address)).chars().take(32).collect();
        self.dir.join([&name, "-", chart.version()].concat())
    }

    /// The files of a chart of another machine, if they are here: nobody is asked.
    pub fn kept(&self, chart: &RemoteChart) -> Result<Option<ChartFiles>, String> {
        let named = self.place(chart);
        if named.is_dir() { files(&named).map(Some) } else { Ok(None) }
    }
}

impl Charts for Helm {
    fn pull(&self, chart: &RemoteChart) -> Result<ChartFiles, String> {
        let named = self.place(chart);
        if !named.is_dir() {
            if self.is_offline {
                return Err("it was not fetched before, and no other machine is asked".to_owned());
            }
            self.runtime.block_on(self.fetch(chart, &named))?;
        }
        files(&named)
    }

    fn template(&self, asked: &Template) -> Result<String, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let command = self.rendering(asked, folder.path());
        let command = command.map_err(|error| format!("its files can't be written: {error}"))?;
        self.runtime.block_on(self.run(command, folder.path()))
    }
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, content)
}

/// The plain files below a folder.
fn files(dir: &Path) -> Result<ChartFiles, String> {
    let (mut all, mut bytes, mut open) = (ChartFiles::new(), 0, vec![(dir.to_owned(), 0)]);
    while let Some((folder, depth)) = open.pop() {
        let unreadable = |error: io::Error| format!("{} can't be read: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let (kind, path) = (entry.file_type().map_err(unreadable)?, entry.path());
            if kind.is_dir() && depth < DEPTH_MAX {
                open.push((path, depth + 1));
            } else if kind.is_file() {
                let content = fs::read(&path).map_err(unreadable)?;
                bytes += content.len();
                let inner = path.strip_prefix(dir).ok().and_then(Path::to_str).ok_or("a file's name is no text")?;
                all.insert(inner.to_owned(), content.into());
            }
            if all.len() > FILES_MAX || bytes > BYTES_MAX {
                return Err(format!("it has more than {FILES_MAX} files or {BYTES_MAX} bytes"));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_is_away_is_told_from_a_chart_that_is_not_there() {
        for away in [
            "looks like \"http://127.0.0.1:1\" is not a valid chart repository or cannot be reached: Get \"http://127.0.0.1:1/index.yaml\": dial tcp 127.0.0.1:1: connect: connection refused",
            "Get \"https://charts.example/index.yaml\": dial tcp: lookup charts.example: no such host",
            "failed to fetch https://charts.example/index.yaml : 503 Service Unavailable",
        ] {
            assert!(is_away(away), "{away}");
        }
        for missing in [
            "chart \"web\" version \"1.2.503\" not found in https://charts.example repository",
            "failed to fetch https://charts.example/index.yaml : 404 Not Found",
            "failed to authorize: failed to fetch anonymous token: 401 Unauthorized",
            "",
        ] {
            assert!(!is_away(missing), "{missing}");
        }
    }
}
