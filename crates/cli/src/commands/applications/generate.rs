//! `prograde app generate`.

use std::path::PathBuf;

use clap::Args;
use prograde_apps::application::Application;
use prograde_apps::generate;
use prograde_model::Diagnostics;
use serde_json::Value as Json;

use super::source::{Surroundings, read};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Print the Applications that the ApplicationSets of a file make
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app generate appsets/addons.yaml
  prograde app generate appsets/addons.yaml --repo https://git.example/team/config=../config
  prograde app generate appsets/fleet.yaml --clusters clusters.yaml --json

The same files give the same text. Generators list, git, matrix, merge and clusters are carried out here; the others ask
other machines and are refused. A Git generator reads the working tree of the repository, whatever its `revision` says.
The exit code is 2 if something can't be generated.")]
pub(super) struct GenerateArgs {
    /// A file with ApplicationSets, or a directory with such files
    #[arg(value_name = "FILE")]
    path: PathBuf,
    #[command(flatten)]
    surroundings: Surroundings,
}

/// Prints them.
pub(super) fn run(app: &App, args: &GenerateArgs) -> Result<Exit, Report> {
    let read = read(app, &args.path, &args.surroundings)?;
    let world = read.world();
    let mut problems = read.objects.problems.clone();
    let mut found: Vec<Application> = Vec::new();
    for set in &read.objects.sets {
        match generate(set, &world) {
            Ok(made) => found.extend(made),
            Err(more) => problems.extend(more.0),
        }
    }
    if read.objects.sets.is_empty() && problems.is_empty() {
        return Err(Report::new(report::ARGUMENT, format!("{} has no ApplicationSet", args.path.display()))
            .hint("`prograde app list` shows what there is"));
    }
    for application in &found {
        application.problems().iter().for_each(|problem| app.printer.warning(problem));
    }
    if app.printer.style().json {
        app.printer.json(&found.iter().map(Application::object).collect::<Vec<&Json>>())?;
    } else {
        let documents: Vec<String> = found.iter().map(Application::to_yaml).collect();
        app.printer.text(documents.join("---\n"))?;
    }
    if problems.is_empty() { Ok(Exit::Done) } else { Err(Diagnostics(problems).into()) }
}
