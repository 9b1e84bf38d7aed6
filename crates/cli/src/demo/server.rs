//! The real server, as a child process of this program's own executable.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::orphans;

/// How long the server may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to end by itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is looked whether it listens.
const PERIOD: Duration = Duration::from_millis(50);
/// How much of its log an error tells.
const LOG_LINES: usize = 15;

/// Why the server does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// It could not be started.
    #[error("the server can't be started")]
    Start(#[source] io::Error),
    /// It ended at once.
    #[error("the server ended with {status}; its log says:\n{log}")]
    Ended {
        /// How.
        status: ExitStatus,
        /// The last lines that it wrote.
        log: String,
    },
    /// It does not listen.
    #[error("the server did not listen within {} s; its log says:\n{log}", START_TIMEOUT.as_secs())]
    Late {
        /// The last lines that it wrote.
        log: String,
    },
}

/// How the server is started.
#[derive(Debug, Clone)]
pub(crate) struct ServerSetup {
    /// This program.
    pub(crate) program: PathBuf,
    /// The demo's directory; the server's data is in `data` below it, and its log in `server.log`.
    pub(crate) dir: PathBuf,
    /// What outlives the demo, such as compiled dependencies.
    pub(crate) cache_dir: PathBuf,
    /// Where notifications are posted to.
    pub(crate) webhook: String,
    /// What it is started with besides.
    pub(crate) more: Vec<OsString>,
}

impl ServerSetup {
    /// The server's data directory.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log_file(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["serve".into()];
        let options: [(&str, OsString); 5] = [
            ("--data-dir", self.data_dir().into()),
            ("--cache-dir", self.cache_dir.clone().into()),
            ("--listen", "127.0.0.1:0".into()),
            ("--restart-backoff", "500ms".into()),
            ("--notify-webhook", self.webhook.clone().into()),
        ];
        arguments.extend(options.into_iter().flat_map(|(name, value)| [name.into(), value]));
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    fn last_words(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(LOG_LINES)..).unwrap_or_default().join("\n")
    }
}

/// What the server writes about itself while it runs.
#[derive(Deserialize)]
struct Announcement {
    url: String,
    pid: u32,
}

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    setup: ServerSetup,
    url: String,
    token: String,
}

impl Server {
    /// Starts one and waits until it listens.
    pub(crate) async fn start(setup: ServerSetup) -> Result<Self, ServerError> {
        // Made before the first child, so that nothing that it leaves behind is missed.
        orphans::adopt_from_now_on().map_err(ServerError::Start)?;
        let log = File::create(setup.log_file()).map_err(ServerError::Start)?;
        let log_too = log.try_clone().map_err(ServerError::Start)?;
        let mut command = Command::new(&setup.program);
        command.args(setup.arguments()).stdin(Stdio::null()).stdout(log).stderr(log_too);
        // A group of its own: Ctrl-C reaches the demo, which ends the server in order.
        let child = command.process_group(0).kill_on_drop(true).spawn().map_err(ServerError::Start)?;
        let mut this = Self { child, setup, url: String::new(), token: String::new() };
        if let Ok(listening) = timeout(START_TIMEOUT, this.listening()).await {
            listening?;
            return Ok(this);
        }
        let log = this.setup.last_words();
        this.stop().await;
        Err(ServerError::Late { log })
    }

    async fn listening(&mut self) -> Result<(), ServerError> {
        loop {
            if let Some(status) = self.child.try_wait().map_err(ServerError::Start)? {
                return Err(ServerError::Ended { status, log: self.setup.last_words() });
            }
            if let Some((url, token)) = announced(&self.setup.data_dir(), self.child.id()) {
                (self.url, self.token) = (url, token);
                return Ok(());
            }
            sleep(PERIOD).await;
        }
    }

    /// Where it listens, without a slash at the end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What its API asks for.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ServerError> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(ServerError::Ended { status, log: self.setup.last_words() })
    }

    /// Ends it, and what it started. Returns how many processes could not be ended.
    pub(crate) async fn stop(mut self) -> usize {
        if let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
            && let Err(error) = kill_process(pid, Signal::TERM)
        {
            tracing::debug!(%error, "the server could not be asked to end");
        }
        let mut stuck = 0;
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            stuck += usize::from(timeout(STOP_TIMEOUT, self.child.kill()).await.is_err());
        }
        let dir = self.setup.dir.canonicalize().unwrap_or_else(|_| self.setup.dir.clone());
        stuck + orphans::end(&dir).await
    }
}

/// The address and the token, once the process `pid` has written them.
fn announced(data_dir: &Path, pid: Option<u32>) -> Option<(String, String)> {
    let announcement: Announcement = serde_json::from_slice(&fs::read(data_dir.join("server.json")).ok()?).ok()?;
    let token = fs::read_to_string(data_dir.join("token")).ok()?;
    let url = announcement.url.trim_end_matches('/').to_owned();
    (Some(announcement.pid) == pid).then(|| (url, token.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A server that does as `script` says; its data directory is `$3`.
    fn setup(dir: &Path, script: &str) -> ServerSetup {
        let program = dir.join("prograde");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        ServerSetup {
            program,
            dir: dir.to_owned(),
            cache_dir: dir.join("cache"),
            webhook: "http://127.0.0.1:9/".into(),
            more: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_server_is_found_by_what_it_writes_and_stopped_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let script = r#"mkdir -p "$3"; echo " abc " >"$3/token"
            trap 'echo stopped >"$3/end"; exit 0' TERM
            echo "{\"url\": \"http://127.0.0.1:1/\", \"pid\": $$}" >"$3/server.json"
            while :; do sleep 0.05; done"#;
        let server = Server::start(setup(dir.path(), script)).await.unwrap();
        assert_eq!((server.url(), server.token()), ("http://127.0.0.1:1", "abc"));
        let end = server.setup.data_dir().join("end");
        assert_eq!(server.stop().await, 0);
        assert_eq!(fs::read_to_string(end).unwrap(), "stopped\n");
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_reported_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let script = "seq 1 100; echo 'error[PG0301]: no' >&2; exit 7";
        let error = Server::start(setup(dir.path(), script)).await.err().unwrap();
        let text = error.to_string();
        assert!(text.starts_with("the server ended with exit status: 7"), "{text}");
        assert!(text.ends_with("99\n100\nerror[PG0301]: no") && !text.contains("\n80\n"), "{text}");
    }

    #[test]
    fn what_another_server_left_there_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("token"), "abc").unwrap();
        for (announcement, taken) in
            [(r#"{"url":"http://a","pid":2}"#, false), (r#"{"url":"http://a","pid":1}"#, true), ("{", false)]
        {
            fs::write(dir.path().join("server.json"), announcement).unwrap();
            assert_eq!(announced(dir.path(), Some(1)).is_some(), taken, "{announcement}");
        }
    }
}
