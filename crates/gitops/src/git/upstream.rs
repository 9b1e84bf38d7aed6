//! A branch on another machine. Invariant: what is shown to the host is shown to that address alone, and stands in no
//! command line; nothing here moves a branch but [`Repository::advance`].

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prograde_model::CommitId;
use tempfile::TempDir;
use tokio::process::Command;

use super::bases::FETCH;
use super::{GitError, Repository, command};

/// How long the host may take to say where the branch is.
const LOOK_TIMEOUT: Duration = Duration::from_secs(30);
/// How long fetching what is new may take.
const FETCH_TIMEOUT: Duration = Duration::from_mins(10);
/// Where what was fetched is kept, so that nothing removes it before a branch points at it.
const KEPT: &str = "refs/upstream/head";

/// Where branches are among references.
const HEADS: &str = "refs/heads/";

/// Where to look.
#[derive(Clone)]
pub struct Upstream {
    /// An address of `https`, of `http`, or an absolute path; without a name or password.
    pub url: String,
    /// The branch's name.
    pub branch: String,
    /// A name and a password or token, for addresses.
    pub credential: Option<(String, String)>,
    /// Certificates of authorities that are believed beside the system's own.
    pub ca_file: Option<PathBuf>,
}

/// Without what is secret.
impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.branch, self.url)
    }
}

impl Repository {
    /// The commit that the host's branch points at; `None` where the host has no such branch.
    pub async fn look_upstream(&self, upstream: &Upstream) -> Result<Option<CommitId>, GitError> {
        let what = "ask the host for its branch";
        let reference = format!("{HEADS}{}", upstream.branch);
        let (asked, _settings) = self.asking(upstream, &["ls-remote", "--refs"], &[reference.as_str()])?;
        let answer = command::answer(asked, None, command::STDOUT_BYTES_MAX, LOOK_TIMEOUT).await?;
        let answer = answer.expect_success(what)?;
        let text = String::from_utf8_lossy(&answer);
        // A pattern may match the end of longer names as well.
        let found = text.lines().filter_map(|line| line.split_once('\t')).find(|(_, name)| *name == reference);
        found.map(|(commit, _)| commit.parse().map_err(|_| GitError::Answer { what })).transpose()
    }

    /// Where the host's branches are whose names fit one of these patterns.
    pub async fn look_branches(
        &self,
        upstream: &Upstream,
        patterns: &[&str],
    ) -> Result<BTreeMap<String, CommitId>, GitError> {
        let what = "ask the host for its branches";
        let patterns: Vec<String> = patterns.iter().map(|pattern| format!("{HEADS}{pattern}")).collect();
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let (asked, _settings) = self.asking(upstream, &["ls-remote", "--refs"], &patterns)?;
        let answer = command::answer(asked, None, command::STDOUT_BYTES_MAX, LOOK_TIMEOUT).await?;
        let answer = answer.expect_success(what)?;
        let text = String::from_utf8_lossy(&answer);
        let named = text.lines().filter_map(|line| {
            let (commit, name) = line.split_once('\t')?;
            Some((commit, name.strip_prefix(HEADS)?))
        });
        let read = |(commit, name): (&str, &str)| {
            Ok((name.to_owned(), commit.parse().map_err(|_| GitError::Answer { what })?))
        };
        named.map(read).collect()
    }

    /// Sends branches to the host, as refspecs say it (git-push); one that is refused keeps no other from being sent.
    pub async fn push_upstream(&self, upstream: &Upstream, refspecs: &[String]) -> Result<(), GitError> {
        let refspecs: Vec<&str> = refspecs.iter().map(String::as_str).collect();
        let push = ["push", "--quiet", "--no-verify", "--no-follow-tags", "--no-recurse-submodules"];
        let (asked, _settings) = self.asking(upstream, &push, &refspecs)?;
        command::answer(asked, None, command::STDOUT_BYTES_MAX, FETCH_TIMEOUT)
            .await?
            .expect_success("push to the host")?;
        Ok(())
    }

    /// Moves the host's branch to a commit that is here, if it is where it was; forwards or not.
    pub async fn point_upstream(
        &self,
        upstream: &Upstream,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<(), GitError> {
        let branch = &upstream.branch;
        if !super::is_branch(branch) {
            return Err(GitError::name("branch", branch));
        }
        let lease = format!("--force-with-lease={HEADS}{branch}:{}", from.map_or("", CommitId::as_str));
        let push = ["push", "--quiet", "--no-verify", "--no-follow-tags", "--no-recurse-submodules", lease.as_str()];
        let refspec = format!("{to}:{HEADS}{branch}");
        let (asked, _settings) = self.asking(upstream, &push, &[refspec.as_str()])?;
        let pushed = command::answer(asked, None, command::STDOUT_BYTES_MAX, FETCH_TIMEOUT).await;
        let Err(error) = pushed.and_then(|answer| answer.expect_success("push to the host")) else { return Ok(()) };
        // Hosts say in their own words what kept them: where the branch is now tells it for all.
        match self.look_upstream(upstream).await {
            Ok(there) if there.as_ref() == Some(to) => Ok(()),
            Ok(there) if there.as_ref() != from => Err(GitError::Moved { branch: branch.clone() }),
            Ok(_) | Err(_) => Err(error),
        }
    }

    /// Fetches the host's branch; answers with where it is now.
    pub async fn fetch_upstream(&self, upstream: &Upstream) -> Result<CommitId, GitError> {
        let what = "fetch from the host";
        let refspec = format!("+refs/heads/{}:{KEPT}", upstream.branch);
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"];
        let (asked, _settings) = self.asking(upstream, &fetch, &[refspec.as_str()])?;
        command::answer(asked, None, command::STDOUT_BYTES_MAX, FETCH_TIMEOUT).await?.expect_success(what)?;
        self.resolve(&format!("{KEPT}^{{commit}}")).await?.ok_or(GitError::Answer { what })
    }

    /// Fetches one commit, without what came before it.
    pub(super) async fn fetch_commit(
        &self,
        upstream: &Upstream,
        commit: &CommitId,
        timeout: Duration,
    ) -> Result<(), GitError> {
        let (asked, _settings) = self.asking(upstream, &FETCH, &[commit.as_str()])?;
        command::answer(asked, None, command::STDOUT_BYTES_MAX, timeout).await?.expect_success("fetch the commit")?;
        Ok(())
    }

    /// Moves a branch to a commit that is here, if it is still where it was.
    pub async fn advance(&self, branch: &str, from: Option<&CommitId>, to: &CommitId) -> Result<(), GitError> {
        self.check_commit(to).await?;
        self.move_branch(branch, from, to).await
    }

    /// A command that asks the host, and the folder that it needs until it has ended.
    fn asking(&self, upstream: &Upstream, before: &[&str], after: &[&str]) -> Result<(Command, TempDir), GitError> {
        let home = settings(upstream).map_err(|source| GitError::Disk { path: self.dir.clone(), source })?;
        let address = ["--end-of-options", &upstream.url];
        let all = before.iter().chain(&address).chain(after);
        let fixed = [
            "protocol.version=2",
            "protocol.ext.allow=never",
            "http.followRedirects=false",
            "http.lowSpeedLimit=1",
            "http.lowSpeedTime=20",
            "fetch.fsckObjects=true",
            "fetch.fsck.zeroPaddedFilemode=warn",
            "fetch.fsck.badTimezone=warn",
            "fetch.fsck.missingSpaceBeforeDate=warn",
        ];
        let mut command = command::command(&self.dir, &fixed, all);
        // Versions before 2.32 know no other way to be given a file of settings.
        command.env_remove("GIT_CONFIG_GLOBAL").env("HOME", home.path());
        Ok((command, home))
    }
}

/// A folder with a file of settings in it that only this user can read.
fn settings(upstream: &Upstream) -> std::io::Result<TempDir> {
    use std::io::Write as _;
    let home = tempfile::tempdir()?;
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(home.path().join(".gitconfig"))?;
    writeln!(file, "[http {}]", quoted(&upstream.url))?;
    if let Some((name, secret)) = &upstream.credential {
        let basic = BASE64_STANDARD.encode([name, ":", secret].concat());
        writeln!(file, "\textraHeader = \"Authorization: Basic {basic}\"")?;
    }
    if let Some(ca) = &upstream.ca_file {
        writeln!(file, "\tsslCAInfo = {}", quoted(&ca.display().to_string()))?;
    }
    Ok(home)
}

/// A text in the form of Git's files of settings (git-config, "Syntax").
fn quoted(text: &str) -> String {
    ["\"", &text.replace('\\', "\\\\").replace('"', "\\\""), "\""].concat()
}
