//! What may end an incident's harm, each with its command: what takes suspects back, and more replicas. What has ended harm
//! of the same service before comes first.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Incident, Incidents, Suspect, Way};
use crate::fleet::Fleet;

/// How many ways are told of.
const WAYS_MAX: usize = 10;

/// One way to end the harm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Offer {
    /// What is done.
    pub what: Way,
    /// What does it, and records that it was for this incident.
    pub command: String,
    /// Why it may help.
    pub why: String,
    /// How many earlier incidents of the service ended after the like.
    pub helped: u32,
}

/// The ways out, those that have helped most first, and of these the likeliest suspect's.
pub fn ways(known: &Incidents, incident: &Incident, suspects: &[Suspect], fleet: &Fleet) -> Vec<Offer> {
    let id = incident.id;
    let helped = |way: &Way| {
        let ended = known.incidents().filter(|other| {
            let way_of = other.mitigation.as_ref().filter(|mitigation| mitigation.failed.is_none());
            let is_like = way_of.is_some_and(|mitigation| mitigation.way.kind() == way.kind());
            other.id != id && other.target.service == incident.target.service && other.mitigated_at.is_some() && is_like
        });
        u32::try_from(ended.count()).unwrap_or(u32::MAX)
    };
    let offer = |what: Way, arguments: String, why: String| Offer {
        helped: helped(&what),
        command: format!("prograde incident mitigate {id} {arguments}"),
        what,
        why,
    };
    let of_suspect = |suspect: &Suspect| {
        let way = suspect.way.clone().filter(|_| suspect.in_force)?;
        let arguments = match &way {
            Way::Rollback { flight, .. } => format!("--rollback --flight {}", flight.short()),
            Way::Flag { flag, .. } => format!("--flag {}", super::suspects::quoted(flag)),
            Way::Scale { .. } => return None,
        };
        Some(offer(way, arguments, format!("{}: {}", suspect.kind, suspect.what)))
    };
    let mut found: Vec<Offer> = suspects.iter().filter_map(of_suspect).collect();
    found.extend(more(incident, fleet).map(|(replicas, before)| {
        let (service, environment) = (incident.target.service.clone(), incident.target.environment.clone());
        let what = Way::Scale { service, environment, replicas };
        offer(what, format!("--scale {replicas}"), format!("it has {before} replicas now"))
    }));
    // Stable: among those that have helped as often, the likeliest suspect's stays first.
    found.sort_by_key(|offer| std::cmp::Reverse(offer.helped));
    found.truncate(WAYS_MAX);
    found
}

/// Twice as many replicas, if there may be more, and how many there are.
fn more(incident: &Incident, fleet: &Fleet) -> Option<(u32, u32)> {
    let target = &incident.target;
    let flight = fleet.current(target)?;
    let before = fleet.replicas(flight, target)?;
    let most = fleet.autoscaled(flight, target).map_or(u32::MAX, |bounds| bounds.max_replicas);
    let replicas = before.saturating_mul(2).min(most);
    (replicas > before).then_some((replicas, before))
}
