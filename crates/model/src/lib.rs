//! Prograde's words as types, and its decisions as pure functions of them.
//!
//! Nothing here does IO, reads a clock, draws a random number or awaits: time and seeds are arguments. Whatever is
//! decided here can be replayed from the journal and gives the same answer.

pub mod diagnostic;
pub mod ids;
pub mod runtime;
pub mod workload;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use ids::{CommitId, Digest, EnvironmentName, FlightId, InvalidName, ServiceName, Target, Weight};
