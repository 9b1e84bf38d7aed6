//! `prograde app lint`.

use std::path::PathBuf;

use clap::Args;
use prograde_apps::forest::grow;
use prograde_apps::{Memory, codes};
use prograde_model::{Diagnostic, Diagnostics};
use serde_json::json;

use super::source::{Surroundings, read};
use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;
use crate::text::counted;

/// Check applications, ApplicationSets and projects: their fields, what they make, and what projects allow
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app lint
  prograde app lint argocd --json

Applications whose sources are not here, or need another program, are told and are no error. Sync windows are not looked at.
The exit code is 1 if a project refuses something, 2 if a file can't be used.")]
pub(super) struct LintArgs {
    /// A file or a directory
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    surroundings: Surroundings,
}

/// Checks them.
pub(super) fn run(app: &App, args: &LintArgs) -> Result<Exit, Report> {
    let read = read(app, &args.path, &args.surroundings)?;
    let sets = read.objects.sets.len();
    let forest = grow(&read.objects, &read.world(), app.printer.now(), &mut Memory::default());
    let mut errors = forest.problems;
    for (name, problems) in &forest.not_rendered {
        let elsewhere = |problem: &Diagnostic| [codes::UNSUPPORTED, codes::REPOSITORY].contains(&problem.code.as_str());
        for problem in problems {
            if elsewhere(problem) {
                app.printer.warning(format_args!("`{name}` is not rendered: {}", problem.message));
            } else {
                errors.push(problem.clone());
            }
        }
    }
    let mut refused = Vec::new();
    for found in &forest.applications {
        for broken in found.broken.iter().filter(|broken| broken.limit != "syncWindows") {
            let hint = format!("allow it in `{}` of the project, or take it out", broken.limit);
            refused.push(Diagnostic::file(codes::REFUSED, &broken.file, &broken.message, hint).at(broken.line, 0));
        }
    }
    if app.printer.style().json {
        app.printer
            .json(&json!({ "applications": forest.applications.len(), "errors": errors, "refused": refused }))?;
    }
    let applications = counted(forest.applications.len() as u64, "application");
    let exit = if errors.is_empty() { Exit::Refused } else { Exit::Mistake };
    errors.extend(refused);
    if errors.is_empty() {
        app.printer.note("Good", format_args!("{applications}, {}", counted(sets as u64, "ApplicationSet")));
        return Ok(Exit::Done);
    }
    Err(Report::from(Diagnostics(errors)).exit(exit))
}
