//! All flights together: the fold of the whole journal. Who serves where, who may not enter, and what should run.

mod flags;
mod returns;
mod scale;

pub use returns::WaysBack;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::autoscale::Scaling;
use crate::entry::Standing;
use crate::event::{Event, Place, Recorded};
use crate::flag::Toggle;
use crate::flight::Flight;
use crate::ids::{Digest, FlightId, ServiceName, Target, Weight};
use crate::rollout::{Bounds, Conflict, Phase, Rollout, RolloutEvent};
use crate::runtime::{Observation, Routing};
use flags::FlagWatch;
use returns::BeforeReturn;

/// A digest that failed in an environment and may not enter it again until that is lifted with a reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantine {
    /// Where.
    pub target: Target,
    /// Which.
    pub digest: Digest,
    /// The flight that brought it.
    pub flight: FlightId,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// What should run of one version; the runtime's part is rendered from Git.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The flight that brought it.
    pub flight: FlightId,
    /// How many replicas.
    pub replicas: u32,
    /// Its share of traffic.
    pub weight: Weight,
}

/// All that should run at a target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WantedThere {
    /// The versions, the stable one first.
    pub versions: Vec<Wanted>,
    /// How requests are told apart beyond the weights.
    pub routing: Routing,
}

/// How many replicas the version that serves has, and how that number has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Size {
    replicas: u32,
    /// Those that a policy may still count.
    scalings: Vec<Scaling>,
}

/// The longest `periodSeconds` of a policy.
const PERIOD_MAX: SignedDuration = SignedDuration::from_mins(30);
/// How many changes are kept at most: half an hour of them at one a second, far more often than they come.
const SCALINGS_MAX: usize = 1_800;

/// The fold of the whole journal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fleet {
    flights: BTreeMap<FlightId, Flight>,
    active: BTreeSet<FlightId>,
    current: BTreeMap<Target, FlightId>,
    quarantines: BTreeMap<(Target, Digest), Quarantine>,
    latest: BTreeMap<ServiceName, FlightId>,
    sizes: BTreeMap<Target, Size>,
    targets: BTreeSet<Target>,
    toggles: BTreeMap<Target, BTreeMap<String, Toggle>>,
    flag_watches: BTreeMap<Target, FlagWatch>,
    before_return: BeforeReturn,
    sequence: u64,
    last_at: Option<Timestamp>,
}

impl Fleet {
    /// The state after a fact. A fact that does not fit is an error; what of it fits is taken in all the same, so that
    /// replay goes on.
    pub fn apply(&mut self, recorded: &Recorded) -> Result<(), Conflict> {
        self.sequence = recorded.sequence;
        self.last_at = self.last_at.max(Some(recorded.at));
        let id = &recorded.flight;
        if let Event::Opened(opened) = &recorded.event {
            self.flights.insert(id.clone(), Flight::new(id.clone(), opened.clone(), recorded.sequence, recorded.at));
            self.latest.insert(opened.service.clone(), id.clone());
            self.active.insert(id.clone());
            return Ok(());
        }
        let Some(flight) = self.flights.get_mut(id) else { return Ok(()) };
        let result = flight.apply(recorded);
        if flight.is_active() || flight.outcome.is_none() {
            self.active.insert(id.clone());
        } else {
            self.active.remove(id);
        }
        self.apply_to_targets(recorded);
        result
    }

    fn apply_to_targets(&mut self, recorded: &Recorded) {
        let Some(flight) = self.flights.get(&recorded.flight) else { return };
        let target = |place: &Place| flight.target(place);
        match &recorded.event {
            Event::Rollout { place, event: RolloutEvent::Promoted { .. } } => {
                let at = target(place);
                if let Some(rollout) = flight.entry(&at).and_then(|entry| entry.moving()) {
                    let candidate = rollout.start.candidate.clone();
                    let replicas = self.sized(rollout, &at).start.replicas;
                    self.sizes.entry(at.clone()).or_default().replicas = replicas;
                    // Another version serves: its requests say nothing about what a flag did to the one before.
                    self.flag_watches.remove(&at);
                    self.serve(at, candidate, &recorded.flight);
                }
            }
            Event::Scaled { place, before, replicas, .. } => {
                let scaling = Scaling { at: recorded.at, before: *before, replicas: *replicas };
                self.scale(&target(place), &recorded.flight, scaling);
            }
            Event::MigrationStarted { place, point_of_no_return: true, .. } => {
                self.begin_return_point(&target(place), &recorded.flight);
            }
            Event::GatePassed { place, .. } => {
                self.targets.insert(target(place));
            }
            // There is nothing to go back to: the environment is empty again.
            Event::RollbackOrdered { place, to: None, .. } => {
                let target = target(place);
                self.current.remove(&target);
                self.sizes.remove(&target);
                self.flag_watches.remove(&target);
            }
            Event::Quarantined { place, digest, reason } => {
                let (target, digest, reason) = (target(place), digest.clone(), reason.clone());
                let (flight, since) = (recorded.flight.clone(), recorded.at);
                let key = (target.clone(), digest.clone());
                self.quarantines.insert(key, Quarantine { target, digest, flight, reason, since });
            }
            Event::QuarantineLifted { place, digest, .. } => {
                self.quarantines.remove(&(target(place), digest.clone()));
            }
            Event::FlagSet { environment, .. }
            | Event::FlagUnset { environment, .. }
            | Event::FlagWatched { environment, .. } => {
                let target = Target { environment: environment.clone(), service: flight.service.clone() };
                self.apply_flag(target, recorded);
            }
            Event::Rollout { .. }
            | Event::Opened(_)
            | Event::Configured { .. }
            | Event::Scanned(_)
            | Event::JobStarted { .. }
            | Event::JobFinished { .. }
            | Event::PipelineFinished { .. }
            | Event::ReleaseRecorded(_)
            | Event::Approved { .. }
            | Event::Proposed { .. }
            | Event::Merged { .. }
            | Event::Overridden { .. }
            | Event::Unchanged { .. }
            | Event::Deployed { .. }
            | Event::MigrationStarted { .. }
            | Event::Migrated { .. }
            | Event::Checked { .. }
            | Event::RollbackOrdered { .. }
            | Event::Reverted { .. }
            | Event::AuthorNotified { .. }
            | Event::Ended { .. } => {}
        }
    }

    fn scale(&mut self, target: &Target, flight: &FlightId, scaling: Scaling) {
        if self.current.get(target) != Some(flight) {
            return;
        }
        let size = self.sizes.entry(target.clone()).or_default();
        size.replicas = scaling.replicas;
        size.scalings.retain(|earlier| scaling.at.duration_since(earlier.at) < PERIOD_MAX);
        if size.scalings.len() >= SCALINGS_MAX {
            size.scalings.remove(0);
        }
        size.scalings.push(scaling);
    }

    /// The journal's sequence up to which this is the fold.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The latest time of a fact.
    pub fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// One flight.
    pub fn flight(&self, id: &FlightId) -> Option<&Flight> {
        self.flights.get(id)
    }

    /// All flights.
    pub fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flights.values()
    }

    /// The flights to which something may still happen by itself.
    pub fn active(&self) -> impl Iterator<Item = &Flight> {
        self.active.iter().filter_map(|id| self.flights.get(id))
    }

    /// A flight of another repository that deploys a service of this name, and serves or is about to.
    pub(crate) fn owner_beside(&self, flight: &Flight, name: &ServiceName) -> Option<&Flight> {
        let serving =
            self.current.iter().filter(|(target, _)| target.service == *name).filter_map(|(_, id)| self.flight(id));
        let coming = self.active().filter(|other| other.places.iter().any(|target| target.service == *name));
        serving.chain(coming).find(|other| other.service != flight.service)
    }

    /// The last flight that a service opened.
    pub fn latest(&self, service: &ServiceName) -> Option<&Flight> {
        self.latest.get(service).and_then(|id| self.flights.get(id))
    }

    /// The flight that serves somewhere.
    pub fn current(&self, target: &Target) -> Option<&FlightId> {
        self.current.get(target)
    }

    /// Why a digest may not enter, if it may not.
    pub fn quarantine(&self, target: &Target, digest: &Digest) -> Option<&Quarantine> {
        self.quarantines.get(&(target.clone(), digest.clone()))
    }

    /// Why a flight may not enter, if its image or its manifests may not.
    pub fn bar(&self, target: &Target, flight: &Flight) -> Option<&Quarantine> {
        let image = flight.release(target).map(|release| &release.digest);
        let manifests = flight.manifests.get(target);
        image.into_iter().chain(manifests).find_map(|digest| self.quarantine(target, digest))
    }

    /// Whether a service of a group is as it serves already: the same image under the same manifests.
    pub fn is_unchanged(&self, flight: &Flight, target: &Target) -> bool {
        let Some(serves) = self.current(target).and_then(|id| self.flight(id)).filter(|_| flight.is_group()) else {
            return false;
        };
        let image = |of: &Flight| of.release(target).map(|release| release.digest.clone());
        let manifests = |of: &Flight| of.manifests.get(target).cloned();
        image(flight).is_some() && image(flight) == image(serves) && manifests(flight) == manifests(serves)
    }

    /// All digests in quarantine.
    pub fn quarantines(&self) -> impl Iterator<Item = &Quarantine> {
        self.quarantines.values()
    }

    /// Every place that was ever entered.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter()
    }

    /// The images that are needed: of what serves somewhere, and of flights that have not ended.
    pub fn needed(&self) -> BTreeSet<Digest> {
        let serving = self.current.iter().filter_map(|(target, id)| self.flight(id)?.release(target));
        let coming = self.active().flat_map(|flight| flight.releases.values());
        serving.chain(coming).map(|release| release.digest.clone()).collect()
    }

    /// How many replicas a flight's version has at 100% of an environment: as many as it was scaled to, where it serves.
    pub fn replicas(&self, flight: &FlightId, target: &Target) -> Option<u32> {
        let entry = self.flights.get(flight)?.entry(target)?;
        let started = entry.rollout.as_ref().map(|r| r.start.replicas)?;
        let size = self.sizes.get(target).filter(|_| self.current.get(target) == Some(flight));
        Some(size.map_or(started, |size| size.replicas))
    }

    /// Between which numbers a flight's version is scaled, if it is.
    pub(crate) fn autoscaled(&self, flight: &FlightId, target: &Target) -> Option<Bounds> {
        self.flights.get(flight)?.entry(target)?.rollout.as_ref()?.start.autoscaled
    }

    /// How the number of replicas at a target has changed within the last half hour before its last change.
    pub fn scalings(&self, target: &Target) -> &[Scaling] {
        self.sizes.get(target).map_or(&[], |size| &size.scalings)
    }

    /// Whether the version that serves may have to carry all traffic again, or is about to be replaced.
    pub fn is_moving(&self, target: &Target) -> bool {
        self.active().any(|f| f.moves(target))
    }

    /// A rollout with the numbers of replicas that are right now.
    pub fn sized(&self, rollout: &Rollout, target: &Target) -> Rollout {
        rollout.sized(rollout.start.stable.as_ref().and_then(|id| self.replicas(id, target)).unwrap_or(0))
    }

    /// All that should run at a target. Pure: same fold, same observation, same answer.
    pub fn wanted(&self, target: &Target, seen: &Observation) -> WantedThere {
        let mover = self.active().find_map(|f| match f.standing(target) {
            Standing::Rolling | Standing::Leaving => f.entry(target)?.moving(),
            Standing::Outside
            | Standing::Entering
            | Standing::Migrating
            | Standing::Unchecked
            | Standing::Watched
            | Standing::Settled
            | Standing::Unchanged
            | Standing::Kept
            | Standing::Unreverted
            | Standing::Gone => None,
        });
        if let Some(rollout) = mover.filter(|r| !matches!(r.phase, Phase::Promoted(_))) {
            let rollout = self.sized(rollout, target);
            let shape = rollout.shape(seen);
            let stable = rollout.start.stable.clone().map(|flight| Wanted {
                flight,
                replicas: shape.stable_replicas,
                weight: shape.stable_weight,
            });
            let candidate = Wanted {
                flight: rollout.start.candidate.clone(),
                replicas: shape.candidate_replicas,
                weight: shape.candidate_weight,
            };
            let versions = stable.into_iter().chain([candidate]).collect();
            return WantedThere { versions, routing: rollout.routing() };
        }
        let versions = self.current.get(target).map(|flight| Wanted {
            flight: flight.clone(),
            replicas: self.replicas(flight, target).unwrap_or(1),
            weight: Weight::ALL,
        });
        WantedThere { versions: versions.into_iter().collect(), routing: Routing::default() }
    }
}

#[cfg(test)]
mod tests;
