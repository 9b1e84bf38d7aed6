//! `prograde flight list`.

use jiff::Timestamp;

use super::ListArgs;
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::Report;
use crate::text::{Cell, Table, when};
use crate::wire::FlightSummary;

/// Prints the newest flights.
pub(crate) fn run(app: &App, args: &ListArgs) -> Result<Exit, Report> {
    let found = app.client()?.flights(args.service.as_ref(), args.limit)?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("No flight", "has been opened yet; a push to `main` opens one");
    } else {
        app.printer.text(table(&found, app.printer.style(), app.printer.now()))?;
    }
    Ok(Exit::Done)
}

/// Flights as a table.
pub(crate) fn table(found: &[FlightSummary], style: Style, now: Timestamp) -> String {
    let mut table = Table::new(&["FLIGHT", "SERVICE", "COMMIT", "STAGE", "OPENED", "SUBJECT", "DETAIL"]);
    for flight in found {
        table.row(vec![
            Cell::new(flight.id.short()),
            Cell::new(flight.service.as_str()),
            Cell::new(flight.commit.short()),
            Cell::new(stage(flight)).tone(tone(&flight.stage)),
            Cell::new(when(&flight.opened_at, now, style)),
            Cell::free(&flight.subject, style),
            Cell::free(&flight.detail, style),
        ]);
    }
    table.render(style)
}

/// The stage, and the environment that it is in.
pub(crate) fn stage(flight: &FlightSummary) -> String {
    let stage = flight.stage.replace('_', " ");
    match &flight.environment {
        Some(environment) => format!("{stage} {}{environment}", preposition(&flight.stage)),
        None => stage,
    }
}

fn preposition(stage: &str) -> &'static str {
    match stage {
        "waiting" => "for ",
        "stopped" => "before ",
        "deploying" => "to ",
        "rolled_back" | "withdrawing" => "from ",
        _ => "in ",
    }
}

/// Whether a stage is good, bad or neither yet. The server may know more stages than we do.
pub(crate) fn tone(stage: &str) -> Tone {
    match stage {
        "landed" => Tone::Good,
        "waiting" | "withdrawing" | "reverting" => Tone::Warning,
        "refused" | "rejected" | "stopped" | "rolled_back" | "kept" | "aborted" => Tone::Bad,
        "superseded" => Tone::Dim,
        _ => Tone::Plain,
    }
}
