//! Commits what `prograde image update` wrote, and pushes it. Invariant: a commit has the files that were updated and nothing
//! that somebody else has changed; nothing is forced, and nothing asked for.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use prograde_apps::image::marker::Change;
use prograde_apps::image::message::message;
use prograde_apps::image::objects::ImageUpdateAutomation;
use prograde_model::Diagnostics;

use crate::report::{self, Report};

/// A commit or a push that Git does not make.
const CODE: &str = "PG1383";
/// How much of what Git says about a failure is told.
const SAID_CHARS_MAX: usize = 500;

/// The repository that updated files are committed to.
pub(super) struct Committing<'a> {
    root: PathBuf,
    automation: Option<&'a ImageUpdateAutomation>,
}

impl<'a> Committing<'a> {
    /// In the repository with this root, as the one automation says.
    pub(super) fn new(root: &Path, automations: &'a [ImageUpdateAutomation]) -> Result<Self, Report> {
        if !root.join(".git").exists() {
            return Err(Report::new(report::ARGUMENT, format!("{} is in no Git repository", root.display()))
                .hint("leave out `--commit` and `--push`, and use `--write`"));
        }
        let active: Vec<&ImageUpdateAutomation> = automations.iter().filter(|one| !one.suspend).collect();
        if let [one, other, ..] = active.as_slice() {
            let (one, other) = (&one.metadata.name, &other.metadata.name);
            let message = format!("both `{one}` and `{other}` say how to commit");
            return Err(Report::new(report::ARGUMENT, message)
                .hint("name a directory that has one ImageUpdateAutomation alone, or suspend the other"));
        }
        Ok(Self { root: root.to_path_buf(), automation: active.first().copied() })
    }

    /// Fails where one of the files has changes already: they would be committed too, or are what a run that was broken off
    /// has written.
    pub(super) fn check(&self, files: &[&str]) -> Result<(), Report> {
        let root = fs::canonicalize(&self.root).map_err(|error| Report::file("read", &self.root, &error))?;
        let paths = full(files)?;
        let ours: BTreeSet<&Path> = paths.iter().filter_map(|path| path.strip_prefix(&root).ok()).collect();
        let changed = ["diff", "--name-only", "-z", "HEAD"].map(OsStr::new);
        let new = ["ls-files", "--others", "--exclude-standard", "-z"].map(OsStr::new);
        for asked in [changed, new] {
            let found = self.git("looks at no files", &asked, "")?;
            if let Some(file) = found.split_terminator('\0').find(|file| ours.contains(Path::new(file))) {
                return Err(Report::new(CODE, format!("`{file}` has changes that are not committed")).hint(format!(
                    "see them with `git diff HEAD -- {file}`; commit them, or take them back with `git checkout HEAD -- {file}`"
                )));
            }
        }
        Ok(())
    }

    /// Whether there are commits that `origin` did not have when it was asked last: from a run that was broken off, say.
    pub(super) fn is_ahead(&self) -> Result<bool, Report> {
        let asked = ["rev-list", "--max-count=1", "HEAD", "--not", "--remotes=origin"].map(OsStr::new);
        Ok(!self.git("tells no commits", &asked, "")?.is_empty())
    }

    /// Commits the files as they are now, and gives the commit.
    pub(super) fn commit(&self, files: &[&str], changes: &[Change]) -> Result<String, Report> {
        let said = self.automation.map(|automation| message(automation, changes)).transpose();
        let text = said.map_err(Diagnostics::from)?.unwrap_or_else(|| {
            let lines = changes.iter().map(|change| format!("- {} -> {}\n", change.old_value, change.new_value));
            ["Update images\n\n".to_owned()].into_iter().chain(lines).collect()
        });
        let author = self.automation.map(|automation| &automation.author);
        let settings = author.map(|(name, email)| [("user.name", name), ("user.email", email)]).into_iter().flatten();
        let said = settings.filter(|(_, value)| !value.is_empty());
        let mut arguments: Vec<PathBuf> =
            said.flat_map(|(key, value)| [PathBuf::from("-c"), PathBuf::from(format!("{key}={value}"))]).collect();
        arguments.extend(["commit", "--quiet", "--file=-", "--only", "--"].map(PathBuf::from));
        arguments.extend(full(files)?);
        let arguments: Vec<&OsStr> = arguments.iter().map(|one| one.as_os_str()).collect();
        self.git("makes no commit", &arguments, &text)?;
        let head = self.git("knows no commit", &["rev-parse", "HEAD"].map(OsStr::new), "")?;
        Ok(head.trim().to_owned())
    }

    /// Pushes it to the branch that the automation names, or that is checked out, of `origin`, and gives the branch.
    pub(super) fn push(&self) -> Result<String, Report> {
        let named = self.automation.map(|automation| automation.push_branch.as_str()).filter(|name| !name.is_empty());
        let branch = if let Some(branch) = named {
            branch.to_owned()
        } else {
            let head = ["symbolic-ref", "--quiet", "--short", "HEAD"].map(OsStr::new);
            self.git("has no branch checked out", &head, "")?.trim().to_owned()
        };
        let to = format!("HEAD:refs/heads/{branch}");
        let pushed = self.git("pushes nothing", &["push", "--quiet", "origin", &to].map(OsStr::new), "");
        pushed.map_err(|report| {
            report.hint("the commit stays: where the branch has moved on, `git pull --rebase`; `--push` pushes it then")
        })?;
        Ok(branch)
    }

    /// Runs Git; `fails` says what it does not do where it fails.
    fn git(&self, fails: &str, arguments: &[&OsStr], input: &str) -> Result<String, Report> {
        let failed = |why: &str| {
            let why: String = without_users(why.trim()).chars().take(SAID_CHARS_MAX).collect();
            Report::new(CODE, format!("Git {fails}: {why}"))
        };
        let child = Command::new("git")
            .args(["-c", "core.fsmonitor=false"])
            .args(arguments)
            .current_dir(&self.root)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| failed(&error.to_string()))?;
        // A message is shorter than what a pipe holds unread, or is read before anything is written.
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(|error| failed(&error.to_string()))?;
        if !output.status.success() {
            return Err(failed(&String::from_utf8_lossy(&output.stderr)));
        }
        written.map_err(|error| failed(&error.to_string()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn full(files: &[&str]) -> Result<Vec<PathBuf>, Report> {
    let full = |file: &&str| fs::canonicalize(file).map_err(|error| Report::file("read", Path::new(file), &error));
    files.iter().map(full).collect()
}

/// A text without what stands before `@` in addresses: it may be a token.
fn without_users(text: &str) -> String {
    let mut parts = text.split("://");
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['/', '\'', ' ', '\n']).unwrap_or(part.len());
        let user = part.get(..end).and_then(|host| host.rfind('@')).map_or(0, |at| at + 1);
        all.extend(["://", part.get(user..).unwrap_or_default()]);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_an_address_is_not_told() {
        let said = "fatal: unable to access 'https://bot:s3cret@git.example/a.git/': no\nssh://git@b/c x@y";
        assert_eq!(without_users(said), "fatal: unable to access 'https://git.example/a.git/': no\nssh://b/c x@y");
        assert_eq!(without_users("plain @ text"), "plain @ text");
    }
}
