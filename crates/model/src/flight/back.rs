//! The way back: to what a flight goes back, and how the services of a group follow one another out again.

use super::Flight;
use crate::entry::{Entry, Standing};
use crate::event::Event;
use crate::fleet::Fleet;
use crate::ids::{FlightId, Target};
use crate::migration::MigrationFailure;
use crate::rollout::Cause;

use super::orders::Refusal;

impl Flight {
    /// It is taken back to what it replaced in a place.
    pub(super) fn back_to_before(&self, target: &Target, by: &str, reason: &str) -> Event {
        Event::RollbackOrdered {
            place: self.place(target),
            to: self.entry(target).and_then(|entry| entry.replaces.clone()),
            asked: None,
            past_return: false,
            by: by.to_owned(),
            reason: reason.to_owned(),
        }
    }

    /// What of a group still serves in an environment that one of its services had to leave goes as well, the last one
    /// first: what needs another is out before it. Nothing once none is left in any environment. What is past a point of no
    /// return stays with all before it, unless a person has said otherwise.
    pub(super) fn others_back(&self, fleet: &Fleet) -> Option<Event> {
        let left = |at: &&Target| matches!(self.standing(at), Standing::Unreverted | Standing::Gone);
        let left_in = |target: &Target| self.places_in(&target.environment).any(|at| left(&at));
        let ordered = |target: &Target| {
            let mut rollbacks = self.places_in(&target.environment).filter_map(|at| self.entry(at)?.rollback.as_ref());
            rollbacks.any(|rollback| rollback.past_return)
        };
        let may_leave = |target: &&Target| !self.entry(target).is_some_and(Entry::is_past_return) || ordered(target);
        // What stays may need what came before it.
        let last = self.places.iter().rev().find(|target| self.serves(fleet, target) && left_in(target));
        let target = last.filter(may_leave)?;
        let environment = &target.environment;
        let out = self.places_in(environment).filter_map(|target| Some((target, self.entry(target)?)));
        let (first, entry) =
            out.filter(|(_, entry)| entry.failed_at().is_some()).min_by_key(|(_, entry)| entry.failed_at())?;
        let of_group = |why: String| ("group".to_owned(), format!("{}: {why}", first.service), None, false);
        let failure = entry.rollout.as_ref().and_then(|rollout| rollout.failure());
        let (by, reason, asked, past_return) = match (&entry.rollback, failure, entry.migration_failure()) {
            (Some(rollback), ..) => {
                (rollback.by.clone(), rollback.reason.clone(), rollback.asked.clone(), rollback.past_return)
            }
            (None, Some(Cause::Ordered { by, reason }), _)
            | (None, None, Some(MigrationFailure::Ended { by, reason })) => (by.clone(), reason.clone(), None, false),
            (None, Some(cause), _) => of_group(cause.to_string()),
            (None, None, Some(failure)) => of_group(failure.to_string()),
            (None, None, None) => return None,
        };
        let asked_for = asked.as_ref().and_then(|id| fleet.flight(id)).and_then(|flight| flight.served_by(target));
        let to = asked_for.or_else(|| self.entry(target)?.replaces.clone());
        Some(Event::RollbackOrdered { place: self.place(target), to, asked, past_return, by, reason })
    }

    /// Whether what it brought serves in a place now.
    pub(super) fn serves(&self, fleet: &Fleet, target: &Target) -> bool {
        self.standing(target).serves() && fleet.current(target) == Some(&self.id)
    }

    /// Whether it was in a place once, or left it as it was.
    pub fn has_served(&self, fleet: &Fleet, target: &Target) -> bool {
        self.served_by(target).is_some_and(|by| fleet.replicas(&by, target).is_some())
    }

    /// The flight that brought what served in a place with this one.
    pub(super) fn served_by(&self, target: &Target) -> Option<FlightId> {
        let entry = self.entry(target)?;
        Some(entry.unchanged.clone().unwrap_or_else(|| self.id.clone()))
    }

    /// The flight to go back to from a place where this one serves and nobody else is on the way in.
    pub(super) fn way_to(&self, fleet: &Fleet, target: &Target, to: Option<&FlightId>) -> Result<FlightId, Refusal> {
        let environment = || target.environment.clone();
        if self.another_is_inside(fleet, target) {
            return Err(Refusal::NotServing { flight: self.id.clone(), environment: environment() });
        }
        let asked = |to: &FlightId| {
            let of = fleet.flight(to).filter(|flight| flight.service == self.service);
            of.and_then(|flight| flight.served_by(target)).unwrap_or_else(|| to.clone())
        };
        let before = to.map(asked).or_else(|| self.entry(target)?.replaces.clone());
        let to = before.ok_or_else(|| Refusal::NothingBefore { environment: environment() })?;
        let served = fleet
            .flight(&to)
            .filter(|f| f.id != self.id && f.service == self.service)
            .filter(|f| matches!(f.standing(target), Standing::Settled | Standing::Watched | Standing::Kept));
        match served.filter(|f| f.release(target).is_some() && fleet.bar(target, f).is_none()) {
            Some(_) => Ok(to),
            None => Err(Refusal::NoWayBack { to, environment: environment() }),
        }
    }

    /// The flight whose migration stands in the way of going back from a place, with all of its group.
    pub(super) fn point_of_no_return(&self, fleet: &Fleet, from: &Target, to: Option<&FlightId>) -> Option<FlightId> {
        self.places_in(&from.environment).filter(|target| self.serves(fleet, target)).find_map(|target| {
            let asked = to.and_then(|id| fleet.flight(id)).and_then(|flight| flight.served_by(target));
            let back = asked.or_else(|| self.entry(target)?.replaces.clone())?;
            fleet.point_of_no_return(target, &back).cloned()
        })
    }

    /// As [`Self::way_to`]; a service that is new in a group goes back to nothing, where the others have somewhere to go.
    pub(super) fn way_out(
        &self,
        fleet: &Fleet,
        target: &Target,
        to: Option<&FlightId>,
    ) -> Result<Option<FlightId>, Refusal> {
        let had = |entry: &Entry| entry.replaces.is_some() || entry.unchanged.is_some();
        let others = || self.places_in(&target.environment).any(|other| self.entry(other).is_some_and(had));
        match self.way_to(fleet, target, to) {
            Err(Refusal::NothingBefore { .. }) if others() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Whether another flight serves in a place, or is on its way into or out of its environment.
    pub(super) fn another_is_inside(&self, fleet: &Fleet, target: &Target) -> bool {
        let other = |f: &&Flight| f.id != self.id && f.service == self.service && f.occupies(&target.environment);
        fleet.active().any(|f| other(&f)) || fleet.current(target) != Some(&self.id)
    }
}
