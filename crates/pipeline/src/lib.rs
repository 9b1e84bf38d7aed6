//! Runs a repository's GitHub Actions workflows on this machine.
//!
//! [`Workflows::load`] checks all workflow files of a commit: what is not supported is a diagnostic with its place, and
//! nothing is run. [`Workflows::plan`] says which jobs a push will run; [`Runner::run`] runs them.
//!
//! Jobs run as processes of the server's user, in directories of their own and with a clean environment: `PATH`, `HOME`
//! and `LANG` of the server, the variables that its settings name, and those that GitHub's runner sets. They are not
//! shut off from the machine beyond that.
//!
//! Where GitHub leaves a choice or we differ:
//! - A job that times out has failed, since nobody cancelled it. Parts of a minute count in `timeout-minutes`.
//! - Artifacts of different workflow files do not meet, as on GitHub, where each file is a run of its own.
//! - `[skip ci]` in a commit's message is not honoured: what is delivered was tested.
//! - `permissions`, `concurrency` and `run-name` are checked and have no effect; [`Workflows::notes`] tells where.
//! - A background process may outlive its step, and is ended with its job.

mod action;
pub mod codes;
mod event;
mod expression;
mod files;
mod hash_files;
mod load;
mod matrix;
mod pattern;
mod plan;
mod run;
mod runner_label;
mod workflow;

pub use action::artifact::{Artifact, ArtifactLimits, artifacts, remove_artifacts};
pub use action::checkout::{Checkout, CheckoutError};
pub use event::PushEvent;
pub use matrix::COMBINATIONS_MAX;
pub use plan::{JobId, Plan, PlannedJob, SkippedWorkflow, Workflows};
pub use run::contexts::tracking_id;
pub use run::group::StopWaits;
pub use run::log_files::{LogChunk, StepLogFile, follow_log, log_directory, read_log, step_logs, tail_log};
pub use run::options::{Clock, RunOptions};
pub use run::progress::{Conclusion, JobResult, Observer, Progress, RunResult, StepFailure};
pub use run::{RunError, Runner};
