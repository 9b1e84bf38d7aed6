//! `prograde toil`: what people had to do by hand, from the journal.

use clap::Args;
use jiff::tz::TimeZone;
use prograde_journal::Journal;
use prograde_model::dora::{Every, Span};
use prograde_model::toil::{Act, Done, Questions, by_person};
use prograde_server::history;
use serde_json::{Value, json};

use crate::app::App;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::printer::Tone;
use crate::report::{self, Report};
use crate::text::{Cell, Table, count};

/// The share of a person's time above which it is too much.
const SHARE_MAX: f64 = 0.5;
/// The most weeks.
const WEEKS_MAX: usize = 1_000;
/// The columns, in the order of [`Act::ALL`].
const ACTS: [(&str, &str); Act::ALL.len()] = [
    ("approved", "APPROVED"),
    ("overrode", "OVERRODE"),
    ("ended", "ENDED"),
    ("rolled_back", "ROLLED BACK"),
    ("lifted", "LIFTED"),
    ("flagged", "FLAGS"),
    ("silenced", "SILENCES"),
    ("ran_step", "STEPS"),
    ("scaled", "SCALED"),
];

/// Count what people did by hand, by week and person: approvals, overrides, aborts, rollbacks, lifted quarantines, flags, silences
/// and steps of runbooks; and its share of their time
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde toil
  prograde toil --since 52w --time-zone Europe/Berlin
  prograde toil --test
  prograde toil --offline --json | jq '.[] | select(.person == \"Ann\")'

With `--test`: is it manual, repeated three times or more, automatable, an interruption, and of no lasting value? Five times yes is toil.

The time of a runbook's steps was measured; everything else is taken for 2 minutes (approvals), 5 (flags, silences) or 10. The share is that of
a week of `--hours`. Half of it is the most that a team should bear (Beyer and others, *Site Reliability Engineering*, chapter 5).")]
pub(crate) struct ToilArgs {
    /// From when: so long ago, such as `90d` or `12w`, or a day or time such as `2026-01-31`
    #[arg(long, default_value = "12w", value_name = "TIME")]
    since: Moment,
    /// Whose Monday begins a week, such as `Europe/Berlin`
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
    /// How many hours a person works in a week
    #[arg(long, default_value_t = 40, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=168))]
    hours: u32,
    /// Ask five questions of each kind of act instead: is it toil, and what could do it?
    #[arg(long)]
    test: bool,
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
    let done = match (args.offline, weeks.first()) {
        (_, None) => Vec::new(),
        (true, _) => offline(app)?,
        (false, Some(first)) => app.client()?.toil(first.from)?,
    };
    if args.test {
        return tested(app, &done);
    }
    let mut table =
        Table::new(&[&["WEEK OF", "PERSON"], &ACTS.map(|(_, head)| head)[..], &["HOURS", "SHARE"]].concat());
    let mut found = Vec::new();
    for week in weeks {
        let day = week.from.to_zoned(zone.clone()).date().to_string();
        for (person, sum) in by_person(&done, |done| week.contains(done.at)) {
            let numbers = Act::ALL.map(|act| sum.acts.get(&act).copied().unwrap_or(0));
            let (hours, share) = (sum.minutes / 60.0, sum.minutes / 60.0 / f64::from(args.hours));
            let mut row = vec![Cell::new(&day), Cell::new(&person)];
            row.extend(numbers.map(|number| Cell::number(count(number))));
            row.push(Cell::number(format!("{hours:.1}")));
            let tone = if share > SHARE_MAX { Tone::Bad } else { Tone::Plain };
            row.push(Cell::number(format!("{:.0}%", share * 100.0)).tone(tone));
            table.row(row);
            let mut value = json!({"week": day, "person": person, "hours": hours, "share": share});
            if let Some(fields) = value.as_object_mut() {
                fields.extend(ACTS.iter().zip(numbers).map(|((name, _), n)| ((*name).to_owned(), Value::from(n))));
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

/// The five questions, and what they say.
fn tested(app: &App, done: &[Done]) -> Result<Exit, Report> {
    let mut table =
        Table::new(&["ACT", "TIMES", "MANUAL", "REPEATED", "AUTOMATABLE", "INTERRUPTS", "NO LASTING VALUE", "TOIL"]);
    let (mut found, mut advice) = (Vec::new(), Vec::new());
    for (act, (name, head)) in Act::ALL.into_iter().zip(ACTS) {
        let times = done.iter().filter(|done| done.act == act).count() as u64;
        if times == 0 {
            continue;
        }
        let questions = Questions::of(act, times);
        let word = |yes: bool| Cell::new(if yes { "yes" } else { "no" });
        let is_toil = questions.is_toil();
        table.row(vec![
            Cell::new(head.to_lowercase()),
            Cell::number(count(times)),
            word(questions.manual),
            word(questions.repetitive),
            word(questions.automatable),
            word(questions.tactical),
            word(questions.without_lasting_value),
            word(is_toil).tone(if is_toil { Tone::Bad } else { Tone::Plain }),
        ]);
        let instead = act.instead().filter(|_| is_toil);
        advice.extend(instead.map(|instead| format!("{}: {instead}", head.to_lowercase())));
        found.push(json!({"act": name, "times": times, "questions": questions, "toil": is_toil, "instead": instead}));
    }
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Nobody", "had to do anything by hand in that time");
    } else {
        app.printer.text(table.render(app.printer.style()))?;
        for line in &advice {
            app.printer.hint(line);
        }
    }
    Ok(Exit::Done)
}

fn offline(app: &App) -> Result<Vec<Done>, Report> {
    let path = app.global.data_dir()?.join("journal.db");
    let journal = Journal::open_read_only(&path).map_err(|error| super::journal::failed(&error))?;
    let read = app.runtime.block_on(history::toil(&journal));
    read.map_err(|error| Report::new("PG0303", error.to_string()).caused_by(&error))
}
