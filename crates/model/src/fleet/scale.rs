//! A person gives the version that serves another number of replicas: to end harm that more of them end, at once.
//!
//! It holds as long as that version serves. The next release has as many as Git says.

use super::Fleet;
use crate::event::Event;
use crate::flight::Refusal;
use crate::ids::Target;

/// More than that is taken for a slip of the hand.
const REPLICAS_MAX: u32 = 1_000;

impl Fleet {
    /// The facts of an order to have so many replicas where something serves; those of the flight that serves. None where
    /// nothing serves.
    pub fn order_scale(
        &self,
        target: &Target,
        replicas: u32,
        (by, reason): (&str, &str),
    ) -> Option<Result<Vec<Event>, Refusal>> {
        let id = self.current(target)?;
        let flight = self.flight(id)?;
        let before = self.replicas(id, target)?;
        let place = flight.place(target);
        let decide = || {
            let environment = target.environment.clone();
            if reason.trim().is_empty() {
                return Err(Refusal::NoReason);
            }
            if replicas == 0 || replicas > REPLICAS_MAX {
                return Err(Refusal::Replicas { replicas, least: 1, most: REPLICAS_MAX });
            }
            if let Some(bounds) = self.autoscaled(id, target)
                && !(bounds.min_replicas..=bounds.max_replicas).contains(&replicas)
            {
                return Err(Refusal::Replicas { replicas, least: bounds.min_replicas, most: bounds.max_replicas });
            }
            if replicas == before {
                return Err(Refusal::ScaledSo { replicas, environment });
            }
            // It may have to carry all traffic again.
            if replicas < before && self.is_moving(target) {
                return Err(Refusal::Moving { environment });
            }
            let (by, reason) = (Some(by.to_owned()), reason.to_owned());
            Ok(vec![Event::Scaled { place, before, replicas, reason, by }])
        };
        Some(decide())
    }
}
