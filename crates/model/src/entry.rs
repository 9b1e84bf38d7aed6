//! A flight in one environment: from the gate to serving, or back out.

use jiff::Timestamp;

use crate::ids::{CommitId, FlightId};
use crate::migration::MigrationState;
use crate::policy::PolicyAnswers;
use crate::rollout::{Phase, Rollout, RolloutEvent};
use crate::runtime::Counters;

/// What happened to a flight in one environment so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// The commit by which its change was proposed, where the gate asks for a merge.
    pub proposed: Option<CommitId>,
    /// The commit by which a person merged that.
    pub merged: Option<CommitId>,
    /// When the gate opened.
    pub passed_at: Option<Timestamp>,
    /// The flight that served here before.
    pub replaces: Option<FlightId>,
    /// The flight that goes on serving here, where the service of a group has not changed.
    pub unchanged: Option<FlightId>,
    /// The commit in the deployment repository.
    pub deploy_commit: Option<CommitId>,
    /// What the policies said before that.
    pub policies: PolicyAnswers,
    /// How its migration goes, once it was started.
    pub migration: Option<MigrationState>,
    /// The rollout that brings it in.
    pub rollout: Option<Rollout>,
    /// What its checks said: none yet, good, or what failed.
    pub checked: Option<Result<(), String>>,
    /// How it is taken back after it served.
    pub rollback: Option<Rollback>,
    /// The commit that took it out of the deployment repository.
    pub reverted: Option<CommitId>,
    /// Its requests here, as of its last fact that counted them.
    pub requests: Counters,
    /// When each of its facts happened, by stored type; the first time of each.
    pub times: std::collections::BTreeMap<&'static str, Timestamp>,
}

/// A release that served is taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollback {
    /// The flight that serves again; none where there was none.
    pub to: Option<FlightId>,
    /// The release that was asked for, where that flight is one of a group's that served with it.
    pub asked: Option<FlightId>,
    /// Whether the order said to go past a migration that can't be undone.
    pub past_return: bool,
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// The commit that put another release back before, where the order was changed on the way.
    pub supersedes: Option<CommitId>,
    /// The rollout that brings `to` back.
    pub rollout: Option<Rollout>,
}

/// Where a flight stands in one environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Before the gate.
    Outside,
    /// The gate is open; the deployment repository is being written and the rollout prepared.
    Entering,
    /// The deployment repository names it, and its migration runs; it has no replica yet.
    Migrating,
    /// A rollout goes on.
    Rolling,
    /// It serves, and its checks are still to be run.
    Unchecked,
    /// It serves, and is still watched.
    Watched,
    /// It serves, or served until a later flight came.
    Settled,
    /// An earlier flight goes on serving, as the service of a group has not changed.
    Unchanged,
    /// It serves although it failed, past a point of no return: a person has to decide.
    Kept,
    /// The candidate is on its way out after its rollout failed, or its traffic is going back.
    Leaving,
    /// It is out of the runtime, and the deployment repository still names it.
    Unreverted,
    /// It is out.
    Gone,
}

impl Standing {
    /// Whether it came to serve there, and was not taken back since.
    pub fn serves(self) -> bool {
        match self {
            Self::Unchecked | Self::Watched | Self::Settled | Self::Kept => true,
            Self::Outside
            | Self::Entering
            | Self::Migrating
            | Self::Rolling
            | Self::Unchanged
            | Self::Leaving
            | Self::Unreverted
            | Self::Gone => false,
        }
    }

    /// Whether no other flight may come there now.
    pub fn is_busy(self) -> bool {
        match self {
            Self::Entering | Self::Migrating | Self::Rolling | Self::Unchecked | Self::Leaving | Self::Unreverted => {
                true
            }
            Self::Outside | Self::Watched | Self::Settled | Self::Unchanged | Self::Kept | Self::Gone => false,
        }
    }
}

impl Entry {
    /// Where the flight stands. `checks` says whether the environment has any.
    pub fn standing(&self, checks: bool) -> Standing {
        if let Some(rollback) = &self.rollback {
            let back = match (&rollback.to, &rollback.rollout) {
                (None, _) => true,
                (Some(_), rollout) => rollout.as_ref().is_some_and(Rollout::is_over),
            };
            return match (back, &self.reverted) {
                (false, _) => Standing::Leaving,
                (true, None) => Standing::Unreverted,
                (true, Some(_)) => Standing::Gone,
            };
        }
        if self.unchanged.is_some() {
            return Standing::Unchanged;
        }
        let Some(rollout) = &self.rollout else {
            return match (self.migration_failure(), &self.reverted) {
                (Some(_), None) => Standing::Unreverted,
                (Some(_), Some(_)) => Standing::Gone,
                // Without a migration both are recorded together.
                (None, _) if self.deploy_commit.is_some() => Standing::Migrating,
                (None, _) if self.passed_at.is_some() => Standing::Entering,
                (None, _) => Standing::Outside,
            };
        };
        match (&rollout.phase, &self.reverted) {
            (Phase::Preparing { .. } | Phase::Baking(_), _) => Standing::Rolling,
            (Phase::Withdrawing { .. }, _) => Standing::Leaving,
            (Phase::Withdrawn { .. }, None) => Standing::Unreverted,
            (Phase::Withdrawn { .. }, Some(_)) => Standing::Gone,
            (Phase::Promoted(_), _) if self.kept().is_some() => Standing::Kept,
            (Phase::Promoted(_), _) if checks && self.checked.is_none() => Standing::Unchecked,
            (Phase::Promoted(_), _) if rollout.is_watched() => Standing::Watched,
            (Phase::Promoted(_), _) => Standing::Settled,
        }
    }

    /// Whether the deployment repository may still name a release that failed.
    pub fn must_revert(&self) -> bool {
        let failed = self.rollback.is_some()
            || self.migration_failure().is_some()
            || self.rollout.as_ref().is_some_and(|r| r.failure().is_some());
        failed && self.deploy_commit.is_some() && self.reverted.is_none()
    }

    /// Whether it still serves, and another release is on its way back.
    pub(crate) fn is_returning(&self) -> bool {
        let rollback = self.rollback.as_ref().filter(|rollback| rollback.to.is_some());
        rollback.is_some_and(|rollback| !rollback.rollout.as_ref().is_some_and(Rollout::is_over))
    }

    /// When it failed here or was ordered back.
    pub fn failed_at(&self) -> Option<Timestamp> {
        let migrated = || self.times.get("environment.migrated").filter(|_| self.migration_failure().is_some());
        let failed = || self.times.get("rollout.failed").or_else(migrated).copied();
        self.rollback.as_ref().map(|r| r.at).or_else(failed)
    }

    /// The rollout that moves traffic now, forward or back.
    pub fn moving(&self) -> Option<&Rollout> {
        match &self.rollback {
            Some(rollback) => rollback.rollout.as_ref(),
            None => self.rollout.as_ref(),
        }
    }

    pub(crate) fn take_rollout_event(
        &mut self,
        event: &RolloutEvent,
        at: Timestamp,
    ) -> Result<(), crate::rollout::Conflict> {
        self.times.entry(event.name()).or_insert(at);
        if self.rollback.is_none() {
            self.count_requests(event);
        }
        let slot = self.rollback.as_mut().map_or(&mut self.rollout, |rollback| &mut rollback.rollout);
        match (slot.as_mut(), event) {
            (_, RolloutEvent::Started(start)) => {
                *slot = Some(Rollout::new(start.clone(), at));
                Ok(())
            }
            (Some(rollout), event) => rollout.apply(event, at),
            (None, _) => Ok(()),
        }
    }

    /// Takes in the candidate's requests, where a fact says how many it has had.
    fn count_requests(&mut self, event: &RolloutEvent) {
        let before = match self.rollout.as_ref().map(|rollout| &rollout.phase) {
            Some(Phase::Baking(baking)) => Counters::from(&baking.candidate),
            Some(Phase::Promoted(promoted)) => Counters::from(&promoted.before),
            Some(Phase::Preparing { .. } | Phase::Withdrawing { .. } | Phase::Withdrawn { .. }) | None => self.requests,
        };
        self.requests = match event {
            RolloutEvent::StepEntered { candidate, .. } | RolloutEvent::Promoted { candidate, .. } => candidate.into(),
            RolloutEvent::Withdrawn { candidate } => *candidate,
            RolloutEvent::StepHeld { evidence, .. }
            | RolloutEvent::StepPassed { evidence, .. }
            | RolloutEvent::Failed { evidence, .. }
            | RolloutEvent::Watched { evidence, .. } => before + Counters::from(&evidence.candidate),
            RolloutEvent::Started(_) | RolloutEvent::Marked { .. } => return,
        };
    }
}
