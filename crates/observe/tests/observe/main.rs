//! Queries from the outside: what a corpus of queries gives here and in Prometheus itself, and what holds of any query.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where its ground is gone")]

mod answers;
mod corpus;
mod generator;
mod native;
mod otlp;
mod peer;
mod properties;
mod receiving;
mod remote_write;
mod rules;
mod scraping;
mod sloth;
mod staleness;
mod templates;
mod tsdb;
