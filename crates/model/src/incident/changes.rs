//! What changed, and where: the journal's facts folded into releases, rollbacks and flags, each with the moments at which
//! users met it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::event::{Event, Opened, Person, Place, Recorded};
use crate::flag::Setting;
use crate::ids::{CommitId, Digest, FlightId, Target, Weight};
use crate::rollout::{RolloutEvent, Start, Strategy};
use crate::runtime::Counters;

/// A change of one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where.
    pub target: Target,
    /// What was changed.
    pub what: What,
    /// When users met it, and with which share of traffic from then on.
    pub steps: Vec<(Timestamp, Weight)>,
    /// When it was no longer in force, if that is over.
    pub ended_at: Option<Timestamp>,
    /// Its requests, as far as facts count them.
    pub requests: Counters,
    /// The requests of what served beside it, while it was judged last.
    pub beside: Counters,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A release came.
    Release {
        /// The flight that brought it.
        flight: FlightId,
        /// Its commit.
        commit: CommitId,
        /// Who wrote it.
        author: Person,
        /// The commit's first line.
        subject: String,
        /// What served before it.
        replaces: Option<(FlightId, CommitId)>,
        /// Whether the image is the same as before, so that only the manifests differ.
        config_only: bool,
        /// Whether it has run a migration.
        migrated: bool,
    },
    /// A release was taken back.
    Return {
        /// The flight that brought it.
        flight: FlightId,
        /// The flight that serves again.
        to: Option<FlightId>,
        /// Who ordered it, or which part of prograde.
        by: String,
        /// Why.
        reason: String,
    },
    /// A flag was set, or left to Git again.
    Flag {
        /// The flight that served.
        flight: FlightId,
        /// The flag's key.
        flag: String,
        /// What it was set to before, if it was.
        from: Option<Setting>,
        /// What it is set to; none where it is as Git says.
        to: Option<Setting>,
        /// Who, or which part of prograde.
        by: String,
        /// Why.
        reason: String,
    },
}

/// What has to be known of a flight.
#[derive(Debug, Clone)]
struct Known {
    opened: Opened,
    images: BTreeMap<Target, Digest>,
    /// Its images by service, before its places are known.
    releases: Vec<(Option<crate::ids::ServiceName>, Digest)>,
}

/// All changes that a journal knows of, in order.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    flights: BTreeMap<FlightId, Known>,
    all: Vec<Change>,
    /// The last change of a flight in a place.
    latest: BTreeMap<(FlightId, Target), usize>,
    /// The flights that are on their way back, and to which.
    returning: BTreeMap<(FlightId, Target), Option<FlightId>>,
    /// The requests before the step that is judged.
    base: BTreeMap<usize, Counters>,
    serving: BTreeMap<Target, usize>,
    flags: BTreeMap<(Target, String), (Setting, usize)>,
}

impl Changes {
    /// All of them, in order.
    pub fn all(&self) -> &[Change] {
        &self.all
    }

    /// What one flight changed in a place last.
    pub fn of(&self, flight: &FlightId, target: &Target) -> Option<&Change> {
        self.all.get(*self.latest.get(&(flight.clone(), target.clone()))?)
    }

    /// The commit that a flight flies.
    pub fn commit(&self, flight: &FlightId) -> Option<&CommitId> {
        self.flights.get(flight).map(|known| &known.opened.commit)
    }

    /// The place that a flight's fact names.
    pub fn target(&self, flight: &FlightId, place: &Place) -> Option<Target> {
        let known = self.flights.get(flight)?;
        let service = place.service.clone().unwrap_or_else(|| known.opened.service.clone());
        Some(Target { environment: place.environment.clone(), service })
    }

    /// Takes in a fact. Facts come in the journal's order; those that fit nothing are passed over, as in [`crate::fleet`].
    pub fn apply(&mut self, recorded: &Recorded) {
        let (at, flight) = (recorded.at, &recorded.flight);
        match &recorded.event {
            Event::Opened(opened) => {
                let known = Known { opened: opened.clone(), images: BTreeMap::new(), releases: Vec::new() };
                self.flights.insert(flight.clone(), known);
            }
            Event::ReleaseRecorded(release) => {
                if let Some(known) = self.flights.get_mut(flight) {
                    known.releases.push((release.service.clone(), release.digest.clone()));
                }
            }
            Event::GatePassed { place, replaces } => self.enter(flight, place, replaces.as_ref()),
            Event::MigrationStarted { place, .. } => self.with(flight, place, |change| {
                change.steps.push((at, Weight::ZERO));
                if let What::Release { migrated, .. } = &mut change.what {
                    *migrated = true;
                }
            }),
            Event::Rollout { place, event } => self.apply_rollout(flight, place, event, at),
            Event::RollbackOrdered { place, to, by, reason, .. } => {
                self.take_back(flight, place, (to.as_ref(), by, reason), at);
            }
            Event::FlagSet { environment, flag, to, by, reason, .. } => {
                let place = Place { environment: environment.clone(), service: None };
                self.set_flag(flight, &place, (flag, Some(to)), (by, reason), at);
            }
            Event::FlagUnset { environment, flag, by, reason, .. } => {
                let place = Place { environment: environment.clone(), service: None };
                self.set_flag(flight, &place, (flag, None), (by, reason), at);
            }
            Event::Configured { .. }
            | Event::Scanned(_)
            | Event::JobStarted { .. }
            | Event::JobFinished { .. }
            | Event::PipelineFinished { .. }
            | Event::Approved { .. }
            | Event::Proposed { .. }
            | Event::Merged { .. }
            | Event::Overridden { .. }
            | Event::Unchanged { .. }
            | Event::Deployed { .. }
            | Event::Migrated { .. }
            | Event::Checked { .. }
            | Event::Quarantined { .. }
            | Event::QuarantineLifted { .. }
            | Event::Reverted { .. }
            | Event::Scaled { .. }
            | Event::FlagWatched { .. }
            | Event::AuthorNotified { .. }
            | Event::Ended { .. } => {}
        }
    }

    fn add(&mut self, target: Target, what: What, steps: Vec<(Timestamp, Weight)>) -> usize {
        let (requests, beside) = (Counters::default(), Counters::default());
        self.all.push(Change { target, what, steps, ended_at: None, requests, beside });
        self.all.len() - 1
    }

    fn with(&mut self, flight: &FlightId, place: &Place, change: impl FnOnce(&mut Change)) {
        let key = self.target(flight, place).map(|target| (flight.clone(), target));
        let index = key.and_then(|key| self.latest.get(&key)).copied();
        if let Some(found) = index.and_then(|index| self.all.get_mut(index)) {
            change(found);
        }
    }

    fn enter(&mut self, flight: &FlightId, place: &Place, replaces: Option<&FlightId>) {
        let Some(target) = self.target(flight, place) else { return };
        let Some(known) = self.flights.get_mut(flight) else { return };
        let image = known.releases.iter().find(|(service, _)| *service == place.service).map(|(_, digest)| digest);
        if let Some(image) = image.cloned() {
            known.images.insert(target.clone(), image);
        }
        let (image, opened) = (known.images.get(&target).cloned(), known.opened.clone());
        let before = replaces.and_then(|id| Some((id, self.flights.get(id)?)));
        let config_only = image.is_some() && before.is_some_and(|(_, b)| b.images.get(&target) == image.as_ref());
        let what = What::Release {
            flight: flight.clone(),
            commit: opened.commit,
            author: opened.author,
            subject: opened.subject,
            replaces: before.map(|(id, before)| (id.clone(), before.opened.commit.clone())),
            config_only,
            migrated: false,
        };
        let index = self.add(target.clone(), what, Vec::new());
        self.latest.insert((flight.clone(), target), index);
    }

    fn apply_rollout(&mut self, flight: &FlightId, place: &Place, event: &RolloutEvent, at: Timestamp) {
        let Some(target) = self.target(flight, place) else { return };
        let key = (flight.clone(), target);
        let Some(index) = self.latest.get(&key).copied() else { return };
        let back_to = self.returning.get(&key).cloned();
        let returning = back_to.is_some();
        let base = self.base.get(&index).copied().unwrap_or_default();
        let Some(change) = self.all.get_mut(index) else { return };
        match event {
            RolloutEvent::Started(start) if !returning && feels_start(start) => change.steps.push((at, Weight::ZERO)),
            RolloutEvent::StepEntered { weight, candidate, .. } if !returning => {
                change.steps.push((at, *weight));
                change.requests = candidate.into();
                self.base.insert(index, candidate.into());
            }
            RolloutEvent::Promoted { candidate, .. } if !returning => {
                if change.steps.last().is_none_or(|(_, weight)| *weight != Weight::ALL) {
                    change.steps.push((at, Weight::ALL));
                }
                change.requests = candidate.into();
                self.base.insert(index, candidate.into());
                if let Some(before) = self.serving.insert(key.1, index).filter(|before| *before != index) {
                    self.end(before, at);
                }
            }
            // What came back tells how many requests the other one has had in all.
            RolloutEvent::Promoted { stable, .. } => {
                change.ended_at.get_or_insert(at);
                change.requests = more(change.requests, stable.into());
                self.serve_again(&key.1, back_to.flatten());
            }
            RolloutEvent::StepHeld { evidence, .. }
            | RolloutEvent::StepPassed { evidence, .. }
            | RolloutEvent::Watched { evidence, .. } => {
                change.requests = more(change.requests, base + Counters::from(&evidence.candidate));
                change.beside = Counters::from(&evidence.stable);
            }
            RolloutEvent::Failed { evidence, serves_on, .. } => {
                change.requests = more(change.requests, base + Counters::from(&evidence.candidate));
                change.beside = Counters::from(&evidence.stable);
                // One that has all traffic keeps it until what was before is back.
                let has_all = self.serving.get(&key.1) == Some(&index);
                if !serves_on && !has_all && !returning {
                    change.ended_at.get_or_insert(at);
                }
            }
            RolloutEvent::Withdrawn { candidate } if !returning => {
                change.requests = more(change.requests, *candidate);
                change.ended_at.get_or_insert(at);
            }
            // A mark is of a step as far as it is; what comes of it is counted when it ends.
            RolloutEvent::Started(_)
            | RolloutEvent::StepEntered { .. }
            | RolloutEvent::Marked { .. }
            | RolloutEvent::Withdrawn { .. } => {}
        }
    }

    /// What came before is in force again.
    fn serve_again(&mut self, target: &Target, flight: Option<FlightId>) {
        self.serving.remove(target);
        let index = flight.and_then(|flight| self.latest.get(&(flight, target.clone()))).copied();
        if let Some(index) = index {
            self.serving.insert(target.clone(), index);
            if let Some(change) = self.all.get_mut(index) {
                change.ended_at = None;
            }
        }
    }

    fn end(&mut self, index: usize, at: Timestamp) {
        if let Some(change) = self.all.get_mut(index) {
            change.ended_at.get_or_insert(at);
        }
    }

    fn take_back(
        &mut self,
        flight: &FlightId,
        place: &Place,
        (to, by, reason): (Option<&FlightId>, &str, &str),
        at: Timestamp,
    ) {
        let Some(target) = self.target(flight, place) else { return };
        let key = (flight.clone(), target.clone());
        // Nothing serves again that it would have to wait for.
        if let (None, Some(index)) = (to, self.latest.get(&key).copied()) {
            self.end(index, at);
            self.serving.remove(&target);
        }
        self.returning.insert(key, to.cloned());
        let what =
            What::Return { flight: flight.clone(), to: to.cloned(), by: by.to_owned(), reason: reason.to_owned() };
        self.add(target, what, vec![(at, Weight::ALL)]);
    }

    fn set_flag(
        &mut self,
        flight: &FlightId,
        place: &Place,
        (flag, to): (&str, Option<&Setting>),
        (by, reason): (&str, &str),
        at: Timestamp,
    ) {
        let Some(target) = self.target(flight, place) else { return };
        let key = (target.clone(), flag.to_owned());
        let before = self.flags.remove(&key);
        if let Some((_, index)) = &before {
            self.end(*index, at);
        }
        let what = What::Flag {
            flight: flight.clone(),
            flag: flag.to_owned(),
            from: before.map(|(setting, _)| setting),
            to: to.cloned(),
            by: by.to_owned(),
            reason: reason.to_owned(),
        };
        let index = self.add(target, what, vec![(at, Weight::ALL)]);
        if let Some(to) = to {
            self.flags.insert(key, (to.clone(), index));
        }
    }
}

/// Whether users feel that a rollout begins: replicas are replaced, or all are stopped, from then on.
fn feels_start(start: &Start) -> bool {
    match &start.strategy {
        Strategy::Rolling { .. } | Strategy::Recreate => true,
        Strategy::Canary { .. } | Strategy::BlueGreen { .. } | Strategy::Return => false,
    }
}

/// The larger of two counts of the same requests: one of them was taken later.
fn more(one: Counters, other: Counters) -> Counters {
    if other.requests > one.requests { other } else { one }
}
