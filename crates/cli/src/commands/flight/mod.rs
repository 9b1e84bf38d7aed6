//! `prograde flight`: a commit's whole way, looked at and waited for.

pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod wait;
pub(crate) mod watch;

use std::io::Read;

use clap::{Args, Subcommand};
use prograde_model::ids::ServiceName;
use prograde_model::quantity::Period;

use crate::app::App;
use crate::args::FlightRef;
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::wire::FlightSummary;

/// Look at flights: each is one commit's way from push to production or back
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct FlightArgs {
    #[command(subcommand)]
    command: FlightCommand,
}

#[derive(Debug, Subcommand)]
enum FlightCommand {
    List(ListArgs),
    Show(ShowArgs),
    Log(LogArgs),
    Watch(WatchArgs),
}

/// List flights, the newest first
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde flight list
  prograde flight list --service pad --limit 5
  prograde flight list --json | jq -r '.[].id'")]
pub(crate) struct ListArgs {
    /// Flights of one service only
    #[arg(long, short, value_name = "NAME")]
    pub(crate) service: Option<ServiceName>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
}

/// Show all of a flight: its stages, jobs, environments, what happened, and what to do next
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde flight show 3f2a91bc
  prograde flight show 3f2a91bc --wait --timeout 10m

With --wait the exit code is 0 if the flight landed, 1 if it ended otherwise, and 5 if it
goes on after the timeout.")]
pub(crate) struct ShowArgs {
    /// The flight's id, or its first four or more digits
    #[arg(value_name = "FLIGHT")]
    pub(crate) flight: FlightRef,
    /// Wait until the flight has ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, such as `90s`, `10m` or `1h 30m`
    #[arg(long, requires = "wait", default_value = "1h", value_name = "TIME")]
    pub(crate) timeout: Period,
}

/// Print what the steps of a flight's pipeline printed
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde flight log 3f2a91bc\n  prograde flight log 3f2a91bc | grep -i error")]
pub(crate) struct LogArgs {
    /// The flight's id, or its first four or more digits
    #[arg(value_name = "FLIGHT")]
    flight: FlightRef,
}

/// Follow a flight until it ends, one line for each thing that happens
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde flight watch
  prograde flight watch 3f2a91bc
  git push prograde main && prograde flight watch

The exit code is 0 if the flight landed and 1 if it ended otherwise.")]
pub(crate) struct WatchArgs {
    /// The flight's id, or its first four or more digits; by default the newest that is on its way, else the next
    #[arg(value_name = "FLIGHT")]
    pub(crate) flight: Option<FlightRef>,
}

/// Runs `prograde flight`.
pub(crate) fn run(app: &App, args: &FlightArgs) -> Result<Exit, Report> {
    match &args.command {
        FlightCommand::List(args) => list::run(app, args),
        FlightCommand::Show(args) => show::run(app, args),
        FlightCommand::Log(args) => log(app, args),
        FlightCommand::Watch(args) => watch::run(app, args),
    }
}

/// `prograde flight log`: passed on as it comes, so that a log of any length needs no memory.
fn log(app: &App, args: &LogArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let mut reader = client.flight_log(args.flight.as_str())?;
    if app.printer.style().json {
        let mut text = String::new();
        reader.by_ref().take(64 << 20).read_to_string(&mut text).map_err(|error| broken(&error))?;
        app.printer.json(&serde_json::json!({"flight": args.flight.as_str(), "log": text}))?;
        return Ok(Exit::Done);
    }
    let mut chunk = vec![0; 64 << 10];
    loop {
        let length = reader.read(&mut chunk).map_err(|error| broken(&error))?;
        match chunk.get(..length) {
            Some(read) if length > 0 => app.printer.output(read)?,
            _ => return Ok(Exit::Done),
        }
    }
}

fn broken(error: &std::io::Error) -> Report {
    Report::new(report::STRANGE_ANSWER, "the log broke off").because(error).hint("try again")
}

/// How a flight that ended is told by the exit status.
pub(crate) fn ended(flight: &FlightSummary) -> Exit {
    if flight.stage == "landed" { Exit::Done } else { Exit::Refused }
}
