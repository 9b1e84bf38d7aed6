//! Who is on call, and whom a page reaches next when nobody acknowledges it.
//!
//! A [`Rota`] is what `oncall.yaml` declares. A schedule is made of layers, each a rotation of people; a later layer covers an
//! earlier one, the layer of a holiday covers both, then people swap, then overrides are laid over all. Hand-overs are at
//! wall-clock times of a time zone. A page is a state machine like all of the product's: [`page::Page`]; [`Desk`] holds all of
//! them.

mod calendar;
mod declare;
mod desk;
mod fact;
mod load;
pub mod page;
mod problems;
mod roster;
mod schedule;
mod wall;

pub use calendar::calendar;
pub use declare::{
    Escalation, Every, Holidays, Layer, Override, Person, PersonName, Quiet, Rota, Schedule, ScheduleName, Step, Swap,
    Weekday, When, Window,
};
pub use desk::{CallKey, Desk, Entry, Notified};
pub use fact::{PageFact, PageId};
pub use load::{Load, fairness, loads};
pub use roster::{Change, ChangeId, Made, Roster, RosterFact, RosterRefusal, Who};
pub(crate) use schedule::windows;
pub use schedule::{Hole, Shift, TooLong, Zones};
pub(crate) use wall::moment;

#[cfg(test)]
mod desk_tests;
#[cfg(test)]
mod roster_tests;
#[cfg(test)]
mod tests;
