//! Time series and queries over them.
//!
//! A [`Store`] gives series, [`promql::parse`] makes a query of its text, and [`evaluate`] answers it as Prometheus 2.42
//! does. All of it is synchronous and reads no clock: times are arguments, and whoever wants to give up on a query says so
//! through [`evaluate::Options`].

pub mod append;
pub mod evaluate;
mod functions;
pub mod promql;
pub mod rules;
pub mod sample;
pub mod store;

pub use prograde_model::{labels, matcher, pattern};

pub use append::{Append, Appended, Incoming};
pub use labels::Labels;
pub use sample::{Sample, Series};
pub use store::{Memory, Store};
