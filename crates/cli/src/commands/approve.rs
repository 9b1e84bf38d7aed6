//! `prograde approve`: lets a flight into an environment.

use clap::Args;
use prograde_model::ids::EnvironmentName;

use crate::app::App;
use crate::args::FlightRef;
use crate::commands::order::{OrderArgs, follow, rehearse, tell};
use crate::exit::Exit;
use crate::report::Report;
use crate::wire::{ApproveRequest, FlightView};

/// Let a flight into an environment whose gate asks for approval
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde approve 3f2a91bc
  prograde approve 3f2a91bc --environment production --by 'Ada Lovelace'")]
pub(crate) struct ApproveArgs {
    /// The flight's id, or its first four or more digits
    #[arg(value_name = "FLIGHT")]
    flight: FlightRef,
    /// The environment; by default the one that the flight waits for
    #[arg(long, short, value_name = "NAME")]
    environment: Option<EnvironmentName>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Gives one approval.
pub(crate) fn run(app: &App, args: &ApproveArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let request = ApproveRequest { environment: args.environment.clone(), by: app.by(args.order.by.as_deref())? };
    if args.order.dry_run {
        let flight = client.flight(args.flight.as_str())?;
        let path = format!("/api/v1/flights/{}/approve", flight.summary.id);
        return rehearse(app, &plan(&flight, &request), &path, &request);
    }
    let ordered = client.approve(args.flight.as_str(), &request)?;
    let place = args.environment.as_ref().map_or_else(String::new, |name| format!(" for {name}"));
    let what = format!("flight {}{place}, by {}", ordered.flight.short(), request.by);
    let exit = tell(app, "Approved", &what, &ordered)?;
    follow(app, &ordered);
    Ok(exit)
}

fn plan(flight: &FlightView, request: &ApproveRequest) -> String {
    let waits = flight.environments.iter().find(|entry| match &request.environment {
        Some(name) => entry.environment == *name,
        None => !entry.missing.is_empty(),
    });
    let place = match waits {
        Some(entry) if entry.missing.is_empty() => format!("{}, for which it does not wait", entry.environment),
        Some(entry) => format!("{}, where it {}", entry.environment, entry.missing.join(" and ")),
        None => "no environment: it waits for none".to_owned(),
    };
    format!("approve flight {} as {} for {place}", flight.summary.id.short(), request.by)
}
