//! Alerts from end to end: `alertmanager.yml`, the HTTP API that Prometheus and `amtool` speak, and the receivers.
//!
//! What is decided is decided in `prograde_model::alert`; here is what stands around it. [`config`] reads the file,
//! [`api`] turns requests into answers and facts.

pub mod api;
pub mod config;
