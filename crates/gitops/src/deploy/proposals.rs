//! Releases that are proposed: for each place one branch, with the very commit that would deploy the release on top of what
//! `main` is. Invariant: nothing but these branches is moved here, and what a branch has in its place's folder is what was
//! proposed, whatever `main` has become.

use std::collections::BTreeMap;

use prograde_model::gate::proposal::branch;
use prograde_model::{CommitId, FlightId, Target};

use super::{DeployChange, DeployError, Deployment, Deployments, Written, message, path};
use crate::git::{Author, GitError, MAIN, NOBODY};

/// Where the branches are, as a prefix of references.
pub(super) const REFERENCES: &str = "refs/heads/proposals/";

/// A release that is proposed for a place and may still enter it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposed {
    /// The place.
    pub target: Target,
    /// The commit that was proposed first.
    pub commit: CommitId,
}

/// What a person has merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merge {
    /// The commit of `main` that brought it.
    pub commit: CommitId,
    /// Who, as far as Git knows.
    pub by: String,
}

/// What a branch points at, and what that follows.
struct Tip {
    commit: CommitId,
    parents: String,
}

impl Deployments {
    /// Proposes that a release enters an environment, in the place of what was proposed there before. Doing it again makes
    /// nothing.
    pub async fn propose(&self, change: DeployChange) -> Result<CommitId, DeployError> {
        let _writing = self.writing.lock().await;
        let Written { folder, message } = self.write(&change).await?;
        let (branch, head) = (branch(&change.target), self.repository.head(MAIN).await?);
        let before = self.repository.head(&branch).await?;
        if let Some(before) = &before
            && self.folder_at(before, &change.target).await?.as_ref() == Some(&folder)
        {
            return Ok(before.clone());
        }
        let author = Author { name: &change.author.0, email: &change.author.1, at: change.at };
        let tree = self.tree_with(head.as_ref().map(CommitId::as_str), &change.target, Some(folder)).await?;
        let commit = self.repository.write_commit(&tree, head.as_ref().as_slice(), &author, &message).await?;
        self.repository.move_branch(&branch, before.as_ref(), &commit).await?;
        Ok(commit)
    }

    /// Merges what is proposed for a place, in the name of somebody, as a push of its branch to `main` would.
    pub async fn merge(&self, proposed: &Proposed, by: &str) -> Result<CommitId, GitError> {
        let _writing = self.writing.lock().await;
        let branch = branch(&proposed.target);
        let (tip, head) = (self.tips().await?.remove(&branch), self.repository.head(MAIN).await?);
        self.keep(proposed, tip, head.as_ref()).await?;
        let commit = self.repository.head(&branch).await?.ok_or(GitError::NoCommit(proposed.commit.clone()))?;
        self.repository.move_branch_for(by, (MAIN, head.as_ref()), &commit).await?;
        Ok(commit)
    }

    /// Brings each branch onto what `main` is now, and removes those of flights that have nothing left to merge: one that is
    /// not known yet may have been made a moment ago. Doing it again makes nothing.
    pub async fn keep_proposals(
        &self,
        alive: &[Proposed],
        is_over: impl Fn(&Target, &FlightId) -> bool,
    ) -> Result<(), GitError> {
        let _writing = self.writing.lock().await;
        let mut tips = self.tips().await?;
        let head = self.repository.head(MAIN).await?;
        // One that can't be kept keeps no other from being.
        let mut failed = None;
        for proposed in alive {
            let tip = tips.remove(&branch(&proposed.target));
            failed = failed.or(self.keep(proposed, tip, head.as_ref()).await.err());
        }
        for (branch, tip) in tips {
            let of = self.describe(&tip.commit).await?;
            if of.is_none_or(|of| is_over(&of.target, &of.flight)) {
                self.repository.remove_branch(&branch, &tip.commit).await?;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn keep(&self, proposed: &Proposed, tip: Option<Tip>, head: Option<&CommitId>) -> Result<(), GitError> {
        let Proposed { target, commit } = proposed;
        let Some(folder) = self.folder_at(commit, target).await? else {
            return Err(GitError::NoCommit(commit.clone()));
        };
        if let Some(tip) = &tip
            && tip.parents == head.map_or("", CommitId::as_str)
            && self.folder_at(&tip.commit, target).await?.as_ref() == Some(&folder)
        {
            return Ok(());
        }
        let info = self.repository.commit_info(commit).await?;
        let author = Author { name: &info.author_name, email: &info.author_email, at: info.time };
        let tree = self.tree_with(head.map(CommitId::as_str), target, Some(folder)).await?;
        let again =
            self.repository.write_commit(&tree, head.as_slice(), &author, &format!("{}\n", info.message)).await?;
        self.repository.move_branch(&branch(target), tip.as_ref().map(|tip| &tip.commit), &again).await
    }

    /// What a commit of ours says of itself; none where it is somebody else's.
    async fn describe(&self, commit: &CommitId) -> Result<Option<Deployment>, GitError> {
        let arguments = ["log", "-1", "--no-show-signature", "--format=%H %ct%n%B", commit.as_str()];
        let answer = self.repository.run("read a commit", &arguments, None).await?;
        Ok(message::parse(&String::from_utf8_lossy(&answer)))
    }

    /// All branches with proposals.
    async fn tips(&self) -> Result<BTreeMap<String, Tip>, GitError> {
        let what = "list what is proposed";
        let arguments = ["for-each-ref", "--format=%(refname) %(objectname) %(parent)", REFERENCES];
        let answer = self.repository.run(what, &arguments, None).await?;
        let read = |line: &str| {
            let (name, rest) = line.strip_prefix("refs/heads/")?.split_once(' ')?;
            let (commit, parents) = rest.split_once(' ').unwrap_or((rest, ""));
            let tip = Tip { commit: commit.parse().ok()?, parents: parents.trim().to_owned() };
            Some((name.to_owned(), tip))
        };
        let answer = String::from_utf8_lossy(&answer);
        answer.lines().map(|line| read(line).ok_or(GitError::Answer { what })).collect()
    }

    /// The tree of a place's folder at a commit.
    pub(super) async fn folder_at(&self, commit: &CommitId, target: &Target) -> Result<Option<String>, GitError> {
        Ok(self.repository.resolve(&format!("{commit}:{}", path(target))).await?.map(String::from))
    }

    /// Whether a commit brought this folder to a place, and it is there still.
    pub(super) async fn is_merged(&self, target: &Target, by: &CommitId, folder: &str) -> Result<bool, GitError> {
        let Some(head) = self.repository.head(MAIN).await? else { return Ok(false) };
        let folders = self.folders(&[(target.clone(), by.clone()), (target.clone(), head)]).await?;
        Ok(folders.iter().all(|found| found.as_deref() == Some(folder)))
    }

    /// How `main` came to have in a place's folder what it has now, where a person brought that about. A commit that was
    /// proposed and pushed as it is names nobody: then it is whoever pushed it.
    pub async fn last_merge(&self, target: &Target) -> Result<Option<Merge>, GitError> {
        let Some((commit, ..)) = self.last_change(target).await? else { return Ok(None) };
        let what = "read a commit";
        let format = "--format=%an %at%x00%cn %ct%x00%cn%x00%an%x00%P%x00";
        let arguments = ["log", "-1", "--no-show-signature", format, commit.as_str()];
        let answer = self.repository.run(what, &arguments, None).await?;
        let answer = String::from_utf8_lossy(&answer);
        let [wrote, made, committer, author, parents, _] = answer.split('\0').collect::<Vec<_>>()[..] else {
            return Err(GitError::Answer { what });
        };
        // What was proposed has one name and one time, which are those of who wrote the release.
        let is_proposed = wrote == made && self.describe(&commit).await?.is_some();
        let by = if is_proposed {
            self.repository.pusher(&commit).await?.unwrap_or_else(|| NOBODY.to_owned())
        } else {
            // Hosts commit merges in their own name, as the work of whoever merges.
            if parents.contains(' ') { author } else { committer }.to_owned()
        };
        Ok(Some(Merge { commit, by }))
    }
}
