//! Changes of who is on call: `override`, `swap`, `changes` and `withdraw`.

use clap::Args;
use jiff::Timestamp;
use prograde_model::oncall::{Change, ChangeId, Made, PersonName, ScheduleName, When, Who};
use prograde_model::quantity::Period;

use super::{local, rota};
use crate::app::App;
use crate::commands::order::{OrderArgs, rehearse};
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::text::{Cell, Table};
use crate::wire::AnswerRequest;

/// Where changes are made.
const PATH: &str = "/api/v1/oncall/changes";

/// When a change holds, and why it is made.
#[derive(Debug, Args)]
struct WhenArgs {
    /// From when, on the schedule's wall clock, such as `2026-03-01T09:00`, or with an offset; now by default
    #[arg(long, value_name = "TIME", value_parser = when)]
    from: Option<When>,
    /// Until when
    #[arg(long, value_name = "TIME", required_unless_present = "time", conflicts_with = "time", value_parser = when)]
    until: Option<When>,
    /// For how long
    #[arg(long = "for", value_name = "TIME")]
    time: Option<Period>,
    /// Why; kept in the journal
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct ChangeOverrideArgs {
    /// The schedule
    #[arg(value_name = "SCHEDULE")]
    schedule: ScheduleName,
    /// Who is on call instead
    #[arg(value_name = "PERSON")]
    person: PersonName,
    #[command(flatten)]
    when: WhenArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct SwapArgs {
    /// The schedule
    #[arg(value_name = "SCHEDULE")]
    schedule: ScheduleName,
    /// One of the two
    #[arg(value_name = "PERSON")]
    one: PersonName,
    /// The other
    #[arg(value_name = "OTHER")]
    two: PersonName,
    #[command(flatten)]
    when: WhenArgs,
    #[command(flatten)]
    order: OrderArgs,
}

#[derive(Debug, Args)]
pub(super) struct ChangesArgs {
    /// Those that are over or withdrawn as well
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(super) struct WithdrawArgs {
    /// The change, such as `C-3`; `prograde oncall changes` shows them
    #[arg(value_name = "CHANGE")]
    change: ChangeId,
    #[command(flatten)]
    order: OrderArgs,
}

fn when(text: &str) -> Result<When, &'static str> {
    let wrong = "expected a time such as `2026-03-01T09:00`, or `2026-03-01T09:00:00+01:00` with an offset";
    When::try_from(text.to_owned()).map_err(|_| wrong)
}

pub(super) fn override_shift(app: &App, args: &ChangeOverrideArgs) -> Result<Exit, Report> {
    change(app, &args.order, &args.schedule, Who::Override(args.person.clone()), &args.when)
}

pub(super) fn swap(app: &App, args: &SwapArgs) -> Result<Exit, Report> {
    change(app, &args.order, &args.schedule, Who::Swap(args.one.clone(), args.two.clone()), &args.when)
}

fn change(app: &App, order: &OrderArgs, schedule: &ScheduleName, who: Who, times: &WhenArgs) -> Result<Exit, Report> {
    let rota = app.client()?.rota()?;
    let found = rota.schedules.iter().find(|known| known.name == *schedule);
    // The server says best that there is none; until then its times are UTC's.
    let zone = found.and_then(|schedule| rota::zone(&schedule.time_zone)).unwrap_or(jiff::tz::TimeZone::UTC);
    let from = times.from.map_or_else(|| app.printer.now(), |from| from.instant(&zone));
    let until = match (times.until, times.time) {
        (Some(until), _) => until.instant(&zone),
        (None, Some(time)) => from.saturating_add(time.duration()).unwrap_or(Timestamp::MAX),
        (None, None) => return Err(Report::new(report::ARGUMENT, "it has no end").hint("write `--for 8h`")),
    };
    let by = app.by(order.by.as_deref())?;
    let request = Change { schedule: schedule.clone(), who, from, until, by, reason: times.reason.clone() };
    if order.dry_run {
        let what = format!("change {schedule} as {}: {}", request.by, sentence(&request.who));
        return rehearse(app, &what, PATH, &request);
    }
    let made = app.client()?.change_oncall(PATH, &request)?;
    if app.printer.style().json {
        app.printer.json(&made)?;
        return Ok(Exit::Done);
    }
    let moment = |at| found.map_or_else(|| format!("{at}"), |schedule| local(at, schedule));
    let (from, until) = (moment(made.change.from), moment(made.change.until));
    app.printer.note("Changed", format_args!("{}: {} from {from} until {until}", made.id, sentence(&made.change.who)));
    app.printer.next(format_args!("prograde oncall withdraw {}, to take it back", made.id));
    Ok(Exit::Done)
}

/// Such as `bob takes over`.
fn sentence(who: &Who) -> String {
    match who {
        Who::Override(person) => format!("{person} takes over"),
        Who::Swap(one, two) => format!("{one} and {two} take each other's shifts"),
    }
}

pub(super) fn changes(app: &App, args: &ChangesArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let changes = client.oncall_changes(args.all)?;
    if app.printer.style().json {
        app.printer.json(&changes)?;
        return Ok(Exit::Done);
    }
    if changes.is_empty() {
        app.printer.note("Changes", if args.all { "there were none" } else { "none is in force or to come" });
        return Ok(Exit::Done);
    }
    let rota = client.rota()?;
    let style = app.printer.style();
    let mut table = Table::new(&["CHANGE", "SCHEDULE", "WHO", "FROM", "UNTIL", "BY", "WITHDRAWN", "WHY"]);
    for Made { id, change, withdrawn_by, .. } in &changes {
        let schedule = rota.schedules.iter().find(|schedule| schedule.name == change.schedule);
        let moment = |at| schedule.map_or_else(|| format!("{at}"), |schedule| local(at, schedule));
        let who = match &change.who {
            Who::Override(person) => person.clone(),
            Who::Swap(one, two) => format!("{one} and {two} swap"),
        };
        table.row(vec![
            Cell::new(id.to_string()),
            Cell::new(&change.schedule),
            Cell::new(who),
            Cell::new(moment(change.from)),
            Cell::new(moment(change.until)),
            Cell::new(&change.by),
            Cell::new(withdrawn_by.as_deref().map_or_else(|| "-".to_owned(), |by| format!("by {by}"))),
            Cell::free(&change.reason, style),
        ]);
    }
    app.printer.text(table.render(style))?;
    Ok(Exit::Done)
}

pub(super) fn withdraw(app: &App, args: &WithdrawArgs) -> Result<Exit, Report> {
    let request = AnswerRequest { by: app.by(args.order.by.as_deref())? };
    let path = format!("{PATH}/{}/withdraw", args.change);
    if args.order.dry_run {
        return rehearse(app, &format!("take {} back as {}", args.change, request.by), &path, &request);
    }
    let made = app.client()?.change_oncall(&path, &request)?;
    if app.printer.style().json {
        app.printer.json(&made)?;
    } else {
        app.printer.note("Withdrawn", format_args!("{}: {}", made.id, sentence(&made.change.who)));
    }
    Ok(Exit::Done)
}
