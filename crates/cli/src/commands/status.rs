//! `prograde status`: what runs where, what is on its way, and what is kept out.

use clap::Args;
use jiff::Timestamp;

use crate::app::App;
use crate::commands::{flight, quarantine};
use crate::exit::Exit;
use crate::printer::{Style, Tone, one_line};
use crate::report::Report;
use crate::text::{Cell, Table, count, failures};
use crate::wire::{Status, TargetView, VersionView};

/// Show what runs where, what is on its way, and what is kept out
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde status
  prograde status --json | jq '.targets[] | select(.trouble)'")]
pub(crate) struct StatusArgs {}

/// Prints the status.
pub(crate) fn run(app: &App) -> Result<Exit, Report> {
    let client = app.client()?;
    let status = client.status()?;
    if app.printer.style().json {
        app.printer.json(&status)?;
        return Ok(Exit::Done);
    }
    app.printer.text(render(&status, app.printer.style(), app.printer.now()))?;
    if status.targets.is_empty() && status.active.is_empty() {
        app.printer.note("Nothing", format_args!("runs yet at {}", client.url()));
        app.printer.next(format_args!("git push {}/git/SERVICE.git main", client.url()));
    }
    Ok(Exit::Done)
}

/// The status as text.
pub(crate) fn render(status: &Status, style: Style, now: Timestamp) -> String {
    let mut sections = Vec::new();
    if !status.targets.is_empty() {
        sections.push(targets(&status.targets, style));
    }
    if !status.active.is_empty() {
        let title = Tone::Strong.paint("On the way", style.colour);
        sections.push(format!("{title}\n{}", flight::list::table(&status.active, style, now)));
    }
    if !status.quarantines.is_empty() {
        let title = Tone::Strong.paint("In quarantine", style.colour);
        sections.push(format!("{title}\n{}", quarantine::table(&status.quarantines, style, now)));
    }
    sections.join("\n")
}

fn targets(targets: &[TargetView], style: Style) -> String {
    let mut table = Table::new(&[
        "SERVICE",
        "ENVIRONMENT",
        "ADDRESS",
        "FLIGHT",
        "COMMIT",
        "WEIGHT",
        "READY",
        "RESTARTS",
        "REQUESTS",
        "FAILED",
    ]);
    let mut troubles = String::new();
    for target in targets {
        // One line for each version, and at least one for each address.
        for line in 0..target.versions.len().max(target.addresses.len()).max(1) {
            let named = |name: &str| Cell::new(if line == 0 { name } else { "" });
            let mut row = vec![
                named(target.service.as_str()),
                named(target.environment.as_str()),
                Cell::new(target.addresses.get(line).map_or("", String::as_str)),
            ];
            row.extend(target.versions.get(line).map(version).unwrap_or_default());
            table.row(row);
        }
        troubles.push_str(&trouble(target, style));
    }
    format!("{}{troubles}", table.render(style))
}

fn version(version: &VersionView) -> Vec<Cell> {
    let whole = version.ready >= version.replicas && version.replicas > 0;
    vec![
        Cell::new(version.flight.short()),
        Cell::new(version.commit.short()),
        Cell::number(format!("{}%", version.weight)),
        Cell::number(format!("{}/{}", version.ready, version.replicas)).tone(if whole {
            Tone::Good
        } else {
            Tone::Warning
        }),
        Cell::number(count(version.restarts.into())),
        Cell::number(count(version.counters.requests)),
        Cell::number(failures(version.counters.failures, version.counters.requests))
            .tone(if version.counters.failures > 0 { Tone::Bad } else { Tone::Plain }),
    ]
}

fn trouble(target: &TargetView, style: Style) -> String {
    let place = format!("{} in {}", target.service, target.environment);
    let line = |what: &str| format!("{} {place}: {}\n", Tone::Bad.paint("trouble:", style.colour), one_line(what));
    let waiting = target.versions.iter().filter_map(|version| {
        version.waiting.as_ref().map(|why| line(&format!("flight {}: {why}", version.flight.short())))
    });
    target.trouble.iter().map(|trouble| line(trouble)).chain(waiting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn now() -> Timestamp {
        "2026-02-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_person_sees_tables() {
        insta::assert_snapshot!("status_terminal", render(&fixtures::status(), fixtures::TERMINAL, now()));
    }

    #[test]
    fn a_pipe_gets_exact_times_and_whole_names() {
        insta::assert_snapshot!("status_piped", render(&fixtures::status(), Style::default(), now()));
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let coloured = render(&fixtures::status(), Style { colour: true, ..fixtures::TERMINAL }, now());
        let plain: String = coloured
            .split('\x1b')
            .enumerate()
            .map(|(i, part)| match part.split_once('m') {
                Some((_, text)) if i > 0 => text,
                _ => part,
            })
            .collect();
        assert_ne!(coloured, plain);
        assert_eq!(plain, render(&fixtures::status(), fixtures::TERMINAL, now()));
    }
}
