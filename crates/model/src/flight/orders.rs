//! What people order, decided on a flight as it stands: approve, abort, roll back. A refusal says why.

use jiff::Timestamp;

use super::{Flight, Stage};
use crate::entry::{Entry, Standing};
use crate::event::{Event, Outcome};
use crate::fleet::Fleet;
use crate::ids::{EnvironmentName, FlightId, Target};
use crate::judge::Sample;
use crate::rollout::{Cause, RolloutEvent};
use crate::runtime::Observation;

/// Why an order is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The flight is over.
    #[error("flight {flight} has ended")]
    Ended {
        /// Which.
        flight: FlightId,
    },
    /// The environment is not one of the flight's.
    #[error("flight {flight} has no environment {environment}")]
    NoEnvironment {
        /// Which flight.
        flight: FlightId,
        /// Which environment.
        environment: String,
    },
    /// The flight waits for no approval.
    #[error("flight {flight} waits for no approval")]
    NothingToApprove {
        /// Which.
        flight: FlightId,
    },
    /// The same person has approved before.
    #[error("{by} has already approved this flight for {environment}")]
    ApprovedBefore {
        /// Who.
        by: String,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// The flight does not serve there, or is already being taken back.
    #[error("flight {flight} does not serve in {environment}")]
    NotServing {
        /// Which flight.
        flight: FlightId,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// It enters an environment at this moment; what it does there is known in a moment.
    #[error("flight {flight} is just entering {environment}, order it again in a moment")]
    Entering {
        /// Which flight.
        flight: FlightId,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// A migration that can't be undone stands between.
    #[error("flight {flight} has run a migration in {environment} that can't be undone")]
    PastReturn {
        /// Whose.
        flight: FlightId,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// There is nothing to go back to.
    #[error("{environment} has no earlier release to go back to")]
    NothingBefore {
        /// Which environment.
        environment: EnvironmentName,
    },
    /// It can't be gone back to: it never served, was taken back itself, or its digest is in quarantine.
    #[error("flight {to} did not serve in {environment}, or may not serve there again")]
    NoWayBack {
        /// Which flight.
        to: FlightId,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// The digest is not in quarantine.
    #[error("digest {digest} is not in quarantine in {environment}")]
    NotQuarantined {
        /// Which digest.
        digest: String,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// What serves there declares no such flag.
    #[error("there is no flag {flag:?} in {environment}")]
    NoFlag {
        /// Which flag.
        flag: String,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// The flag has no such variant.
    #[error("flag {flag:?} has no variant {variant:?}, only {known}")]
    NoVariant {
        /// Which flag.
        flag: String,
        /// Which variant.
        variant: String,
        /// The variants that it has.
        known: String,
    },
    /// The flag is set so already.
    #[error("flag {flag:?} is set so already in {environment}, by {by}")]
    FlagSetBefore {
        /// Which flag.
        flag: String,
        /// Which environment.
        environment: EnvironmentName,
        /// Who set it.
        by: String,
    },
    /// Nobody has set the flag.
    #[error("flag {flag:?} is not set in {environment}: it is as Git says")]
    FlagNotSet {
        /// Which flag.
        flag: String,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// A reason must be given.
    #[error("a reason must be given")]
    NoReason,
}

impl Flight {
    /// A person lets it into the environment that it waits for or into the one named, or lets a step pass there that
    /// could not be judged.
    pub fn approve(
        &self,
        environment: Option<&EnvironmentName>,
        by: &str,
        seen: impl Fn(&Target) -> Observation,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refusal> {
        if self.outcome.is_some() {
            return Err(Refusal::Ended { flight: self.id.clone() });
        }
        let nothing = || Refusal::NothingToApprove { flight: self.id.clone() };
        let waiting = match self.stage() {
            Stage::Environment(name, Standing::Outside | Standing::Rolling) => Some(name),
            Stage::Reading
            | Stage::Building
            | Stage::Imaging
            | Stage::Environment(..)
            | Stage::Notifying
            | Stage::Done => None,
        };
        let name = environment.cloned().or(waiting).ok_or_else(nothing)?;
        let service = self.service_config().ok_or_else(nothing)?;
        let rules = service.environment(&name).ok_or_else(|| self.no_environment(&name))?;
        if self.standing(&name) == Standing::Rolling {
            let seen = seen(&self.target(&name));
            let rollout = self.entry(&name).and_then(Entry::moving);
            let event = rollout.and_then(|rollout| rollout.pass_held(by, &seen, now)).ok_or_else(nothing)?;
            return Ok(vec![Event::Rollout { environment: name, event }]);
        }
        if service.approvals(rules) == 0 || self.standing(&name) != Standing::Outside {
            return Err(nothing());
        }
        if self.entry(&name).is_some_and(|e| e.approvals.iter().any(|a| a == by)) {
            return Err(Refusal::ApprovedBefore { by: by.to_owned(), environment: name });
        }
        Ok(vec![Event::Approved { environment: name, by: by.to_owned() }])
    }

    fn no_environment(&self, name: &EnvironmentName) -> Refusal {
        Refusal::NoEnvironment { flight: self.id.clone(), environment: name.to_string() }
    }

    /// A person ends it where it is: a candidate loses its traffic at once, a pipeline is stopped.
    pub fn abort(&self, by: &str, reason: &str) -> Result<Vec<Event>, Refusal> {
        if self.outcome.is_some() {
            return Err(Refusal::Ended { flight: self.id.clone() });
        }
        let (by, reason) = (by.to_owned(), reason.to_owned());
        let Stage::Environment(environment, standing) = self.stage() else {
            return Ok(vec![Event::Ended { outcome: Outcome::Aborted { by, reason } }]);
        };
        match standing {
            Standing::Migrating => Ok(vec![Self::end_migration(&environment, &by, &reason)]),
            Standing::Rolling => Ok(vec![ordered_out(&environment, &by, &reason)]),
            Standing::Unchecked | Standing::Watched | Standing::Kept => {
                if self.entry(&environment).is_some_and(Entry::is_past_return) {
                    return Err(self.past_return(&environment));
                }
                let to = self.entry(&environment).and_then(|e| e.replaces.clone());
                Ok(vec![Event::RollbackOrdered { environment, to, by, reason }])
            }
            Standing::Outside | Standing::Settled | Standing::Gone => {
                Ok(vec![Event::Ended { outcome: Outcome::Aborted { by, reason } }])
            }
            // Between the gate and the first replica there is a moment in which the deployment repository is being
            // written: the order is taken again once that is known. Leaving is what was asked for.
            Standing::Entering => Err(Refusal::Entering { flight: self.id.clone(), environment }),
            Standing::Leaving | Standing::Unreverted => {
                Err(Refusal::NotServing { flight: self.id.clone(), environment })
            }
        }
    }

    /// A person takes it back from an environment: while it rolls out, or after it served. Only where the order says so,
    /// it goes past a migration that can't be undone.
    pub fn roll_back(
        &self,
        fleet: &Fleet,
        environment: &EnvironmentName,
        (to, past_return): (Option<FlightId>, bool),
        by: &str,
        reason: &str,
    ) -> Result<Vec<Event>, Refusal> {
        let mut events = Vec::new();
        match self.standing(environment) {
            Standing::Migrating => events.push(Self::end_migration(environment, by, reason)),
            Standing::Rolling => events.push(ordered_out(environment, by, reason)),
            Standing::Unchecked | Standing::Watched | Standing::Settled | Standing::Kept => {
                let to = self.way_to(fleet, environment, to)?;
                let in_the_way = fleet.point_of_no_return(&self.target(environment), &to).filter(|_| !past_return);
                if let Some(flight) = in_the_way.cloned() {
                    return Err(Refusal::PastReturn { flight, environment: environment.clone() });
                }
                events = self.leave_others(environment, by, reason)?;
                events.push(Event::RollbackOrdered {
                    environment: environment.clone(),
                    to: Some(to),
                    by: by.to_owned(),
                    reason: reason.to_owned(),
                });
            }
            Standing::Entering => {
                return Err(Refusal::Entering { flight: self.id.clone(), environment: environment.clone() });
            }
            Standing::Outside | Standing::Leaving | Standing::Unreverted | Standing::Gone => {
                return Err(Refusal::NotServing { flight: self.id.clone(), environment: environment.clone() });
            }
        }
        events.extend(self.quarantine(fleet, environment, reason));
        Ok(events)
    }

    /// The flight to go back to from an environment where this one serves and nobody else is on the way in.
    pub(super) fn way_to(
        &self,
        fleet: &Fleet,
        environment: &EnvironmentName,
        to: Option<FlightId>,
    ) -> Result<FlightId, Refusal> {
        let target = self.target(environment);
        if self.another_is_inside(fleet, environment) {
            return Err(Refusal::NotServing { flight: self.id.clone(), environment: environment.clone() });
        }
        let before = to.or_else(|| self.entry(environment).and_then(|e| e.replaces.clone()));
        let to = before.ok_or_else(|| Refusal::NothingBefore { environment: environment.clone() })?;
        let served = fleet
            .flight(&to)
            .filter(|f| f.id != self.id && f.service == self.service)
            .filter(|f| matches!(f.standing(environment), Standing::Settled | Standing::Watched | Standing::Kept));
        match served.filter(|f| f.release.is_some() && fleet.bar(&target, f).is_none()) {
            Some(_) => Ok(to),
            None => Err(Refusal::NoWayBack { to, environment: environment.clone() }),
        }
    }

    /// Whether another flight serves in the environment, or is on its way in or out.
    pub(super) fn another_is_inside(&self, fleet: &Fleet, environment: &EnvironmentName) -> bool {
        let busy = fleet.active().any(|f| f.id != self.id && f.service == self.service && f.occupies(environment));
        busy || fleet.current(&self.target(environment)) != Some(&self.id)
    }

    /// What is taken back from one environment does not go on into the next.
    fn leave_others(&self, left: &EnvironmentName, by: &str, reason: &str) -> Result<Vec<Event>, Refusal> {
        let mut events = Vec::new();
        for name in self.entries.keys().filter(|name| *name != left) {
            match self.standing(name) {
                Standing::Migrating => events.push(Self::end_migration(name, by, reason)),
                Standing::Rolling => events.push(ordered_out(name, by, reason)),
                Standing::Entering | Standing::Unchecked => {
                    return Err(Refusal::Entering { flight: self.id.clone(), environment: name.clone() });
                }
                Standing::Outside
                | Standing::Watched
                | Standing::Settled
                | Standing::Kept
                | Standing::Leaving
                | Standing::Unreverted
                | Standing::Gone => {}
            }
        }
        Ok(events)
    }
}

/// A person ends a rollout.
fn ordered_out(environment: &EnvironmentName, by: &str, reason: &str) -> Event {
    let cause = Cause::Ordered { by: by.to_owned(), reason: reason.to_owned() };
    let event = RolloutEvent::Failed { cause, evidence: Sample::default(), metrics: Vec::new(), serves_on: false };
    Event::Rollout { environment: environment.clone(), event }
}
