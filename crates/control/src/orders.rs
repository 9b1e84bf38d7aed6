//! What people order: approve, override, abort, roll back, lift a quarantine. Each is decided by the model under the ledger's lock,
//! so that no order meets a state that it was not decided for.

use prograde_model::event::Event;
use prograde_model::flight::Refusal;
use prograde_model::ids::{CommitId, Digest, EnvironmentName, FlightId, ServiceName, Target};

use crate::controller::{Control, log};
use crate::ports::AppendError;

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such flight.
    #[error("there is no flight {0}")]
    NoFlight(String),
    /// Nothing serves there.
    #[error("nothing serves in {0}")]
    NothingServes(Target),
    /// The product's rules forbid it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It could not be recorded.
    #[error(transparent)]
    Append(#[from] AppendError),
}

impl Control {
    /// Lets a flight into the environment named or the one that it waits for, or past a step that could not be judged.
    pub async fn approve(
        &self,
        flight: &FlightId,
        environment: Option<&EnvironmentName>,
        by: &str,
    ) -> Result<Vec<Event>, OrderError> {
        let now = self.inner.clock.now();
        let seen = |target: &Target| self.inner.observe(target);
        self.order(flight, |flight, _| flight.approve(environment, by, seen, now)).await
    }

    /// Lets a flight past something that keeps releases out of the environment named or the one that it waits for.
    pub async fn override_hold(
        &self,
        flight: &FlightId,
        (environment, hold): (Option<&EnvironmentName>, &str),
        by: &str,
        reason: &str,
    ) -> Result<Vec<Event>, OrderError> {
        let holds = self.holds();
        self.order(flight, |flight, _| flight.override_hold(&holds, (environment, hold), by, reason)).await
    }

    /// Takes in that a person has merged what a flight proposed for an environment, by a commit of the deployment repository.
    pub async fn merged(
        &self,
        flight: &FlightId,
        environment: &EnvironmentName,
        commit: &CommitId,
        by: &str,
    ) -> Result<Vec<Event>, OrderError> {
        self.order(flight, |flight, fleet| flight.merge(fleet, environment, commit, by)).await
    }

    /// Gives what serves another number of replicas.
    pub async fn order_scale(
        &self,
        target: &Target,
        replicas: u32,
        by: &str,
        reason: &str,
    ) -> Result<(FlightId, Vec<Event>), OrderError> {
        let nothing = || OrderError::NothingServes(target.clone());
        let serves = self.inner.ledger.with(|fleet| fleet.current(target).cloned());
        let flight = serves.ok_or_else(nothing)?;
        let now = self.inner.clock.now();
        let ordered = self.inner.ledger.record(&flight, now, |fleet| {
            if fleet.current(target) != Some(&flight) {
                let environment = target.environment.clone();
                return Err(OrderError::from(Refusal::NotServing { flight: flight.clone(), environment }));
            }
            Ok(fleet.order_scale(target, replicas, (by, reason)).ok_or_else(nothing)??)
        });
        let events = ordered.await?;
        for event in &events {
            log(&flight, event);
        }
        Ok((flight, events))
    }

    /// Ends a flight where it is.
    pub async fn abort(&self, flight: &FlightId, by: &str, reason: &str) -> Result<Vec<Event>, OrderError> {
        self.order(flight, |flight, _| flight.abort(by, reason)).await
    }

    /// Takes what serves, or is rolling out, out of an environment; `to` names an earlier flight to go back to, and whether
    /// a migration that can't be undone may lie between.
    pub async fn roll_back(
        &self,
        service: &ServiceName,
        environment: &EnvironmentName,
        (to, past_return): (Option<FlightId>, bool),
        by: &str,
        reason: &str,
    ) -> Result<(FlightId, Vec<Event>), OrderError> {
        let target = Target { environment: environment.clone(), service: service.clone() };
        let inside = self.inner.ledger.with(|fleet| {
            let occupant = fleet.active().find(|f| f.standing(&target).is_busy()).map(|f| f.id.clone());
            occupant.or_else(|| fleet.current(&target).cloned())
        });
        let flight = inside.ok_or_else(|| OrderError::NothingServes(target.clone()))?;
        if let Some(to) = &to {
            let served = self.inner.ledger.with(|fleet| fleet.flight(to).is_some_and(|f| f.has_served(fleet, &target)));
            if !served {
                return Err(OrderError::NoFlight(format!("{to} that has served in {target}")));
            }
        }
        let events = self
            .order(&flight, |flight, fleet| flight.roll_back(fleet, &target, (to, past_return), by, reason))
            .await?;
        Ok((flight, events))
    }

    /// Lets a digest into an environment again.
    pub async fn lift_quarantine(
        &self,
        target: &Target,
        digest: &Digest,
        by: &str,
        reason: &str,
    ) -> Result<Vec<Event>, OrderError> {
        if reason.trim().is_empty() {
            return Err(Refusal::NoReason.into());
        }
        let missing =
            || Refusal::NotQuarantined { digest: digest.to_string(), environment: target.environment.clone() };
        let flight = self.inner.ledger.with(|fleet| fleet.quarantine(target, digest).map(|q| q.flight.clone()));
        let flight = flight.ok_or_else(missing)?;
        self.order(&flight, |flight, fleet| {
            fleet.quarantine(target, digest).ok_or_else(missing)?;
            Ok(vec![Event::QuarantineLifted {
                place: flight.place(target),
                digest: digest.clone(),
                by: by.to_owned(),
                reason: reason.to_owned(),
            }])
        })
        .await
    }

    async fn order(
        &self,
        id: &FlightId,
        decide: impl FnOnce(&prograde_model::flight::Flight, &prograde_model::fleet::Fleet) -> Result<Vec<Event>, Refusal>,
    ) -> Result<Vec<Event>, OrderError> {
        let now = self.inner.clock.now();
        self.inner
            .ledger
            .record(id, now, |fleet| {
                let flight = fleet.flight(id).ok_or_else(|| OrderError::NoFlight(id.to_string()))?;
                decide(flight, fleet).map_err(OrderError::from)
            })
            .await
    }
}
