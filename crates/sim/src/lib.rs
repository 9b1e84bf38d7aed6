//! The simulator: the real controllers, the same code as in production, in a world that one seed decides.
//!
//! Time is virtual: it passes when everything waits. A seed chooses settings, releases, traffic and orders, and what goes
//! wrong: the process dies between any two calls, calls fail before or after their work, are late or not answered at all,
//! the runtime shows old numbers, wrong ones or none, replicas crash, the clock steps. The product's invariants are checked
//! with every fact, every application and every tick. Nothing here draws on the system's randomness or clock, so that a
//! seed gives the same story each time.

mod character;
mod check;
mod life;
mod merging;
mod pages;
mod random;
mod run;
mod scenario;
mod story;
mod sweep;
mod trouble;
mod world;

pub use character::{Character, Readiness};
pub use check::{Broken, Checker, Invariant};
pub use life::{APPEND_TAKES, Fate, Life};
pub use merging::{merge_open, take_in_merges};
pub use pages::run_pages;
pub use random::Random;
pub use run::{Run, Tally, paused_runtime, run, run_mutant};
pub use scenario::{Noise, Order, Push, Scenario, Settings, Wish};
pub use story::{Kind, Line};
pub use sweep::{Sweep, SweepError, sweep};
pub use trouble::{Part, Trouble, Window};
pub use world::{Closing, Cluster, Commit, Git, Migrating, Mutant, State, World, Wrote, commit, digest};

#[cfg(test)]
mod tests;
