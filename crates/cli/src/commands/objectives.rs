//! `prograde objectives`: files of `OpenSLO` and Sloth, checked and turned into rules without a server.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prograde_model::Diagnostics;
use prograde_observe::objective::{self, Read};
use serde_json::json;

use super::rules::{files, tell};
use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;
use crate::text::counted;

/// Check files of objectives, and show the rules that are made of them
#[derive(Debug, Args)]
pub(crate) struct ObjectivesArgs {
    #[command(subcommand)]
    command: ObjectivesCommand,
}

/// What can be done with files of objectives.
#[derive(Debug, Subcommand)]
enum ObjectivesCommand {
    Check(CheckArgs),
    Rules(RulesArgs),
}

/// Check files of `OpenSLO` v1 and Sloth: their form, what they name, and every query
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde objectives check slo.yml
  prograde objectives check objectives/*.yml --json

Files are read together: what one names may stand in another. The exit code is 2 if
anything is found.")]
struct CheckArgs {
    /// Files of objectives
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Print the rule file that is made of objectives: recording rules with Sloth's names, and alerts
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde objectives rules slo.yml
  prograde objectives rules slo.yml > rules.yml && promtool check rules rules.yml

A server that is started with `--objectives` evaluates just these.")]
struct RulesArgs {
    /// Files of objectives
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &ObjectivesArgs) -> Result<Exit, Report> {
    match &args.command {
        ObjectivesCommand::Check(args) => check(app, &args.files),
        ObjectivesCommand::Rules(args) => rules(app, &args.files),
    }
}

fn read(paths: &[PathBuf]) -> Result<Read, Diagnostics> {
    let texts: Result<Vec<(String, String)>, Diagnostics> =
        paths.iter().map(|path| Ok((path.display().to_string(), files::text(path)?))).collect();
    objective::read(&texts?)
}

/// What is wrong, told; a report of it.
fn found(app: &App, found: &Diagnostics) -> Result<Exit, Report> {
    if app.printer.style().json {
        app.printer.json(&json!({"good": [], "errors": found.0}))?;
    } else {
        tell::findings(&app.printer, &found.0)?;
    }
    let what = format!("{} in objectives", counted(found.0.len() as u64, "error"));
    Err(Report::new(objective::CODE, what).hint("`prograde explain CODE` says more about each"))
}

fn check(app: &App, paths: &[PathBuf]) -> Result<Exit, Report> {
    let read = match read(paths) {
        Ok(read) => read,
        Err(wrong) => return found(app, &wrong),
    };
    let gate = |objective: &prograde_model::objective::Objective| {
        objective.gate.as_ref().map(|(service, environment)| match environment {
            Some(environment) => format!("{service} in {environment}"),
            None => service.to_string(),
        })
    };
    if app.printer.style().json {
        let good: Vec<_> = read
            .objectives
            .iter()
            .map(|o| json!({"id": o.id, "target": o.target, "window": o.window.to_string(), "gate": gate(o)}))
            .collect();
        app.printer.json(&json!({"good": good, "notices": read.notices, "errors": []}))?;
    }
    for notice in &read.notices {
        app.printer.note("Notice", notice);
    }
    for objective in &read.objectives {
        let target = (objective.target * 1e8).round() / 1e6;
        let holds = gate(objective).map_or_else(|| "holds no gate".to_owned(), |gate| format!("holds {gate}"));
        app.printer.note("Good", format_args!("{}: {target}% over {}, {holds}", objective.id, objective.window));
    }
    Ok(Exit::Done)
}

fn rules(app: &App, paths: &[PathBuf]) -> Result<Exit, Report> {
    match read(paths) {
        Ok(read) => {
            app.printer.text(objective::rules::file(&read.objectives))?;
            Ok(Exit::Done)
        }
        Err(wrong) => found(app, &wrong),
    }
}
