//! `prograde upstream`: the repositories on Git hosts that the server follows, and the copy of the deployment repository.

use clap::{Args, Subcommand};

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::Report;
use crate::text::{Cell, Table, when};
use crate::wire::UpstreamView;

/// Show the repositories on Git hosts that the server follows, and the copy of the deployment repository
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct UpstreamArgs {
    #[command(subcommand)]
    command: UpstreamCommand,
}

#[derive(Debug, Subcommand)]
enum UpstreamCommand {
    /// List them, with what keeps them from being followed
    #[command(after_help = "\
Examples:
  prograde upstream list
  prograde upstream list --json

`prograde serve --upstreams FILE` names them. The exit code is 1 if one can't be followed, or the copy can't be kept.")]
    List,
}

/// Runs `prograde upstream`.
pub(crate) fn run(app: &App, args: &UpstreamArgs) -> Result<Exit, Report> {
    match args.command {
        UpstreamCommand::List => list(app),
    }
}

fn list(app: &App) -> Result<Exit, Report> {
    let found = app.client()?.upstreams()?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Upstream", "no repository on a Git host is followed");
        app.printer.next("prograde explain PG0310");
    } else {
        app.printer.text(table(&found, app.printer.style(), app.printer.now()))?;
    }
    let is_well = found.iter().all(|view| view.trouble.is_none());
    Ok(if is_well { Exit::Done } else { Exit::Refused })
}

fn table(found: &[UpstreamView], style: Style, now: jiff::Timestamp) -> String {
    let mut table = Table::new(&["SERVICE", "BRANCH", "OF", "AT", "ASKED", "TROUBLE SINCE", "TROUBLE"]);
    let at =
        |time: Option<jiff::Timestamp>| time.map_or_else(|| "-".to_owned(), |time| when(&time.to_string(), now, style));
    for view in found {
        table.row(vec![
            Cell::new(view.service.as_str()),
            Cell::free(&view.branch, style),
            Cell::free(&view.url, style),
            Cell::new(view.head.as_ref().map_or("-", |head| head.short())),
            Cell::new(at(view.looked_at)),
            Cell::new(at(view.troubled_since)),
            Cell::free(view.trouble.as_deref().unwrap_or("-"), style)
                .tone(view.trouble.as_ref().map_or(Tone::Plain, |_| Tone::Bad)),
        ]);
    }
    table.render(style)
}
