//! `prograde app status`.

use clap::Args;
use jiff::Timestamp;

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone, one_line};
use crate::report::Report;
use crate::text::{Cell, Table, when};
use crate::wire::{ApplicationView, ApplicationsView};

/// Show the applications that the server keeps in clusters, and how each stands against Git
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde app status
  prograde app status platform
  prograde app status --json | jq '.applications[] | select(.sync != \"synced\")'

`prograde serve --applications FILE` names them. The exit code is 1 if one is not as Git says, or can't be looked at.")]
pub(super) struct StatusArgs {
    /// Only this set
    #[arg(value_name = "SET")]
    set: Option<String>,
}

/// Shows them.
pub(super) fn run(app: &App, args: &StatusArgs) -> Result<Exit, Report> {
    let mut found = app.client()?.applications()?;
    if let Some(set) = &args.set {
        found.sets.retain(|view| view.set.as_str() == set);
        found.applications.retain(|view| view.set.as_str() == set);
        if found.sets.is_empty() {
            return Err(Report::new(crate::report::ARGUMENT, format!("the server keeps no set `{}`", one_line(set)))
                .hint("`prograde app status` shows all"));
        }
    }
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.sets.is_empty() {
        app.printer.note("Applications", "the server keeps none");
        app.printer.next("prograde explain PG1386");
    } else {
        app.printer.text(table(&found.applications, app.printer.style(), app.printer.now()))?;
        for set in &found.sets {
            if let Some(trouble) = &set.trouble {
                app.printer.warning(format_args!("{}: {}", set.set, trouble.trim_end()));
            }
        }
    }
    Ok(if is_well(&found) { Exit::Done } else { Exit::Refused })
}

fn is_well(found: &ApplicationsView) -> bool {
    let is_good = |view: &ApplicationView| {
        ["synced", "syncing"].contains(&&*view.sync) && !["missing", "degraded"].contains(&&*view.health)
    };
    found.sets.iter().all(|set| set.trouble.is_none()) && found.applications.iter().all(is_good)
}

pub(super) fn table(found: &[ApplicationView], style: Style, now: Timestamp) -> String {
    let mut table = Table::new(&["SET", "NAME", "REVISION", "SYNC", "HEALTH", "SINCE", "WHY"]);
    for view in found {
        let sync = match &*view.sync {
            "synced" => Tone::Good,
            "syncing" => Tone::Plain,
            "unknown" => Tone::Dim,
            "differs" | "held" => Tone::Warning,
            _ => Tone::Bad,
        };
        let health = match &*view.health {
            "healthy" => Tone::Good,
            "suspended" | "progressing" => Tone::Plain,
            "unknown" => Tone::Dim,
            _ => Tone::Bad,
        };
        let since = view.since.map_or_else(|| "-".to_owned(), |since| when(&since.to_string(), now, style));
        table.row(vec![
            Cell::new(view.set.as_str()),
            Cell::free(&view.application, style),
            Cell::new(view.commit.as_ref().map_or("-", |commit| commit.short())),
            Cell::new(&*view.sync).tone(sync),
            Cell::new(&*view.health).tone(health),
            Cell::new(since),
            Cell::free(one_line(&view.why), style),
        ]);
    }
    table.render(style)
}
