//! Git, run so that nothing a repository sets up is run with it: no hooks, pagers, monitors, network.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A command in a repository.
pub(crate) fn git(root: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(root)
        .args([
            "--no-pager",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.quotePath=false",
            "-c",
            "log.showSignature=false",
            "-c",
            "log.mailmap=false",
        ])
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The most bytes of a list of files.
const LIST_BYTES_MAX: u64 = 1 << 30;

/// What Git keeps track of below a folder, or would if it were added.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Files, and folders that are repositories of their own.
    paths: HashSet<String>,
    /// The folders above them.
    folders: HashSet<String>,
}

impl Known {
    /// Whether there is something to look at in a folder.
    pub(crate) fn has_folder(&self, name: &str) -> bool {
        self.folders.contains(name) || self.has_file(name)
    }

    /// Whether a file is one that Git does not ignore. In a repository within the repository all are.
    pub(crate) fn has_file(&self, name: &str) -> bool {
        let above = name.match_indices('/').filter_map(|(at, _)| name.get(..at));
        std::iter::once(name).chain(above).any(|path| self.paths.contains(path))
    }

    fn add(&mut self, path: &str) {
        let path = path.trim_end_matches('/');
        for (at, _) in path.match_indices('/').rev() {
            let folder = path.get(..at).unwrap_or_default();
            if !self.folders.insert(folder.to_owned()) {
                break;
            }
        }
        self.paths.insert(path.to_owned());
    }
}

/// What Git knows below a folder; none where there is no Git, or where the whole folder is ignored.
pub(crate) fn known(root: &Path) -> Option<Known> {
    let ignored = git(root).args(["check-ignore", "--quiet", "."]).output().ok()?.status.code();
    if ignored != Some(1) {
        return None;
    }
    let mut command = git(root);
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let mut list = Vec::new();
    let read = child.stdout.take().map(|out| out.take(LIST_BYTES_MAX).read_to_end(&mut list));
    let ended = child.wait();
    if !matches!(read, Some(Ok(_))) || !ended.is_ok_and(|status| status.success()) {
        return None;
    }
    let mut known = Known::default();
    for path in list.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        known.add(&String::from_utf8_lossy(path));
    }
    Some(known)
}
