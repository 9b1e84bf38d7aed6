//! The crate from outside: real workflow files, real processes, a real Git repository.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test that can't go on fails, and one that is left out says so"
)]

mod actionlint;
mod check;
mod harness;
mod hostile;
mod jobs;
mod resume;
mod steps;
mod stopping;
