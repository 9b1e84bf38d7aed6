//! Runbooks: what to do when something is wrong, step by step, and what came of it each time.
//!
//! A [`Runbook`] is a Markdown file in Git whose blocks of shell are its steps; `control::runbook` reads it. A run of one is
//! facts ([`RunbookFact`]), folded by [`Runs`]: it belongs to an incident, is a drill, or is neither. When a runbook was
//! last gone through, and so when its next drill is due, follows from the runs.

mod declare;
mod fact;
mod runs;

pub use declare::{Command, Parameter, Runbook, Step, TIMEOUT};
pub use fact::{End, Outcome, Purpose, RunId, RunbookFact, Stepped};
pub use runs::{Begin, Drill, Run, RunRefusal, Runs, drills};

#[cfg(test)]
mod tests;
