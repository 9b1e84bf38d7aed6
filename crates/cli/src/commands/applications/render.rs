//! `prograde app render`.

use std::path::PathBuf;

use clap::Args;
use prograde_apps::Memory;
use prograde_apps::forest::grow;
use prograde_model::Diagnostics;
use serde_json::Value as Json;

use super::source::{Surroundings, read};
use crate::app::App;
use crate::exit::Exit;
use crate::report::{self, Report};

/// Print the objects that an application deploys
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app render shop
  prograde app render shop argocd --json | jq -r '.[].kind'
  prograde app render addons-redis --repo https://git.example/team/addons=../addons
  prograde app render addons --helm > rendered/addons.yaml

Kustomizations, with the options that the application sets, and plain directories are rendered in this process. Helm charts
are rendered by the installed Helm where --helm allows it. Jsonnet and plugins are refused. The exit code is 2 if it can't be rendered.")]
pub(super) struct RenderArgs {
    /// The application's name
    name: String,
    /// A file or a directory with the application, or with what makes it
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    surroundings: Surroundings,
}

/// Prints them.
pub(super) fn run(app: &App, args: &RenderArgs) -> Result<Exit, Report> {
    let read = read(app, &args.path, &args.surroundings)?;
    let mut forest = grow(&read.objects, &read.world(), app.printer.now(), &mut Memory::default());
    let Some(found) = forest.applications.iter().find(|found| found.application.name() == args.name) else {
        // What is wrong may be why it is not there.
        if !forest.problems.is_empty() {
            return Err(Diagnostics(forest.problems).into());
        }
        return Err(Report::new(report::ARGUMENT, format!("there is no application `{}`", args.name))
            .hint("`prograde app list` shows what there is"));
    };
    let Some(objects) = &found.objects else {
        return Err(Diagnostics(forest.not_rendered.remove(&args.name).unwrap_or_default()).into());
    };
    if app.printer.style().json {
        app.printer.json(&objects.iter().map(|one| &one.object).collect::<Vec<&Json>>())?;
    } else {
        let documents: Vec<String> = objects.iter().map(|one| prograde_kustomize::yaml(&one.object)).collect();
        app.printer.text(documents.join("---\n"))?;
    }
    Ok(Exit::Done)
}
