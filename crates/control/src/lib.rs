//! The controllers: they observe, decide by [`prograde_model`], append to the journal, and carry out.
//!
//! Nothing here names a product: Git, pipelines, images, runtimes and journals are [`ports`]. Nothing here decides: every
//! decision is a pure function of the model. A crash between any two lines loses nothing, because each round starts
//! from the journal and from what is seen, and every effect may be asked for twice.

pub mod clock;
pub mod config;
mod controller;
pub mod duty;
mod effects;
pub mod filing;
pub mod flags;
mod halted;
mod holding;
mod ledger;
mod measure;
mod meter;
mod orders;
pub mod paging;
pub mod ports;
pub mod rota;
pub mod runbook;
mod scale;
mod source;
mod sync;
mod synthetic;
mod tellings;

pub use clock::{Clock, SystemClock};
pub use controller::{Control, Options, Ports, StartError};
pub use effects::HeldUp;
pub use orders::OrderError;
pub use source::{FlightIds, RandomIds};
