//! `prograde oncall`: who is on call, by the server or by an `oncall.yaml`.

mod change;
mod import;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use prograde_control::rota;
use prograde_model::dora::Span;
use prograde_model::oncall::{self, Rota, Schedule, Shift, TooLong};
use serde_json::{Value, json};

use change::{ChangeOverrideArgs, ChangesArgs, SwapArgs, WithdrawArgs};
use import::ImportArgs;

use crate::app::App;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::printer::{Style, Tone, cleaned};
use crate::report::{self, Report};
use crate::text::{Cell, Table, count, counted};

/// The largest file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;
/// A schedule has hours in which nobody is on call.
const HOLES: &str = "PG0671";
/// How many hand-overs `who` tells, and within how many weeks.
const NEXT: usize = 3;
const WEEKS: i64 = 5;
/// How many holes are named.
const HOLES_SHOWN: usize = 10;

/// Show who is on call, by the server or by an oncall.yaml
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct OncallArgs {
    #[command(subcommand)]
    command: OncallCommand,
}

#[derive(Debug, Subcommand)]
enum OncallCommand {
    /// Show who is on call now, or at another time, and who comes next
    #[command(
        after_help = "Examples:\n  prograde oncall who\n  prograde oncall who --at 2026-12-24T22:00:00+01:00 --json"
    )]
    Who(WhoArgs),
    /// List the shifts of a schedule
    #[command(
        after_help = "Examples:\n  prograde oncall show\n  prograde oncall show primary --from 2026-12-01 --days 31"
    )]
    Show(RangeArgs),
    /// Let somebody else be on call for a while
    #[command(
        name = "override",
        after_help = "\
Examples:
  prograde oncall override primary bob --for 4h --reason 'ann is at the dentist'
  prograde oncall override primary bob --from 2026-03-01T09:00 --until 2026-03-01T17:00

Times are on the schedule's wall clock unless they have an offset. Pages that are open are told to whoever is on call by then."
    )]
    Override(ChangeOverrideArgs),
    /// Let two people take each other's shifts for a while
    #[command(
        after_help = "Examples:\n  prograde oncall swap primary ann cem --from 2026-02-02T09:00 --until 2026-02-09T09:00"
    )]
    Swap(SwapArgs),
    /// List overrides and swaps that were made by command
    #[command(after_help = "Examples:\n  prograde oncall changes\n  prograde oncall changes --all --json")]
    Changes(ChangesArgs),
    /// Take an override or a swap back
    #[command(after_help = "Examples:\n  prograde oncall withdraw C-3")]
    Withdraw(WithdrawArgs),
    /// Check the file, and that somebody is on call at every hour
    #[command(after_help = "\
Examples:
  prograde oncall check --file oncall.yaml
  prograde oncall check --days 730

The exit code is 2 if the file can't be used, and 1 if there are hours in which nobody is on call.")]
    Check(RangeArgs),
    /// Show how much each person carries: hours, nights, weekends, pages, and how evenly
    #[command(after_help = "Examples:\n  prograde oncall load --from 2026-01-01 --days 90 --pages pages.txt")]
    Load(LoadArgs),
    /// Print a schedule as a calendar (iCalendar, RFC 5545)
    #[command(after_help = "Examples:\n  prograde oncall calendar primary --days 90 > oncall.ics")]
    Calendar(RangeArgs),
    /// Make an oncall.yaml of what PagerDuty or Grafana `OnCall` export
    #[command(after_help = "\
Examples:
  prograde oncall import --from pagerduty schedules.json policies.json users.json > oncall.yaml
  prograde oncall import --from grafana *.json --out oncall.yaml --strict

Files are answers of the product's API: of PagerDuty `GET /schedules/{id}` (or `/schedules` with `include[]=schedule_layers`),
`/escalation_policies` and `/users`; of Grafana OnCall `/schedules`, `/on_call_shifts`, `/escalation_chains`, `/escalation_policies`
and `/users`. What can't be carried over is said on stderr with its place. The exit code is 2 if an export can't be used.")]
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct FileArgs {
    /// A file with people and schedules; by default the server is asked
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct WhoArgs {
    #[command(flatten)]
    file: FileArgs,
    /// At another time than now, such as `2026-12-24T22:00:00+01:00`
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

#[derive(Debug, Args)]
struct RangeArgs {
    /// Of one schedule only
    #[arg(value_name = "SCHEDULE")]
    schedule: Option<String>,
    #[command(flatten)]
    file: FileArgs,
    /// From when, such as `2026-12-01` in UTC or `90d` for so long ago; now by default
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// How many days
    #[arg(long, default_value_t = 366, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4000))]
    days: u32,
}

#[derive(Debug, Args)]
struct LoadArgs {
    #[command(flatten)]
    range: RangeArgs,
    /// A file with the times at which somebody was paged, one a line, such as `2026-01-31T03:04:05Z`; by default those that
    /// the server remembers
    #[arg(long, value_name = "FILE")]
    pages: Option<PathBuf>,
}

/// Runs `prograde oncall`.
pub(crate) fn run(app: &App, args: &OncallArgs) -> Result<Exit, Report> {
    match &args.command {
        OncallCommand::Who(args) => who(app, args),
        OncallCommand::Show(args) => show(app, args),
        OncallCommand::Override(args) => change::override_shift(app, args),
        OncallCommand::Swap(args) => change::swap(app, args),
        OncallCommand::Changes(args) => change::changes(app, args),
        OncallCommand::Withdraw(args) => change::withdraw(app, args),
        OncallCommand::Check(args) => check(app, args),
        OncallCommand::Load(args) => load(app, args),
        OncallCommand::Calendar(args) => calendar(app, args),
        OncallCommand::Import(args) => import::run(app, args),
    }
}

/// What the server works with, or what a file declares.
fn read(app: &App, args: &FileArgs) -> Result<Rota, Report> {
    match &args.file {
        Some(path) => of_file(app, path),
        None => app.client()?.rota(),
    }
}

fn of_file(app: &App, path: &Path) -> Result<Rota, Report> {
    let bytes = std::fs::read(path).map_err(|error| {
        Report::file("read", path, &error).hint("name it with `--file FILE`; docs/guides/oncall.md shows the format")
    })?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() <= FILE_BYTES_MAX);
    let text =
        text.ok_or_else(|| Report::new(report::FILE, format!("{} is not a text of up to 1 MiB", path.display())))?;
    let found = match rota::read(&path.display().to_string(), &text) {
        Ok(rota) => return Ok(rota),
        Err(found) => found.0,
    };
    if app.printer.style().json {
        app.printer.json(&json!({"errors": found, "holes": []}))?;
    } else {
        let word = Tone::Bad.paint("error", app.printer.style().colour);
        for diagnostic in &found {
            app.printer.line(format_args!("{word}: {}", cleaned(&diagnostic.to_string())))?;
        }
    }
    let what = format!("{} in {}", counted(found.len() as u64, "error"), path.display());
    Err(Report::new(report::CHECK, what).hint("`prograde explain CODE` says more about each"))
}

fn range(app: &App, args: &RangeArgs) -> Result<Span, Report> {
    let now = app.printer.now();
    let from = args.from.map_or(Some(now), |from| from.at(now, &TimeZone::UTC));
    let length = SignedDuration::from_hours(i64::from(args.days) * 24);
    let span = from.and_then(|from| Some(Span { from, until: from.checked_add(length).ok()? }));
    span.ok_or_else(|| {
        Report::new(report::ARGUMENT, "the range is beyond all calendars").hint("write an earlier `--from`")
    })
}

/// The schedules that are meant.
fn chosen<'a>(rota: &'a Rota, args: &RangeArgs) -> Result<Vec<&'a Schedule>, Report> {
    let meant = |schedule: &&Schedule| args.schedule.as_ref().is_none_or(|name| schedule.name == *name);
    let found: Vec<_> = rota.schedules.iter().filter(meant).collect();
    if found.is_empty() {
        let names: Vec<_> = rota.schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        let name = args.schedule.as_deref().unwrap_or_default();
        return Err(Report::new(report::ARGUMENT, format!("there is no schedule {name:?}"))
            .hint(format!("there are {}", names.join(", "))));
    }
    Ok(found)
}

fn too_long(error: &TooLong) -> Report {
    Report::new(report::ARGUMENT, error.to_string()).hint("write fewer `--days`")
}

/// A time as the schedule's wall clock shows it.
fn local(at: Timestamp, schedule: &Schedule) -> String {
    let zone = rota::zone(&schedule.time_zone).unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

fn as_json(shift: &Shift) -> Value {
    json!({"person": shift.person, "from": shift.span.from.to_string(), "until": shift.span.until.to_string(), "by": shift.by})
}

fn who(app: &App, args: &WhoArgs) -> Result<Exit, Report> {
    let rota = read(app, &args.file)?;
    let at = args.at.unwrap_or_else(|| app.printer.now());
    // Long enough for the next hand-overs of weekly turns.
    let until = at.saturating_add(SignedDuration::from_hours(24 * 7 * WEEKS)).unwrap_or(Timestamp::MAX);
    let mut table = Table::new(&["SCHEDULE", "ON CALL", "UNTIL", "BY", "THEN"]);
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for schedule in &rota.schedules {
        let shifts = schedule.shifts(Span { from: at, until }, &rota::zone).map_err(|error| too_long(&error))?;
        let now = shifts.iter().find(|shift| shift.span.contains(at));
        let next: Vec<&Shift> = shifts.iter().filter(|shift| shift.span.from > at).take(NEXT).collect();
        if now.is_none() {
            missing.push(schedule.name.clone());
        }
        let then: Vec<_> = next.iter().map(|s| format!("{} {}", s.person, local(s.span.from, schedule))).collect();
        table.row(vec![
            Cell::new(&schedule.name),
            now.map_or_else(|| Cell::new("nobody").tone(Tone::Bad), |shift| Cell::new(&shift.person)),
            Cell::new(now.map_or_else(String::new, |shift| local(shift.span.until, schedule))),
            Cell::new(now.map_or("", |shift| &shift.by)),
            Cell::new(then.first().map_or("", String::as_str)),
        ]);
        let next: Vec<_> = next.into_iter().map(as_json).collect();
        found.push(json!({"schedule": schedule.name, "on_call": now.map(as_json), "next": next}));
    }
    if app.printer.style().json {
        app.printer.json(&json!({"at": at.to_string(), "schedules": found}))?;
    } else {
        app.printer.text(table.render(app.printer.style()))?;
    }
    if !missing.is_empty() {
        app.printer.next("prograde oncall check, to see all hours in which nobody is on call");
    }
    Ok(if missing.is_empty() { Exit::Done } else { Exit::Refused })
}

fn show(app: &App, args: &RangeArgs) -> Result<Exit, Report> {
    let rota = read(app, &args.file)?;
    let span = range(app, args)?;
    let mut table = Table::new(&["SCHEDULE", "FROM", "UNTIL", "PERSON", "BY"]);
    let mut found = Vec::new();
    for schedule in chosen(&rota, args)? {
        for shift in schedule.shifts(span, &rota::zone).map_err(|error| too_long(&error))? {
            table.row(vec![
                Cell::new(&schedule.name),
                Cell::new(local(shift.span.from, schedule)),
                Cell::new(local(shift.span.until, schedule)),
                Cell::new(&shift.person),
                Cell::new(&shift.by),
            ]);
            let mut value = as_json(&shift);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("schedule".into(), schedule.name.clone().into());
            }
            found.push(value);
        }
    }
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else {
        app.printer.text(table.render(app.printer.style()))?;
    }
    Ok(Exit::Done)
}

fn check(app: &App, args: &RangeArgs) -> Result<Exit, Report> {
    let rota = read(app, &args.file)?;
    let span = range(app, args)?;
    let (mut lines, mut found) = (Vec::new(), Vec::new());
    for schedule in chosen(&rota, args)?.into_iter().filter(|schedule| !schedule.holes_allowed) {
        for hole in schedule.holes(span, &rota::zone).map_err(|error| too_long(&error))? {
            let (from, until) = (local(hole.0.from, schedule), local(hole.0.until, schedule));
            lines.push(format!("{}: nobody is on call from {from} to {until} [{HOLES}]", schedule.name));
            found.push(
                json!({"schedule": schedule.name, "from": hole.0.from.to_string(), "until": hole.0.until.to_string()}),
            );
        }
    }
    if app.printer.style().json {
        app.printer.json(&json!({"errors": [], "holes": found}))?;
    } else {
        let word = Tone::Bad.paint("error", app.printer.style().colour);
        for line in lines.iter().take(HOLES_SHOWN) {
            app.printer.line(format_args!("{word}: {}", cleaned(line)))?;
        }
        if lines.len() > HOLES_SHOWN {
            app.printer.line(format_args!("and {} more; `--json` names them all", lines.len() - HOLES_SHOWN))?;
        }
    }
    if lines.is_empty() {
        app.printer.note("Good", format_args!("somebody is on call at every hour of {} days", args.days));
        return Ok(Exit::Done);
    }
    let what = format!("{}: hours in which nobody is on call", counted(lines.len() as u64, "hole"));
    Err(Report::new(HOLES, what)
        .exit(Exit::Refused)
        .hint("add a layer below that covers them, or write `holes_allowed: true` if they are meant"))
}

/// The times in a file, one a line; empty lines mean nothing.
fn pages(path: &Path) -> Result<Vec<Timestamp>, Report> {
    let text = std::fs::read_to_string(path).map_err(|error| Report::file("read", path, &error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let time = |(index, line): (usize, &str)| {
        line.trim().parse().map_err(|error: jiff::Error| {
            Report::new(report::ARGUMENT, format!("{}:{}: that is no time", path.display(), index + 1))
                .because(&error)
                .hint("write it as `2026-01-31T03:04:05Z`")
        })
    };
    lines.map(time).collect()
}

fn load(app: &App, args: &LoadArgs) -> Result<Exit, Report> {
    let pages = match (&args.pages, &args.range.file.file) {
        (Some(path), _) => pages(path)?,
        (None, Some(_)) => Vec::new(),
        // Those that only tried people out woke nobody.
        (None, None) => {
            app.client()?.pages(true)?.iter().filter(|page| !page.test).map(|page| page.opened_at).collect()
        }
    };
    let args = &args.range;
    let rota = read(app, &args.file)?;
    let span = range(app, args)?;
    let mut found = Vec::new();
    let mut text = String::new();
    for schedule in chosen(&rota, args)? {
        let shifts = schedule.shifts(span, &rota::zone).map_err(|error| too_long(&error))?;
        let home = |name: &String| {
            let own = rota.people.get(name).and_then(|person| person.time_zone.as_ref());
            rota::zone(own.unwrap_or(&schedule.time_zone)).unwrap_or(TimeZone::UTC)
        };
        let layers = schedule.layers.iter().chain(schedule.holidays.iter().map(|holidays| &holidays.layer));
        let named = layers.flat_map(|layer| &layer.people).chain(shifts.iter().map(|shift| &shift.person));
        let homes: BTreeMap<String, TimeZone> = named.map(|name| (name.clone(), home(name))).collect();
        let loads = oncall::loads(&shifts, &homes, &pages);
        let hours: Vec<f64> = loads.values().map(|load| load.hours).collect();
        let fairness = oncall::fairness(&hours);
        found.push(json!({"schedule": schedule.name, "people": loads, "fairness": fairness}));
        text.push_str(&loaded(schedule, &loads, fairness, app.printer.style()));
    }
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else {
        app.printer.text(text)?;
    }
    Ok(Exit::Done)
}

fn loaded(schedule: &Schedule, loads: &BTreeMap<String, oncall::Load>, fairness: Option<f64>, style: Style) -> String {
    let mut table = Table::new(&["PERSON", "HOURS", "BY NIGHT", "ON WEEKENDS", "PAGES", "BY NIGHT"]);
    for (name, load) in loads {
        let hours = |hours: f64| Cell::number(format!("{hours:.0}"));
        table.row(vec![
            Cell::new(name),
            hours(load.hours),
            hours(load.night_hours),
            hours(load.weekend_hours),
            Cell::number(count(load.pages)),
            Cell::number(count(load.night_pages)),
        ]);
    }
    let even = fairness.map_or_else(String::new, |share| format!("fairness {share:.2}, 1 is even\n"));
    format!("{}\n{}{even}", Tone::Strong.paint(&schedule.name, style.colour), table.render(style))
}

fn calendar(app: &App, args: &RangeArgs) -> Result<Exit, Report> {
    let rota = read(app, &args.file)?;
    let span = range(app, args)?;
    let schedules = chosen(&rota, args)?;
    let [schedule] = schedules.as_slice() else {
        let names: Vec<_> = schedules.iter().map(|schedule| schedule.name.as_str()).collect();
        return Err(Report::new(report::ARGUMENT, "a calendar is of one schedule")
            .hint(format!("name one of {}", names.join(", "))));
    };
    let shifts = schedule.shifts(span, &rota::zone).map_err(|error| too_long(&error))?;
    let text = oncall::calendar(&rota, schedule, &shifts, app.printer.now());
    if app.printer.style().json {
        app.printer.json(&json!({"schedule": schedule.name, "calendar": text}))?;
        return Ok(Exit::Done);
    }
    app.printer.text(text)?;
    let (written, days) = (counted(shifts.len() as u64, "shift"), counted(args.days.into(), "day"));
    app.printer.note("Wrote", format_args!("{written} in {days}"));
    Ok(Exit::Done)
}
