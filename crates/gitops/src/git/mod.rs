//! Bare Git repositories below one directory, served and read by Prograde through the installed `git` (2.30 or newer).
//!
//! Invariant: names and paths are checked before Git sees them, and nothing that a repository holds is ever run.

mod bases;
mod command;
mod export;
mod folders;
mod http;
mod marked;
mod read;
mod upstream;
mod write;

pub use bases::{BaseAccess, BaseError, RemoteBases};
pub use export::EXPORT_BYTES_MAX;
pub use folders::{FolderRules, FolderState};
pub(crate) use http::NOBODY;
pub use http::{GitService, PushRules, RefUpdate, Rpc, RpcOptions, Takes};
pub use marked::{Marked, Rewrite};
pub use read::{CommitInfo, FILE_BYTES_MAX};
pub use upstream::Upstream;
pub(crate) use write::{Author, TreeEntry};

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use prograde_model::{CommitId, ServiceName};

/// The branch that releases are made from.
pub const MAIN: &str = "main";
/// The oldest version of Git that has what is used here.
const VERSION_MIN: (u32, u32) = (2, 30);
/// How long tidying up may take.
const MAINTENANCE_TIMEOUT: Duration = Duration::from_mins(10);

/// Why Git could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` to run.
    #[error("git is not installed: install version 2.30 or newer, for example with `apt-get install git`")]
    NotInstalled,
    /// It is too old.
    #[error("git {found} is too old: install version 2.30 or newer")]
    TooOld {
        /// What `git version` says.
        found: String,
    },
    /// It could not be started.
    #[error("could not start git")]
    Start {
        /// Why.
        source: io::Error,
    },
    /// The exchange with its process failed.
    #[error("could not talk to git")]
    Pipe {
        /// Why.
        source: io::Error,
    },
    /// It took too long and was ended.
    #[error("git did not answer within {seconds} s")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// It refused.
    #[error("could not {what}: git {}: {stderr}", ended(*code))]
    Failed {
        /// What was tried.
        what: &'static str,
        /// The exit status; `None` after a signal.
        code: Option<i32>,
        /// Its words.
        stderr: String,
    },
    /// It answered something that it never should.
    #[error("git answered something unexpected when asked to {what}")]
    Answer {
        /// What was tried.
        what: &'static str,
    },
    /// A limit was passed.
    #[error("{what} is larger than {limit} bytes")]
    TooLarge {
        /// What.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A name or path that can't be one.
    #[error("{text:?} is not a {what}")]
    Name {
        /// What it was taken for.
        what: &'static str,
        /// The text, shortened.
        text: String,
    },
    /// There is no such repository.
    #[error("there is no repository `{0}`")]
    NoRepository(ServiceName),
    /// There is no such commit.
    #[error("there is no commit {0}")]
    NoCommit(CommitId),
    /// A path that is a symbolic link where a file is needed.
    #[error("`{path}` is a symbolic link, which is not followed")]
    Symlink {
        /// The path.
        path: String,
    },
    /// A commit that can't be written to a disk.
    #[error("`{path}` can't be exported: {why}")]
    Export {
        /// The path.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The disk.
    #[error("could not write `{path}`")]
    Disk {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A branch moved while it was being changed.
    #[error("the branch `{branch}` was changed by somebody else at the same time")]
    Moved {
        /// The branch.
        branch: String,
    },
}

impl GitError {
    fn name(what: &'static str, text: &str) -> Self {
        Self::Name { what, text: text.chars().take(100).collect() }
    }
}

/// The repositories below one directory, each in `<name>.git`.
#[derive(Debug, Clone)]
pub struct Repositories {
    dir: PathBuf,
}

impl Repositories {
    /// The repositories below `dir`, which is made if need be. Fails where Git is missing or too old.
    ///
    /// Only one process may have a directory open: what a crash left behind, half-made repositories and Git's lock
    /// files, is removed here.
    pub async fn open(dir: PathBuf) -> Result<Self, GitError> {
        check_version().await?;
        let found = Self { dir };
        let disk = |source| GitError::Disk { path: found.dir.clone(), source };
        tokio::fs::create_dir_all(&found.dir).await.map_err(disk)?;
        found.sweep().await?;
        Ok(found)
    }

    /// Removes what a crash left half made.
    async fn sweep(&self) -> Result<(), GitError> {
        let disk = |source| GitError::Disk { path: self.dir.clone(), source };
        let mut entries = tokio::fs::read_dir(&self.dir).await.map_err(disk)?;
        while let Some(entry) = entries.next_entry().await.map_err(disk)? {
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                tokio::fs::remove_dir_all(entry.path()).await.map_err(disk)?;
            } else if is_repository(&entry.path()).await {
                remove_locks(&entry.path()).await?;
            }
        }
        Ok(())
    }

    /// The repository of a service, made if need be with the default branch `main`. A crash leaves none or a whole one.
    pub async fn ensure(&self, name: &ServiceName) -> Result<Repository, GitError> {
        let dir = self.path(name);
        if is_repository(&dir).await {
            return Ok(Repository { dir });
        }
        let new = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.dir)
            .map_err(|source| GitError::Disk { path: self.dir.clone(), source })?;
        command::init(new.path()).await?;
        match tokio::fs::rename(new.path(), &dir).await {
            Ok(()) => {}
            // Somebody else was faster; theirs is as good.
            Err(_) if is_repository(&dir).await => {}
            Err(source) => return Err(GitError::Disk { path: dir, source }),
        }
        Ok(Repository { dir })
    }

    /// The names of all repositories, in order.
    pub async fn list(&self) -> Result<Vec<ServiceName>, GitError> {
        let disk = |source| GitError::Disk { path: self.dir.clone(), source };
        let mut names = Vec::new();
        let mut entries = tokio::fs::read_dir(&self.dir).await.map_err(disk)?;
        while let Some(entry) = entries.next_entry().await.map_err(disk)? {
            let file = entry.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".git")).and_then(|name| name.parse().ok());
            if let Some(name) = name
                && is_repository(&entry.path()).await
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The repository of a service.
    pub async fn get(&self, name: &ServiceName) -> Result<Repository, GitError> {
        let dir = self.path(name);
        if is_repository(&dir).await { Ok(Repository { dir }) } else { Err(GitError::NoRepository(name.clone())) }
    }

    fn path(&self, name: &ServiceName) -> PathBuf {
        self.dir.join(format!("{name}.git"))
    }
}

/// How a process ended, in words.
fn ended(code: Option<i32>) -> String {
    code.map_or_else(|| "was ended by a signal".to_owned(), |code| format!("ended with status {code}"))
}

async fn is_repository(dir: &Path) -> bool {
    tokio::fs::try_exists(dir.join("HEAD")).await.unwrap_or(false)
}

/// Removes the lock files of references and settings that a killed process left: nobody else would ever remove them,
/// and every later change would be refused. No reference's own name ends in `.lock`.
async fn remove_locks(repository: &Path) -> Result<(), GitError> {
    let mut dirs = vec![(repository.to_owned(), false), (repository.join("refs"), true)];
    while let Some((dir, deep)) = dirs.pop() {
        let disk = |source| GitError::Disk { path: dir.clone(), source };
        let mut entries = tokio::fs::read_dir(&dir).await.map_err(disk)?;
        while let Some(entry) = entries.next_entry().await.map_err(disk)? {
            if !deep && entry.file_name().to_string_lossy().starts_with(folders::PREFIX) {
                tokio::fs::remove_dir_all(entry.path()).await.map_err(disk)?;
            } else if entry.file_type().await.map_err(disk)?.is_dir() {
                dirs.extend(deep.then(|| (entry.path(), true)));
            } else if entry.path().extension().is_some_and(|extension| extension == "lock") {
                tokio::fs::remove_file(entry.path()).await.map_err(disk)?;
            }
        }
    }
    Ok(())
}

async fn check_version() -> Result<(), GitError> {
    let mut version = command::bare_command();
    version.arg("version");
    let answer =
        command::answer(version, None, 1024, command::COMMAND_TIMEOUT).await?.expect_success("ask for its version")?;
    let text = String::from_utf8_lossy(&answer);
    let found = text.trim().trim_start_matches("git version ").to_owned();
    let mut numbers = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    match numbers.next().zip(numbers.next()) {
        Some(numbers) if numbers >= VERSION_MIN => Ok(()),
        Some(_) | None => Err(GitError::TooOld { found }),
    }
}

/// One bare repository.
#[derive(Debug, Clone)]
pub struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// Where it is, for clients on this machine.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Packs what has accumulated; to be called now and then, because no other command does it.
    pub async fn maintain(&self) -> Result<(), GitError> {
        // The log of a branch tells who moved it where it is.
        let settings = ["gc.auto=500", "gc.autoDetach=false", "gc.reflogExpire=never"];
        let command = command::command(&self.dir, &settings, ["gc", "--auto", "--quiet"]);
        command::answer(command, None, command::STDOUT_BYTES_MAX, MAINTENANCE_TIMEOUT)
            .await?
            .expect_success("pack the repository")?;
        Ok(())
    }

    /// Runs a command that must succeed.
    pub(crate) async fn run(
        &self,
        what: &'static str,
        arguments: &[&str],
        input: Option<&[u8]>,
    ) -> Result<Vec<u8>, GitError> {
        let command = command::command(&self.dir, &[], arguments);
        command::answer(command, input, command::STDOUT_BYTES_MAX, command::COMMAND_TIMEOUT).await?.expect_success(what)
    }
}

/// Whether a text is a branch's name (`git check-ref-format`, stricter: no `@`, `~` or characters that Git quotes).
fn is_branch(name: &str) -> bool {
    name.len() <= 200
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && part.strip_suffix(".lock").is_none()
        })
        && !name.contains("..")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./+#".contains(c))
}
