//! A release that is proposed for an environment: what would be deployed lies on a branch of the deployment repository, and
//! the release enters when a person has merged it. While it is not, gate and journal know of nothing but that it is there.

use std::cmp::Reverse;

use super::{Closure, GateState, Holds, Missing, gate};
use crate::event::{Event, Outcome};
use crate::fleet::Fleet;
use crate::flight::{Flight, Refusal};
use crate::ids::{CommitId, EnvironmentName, FlightId, Target};

/// How many proposals are looked at, the newest first: those that wait are among them, and of the others so many can be told
/// why they are refused.
const PROPOSALS_MAX: usize = 100;

/// The branch of the deployment repository on which a release is proposed for a place.
pub fn branch(target: &Target) -> String {
    format!("proposals/{}/{}", target.environment, target.service)
}

/// A release that was proposed for a place, and has not entered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The place.
    pub target: Target,
    /// The flight that brings it.
    pub flight: FlightId,
    /// The commit that was proposed. The branch may hold another one with the same content, on top of what `main` is now.
    pub commit: CommitId,
    /// What may become of it.
    pub state: ProposalState,
}

/// What may become of a proposal now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProposalState {
    /// A person may merge it.
    Open,
    /// It can't be merged before this is so.
    Waiting(Vec<Missing>),
    /// It was merged, and is about to enter.
    Merged,
    /// It can't be merged any more, for this reason.
    Over(String),
}

impl ProposalState {
    /// Whether its release may still enter.
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Open | Self::Waiting(_) | Self::Merged => true,
            Self::Over(_) => false,
        }
    }
}

impl Flight {
    /// Whether its change to an environment is to be proposed, as the gate asks for a merge there. What is proposed can be
    /// read while the gate still waits for other things.
    pub(crate) fn is_to_propose(&self, target: &Target) -> bool {
        self.asks_for_merge(&target.environment) && self.entry(target).is_none_or(|entry| entry.proposed.is_none())
    }

    fn asks_for_merge(&self, environment: &EnvironmentName) -> bool {
        let rules = self.service_config().and_then(|service| service.environment(environment));
        rules.is_some_and(|rules| rules.gate.merge)
    }

    /// Whether a person has merged what it proposed for an environment.
    pub(super) fn is_merged(&self, environment: &EnvironmentName) -> bool {
        self.places_in(environment).any(|target| self.entry(target).is_some_and(|entry| entry.merged.is_some()))
    }

    /// The merge that it waits for, if it does.
    pub(super) fn missing_merge(&self, environment: &EnvironmentName) -> Option<Missing> {
        if !self.asks_for_merge(environment) || self.is_merged(environment) {
            return None;
        }
        let is_there = |target: &&Target| self.entry(target).is_some_and(|entry| entry.proposed.is_some());
        Some(Missing::Merge { branch: self.places_in(environment).find(is_there).map(branch) })
    }

    /// A person has merged what it proposed: `main` of the deployment repository says it by `commit`. What people have merged
    /// enters whatever else began to keep releases out since; who may merge was asked before.
    pub fn merge(
        &self,
        fleet: &Fleet,
        environment: &EnvironmentName,
        commit: &CommitId,
        by: &str,
    ) -> Result<Vec<Event>, Refusal> {
        if self.outcome.is_some() {
            return Err(Refusal::Ended { flight: self.id.clone() });
        }
        let proposed = self.places_in(environment).find_map(|target| Some((target, self.entry(target)?)));
        let proposed = proposed.filter(|(_, entry)| entry.proposed.is_some() && entry.passed_at.is_none());
        let Some((target, entry)) = proposed else {
            return Err(Refusal::NotProposed { flight: self.id.clone(), environment: environment.clone() });
        };
        if entry.merged.is_some() {
            return Ok(Vec::new());
        }
        let shut = |reason| {
            let (flight, environment) = (self.id.clone(), environment.clone());
            Err(Refusal::GateShut { flight, environment, reason })
        };
        match gate(fleet, self, environment, &Holds::default()) {
            GateState::Closed { reason } => return shut(reason.to_string()),
            GateState::Waiting { missing } => {
                let unapproved = |one: &Missing| match one {
                    Missing::Approvals { given, needed, .. } => Some(format!("it has {given} of {needed} approvals")),
                    Missing::Occupied { .. } | Missing::Held { .. } | Missing::Merge { .. } => None,
                };
                if let Some(reason) = missing.iter().find_map(unapproved) {
                    return shut(reason);
                }
            }
            GateState::Open => {}
        }
        Ok(vec![Event::Merged { place: self.place(target), commit: commit.clone(), by: by.to_owned() }])
    }

    /// What may become of what it proposed.
    fn proposal_state(&self, fleet: &Fleet, target: &Target, holds: &Holds) -> ProposalState {
        let flight = self.id.short();
        if let Some(outcome) = &self.outcome {
            return ProposalState::Over(match outcome {
                Outcome::Superseded { by } => format!("flight {flight} gave way to flight {}", by.short()),
                Outcome::Aborted { by, reason } => format!("flight {flight} was ended by {by}: {reason}"),
                Outcome::Stopped { reason, .. }
                | Outcome::Rejected { reason }
                | Outcome::RolledBack { reason, .. }
                | Outcome::Kept { reason, .. } => format!("flight {flight} has ended: {reason}"),
                Outcome::Landed | Outcome::Refused { .. } => format!("flight {flight} has ended"),
            });
        }
        if self.is_merged(&target.environment) {
            return ProposalState::Merged;
        }
        match gate(fleet, self, &target.environment, holds) {
            GateState::Closed { reason } => ProposalState::Over(format!("flight {flight}: {reason}")),
            GateState::Open => ProposalState::Open,
            GateState::Waiting { mut missing } => {
                missing.retain(|one| !matches!(one, Missing::Merge { .. }));
                if missing.is_empty() { ProposalState::Open } else { ProposalState::Waiting(missing) }
            }
        }
    }
}

impl Fleet {
    /// What was proposed and has not entered, the newest first, while `holds` keep releases out.
    pub fn proposals(&self, holds: &Holds) -> Vec<Proposal> {
        let outside = |flight: &Flight| -> Vec<(Target, CommitId)> {
            let entries = flight.entries.iter().filter(|(_, entry)| entry.passed_at.is_none());
            entries.filter_map(|(target, entry)| Some((target.clone(), entry.proposed.clone()?))).collect()
        };
        let mut found: Vec<(&Flight, Target, CommitId)> = self
            .flights()
            .flat_map(|flight| outside(flight).into_iter().map(move |(target, commit)| (flight, target, commit)))
            .collect();
        found.sort_by_key(|(flight, ..)| Reverse(flight.opened_at_sequence));
        found.truncate(PROPOSALS_MAX);
        let proposal = |(flight, target, commit): (&Flight, Target, CommitId)| {
            let state = flight.proposal_state(self, &target, holds);
            Proposal { target, flight: flight.id.clone(), commit, state }
        };
        found.into_iter().map(proposal).collect()
    }
}

impl std::fmt::Display for Closure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quarantined { reason } => write!(f, "its digest is in quarantine: {reason}"),
            Self::Superseded { by } => write!(f, "flight {} came later and is as far", by.short()),
        }
    }
}
