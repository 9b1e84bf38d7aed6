//! Prograde's words as types, and its decisions as pure functions of them.
//!
//! Nothing here does IO, reads a clock, draws a random number or awaits: time and seeds are arguments. Whatever is
//! decided here can be replayed from the journal and gives the same answer.

// In the order in which a commit passes them.
pub mod alert;
pub mod application;
pub mod autoscale;
pub mod confinement;
pub mod diagnostic;
pub mod dora;
pub mod duration;
pub mod entry;
pub mod event;
pub mod flag;
pub mod fleet;
pub mod flight;
pub mod gate;
pub mod group;
pub mod ids;
pub mod image;
pub mod incident;
pub mod judge;
pub mod labels;
pub mod latency;
pub mod matcher;
pub mod metric;
pub mod migration;
pub mod objective;
pub mod oncall;
pub mod pattern;
pub mod policy;
pub mod postmortem;
pub mod quantity;
pub mod release;
pub mod replay;
pub mod rollout;
pub mod runbook;
pub mod runtime;
pub mod scan;
pub mod service;
pub mod status_page;
pub mod stored;
pub mod toil;
pub mod upstream;
pub mod work;
pub mod workload;

#[cfg(test)]
mod testing;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use ids::{CommitId, Digest, EnvironmentName, FlightId, InvalidName, ServiceName, Target, Weight};
