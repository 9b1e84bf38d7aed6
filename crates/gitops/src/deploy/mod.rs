//! The deployment repository: one commit for each release that enters an environment, and one for each that leaves it
//! again; and branches with what is proposed. What is committed are the objects themselves, so that what a person reads there is
//! what is applied. Invariant: `main` only moves forward, each flight deploys a target at most once, and reverts it once for each order, and the same
//! inputs make the same commits.

pub mod manifests;
mod message;
mod mirror;
mod proposals;

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use prograde_model::{CommitId, Diagnostics, Digest, FlightId, Target};

use crate::git::{Author, GitError, MAIN, Repositories, Repository, TreeEntry};
use crate::kustomize;
pub use crate::kustomize::Rendered;
pub use manifests::Manifests;
use message::Trailers;
pub use mirror::Taken;
pub use proposals::{Merge, Proposed};

/// The name of the repository, which no service may have.
pub const REPOSITORY: &str = "deployments";
/// How often a commit is tried again when somebody else moved the branch.
const ATTEMPTS_MAX: usize = 5;
/// The most entries that [`Deployments::history`] answers with.
pub const HISTORY_MAX: usize = 1_000;
/// The name and address of commits that nobody asked for.
const SELF: (&str, &str) = ("Prograde", "prograde@localhost");

/// Why a deployment could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The overlay's name is not a plain relative path.
    #[error("{0:?} is not a directory below the manifests")]
    Overlay(String),
    /// The manifests have symbolic links.
    #[error("`{0}` is a symbolic link, which is not followed: commit the file itself")]
    Symlink(String),
    /// The overlay is not there.
    #[error("the manifests have no directory `{0}`")]
    NoOverlay(String),
    /// The manifests can't be rendered.
    #[error(transparent)]
    Manifests(#[from] Diagnostics),
    /// What is to be reverted is not what is deployed.
    #[error("{target} has been changed since {commit}, so it can't be put back to what was before")]
    Superseded {
        /// The target.
        target: Target,
        /// The commit that was to be reverted.
        commit: CommitId,
    },
    /// A file could not be kept.
    #[error(transparent)]
    Tree(#[from] crate::TreeError),
}

/// Why a target could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Git.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The manifests.
    #[error(transparent)]
    Manifests(#[from] Diagnostics),
    /// The target is not deployed at that commit.
    #[error("{target} is not deployed at {commit}")]
    NotDeployed {
        /// The target.
        target: Target,
        /// The commit.
        commit: CommitId,
    },
    /// Rendering was cancelled, because the process is ending.
    #[error("rendering was cancelled")]
    Cancelled,
}

/// A release that enters an environment.
#[derive(Debug, Clone)]
pub struct DeployChange {
    /// Where.
    pub target: Target,
    /// The flight that brings it.
    pub flight: FlightId,
    /// The commit that it was built from.
    pub source_commit: CommitId,
    /// The image's digest.
    pub digest: Digest,
    /// What it deploys there.
    pub rendered: Rendered,
    /// Name and address of who wrote the source commit.
    pub author: (String, String),
    /// The first line of the message.
    pub subject: String,
    /// The commit by which a person merged it, where it was proposed.
    pub merged: Option<CommitId>,
    /// When.
    pub at: Timestamp,
}

/// A release that leaves an environment.
#[derive(Debug, Clone)]
pub struct RevertRequest {
    /// Where.
    pub target: Target,
    /// The flight that brought it.
    pub flight: FlightId,
    /// The commit that deployed it.
    pub deploy_commit: CommitId,
    /// The deployment that is to be there again; `None` for whatever was there before `deploy_commit`.
    pub restore: Option<CommitId>,
    /// The commit that put another deployment back before, and is to be put right.
    pub supersedes: Option<CommitId>,
    /// Why, for the message; may have several lines.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A release entered.
    Deploy,
    /// A release left.
    Revert,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Revert => "revert",
        }
    }
}

/// One commit of the deployment repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The commit.
    pub commit: CommitId,
    /// What it did.
    pub action: Action,
    /// Where.
    pub target: Target,
    /// For which flight.
    pub flight: FlightId,
    /// The revert that it puts right.
    pub supersedes: Option<CommitId>,
    /// The first line of its message.
    pub subject: String,
    /// When.
    pub at: Timestamp,
}

/// A release's folder, which is in the repository though no commit has it yet, and the message of the commit.
struct Written {
    folder: String,
    message: String,
}

/// What a target's folder becomes.
enum Folder<'a> {
    /// This object.
    New(String),
    /// What it was before a deployment.
    Before {
        /// What is reverted.
        request: &'a RevertRequest,
        /// The commit whose folder is to be there again: one that was asked for, or the one before the deployment.
        source: Option<&'a CommitId>,
    },
}

/// The deployment repository.
#[derive(Debug)]
pub struct Deployments {
    repository: Repository,
    /// One writer at a time in this process; another process is met by compare-and-swap.
    writing: tokio::sync::Mutex<()>,
}

impl Deployments {
    /// The deployment repository below `dir`, which is made if need be.
    pub async fn open(dir: PathBuf) -> Result<Self, GitError> {
        let name = REPOSITORY.parse().map_err(|_| GitError::Answer { what: "name the repository" })?;
        let repository = Repositories::open(dir).await?.ensure(&name).await?;
        Ok(Self { repository, writing: tokio::sync::Mutex::new(()) })
    }

    /// The repository itself, to be served for reading only.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Records that a release enters an environment. Doing it again gives the same commit and makes nothing; where a person
    /// has merged it, nothing is made at all.
    pub async fn commit(&self, change: DeployChange) -> Result<CommitId, DeployError> {
        let _writing = self.writing.lock().await;
        let Written { folder, message } = self.write(&change).await?;
        if let Some(merged) = &change.merged
            && self.is_merged(&change.target, merged, &folder).await?
        {
            return Ok(merged.clone());
        }
        let author = Author { name: &change.author.0, email: &change.author.1, at: change.at };
        let wanted = Trailers::of(Action::Deploy, &change.target, &change.flight);
        self.record(&wanted, &author, &message, &Folder::New(folder)).await
    }

    async fn write(&self, change: &DeployChange) -> Result<Written, DeployError> {
        let note =
            format!("# Written by Prograde for flight {}, from commit {}.\n", change.flight, change.source_commit);
        let files = change.rendered.folder(&note)?;
        Ok(Written { folder: self.repository.write_files(&files).await?, message: message::deploy(change) })
    }

    /// The commit by which a flight entered a target, if it did.
    pub async fn committed(&self, target: &Target, flight: &FlightId) -> Result<Option<CommitId>, GitError> {
        let Some(head) = self.repository.head(MAIN).await? else { return Ok(None) };
        self.find(&head, &Trailers::of(Action::Deploy, target, flight)).await
    }

    /// Puts a target back to what was before a deployment; the target's folder goes where there was none. Doing it again
    /// gives the same commit and makes nothing.
    pub async fn revert(&self, request: RevertRequest) -> Result<CommitId, DeployError> {
        let _writing = self.writing.lock().await;
        let deployed = self.repository.commit_info(&request.deploy_commit).await?;
        let message = message::revert(&request, &deployed.subject);
        let author = Author { name: SELF.0, email: SELF.1, at: request.at };
        let wanted = Trailers::of(Action::Revert, &request.target, &request.flight).after(request.supersedes.as_ref());
        let before =
            Folder::Before { request: &request, source: request.restore.as_ref().or(deployed.parents.first()) };
        self.record(&wanted, &author, &message, &before).await
    }

    /// The object that a target's folder is to be on top of `head`; none where the folder goes.
    async fn resolve_folder(
        &self,
        folder: &Folder<'_>,
        head: Option<&CommitId>,
    ) -> Result<Option<String>, DeployError> {
        let (request, source) = match folder {
            Folder::New(object) => return Ok(Some(object.clone())),
            Folder::Before { request, source } => (request, source),
        };
        let folder = |commit: &CommitId| format!("{commit}:{}", path(&request.target));
        let now = match head {
            Some(head) => self.repository.resolve(&folder(head)).await?,
            None => None,
        };
        let last = request.supersedes.as_ref().unwrap_or(&request.deploy_commit);
        if now != self.repository.resolve(&folder(last)).await? {
            let (target, commit) = (request.target.clone(), request.deploy_commit.clone());
            return Err(DeployError::Superseded { target, commit });
        }
        let before = match source {
            Some(source) => self.repository.resolve(&folder(source)).await?,
            None => None,
        };
        Ok(before.map(String::from))
    }

    /// Commits a new folder for a target, unless a commit with these trailers is there.
    async fn record(
        &self,
        wanted: &Trailers,
        author: &Author<'_>,
        message: &str,
        folder: &Folder<'_>,
    ) -> Result<CommitId, DeployError> {
        let mut attempt = 1;
        loop {
            let head = self.repository.head(MAIN).await?;
            if let Some(head) = &head
                && let Some(found) = self.find(head, wanted).await?
            {
                return Ok(found);
            }
            let tree = self
                .tree_with(
                    head.as_ref().map(CommitId::as_str),
                    wanted.target(),
                    self.resolve_folder(folder, head.as_ref()).await?,
                )
                .await?;
            let commit = self.repository.write_commit(&tree, head.as_ref().as_slice(), author, message).await?;
            match self.repository.move_branch(MAIN, head.as_ref(), &commit).await {
                Ok(()) => return Ok(commit),
                Err(GitError::Moved { .. }) if attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A commit's or tree's whole content with one target's folder replaced; `None` removes it.
    async fn tree_with(
        &self,
        before: Option<&str>,
        target: &Target,
        folder: Option<String>,
    ) -> Result<String, GitError> {
        let mut root = match before {
            None => BTreeMap::new(),
            Some(before) => self.repository.read_tree(before).await?,
        };
        let mut environment = match root.get(target.environment.as_str()) {
            None => BTreeMap::new(),
            Some(entry) => self.repository.read_tree(&entry.object).await?,
        };
        match folder {
            Some(folder) => environment.insert(target.service.to_string(), TreeEntry::directory(folder)),
            None => environment.remove(target.service.as_str()),
        };
        if environment.is_empty() {
            root.remove(target.environment.as_str());
        } else {
            let object = self.repository.write_tree(&environment).await?;
            root.insert(target.environment.to_string(), TreeEntry::directory(object));
        }
        self.repository.write_tree(&root).await
    }

    /// The commit with these trailers.
    async fn find(&self, head: &CommitId, wanted: &Trailers) -> Result<Option<CommitId>, GitError> {
        let search = format!("--grep={}: {}", message::FLIGHT, wanted.flight());
        let found = self.log(head, &["--fixed-strings", &search]).await?;
        Ok(found.into_iter().find(|entry| wanted.are_of(entry)).map(|entry| entry.commit))
    }

    async fn log(&self, head: &CommitId, filters: &[&str]) -> Result<Vec<Deployment>, GitError> {
        let mut arguments = vec!["log", "--first-parent", "--no-show-signature", "-z", "--format=%H %ct%n%B"];
        arguments.extend(filters);
        arguments.push(head.as_str());
        let answer = self.repository.run("read the history", &arguments, None).await?;
        Ok(String::from_utf8_lossy(&answer).split('\0').filter_map(message::parse).collect())
    }

    /// The trees of targets' folders at commits, in the same order; nothing where a folder was not there.
    pub async fn folders(&self, of: &[(Target, CommitId)]) -> Result<Vec<Option<String>>, GitError> {
        let names: Vec<String> = of.iter().map(|(target, commit)| format!("{commit}:{}\n", path(target))).collect();
        let names = names.concat();
        let arguments = ["cat-file", "--batch-check=%(objecttype) %(objectname)"];
        let answer = self.repository.run("compare folders", &arguments, Some(names.as_bytes())).await?;
        let answer = String::from_utf8_lossy(&answer);
        let trees: Vec<Option<String>> =
            answer.lines().map(|line| line.strip_prefix("tree ").map(str::to_owned)).collect();
        if trees.len() == of.len() { Ok(trees) } else { Err(GitError::Answer { what: "compare folders" }) }
    }

    /// The commit that changed a target's folder last, its author's name, and the first line of its message.
    pub async fn last_change(&self, target: &Target) -> Result<Option<(CommitId, String, String)>, GitError> {
        let Some(head) = self.repository.head(MAIN).await? else { return Ok(None) };
        let path = path(target);
        let arguments =
            ["log", "--first-parent", "-1", "--no-show-signature", "--format=%H", head.as_str(), "--", &path];
        let answer = self.repository.run("read the history", &arguments, None).await?;
        let Ok(commit) = String::from_utf8_lossy(&answer).trim().parse::<CommitId>() else { return Ok(None) };
        let info = self.repository.commit_info(&commit).await?;
        Ok(Some((commit, info.author_name, info.subject)))
    }

    /// What happened to a target, the latest first, at most `max` and [`HISTORY_MAX`] entries.
    pub async fn history(&self, target: &Target, max: usize) -> Result<Vec<Deployment>, GitError> {
        let Some(head) = self.repository.head(MAIN).await? else { return Ok(Vec::new()) };
        let search = format!("--grep={}: {target}", message::TARGET);
        let mut found = self.log(&head, &["--fixed-strings", &search]).await?;
        found.retain(|entry| entry.target == *target);
        found.truncate(max.min(HISTORY_MAX));
        Ok(found)
    }

    /// A target's objects at a commit. Rendering takes only what is in that commit.
    pub async fn render(&self, commit: &CommitId, target: &Target) -> Result<Rendered, RenderError> {
        let tree = self.repository.tree(commit, &path(target)).await?;
        if tree.is_empty() {
            return Err(RenderError::NotDeployed { target: target.clone(), commit: commit.clone() });
        }
        let rendered = tokio::task::spawn_blocking(move || kustomize::render(&tree, "")).await;
        Ok(rendered.map_err(|_| RenderError::Cancelled)??)
    }
}

fn path(target: &Target) -> String {
    format!("{}/{}", target.environment, target.service)
}
