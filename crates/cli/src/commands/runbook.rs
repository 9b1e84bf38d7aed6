//! `prograde runbook`: what to do when something is wrong, step by step, recorded.

mod execute;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use prograde_control::runbook as reader;
use prograde_model::runbook::{Drill, End, Purpose, Run, Runbook, drills};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Tone, cleaned};
use crate::report::{self, Report};
use crate::text::{Cell, Table, counted, when};

/// A drill is due.
const DUE: &str = "PG0691";
/// A run was given up.
const GIVEN_UP: &str = "PG0692";
/// The most files that are looked at in a directory.
const FILES_MAX: usize = 1_000;

/// Go through runbooks step by step, and see which drills are due
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct RunbookArgs {
    #[command(subcommand)]
    command: RunbookCommand,
}

#[derive(Debug, Subcommand)]
enum RunbookCommand {
    /// Check runbooks: that each can be read, and that no two have the same name
    #[command(after_help = "\
Examples:
  prograde runbook check
  prograde runbook check runbooks/orders.md --json

The exit code is 2 if one of them can't be used.")]
    Check(PathsArgs),
    /// Show a runbook's steps and what they would run
    #[command(after_help = "Examples:\n  prograde runbook show runbooks/orders.md")]
    Show(ShowArgs),
    Run(run::RunArgs),
    /// List runs, the newest first
    #[command(after_help = "Examples:\n  prograde runbook runs\n  prograde runbook runs --json")]
    Runs(RunsArgs),
    /// Show which runbooks are to be gone through again, and when
    #[command(after_help = "\
Examples:
  prograde runbook drills
  prograde runbook run runbooks/orders.md --drill

The exit code is 1 if one is due: let a scheduled job run it.")]
    Drills(PathsArgs),
}

#[derive(Debug, Args)]
struct PathsArgs {
    /// Files, or directories with Markdown files in them
    #[arg(value_name = "PATH", default_value = "runbooks")]
    paths: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The runbook
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Debug, Args)]
struct RunsArgs {}

/// Runs `prograde runbook`.
pub(crate) fn run(app: &App, args: &RunbookArgs) -> Result<Exit, Report> {
    match &args.command {
        RunbookCommand::Check(args) => check(app, args),
        RunbookCommand::Show(args) => show(app, args),
        RunbookCommand::Run(args) => run::run(app, args),
        RunbookCommand::Runs(_) => runs(app),
        RunbookCommand::Drills(args) => due(app, args),
    }
}

/// A runbook, and SHA-256 of its file.
fn read(path: &Path) -> Result<(Runbook, String), Report> {
    let failed = |error: std::io::Error| Report::file("read", path, &error);
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > reader::FILE_BYTES_MAX as u64 {
        let what =
            format!("{} has {size} bytes, more than the {} that are read", path.display(), reader::FILE_BYTES_MAX);
        return Err(Report::new(reader::CODE, what).hint("split it"));
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let book = reader::read(&path.display().to_string(), &text)
        .map_err(|found| Report::new(reader::CODE, found.to_string()).hint("`prograde explain PG0690` says more"))?;
    Ok((book, hex::encode(Sha256::digest(&text))))
}

/// The runbooks that there are, by name and by file.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    names: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Shelf {
    /// Whether what an alert names as its runbook is known not to be there: a name or a file that is none of these, also at
    /// the end of an address of Markdown. Of other addresses, and of what a template makes, nothing is known.
    pub(crate) fn lacks(&self, named: &str) -> bool {
        let named = named.trim();
        let path = named.split(['#', '?']).next().unwrap_or_default();
        let is_address = named.contains("://");
        let is_file = Path::new(path).extension().is_some_and(|ending| ending.eq_ignore_ascii_case("md"));
        if named.contains("{{") || (is_address && !is_file) {
            return false;
        }
        let file = path.rsplit('/').next().unwrap_or_default();
        !self.files.contains(file) && (is_file || !self.names.contains(named))
    }
}

/// The runbooks in some places.
pub(crate) fn shelf(paths: &[PathBuf]) -> Result<Shelf, Report> {
    let mut shelf = Shelf::default();
    for path in files(paths)? {
        let (book, _) = read(&path)?;
        shelf.names.insert(book.name);
        shelf.files.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    Ok(shelf)
}

/// The files that are meant: those that are named, and in directories those whose names end with `.md`.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Report> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|error| Report::file("read", path, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| Report::file("read", path, &error))?.path();
            if entry.extension().is_some_and(|ending| ending == "md") && entry.is_file() {
                found.push(entry);
            }
        }
    }
    if found.len() > FILES_MAX {
        let what = format!("there are {} runbooks, more than the {FILES_MAX} that are looked at", found.len());
        return Err(Report::new(report::ARGUMENT, what).hint("name fewer of them"));
    }
    found.sort();
    Ok(found)
}

/// Runbooks by their names, and what is wrong with the others.
fn all(paths: &[PathBuf]) -> Result<(BTreeMap<String, Runbook>, Vec<Report>), Report> {
    let (mut books, mut wrong) = (BTreeMap::new(), Vec::new());
    for path in files(paths)? {
        match read(&path) {
            Ok((book, _)) => {
                let name = book.name.clone();
                if books.insert(name.clone(), book).is_some() {
                    let what = format!("{}: another runbook is named {name:?} too", path.display());
                    wrong.push(Report::new(reader::CODE, what).hint("give one of the two files another name"));
                }
            }
            Err(report) => wrong.push(report),
        }
    }
    Ok((books, wrong))
}

fn check(app: &App, args: &PathsArgs) -> Result<Exit, Report> {
    let (books, wrong) = all(&args.paths)?;
    if app.printer.style().json {
        let errors: Vec<_> = wrong.iter().map(Report::to_json).collect();
        app.printer.json(&json!({"runbooks": books.values().collect::<Vec<_>>(), "errors": errors}))?;
    } else {
        let word = Tone::Bad.paint("error", app.printer.style().colour);
        for report in &wrong {
            let told = [std::slice::from_ref(&report.summary), &report.causes[..]].concat().join(": ");
            app.printer.line(format_args!("{word}: {}", cleaned(&told)))?;
        }
    }
    if !wrong.is_empty() {
        let what = format!("{} can't be used", counted(wrong.len() as u64, "runbook"));
        return Err(Report::new(report::CHECK, what).hint("docs/guides/runbooks.md shows the format"));
    }
    let steps: usize = books.values().map(|book| book.steps.len()).sum();
    app.printer
        .note("Good", format_args!("{}, {}", counted(books.len() as u64, "runbook"), counted(steps as u64, "step")));
    Ok(Exit::Done)
}

fn show(app: &App, args: &ShowArgs) -> Result<Exit, Report> {
    let (book, _) = read(&args.file)?;
    let style = app.printer.style();
    if style.json {
        app.printer.json(&book)?;
        return Ok(Exit::Done);
    }
    let mut lines = vec![Tone::Strong.paint(&cleaned(&book.title), style.colour)];
    if !book.alerts.is_empty() {
        lines.push(format!("for {}", cleaned(&book.alerts.join(", "))));
    }
    for (name, parameter) in &book.parameters {
        let default =
            parameter.default.as_ref().map_or("to be set".to_owned(), |value| format!("{value:?} by default"));
        let said = [&*parameter.about, &*default].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        lines.push(cleaned(&format!("${name}: {}", said.join(", "))));
    }
    for (index, step) in book.steps.iter().enumerate() {
        let title = format!("{}. {}", index + 1, cleaned(&step.title));
        lines.extend([String::new(), Tone::Strong.paint(&title, style.colour), cleaned(&run::explained(step))]);
    }
    app.printer.line(lines.join("\n"))?;
    Ok(Exit::Done)
}

fn runs(app: &App) -> Result<Exit, Report> {
    let runs = app.client()?.runbook_runs()?;
    let style = app.printer.style();
    if style.json {
        app.printer.json(&runs)?;
        return Ok(Exit::Done);
    }
    if runs.is_empty() {
        app.printer.note("Runs", "there were none");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["RUN", "RUNBOOK", "FOR", "BEGUN", "BY", "STEPS", "ENDED"]);
    for run in runs.iter().rev() {
        let steps: std::collections::BTreeSet<u32> = run.stepped.iter().map(|(_, stepped)| stepped.step).collect();
        let (ended, tone) = match &run.ended {
            None => ("under way".to_owned(), Tone::Warning),
            Some((_, End::Completed)) => ("completed".to_owned(), Tone::Good),
            Some((_, End::GivenUp { reason })) => (format!("given up: {reason}"), Tone::Bad),
        };
        table.row(vec![
            Cell::new(run.run.to_string()),
            Cell::new(&run.runbook),
            Cell::new(purpose(run.purpose)),
            Cell::new(when(&run.begun_at.to_string(), app.printer.now(), style)),
            Cell::new(&run.by),
            Cell::new(format!("{} of {}", steps.len(), run.steps)),
            Cell::free(&ended, style).tone(tone),
        ]);
    }
    app.printer.text(table.render(style))?;
    Ok(Exit::Done)
}

/// What a run is for, in a word.
fn purpose(purpose: Purpose) -> String {
    match purpose {
        Purpose::Incident(incident) => incident.to_string(),
        Purpose::Drill => "drill".to_owned(),
        Purpose::Other => "-".to_owned(),
    }
}

fn due(app: &App, args: &PathsArgs) -> Result<Exit, Report> {
    let (books, wrong) = all(&args.paths)?;
    if let Some(report) = wrong.into_iter().next() {
        return Err(report);
    }
    let runs: Vec<Run> = app.client()?.runbook_runs()?;
    let found = drills(books.values(), &runs, app.printer.now());
    let style = app.printer.style();
    if style.json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Drills", "no runbook says `drill_every`");
    } else {
        let mut table = Table::new(&["RUNBOOK", "LAST", "RUN", "DUE"]);
        for Drill { runbook, last, due_at, is_due } in &found {
            let (run, at) = last.map_or(("-".to_owned(), "never".to_owned()), |(run, at)| {
                (run.to_string(), when(&at.to_string(), app.printer.now(), style))
            });
            let due = if *is_due { "now".to_owned() } else { due_at.to_string() };
            let tone = if *is_due { Tone::Warning } else { Tone::Plain };
            table.row(vec![Cell::new(runbook), Cell::new(at), Cell::new(run), Cell::new(due).tone(tone)]);
        }
        app.printer.text(table.render(style))?;
    }
    let late = found.iter().filter(|drill| drill.is_due).count();
    if late == 0 {
        return Ok(Exit::Done);
    }
    Err(Report::new(DUE, format!("{} due", counted(late as u64, "drill")))
        .exit(Exit::Refused)
        .hint("go through it: `prograde runbook run FILE --drill`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runbook_that_is_not_there_is_known() {
        let set = |name: &str| BTreeSet::from([name.to_owned()]);
        let shelf = Shelf { names: set("orders"), files: set("orders.md") };
        for there in [
            "orders",
            "runbooks/orders.md",
            "https://git.example/ops/runbooks/orders.md#slow",
            "https://wiki.example/Orders",
            "https://git.example/{{ $labels.service }}.md",
        ] {
            assert!(!shelf.lacks(there), "{there}");
        }
        for gone in ["disks", "runbooks/disks.md", "https://git.example/ops/runbooks/disks.md", ""] {
            assert!(shelf.lacks(gone), "{gone}");
        }
    }
}
