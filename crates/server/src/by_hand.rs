//! What people say in the deployment repository themselves: a push that puts a place back to what an earlier release was
//! there, as `git revert` does, takes a release back on the way of every other order. Git says what should be, so it is
//! looked at after each push, and after the start, as the server may have ended between a push and the order.

use std::sync::Arc;
use std::time::Duration;

use prograde_control::{Control, OrderError};
use prograde_gitops::deploy::Deployments;
use prograde_gitops::git::{FolderState, GitError, MAIN};
use prograde_model::fleet::WaysBack;
use prograde_model::ids::Target;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::events::chain;

/// How soon it is looked again where Git or the journal could not be asked.
const AGAIN: Duration = Duration::from_secs(5);

/// Looks at what was pushed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ByHand(Arc<Inner>);

struct Inner {
    control: Control,
    deployments: Arc<Deployments>,
    pushed: Notify,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Why it could not be looked.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error(transparent)]
    Order(#[from] OrderError),
}

impl ByHand {
    /// Looks now and after every push, until it is shut down.
    pub(crate) fn start(control: Control, deployments: Arc<Deployments>) -> Self {
        let (pushed, stop, tasks) = (Notify::new(), CancellationToken::new(), TaskTracker::new());
        let this = Self(Arc::new(Inner { control, deployments, pushed, stop, tasks }));
        let inner = Arc::clone(&this.0);
        this.0.tasks.spawn(async move { inner.follow().await });
        this.0.tasks.close();
        this
    }

    /// Ends when what is being ordered has been.
    pub(crate) async fn shutdown(&self) {
        self.0.stop.cancel();
        self.0.tasks.wait().await;
    }

    /// Something was pushed.
    pub(crate) fn pushed(&self) {
        self.0.pushed.notify_one();
    }

    /// What folders may be pushed.
    pub(crate) async fn allowed(&self) -> Result<Vec<FolderState>, GitError> {
        let inner = &self.0;
        let ways: Vec<(Target, WaysBack)> = inner.ways();
        let of = |(target, ways): &(Target, WaysBack)| {
            let all = ways.to.iter().map(|(_, commit)| commit).chain(std::iter::once(&ways.commit));
            all.map(|commit| (target.clone(), commit.clone())).collect::<Vec<_>>()
        };
        let all: Vec<_> = ways.iter().flat_map(of).collect();
        let trees = inner.deployments.folders(&all).await?;
        let state = |((target, _), tree): ((Target, _), Option<String>)| {
            Some(FolderState { path: format!("{}/{}", target.environment, target.service), tree: tree? })
        };
        Ok(all.into_iter().zip(trees).filter_map(state).collect())
    }
}

impl Inner {
    async fn follow(&self) {
        while !self.stop.is_cancelled() {
            let looked = self.look().await;
            if let Err(error) = &looked {
                tracing::error!("what the deployment repository says could not be looked at: {}", chain(error));
            }
            let again = looked.is_err();
            let pause = async { if again { tokio::time::sleep(AGAIN).await } else { self.pushed.notified().await } };
            tokio::select! {
                () = pause => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    fn ways(&self) -> Vec<(Target, WaysBack)> {
        self.control.with_fleet(|fleet| {
            let targets = fleet.targets();
            targets.filter_map(|target| Some((target.clone(), fleet.ways_back(target)?))).collect()
        })
    }

    /// Orders what people have said.
    async fn look(&self) -> Result<(), LookError> {
        for (target, ways) in self.ways() {
            self.look_at(&target, &ways).await?;
        }
        Ok(())
    }

    async fn look_at(&self, target: &Target, ways: &WaysBack) -> Result<(), LookError> {
        let Some(head) = self.deployments.repository().head(MAIN).await? else { return Ok(()) };
        let commits = [&head, &ways.commit].into_iter().chain(ways.to.iter().map(|(_, commit)| commit));
        let of: Vec<_> = commits.map(|commit| (target.clone(), commit.clone())).collect();
        let trees = self.deployments.folders(&of).await?;
        let [said, own, earlier @ ..] = trees.as_slice() else { return Ok(()) };
        if said == own {
            return Ok(());
        }
        let to = ways.to.iter().zip(earlier).find(|(_, tree)| *tree == said).map(|((flight, _), _)| flight.clone());
        let Some((commit, by, subject)) = self.deployments.last_change(target).await? else { return Ok(()) };
        // Between the two looks a release may have come in or gone out.
        let is_inside = |now: WaysBack| now.inside == ways.inside;
        if !self.control.with_fleet(|fleet| fleet.ways_back(target)).is_some_and(is_inside) {
            return Ok(());
        }
        if to.is_none() {
            tracing::error!("{target} at {commit} is what no release was there; put it back with `git revert`");
            return Ok(());
        }
        let reason = format!("{subject} ({})", commit.short());
        let (service, environment) = (&target.service, &target.environment);
        match self.control.roll_back(service, environment, (to, false), &by, &reason).await {
            Ok((flight, _)) => tracing::info!("{by} took {flight} out of {target} by {commit}"),
            Err(error @ OrderError::Append(_)) => return Err(error.into()),
            Err(error) => tracing::error!("{by} took {target} back by {commit}, which can't be: {error}"),
        }
        Ok(())
    }
}
