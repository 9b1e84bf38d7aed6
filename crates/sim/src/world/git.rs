//! The deployment repository: a line of commits that say what should run.

use std::collections::BTreeMap;

use prograde_control::ports::{Deployment, PortError, Revert};
use prograde_model::ids::{CommitId, FlightId, Target};

use super::name;

/// What a commit in the deployment repository did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrote {
    /// It brought a release.
    Deploy,
    /// It took one out.
    Revert,
}

/// One commit.
#[derive(Debug, Clone)]
pub struct Commit {
    /// Its name.
    pub id: CommitId,
    /// What it did.
    pub wrote: Wrote,
    /// With which flight's release.
    pub flight: FlightId,
    /// Where.
    pub target: Target,
    /// Why, where it took a release out.
    pub reason: String,
    /// The commit that it puts right.
    supersedes: Option<CommitId>,
    /// The flight that its target's folder names from then on.
    names: Option<FlightId>,
    asked: String,
}

/// What there is one commit for: an action on a flight's release at a target, and the commit that it puts right.
type Work = (Wrote, FlightId, Target, Option<CommitId>);

/// The deployment repository.
#[derive(Debug, Clone, Default)]
pub struct Git {
    /// All commits, the oldest first.
    pub commits: Vec<Commit>,
    by_work: BTreeMap<Work, usize>,
    /// What is proposed for each target.
    proposed: BTreeMap<Target, (FlightId, CommitId)>,
}

/// What a commit was asked for with that a person made.
const MERGED: &str = "merged by a person";

impl Git {
    /// Writes a release. Asked again it must be with the same words; the error says so.
    pub(crate) fn deploy(&mut self, deployment: &Deployment) -> Result<CommitId, String> {
        self.write(Commit {
            id: self.next_id(),
            wrote: Wrote::Deploy,
            flight: deployment.flight.clone(),
            target: deployment.target.clone(),
            reason: String::new(),
            supersedes: None,
            names: Some(deployment.flight.clone()),
            asked: format!("{deployment:?}"),
        })
    }

    /// Writes beside what is said what would be written; a later flight's takes the place of an earlier one's.
    pub(crate) fn propose(&mut self, deployment: &Deployment) -> CommitId {
        let proposed = self.proposed.get(&deployment.target).filter(|(flight, _)| *flight == deployment.flight);
        if let Some((_, commit)) = proposed {
            return commit.clone();
        }
        let commit: CommitId = name(&format!("{:0>40}", deployment.flight.as_str()));
        self.proposed.insert(deployment.target.clone(), (deployment.flight.clone(), commit.clone()));
        commit
    }

    /// A person merges what a flight proposed, if it is what lies there.
    pub(crate) fn merge(&mut self, target: &Target, flight: &FlightId) -> Option<CommitId> {
        self.proposed.get(target).filter(|(of, _)| of == flight)?;
        self.proposed.remove(target);
        let merged = self.write(Commit {
            id: self.next_id(),
            wrote: Wrote::Deploy,
            flight: flight.clone(),
            target: target.clone(),
            reason: String::new(),
            supersedes: None,
            names: Some(flight.clone()),
            asked: MERGED.to_owned(),
        });
        merged.ok()
    }

    /// The commit by which a person merged what the repository says of a target, if that is this flight.
    pub(crate) fn merged(&self, target: &Target, flight: &FlightId) -> Option<CommitId> {
        let last = self.commits.iter().rfind(|c| c.target == *target)?;
        (last.asked == MERGED && last.flight == *flight).then(|| last.id.clone())
    }

    /// Takes a release out: its target's folder is again what it was before, or what it was after the commit to restore.
    pub(crate) fn revert(&mut self, revert: &Revert) -> Result<Result<CommitId, String>, PortError> {
        let deployed = self.commits.iter().position(|c| c.id == revert.commit && c.flight == revert.flight);
        let Some(deployed) = deployed else {
            return Err(PortError::Final(format!("there is no commit {}", revert.commit)));
        };
        let asked = format!("{revert:?}");
        let key = (Wrote::Revert, revert.flight.clone(), revert.target.clone(), revert.supersedes.clone());
        let earlier = revert.supersedes.as_ref().and_then(|id| self.commits.iter().find(|c| c.id == *id));
        let last = earlier.map_or_else(|| Some(revert.flight.clone()), |commit| commit.names.clone());
        if !self.by_work.contains_key(&key) && self.named(&revert.target) != last {
            // What came later has taken its place: there is nothing to take out.
            return Ok(Ok(self.commits.last().map_or_else(|| revert.commit.clone(), |c| c.id.clone())));
        }
        let restored = revert.restore.as_ref().and_then(|id| self.commits.iter().find(|c| c.id == *id));
        let before = self.commits.iter().take(deployed).rfind(|c| c.target == revert.target);
        Ok(self.write(Commit {
            id: self.next_id(),
            wrote: Wrote::Revert,
            flight: revert.flight.clone(),
            target: revert.target.clone(),
            reason: revert.reason.clone(),
            supersedes: revert.supersedes.clone(),
            names: restored.or(before).and_then(|c| c.names.clone()),
            asked,
        }))
    }

    fn next_id(&self) -> CommitId {
        name(&format!("{:08x}{:032x}", self.commits.len() + 1, 0))
    }

    fn write(&mut self, commit: Commit) -> Result<CommitId, String> {
        let key = (commit.wrote, commit.flight.clone(), commit.target.clone(), commit.supersedes.clone());
        if let Some(before) = self.by_work.get(&key).and_then(|at| self.commits.get(*at)) {
            if before.asked != commit.asked && before.asked != MERGED {
                return Err(format!("asked again with other words:\n{}\n{}", before.asked, commit.asked));
            }
            return Ok(before.id.clone());
        }
        let id = commit.id.clone();
        self.by_work.insert(key, self.commits.len());
        self.commits.push(commit);
        Ok(id)
    }

    pub(crate) fn has(&self, id: &CommitId) -> bool {
        self.commits.iter().any(|c| c.id == *id)
    }

    /// The flight that the repository names at a target.
    pub fn named(&self, target: &Target) -> Option<FlightId> {
        self.commits.iter().rfind(|c| c.target == *target)?.names.clone()
    }
}
