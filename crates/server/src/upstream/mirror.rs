//! A copy of the deployment repository on a Git host, where people read it, and merge what is proposed. What is recorded here
//! goes there; what people merge there comes here as a push would, and is refused as a push would be.

use std::collections::BTreeMap;
use std::time::Duration;

use prograde_control::{Clock as _, SystemClock};
use prograde_gitops::deploy::Taken;
use prograde_gitops::git::MAIN;
use prograde_model::ids::CommitId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Follower, Inner, LookError};

/// The branches that the copy has.
const PATTERNS: [&str; 2] = [MAIN, "proposals/*"];
/// How the names of branches with proposals begin.
const PROPOSALS: &str = "proposals/";
/// How long facts are gathered before it is looked whether the copy is to be changed: in that time proposals are brought onto
/// what `main` is.
const GATHER: Duration = Duration::from_secs(3);
/// What is said of what can't be taken, beside why.
const HINT: &str = "revert it there";

/// Where branches are.
type Branches = BTreeMap<String, CommitId>;

impl Follower {
    /// Keeps the copy until it is stopped.
    pub(super) async fn mirror(&self, inner: &Inner, stop: &CancellationToken) {
        let mut facts = inner.control.changed();
        while !stop.is_cancelled() {
            facts.borrow_and_update();
            let looked = self.exchange(inner).await;
            let there = looked.as_ref().ok().cloned();
            let pause = self.take(looked.map(|there| there.get(MAIN).cloned()), SystemClock.now());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.woken.notified() => {}
                () = news(inner, &mut facts, there) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Takes what the host has, and gives it what it has not; answers with what it has then.
    async fn exchange(&self, inner: &Inner) -> Result<Branches, LookError> {
        let upstream = self.followed.upstream().map_err(LookError::Token)?;
        let repository = inner.deployments.repository();
        let mut there = repository.look_branches(&upstream, &PATTERNS).await?;
        // A pattern may match the end of longer names as well.
        there.retain(|branch, _| branch == MAIN || branch.starts_with(PROPOSALS));
        let ours = repository.head(MAIN).await?;
        if there.contains_key(MAIN) && there.get(MAIN) != ours.as_ref() {
            let theirs = repository.fetch_upstream(&upstream).await?;
            let rules = inner.by_hand.folders(HINT).await?;
            match inner.deployments.take_over(&theirs, &rules, &self.followed.host()).await? {
                Taken::Nothing => {}
                Taken::Main(commit) => {
                    tracing::info!(commit = commit.short(), "deployments taken over from {}", self.followed.at.url);
                    inner.by_hand.pushed();
                    // What was merged is proposed no longer once that is recorded.
                    tokio::time::sleep(GATHER).await;
                }
                Taken::Refused(why) => return Err(LookError::NotTaken { theirs, why }),
            }
        }
        let ours = inner.deployments.branches().await?;
        let changes = changes(&ours, &there);
        if !changes.is_empty() {
            repository.push_upstream(&upstream, &changes).await?;
            tracing::info!("deployments sent to {}: {}", self.followed.at.url, changes.join(" "));
        }
        Ok(ours)
    }
}

/// What is pushed so that the host has what is here. Only proposals are moved other than forward, and taken away.
fn changes(ours: &Branches, there: &Branches) -> Vec<String> {
    let mut changes = Vec::new();
    for (branch, commit) in ours.iter().filter(|(branch, commit)| there.get(*branch) != Some(*commit)) {
        let force = if branch == MAIN { "" } else { "+" };
        changes.push(format!("{force}{commit}:refs/heads/{branch}"));
    }
    let gone = there.keys().filter(|branch| *branch != MAIN && !ours.contains_key(*branch));
    changes.extend(gone.map(|branch| format!(":refs/heads/{branch}")));
    changes
}

/// Waits until the branches here are others than there. Where it is not known what is there, somebody else asks.
async fn news(inner: &Inner, facts: &mut watch::Receiver<u64>, there: Option<Branches>) {
    let Some(there) = there else { return std::future::pending().await };
    loop {
        if facts.changed().await.is_err() {
            return std::future::pending().await;
        }
        tokio::time::sleep(GATHER).await;
        facts.borrow_and_update();
        // What can't be read is told by whoever sends it.
        if inner.deployments.branches().await.ok().as_ref() != Some(&there) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn main_goes_forward_and_proposals_come_and_go() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitId>().unwrap();
        let of =
            |all: &[(&str, &str)]| all.iter().map(|(name, at)| ((*name).to_owned(), commit(at))).collect::<Branches>();
        let ours = of(&[("main", "a"), ("proposals/production/echo", "b"), ("proposals/test/echo", "c")]);
        let there = of(&[("main", "d"), ("proposals/production/echo", "e"), ("proposals/test/pad", "f")]);
        let [a, b, c] = ["a", "b", "c"].map(|digit| digit.repeat(40));
        let expected = [
            format!("{a}:refs/heads/main"),
            format!("+{b}:refs/heads/proposals/production/echo"),
            format!("+{c}:refs/heads/proposals/test/echo"),
            ":refs/heads/proposals/test/pad".to_owned(),
        ];
        assert_eq!(changes(&ours, &there), expected);
        assert_eq!(changes(&ours, &ours), Vec::<String>::new());
    }
}
