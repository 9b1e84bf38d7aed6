//! What people order, decided on a flight as it stands: approve, abort, roll back. A refusal says why.

use jiff::Timestamp;

use super::{Flight, Stage};
use crate::entry::{Entry, Standing};
use crate::event::{Event, Outcome};
use crate::fleet::Fleet;
use crate::gate::Holds;
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
    /// Nobody approves what they wrote.
    #[error(
        "{by} wrote this commit, and somebody else has to approve it for {environment}; `author_may_approve` in its gate allows it"
    )]
    OwnCommit {
        /// Who.
        by: String,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// Not everybody may approve.
    #[error("{by} may not approve for {environment}, {}", who_may(.may))]
    NoApprover {
        /// Who.
        by: String,
        /// Which environment.
        environment: EnvironmentName,
        /// Who may.
        may: Vec<String>,
    },
    /// Nothing of it lies there to be merged.
    #[error("flight {flight} has nothing to merge for {environment}")]
    NotProposed {
        /// Which flight.
        flight: FlightId,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// What was merged does not enter.
    #[error("flight {flight} does not enter {environment}: {reason}")]
    GateShut {
        /// Which flight.
        flight: FlightId,
        /// Which environment.
        environment: EnvironmentName,
        /// Why.
        reason: String,
    },
    /// That does not keep it out.
    #[error("flight {flight} is not held by {hold:?} in {environment}{}", held_by(.holds))]
    NotHeld {
        /// Which flight.
        flight: FlightId,
        /// Which environment.
        environment: EnvironmentName,
        /// By what it is not held.
        hold: String,
        /// What holds it there.
        holds: Vec<String>,
    },
    /// Not everybody may let flights past what keeps releases out there.
    #[error("{by} may not let a flight past what holds it in {environment}, {}", who_may(.may))]
    NotEntitled {
        /// Who.
        by: String,
        /// Which environment.
        environment: EnvironmentName,
        /// Who may.
        may: Vec<String>,
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
    /// It is being taken back, and the deployment repository is being written.
    #[error("flight {flight} is being taken back from {environment} at this moment, order it again in a moment")]
    Leaving {
        /// Which flight.
        flight: FlightId,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// It is on the way there already.
    #[error("{environment} is on its way back to flight {to} already")]
    OnTheWay {
        /// To which flight.
        to: FlightId,
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
    /// A later flight has replaced a service of the group, which may need what this one brought.
    #[error("flight {by}, which came later, serves in {environment}: take it back first")]
    LaterServes {
        /// Which flight.
        by: FlightId,
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
    /// That many can't run.
    #[error("{replicas} replicas are not between {least} and {most}")]
    Replicas {
        /// How many.
        replicas: u32,
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// There are so many already.
    #[error("{environment} has {replicas} replicas already")]
    ScaledSo {
        /// How many.
        replicas: u32,
        /// Which environment.
        environment: EnvironmentName,
    },
    /// What serves may have to carry all traffic again.
    #[error("a release is on its way into {environment}: what serves keeps its replicas until it has ended")]
    Moving {
        /// Which environment.
        environment: EnvironmentName,
    },
    /// A reason must be given.
    #[error("a reason must be given")]
    NoReason,
}

fn held_by(holds: &[String]) -> String {
    if holds.is_empty() { String::new() } else { format!(", but by {}", holds.join(", ")) }
}

fn who_may(may: &[String]) -> String {
    if may.is_empty() { "and nobody may".to_owned() } else { format!("only {} may", may.join(", ")) }
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
            Stage::At(target, Standing::Outside | Standing::Rolling) => Some(target.environment),
            Stage::Reading | Stage::Building | Stage::Imaging | Stage::At(..) | Stage::Notifying | Stage::Done => None,
        };
        let name = environment.cloned().or(waiting).ok_or_else(nothing)?;
        let service = self.service_config().ok_or_else(nothing)?;
        let rules = service.environment(&name).ok_or_else(|| self.no_environment(&name))?;
        if let Some(target) = self.places_in(&name).find(|target| self.standing(target) == Standing::Rolling) {
            let rollout = self.entry(target).and_then(Entry::moving);
            let event = rollout.and_then(|rollout| rollout.pass_held(by, &seen(target), now)).ok_or_else(nothing)?;
            return Ok(vec![Event::Rollout { place: self.place(target), event }]);
        }
        let outside = self.places_in(&name).all(|target| self.standing(target) == Standing::Outside);
        if service.approvals(rules) == 0 || !outside {
            return Err(nothing());
        }
        let author = &self.opened.author;
        let wrote = [&author.name, &author.email].into_iter().any(|written| written.eq_ignore_ascii_case(by));
        if wrote && !rules.gate.author_may_approve {
            return Err(Refusal::OwnCommit { by: by.to_owned(), environment: name });
        }
        if let Some(may) = rules.gate.approvals_by.as_ref().filter(|may| may.iter().all(|one| one != by)) {
            return Err(Refusal::NoApprover { by: by.to_owned(), environment: name, may: may.clone() });
        }
        if self.approvals.get(&name).is_some_and(|given| given.iter().any(|before| before == by)) {
            return Err(Refusal::ApprovedBefore { by: by.to_owned(), environment: name });
        }
        Ok(vec![Event::Approved { environment: name, by: by.to_owned() }])
    }

    /// A person lets it past something that keeps releases out of the environment that it waits for, or of the one named.
    pub fn override_hold(
        &self,
        holds: &Holds,
        (environment, hold): (Option<&EnvironmentName>, &str),
        by: &str,
        reason: &str,
    ) -> Result<Vec<Event>, Refusal> {
        if self.outcome.is_some() {
            return Err(Refusal::Ended { flight: self.id.clone() });
        }
        if reason.trim().is_empty() {
            return Err(Refusal::NoReason);
        }
        let nothing = || Refusal::NothingToApprove { flight: self.id.clone() };
        let waiting = match self.stage() {
            Stage::At(target, Standing::Outside) => Some(target.environment),
            Stage::Reading | Stage::Building | Stage::Imaging | Stage::At(..) | Stage::Notifying | Stage::Done => None,
        };
        let name = environment.cloned().or(waiting).ok_or_else(nothing)?;
        let service = self.service_config().ok_or_else(nothing)?;
        let rules = service.environment(&name).ok_or_else(|| self.no_environment(&name))?;
        if let Some(may) = rules.gate.overrides_by.as_ref().filter(|may| may.iter().all(|one| one != by)) {
            return Err(Refusal::NotEntitled { by: by.to_owned(), environment: name, may: may.clone() });
        }
        let outside = self.places_in(&name).all(|target| self.standing(target) == Standing::Outside);
        let kept: Vec<String> = holds.on(self, &name).into_iter().map(|kept| kept.id).collect();
        if !outside || !kept.iter().any(|id| id == hold) {
            let holds = if outside { kept } else { Vec::new() };
            return Err(Refusal::NotHeld { flight: self.id.clone(), environment: name, hold: hold.to_owned(), holds });
        }
        let (hold, by, reason) = (hold.to_owned(), by.to_owned(), reason.to_owned());
        Ok(vec![Event::Overridden { environment: name, hold, by, reason }])
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
        let Stage::At(target, standing) = self.stage() else {
            return Ok(vec![Event::Ended { outcome: Outcome::Aborted { by, reason } }]);
        };
        match standing {
            Standing::Migrating => Ok(vec![self.end_migration(&target, &by, &reason)]),
            Standing::Rolling => Ok(vec![self.ordered_out(&target, &by, &reason)]),
            Standing::Unchecked | Standing::Watched | Standing::Kept => {
                if self.entry(&target).is_some_and(Entry::is_past_return) {
                    return Err(self.past_return(&target.environment));
                }
                Ok(vec![self.back_to_before(&target, &by, &reason)])
            }
            Standing::Outside | Standing::Settled | Standing::Unchanged | Standing::Gone => {
                Ok(vec![Event::Ended { outcome: Outcome::Aborted { by, reason } }])
            }
            // Between the gate and the first replica there is a moment in which the deployment repository is being
            // written: the order is taken again once that is known. Leaving is what was asked for.
            Standing::Entering => Err(Refusal::Entering { flight: self.id.clone(), environment: target.environment }),
            Standing::Leaving | Standing::Unreverted => {
                Err(Refusal::NotServing { flight: self.id.clone(), environment: target.environment })
            }
        }
    }

    /// A person takes it back from an environment: while it rolls out, or after it served. Of a group the service that
    /// came last is the first to go, and the others follow; the one that was named is to blame. Only where the order says so,
    /// it goes past a migration that can't be undone.
    pub fn roll_back(
        &self,
        fleet: &Fleet,
        named: &Target,
        (to, past_return): (Option<FlightId>, bool),
        by: &str,
        reason: &str,
    ) -> Result<Vec<Event>, Refusal> {
        let environment = &named.environment;
        let mut events = Vec::new();
        let not_serving = || Refusal::NotServing { flight: self.id.clone(), environment: environment.clone() };
        let target = self.last_inside(environment).ok_or_else(not_serving)?;
        match self.standing(target) {
            Standing::Migrating => events.push(self.end_migration(target, by, reason)),
            Standing::Rolling => events.push(self.ordered_out(target, by, reason)),
            Standing::Unchecked | Standing::Watched | Standing::Settled | Standing::Kept => {
                self.way_of_all(fleet, environment, to.as_ref())?;
                let back = self.way_out(fleet, target, to.as_ref())?;
                if let Some(flight) = self.point_of_no_return(fleet, target, to.as_ref()).filter(|_| !past_return) {
                    return Err(Refusal::PastReturn { flight, environment: environment.clone() });
                }
                events = self.leave_others(environment, by, reason)?;
                events.push(Event::RollbackOrdered {
                    place: self.place(target),
                    to: back,
                    asked: to.filter(|_| self.is_group()),
                    past_return,
                    by: by.to_owned(),
                    reason: reason.to_owned(),
                });
            }
            Standing::Leaving => {
                let to = to.ok_or_else(not_serving)?;
                events.push(self.back_elsewhere(fleet, target, (to, past_return), by, reason)?);
            }
            Standing::Entering => {
                return Err(Refusal::Entering { flight: self.id.clone(), environment: environment.clone() });
            }
            Standing::Outside | Standing::Unchanged | Standing::Unreverted | Standing::Gone => {
                return Err(not_serving());
            }
        }
        let brought = self.entry(named).is_some_and(|entry| entry.deploy_commit.is_some());
        events.extend(self.quarantine(fleet, if brought { named } else { target }, reason));
        Ok(events)
    }

    /// The last place of an environment that it has come to.
    fn last_inside<'a>(&'a self, environment: &'a EnvironmentName) -> Option<&'a Target> {
        self.places_in(environment).rev().find(|target| match self.standing(target) {
            Standing::Entering => self.moves(target),
            Standing::Outside | Standing::Unchanged => false,
            Standing::Migrating
            | Standing::Rolling
            | Standing::Unchecked
            | Standing::Watched
            | Standing::Settled
            | Standing::Kept
            | Standing::Leaving
            | Standing::Unreverted
            | Standing::Gone => true,
        })
    }

    /// Whether every service of a group can go back with the last one.
    fn way_of_all(&self, fleet: &Fleet, environment: &EnvironmentName, to: Option<&FlightId>) -> Result<(), Refusal> {
        for target in self.places_in(environment).filter(|_| self.is_group()) {
            let current = fleet.current(target);
            let later =
                current.and_then(|id| fleet.flight(id)).filter(|f| f.opened_at_sequence > self.opened_at_sequence);
            if let Some(later) = later {
                return Err(Refusal::LaterServes { by: later.id.clone(), environment: environment.clone() });
            }
            let Some(to) = to else { continue };
            let back = fleet.flight(to).and_then(|flight| flight.served_by(target));
            let no_way = || Refusal::NoWayBack { to: to.clone(), environment: environment.clone() };
            match self.standing(target) {
                // What this one left as it was must be what served then, too.
                Standing::Unchanged if back.as_ref() != current => return Err(no_way()),
                Standing::Unchecked | Standing::Watched | Standing::Settled | Standing::Kept => {
                    self.way_to(fleet, target, Some(to))?;
                }
                Standing::Unchanged
                | Standing::Outside
                | Standing::Entering
                | Standing::Migrating
                | Standing::Rolling
                | Standing::Leaving
                | Standing::Unreverted
                | Standing::Gone => {}
            }
        }
        Ok(())
    }

    /// On its way back it is sent to another release than was asked for first: that one may not come up, and until it has,
    /// this one serves.
    fn back_elsewhere(
        &self,
        fleet: &Fleet,
        target: &Target,
        (to, past_return): (FlightId, bool),
        by: &str,
        reason: &str,
    ) -> Result<Event, Refusal> {
        let environment = || target.environment.clone();
        let entry = self.entry(target).filter(|entry| entry.is_returning() && !self.is_group());
        let entry = entry.ok_or_else(|| Refusal::NotServing { flight: self.id.clone(), environment: environment() })?;
        // The deployment repository says where the first order went before it says where this one does.
        if entry.reverted.is_none() {
            return Err(Refusal::Leaving { flight: self.id.clone(), environment: environment() });
        }
        let to = self.way_to(fleet, target, Some(&to))?;
        if entry.rollback.as_ref().is_some_and(|rollback| rollback.to.as_ref() == Some(&to)) {
            return Err(Refusal::OnTheWay { to, environment: environment() });
        }
        if let Some(flight) = fleet.point_of_no_return(target, &to).filter(|_| !past_return) {
            return Err(Refusal::PastReturn { flight: flight.clone(), environment: environment() });
        }
        let (by, reason) = (by.to_owned(), reason.to_owned());
        Ok(Event::RollbackOrdered { place: self.place(target), to: Some(to), asked: None, past_return, by, reason })
    }

    /// What is taken back from one environment does not go on into the next.
    fn leave_others(&self, left: &EnvironmentName, by: &str, reason: &str) -> Result<Vec<Event>, Refusal> {
        let mut events = Vec::new();
        for target in self.entries.keys().filter(|target| target.environment != *left) {
            match self.standing(target) {
                Standing::Migrating => events.push(self.end_migration(target, by, reason)),
                Standing::Rolling => events.push(self.ordered_out(target, by, reason)),
                Standing::Entering if !self.moves(target) => {}
                Standing::Entering | Standing::Unchecked => {
                    let environment = target.environment.clone();
                    return Err(Refusal::Entering { flight: self.id.clone(), environment });
                }
                Standing::Outside
                | Standing::Watched
                | Standing::Settled
                | Standing::Unchanged
                | Standing::Kept
                | Standing::Leaving
                | Standing::Unreverted
                | Standing::Gone => {}
            }
        }
        Ok(events)
    }

    /// A person ends a rollout.
    fn ordered_out(&self, target: &Target, by: &str, reason: &str) -> Event {
        let cause = Cause::Ordered { by: by.to_owned(), reason: reason.to_owned() };
        let event = RolloutEvent::Failed { cause, evidence: Sample::default(), metrics: Vec::new(), serves_on: false };
        Event::Rollout { place: self.place(target), event }
    }
}
