//! Repositories on Git hosts that the server follows: what is new there comes into the repository here as if it had been
//! pushed. A host that is asked wakes nobody else's, and nothing is taken away because of what a host says or fails to say.

pub(crate) mod config;
mod mirror;
mod origin;
mod webhook;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prograde_control::{Clock as _, Control, SystemClock};
use prograde_gitops::deploy::Deployments;
use prograde_gitops::git::{GitError, MAIN, Repositories};
use prograde_model::Diagnostics;
use prograde_model::ids::{CommitId, ServiceName};
use prograde_model::upstream::{Step, decide};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::types::UpstreamView;
use crate::bases::Bases;
use crate::by_hand::ByHand;
use crate::events::chain;
use config::{Followed, Upstreamed};

pub(crate) use origin::{Origin, OriginError};
pub(crate) use webhook::router as webhook_router;

/// The longest pause between two questions to a host that fails.
const PAUSE_MAX: Duration = Duration::from_mins(10);

/// All that are followed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstreams(Arc<Inner>);

struct Inner {
    file: Option<PathBuf>,
    control: Control,
    repositories: Repositories,
    deployments: Arc<Deployments>,
    by_hand: ByHand,
    bases: Bases,
    running: Mutex<Running>,
}

/// What comes and goes between hosts and here.
pub(crate) struct Parts {
    pub(crate) control: Control,
    pub(crate) repositories: Repositories,
    pub(crate) deployments: Arc<Deployments>,
    pub(crate) by_hand: ByHand,
    pub(crate) bases: Bases,
}

/// Those of one reading of the file.
#[derive(Default)]
struct Running {
    followers: Vec<Arc<Follower>>,
    /// Who keeps the copy of the deployment repository.
    mirror: Option<Arc<Follower>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// One repository, and how it stands with its host.
struct Follower {
    followed: Followed,
    woken: Notify,
    state: Mutex<State>,
    /// Who asks the host, or moves the branch here: one at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default, Clone)]
struct State {
    head: Option<CommitId>,
    looked_at: Option<Timestamp>,
    trouble: Option<Trouble>,
}

/// What keeps a repository from being followed.
#[derive(Clone, PartialEq)]
struct Trouble {
    since: Timestamp,
    text: String,
    /// How often it was met in a row.
    times: u32,
}

/// Why a host could not be followed this time.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Git(#[from] GitError),
    #[error("{0}")]
    Token(String),
    #[error("the host has no branch `{0}`: push it again, or name another in `upstreams.yaml`")]
    Gone(String),
    #[error(
        "the host's history was rewritten: `{branch}` is at {theirs}, which does not come after {ours}; if that is meant, write `accept: {theirs}` in `upstreams.yaml`, and reload"
    )]
    Rewritten { branch: String, ours: CommitId, theirs: CommitId },
    #[error("the host's `main` is at {theirs}, which can't be taken: {why}; revert it there")]
    NotTaken { theirs: CommitId, why: String },
}

impl Upstreams {
    /// Begins to follow what a file says, if there is one.
    pub(crate) fn start(file: Option<PathBuf>, declared: Upstreamed, parts: Parts) -> Self {
        let Parts { control, repositories, deployments, by_hand, bases } = parts;
        let running = Mutex::default();
        let this = Self(Arc::new(Inner { file, control, repositories, deployments, by_hand, bases, running }));
        this.follow(declared);
        this
    }

    /// Reads the file again, and follows what it says now.
    pub(crate) async fn reload(&self) -> Result<(), Diagnostics> {
        let Some(file) = &self.0.file else { return Ok(()) };
        let declared = config::read(file)?;
        self.shutdown().await;
        self.0.bases.declare(declared.shared.clone());
        self.follow(declared);
        Ok(())
    }

    /// Ends when what is being fetched has been.
    pub(crate) async fn shutdown(&self) {
        let tasks = {
            let running = self.running();
            running.stop.cancel();
            running.tasks.clone()
        };
        tasks.wait().await;
    }

    /// How each stands with its host.
    pub(crate) fn views(&self) -> Vec<UpstreamView> {
        let running = self.running();
        running.followers.iter().chain(&running.mirror).map(|follower| follower.view()).collect()
    }

    /// Where a service's commits come from, if not from pushes here.
    pub(crate) fn of(&self, service: &ServiceName) -> Option<String> {
        let running = self.running();
        let found = running.followers.iter().find(|follower| follower.followed.service == *service);
        found.map(|follower| follower.followed.at.url.clone())
    }

    /// Who is woken by the host's messages about a repository.
    fn follower(&self, repository: &ServiceName) -> Option<Arc<Follower>> {
        let running = self.running();
        let mut all = running.followers.iter().chain(&running.mirror);
        all.find(|follower| follower.followed.service == *repository).cloned()
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, declared: Upstreamed) {
        let mut running = Running::default();
        let follower = |followed| Arc::new(Follower::new(followed));
        for follower in declared.followed.into_iter().map(follower) {
            running.followers.push(Arc::clone(&follower));
            let (inner, stop) = (Arc::clone(&self.0), running.stop.clone());
            running.tasks.spawn(async move { follower.run(&inner, &stop).await });
        }
        for follower in declared.mirror.into_iter().map(follower) {
            running.mirror = Some(Arc::clone(&follower));
            let (inner, stop) = (Arc::clone(&self.0), running.stop.clone());
            running.tasks.spawn(async move { follower.mirror(&inner, &stop).await });
        }
        running.tasks.close();
        *self.running() = running;
    }
}

impl Follower {
    fn new(followed: Followed) -> Self {
        Self { followed, woken: Notify::new(), state: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    async fn run(&self, inner: &Inner, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let looked = self.look(inner).await;
            let pause = self.take(looked.map(Some), SystemClock.now());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.woken.notified() => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Asks the host, and takes over what is new there.
    async fn look(&self, inner: &Inner) -> Result<CommitId, LookError> {
        let Followed { service, branch, accept, .. } = &self.followed;
        let _turn = self.turn.lock().await;
        let upstream = self.followed.upstream().map_err(LookError::Token)?;
        let repository = inner.repositories.ensure(service).await?;
        let ours = repository.head(MAIN).await?;
        let Some(seen) = repository.look_upstream(&upstream).await? else {
            return Err(LookError::Gone(branch.clone()));
        };
        if ours.as_ref() == Some(&seen) {
            return Ok(seen);
        }
        // The host may have gone on since it was asked.
        let theirs = repository.fetch_upstream(&upstream).await?;
        let descends = match &ours {
            Some(ours) => repository.is_ancestor(ours, &theirs).await?,
            None => true,
        };
        match (decide(ours.as_ref(), Some(&theirs), accept.as_ref(), || descends), ours) {
            (Step::InStep, _) => Ok(theirs),
            (Step::Advance, ours) => {
                repository.advance(MAIN, ours.as_ref(), &theirs).await?;
                tracing::info!(%service, commit = theirs.short(), "taken over from {}", self.followed.at.url);
                inner.control.commits_arrived();
                Ok(theirs)
            }
            (Step::Rewritten, Some(ours)) => Err(LookError::Rewritten { branch: branch.clone(), ours, theirs }),
            (Step::Gone | Step::Rewritten, _) => Err(LookError::Gone(branch.clone())),
        }
    }

    /// Remembers how it went; for how long nothing is asked then.
    fn take(&self, looked: Result<Option<CommitId>, LookError>, now: Timestamp) -> Duration {
        let Followed { service, poll, at, .. } = &self.followed;
        let url = &at.url;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.looked_at = Some(now);
        match looked {
            Ok(head) => {
                if let Some(trouble) = state.trouble.take() {
                    tracing::info!(%service, since = %trouble.since, "{url} can be followed again");
                }
                state.head = head;
                *poll
            }
            Err(error) => {
                let text = chain(&error);
                let before = state.trouble.take();
                if before.as_ref().is_none_or(|before| before.text != text) {
                    tracing::error!(%service, "{url} can't be followed: {text}");
                }
                let since = before.as_ref().map_or(now, |before| before.since);
                let times = before.map_or(1, |before| before.times.saturating_add(1));
                state.trouble = Some(Trouble { since, text, times });
                pause(*poll, times)
            }
        }
    }

    fn view(&self) -> UpstreamView {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        UpstreamView {
            service: self.followed.service.clone(),
            url: self.followed.at.url.clone(),
            branch: self.followed.branch.clone(),
            head: state.head,
            looked_at: state.looked_at,
            troubled_since: state.trouble.as_ref().map(|trouble| trouble.since),
            trouble: state.trouble.map(|trouble| trouble.text),
        }
    }
}

/// How long a host that failed so often in a row is left alone: twice as long each time.
fn pause(poll: Duration, times: u32) -> Duration {
    let factor = 2_u32.saturating_pow(times.min(16).saturating_sub(1));
    poll.saturating_mul(factor).min(PAUSE_MAX.max(poll))
}

/// What is said to whoever pushes to a repository that is followed.
pub(crate) fn closed(url: &str) -> String {
    format!("prograde: this repository follows {url}: push there")
}

/// Reads the file, if there is one.
pub(crate) fn read(file: Option<&Path>) -> Result<Upstreamed, Diagnostics> {
    file.map_or_else(|| Ok(Upstreamed::default()), config::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_fails_is_asked_less_and_less() {
        let minute = Duration::from_mins(1);
        let all: Vec<u64> = [1, 2, 3, 4, 5, 6, u32::MAX].map(|times| pause(minute, times).as_secs()).to_vec();
        assert_eq!(all, [60, 120, 240, 480, 600, 600, 600]);
        assert_eq!(pause(Duration::from_hours(1), 9), Duration::from_hours(1));
    }
}
