//! End to end: the real binary, with real commits, real processes and real requests.
//!
//! Each test has a world of its own: a data directory, a server and ports. What is waited for is a condition, with much
//! patience; no test asserts how long something takes.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where its ground is gone")]

mod admission;
mod alerts;
mod applications;
mod automation;
mod autoscaling;
mod bad_input;
mod beside;
mod by_hand;
mod canary;
mod discovery;
mod disk;
mod elsewhere;
mod evidence;
mod faults;
mod first_flight;
mod flags;
mod groups;
mod images;
mod incidents;
mod kill;
mod logs;
mod metrics;
mod migrations;
mod objectives;
mod observe;
mod oncall;
mod orders;
mod promotion;
mod proposals;
mod registry;
mod scanning;
mod story;
mod strategies;
mod tickets;
mod tidy;
mod upstreams;
mod world;
