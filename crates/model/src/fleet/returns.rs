//! To which releases an environment can't return without more ado: those that never served with the data as a migration
//! that can't be undone has left it.

use std::collections::BTreeMap;

use super::Fleet;
use crate::entry::{Entry, Standing};
use crate::flight::Flight;
use crate::ids::{CommitId, FlightId, Target};
use crate::rollout::Phase;

/// For every place the flights that lie before a point of no return, with the one that went past it last.
pub(super) type BeforeReturn = BTreeMap<(Target, FlightId), FlightId>;

impl Fleet {
    /// The flight whose migration stands in the way of going back to another, if one does.
    pub fn point_of_no_return(&self, target: &Target, to: &FlightId) -> Option<&FlightId> {
        self.before_return.get(&(target.clone(), to.clone()))
    }

    /// A migration that can't be undone is run. What serves meanwhile will have served with what it leaves; nothing that
    /// served before has.
    pub(super) fn begin_return_point(&mut self, target: &Target, by: &FlightId) {
        let current = self.current.get(target);
        let served = |flight: &&Flight| {
            flight.id != *by && Some(&flight.id) != current && flight.entry(target).is_some_and(has_served)
        };
        let behind: Vec<FlightId> = self.flights.values().filter(served).map(|flight| flight.id.clone()).collect();
        for flight in behind {
            self.before_return.insert((target.clone(), flight), by.clone());
        }
    }

    /// Another version serves from now on; `by` is the flight that has brought that about, its own or the one that gives way.
    /// The new version gets along with the data as it is. What served before does so no longer where the new one is on its
    /// way in and has migrated the data for good, as it writes what only it can read.
    pub(super) fn serve(&mut self, target: Target, now: FlightId, by: &FlightId) {
        self.before_return.remove(&(target.clone(), now.clone()));
        let entry = self.flights.get(&now).and_then(|flight| flight.entry(&target));
        let is_past = now == *by && entry.is_some_and(Entry::is_past_return);
        let before = self.current.insert(target.clone(), now.clone());
        if let Some(before) = before.filter(|before| *before != now && is_past) {
            self.before_return.insert((target, before), now);
        }
    }
}

fn has_served(entry: &Entry) -> bool {
    entry.rollout.as_ref().is_some_and(|rollout| matches!(rollout.phase, Phase::Promoted(_)))
}

/// What the deployment repository may say of a place instead of what it says now, when a person puts it back by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaysBack {
    /// The flight that serves there, or rolls out.
    pub inside: FlightId,
    /// The commit by which it came.
    pub commit: CommitId,
    /// The flights that may be gone back to, and the commits by which they came.
    pub to: Vec<(FlightId, CommitId)>,
}

impl Fleet {
    /// The ways back from a place; none while somebody is on the way in or out, and nothing may be said there by hand.
    pub fn ways_back(&self, target: &Target) -> Option<WaysBack> {
        let busy = self.active().find(|flight| flight.standing(target).is_busy());
        let inside = match busy {
            Some(flight) => (flight.standing(target) == Standing::Rolling).then_some(flight)?,
            None => self.flight(self.current(target)?)?,
        };
        // What rolls out gives way to what serves beside it.
        let beside = busy.and(self.current(target));
        let is_way = |to: &&Flight| {
            let order = (Some(to.id.clone()), false);
            to.id != inside.id
                && beside.is_none_or(|beside| to.id == *beside)
                && to.has_served(self, target)
                && inside.roll_back(self, target, order, "somebody", "something").is_ok()
        };
        let came = |flight: &Flight| flight.entry(target)?.deploy_commit.clone();
        let to = self.flights().filter(is_way).filter_map(|to| Some((to.id.clone(), came(to)?))).collect();
        Some(WaysBack { inside: inside.id.clone(), commit: came(inside)?, to })
    }
}
