//! Bases that lie in other repositories, kept by commit in a folder. Invariant: only a commit's whole id is asked for,
//! and what is in the folder under its name is whole, whatever was killed.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prograde_kustomize::{FileTree, RemoteBase, Remotes};
use prograde_model::CommitId;
use sha2::{Digest as _, Sha256};
use tokio::process::Command;
use tokio::runtime::Handle;

use super::upstream::Upstream;
use super::{GitError, Repository, command, is_repository};
use crate::kept;

/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_mins(2);
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

/// What hosts say of a commit that they do not have, or do not give out (git-upload-pack, git-fetch).
const UNKNOWN: [&str; 3] = ["not our ref", "couldn't find remote ref", "unadvertised object"];

/// Which repositories may be asked for bases, and what is shown to them.
pub trait BaseAccess: fmt::Debug + Send + Sync {
    /// How a repository is asked, or why it is not.
    fn access(&self, repository: &str) -> Result<Upstream, BaseError>;
}

/// Fetches bases, and keeps them.
#[derive(Debug, Clone)]
pub struct RemoteBases {
    dir: PathBuf,
    runtime: Handle,
    access: Access,
}

#[derive(Debug, Clone)]
enum Access {
    /// The user's own, with their keys and helpers.
    User,
    /// Nobody is asked.
    Nobody,
    /// What is declared, and nothing of the user's.
    Declared(Arc<dyn BaseAccess>),
}

impl RemoteBases {
    /// Keeps them below `dir`, and asks for them with the user's own access. Whoever asks must not be on one of the runtime's
    /// own threads, because answers are waited for.
    pub fn new(dir: PathBuf, runtime: Handle) -> Self {
        Self { dir, runtime, access: Access::User }
    }

    /// Gives out only what is there.
    #[must_use]
    pub fn offline(self, is_offline: bool) -> Self {
        if is_offline { Self { access: Access::Nobody, ..self } } else { self }
    }

    /// Asks only where this says, and as it says.
    #[must_use]
    pub fn with_access(self, access: Arc<dyn BaseAccess>) -> Self {
        Self { access: Access::Declared(access), ..self }
    }

    /// The files of a repository at a commit.
    pub fn get(&self, base: &RemoteBase) -> Result<FileTree, BaseError> {
        let tree = async {
            match self.find(base).await? {
                Found::Kept(repository, commit) => Ok(repository.tree(&commit, "").await?),
                Found::Missing(wanted) => self.fetched(base, wanted).await,
            }
        };
        Ok(self.runtime.block_on(tree)?)
    }

    /// The same, if they are here: nobody is asked.
    pub fn kept(&self, base: &RemoteBase) -> Result<Option<FileTree>, BaseError> {
        let tree = async {
            match self.find(base).await? {
                Found::Kept(repository, commit) => Ok(Some(repository.tree(&commit, "").await?)),
                Found::Missing(_) => Ok::<_, Missing>(None),
            }
        };
        Ok(self.runtime.block_on(tree)?)
    }

    /// Where a base is, if it may be asked for.
    async fn find(&self, base: &RemoteBase) -> Result<Found, Missing> {
        let commit: CommitId = base.reference.parse().map_err(|_| Missing::Reference)?;
        let dir = self.dir.join(format!("{}-{commit}.git", short(&base.repository)));
        // What may be asked for may change, also while it is kept.
        let declared = match &self.access {
            Access::User | Access::Nobody => None,
            Access::Declared(access) => Some(access.access(&base.repository)?),
        };
        if is_repository(&dir).await {
            Ok(Found::Kept(Repository { dir }, commit))
        } else {
            Ok(Found::Missing(Wanted { dir, commit, declared }))
        }
    }

    async fn fetched(&self, base: &RemoteBase, wanted: Wanted) -> Result<FileTree, Missing> {
        if matches!(self.access, Access::Nobody) {
            return Err(Missing::Offline);
        }
        let Wanted { dir, commit, declared } = wanted;
        self.fetch(&base.repository, declared, &commit, &dir).await?;
        Ok(Repository { dir }.tree(&commit, "").await?)
    }

    /// Fetches a commit into a new repository, which gets its name once it is whole.
    async fn fetch(
        &self,
        address: &str,
        declared: Option<Upstream>,
        commit: &CommitId,
        dir: &Path,
    ) -> Result<(), GitError> {
        let disk = |source| GitError::Disk { path: self.dir.clone(), source };
        let new = kept::begin(&self.dir).await.map_err(disk)?;
        command::init(new.path()).await?;
        if let Some(upstream) = declared {
            Repository { dir: new.path().to_owned() }.fetch_commit(&upstream, commit, FETCH_TIMEOUT).await?;
        } else {
            let mut fetch = bare(&SETTINGS);
            fetch.arg("--git-dir").arg(new.path()).args(FETCH).args(["--end-of-options", address, commit.as_str()]);
            let answer = command::answer(fetch, None, command::STDOUT_BYTES_MAX, FETCH_TIMEOUT).await?;
            answer.expect_success("fetch the commit")?;
        }
        kept::finish(new.path(), dir).await.map_err(disk)
    }
}

/// Where a base is.
enum Found {
    /// Here.
    Kept(Repository, CommitId),
    /// With its host.
    Missing(Wanted),
}

/// What is fetched, where to, and how its host is asked.
struct Wanted {
    dir: PathBuf,
    commit: CommitId,
    declared: Option<Upstream>,
}

/// One commit, and nothing beside it.
pub(super) const FETCH: [&str; 6] =
    ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];

/// Why a base can't be had.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("the reference is not a commit's id")]
    Reference,
    #[error("it was not fetched before, and nothing is asked of other machines")]
    Offline,
    #[error(transparent)]
    Access(#[from] BaseError),
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Missing {
    /// Whether asking again later may help.
    fn is_passing(&self) -> bool {
        match self {
            Self::Reference | Self::Offline => false,
            Self::Access(error) => error.is_passing,
            Self::Git(GitError::Failed { stderr, .. }) => !UNKNOWN.iter().any(|said| stderr.contains(said)),
            Self::Git(error) => !matches!(
                error,
                GitError::TooLarge { .. } | GitError::NoCommit(_) | GitError::Name { .. } | GitError::NoRepository(_)
            ),
        }
    }
}

/// Why the files of a base can't be had.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct BaseError {
    /// Whether asking again later may help: the host does not answer, for instance.
    pub is_passing: bool,
    /// In words.
    pub why: String,
}

impl From<Missing> for BaseError {
    fn from(missing: Missing) -> Self {
        Self { is_passing: missing.is_passing(), why: missing.to_string() }
    }
}

impl Remotes for RemoteBases {
    fn fetch(&self, base: &RemoteBase) -> Result<FileTree, String> {
        self.get(base).map_err(|error| error.to_string())
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
