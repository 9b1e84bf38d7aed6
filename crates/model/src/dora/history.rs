//! The journal's facts, folded into deployments.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::Deployment;
use crate::event::{Event, Opened, Outcome, Place, Recorded};
use crate::ids::{EnvironmentName, FlightId, Target};
use crate::rollout::{Cause, RolloutEvent, Start, Strategy};

/// Who orders the services of a group back when one of them fails (`flight::back`).
const GROUP: &str = "group";

/// All deployments that a journal knows of.
#[derive(Debug, Clone, Default)]
pub struct History {
    flights: BTreeMap<FlightId, Known>,
    entries: Vec<Entry>,
    /// The last entry of a flight in a place.
    latest: BTreeMap<(FlightId, Target), usize>,
    /// The entries in a place that failed and from which nothing has recovered.
    failing: BTreeMap<Target, Vec<usize>>,
    began_at: Option<Timestamp>,
    seen_at: Option<Timestamp>,
    stepped_back: u64,
}

/// What has to be known of a flight.
#[derive(Debug, Clone)]
struct Known {
    opened: Opened,
    at: Timestamp,
    last: Option<EnvironmentName>,
    /// The flights whose commits it carries, as it took their places.
    carries: Vec<FlightId>,
}

#[derive(Debug, Clone)]
struct Entry {
    of: FlightId,
    deployment: Deployment,
    /// Whether something served before, to go back to.
    has_stable: bool,
    /// Whether its requests are known from its rollout's steps alone.
    by_steps: bool,
    /// Whether it is on its way back after it served.
    returning: bool,
}

impl History {
    /// Takes in a fact. Facts come in the journal's order; those that fit nothing are passed over, as in [`crate::fleet`].
    pub fn apply(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        self.began_at = Some(self.began_at.map_or(at, |began| began.min(at)));
        if self.seen_at.is_some_and(|seen| at < seen) {
            self.stepped_back = self.stepped_back.saturating_add(1);
        }
        self.seen_at = Some(at);
        let flight = &recorded.flight;
        match &recorded.event {
            Event::Opened(opened) => {
                let known = Known { opened: opened.clone(), at, last: None, carries: Vec::new() };
                self.flights.insert(flight.clone(), known);
            }
            Event::Configured { service, .. } => {
                if let Some(known) = self.flights.get_mut(flight) {
                    known.last = service.environments.last().map(|environment| environment.name.clone());
                }
            }
            Event::Ended { outcome: Outcome::Superseded { by } } => {
                if let Some(known) = self.flights.get_mut(by) {
                    known.carries.push(flight.clone());
                }
            }
            Event::Deployed { place, .. } => self.enter(flight, place, at),
            Event::Migrated { place, failure: Some(_), by } => {
                // Nothing of it has run: what people end here has reached nobody.
                if by.is_none() {
                    self.with(flight, place, |entry| entry.fail(at));
                }
            }
            Event::Rollout { place, event } => self.apply_rollout(flight, place, event, at),
            Event::Checked { place, failure: Some(_) } => {
                self.with(flight, place, |entry| entry.fail(at));
                self.note_failing(flight, place);
            }
            Event::RollbackOrdered { place, by, .. } => {
                self.with(flight, place, |entry| {
                    entry.returning = true;
                    if by != GROUP {
                        entry.fail(at);
                    }
                });
                self.note_failing(flight, place);
            }
            Event::Migrated { failure: None, .. }
            | Event::Checked { failure: None, .. }
            | Event::Ended { .. }
            | Event::JobStarted { .. }
            | Event::JobFinished { .. }
            | Event::PipelineFinished { .. }
            | Event::ReleaseRecorded(_)
            | Event::Approved { .. }
            | Event::Proposed { .. }
            | Event::Merged { .. }
            | Event::Overridden { .. }
            | Event::GatePassed { .. }
            | Event::Unchanged { .. }
            | Event::MigrationStarted { .. }
            | Event::Quarantined { .. }
            | Event::QuarantineLifted { .. }
            | Event::Reverted { .. }
            | Event::Scaled { .. }
            | Event::FlagSet { .. }
            | Event::FlagUnset { .. }
            | Event::FlagWatched { .. }
            | Event::Scanned(_)
            | Event::AuthorNotified { .. } => {}
        }
    }

    /// When the journal begins.
    pub fn began_at(&self) -> Option<Timestamp> {
        self.began_at
    }

    /// How often a fact has an earlier time than the one before it, because a clock was set back.
    pub fn stepped_back(&self) -> u64 {
        self.stepped_back
    }

    /// The deployments, in the order in which they were begun.
    pub fn deployments(&self) -> Vec<Deployment> {
        let reached: BTreeSet<(&FlightId, &Target)> = self
            .entries
            .iter()
            .filter(|entry| entry.deployment.reached_at.is_some())
            .map(|entry| (&entry.of, &entry.deployment.target))
            .collect();
        let mut failed_before: BTreeMap<&Target, bool> = BTreeMap::new();
        let of = |entry: &Entry, rework: bool| Deployment {
            committed_at: self.committed(&entry.of, &entry.deployment.target, &reached),
            rework,
            ..entry.deployment.clone()
        };
        let mut found = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let target = &entry.deployment.target;
            let reverts = entry.deployment.name.starts_with("Revert \"");
            let repairs = failed_before.get(target).copied().unwrap_or(false);
            found.push(of(entry, reverts || repairs));
            if entry.deployment.at().is_some() {
                failed_before.insert(target, entry.deployment.failed_at.is_some());
            }
        }
        found
    }

    /// When its own commit was made, and those of the flights whose places it took and that never got there themselves.
    fn committed(
        &self,
        flight: &FlightId,
        target: &Target,
        reached: &BTreeSet<(&FlightId, &Target)>,
    ) -> Vec<Timestamp> {
        let mut times = Vec::new();
        let mut seen = BTreeSet::from([flight]);
        let mut open = vec![flight];
        while let Some(id) = open.pop() {
            let Some(known) = self.flights.get(id) else { continue };
            times.push(known.opened.committed_at);
            open.extend(
                known.carries.iter().filter(|carried| !reached.contains(&(carried, target)) && seen.insert(carried)),
            );
        }
        times
    }

    fn target(known: &Known, place: &Place) -> Target {
        let service = place.service.clone().unwrap_or_else(|| known.opened.service.clone());
        Target { environment: place.environment.clone(), service }
    }

    fn key(&self, flight: &FlightId, place: &Place) -> Option<(FlightId, Target)> {
        Some((flight.clone(), Self::target(self.flights.get(flight)?, place)))
    }

    fn enter(&mut self, flight: &FlightId, place: &Place, at: Timestamp) {
        let Some(known) = self.flights.get(flight) else { return };
        let target = Self::target(known, place);
        let deployment = Deployment {
            last: known.last.as_ref() == Some(&target.environment),
            target: target.clone(),
            flight: Some(flight.clone()),
            name: known.opened.subject.clone(),
            deployed_at: at,
            served_at: None,
            reached_at: None,
            failed_at: None,
            restored_at: None,
            committed_at: Vec::new(),
            pushed_at: Some(known.at),
            rework: false,
        };
        self.latest.insert((flight.clone(), target), self.entries.len());
        self.entries.push(Entry {
            of: flight.clone(),
            deployment,
            has_stable: false,
            by_steps: true,
            returning: false,
        });
    }

    fn with(&mut self, flight: &FlightId, place: &Place, change: impl FnOnce(&mut Entry)) {
        let index = self.key(flight, place).and_then(|key| self.latest.get(&key)).copied();
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            change(entry);
        }
    }

    /// Its failure lasts until something good has all traffic; one that reached nobody is none that lasts.
    fn note_failing(&mut self, flight: &FlightId, place: &Place) {
        let Some(key) = self.key(flight, place) else { return };
        let Some(index) = self.latest.get(&key).copied() else { return };
        let lasts = |e: &Entry| e.deployment.failed_at.is_some() && e.deployment.served_at.is_some();
        if self.entries.get(index).is_some_and(lasts) {
            let failing = self.failing.entry(key.1).or_default();
            if !failing.contains(&index) {
                failing.push(index);
            }
        }
    }

    /// Something good has all traffic of a place: whatever failed there has been recovered from.
    fn recover(&mut self, target: &Target, but: Option<usize>, at: Timestamp) {
        let Some(failing) = self.failing.get_mut(target) else { return };
        for index in failing.extract_if(.., |index| Some(*index) != but) {
            if let Some(entry) = self.entries.get_mut(index) {
                entry.deployment.restored_at = Some(at);
            }
        }
    }

    fn apply_rollout(&mut self, flight: &FlightId, place: &Place, event: &RolloutEvent, at: Timestamp) {
        let Some(key) = self.key(flight, place) else { return };
        let Some(index) = self.latest.get(&key).copied() else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        match event {
            RolloutEvent::Started(start) if !entry.returning => entry.start(start, at),
            RolloutEvent::StepEntered { weight, .. } => {
                let has_requests = !entry.by_steps || !weight.is_zero();
                if has_requests && !entry.returning {
                    entry.deployment.served_at.get_or_insert(at);
                }
            }
            RolloutEvent::Failed { cause, .. } => {
                let reached_nobody = entry.deployment.served_at.is_none();
                if !(reached_nobody && matches!(cause, Cause::Ordered { .. })) {
                    entry.fail(at);
                }
                self.note_failing(flight, place);
            }
            RolloutEvent::Promoted { .. } if entry.returning => self.recover(&key.1, None, at),
            RolloutEvent::Promoted { .. } => {
                entry.deployment.served_at.get_or_insert(at);
                entry.deployment.reached_at.get_or_insert(at);
                self.recover(&key.1, Some(index), at);
            }
            RolloutEvent::Withdrawn { .. } => {
                if !entry.returning && entry.has_stable {
                    self.recover(&key.1, None, at);
                }
            }
            RolloutEvent::Started(_)
            | RolloutEvent::Marked { .. }
            | RolloutEvent::StepHeld { .. }
            | RolloutEvent::StepPassed { .. }
            | RolloutEvent::Watched { .. } => {}
        }
    }
}

impl Entry {
    fn fail(&mut self, at: Timestamp) {
        self.deployment.failed_at.get_or_insert(at);
    }

    fn start(&mut self, start: &Start, at: Timestamp) {
        self.has_stable = start.stable.is_some();
        match &start.strategy {
            // Replicas are replaced, or all are stopped, from now on: users feel it.
            Strategy::Rolling { .. } | Strategy::Recreate => {
                self.deployment.served_at.get_or_insert(at);
            }
            // An audience has its requests from the first step on, whatever its share.
            Strategy::Canary { audience, .. } => self.by_steps = audience.is_none(),
            Strategy::BlueGreen { .. } | Strategy::Return => {}
        }
    }
}
