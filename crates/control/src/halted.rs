//! Flights that are not decided upon any more, because deciding panicked: a defect in one rollout must not stop the
//! others. Such a flight stays as it is, with its traffic where it was, and people are told. It is tried again once it
//! has another fact, which may be a person's order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prograde_model::event::Event;
use prograde_model::flight::Flight;
use prograde_model::ids::FlightId;

use crate::ports::Notice;

/// Flights that stay as they are.
#[derive(Default)]
pub(crate) struct Halted {
    /// The version at which deciding panicked, and what was said.
    flights: Mutex<BTreeMap<FlightId, (u64, String)>>,
}

impl Halted {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<FlightId, (u64, String)>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a flight stays as it is.
    pub(crate) fn reason(&self, flight: &FlightId) -> Option<String> {
        self.lock().get(flight).map(|(_, reason)| reason.clone())
    }

    /// Decides, unless that panicked before on the same facts.
    pub(crate) fn guard(
        &self,
        flight: &Flight,
        decide: impl FnOnce() -> Vec<Event>,
        tell: impl FnOnce(Notice),
    ) -> Vec<Event> {
        if self.lock().get(&flight.id).is_some_and(|(version, _)| *version == flight.version) {
            return Vec::new();
        }
        match caught(decide) {
            Ok(events) => {
                self.lock().remove(&flight.id);
                events
            }
            Err(reason) => {
                tracing::error!(flight = %flight.id, "deciding panicked, the flight stays as it is: {reason}");
                tell(Self::notice(flight, &reason));
                self.lock().insert(flight.id.clone(), (flight.version, reason));
                Vec::new()
            }
        }
    }

    fn notice(flight: &Flight, reason: &str) -> Notice {
        Notice {
            flight: flight.id.clone(),
            service: flight.service.clone(),
            commit: flight.commit().clone(),
            author: flight.opened.author.clone(),
            text: format!(
                "{} {} stays as it is, because deciding on it failed: {reason}. Roll it back or abort it.",
                flight.service,
                flight.commit().short()
            ),
        }
    }
}

/// Runs a pure function; what it panicked with, if it did. As it changes nothing, nothing is left half done.
pub(crate) fn caught<R>(pure: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(pure)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without a message").to_owned()
    })
}

#[cfg(test)]
mod tests {
    use prograde_model::event::{Opened, Person};

    use super::*;

    fn flight() -> Flight {
        let opened = Opened {
            service: "pad".parse().unwrap(),
            commit: "a".repeat(40).parse().unwrap(),
            branch: "main".into(),
            subject: "Change".into(),
            author: Person { name: "Ann".into(), email: "ann@example.com".into() },
            committed_at: jiff::Timestamp::UNIX_EPOCH,
        };
        Flight::new("a".repeat(32).parse().unwrap(), opened, 1, jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_panic_halts_one_flight_until_it_has_another_fact_and_people_are_told_once() {
        let halted = Halted::default();
        let heard = std::cell::RefCell::new(Vec::new());
        let tell = |notice: Notice| heard.borrow_mut().push(notice.text);
        let mut flight = flight();
        for _ in 0..3 {
            assert!(halted.guard(&flight, || panic!("a share of {}", -1), tell).is_empty());
        }
        assert_eq!(halted.reason(&flight.id).unwrap(), "a share of -1");
        let asked = std::cell::Cell::new(false);
        let decide = || {
            asked.set(true);
            Vec::new()
        };
        assert!(halted.guard(&flight, decide, tell).is_empty() && !asked.get(), "it is left alone");
        flight.version += 1;
        assert!(halted.guard(&flight, decide, tell).is_empty() && asked.get());
        assert_eq!(halted.reason(&flight.id), None);
        let expected =
            "pad aaaaaaaa stays as it is, because deciding on it failed: a share of -1. Roll it back or abort it.";
        assert_eq!(*heard.borrow(), [expected]);
    }
}
