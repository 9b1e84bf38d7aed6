//! The local runtime with real processes: this very binary is also the program that replicas run (see `app`), and the
//! server that is killed (see `adoption`).

#![allow(clippy::print_stderr, reason = "a test says what it leaves out")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends where its ground is gone")]

mod adoption;
mod app;
mod confined;
mod drain;
mod fixture;
mod jobs;
mod life;
mod limits;
mod logs;
mod routing;
