//! `prograde image`: images built from files or Dockerfiles, looked at, compared and moved.

pub(crate) mod access;
mod attach;
mod automations;
mod build;
mod commit;
mod diff;
mod inspect;
mod meter;
mod place;
mod service;
pub(crate) mod tell;
mod transfer;
mod update;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;

/// Build, look at, compare and move images, and bring files up to them
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

/// What can be done with images.
#[derive(Debug, Subcommand)]
enum ImageCommand {
    Build(Box<build::BuildArgs>),
    Inspect(inspect::InspectArgs),
    Diff(diff::DiffArgs),
    Push(transfer::PushArgs),
    Pull(transfer::PullArgs),
    Update(Box<update::UpdateArgs>),
    Automations(automations::AutomationsArgs),
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &ImageArgs) -> Result<Exit, Report> {
    match &args.command {
        ImageCommand::Build(args) => build::run(app, args),
        ImageCommand::Inspect(args) => inspect::run(app, args),
        ImageCommand::Diff(args) => diff::run(app, args),
        ImageCommand::Push(args) => transfer::push(app, args),
        ImageCommand::Pull(args) => transfer::pull(app, args),
        ImageCommand::Update(args) => update::run(app, args),
        ImageCommand::Automations(_) => automations::run(app),
    }
}
