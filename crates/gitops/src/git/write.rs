//! Writing commits without a working tree: objects first, then the branch by compare-and-swap. Invariant: the same
//! inputs make the same object names, and a crash leaves at most objects that nothing refers to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prograde_model::CommitId;

use super::{GitError, NOBODY, Repository, command};
use prograde_kustomize::FileTree;

/// Who a commit is by; the text is cleaned where it is written.
pub(crate) struct Author<'a> {
    pub(crate) name: &'a str,
    pub(crate) email: &'a str,
    pub(crate) at: Timestamp,
}

/// A directory or file in a tree.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TreeEntry {
    pub(crate) mode: String,
    pub(crate) kind: String,
    pub(crate) object: String,
}

impl TreeEntry {
    pub(crate) fn directory(object: String) -> Self {
        Self { mode: "040000".into(), kind: "tree".into(), object }
    }
}

/// A directory that is being made.
#[derive(Default)]
struct Directory {
    files: BTreeMap<String, String>,
    directories: BTreeMap<String, Directory>,
}

impl Repository {
    /// Writes files as a tree; answers with its name. Links are left out: the caller has refused them.
    pub(crate) async fn write_files(&self, files: &FileTree) -> Result<String, GitError> {
        let objects = self.write_blobs(files).await?;
        let mut root = Directory::default();
        for ((path, _), object) in files.files().zip(objects) {
            let mut parts: Vec<&str> = path.split('/').collect();
            let name = parts.pop().unwrap_or_default();
            let mut dir = &mut root;
            for part in parts {
                dir = dir.directories.entry(part.to_owned()).or_default();
            }
            dir.files.insert(name.to_owned(), object);
        }
        self.write_directory(root).await
    }

    /// The names of the files' contents, in the files' order.
    pub(super) async fn write_blobs(&self, files: &FileTree) -> Result<Vec<String>, GitError> {
        let what = "write files";
        let disk = |source| GitError::Disk { path: self.dir.clone(), source };
        let scratch = tempfile::tempdir().map_err(disk)?;
        let mut request = String::new();
        for (index, (_, content)) in files.files().enumerate() {
            let path = scratch.path().join(index.to_string());
            tokio::fs::write(&path, content).await.map_err(disk)?;
            let path = path.to_str().filter(|path| !path.contains('\n')).ok_or(GitError::Answer { what })?;
            request.push_str(path);
            request.push('\n');
        }
        let arguments = ["hash-object", "-w", "--no-filters", "--stdin-paths"];
        let answer = self.run(what, &arguments, Some(request.as_bytes())).await?;
        let objects: Vec<String> = String::from_utf8_lossy(&answer).lines().map(str::to_owned).collect();
        if objects.len() == files.len() { Ok(objects) } else { Err(GitError::Answer { what }) }
    }

    async fn write_directory(&self, dir: Directory) -> Result<String, GitError> {
        let mut entries = BTreeMap::new();
        for (name, object) in dir.files {
            entries.insert(name, TreeEntry { mode: "100644".into(), kind: "blob".into(), object });
        }
        for (name, inner) in dir.directories {
            let object = Box::pin(self.write_directory(inner)).await?;
            entries.insert(name, TreeEntry::directory(object));
        }
        self.write_tree(&entries).await
    }

    /// Writes one directory.
    pub(crate) async fn write_tree(&self, entries: &BTreeMap<String, TreeEntry>) -> Result<String, GitError> {
        let mut request = Vec::new();
        for (name, entry) in entries {
            request.extend(format!("{} {} {}\t{name}\0", entry.mode, entry.kind, entry.object).into_bytes());
        }
        let answer = self.run("write a directory", &["mktree", "-z"], Some(&request)).await?;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }

    /// The entries of one directory; none where there is no such tree.
    pub(crate) async fn read_tree(&self, expression: &str) -> Result<BTreeMap<String, TreeEntry>, GitError> {
        let Some(tree) = self.resolve(expression).await? else { return Ok(BTreeMap::new()) };
        let answer = self.run("list a directory", &["ls-tree", "-z", tree.as_str()], None).await?;
        let text = String::from_utf8_lossy(&answer);
        text.split_terminator('\0')
            .map(|line| {
                let wrong = || GitError::Answer { what: "list a directory" };
                let (head, name) = line.split_once('\t').ok_or_else(wrong)?;
                let [mode, kind, object] = head.split(' ').collect::<Vec<_>>()[..] else { return Err(wrong()) };
                let entry = TreeEntry { mode: mode.into(), kind: kind.into(), object: object.into() };
                Ok((name.to_owned(), entry))
            })
            .collect()
    }

    /// Writes a commit; no branch points at it yet.
    pub(crate) async fn write_commit(
        &self,
        tree: &str,
        parents: &[&CommitId],
        author: &Author<'_>,
        message: &str,
    ) -> Result<CommitId, GitError> {
        let what = "write a commit";
        let mut arguments = vec!["commit-tree", tree];
        arguments.extend(parents.iter().flat_map(|parent| ["-p", parent.as_str()]));
        let mut command =
            command::command(&self.dir, &["i18n.commitEncoding=UTF-8", "commit.gpgSign=false"], arguments);
        let date = format!("{} +0000", author.at.as_second());
        let (name, email) = (person(author.name, "unknown"), person(author.email, "unknown"));
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), &name)
                .env(format!("GIT_{role}_EMAIL"), &email)
                .env(format!("GIT_{role}_DATE"), &date);
        }
        let answer = command::answer(command, Some(message.as_bytes()), 1024, command::COMMAND_TIMEOUT).await?;
        let answer = answer.expect_success(what)?;
        String::from_utf8_lossy(&answer).trim().parse().map_err(|_| GitError::Answer { what })
    }

    /// Moves a branch, if it still points where it did.
    pub(crate) async fn move_branch(
        &self,
        branch: &str,
        from: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<(), GitError> {
        self.update(branch, from, to, None).await
    }

    /// Moves a branch for somebody, whom the log of the reference names as it does for a push.
    pub(crate) async fn move_branch_for(
        &self,
        by: &str,
        (branch, from): (&str, Option<&CommitId>),
        to: &CommitId,
    ) -> Result<(), GitError> {
        self.update(branch, from, to, Some(by)).await
    }

    async fn update(
        &self,
        branch: &str,
        from: Option<&CommitId>,
        to: &CommitId,
        by: Option<&str>,
    ) -> Result<(), GitError> {
        let reference = format!("refs/heads/{branch}");
        let zeros = "0".repeat(to.as_str().len());
        let from = from.map_or(zeros.as_str(), CommitId::as_str);
        let arguments = ["update-ref", "--no-deref", &reference, to.as_str(), from];
        let settings: &[&str] = if by.is_some() { &["core.logAllRefUpdates=true"] } else { &[] };
        let mut command = command::command(&self.dir, settings, arguments);
        if let Some(by) = by {
            command.env("GIT_COMMITTER_NAME", person(by, NOBODY)).env("GIT_COMMITTER_EMAIL", NOBODY);
        }
        let answer = command::answer(command, None, 1024, command::COMMAND_TIMEOUT).await?;
        match answer.code {
            Some(0) => Ok(()),
            _ if ["cannot lock ref", "but expected"].iter().any(|text| answer.stderr.contains(text)) => {
                Err(GitError::Moved { branch: branch.to_owned() })
            }
            _ => Err(answer.failure("move a branch")),
        }
    }

    /// Removes a branch, if it still points where it did.
    pub(crate) async fn remove_branch(&self, branch: &str, at: &CommitId) -> Result<(), GitError> {
        let reference = format!("refs/heads/{branch}");
        self.run("remove a branch", &["update-ref", "-d", "--no-deref", &reference, at.as_str()], None).await?;
        Ok(())
    }
}

/// A name or address without what Git's commit headers can't hold.
pub(super) fn person(text: &str, or: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).take(200).collect();
    // Git itself takes these off the ends and refuses what is then empty.
    let clean = clean.trim_matches(|c: char| c.is_whitespace() || ".,:;\"\\'".contains(c));
    if clean.is_empty() { or.to_owned() } else { clean.to_owned() }
}
