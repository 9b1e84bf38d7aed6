//! `prograde toil`: what people had to do by hand, from the journal.

use clap::Args;
use jiff::tz::TimeZone;
use prograde_journal::Journal;
use prograde_model::dora::{Every, Span};
use prograde_model::event::{Event, Recorded, VERSION};
use prograde_model::toil::{Act, Toil};
use prograde_server::history;
use serde_json::{Value, json};

use crate::app::App;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::report::{self, Report};
use crate::text::{Cell, Table, count};

/// The most weeks.
const WEEKS_MAX: usize = 1_000;
/// The columns, in order.
const ACTS: [(Act, &str); 6] = [
    (Act::Approved, "approved"),
    (Act::Overrode, "overrode"),
    (Act::Ended, "ended"),
    (Act::RolledBack, "rolled_back"),
    (Act::Lifted, "lifted"),
    (Act::Flagged, "flagged"),
];

/// Count what people did by hand: approvals, overrides, aborts, rollbacks, lifted quarantines and flags, by week and person
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde toil
  prograde toil --since 52w --time-zone Europe/Berlin
  prograde toil --offline --json | jq '.[] | select(.person == \"Ann\")'")]
pub(crate) struct ToilArgs {
    /// From when: so long ago, such as `90d` or `12w`, or a day or time such as `2026-01-31`
    #[arg(long, default_value = "12w", value_name = "TIME")]
    since: Moment,
    /// Whose Monday begins a week, such as `Europe/Berlin`
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
    /// Read the journal in the data directory instead of asking the server
    #[arg(long, conflicts_with_all = ["server"])]
    offline: bool,
}

/// Runs `prograde toil`.
pub(crate) fn run(app: &App, args: &ToilArgs) -> Result<Exit, Report> {
    let now = app.printer.now();
    let zone = TimeZone::get(&args.time_zone).map_err(|error| {
        Report::new(report::ARGUMENT, format!("there is no time zone {:?}", args.time_zone))
            .because(&error)
            .hint("write it as IANA names it, such as `--time-zone Europe/Berlin`")
    })?;
    let weeks = args.since.at(now, &zone).and_then(|from| Every::Week.cut(Span { from, until: now }, &zone, WEEKS_MAX));
    let weeks = weeks.ok_or_else(|| {
        Report::new(report::ARGUMENT, format!("the range has more than {WEEKS_MAX} weeks"))
            .hint("write a later `--since`")
    })?;
    let toil = if args.offline { offline(app)? } else { asked(app)? };
    let mut table =
        Table::new(&["WEEK OF", "PERSON", "APPROVED", "OVERRODE", "ENDED", "ROLLED BACK", "LIFTED", "FLAGS"]);
    let mut found = Vec::new();
    for week in weeks {
        let day = week.from.to_zoned(zone.clone()).date().to_string();
        for (person, acts) in toil.by_person(|done| week.contains(done.at)) {
            let number = |act: Act| acts.get(&act).copied().unwrap_or(0);
            let mut row = vec![Cell::new(&day), Cell::new(&person)];
            row.extend(ACTS.map(|(act, _)| Cell::number(count(number(act)))));
            table.row(row);
            let mut value = json!({"week": day, "person": person});
            if let Some(fields) = value.as_object_mut() {
                fields.extend(ACTS.map(|(act, name)| (name.to_owned(), Value::from(number(act)))));
            }
            found.push(value);
        }
    }
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Nobody", "had to do anything by hand in that time");
    } else {
        app.printer.text(table.render(app.printer.style()))?;
    }
    Ok(Exit::Done)
}

fn offline(app: &App) -> Result<Toil, Report> {
    let path = app.global.data_dir()?.join("journal.db");
    let journal = Journal::open_read_only(&path).map_err(|error| super::journal::failed(&error))?;
    let mut toil = Toil::default();
    let read = app.runtime.block_on(history::for_each(&journal, |fact| toil.apply(fact)));
    read.map_err(|error| Report::new("PG0303", error.to_string()).caused_by(&error))?;
    Ok(toil)
}

fn asked(app: &App) -> Result<Toil, Report> {
    let mut toil = Toil::default();
    app.client()?.events(0, false, crate::client::SILENCE_MAX)?.for_each(|view| {
        let strange = |what: String| {
            Report::new(report::STRANGE_ANSWER, what).hint("check that server and client have the same version")
        };
        let at = view.at.parse().map_err(|_| strange(format!("event {} has no time", view.sequence)))?;
        // What a later version recorded is no act that this one knows.
        if let Ok(event) = Event::decode(&view.event_type, VERSION, view.data) {
            toil.apply(&Recorded { sequence: view.sequence, at, flight: view.flight, event });
        }
        Ok(())
    })?;
    Ok(toil)
}
