//! Time series and queries over them.
//!
//! A [`Store`] gives series, [`promql::parse`] makes a query of its text, and [`evaluate`] answers it as Prometheus 2.42
//! does. All of it is synchronous and reads no clock: times are arguments, and whoever wants to give up on a query says so
//! through [`evaluate::Options`].
//!
//! Samples come in by [`scrape`], which is the one part that awaits, by [`remote_write`] and by [`otlp`]. All of them write into
//! an [`Append`].

pub mod append;
pub mod evaluate;
pub mod exposition;
mod functions;
pub mod histogram;
pub mod objective;
pub mod otlp;
pub mod promql;
pub mod relabel;
pub mod remote_write;
pub mod rules;
pub mod sample;
pub mod scrape;
pub mod store;
pub mod tsdb;

pub use prograde_model::{labels, matcher, pattern};

pub use append::{Append, Appended, Incoming, IncomingHistogram};
pub use histogram::{Histogram, HistogramSample};
pub use labels::Labels;
pub use sample::{Sample, Series};
pub use store::{Memory, Store};
