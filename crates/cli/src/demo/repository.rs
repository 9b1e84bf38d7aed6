//! A Git repository on this machine, driven with the real `git` as its author would drive it.
//!
//! Invariant: neither the settings of whoever runs the demo nor those of the system have a say, and the credentials are
//! in a file that only this user can read, never on a command line or in an environment.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use tokio::time::timeout;

use super::pad::Edit;

/// How long one command may take; a push waits for the server to take the commit in.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(1);
/// Who commits.
pub(crate) const AUTHOR: (&str, &str) = ("Ada Example", "ada@example.org");

/// Why Git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    /// There is no `git`.
    #[error("git is not installed")]
    NotInstalled(#[source] std::io::Error),
    /// It could not be started or heard.
    #[error("git can't be run")]
    Run(#[source] std::io::Error),
    /// It said no.
    #[error("git {command} failed: {stderr}")]
    Failed {
        /// The command.
        command: String,
        /// Its words.
        stderr: String,
    },
    /// It took too long.
    #[error("git {command} took more than {} s", COMMAND_TIMEOUT.as_secs())]
    Late {
        /// The command.
        command: String,
    },
    /// A file can't be written or read.
    #[error("{} can't be written", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An edit does not fit the file.
    #[error("{path} does not contain {text:?}")]
    NothingToEdit {
        /// The file.
        path: &'static str,
        /// What was looked for.
        text: String,
    },
}

/// Where a repository is pushed to or fetched from.
#[derive(Clone)]
pub(crate) struct Remote {
    /// Its address.
    pub(crate) url: String,
    /// The server's token.
    pub(crate) token: String,
}

/// A commit as the log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    /// Its id.
    pub(crate) id: String,
    /// Its whole message.
    pub(crate) message: String,
}

/// A working tree with its repository.
#[derive(Debug)]
pub(crate) struct Repository {
    dir: PathBuf,
}

impl Repository {
    /// Makes an empty repository in `dir`, which must not exist yet.
    pub(crate) async fn create(dir: &Path, remote: &Remote) -> Result<Self, RepositoryError> {
        let this = Self { dir: dir.to_owned() };
        std::fs::create_dir(dir).map_err(|source| this.file(".", source))?;
        this.git(&["-c", "init.defaultBranch=main", "init", "--quiet"]).await?;
        this.git(&["remote", "add", "origin", &remote.url]).await?;
        this.keep_credentials(remote).map_err(|source| this.file(".git/credentials.config", source))?;
        this.git(&["config", "include.path", "credentials.config"]).await?;
        Ok(this)
    }

    /// Git reads further settings from a file of its own, made for this user alone before anything is in it.
    fn keep_credentials(&self, remote: &Remote) -> std::io::Result<()> {
        let basic = STANDARD.encode(format!("prograde:{}", remote.token));
        let path = self.dir.join(".git/credentials.config");
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        writeln!(file, "[http {:?}]\n\textraHeader = Authorization: Basic {basic}", remote.url)
    }

    /// Writes files into the working tree.
    pub(crate) fn write(&self, files: &[(&str, &[u8])]) -> Result<(), RepositoryError> {
        for (name, bytes) in files {
            let path = self.dir.join(name);
            let written =
                path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| std::fs::write(&path, bytes));
            written.map_err(|source| self.file(name, source))?;
        }
        Ok(())
    }

    /// Edits files of the working tree.
    pub(crate) fn edit(&self, edits: &[Edit]) -> Result<(), RepositoryError> {
        for Edit { path, from, to } in edits {
            let file = self.dir.join(path);
            let text = std::fs::read_to_string(&file).map_err(|source| self.file(path, source))?;
            if !text.contains(from) {
                return Err(RepositoryError::NothingToEdit { path, text: from.clone() });
            }
            std::fs::write(&file, text.replace(from, to)).map_err(|source| self.file(path, source))?;
        }
        Ok(())
    }

    /// Commits all of the working tree; returns the commit's id.
    pub(crate) async fn commit(&self, message: &str) -> Result<String, RepositoryError> {
        self.git(&["add", "--all"]).await?;
        self.git(&["commit", "--quiet", "--message", message]).await?;
        Ok(self.git(&["rev-parse", "HEAD"]).await?.trim().to_owned())
    }

    /// Pushes what was committed last to `main`.
    pub(crate) async fn push(&self) -> Result<(), RepositoryError> {
        self.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]).await.map(drop)
    }

    /// Fetches the remote's default branch and reads its log, the newest commit first.
    pub(crate) async fn fetched_log(&self) -> Result<Vec<LogEntry>, RepositoryError> {
        self.git(&["fetch", "--quiet", "origin", "HEAD"]).await?;
        let log = self.git(&["log", "--max-count=100", "--format=%H%n%B%x00", "FETCH_HEAD"]).await?;
        Ok(log.split('\0').filter_map(|entry| entry.trim().split_once('\n')).map(log_entry).collect())
    }

    async fn git(&self, arguments: &[&str]) -> Result<String, RepositoryError> {
        let command = || {
            arguments.iter().find(|a| !a.starts_with('-') && !a.contains('=')).copied().unwrap_or_default().to_owned()
        };
        let output = timeout(COMMAND_TIMEOUT, self.command(arguments).output());
        let output = output.await.map_err(|_| RepositoryError::Late { command: command() })?;
        let output = output.map_err(|source| {
            let is_missing = source.kind() == std::io::ErrorKind::NotFound;
            if is_missing { RepositoryError::NotInstalled(source) } else { RepositoryError::Run(source) }
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(RepositoryError::Failed { command: command(), stderr })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        // Inside a hook or a `git rebase --exec`, these name another repository.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"GIT_")) {
            command.env_remove(name);
        }
        command
            .args(["-c", "core.hooksPath=/dev/null", "-c", "http.proxy="])
            .args(arguments)
            .current_dir(&self.dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_AUTHOR_NAME", AUTHOR.0)
            .env("GIT_AUTHOR_EMAIL", AUTHOR.1)
            .env("GIT_COMMITTER_NAME", AUTHOR.0)
            .env("GIT_COMMITTER_EMAIL", AUTHOR.1)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn file(&self, name: &str, source: std::io::Error) -> RepositoryError {
        RepositoryError::File { path: self.dir.join(name), source }
    }
}

fn log_entry((id, message): (&str, &str)) -> LogEntry {
    LogEntry { id: id.to_owned(), message: message.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::pad;
    use super::*;

    /// A bare repository stands in for the server's: this is about what the author's side does.
    async fn with_remote(dir: &Path) -> Repository {
        let bare = dir.join("bare");
        let done = Command::new("git").args(["init", "--quiet", "--bare", "-b", "main"]).arg(&bare).status().await;
        assert!(done.unwrap().success());
        let remote = Remote { url: bare.to_str().unwrap().to_owned(), token: "secret".to_owned() };
        Repository::create(&dir.join("work"), &remote).await.unwrap()
    }

    #[tokio::test]
    async fn the_service_is_edited_committed_pushed_and_fetched() {
        let dir = tempfile::tempdir().unwrap();
        let repository = with_remote(dir.path()).await;
        repository.write(pad::FILES).unwrap();
        repository.edit(&pad::in_a_hurry(prograde_model::quantity::Period::seconds(4))).unwrap();
        let first = repository.commit("Add pad").await.unwrap();
        repository.push().await.unwrap();
        for (edits, message) in [
            (vec![pad::greet(pad::FIRST_GREETING, "good day"), pad::fail_a_fifth()], "Greet otherwise"),
            (vec![pad::fail_no_more(), pad::crash_at_start()], "Start faster"),
        ] {
            repository.edit(&edits).unwrap();
            repository.commit(message).await.unwrap();
            repository.push().await.unwrap();
        }
        let log = repository.fetched_log().await.unwrap();
        let messages: Vec<&str> = log.iter().map(|entry| entry.message.as_str()).collect();
        assert_eq!(messages, ["Start faster", "Greet otherwise", "Add pad"]);
        assert_eq!(log[2].id, first);
    }

    #[tokio::test]
    async fn the_token_is_readable_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let repository = with_remote(dir.path()).await;
        let path = repository.dir.join(".git/credentials.config");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let key = format!("http.{}.extraHeader", dir.path().join("bare").display());
        let header = repository.git(&["config", "--get", &key]).await.unwrap();
        assert_eq!(header.trim(), format!("Authorization: Basic {}", STANDARD.encode("prograde:secret")));
    }

    #[tokio::test]
    async fn an_edit_that_does_not_fit_and_a_push_that_is_refused_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let repository = with_remote(dir.path()).await;
        repository.write(&[("src/greeting.rs", b"nothing here")]).unwrap();
        let error = repository.edit(&[pad::greet("hello", "good day")]).unwrap_err().to_string();
        assert_eq!(error, r#"src/greeting.rs does not contain "\"hello\"""#);
        repository.commit("Add it").await.unwrap();
        std::fs::remove_dir_all(dir.path().join("bare")).unwrap();
        let error = repository.push().await.unwrap_err().to_string();
        assert!(error.starts_with("git push failed: "), "{error}");
    }
}
