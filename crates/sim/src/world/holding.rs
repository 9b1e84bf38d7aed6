//! What keeps releases out beside the journal, in some worlds, for a while.

use prograde_control::ports::PortError;
use prograde_model::event::Event;
use prograde_model::gate::{Hold, Holds};
use prograde_model::ids::{EnvironmentName, FlightId};

use super::{Mutant, State};
use crate::check::Invariant;

/// A time in which releases are kept out.
#[derive(Debug, Clone, Copy)]
pub struct Closing {
    /// When it begins, in milliseconds.
    pub from_ms: i64,
    /// When it is over.
    pub to_ms: i64,
    /// Whether fixes pass.
    pub fixes_pass: bool,
    /// Whether it names the last environment; else it is of all but the first of several.
    pub last_only: bool,
    /// Whether nobody can be asked meanwhile: what was known before holds on.
    pub unknown: bool,
}

impl State {
    /// What is answered to whoever asks what keeps releases out.
    pub(crate) fn held(&mut self) -> Result<Holds, PortError> {
        let now_ms = self.now_ms;
        let mut holds = Holds::default();
        for (number, closing) in self.closings.iter().enumerate() {
            if !(closing.from_ms..closing.to_ms).contains(&now_ms) {
                continue;
            }
            if closing.unknown {
                return Err(PortError::Passing("nobody knows".into()));
            }
            let last = self.service.environments.last().map(|environment| environment.name.clone());
            let id = format!("budget/{number}");
            let hold = Hold { id, reason: "the budget is spent".into(), fixes_pass: closing.fixes_pass };
            holds.add(self.service.service.clone(), last.filter(|_| closing.last_only), hold);
        }
        self.answered = holds.clone();
        Ok(if self.mutant == Some(Mutant::HidesHolds) { Holds::default() } else { holds })
    }

    /// A process that begins knows no last answer: it has to ask.
    pub(crate) fn forget_answer(&mut self) {
        self.answered = Holds::default();
    }

    /// Nobody enters who was said to be held. Whoever decided knew just the last answer.
    pub(super) fn check_held(&mut self, id: &FlightId, events: &[Event]) {
        let Some(flight) = self.check.known.flight(id) else { return };
        let entered = events.iter().filter_map(|event| {
            if let Event::GatePassed { place, .. } = event { Some(&place.environment) } else { None }
        });
        // What people have merged enters all the same.
        let merged = |name: &&EnvironmentName| {
            flight.places_in(name).any(|target| flight.entry(target).is_some_and(|entry| entry.merged.is_some()))
        };
        let entered = entered.filter(|name| !merged(name));
        let held = entered.flat_map(|environment| self.answered.on(flight, environment)).next();
        if let Some(hold) = held {
            self.broke(Invariant::Held, format!("{} enters although {hold}", id.short()));
        }
    }
}
