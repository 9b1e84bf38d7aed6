//! To which releases an environment can't return without more ado: those that never served with the data as a migration
//! that can't be undone has left it.

use std::collections::BTreeMap;

use super::Fleet;
use crate::entry::Entry;
use crate::ids::{FlightId, Target};
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
        let served = |flight: &&crate::flight::Flight| {
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
