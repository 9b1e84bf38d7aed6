//! What people say in the deployment repository themselves: a push that puts a place back to what an earlier release was
//! there, as `git revert` does, takes a release back on the way of every other order, and one that brings a place to what is
//! proposed for it lets that release in. Git says what should be, so it is looked at after each push, and after the start, as
//! the server may have ended between a push and the order. The branches with proposals are kept here, too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use prograde_control::{Control, OrderError};
use prograde_gitops::deploy::{DeployError, Deployments, Proposed, RevertRequest};
use prograde_gitops::git::{FolderRules, FolderState, GitError, MAIN};
use prograde_model::entry::Entry;
use prograde_model::event::Event;
use prograde_model::fleet::WaysBack;
use prograde_model::flight::Refusal;
use prograde_model::gate::proposal::{Proposal, ProposalState};
use prograde_model::ids::{EnvironmentName, FlightId, Target};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::words;
use crate::events::chain;

/// How soon it is looked again where Git or the journal could not be asked.
const AGAIN: Duration = Duration::from_secs(5);

/// How long facts are gathered before it is looked whether proposals stand otherwise since.
const GATHER: Duration = Duration::from_secs(1);

/// Why what is proposed was not merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// Nothing lies there, or it may not enter now.
    #[error("{0}")]
    Refused(String),
    /// It could not be merged.
    #[error(transparent)]
    Git(#[from] GitError),
    /// It was merged, and that is not recorded yet.
    #[error(transparent)]
    Order(#[from] OrderError),
}

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
    #[error(transparent)]
    PutBack(#[from] DeployError),
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

    /// Merges what a flight has proposed, as a push of its branch would.
    pub(crate) async fn merge(
        &self,
        flight: &FlightId,
        environment: Option<&EnvironmentName>,
        by: &str,
    ) -> Result<Vec<Event>, MergeError> {
        let inner = &self.0;
        let is_meant =
            |one: &Proposal| one.flight == *flight && environment.is_none_or(|name| *name == one.target.environment);
        let refused = |why: &str| MergeError::Refused(format!("flight {flight} {why}"));
        let Some(Proposal { target, commit, state, .. }) = inner.proposals().into_iter().find(is_meant) else {
            return Err(refused("has nothing to merge"));
        };
        match state {
            ProposalState::Open => {}
            ProposalState::Merged => return Err(refused("was merged before")),
            ProposalState::Waiting(missing) => return Err(refused(&words(&missing).join(", "))),
            ProposalState::Over(why) => return Err(MergeError::Refused(why)),
        }
        let environment = target.environment.clone();
        let merged = inner.deployments.merge(&Proposed { target, commit }, by).await?;
        let ordered = inner.control.merged(flight, &environment, &merged, by).await;
        // Whatever came of it, what Git says now is looked at as after a push.
        self.pushed();
        Ok(ordered?)
    }

    /// What folders may be pushed, with what is said to whoever pushes something else.
    pub(crate) async fn folders(&self, hint: &str) -> Result<FolderRules, GitError> {
        let inner = &self.0;
        let ways: Vec<(Target, WaysBack)> = inner.ways();
        let of = |(target, ways): &(Target, WaysBack)| {
            let all = ways.to.iter().map(|(_, commit)| commit).chain(std::iter::once(&ways.commit));
            all.map(|commit| (target.clone(), commit.clone())).collect::<Vec<_>>()
        };
        let all: Vec<_> = ways.iter().flat_map(of).collect();
        let trees = inner.deployments.folders(&all).await?;
        let states = all.into_iter().zip(trees);
        let mut allowed: Vec<FolderState> = states.filter_map(|((target, _), tree)| state(&target, tree)).collect();
        let (proposals, mut refused) = (inner.proposals(), Vec::new());
        let of: Vec<_> = proposals.iter().map(|one| (one.target.clone(), one.commit.clone())).collect();
        for (proposal, tree) in proposals.into_iter().zip(inner.deployments.folders(&of).await?) {
            let Some(state) = state(&proposal.target, tree) else { continue };
            match proposal.state {
                ProposalState::Open | ProposalState::Merged => allowed.push(state),
                ProposalState::Waiting(missing) => {
                    let why = format!("flight {} {}", proposal.flight.short(), words(&missing).join(", "));
                    refused.push((state, why));
                }
                ProposalState::Over(why) => refused.push((state, why)),
            }
        }
        Ok(FolderRules { allowed, refused, hint: hint.to_owned() })
    }
}

fn state(target: &Target, tree: Option<String>) -> Option<FolderState> {
    Some(FolderState { path: format!("{}/{}", target.environment, target.service), tree: tree? })
}

impl Inner {
    async fn follow(&self) {
        let mut facts = self.control.changed();
        let mut pushed = true;
        while !self.stop.is_cancelled() {
            facts.borrow_and_update();
            let seen = self.proposals();
            let looked = self.look(pushed).await;
            if let Err(error) = &looked {
                tracing::error!("what the deployment repository says could not be looked at: {}", chain(error));
            }
            let again = looked.is_err();
            let pause = async { if again { tokio::time::sleep(AGAIN).await } else { self.pushed.notified().await } };
            pushed = tokio::select! {
                () = pause => true,
                () = self.news(&mut facts, &seen), if !again => false,
                () = self.stop.cancelled() => false,
            };
        }
    }

    /// Waits for facts after which proposals stand otherwise, or `main` may be somewhere else while there are any.
    async fn news(&self, facts: &mut watch::Receiver<u64>, seen: &[Proposal]) {
        loop {
            if facts.changed().await.is_err() {
                return std::future::pending().await;
            }
            tokio::time::sleep(GATHER).await;
            let now = self.proposals();
            if now != seen || now.iter().any(|proposal| proposal.state.is_alive()) {
                return;
            }
        }
    }

    fn proposals(&self) -> Vec<Proposal> {
        let holds = self.control.holds();
        self.control.with_fleet(|fleet| fleet.proposals(&holds))
    }

    fn ways(&self) -> Vec<(Target, WaysBack)> {
        self.control.with_fleet(|fleet| {
            let targets = fleet.targets();
            targets.filter_map(|target| Some((target.clone(), fleet.ways_back(target)?))).collect()
        })
    }

    /// Orders what people have said; of proposals alone where nothing was pushed.
    async fn look(&self, pushed: bool) -> Result<(), LookError> {
        let proposed = self.look_at_proposals().await?;
        for (target, ways) in self.ways().into_iter().filter(|(target, _)| pushed && !proposed.contains(target)) {
            self.look_at(&target, &ways).await?;
        }
        let is_kept = |proposal: &Proposal| match &proposal.state {
            ProposalState::Open | ProposalState::Waiting(_) => true,
            ProposalState::Merged | ProposalState::Over(_) => false,
        };
        let kept = self.proposals().into_iter().filter(is_kept);
        let kept: Vec<Proposed> = kept.map(|Proposal { target, commit, .. }| Proposed { target, commit }).collect();
        let is_over = |target: &Target, flight: &FlightId| {
            let is_in = |entry: &Entry| entry.merged.is_some() || entry.passed_at.is_some();
            self.control.with_fleet(|fleet| {
                let flight = fleet.flight(flight);
                flight.is_none_or(|of| of.outcome.is_some() || of.entry(target).is_some_and(is_in))
            })
        };
        Ok(self.deployments.keep_proposals(&kept, is_over).await?)
    }

    /// Orders that what people have merged enters; answers with the places that say what was proposed for them.
    async fn look_at_proposals(&self) -> Result<BTreeSet<Target>, LookError> {
        let mut found = BTreeSet::new();
        let proposals = self.proposals();
        let Some(head) = self.deployments.repository().head(MAIN).await?.filter(|_| !proposals.is_empty()) else {
            return Ok(found);
        };
        let of = |one: &Proposal| [&one.commit, &head].map(|commit| (one.target.clone(), commit.clone()));
        let trees = self.deployments.folders(&proposals.iter().flat_map(of).collect::<Vec<_>>()).await?;
        for (proposal, trees) in proposals.iter().zip(trees.chunks(2)) {
            if let [Some(proposed), Some(said)] = trees
                && proposed == said
            {
                found.insert(proposal.target.clone());
                self.take_in(proposal).await?;
            }
        }
        Ok(found)
    }

    /// `main` says what was proposed: it enters, or is taken out again where it can't. A push is refused then; but between
    /// the push and this look the flight may have ended.
    async fn take_in(&self, proposal: &Proposal) -> Result<(), LookError> {
        let Proposal { target, flight, .. } = proposal;
        let Some(merge) = self.deployments.last_merge(target).await? else { return Ok(()) };
        let why = match &proposal.state {
            ProposalState::Merged => return Ok(()),
            ProposalState::Over(why) => why.clone(),
            ProposalState::Open | ProposalState::Waiting(_) => {
                match self.control.merged(flight, &target.environment, &merge.commit, &merge.by).await {
                    Ok(_) => {
                        tracing::info!("{} merged {flight} into {target} by {}", merge.by, merge.commit);
                        return Ok(());
                    }
                    Err(OrderError::Refused(Refusal::NotProposed { .. })) => return Ok(()),
                    Err(OrderError::Refused(refusal)) => refusal.to_string(),
                    Err(error) => return Err(error.into()),
                }
            }
        };
        tracing::warn!("{} merged {flight} into {target}, which is taken out again: {why}", merge.by);
        let restore = self.control.with_fleet(|fleet| {
            let serves = fleet.flight(fleet.current(target)?)?;
            serves.entry(target)?.deploy_commit.clone()
        });
        let (target, flight, deploy_commit) = (target.clone(), flight.clone(), merge.commit);
        let (reason, at) = (why, self.control.now());
        let request = RevertRequest { target, flight, deploy_commit, restore, supersedes: None, reason, at };
        match self.deployments.revert(request).await {
            // Something else is there by now.
            Ok(_) | Err(DeployError::Superseded { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
