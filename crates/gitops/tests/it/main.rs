//! This crate against the real programs, `git` as a client, and what people see of its answers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bases;
mod client;
mod deployments;
mod fixture;
mod hosts;
mod marked;
mod placement;
mod reading;
mod rendering;
mod serving;
mod workloads;
