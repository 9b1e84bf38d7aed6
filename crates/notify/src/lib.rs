//! Alerts from end to end: `alertmanager.yml`, the HTTP API that Prometheus and `amtool` speak, and the receivers.
//!
//! What is decided is decided in `prograde_model::alert`; here is what stands around it. [`config`] reads the file, [`api`]
//! turns requests into answers and facts, [`message`] fills in templates, [`delivery`] makes one attempt to tell somebody,
//! and [`service`] holds them together: it records facts, sends, and tries again.

pub mod api;
pub mod config;
pub mod delivery;
pub mod message;
pub mod service;

pub use config::{Config, parse};
pub use service::{Handle, Options, Pager, Records};
