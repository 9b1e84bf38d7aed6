//! `prograde verdict`: what the judge said of a release, on what evidence, and what it would say under other settings.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use prograde_model::event::{Event, VERSION};
use prograde_model::ids::{EnvironmentName, FlightId, ServiceName};
use prograde_model::judge::{Analysis, Verdict};
use prograde_model::quantity::Share;
use prograde_model::replay::{Judged, Then, judgments};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::App;
use crate::args::FlightRef;
use crate::client::Client;
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::{self, Report};
use crate::sentence;
use crate::text::{Cell, Table, count, exact, share, span_ms};
use crate::wire::FlightView;

/// Explain the judge's verdicts, and judge past rollouts again under other settings
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct VerdictArgs {
    #[command(subcommand)]
    command: VerdictCommand,
}

#[derive(Debug, Subcommand)]
enum VerdictCommand {
    Show(ShowArgs),
    Replay(ReplayArgs),
}

/// Show every verdict on a flight: the numbers that it was based on, and what they say
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde verdict show 3f2a91bc\n  prograde verdict show 3f2a91bc --json")]
struct ShowArgs {
    /// The flight's id, or its first four or more digits
    #[arg(value_name = "FLIGHT")]
    flight: FlightRef,
    /// Of one environment only
    #[arg(long, short, value_name = "NAME")]
    environment: Option<EnvironmentName>,
}

/// Judge past rollouts again on what was recorded of them, under other settings
///
/// Each step is judged on what it had shown when it ended. Nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde verdict replay --max-error-rate 0.5%
  prograde verdict replay --service pad --set failure_share_detect=2%
  prograde verdict replay 3f2a91bc --set false_alarm_max=0.1% --json

The exit code is 0 if every rollout would have ended as it did, else 1.")]
struct ReplayArgs {
    /// Flights by their ids, or the first four or more digits; by default the last ones
    #[arg(value_name = "FLIGHT")]
    flights: Vec<FlightRef>,
    /// Flights of one service only
    #[arg(long, short, value_name = "NAME")]
    service: Option<ServiceName>,
    /// Of one environment only
    #[arg(long, short, value_name = "NAME")]
    environment: Option<EnvironmentName>,
    /// How many of the last flights
    #[arg(long, short = 'n', default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// The share of failed requests that is acceptable: short for `--set failure_share_max=SHARE`
    #[arg(long, value_name = "SHARE")]
    max_error_rate: Option<Share>,
    /// A setting of `analysis` in prograde.yaml, such as `failure_share_detect=2%`; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as `wait_max=2h`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Runs `prograde verdict`.
pub(crate) fn run(app: &App, args: &VerdictArgs) -> Result<Exit, Report> {
    match &args.command {
        VerdictCommand::Show(args) => show(app, args),
        VerdictCommand::Replay(args) => replay(app, args),
    }
}

/// The verdicts on one flight.
#[derive(Debug, Serialize)]
struct OfFlight {
    flight: FlightId,
    service: ServiceName,
    verdicts: Vec<Judged>,
}

impl OfFlight {
    fn of(
        view: &FlightView,
        environment: Option<&EnvironmentName>,
        settings: impl Fn(&Analysis) -> Analysis,
    ) -> Result<Self, Report> {
        let mut facts = Vec::with_capacity(view.events.len());
        for event in &view.events {
            let at: Timestamp = event.at.parse().map_err(|_| strange(&format!("the time {:?}", event.at)))?;
            // What a later version recorded is none of the verdicts that this one knows.
            if let Ok(event) = Event::decode(&event.event_type, VERSION, event.data.clone()) {
                facts.push((at, event));
            }
        }
        let mut verdicts = judgments(facts, settings);
        verdicts.retain(|judged| environment.is_none_or(|name| judged.place.environment == *name));
        let summary = &view.summary;
        Ok(Self { flight: summary.id.clone(), service: summary.service.clone(), verdicts })
    }
}

fn strange(what: &str) -> Report {
    Report::new(report::STRANGE_ANSWER, format!("the server's answer holds {what}"))
        .hint("check that the server and this command have the same version")
}

fn show(app: &App, args: &ShowArgs) -> Result<Exit, Report> {
    let view = app.client()?.flight(args.flight.as_str())?;
    let found = OfFlight::of(&view, args.environment.as_ref(), Clone::clone)?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.verdicts.is_empty() {
        app.printer.note("Nothing", "has been judged of this flight yet");
    } else {
        app.printer
            .text(found.verdicts.iter().map(|judged| explained(judged, app.printer.style())).collect::<String>())?;
        app.printer.next("prograde verdict replay --max-error-rate 0.5%");
    }
    Ok(Exit::Done)
}

/// A verdict in a paragraph: what happened, the numbers, and what they say.
fn explained(judged: &Judged, style: Style) -> String {
    let (tone, what) = then(&judged.then);
    let evidence = &judged.evidence;
    let head = format!("{} {}: {what}", judged.place, part(judged));
    let mut lines = vec![format!("{}  {}", tone.paint(&head, style.colour), exact(judged.at))];
    lines.push(format!("  candidate  {}", numbers(&evidence.candidate)));
    if !evidence.stable.is_empty() {
        lines.push(format!("  stable     {}", numbers(&evidence.stable)));
    }
    if let Some(synthetic) = &evidence.synthetic {
        let (ours, theirs) = (numbers(&synthetic.candidate), numbers(&synthetic.stable));
        lines.push(format!("  synthetic  candidate {ours}; stable {theirs}"));
    }
    lines.push(format!("  over       {} at {} of the traffic", span_ms(evidence.elapsed_ms), evidence.weight));
    lines.extend(judged.metrics.iter().map(|metric| format!("  {metric}")));
    if let Some(verdict) = &judged.verdict {
        lines.push(format!("  verdict    {}", sentence::verdict(verdict)));
    }
    lines.push(String::new());
    lines.join("\n") + "\n"
}

fn numbers(tally: &prograde_model::runtime::Tally) -> String {
    let mut text = sentence::requests(tally.into());
    for (name, quantile) in [("median", 0.5), ("p99", 0.99)] {
        if let Some(us) = tally.latencies.quantile_us(quantile) {
            text.extend([format!(", {name} {}.{} ms", us / 1000, us % 1000 / 100)]);
        }
    }
    text
}

fn part(judged: &Judged) -> String {
    judged.step.map_or_else(|| "with all traffic".to_owned(), |step| format!("step {}", step + 1))
}

fn then(then: &Then) -> (Tone, String) {
    match then {
        Then::Passed { by: None } => (Tone::Good, "passed".to_owned()),
        Then::Passed { by: Some(by) } => (Tone::Warning, format!("let pass by {by}")),
        Then::Held => (Tone::Warning, "held".to_owned()),
        Then::Failed { cause } => (Tone::Bad, format!("failed, {cause}")),
    }
}

fn replay(app: &App, args: &ReplayArgs) -> Result<Exit, Report> {
    let changes = changes(args)?;
    let client = app.client()?;
    let mut found = Vec::new();
    for id in flights(&client, args)? {
        let view = client.flight(&id)?;
        let settings = |then: &Analysis| changed(then, &changes).unwrap_or_else(|_| then.clone());
        let verdicts = OfFlight::of(&view, args.environment.as_ref(), settings)?;
        if !verdicts.verdicts.is_empty() {
            found.push(verdicts);
        }
    }
    let others = found.iter().flat_map(|of| &of.verdicts).filter(|judged| differs(judged)).count();
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Nothing", "has been judged of these flights");
    } else {
        app.printer.text(table(&found, app.printer.style()))?;
        let judged = found.iter().map(|of| of.verdicts.len()).sum::<usize>();
        app.printer.note("Replayed", format!("{judged} verdicts, {others} would be others"));
    }
    Ok(if others == 0 { Exit::Done } else { Exit::Refused })
}

fn flights(client: &Client, args: &ReplayArgs) -> Result<Vec<String>, Report> {
    if !args.flights.is_empty() {
        return Ok(args.flights.iter().map(|flight| flight.as_str().to_owned()).collect());
    }
    let found = client.flights(args.service.as_ref(), args.limit)?;
    Ok(found.into_iter().map(|flight| flight.id.to_string()).collect())
}

/// The settings that are other than then, checked on the defaults: names and values that can't be are refused here.
fn changes(args: &ReplayArgs) -> Result<Map<String, Value>, Report> {
    let mut changes = Map::new();
    for (name, value) in &args.set {
        // A number where it reads as one, else a text, as in YAML.
        let value = value.parse::<serde_json::Number>().map_or_else(|_| Value::from(value.as_str()), Value::from);
        changes.insert(name.clone(), value);
    }
    if let Some(share) = args.max_error_rate {
        changes.insert("failure_share_max".to_owned(), Value::from(share.to_string()));
    }
    changed(&Analysis::default(), &changes).map_err(|error| {
        Report::new(report::ARGUMENT, "a setting can't be used")
            .because(&error)
            .hint("`prograde schema` lists the settings of `analysis`")
    })?;
    Ok(changes)
}

fn changed(then: &Analysis, changes: &Map<String, Value>) -> Result<Analysis, serde_json::Error> {
    let mut value = serde_json::to_value(then)?;
    if let Value::Object(fields) = &mut value {
        fields.extend(changes.clone());
    }
    serde_json::from_value(value)
}

/// Whether the same evidence would have had another consequence.
fn differs(judged: &Judged) -> bool {
    match (&judged.then, &judged.verdict) {
        (_, None) | (Then::Passed { by: Some(_) }, _) => false,
        (Then::Passed { by: None }, Some(verdict)) => {
            // In the watch, only a failure has a consequence.
            let harmless = judged.step.is_none() && !matches!(verdict, Verdict::Fail { .. });
            *verdict != Verdict::Pass && !harmless
        }
        (Then::Held, Some(verdict)) => matches!(verdict, Verdict::Pass | Verdict::Fail { .. }),
        (Then::Failed { .. }, Some(verdict)) => *verdict == Verdict::Pass,
    }
}

fn table(found: &[OfFlight], style: Style) -> String {
    let mut table = Table::new(&["FLIGHT", "SERVICE", "ENVIRONMENT", "STEP", "REQUESTS", "FAILED", "THEN", "NOW"]);
    for of in found {
        for judged in &of.verdicts {
            let seen = &judged.evidence.candidate;
            let (tone, what) = then(&judged.then);
            let now = judged.verdict.as_ref().map_or_else(|| "nothing to judge".to_owned(), sentence::verdict);
            table.row(vec![
                Cell::new(of.flight.short()),
                Cell::new(judged.place.service.as_ref().unwrap_or(&of.service).as_str()),
                Cell::new(judged.place.environment.as_str()),
                Cell::new(judged.step.map_or_else(|| "watch".to_owned(), |step| (step + 1).to_string())),
                Cell::number(count(seen.requests)),
                Cell::number(share(seen.failures, seen.requests).unwrap_or_default()),
                Cell::free(&what, style).tone(tone),
                Cell::free(&now, style).tone(if differs(judged) { Tone::Warning } else { Tone::Plain }),
            ]);
        }
    }
    table.render(style)
}
