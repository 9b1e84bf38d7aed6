//! `prograde demo`: a commit's whole way on this machine, from an empty directory.

use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::Report;

/// Settings of `prograde demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {}

/// Runs the demonstration on the multi-threaded runtime. Handles Ctrl-C itself, so that nothing is left behind.
#[expect(clippy::unused_async, reason = "the steps are being added")]
pub(crate) async fn run(_args: DemoArgs, _printer: &Printer) -> Result<Exit, Report> {
    Ok(Exit::Done)
}
