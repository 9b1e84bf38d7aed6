//! Bases that lie in other repositories, kept by commit in a folder. Invariant: only a commit's whole id is asked for,
//! and what is in the folder under its name is whole, whatever was killed.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prograde_kustomize::{FileTree, RemoteBase, Remotes};
use prograde_model::CommitId;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio::runtime::Handle;

use super::{GitError, Repository, command, is_repository};

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_mins(2);
/// After this long, what a killed fetch left is removed.
const LEFT_AFTER: Duration = Duration::from_hours(1);
/// Where users keep what Git needs to reach and to believe a host.
const SURROUNDINGS: [&str; 16] = [
    "HOME",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "SSH_AUTH_SOCK",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "NO_PROXY",
    "all_proxy",
    "ALL_PROXY",
];
/// No part of a repository is run, no address runs a program, and a host that sends nothing is given up.
const SETTINGS: [&str; 6] = [
    "core.hooksPath=/dev/null",
    "protocol.version=2",
    "protocol.ext.allow=never",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=20",
    "gc.auto=0",
];

/// Fetches bases with the user's own access, and keeps them.
#[derive(Debug, Clone)]
pub struct RemoteBases {
    dir: PathBuf,
    runtime: Handle,
    is_offline: bool,
}

impl RemoteBases {
    /// Keeps them below `dir`. Whoever asks must not be on one of the runtime's own threads, because answers are waited for.
    pub fn new(dir: PathBuf, runtime: Handle) -> Self {
        Self { dir, runtime, is_offline: false }
    }

    /// Gives out only what is there.
    #[must_use]
    pub fn offline(self, is_offline: bool) -> Self {
        Self { is_offline, ..self }
    }

    async fn tree(&self, base: &RemoteBase) -> Result<FileTree, Missing> {
        let commit: CommitId = base.reference.parse().map_err(|_| Missing::Reference)?;
        let dir = self.dir.join(format!("{}-{commit}.git", short(&base.repository)));
        if !is_repository(&dir).await {
            if self.is_offline {
                return Err(Missing::Offline);
            }
            self.fetch(&base.repository, &commit, &dir).await?;
        }
        Ok(Repository { dir }.tree(&commit, "").await?)
    }

    /// Fetches a commit into a new repository, which gets its name once it is whole.
    async fn fetch(&self, address: &str, commit: &CommitId, dir: &Path) -> Result<(), GitError> {
        let disk = |source| GitError::Disk { path: self.dir.clone(), source };
        tokio::fs::create_dir_all(&self.dir).await.map_err(disk)?;
        self.sweep().await.map_err(disk)?;
        let new = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&self.dir).map_err(disk)?;
        command::init(new.path()).await?;
        let mut fetch = bare(&SETTINGS);
        fetch.arg("--git-dir").arg(new.path());
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"]);
        fetch.args(["--end-of-options", address, commit.as_str()]);
        let answer = command::answer(fetch, None, command::STDOUT_BYTES_MAX, FETCH_TIMEOUT).await?;
        answer.expect_success("fetch the commit")?;
        match tokio::fs::rename(new.path(), dir).await {
            Ok(()) => Ok(()),
            // Somebody else was faster; theirs is the same.
            Err(_) if is_repository(dir).await => Ok(()),
            Err(source) => Err(GitError::Disk { path: dir.to_owned(), source }),
        }
    }

    async fn sweep(&self) -> std::io::Result<()> {
        let mut entries = tokio::fs::read_dir(&self.dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            let made = entry.metadata().await.and_then(|metadata| metadata.modified());
            let age = made.ok().and_then(|made| made.elapsed().ok());
            if is_ours && age.is_some_and(|age| age > LEFT_AFTER) {
                tokio::fs::remove_dir_all(entry.path()).await?;
            }
        }
        Ok(())
    }
}

/// How folders begin that are not whole yet.
const PREFIX: &str = ".new-";

/// Why a base can't be had.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("the reference is not a commit's id")]
    Reference,
    #[error("it was not fetched before, and nothing is asked of other machines")]
    Offline,
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Remotes for RemoteBases {
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String> {
        self.runtime.block_on(self.tree(base)).map_err(|error| error.to_string())
    }
}

/// A name for a repository's address.
fn short(address: &str) -> String {
    hex::encode(Sha256::digest(address)).chars().take(32).collect()
}

/// Git with the user's access, but nothing else of their settings that would run something here.
fn bare(settings: &[&str]) -> Command {
    let mut command = command::bare_command();
    command.env_remove("GIT_CONFIG_NOSYSTEM").env_remove("GIT_CONFIG_GLOBAL").env_remove("HOME");
    for name in SURROUNDINGS {
        if let Some(value) = std::env::var_os(OsStr::new(name)) {
            command.env(name, value);
        }
    }
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    command
}
