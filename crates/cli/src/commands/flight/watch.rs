//! `prograde flight watch`: what happens to a flight, line by line, until it ends.

use std::time::Duration;

use super::{WatchArgs, ended};
use crate::app::App;
use crate::client::{Client, Next};
use crate::commands::flight::{list, show};
use crate::exit::Exit;
use crate::printer::Tone;
use crate::report::{self, Report};
use crate::sentence;
use crate::text::since;
use crate::wire::{EventView, FlightView};

/// How long nothing happens before the state is looked at and said.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// Follows a flight.
pub(crate) fn run(app: &App, args: &WatchArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let mut view = match &args.flight {
        Some(id) => client.flight(id.as_str())?,
        None => newest(app, &client)?,
    };
    if !app.printer.style().json {
        app.printer.note("Watching", format_args!("flight {} of {}", view.summary.id, view.summary.service));
    }
    let id = view.summary.id.to_string();
    let (mut seen, mut said) = (0, String::new());
    loop {
        for event in view.events.iter().filter(|event| event.sequence > seen) {
            tell(app, &view, event)?;
        }
        seen = view.events.last().map_or(seen, |event| event.sequence);
        if view.summary.ended_at.is_some() {
            break;
        }
        say_state(app, &view, &mut said)?;
        follow(app, &client, &view, &mut seen)?;
        view = client.flight(&id)?;
    }
    for hint in show::next_steps(&view) {
        app.printer.next(hint);
    }
    Ok(ended(&view.summary))
}

/// Tells events of the flight as they come; returns when it is time to look at the flight again.
fn follow(app: &App, client: &Client, view: &FlightView, seen: &mut u64) -> Result<(), Report> {
    let mut events = client.events(*seen, true, LOOK_AFTER)?;
    loop {
        match events.next()? {
            Next::Item(event) if event.flight == view.summary.id => {
                tell(app, view, &event)?;
                *seen = event.sequence;
                if event.event_type == "flight.ended" {
                    return Ok(());
                }
            }
            Next::Item(_) => {}
            Next::Silence => return Ok(()),
            Next::End => {
                return Err(Report::new(report::UNREACHABLE, format!("the server at {} has stopped", client.url()))
                    .hint(format!(
                        "start it again; `prograde flight watch {}` goes on then",
                        view.summary.id.short()
                    )));
            }
        }
    }
}

fn tell(app: &App, view: &FlightView, event: &EventView) -> Result<(), Report> {
    let style = app.printer.style();
    if style.json {
        return app.printer.json_line(event);
    }
    if sentence::is_detail(event) {
        return Ok(());
    }
    let (tone, text) = sentence::event(event);
    let at = since(&event.at, &view.summary.opened_at, style);
    let at = Tone::Dim.paint(&format!("{at:>9}"), style.colour);
    app.printer.line(format_args!("{at}  {}", tone.paint(&text, style.colour)))
}

/// What the flight waits for, when that is new. Only for people: it is no event.
fn say_state(app: &App, view: &FlightView, said: &mut String) -> Result<(), Report> {
    let style = app.printer.style();
    if style.json || !style.terminal {
        return Ok(());
    }
    let now = show::standing(view).unwrap_or_else(|| format!("{} {}", list::stage(&view.summary), view.summary.detail));
    if now != *said {
        app.printer.line(format_args!("{:>9}  {}", "", Tone::Dim.paint(now.trim(), style.colour)))?;
        *said = now;
    }
    Ok(())
}

/// The newest flight on its way, or the next that is opened.
fn newest(app: &App, client: &Client) -> Result<FlightView, Report> {
    let status = client.status()?;
    if let Some(flight) = status.active.first() {
        return client.flight(flight.id.as_str());
    }
    app.printer.note("Waiting", "for the next push");
    let mut after = status.sequence;
    loop {
        let mut events = client.events(after, true, Duration::from_mins(1))?;
        while let Next::Item(event) = events.next()? {
            after = event.sequence;
            if event.event_type == "flight.opened" {
                return client.flight(event.flight.as_str());
            }
        }
    }
}
