//! A commit's files on a disk, without Git's own. Invariant: nothing is written or linked to outside of the directory,
//! whatever the commit holds.

use std::collections::BTreeSet;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use prograde_model::CommitId;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::read::{Entry, MODE_EXECUTABLE, MODE_LINK, MODE_SUBMODULE};
use super::{GitError, Repository, command};
use prograde_kustomize::is_plain;

/// The most bytes of all files of an exported commit.
pub const EXPORT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// The most files of an exported commit.
const EXPORT_FILES_MAX: usize = 200_000;
/// The longest target of a symbolic link.
const LINK_BYTES_MAX: u64 = 4_096;
/// How long an export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_mins(10);

impl Repository {
    /// Writes all files of a commit into a directory, which must be empty or not there yet. Executable bits and symbolic
    /// links are kept; links that lead out of the directory, submodules and files below links are refused.
    pub async fn export(&self, commit: &CommitId, into: &Path) -> Result<(), GitError> {
        let entries = self.entries(commit, "").await?;
        check(&entries)?;
        let disk = |source| GitError::Disk { path: into.to_owned(), source };
        tokio::fs::create_dir_all(into).await.map_err(disk)?;
        if tokio::fs::read_dir(into).await.map_err(disk)?.next_entry().await.map_err(disk)?.is_some() {
            let why = "the directory is not empty";
            return Err(GitError::Export { path: into.display().to_string(), why });
        }
        tokio::time::timeout(EXPORT_TIMEOUT, self.write_all(&entries, into))
            .await
            .map_err(|_| GitError::Timeout { seconds: EXPORT_TIMEOUT.as_secs() })?
    }

    /// Files first and links last, so that no link is there yet that a file could be written through.
    async fn write_all(&self, entries: &[Entry], into: &Path) -> Result<(), GitError> {
        let mut command = command::command(&self.dir, &[], ["cat-file", "--batch"]);
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        let mut running = command::Running::start(command)?;
        let (Some(mut stdin), Some(stdout)) = (running.child.stdin.take(), running.child.stdout.take()) else {
            return Err(GitError::Answer { what: "read files" });
        };
        let mut stdout = BufReader::new(stdout);
        let (files, links): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.mode != MODE_LINK);
        let pipe = |source| GitError::Pipe { source };
        let mut made = BTreeSet::new();
        for entry in files.into_iter().chain(links) {
            stdin.write_all(format!("{}\n", entry.object).as_bytes()).await.map_err(pipe)?;
            stdin.flush().await.map_err(pipe)?;
            let mut head = String::new();
            (&mut stdout).take(200).read_line(&mut head).await.map_err(pipe)?;
            let size = head.trim_end().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok());
            if size.is_none() || size != entry.size {
                return Err(GitError::Answer { what: "read files" });
            }
            let path = into.join(&entry.path);
            make_parent(&path, &mut made).await?;
            let mut content = (&mut stdout).take(size.unwrap_or(0));
            if entry.mode == MODE_LINK {
                let mut target = String::new();
                content.read_to_string(&mut target).await.map_err(pipe)?;
                write_link(entry, &target, &path).await?;
            } else {
                write_file(&mut content, &path, entry.mode == MODE_EXECUTABLE).await?;
            }
            if stdout.read_u8().await.map_err(pipe)? != b'\n' {
                return Err(GitError::Answer { what: "read files" });
            }
        }
        Ok(())
    }
}

fn check(entries: &[Entry]) -> Result<(), GitError> {
    let refused = |entry: &Entry, why| Err(GitError::Export { path: entry.path.clone(), why });
    let bytes: u64 = entries.iter().filter_map(|entry| entry.size).sum();
    if entries.len() > EXPORT_FILES_MAX || bytes > EXPORT_BYTES_MAX {
        return Err(GitError::TooLarge { what: "the commit", limit: EXPORT_BYTES_MAX });
    }
    let mut paths = BTreeSet::new();
    for entry in entries {
        if !is_plain(&entry.path) || entry.path.split('/').any(|part| part.eq_ignore_ascii_case(".git")) {
            return refused(entry, "its path is not a plain one");
        }
        if entry.mode == MODE_SUBMODULE {
            return refused(entry, "it is a submodule; copy its files into the repository");
        }
        if entry.mode == MODE_LINK && entry.size.is_none_or(|size| size > LINK_BYTES_MAX) {
            return refused(entry, "its target is too long");
        }
        if !paths.insert(entry.path.as_str()) {
            return refused(entry, "it is there twice");
        }
    }
    // A file or link that something else lies below: Git never makes such a tree, but one can be crafted.
    for entry in entries {
        let above = entry.path.match_indices('/').map(|(at, _)| entry.path.split_at(at).0);
        if above.into_iter().any(|dir| paths.contains(dir)) {
            return refused(entry, "it lies below a file");
        }
    }
    Ok(())
}

async fn make_parent(path: &Path, made: &mut BTreeSet<PathBuf>) -> Result<(), GitError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if made.insert(parent.to_owned()) {
        tokio::fs::create_dir_all(parent).await.map_err(|source| GitError::Disk { path: parent.to_owned(), source })?;
    }
    Ok(())
}

async fn write_file(
    content: &mut (impl tokio::io::AsyncRead + Unpin),
    path: &Path,
    executable: bool,
) -> Result<(), GitError> {
    let disk = |source| GitError::Disk { path: path.to_owned(), source };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(if executable { 0o755 } else { 0o644 });
    let mut file = tokio::fs::OpenOptions::from(options).open(path).await.map_err(disk)?;
    tokio::io::copy(content, &mut file).await.map_err(disk)?;
    file.flush().await.map_err(disk)
}

async fn write_link(entry: &Entry, target: &str, path: &Path) -> Result<(), GitError> {
    if !stays_inside(&entry.path, target) {
        let why = "it is a symbolic link that may lead out of the repository";
        return Err(GitError::Export { path: entry.path.clone(), why });
    }
    tokio::fs::symlink(target, path).await.map_err(|source| GitError::Disk { path: path.to_owned(), source })
}

/// Whether a link stays inside: `..` may only be in front, and not more often than the link is deep. A `..` after a name
/// could climb from wherever another link leads. The directories above a link are real, so this holds for each link
/// by itself and therefore for any chain of them.
fn stays_inside(link: &str, target: &str) -> bool {
    let depth = link.matches('/').count();
    let parts: Vec<&str> = target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let up = parts.iter().take_while(|part| **part == "..").count();
    !target.starts_with('/')
        && !target.is_empty()
        && !target.contains('\0')
        && up <= depth
        && parts.iter().skip(up).all(|part| *part != ".." && !part.eq_ignore_ascii_case(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        assert!(stays_inside("a/b/link", "../../c/./d"));
        for (link, target) in
            [("link", "/etc/passwd"), ("link", ".."), ("a/link", "../.."), ("a/link", "b/../../.."), ("link", "")]
        {
            assert!(!stays_inside(link, target), "{link} -> {target}");
        }
    }

    #[test]
    fn crafted_trees_are_refused() {
        let entry =
            |mode: &str, path: &str| Entry { mode: mode.into(), object: "0".into(), size: Some(1), path: path.into() };
        assert!(check(&[entry("100644", "a/b"), entry(MODE_LINK, "c")]).is_ok());
        for bad in [
            vec![entry(MODE_LINK, "a"), entry("100644", "a/b")],
            vec![entry("100644", "a"), entry("100644", "a")],
            vec![entry("100644", "../a")],
            vec![entry("100644", ".GIT/config")],
            vec![entry(MODE_SUBMODULE, "a")],
        ] {
            assert!(check(&bad).is_err());
        }
    }
}
