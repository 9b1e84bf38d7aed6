//! `prograde alerts`: are a team's alerts worth being woken for?

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use prograde_model::alert::history::Behaviour;
use prograde_model::alert::lint::{Finding, Judgment, Place, Rule, judge};
use prograde_model::{Diagnostic, Diagnostics};
use prograde_observe::rules::policy::{self, Policy};
use prograde_observe::rules::{self, Alerting};
use serde_json::json;

use crate::app::App;
use crate::commands::rules::files;
use crate::commands::runbook::Shelf;
use crate::exit::Exit;
use crate::moment::Moment;
use crate::printer::{Style, Tone, cleaned};
use crate::report::{self, Report};
use crate::text::counted;

/// Rules were found that should not be as they are.
const FOUND: &str = "PG0660";

/// Judge alerting rules: should they wake a person, and do they?
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
enum AlertsCommand {
    Lint(LintArgs),
}

/// Say of each alert whether it should page, become a ticket, or stay on a dashboard, and what is wrong with it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde alerts lint rules/*.yml
  prograde alerts lint rules.yml --policy alert-policy.yaml --offline
  prograde alerts lint rules.yml --since 90d --json
  prograde alerts lint rules.yml --runbooks runbooks

Three questions decide: is it actionable, is it a symptom of users' pain, does a person have to act now? Three times yes
pages. The answers stand in the rule's annotations `actionable`, `symptom` and `act_now`, each `yes` or `no`, or in a policy.
How the alert behaved, and what people did about it, comes from the server's journal.
The exit code is 1 if something is found, 2 if a file can't be used.")]
struct LintArgs {
    /// Files of Prometheus rules
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// A file with answers for rules whose annotations can't be changed
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Where runbooks are: files, or directories with Markdown files in them; by default `runbooks`, where that is there
    #[arg(long, value_name = "PATH", num_args = 1..)]
    runbooks: Vec<PathBuf>,
    /// From when on behaviour counts: so long ago, such as `90d`, or a day or time such as `2026-01-31`
    #[arg(long, default_value = "90d", value_name = "TIME")]
    since: Moment,
    /// Judge the rules alone, and ask no server how they behaved
    #[arg(long, conflicts_with_all = ["server"])]
    offline: bool,
}

/// A rule with its judgment.
struct Judged {
    file: String,
    alert: String,
    judgment: Judgment,
    reason: Option<String>,
    behaviour: Option<Behaviour>,
}

/// Runs `prograde alerts`.
pub(crate) fn run(app: &App, args: &AlertsArgs) -> Result<Exit, Report> {
    let AlertsCommand::Lint(args) = &args.command;
    let (mut rules, mut errors) = (Vec::new(), Vec::new());
    for path in &args.files {
        let shown = path.display().to_string();
        match files::text(path).and_then(|text| rules::parse(&shown, &text)) {
            Ok(groups) => {
                rules.extend(groups.into_iter().flat_map(|group| group.rules).map(|rule| (shown.clone(), rule)));
            }
            Err(found) => errors.extend(found.0),
        }
    }
    let policy = match args
        .policy
        .as_ref()
        .map(|path| policy::read(&path.display().to_string(), &files::text(path)?))
        .transpose()
    {
        Ok(policy) => policy.unwrap_or_default(),
        Err(Diagnostics(found)) => {
            errors.extend(found);
            Policy::default()
        }
    };
    if !errors.is_empty() {
        return unusable(app, &errors);
    }
    let history = if args.offline { None } else { Some(behaviours(app, args.since)?) };
    let shelf = shelf(&args.runbooks)?;
    let mut judged = Vec::new();
    for (file, rule) in &rules {
        let rules::Rule::Alerting(rule) = rule else { continue };
        let one = one(file, rule, &policy, (history.as_ref(), shelf.as_ref()));
        judged.push(one.map_err(|found| unusable_report(&found))?);
    }
    told(app, &judged)
}

/// How each alert behaved, and in how many days.
type Behaviours = (BTreeMap<String, Behaviour>, u64);

fn behaviours(app: &App, since: Moment) -> Result<Behaviours, Report> {
    let now = app.printer.now();
    let since = since
        .at(now, &TimeZone::UTC)
        .ok_or_else(|| Report::new(report::ARGUMENT, "`--since` is before all calendars").hint("write a later one"))?;
    let days = u64::try_from(now.duration_since(since).as_hours() / 24).unwrap_or(0);
    Ok((app.client()?.alert_behaviour(since)?, days))
}

/// The runbooks that there are, if they are known.
fn shelf(paths: &[PathBuf]) -> Result<Option<Shelf>, Report> {
    let default = PathBuf::from("runbooks");
    let paths = if paths.is_empty() && default.is_dir() { std::slice::from_ref(&default) } else { paths };
    if paths.is_empty() { Ok(None) } else { super::runbook::shelf(paths).map(Some) }
}

fn one(
    file: &str,
    rule: &Alerting,
    policy: &Policy,
    (history, shelf): (Option<&Behaviours>, Option<&Shelf>),
) -> Result<Judged, Diagnostic> {
    let (labels, annotations) = (rule.labels.iter().cloned().collect(), rule.annotations.iter().cloned().collect());
    let said = policy.of(&rule.alert);
    let answers = policy::annotated(file, &rule.alert, &annotations)?;
    let answers = said.map_or(answers, |said| answers.or(said.answers()));
    let none = Behaviour::default();
    let behaviour = history.map(|(by_name, days)| (by_name.get(&rule.alert).unwrap_or(&none), *days));
    let named = ["runbook", "runbook_url"].iter().filter_map(|name| annotations.get(*name)).map(String::as_str);
    let missing_runbook = named.into_iter().find(|named| shelf.is_some_and(|shelf| shelf.lacks(named)));
    let judged =
        Rule { name: &rule.alert, query: &rule.query, labels: &labels, annotations: &annotations, missing_runbook };
    Ok(Judged {
        file: file.to_owned(),
        alert: rule.alert.clone(),
        judgment: judge(&judged, answers, behaviour),
        reason: said.and_then(|said| said.reason.clone()).or_else(|| annotations.get("reason").cloned()),
        behaviour: behaviour.map(|(behaviour, _)| behaviour.clone()),
    })
}

fn unusable(app: &App, errors: &[Diagnostic]) -> Result<Exit, Report> {
    if app.printer.style().json {
        app.printer.json(&json!({"alerts": [], "errors": errors}))?;
    } else {
        let word = Tone::Bad.paint("error", app.printer.style().colour);
        for error in errors {
            app.printer.line(format_args!("{word}: {}", cleaned(&error.to_string())))?;
        }
    }
    Err(Report::new(report::CHECK, counted(errors.len() as u64, "error"))
        .hint("`prograde explain CODE` says more about each"))
}

fn unusable_report(found: &Diagnostic) -> Report {
    Report::new(report::CHECK, found.to_string())
}

fn told(app: &App, judged: &[Judged]) -> Result<Exit, Report> {
    let style = app.printer.style();
    let found: usize = judged.iter().map(|judged| judged.judgment.findings.len()).sum();
    if style.json {
        let alerts: Vec<_> = judged
            .iter()
            .map(|j| {
                json!({"file": j.file, "alert": j.alert, "place": j.judgment.place, "reason": j.reason,
                    "findings": j.judgment.findings, "behaviour": j.behaviour})
            })
            .collect();
        app.printer.json(&json!({"alerts": alerts, "errors": []}))?;
    } else {
        app.printer.text(judged.iter().map(|judged| described(judged, style)).collect::<String>())?;
    }
    if found == 0 {
        app.printer.note("Good", format_args!("{} as they should be", counted(judged.len() as u64, "alert")));
        return Ok(Exit::Done);
    }
    let wrong = judged.iter().filter(|judged| !judged.judgment.findings.is_empty()).count();
    let what =
        format!("{} in {} of {}", counted(found as u64, "finding"), wrong, counted(judged.len() as u64, "alert"));
    Err(Report::new(FOUND, what).exit(Exit::Refused).hint("each line above says what to change"))
}

fn described(judged: &Judged, style: Style) -> String {
    let tone = match judged.judgment.place {
        Place::Page => Tone::Bad,
        Place::Ticket => Tone::Warning,
        Place::Dashboard => Tone::Dim,
        Place::Undecided => Tone::Plain,
    };
    let name = Tone::Strong.paint(&cleaned(&judged.alert), style.colour);
    let place = tone.paint(&judged.judgment.place.to_string(), style.colour);
    let reason = judged.reason.as_ref().map_or_else(String::new, |reason| format!(": {}", cleaned(reason)));
    let found = |Finding { kind, message, advice }: &Finding| format!("  {kind}: {}\n    {advice}\n", cleaned(message));
    let findings: String = judged.judgment.findings.iter().map(found).collect();
    format!("{name} ({}) {place}{reason}\n{findings}", cleaned(&judged.file))
}
