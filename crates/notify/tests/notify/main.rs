//! The crate beside the real Alertmanager, its `amtool`, and a real Prometheus.
#![cfg(test)]

mod config;
mod mail;
mod peer;
mod routes;
mod serve;
mod templates;
mod told;
