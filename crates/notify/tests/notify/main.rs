//! The crate beside the real Alertmanager, its `amtool`, and a real Prometheus.

mod config;
mod peer;
mod routes;
mod serve;
mod templates;
mod told;
