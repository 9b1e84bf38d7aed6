//! `prograde app`: which applications there are, in Argo CD's formats.

mod cluster;
mod delete;
mod diff;
mod generate;
mod lint;
mod list;
mod order;
mod render;
pub(crate) mod source;
mod status;
mod sync;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;

/// Show, generate, render, check, synchronise and delete applications in Argo CD's formats
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    command: AppCommand,
}

/// What can be done with applications.
#[derive(Debug, Subcommand)]
enum AppCommand {
    List(list::ListArgs),
    Generate(generate::GenerateArgs),
    Render(render::RenderArgs),
    Lint(lint::LintArgs),
    Diff(diff::DiffArgs),
    Sync(sync::SyncArgs),
    Delete(delete::DeleteArgs),
    Status(status::StatusArgs),
}

impl AppArgs {
    /// Whether a cluster is asked, and requests are under way when the user stops it.
    pub(crate) fn asks_cluster(&self) -> bool {
        matches!(self.command, AppCommand::Diff(_) | AppCommand::Sync(_) | AppCommand::Delete(_))
    }
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &AppArgs) -> Result<Exit, Report> {
    match &args.command {
        AppCommand::List(args) => list::run(app, args),
        AppCommand::Generate(args) => generate::run(app, args),
        AppCommand::Render(args) => render::run(app, args),
        AppCommand::Lint(args) => lint::run(app, args),
        AppCommand::Diff(args) => diff::run(app, args),
        AppCommand::Sync(args) => sync::run(app, args),
        AppCommand::Delete(args) => delete::run(app, args),
        AppCommand::Status(args) => status::run(app, args),
    }
}
