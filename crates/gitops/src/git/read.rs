//! Reading commits: what a branch points at, who wrote it, its files and what changed.

use jiff::Timestamp;
use prograde_model::CommitId;

use super::{GitError, Repository, command, is_branch};
use prograde_kustomize::{BYTES_MAX, FILES_MAX, FileTree, TreeError, is_plain};

/// The largest single file that is read.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The most that Git answers for all files of a tree: with a line in front of each.
const BATCH_BYTES_MAX: u64 = BYTES_MAX as u64 + FILES_MAX as u64 * 100;

/// How far back it is looked for who pushed a commit.
const PUSHES_MAX: usize = 1_000;

/// A commit without its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Who wrote it.
    pub author_name: String,
    /// Their address.
    pub author_email: String,
    /// The first line of the message.
    pub subject: String,
    /// The whole message.
    pub message: String,
    /// When it was committed.
    pub time: Timestamp,
    /// What it follows; several for a merge, none for the first.
    pub parents: Vec<CommitId>,
}

/// One entry of a tree with its full path.
pub(super) struct Entry {
    pub(super) mode: String,
    pub(super) object: String,
    /// Bytes of a file; none for a submodule.
    pub(super) size: Option<u64>,
    pub(super) path: String,
}

/// Git's modes of tree entries.
pub(super) const MODE_LINK: &str = "120000";
pub(super) const MODE_SUBMODULE: &str = "160000";
pub(super) const MODE_EXECUTABLE: &str = "100755";
/// What `diff-tree` says of a file that is not there.
const MODE_NONE: &str = "000000";

impl Repository {
    /// The commit that a branch points at; `None` where there is no such branch.
    pub async fn head(&self, branch: &str) -> Result<Option<CommitId>, GitError> {
        if !is_branch(branch) {
            return Err(GitError::name("branch", branch));
        }
        self.resolve(&format!("refs/heads/{branch}^{{commit}}")).await
    }

    /// The object that an expression means. The expression is made here, never taken from outside.
    pub(crate) async fn resolve(&self, expression: &str) -> Result<Option<CommitId>, GitError> {
        let what = "resolve a name";
        let command = command::command(&self.dir, &[], ["rev-parse", "--verify", "--quiet", expression]);
        let answer = command::answer(command, None, 1024, command::COMMAND_TIMEOUT).await?;
        match answer.code {
            Some(0) => {
                String::from_utf8_lossy(&answer.stdout).trim().parse().map(Some).map_err(|_| GitError::Answer { what })
            }
            Some(1 | 128) if answer.stderr.is_empty() || answer.stderr.contains("bad revision") => Ok(None),
            _ => Err(answer.failure(what)),
        }
    }

    /// Fails where there is no such commit.
    pub(crate) async fn check_commit(&self, commit: &CommitId) -> Result<(), GitError> {
        match self.resolve(&format!("{commit}^{{commit}}")).await? {
            Some(_) => Ok(()),
            None => Err(GitError::NoCommit(commit.clone())),
        }
    }

    /// Author, message, time and parents of a commit.
    pub async fn commit_info(&self, commit: &CommitId) -> Result<CommitInfo, GitError> {
        self.check_commit(commit).await?;
        let bytes = self.run("read a commit", &["cat-file", "commit", commit.as_str()], None).await?;
        parse_commit(&String::from_utf8_lossy(&bytes)).ok_or(GitError::Answer { what: "read a commit" })
    }

    /// A file's content at a commit; `None` where there is no such file.
    pub async fn read_file(&self, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        if !is_plain(path) {
            return Err(GitError::name("path", path));
        }
        self.check_commit(commit).await?;
        let listing =
            self.run("list a file", &["ls-tree", "-z", "-l", "--full-tree", commit.as_str(), "--", path], None).await?;
        let entries = parse_entries(&listing)?;
        let Some(entry) = entries.first() else { return Ok(None) };
        if entry.mode == MODE_LINK {
            return Err(GitError::Symlink { path: path.to_owned() });
        }
        let Some(size) = entry.size else { return Ok(None) };
        if size > FILE_BYTES_MAX {
            return Err(GitError::TooLarge { what: "the file", limit: FILE_BYTES_MAX });
        }
        self.run("read a file", &["cat-file", "blob", &entry.object], None).await.map(Some)
    }

    /// The paths of all files below a directory at a commit, relative to it; the empty path is the whole tree.
    pub async fn list_files(&self, commit: &CommitId, dir: &str) -> Result<Vec<String>, GitError> {
        Ok(self.entries(commit, dir).await?.into_iter().map(|entry| entry.path).collect())
    }

    /// All entries below a directory; none where there is no such directory.
    pub(super) async fn entries(&self, commit: &CommitId, dir: &str) -> Result<Vec<Entry>, GitError> {
        if !dir.is_empty() && !is_plain(dir) {
            return Err(GitError::name("directory", dir));
        }
        self.check_commit(commit).await?;
        // `commit:` is the whole tree, and a directory's path without a slash at its end is that tree.
        let Some(tree) = self.resolve(&format!("{commit}:{dir}")).await? else { return Ok(Vec::new()) };
        let command = command::command(&self.dir, &[], ["ls-tree", "-r", "-z", "-l", tree.as_str()]);
        let answer = command::answer(command, None, command::STDOUT_BYTES_MAX, command::COMMAND_TIMEOUT).await?;
        if answer.code == Some(128) && answer.stderr.contains("not a tree object") {
            return Ok(Vec::new());
        }
        parse_entries(&answer.expect_success("list a directory")?)
    }

    /// All files below a directory at a commit, with paths relative to it. Symbolic links are kept as links, and
    /// submodules left out; of more bytes than a tree may have the largest files are left out, whoever reads them is told so.
    pub async fn tree(&self, commit: &CommitId, dir: &str) -> Result<FileTree, GitError> {
        let entries = self.entries(commit, dir).await?;
        let files: Vec<&Entry> = entries.iter().filter(|entry| entry.mode != MODE_SUBMODULE).collect();
        if files.len() > FILES_MAX {
            return Err(tree_too_large());
        }
        let (files, large) = fitting(files);
        let mut tree = FileTree::new();
        for (entry, bytes) in large {
            tree.leave_out(&*entry.path, bytes).map_err(from_tree)?;
        }
        let files = files.into_iter().map(|entry| (entry.mode.as_str(), entry.object.as_str(), entry.path.as_str()));
        self.put(&mut tree, files.collect()).await?;
        Ok(tree)
    }

    /// All files at a commit, where those of another one are known: what both have is shared and not read again. They need
    /// not follow each other; where the known one is not in the repository any more, everything is read.
    pub async fn tree_after(
        &self,
        commit: &CommitId,
        (known, before): (&CommitId, &FileTree),
    ) -> Result<FileTree, GitError> {
        let arguments =
            ["diff-tree", "-r", "-z", "--raw", "--no-renames", "--no-abbrev", known.as_str(), commit.as_str()];
        let command = command::command(&self.dir, &[], arguments);
        let answer = command::answer(command, None, command::STDOUT_BYTES_MAX, command::COMMAND_TIMEOUT).await?;
        // What is wrong with a name is told by whoever reads everything.
        let listing = std::str::from_utf8(&answer.stdout).ok().filter(|_| answer.code == Some(0));
        let Some(listing) = listing else { return self.tree(commit, "").await };
        // What is left out depends on all files.
        if before.left_out().next().is_some() {
            return self.tree(commit, "").await;
        }
        let changes = parse_changes(listing)?;
        let mut tree = before.clone();
        for change in &changes {
            tree.remove(change.path);
        }
        let is_read = |change: &&Change<'_>| change.mode != MODE_NONE && change.mode != MODE_SUBMODULE;
        let read = changes.iter().filter(is_read).map(|change| (change.mode, change.object, change.path));
        match self.put(&mut tree, read.collect()).await {
            Ok(()) if size(&tree) <= BYTES_MAX => Ok(tree),
            Ok(()) | Err(GitError::TooLarge { .. }) => self.tree(commit, "").await,
            Err(error) => Err(error),
        }
    }

    /// Reads files, each with its mode, object and path, into a tree.
    async fn put(&self, tree: &mut FileTree, files: Vec<(&str, &str, &str)>) -> Result<(), GitError> {
        if files.is_empty() {
            return Ok(());
        }
        let request: String = files.iter().flat_map(|(_, object, _)| [*object, "\n"]).collect();
        let command = command::command(&self.dir, &[], ["cat-file", "--batch"]);
        let answer =
            command::answer(command, Some(request.as_bytes()), BATCH_BYTES_MAX, command::COMMAND_TIMEOUT).await?;
        let answer = answer.expect_success("read files")?;
        let mut rest = answer.as_slice();
        for (mode, _, path) in files {
            let content = next_object(&mut rest).ok_or(GitError::Answer { what: "read files" })?;
            let put = if mode == MODE_LINK {
                tree.insert_link(path, String::from_utf8_lossy(content))
            } else {
                tree.insert(path, content)
            };
            put.map_err(from_tree)?;
        }
        Ok(())
    }

    /// The paths that differ between two commits, in order.
    pub async fn changed_paths(&self, from: &CommitId, to: &CommitId) -> Result<Vec<String>, GitError> {
        self.check_commit(from).await?;
        self.check_commit(to).await?;
        let arguments = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", from.as_str(), to.as_str()];
        let answer = self.run("compare commits", &arguments, None).await?;
        Ok(String::from_utf8_lossy(&answer).split_terminator('\0').map(str::to_owned).collect())
    }

    /// The commits that `until` has and `since` has not, the newest first, at most `max` of them.
    pub async fn commits_between(
        &self,
        since: &CommitId,
        until: &CommitId,
        max: usize,
    ) -> Result<Vec<(CommitId, CommitInfo)>, GitError> {
        self.check_commit(since).await?;
        self.check_commit(until).await?;
        let (what, most, without) = ("compare commits", format!("--max-count={max}"), format!("^{since}"));
        let listed = self.run(what, &["rev-list", &most, until.as_str(), &without, "--"], None).await?;
        let mut found = Vec::new();
        for line in String::from_utf8_lossy(&listed).lines() {
            let commit: CommitId = line.parse().map_err(|_| GitError::Answer { what })?;
            let info = self.commit_info(&commit).await?;
            found.push((commit, info));
        }
        Ok(found)
    }

    /// Who pushed a commit as the newest one of `main`, where that is on record and the push said it.
    pub(crate) async fn pusher(&self, commit: &CommitId) -> Result<Option<String>, GitError> {
        let most = format!("--max-count={PUSHES_MAX}");
        let arguments = ["log", "-g", &most, "--no-show-signature", "--format=%H %gn", "refs/heads/main", "--"];
        let answer = self.run("read who pushed", &arguments, None).await?;
        let answer = String::from_utf8_lossy(&answer);
        let named = answer.lines().find_map(|line| line.strip_prefix(commit.as_str())?.strip_prefix(' '));
        Ok(named.map(str::to_owned))
    }

    /// The newest commit that two have in common, if there is any.
    pub(crate) async fn common(&self, one: &CommitId, other: &CommitId) -> Result<Option<CommitId>, GitError> {
        let what = "compare commits";
        self.check_commit(one).await?;
        self.check_commit(other).await?;
        let command = command::command(&self.dir, &[], ["merge-base", one.as_str(), other.as_str()]);
        let answer = command::answer(command, None, 1024, command::COMMAND_TIMEOUT).await?;
        match answer.code {
            Some(0) => {
                let commit = String::from_utf8_lossy(&answer.stdout);
                commit.trim().parse().map(Some).map_err(|_| GitError::Answer { what })
            }
            Some(1) => Ok(None),
            _ => Err(answer.failure(what)),
        }
    }

    /// Whether `older` is `newer` or one of its ancestors.
    pub async fn is_ancestor(&self, older: &CommitId, newer: &CommitId) -> Result<bool, GitError> {
        self.check_commit(older).await?;
        self.check_commit(newer).await?;
        let command = command::command(&self.dir, &[], ["merge-base", "--is-ancestor", older.as_str(), newer.as_str()]);
        let answer = command::answer(command, None, 1024, command::COMMAND_TIMEOUT).await?;
        match answer.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(answer.failure("compare commits")),
        }
    }
}

/// What a tree has room for, and the largest files, which it has not.
fn fitting(mut files: Vec<&Entry>) -> (Vec<&Entry>, Vec<(&Entry, u64)>) {
    let mut bytes: u64 = files.iter().filter_map(|entry| entry.size).sum();
    let (mut large, room) = (Vec::new(), BYTES_MAX as u64);
    if bytes > room {
        files.sort_by(|one, other| (one.size, &one.path).cmp(&(other.size, &other.path)));
    }
    while bytes > room
        && let Some(entry) = files.pop()
    {
        let size = entry.size.unwrap_or_default();
        bytes -= size;
        large.push((entry, size));
    }
    (files, large)
}

/// The bytes of all files and links.
fn size(tree: &FileTree) -> usize {
    let (files, links) = (tree.files().map(|(_, content)| content.len()), tree.links().map(|(_, target)| target.len()));
    files.chain(links).sum()
}

fn from_tree(error: TreeError) -> GitError {
    match error {
        TreeError::Path(path) => GitError::Name { what: "path", text: path },
        TreeError::TooLarge => tree_too_large(),
    }
}

fn tree_too_large() -> GitError {
    GitError::TooLarge { what: "the directory", limit: BYTES_MAX as u64 }
}

/// A path that differs between two commits, and what it is in the later one.
#[derive(Debug, PartialEq)]
struct Change<'a> {
    mode: &'a str,
    object: &'a str,
    path: &'a str,
}

/// `:mode mode object object status NUL path NUL`, as `diff-tree --raw -z` answers.
fn parse_changes(listing: &str) -> Result<Vec<Change<'_>>, GitError> {
    let wrong = || GitError::Answer { what: "compare commits" };
    let mut parts = listing.split_terminator('\0');
    let mut changes = Vec::new();
    while let Some(head) = parts.next() {
        let path = parts.next().ok_or_else(wrong)?;
        let [_, mode, _, object, _] = head.split(' ').collect::<Vec<_>>()[..] else { return Err(wrong()) };
        changes.push(Change { mode, object, path });
    }
    Ok(changes)
}

/// `mode type object size TAB path NUL`, as `ls-tree -l -z` answers.
fn parse_entries(listing: &[u8]) -> Result<Vec<Entry>, GitError> {
    let wrong = || GitError::Answer { what: "list a directory" };
    listing
        .split(|byte| *byte == 0)
        .filter(|line| !line.is_empty())
        .map(|line| {
            let line = std::str::from_utf8(line).map_err(|_| GitError::Export {
                path: String::from_utf8_lossy(line).into_owned(),
                why: "its name is not UTF-8",
            })?;
            let (head, path) = line.split_once('\t').ok_or_else(wrong)?;
            let [mode, _, object, size] = head.split_whitespace().collect::<Vec<_>>()[..] else { return Err(wrong()) };
            Ok(Entry { mode: mode.into(), object: object.into(), size: size.parse().ok(), path: path.into() })
        })
        .collect()
}

/// The next object of `cat-file --batch`: `object type size LF content LF`.
pub(super) fn next_object<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let head = std::str::from_utf8(rest.get(..end)?).ok()?;
    let size: usize = head.rsplit(' ').next()?.parse().ok()?;
    let from = end + 1;
    let content = rest.get(from..from.checked_add(size)?)?;
    *rest = rest.get(from + size + 1..)?;
    Some(content)
}

/// A commit object (Git's `Documentation/gitformat-commit`): headers, an empty line, the message.
fn parse_commit(text: &str) -> Option<CommitInfo> {
    let (headers, message) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut parents = Vec::new();
    let (mut author, mut committer) = (None, None);
    for line in headers.lines() {
        match line.split_once(' ') {
            Some(("parent", id)) => parents.push(id.parse().ok()?),
            Some(("author", person)) if author.is_none() => author = Some(person),
            Some(("committer", person)) if committer.is_none() => committer = Some(person),
            Some(_) | None => {}
        }
    }
    let (author_name, rest) = author?.split_once('<')?;
    let (author_email, _) = rest.split_once('>')?;
    let (_, when) = committer?.rsplit_once('>')?;
    let seconds: i64 = when.split_whitespace().next()?.parse().ok()?;
    Some(CommitInfo {
        author_name: author_name.trim().to_owned(),
        author_email: author_email.trim().to_owned(),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        message: message.trim_end().to_owned(),
        // Times beyond the year 9999 are nobody's; the nearest one that exists is as good.
        time: Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX),
        parents,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_are_read_with_all_their_headers() {
        let text = "tree 1\nparent aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nauthor A <B> <a@b> 1 +0200\n\
            committer C D <c@d> 1700000000 +0000\ngpgsig x\n author y\n\nSubject\n\nBody\n";
        let info = parse_commit(text).unwrap();
        assert_eq!((info.author_name.as_str(), info.subject.as_str()), ("A", "Subject"));
        assert_eq!((info.time.as_second(), info.parents.len()), (1_700_000_000, 1));
        assert_eq!(info.message, "Subject\n\nBody");
        assert_eq!(parse_commit("tree 1\n"), None);
    }

    #[test]
    fn changes_are_read() {
        let listing = ":100644 120000 aa bb T\0a b\0:100644 000000 cc 00 D\0d\0";
        let all = parse_changes(listing).unwrap();
        assert_eq!(all[0], Change { mode: MODE_LINK, object: "bb", path: "a b" });
        assert_eq!((all[1].mode, all[1].path, all.len()), (MODE_NONE, "d", 2));
        assert!(parse_changes(":100644 100644 aa bb M\0").is_err() && parse_changes("x\0y\0").is_err());
    }

    #[test]
    fn objects_of_a_batch_may_hold_anything() {
        let mut rest = &b"a blob 3\n\n\0\n\nb blob 0\n\n"[..];
        assert_eq!(next_object(&mut rest), Some(&b"\n\0\n"[..]));
        assert_eq!(next_object(&mut rest), Some(&b""[..]));
        assert_eq!(next_object(&mut rest), None);
        assert_eq!(next_object(&mut &b"a blob 99\nshort"[..]), None);
    }
}
