//! What keeps releases out that is no fact of theirs: a spent error budget, an action item of an incident. It comes and
//! goes by itself, so it is told to the gate each time and never recorded; that a person let a flight past it is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flight::Flight;
use crate::ids::{EnvironmentName, FlightId, ServiceName, Target};
use crate::rollout::Caution;

/// One thing that keeps releases out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Its name, by which a person lets a flight past it, such as `budget/pad-availability`.
    pub id: String,
    /// Why, in words that stand alone.
    pub reason: String,
    /// Whether a flight passes whose commit says that it mends something.
    pub fixes_pass: bool,
}

impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "held: {}{}", self.reason, if self.fixes_pass { "; fixes pass" } else { "" })
    }
}

/// All that keeps releases out now, or slows them down.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Holds {
    /// What keeps all of a service out.
    general: BTreeMap<Where, Vec<Hold>>,
    /// What keeps a single flight out.
    flights: BTreeMap<(FlightId, EnvironmentName), Vec<Hold>>,
    /// The least that is left of an error budget.
    cautions: BTreeMap<Where, Caution>,
}

/// A service, and an environment where only that is meant.
type Where = (ServiceName, Option<EnvironmentName>);

impl Holds {
    /// Keeps a service's releases out of an environment; of all but the first of several where none is named, since that
    /// is where releases are tried.
    pub fn add(&mut self, service: ServiceName, environment: Option<EnvironmentName>, hold: Hold) {
        let there = self.general.entry((service, environment)).or_default();
        if there.iter().all(|known| known.id != hold.id) {
            there.push(hold);
        }
    }

    /// Keeps one flight out of an environment.
    pub fn add_for(&mut self, flight: FlightId, environment: EnvironmentName, hold: Hold) {
        let there = self.flights.entry((flight, environment)).or_default();
        if there.iter().all(|known| known.id != hold.id) {
            there.push(hold);
        }
    }

    /// Adds what others keep out.
    pub fn extend(&mut self, others: &Self) {
        for ((flight, environment), holds) in &others.flights {
            for hold in holds {
                self.add_for(flight.clone(), environment.clone(), hold.clone());
            }
        }
        for ((service, environment), holds) in &others.general {
            for hold in holds {
                self.add(service.clone(), environment.clone(), hold.clone());
            }
        }
        for ((service, environment), caution) in &others.cautions {
            self.slow_down(service.clone(), environment.clone(), caution.clone());
        }
    }

    /// Slows a service's releases down; of several reasons the one counts that leaves the least.
    pub fn slow_down(&mut self, service: ServiceName, environment: Option<EnvironmentName>, caution: Caution) {
        let known = self.cautions.entry((service, environment)).or_insert_with(|| caution.clone());
        if caution.left < known.left {
            *known = caution;
        }
    }

    /// How carefully a flight's release enters a place; none where it goes as declared, as what mends something does.
    pub fn caution(&self, flight: &Flight, target: &Target) -> Option<Caution> {
        if flight.opened.work.is_some() {
            return None;
        }
        let all = [Some(target.environment.clone()), None].into_iter();
        let found = all.filter_map(|at| self.cautions.get(&(target.service.clone(), at)));
        found.min_by(|a, b| a.left.total_cmp(&b.left)).cloned()
    }

    /// Whether nothing is kept out.
    pub fn is_empty(&self) -> bool {
        self.general.is_empty() && self.flights.is_empty()
    }

    /// All that are not about single flights, with the service and the environment where one is named.
    pub fn all(&self) -> impl Iterator<Item = (&ServiceName, Option<&EnvironmentName>, &Hold)> {
        self.general.iter().flat_map(|((service, environment), holds)| {
            holds.iter().map(move |hold| (service, environment.as_ref(), hold))
        })
    }

    /// What keeps a flight out of an environment: of its own service, or of any that it brings there. What a person let it
    /// past, and what lets fixes pass where it is one, does not.
    pub fn on(&self, flight: &Flight, environment: &EnvironmentName) -> Vec<Hold> {
        let environments = flight.service_config().map(|service| service.environments.as_slice()).unwrap_or_default();
        let is_trial = environments.len() > 1 && environments.first().is_some_and(|first| first.name == *environment);
        let concerns = |(service, at): &(ServiceName, Option<EnvironmentName>)| {
            let is_there = at.as_ref().map_or(!is_trial, |at| at == environment);
            is_there && (flight.service == *service || flight.places_in(environment).any(|t| t.service == *service))
        };
        let mut found: Vec<Hold> = Vec::new();
        let own = self.flights.get(&(flight.id.clone(), environment.clone())).into_iter().flatten();
        let of_all = self.general.iter().filter(|(key, _)| concerns(key)).flat_map(|(_, holds)| holds);
        for hold in of_all.chain(own) {
            let passes = (hold.fixes_pass && flight.opened.work.is_some())
                || flight.overrides.get(environment).is_some_and(|past| past.contains(&hold.id));
            if !passes && found.iter().all(|known| known.id != hold.id) {
                found.push(hold.clone());
            }
        }
        found
    }
}
