//! Flights that are not decided upon any more, because deciding panicked: a defect in one rollout must not stop the
//! others. Such a flight stays as it is, with its traffic where it was, and people are told. It is tried again once it
//! has another fact, which may be a person's order.
//!
//! What is calculated beside that (what should run, how many replicas, what to measure) is guarded by place: what was
//! last decided stays, it is tried again with each look, and people are told once for each thing that it panics with.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prograde_model::event::Event;
use prograde_model::fleet::Fleet;
use prograde_model::flight::Flight;
use prograde_model::ids::FlightId;

use crate::ports::Notice;

/// What is calculated for a place beside the decision on a flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// What runs there.
    Running,
    /// How many replicas.
    Replicas,
    /// Whether flags are taken back.
    Flags,
    /// What is measured for the step that bakes.
    Measuring,
    /// What is carried out for a flight there.
    Effects,
}

impl Part {
    fn words(self) -> &'static str {
        match self {
            Self::Running => "what runs stays as it is",
            Self::Replicas => "the number of replicas stays as it is",
            Self::Flags => "its flags stay as they are",
            Self::Measuring => "nothing is measured for the step, which is held",
            Self::Effects => "nothing new is carried out",
        }
    }
}

/// Flights that stay as they are.
#[derive(Default)]
pub(crate) struct Halted {
    /// The version at which deciding panicked, and what was said.
    flights: Mutex<BTreeMap<FlightId, (u64, String)>>,
    beside: Mutex<Beside>,
}

/// What panicked beside decisions on flights.
#[derive(Default)]
struct Beside {
    /// What was said last.
    reasons: BTreeMap<(Part, String), String>,
    /// What people are still to be told.
    untold: Vec<(FlightId, String)>,
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

    /// Calculates for a place; nothing where that panicked. Who is told of it are those of the flight, if there is one.
    pub(crate) fn beside<R>(
        &self,
        part: Part,
        (place, flight): (&dyn Display, Option<&FlightId>),
        pure: impl FnOnce() -> R,
    ) -> Option<R> {
        let calculated = caught(pure);
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (part, place.to_string());
        match calculated {
            Ok(calculated) => {
                beside.reasons.remove(&key);
                Some(calculated)
            }
            Err(reason) => {
                if beside.reasons.get(&key) != Some(&reason) {
                    let text = format!("{place}: {}, because deciding on it failed: {reason}", part.words());
                    tracing::error!("{text}");
                    beside.untold.extend(flight.map(|flight| (flight.clone(), text)));
                    beside.reasons.insert(key, reason);
                }
                None
            }
        }
    }

    /// What people were not told yet of what panicked beside decisions.
    pub(crate) fn untold(&self, fleet: &Fleet) -> Vec<Notice> {
        let untold = std::mem::take(&mut self.beside.lock().unwrap_or_else(PoisonError::into_inner).untold);
        untold.into_iter().filter_map(|(flight, text)| Some(Notice::of(fleet.flight(&flight)?, text))).collect()
    }

    fn notice(flight: &Flight, reason: &str) -> Notice {
        let of = called(flight);
        let text = format!("{of} stays as it is, because deciding on it failed: {reason}. Roll it back or abort it.");
        Notice::of(flight, text)
    }
}

/// How a flight is called where people are told of it.
pub(crate) fn called(flight: &Flight) -> String {
    format!("{} {}", flight.service, flight.commit().short())
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
    use prograde_model::event::{Opened, Person, Recorded};
    use prograde_model::ids::Target;

    use super::*;

    fn flight() -> Flight {
        let opened = Opened {
            service: "pad".parse().unwrap(),
            commit: "a".repeat(40).parse().unwrap(),
            branch: "main".into(),
            subject: "Change".into(),
            author: Person { name: "Ann".into(), email: "ann@example.com".into() },
            committed_at: jiff::Timestamp::UNIX_EPOCH,
            work: None,
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
    #[test]
    fn what_panics_beside_decisions_is_told_once_for_each_place_and_reason() {
        let halted = Halted::default();
        let mut fleet = Fleet::default();
        let of = flight();
        let event = Event::Opened(of.opened.clone());
        let (at, sequence) = (jiff::Timestamp::UNIX_EPOCH, 1);
        fleet.apply(&Recorded { sequence, flight: of.id.clone(), at, event }).unwrap();
        let place = Target { environment: "production".parse().unwrap(), service: "pad".parse().unwrap() };
        let fails = |part, why: &'static str| halted.beside(part, (&place, Some(&of.id)), || -> u8 { panic!("{why}") });
        let told = || -> Vec<String> { halted.untold(&fleet).into_iter().map(|notice| notice.text).collect() };
        for _ in 0..3 {
            assert_eq!(fails(Part::Replicas, "NaN"), None);
        }
        fails(Part::Measuring, "NaN");
        assert_eq!(
            told(),
            [
                "production/pad: the number of replicas stays as it is, because deciding on it failed: NaN",
                "production/pad: nothing is measured for the step, which is held, because deciding on it failed: NaN"
            ]
        );
        fails(Part::Replicas, "NaN");
        assert!(told().is_empty(), "once");
        assert_eq!(halted.beside(Part::Replicas, (&place, Some(&of.id)), || 3), Some(3));
        fails(Part::Replicas, "NaN");
        assert_eq!(told().len(), 1, "it was well meanwhile");
    }
}
