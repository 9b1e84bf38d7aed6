//! `prograde dora`: how well software is delivered, from the journal or from the tags of any repository.

mod show;
mod tags;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use prograde_journal::Journal;
use prograde_model::dora::{By, Every, Question, Report as Measured, Span, Year, report};
use prograde_model::ids::{EnvironmentName, ServiceName};
use prograde_server::history;

use crate::app::App;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::report::{self, Report};

/// Show the DORA measures: deployment frequency, lead time, failures, recovery and rework
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde dora
  prograde dora shop --since 12w --by week --levels 2024
  prograde dora --offline --data-dir /var/lib/prograde --json
  prograde dora --git ../shop --tags 'v*' --since 1y --by month

docs/guides/dora.md has the definitions.")]
pub(crate) struct DoraArgs {
    /// Of one service only
    #[arg(value_name = "SERVICE")]
    service: Option<ServiceName>,
    /// Of this environment; by default the last of each service, as production is
    #[arg(long, short, value_name = "NAME", conflicts_with = "git")]
    environment: Option<EnvironmentName>,
    /// From when: so long ago, such as `90d`, `12w` or `1y`, or a day or time such as `2026-01-31`
    #[arg(long, default_value = "90d", value_name = "TIME")]
    since: Moment,
    /// Until when, likewise; by default now
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// In rows by what
    #[arg(long, value_enum, default_value_t = Rows::Service)]
    by: Rows,
    /// Whose midnight is the border of days, weeks, months and quarters, such as `Europe/Berlin`
    #[arg(long, default_value = "UTC", value_name = "ZONE")]
    time_zone: String,
    /// Name the levels by the State of DevOps report of 2018, 2019, 2021, 2023 or 2024
    #[arg(long, value_name = "YEAR")]
    levels: Option<Year>,
    /// Read the journal in the data directory instead of asking the server
    #[arg(long, conflicts_with_all = ["server", "git"])]
    offline: bool,
    #[command(flatten)]
    tags: TagArgs,
}

#[derive(Debug, Args)]
struct TagArgs {
    /// Take the tags of this Git repository for deployments instead of the journal's
    #[arg(long, value_name = "DIR")]
    git: Option<PathBuf>,
    /// Which tags are deployments
    #[arg(long, requires = "git", default_value = "*", value_name = "PATTERN")]
    tags: String,
    /// Which tags mark the deployment of the same commit as failed, such as `failed/*`; a revert marks what it reverts anyway
    #[arg(long, requires = "git", value_name = "PATTERN")]
    failed_tags: Option<String>,
}

/// What a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rows {
    Service,
    Day,
    Week,
    Month,
    Quarter,
}

impl Rows {
    fn by(self) -> By {
        match self {
            Self::Service => By::Service,
            Self::Day => By::Period(Every::Day),
            Self::Week => By::Period(Every::Week),
            Self::Month => By::Period(Every::Month),
            Self::Quarter => By::Period(Every::Quarter),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
        }
    }
}

/// Runs `prograde dora`.
pub(crate) fn run(app: &App, args: &DoraArgs) -> Result<Exit, Report> {
    let question = question(args, app.printer.now())?;
    let found = if let Some(git) = &args.tags.git {
        tags::measured(app, git, &args.tags, &question)?
    } else if args.offline {
        offline(app, &question)?
    } else {
        app.client()?.dora(&query(args, &question))?
    };
    let style = app.printer.style();
    if style.json {
        app.printer.json(&found)?;
        return Ok(Exit::Done);
    }
    if found.total.failures.of == 0 {
        app.printer.note("Nothing", format_args!("was deployed from {} to {}", found.from, found.until));
        app.printer.next(show::nothing(&found, args.tags.git.is_some()));
        return Ok(Exit::Done);
    }
    app.printer.text(show::table(&found, args.by.by(), style))?;
    for line in show::sentences(&found) {
        app.printer.line(line)?;
    }
    for next in show::next(&found, args.by == Rows::Service) {
        app.printer.next(next);
    }
    Ok(Exit::Done)
}

fn question(args: &DoraArgs, now: Timestamp) -> Result<Question, Report> {
    let zone = TimeZone::get(&args.time_zone).map_err(|error| {
        Report::new(report::ARGUMENT, format!("there is no time zone {:?}", args.time_zone))
            .because(&error)
            .hint("write it as IANA names it, such as `--time-zone Europe/Berlin`")
    })?;
    // The second that has begun belongs to the range.
    let now = Timestamp::from_second(now.as_second().saturating_add(1)).unwrap_or(now);
    let from = args.since.at(now, &zone);
    let until = args.until.map_or(Some(now), |until| until.at(now, &zone));
    match (from, until) {
        (Some(from), Some(until)) if from < until => Ok(Question {
            service: args.service.clone(),
            environment: args.environment.clone(),
            span: Span { from, until },
            by: args.by.by(),
            zone,
            levels: args.levels,
        }),
        _ => Err(Report::new(report::ARGUMENT, "the range has no length: `--since` is not before `--until`")
            .hint("write an earlier `--since`, such as `--since 90d`")),
    }
}

fn query(args: &DoraArgs, question: &Question) -> Vec<(&'static str, String)> {
    let mut query = vec![
        ("since", question.span.from.to_string()),
        ("until", question.span.until.to_string()),
        ("by", args.by.name().to_owned()),
        ("time_zone", args.time_zone.clone()),
    ];
    query.extend(question.service.iter().map(|name| ("service", name.to_string())));
    query.extend(question.environment.iter().map(|name| ("environment", name.to_string())));
    query.extend(question.levels.iter().map(|year| ("levels", year.to_string())));
    query
}

fn offline(app: &App, question: &Question) -> Result<Measured, Report> {
    let path = app.global.data_dir()?.join("journal.db");
    let journal = Journal::open_read_only(&path).map_err(|error| super::journal::failed(&error))?;
    let history = app.runtime.block_on(history::deployments(&journal)).map_err(|error| {
        Report::new("PG0303", error.to_string())
            .caused_by(&error)
            .hint("`prograde journal verify --offline` shows its state")
    })?;
    report(&history, question).map_err(|error| too_many(&error))
}

/// The range has more rows than anybody reads.
fn too_many(error: &dyn std::error::Error) -> Report {
    Report::new(report::ARGUMENT, error.to_string())
        .hint("write a later `--since`, or longer periods such as `--by month`")
}
