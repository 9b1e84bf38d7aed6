//! Applications that the server keeps in clusters: what happened to each, and how it stands.
//!
//! Facts are recorded where something changed, never because something was looked at. No fact holds a value of an object: fields
//! are named, with who wrote them.

mod fact;
mod state;
#[cfg(test)]
mod tests;

pub use fact::{ApplicationFact, ApplicationId, Because, Counts, Differing, Ending, Field, Health, Held, What};
pub use state::{Application, Applications, Began, Deletion, Ended, Leaving, Look, Order, Running, Standing, Tried};

/// How many objects a fact names; how many there are in all stands beside them.
pub const OBJECTS_MAX: usize = 20;
/// How many fields of an object a fact names.
pub const FIELDS_MAX: usize = 10;
/// The longest text in a fact, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_000;
/// The longest name in a fact, in bytes: of an object, a field, or who wrote it.
pub const NAME_BYTES_MAX: usize = 600;
