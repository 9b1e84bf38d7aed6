//! What should be and what is, compared: objects of manifests and dumps, their differences, their health, the order in
//! which a sync applies them, and what may be deleted.
//!
//! Everything is a function of its arguments: no IO, no clock, no randomness. Invariant: nothing that is not understood
//! counts as equal, healthy or safe to delete.

#![cfg_attr(test, allow(clippy::needless_pass_by_value, reason = "checks of tests are given literals"))]

mod annotations;
pub mod codes;
pub mod compare;
pub mod health;
mod ignore;
mod json;
pub mod keep;
pub mod object;
pub mod options;
pub mod order;
pub mod prune;
pub mod sync;

pub use annotations::{HookDeletion, Meaningless, Permission, Phase, Sync};
pub use compare::{Difference, Drift, Options, compare, drift};
pub use health::{Health, Status};
pub use ignore::IgnoreRules;
pub use object::{Identity, Object};
