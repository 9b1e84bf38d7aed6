//! YAML files that hold certain texts, read and rewritten without a working copy. Invariant: of a commit that follows a known
//! one only what differs is read, and a commit that is made has other contents of files and nothing else.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prograde_kustomize::{FileTree, is_plain};
use prograde_model::CommitId;

use super::read::{FILE_BYTES_MAX, next_object};
use super::{Author, GitError, Repository, TreeEntry, command};

/// The most files that are read, and how many may differ before all are looked for anew.
const FILES_MAX: usize = 5_000;
/// The most bytes of them.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long looking through a commit may take.
const SEARCH_TIMEOUT: std::time::Duration = std::time::Duration::from_mins(2);

/// The YAML files of a commit that hold one of some texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// The commit.
    pub commit: CommitId,
    /// The files' texts by their paths. What is not UTF-8 is left out.
    pub files: BTreeMap<String, String>,
}

/// A commit that is to be made.
#[derive(Debug)]
pub struct Rewrite<'a> {
    /// The commit that it follows.
    pub base: &'a CommitId,
    /// New contents of files that are there.
    pub files: &'a BTreeMap<String, String>,
    /// Name and address of its author.
    pub author: (&'a str, &'a str),
    /// When.
    pub at: Timestamp,
    /// What it says.
    pub message: &'a str,
}

impl Repository {
    /// The YAML files of a commit that hold one of these texts. Of what is known of another commit only differences are read.
    pub async fn marked(&self, commit: &CommitId, texts: &[&str], known: Option<&Marked>) -> Result<Marked, GitError> {
        let mut files = BTreeMap::new();
        let mut paths = None;
        if let Some(known) = known {
            // The known one may be gone from the repository.
            let changed = self.changed_paths(&known.commit, commit).await.ok();
            paths = changed.map(|all| all.into_iter().filter(|path| is_yaml(path)).collect::<Vec<_>>());
            paths = paths.filter(|paths| paths.len() <= FILES_MAX);
            files.clone_from(&known.files);
        }
        let paths = if let Some(changed) = paths {
            changed
        } else {
            files.clear();
            self.search(commit, texts).await?
        };
        for path in &paths {
            files.remove(path);
        }
        for (path, content) in self.contents(commit, &paths).await? {
            if let Some(text) =
                String::from_utf8(content).ok().filter(|text| texts.iter().any(|one| text.contains(one)))
            {
                files.insert(path, text);
            }
        }
        let bytes: usize = files.values().map(String::len).sum();
        if files.len() > FILES_MAX || bytes > BYTES_MAX {
            return Err(GitError::TooLarge { what: "all that is marked", limit: BYTES_MAX as u64 });
        }
        Ok(Marked { commit: commit.clone(), files })
    }

    /// The paths of YAML files that hold one of these texts.
    async fn search(&self, commit: &CommitId, texts: &[&str]) -> Result<Vec<String>, GitError> {
        let what = "look for marked files";
        self.check_commit(commit).await?;
        let mut arguments = vec!["grep", "-z", "-I", "-l", "--fixed-strings", "--full-name", "--no-color"];
        for text in texts {
            arguments.extend(["-e", text]);
        }
        arguments.extend([commit.as_str(), "--"]);
        let command = command::command(&self.dir, &["grep.threads=1"], arguments);
        let answer = command::answer(command, None, command::STDOUT_BYTES_MAX, SEARCH_TIMEOUT).await?;
        if answer.code == Some(1) && answer.stderr.is_empty() {
            return Ok(Vec::new());
        }
        let listed = answer.expect_success(what)?;
        let prefix = format!("{commit}:");
        let paths = String::from_utf8_lossy(&listed).into_owned();
        let paths = paths.split_terminator('\0').filter_map(|line| line.strip_prefix(&prefix));
        Ok(paths.filter(|path| is_yaml(path)).map(str::to_owned).collect())
    }

    /// What is in files; what is none, or too large, is left out.
    async fn contents(&self, commit: &CommitId, paths: &[String]) -> Result<Vec<(String, Vec<u8>)>, GitError> {
        let paths: Vec<&String> = paths.iter().filter(|path| is_plain(path) && !path.contains('\n')).collect();
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        if paths.len() > FILES_MAX {
            return Err(GitError::TooLarge { what: "all that is marked", limit: BYTES_MAX as u64 });
        }
        let request: String = paths.iter().flat_map(|path| [commit.as_str(), ":", path, "\n"]).collect();
        let answer = self.run("read files", &["cat-file", "--batch"], Some(request.as_bytes())).await?;
        let (mut rest, mut found) = (answer.as_slice(), Vec::new());
        for path in paths {
            if let Some(after) = missing(rest, commit, path) {
                rest = after;
                continue;
            }
            let is_file = rest.split(|byte| *byte == b'\n').next().is_some_and(is_blob);
            let content = next_object(&mut rest).ok_or(GitError::Answer { what: "read files" })?;
            if is_file && content.len() as u64 <= FILE_BYTES_MAX {
                found.push((path.clone(), content.to_vec()));
            }
        }
        Ok(found)
    }

    /// Writes a commit with other contents of files; no branch points at it yet. The same request gives the same commit.
    pub async fn rewrite(&self, rewrite: &Rewrite<'_>) -> Result<CommitId, GitError> {
        let mut files = FileTree::new();
        for (path, text) in rewrite.files {
            files.insert(path, text.as_bytes()).map_err(|_| GitError::name("path", path))?;
        }
        let objects = self.write_blobs(&files).await?;
        let objects = files.files().map(|(path, _)| path).zip(objects).collect();
        let tree = self.replaced(&format!("{}:", rewrite.base), objects).await?;
        let (name, email) = rewrite.author;
        let author = Author { name, email, at: rewrite.at };
        self.write_commit(&tree, &[rewrite.base], &author, rewrite.message).await
    }

    /// A directory with other contents of some files, by their paths as seen from it.
    async fn replaced(&self, directory: &str, files: BTreeMap<&str, String>) -> Result<String, GitError> {
        let what = "replace a file";
        let mut entries = self.read_tree(directory).await?;
        let mut inner: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        for (path, object) in files {
            match path.split_once('/') {
                Some((dir, rest)) => {
                    inner.entry(dir).or_default().insert(rest, object);
                }
                None => entries.get_mut(path).ok_or(GitError::Answer { what })?.object = object,
            }
        }
        for (name, files) in inner {
            let below = if directory.ends_with(':') { "" } else { "/" };
            let object = Box::pin(self.replaced(&[directory, below, name].concat(), files)).await?;
            let entry: &mut TreeEntry = entries.get_mut(name).ok_or(GitError::Answer { what })?;
            entry.object = object;
        }
        self.write_tree(&entries).await
    }

    /// Whether two commits have the same files.
    pub async fn is_same_tree(&self, one: &CommitId, other: &CommitId) -> Result<bool, GitError> {
        let tree = |of: &CommitId| format!("{of}^{{tree}}");
        let (one, other) = (self.resolve(&tree(one)).await?, self.resolve(&tree(other)).await?);
        Ok(one.is_some() && one == other)
    }

    /// Moves a branch for somebody, whom its log names, if it is where it was; forwards or not.
    pub async fn point(&self, branch: &str, from: Option<&CommitId>, to: &CommitId, by: &str) -> Result<(), GitError> {
        if !super::is_branch(branch) {
            return Err(GitError::name("branch", branch));
        }
        self.move_branch_for(by, (branch, from), to).await
    }

    /// Who moved a branch last, where its log tells.
    pub async fn mover(&self, branch: &str) -> Result<Option<String>, GitError> {
        Ok(self.moves(branch, "--max-count=1").await?.into_iter().next().map(|(_, by)| by))
    }

    /// The commits to which somebody moved a branch, the last first, as far back as its log goes.
    pub async fn pointed_by(&self, branch: &str, by: &str) -> Result<Vec<CommitId>, GitError> {
        let by = super::write::person(by, super::NOBODY);
        let moves = self.moves(branch, "--max-count=1000").await?.into_iter();
        Ok(moves.filter(|(_, who)| *who == by).map(|(commit, _)| commit).collect())
    }

    /// Where a branch was moved to, and by whom, the last first.
    async fn moves(&self, branch: &str, most: &str) -> Result<Vec<(CommitId, String)>, GitError> {
        if self.head(branch).await?.is_none() {
            return Ok(Vec::new());
        }
        let (what, reference) = ("read who moved a branch", format!("refs/heads/{branch}"));
        let arguments = ["log", "-g", most, "--no-show-signature", "--format=%H %gn", &reference, "--"];
        let answer = String::from_utf8_lossy(&self.run(what, &arguments, None).await?).into_owned();
        let moves = answer.lines().filter_map(|line| line.split_once(' '));
        let read = |(commit, by): (&str, &str)| Some((commit.parse().ok()?, by.to_owned()));
        Ok(moves.filter_map(read).collect())
    }
}

fn is_yaml(path: &str) -> bool {
    [".yaml", ".yml"].iter().any(|ending| path.ends_with(ending))
}

/// What comes after an answer that says that there is no such object.
fn missing<'a>(rest: &'a [u8], commit: &CommitId, path: &str) -> Option<&'a [u8]> {
    rest.strip_prefix(format!("{commit}:{path} missing\n").as_bytes())
}

/// Whether the first line of an answer is that of a file.
fn is_blob(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|line| line.split(' ').nth(1) == Some("blob"))
}
