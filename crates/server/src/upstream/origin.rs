//! The repository on a host that one here follows, for what is committed there from here. Invariant: a commit is in the branch
//! here once it is in the host's, and never before; nothing that somebody has pushed there is lost.

use std::sync::Arc;

use prograde_gitops::git::{GitError, MAIN, Repository};
use prograde_model::ids::{CommitId, ServiceName};

use super::{Follower, Inner, LookError, Upstreams};

/// A repository on a host that may be committed to.
pub(crate) struct Origin {
    inner: Arc<Inner>,
    follower: Arc<Follower>,
}

/// Why nothing could be committed there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OriginError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{0}")]
    Token(String),
    #[error("what is new on the host does not come here: {0}")]
    Behind(String),
}

impl Upstreams {
    /// What a repository follows, if it does.
    pub(crate) fn origin(&self, repository: &ServiceName) -> Option<Origin> {
        let running = self.running();
        let found = running.followers.iter().find(|follower| follower.followed.service == *repository);
        found.map(|follower| Origin { inner: Arc::clone(&self.0), follower: Arc::clone(follower) })
    }
}

impl Origin {
    /// The address.
    pub(crate) fn url(&self) -> &str {
        &self.follower.followed.at.url
    }

    /// What the branch is called there that is `main` here.
    pub(crate) fn branch(&self) -> &str {
        &self.follower.followed.branch
    }

    /// Whether images that are kept up to date are committed there.
    pub(crate) fn takes_image_updates(&self) -> bool {
        self.follower.followed.image_updates
    }

    /// Takes over what is new there.
    pub(crate) async fn catch_up(&self) -> Result<(), OriginError> {
        let looked = self.follower.look(&self.inner).await;
        looked.map(drop).map_err(|error: LookError| OriginError::Behind(crate::events::chain(&error)))
    }

    /// Moves the branch that is followed to a commit that is here, and `main` here with it, if both are where they were.
    pub(crate) async fn advance(
        &self,
        repository: &Repository,
        from: &CommitId,
        to: &CommitId,
        by: &str,
    ) -> Result<(), OriginError> {
        // What has just been sent is not to be taken over by somebody else meanwhile.
        let _turn = self.follower.turn.lock().await;
        let upstream = self.follower.followed.upstream().map_err(OriginError::Token)?;
        repository.point_upstream(&upstream, Some(from), to).await?;
        repository.point(MAIN, Some(from), to, by).await?;
        // It shows where the host is now.
        self.follower.woken.notify_one();
        Ok(())
    }

    /// Where another branch is there.
    pub(crate) async fn look(&self, repository: &Repository, branch: &str) -> Result<Option<CommitId>, OriginError> {
        let upstream = self.follower.followed.branch_of_it(branch).map_err(OriginError::Token)?;
        Ok(repository.look_upstream(&upstream).await?)
    }

    /// Moves another branch there to a commit that is here, if it is where it was.
    pub(crate) async fn point(
        &self,
        repository: &Repository,
        (branch, from): (&str, Option<&CommitId>),
        to: &CommitId,
    ) -> Result<(), OriginError> {
        let upstream = self.follower.followed.branch_of_it(branch).map_err(OriginError::Token)?;
        Ok(repository.point_upstream(&upstream, from, to).await?)
    }
}
