//! `prograde rules`: Prometheus' rule files, checked and tested without a server.

mod check;
pub(crate) mod files;
pub(crate) mod tell;
mod test;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;

/// Check and test Prometheus' rule files
#[derive(Debug, Args)]
pub(crate) struct RulesArgs {
    #[command(subcommand)]
    command: RulesCommand,
}

/// What can be done with rule files.
#[derive(Debug, Subcommand)]
enum RulesCommand {
    Check(CheckArgs),
    Test(TestArgs),
}

/// Check rule files: their form, every expression, and every template
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde rules check rules.yml
  prograde rules check rules/*.yml --json

The exit code is 2 if anything is found. Nothing is evaluated and no server is asked.")]
struct CheckArgs {
    /// Files of Prometheus rules
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Run unit tests of rules, in the format of `promtool test rules`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde rules test rules_test.yml
  prograde rules test tests/*.yml --json

Lines with - were expected and did not come; lines with + came and were not expected.
The exit code is 1 if an expectation does not hold, 2 if a file can't be used.")]
struct TestArgs {
    /// Files of tests; each names the rule files that it tests
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &RulesArgs) -> Result<Exit, Report> {
    match &args.command {
        RulesCommand::Check(args) => check::run(app, &args.files),
        RulesCommand::Test(args) => test::run(app, &args.files),
    }
}
