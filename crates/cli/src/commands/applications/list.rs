//! `prograde app list`.

use std::path::PathBuf;

use clap::Args;
use prograde_apps::Memory;
use prograde_apps::forest::{Forest, Found, grow};
use prograde_model::Diagnostics;
use serde_json::{Value as Json, json};

use super::source::{Surroundings, read};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Tone, one_line};
use crate::report::Report;
use crate::text::{Cell, Table};

/// List all applications of a directory, also those that ApplicationSets make and that other applications deploy
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app list
  prograde app list argocd --json
  prograde app list . --repo https://git.example/team/config=../config

Under CHECK stands whether the application's project allows it: its sources, its destination, the kinds of its objects and
the time. Objects are known where the sources are here and need no other program. The exit code is 2 if a file can't be
used; the others are listed all the same.")]
pub(super) struct ListArgs {
    /// A file or a directory
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    #[command(flatten)]
    surroundings: Surroundings,
}

/// Lists them.
pub(super) fn run(app: &App, args: &ListArgs) -> Result<Exit, Report> {
    let read = read(app, &args.path, &args.surroundings)?;
    let forest = grow(&read.objects, &read.world(), app.printer.now(), &mut Memory::default());
    if app.printer.style().json {
        let applications: Vec<Json> = forest.applications.iter().map(|found| document(found, &forest)).collect();
        app.printer.json(&json!({ "applications": applications, "problems": forest.problems }))?;
    } else {
        app.printer.text(table(&forest).render(app.printer.style()))?;
    }
    if forest.problems.is_empty() { Ok(Exit::Done) } else { Err(Diagnostics(forest.problems).into()) }
}

fn from(found: &Found) -> Option<String> {
    found.application.set.clone().or_else(|| found.parent.clone())
}

fn document(found: &Found, forest: &Forest) -> Json {
    let application = &found.application;
    json!({
        "name": application.name(),
        "namespace": application.metadata.namespace,
        "project": application.project(),
        "file": &*application.place.file,
        "line": application.place.line,
        "application_set": application.set,
        "parent": found.parent,
        "automated": application.is_automated(),
        "objects": found.objects.as_ref().map(|objects| objects.len()),
        "broken_limits": found.broken,
        "not_rendered": forest.not_rendered.get(application.name()),
        "spec": application.object().get("spec"),
    })
}

fn table(forest: &Forest) -> Table {
    let mut table = Table::new(&["NAME", "PROJECT", "SOURCE", "DESTINATION", "SYNC", "FROM", "CHECK"]);
    for found in &forest.applications {
        let application = &found.application;
        let source = application.sources().first().map_or_else(String::new, |source| {
            let what = if source.chart.is_empty() { &source.path } else { &source.chart };
            let more = application.sources().len() - 1;
            if more > 0 { format!("{what} +{more}") } else { what.clone() }
        });
        let destination = &application.spec.destination;
        let cluster = if destination.name.is_empty() { &destination.server } else { &destination.name };
        let cluster = cluster.strip_prefix("https://").unwrap_or(cluster);
        let check = match (found.broken.first(), &found.objects) {
            (Some(first), _) => Cell::new(first.limit).tone(Tone::Bad),
            (None, Some(_)) => Cell::new("allowed").tone(Tone::Good),
            (None, None) => Cell::new("allowed, objects unknown").tone(Tone::Dim),
        };
        table.row(vec![
            Cell::new(one_line(application.name())),
            Cell::new(one_line(application.project())),
            Cell::new(one_line(&source)),
            Cell::new(one_line(&format!("{cluster}/{}", destination.namespace))),
            Cell::new(if application.is_automated() { "auto" } else { "manual" }),
            Cell::new(one_line(&from(found).unwrap_or_else(|| "-".to_owned()))),
            check,
        ]);
    }
    table
}
