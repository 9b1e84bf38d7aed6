//! This crate against the real programs, `git` as a client, and what people see of its answers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is left out says so")]

mod client;
mod deployments;
mod fixture;
mod reading;
mod rendering;
mod serving;
mod workloads;
