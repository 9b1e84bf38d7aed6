//! A gate: what must hold before a flight enters an environment.

mod hold;
mod promotion;
pub mod proposal;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use hold::{Hold, Holds};
pub use promotion::{Freeze, OpenHours};

use crate::fleet::Fleet;
use crate::flight::Flight;
use crate::ids::{EnvironmentName, FlightId, Target};
use crate::service::Service;

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "gate")]
pub enum GateState {
    /// The flight may enter.
    Open,
    /// The flight waits.
    Waiting {
        /// For what.
        missing: Vec<Missing>,
    },
    /// The flight can't enter, whatever it waits for.
    Closed {
        /// Why.
        reason: Closure,
    },
}

/// What a flight waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "missing")]
pub enum Missing {
    /// People have to approve.
    Approvals {
        /// How many have.
        given: u32,
        /// How many must.
        needed: u32,
        /// Whether that is so, or is so as well, because its migration can't be undone.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        point_of_no_return: bool,
    },
    /// Another flight is inside.
    Occupied {
        /// Which.
        by: FlightId,
    },
    /// Something that is no part of the release keeps it out.
    Held {
        /// What.
        holds: Vec<Hold>,
    },
    /// A person has to merge what is proposed in the deployment repository.
    Merge {
        /// The branch, once it is there.
        branch: Option<String>,
    },
}

/// Why a flight can't enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "closed")]
pub enum Closure {
    /// Its digest failed here before.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// A later commit has come this far as well, or serves here already.
    Superseded {
        /// Which.
        by: FlightId,
    },
}

/// What the gate of `environment` says to `flight` while `holds` keep releases out.
pub fn gate(fleet: &Fleet, flight: &Flight, environment: &EnvironmentName, holds: &Holds) -> GateState {
    if let Some(reason) = closure(fleet, flight, environment) {
        return GateState::Closed { reason };
    }
    let mut missing = Vec::new();
    let service = flight.service_config();
    let needed = service.and_then(|s| Some(s.approvals(s.environment(environment)?))).unwrap_or(0);
    let given = flight.approvals.get(environment).map_or(0, |by| u32::try_from(by.len()).unwrap_or(u32::MAX));
    if given < needed {
        let point_of_no_return = service.is_some_and(Service::has_point_of_no_return);
        missing.push(Missing::Approvals { given, needed, point_of_no_return });
    }
    if let Some(other) =
        fleet.active().find(|f| f.id != flight.id && f.service == flight.service && f.occupies(environment))
    {
        missing.push(Missing::Occupied { by: other.id.clone() });
    }
    // What was merged is in Git: what began to keep releases out since does not make that untrue.
    let holds = if flight.is_merged(environment) { Vec::new() } else { holds.on(flight, environment) };
    if !holds.is_empty() {
        missing.push(Missing::Held { holds });
    }
    missing.extend(flight.missing_merge(environment));
    if missing.is_empty() { GateState::Open } else { GateState::Waiting { missing } }
}

fn closure(fleet: &Fleet, flight: &Flight, environment: &EnvironmentName) -> Option<Closure> {
    // What serves already is not entered again.
    let entered = |target: &&Target| !fleet.is_unchanged(flight, target);
    if let Some(quarantine) = flight.places_in(environment).filter(entered).find_map(|target| fleet.bar(target, flight))
    {
        return Some(Closure::Quarantined { reason: quarantine.reason.clone() });
    }
    let serves = flight.places_in(environment).filter_map(|target| fleet.flight(fleet.current(target)?));
    let arrived = fleet.active().filter(|f| f.service == flight.service && f.waits_at(environment));
    arrived
        .chain(serves)
        .filter(|f| f.opened_at_sequence > flight.opened_at_sequence)
        .max_by_key(|f| f.opened_at_sequence)
        .map(|f| Closure::Superseded { by: f.id.clone() })
}

#[cfg(test)]
mod proposal_tests;
#[cfg(test)]
mod tests;
