//! The server: Prograde's HTTP API, its Git hosting, and the wiring of adapters to the controllers' ports.
//!
//! Nothing here decides: orders are handed to [`prograde_control`], views are read from its fleet.

mod adapters;
pub mod admission;
mod alerts;
pub mod api;
mod applications;
mod auth;
mod automations;
mod bases;
mod by_hand;
mod data_dir;
mod error;
mod events;
mod evidence;
pub mod export;
pub mod history;
mod incidents;
mod metrics;
mod oncall;
mod options;
pub mod policies;
mod records;
mod server;
mod signed;
mod tidying;
mod trackers;
mod upstream;

pub use data_dir::token;
pub use error::ServerError;
pub use options::{Automated, ServerOptions};
pub use server::Server;
