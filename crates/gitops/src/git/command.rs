//! Runs the installed `git`. Invariant: no run sees the user's or the system's settings, runs a hook, asks for anything,
//! outlives its deadline or its caller, or answers with more than was allowed.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::{GitError, MAIN};

/// How long one command may take that reads or writes a few objects.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);
/// How much of what Git says about a failure is kept.
const STDERR_BYTES_MAX: u64 = 16 * 1024;
/// The most that one command may answer, where nothing else is said.
pub(crate) const STDOUT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Settings of every run, whatever the repository's own say.
const SETTINGS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "core.fsync=committed",
    "core.quotePath=false",
    "gc.auto=0",
    "safe.directory=*",
    "advice.detachedHead=false",
];

/// A command for the repository in `dir`, with the environment of the invariant. Its process group is its own.
pub(crate) fn command<A: AsRef<OsStr>>(
    dir: &Path,
    settings: &[&str],
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = bare_command();
    for setting in SETTINGS.iter().chain(settings) {
        command.arg("-c").arg(setting);
    }
    command.arg("--git-dir").arg(dir).arg("--literal-pathspecs").args(arguments);
    command
}

/// A command for no repository.
pub(crate) fn bare_command() -> Command {
    let mut command = Command::new(program());
    command.env_clear();
    // Not a setting of ours: without it, neither Git nor what Git starts is found.
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// Where Git is. A program that is named by its path is started without a copy of this process' memory map, which takes longer
/// the more memory a server has.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_program = |file: &PathBuf| {
            file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
        let found = dirs.map(|dir| dir.join("git")).find(is_program);
        // Where there is none, starting it says so.
        found.unwrap_or_else(|| PathBuf::from("git"))
    })
}

/// Makes a bare repository of an empty folder.
pub(crate) async fn init(dir: &Path) -> Result<(), GitError> {
    let mut init = bare_command();
    init.args(["init", "--quiet", "--bare", "--template=", "--initial-branch", MAIN, "--"]).arg(dir);
    answer(init, None, STDOUT_BYTES_MAX, COMMAND_TIMEOUT).await?.expect_success("make a repository")?;
    Ok(())
}

/// What a command answered.
pub(crate) struct Answer {
    pub(crate) stdout: Vec<u8>,
    pub(crate) code: Option<i32>,
    /// What Git said about it.
    pub(crate) stderr: String,
}

/// A running process whose whole group ends with it.
pub(crate) struct Running {
    pub(crate) child: Child,
    group: Option<rustix::process::Pid>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Result<Self, GitError> {
        let child = command.spawn().map_err(|source| {
            if source.kind() == std::io::ErrorKind::NotFound {
                GitError::NotInstalled
            } else {
                GitError::Start { source }
            }
        })?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Ok(Self { child, group })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A process that was waited for has no id any more; then its group may be somebody else's.
        // Git is asked to end rather than killed, so that it takes its lock files with it; what it started ends, too.
        if self.child.id().is_some()
            && let Some(group) = self.group
            && let Err(error) = rustix::process::kill_process_group(group, rustix::process::Signal::TERM)
        {
            tracing::debug!(%error, "could not end git's process group");
        }
    }
}

/// Runs a command to its end, with `input` as its standard input.
pub(crate) async fn answer(
    mut command: Command,
    input: Option<&[u8]>,
    stdout_bytes_max: u64,
    timeout: Duration,
) -> Result<Answer, GitError> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut running = Running::start(command)?;
    let (stdin, stdout, stderr) =
        (running.child.stdin.take(), running.child.stdout.take(), running.child.stderr.take());
    let write = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A process that ends before it has read everything says why by its status.
            let written = stdin.write_all(input).await;
            drop(stdin);
            if let Err(source) = written
                && source.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(GitError::Pipe { source });
            }
        }
        Ok(())
    };
    let all = async {
        tokio::try_join!(write, bounded(stdout, stdout_bytes_max, true), bounded(stderr, STDERR_BYTES_MAX, false))
    };
    let finished = tokio::time::timeout(timeout, async {
        let ((), stdout, stderr) = all.await?;
        let status = running.child.wait().await.map_err(|source| GitError::Pipe { source })?;
        let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
        Ok(Answer { stdout, code: status.code(), stderr })
    });
    finished.await.map_err(|_| GitError::Timeout { seconds: timeout.as_secs() })?
}

/// Reads to the end; what goes beyond `max` is an error, or is thrown away.
async fn bounded(from: Option<impl AsyncRead + Unpin>, max: u64, strict: bool) -> Result<Vec<u8>, GitError> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    (&mut from).take(max).read_to_end(&mut bytes).await.map_err(|source| GitError::Pipe { source })?;
    let rest = tokio::io::copy(&mut (&mut from).take(if strict { 1 } else { u64::MAX }), &mut tokio::io::sink()).await;
    match rest.map_err(|source| GitError::Pipe { source })? {
        0 => Ok(bytes),
        _ if strict => Err(GitError::TooLarge { what: "git's answer", limit: max }),
        _ => Ok(bytes),
    }
}

impl Answer {
    /// The answer of a command that must succeed.
    pub(crate) fn expect_success(self, what: &'static str) -> Result<Vec<u8>, GitError> {
        if self.code == Some(0) { Ok(self.stdout) } else { Err(self.failure(what)) }
    }

    /// The failure, in Git's words.
    pub(crate) fn failure(self, what: &'static str) -> GitError {
        GitError::Failed { what, code: self.code, stderr: self.stderr }
    }
}
