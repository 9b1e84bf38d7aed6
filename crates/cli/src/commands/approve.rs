//! `prograde approve`: lets a flight into an environment, by an approval or by merging what it has proposed, or past what holds
//! its gate.

use clap::Args;
use prograde_model::ids::EnvironmentName;

use crate::app::App;
use crate::args::FlightRef;
use crate::commands::order::{OrderArgs, follow, rehearse, tell};
use crate::exit::Exit;
use crate::report::Report;
use crate::wire::{ApproveRequest, FlightView, OverrideRequest};

/// Let a flight into an environment whose gate asks for approval, or past what holds the gate
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde approve 3f2a91bc
  prograde approve 3f2a91bc --environment production --by 'Ada Lovelace'
  prograde approve 3f2a91bc --merge
  prograde approve 3f2a91bc --override budget/pad-availability --reason 'the customer waits for it'")]
pub(crate) struct ApproveArgs {
    /// The flight's id, or its first four or more digits
    #[arg(value_name = "FLIGHT")]
    flight: FlightRef,
    /// The environment; by default the one that the flight waits for
    #[arg(long, short, value_name = "NAME")]
    environment: Option<EnvironmentName>,
    /// Merge what it has proposed in the deployment repository, as a push of that branch does
    #[arg(long, conflicts_with = "past")]
    merge: bool,
    /// What holds the gate, such as a spent error budget; `prograde flight show` names it
    #[arg(long = "override", value_name = "HOLD", requires = "reason")]
    past: Option<String>,
    /// Why the flight may pass all the same; kept in the journal
    #[arg(long, value_name = "TEXT", requires = "past")]
    reason: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Gives one approval, or lets it past one thing that holds the gate.
pub(crate) fn run(app: &App, args: &ApproveArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    if let (Some(hold), Some(reason)) = (&args.past, &args.reason) {
        return let_past(app, args, (hold, reason));
    }
    let (environment, by) = (args.environment.clone(), app.by(args.order.by.as_deref())?);
    let request = ApproveRequest { environment, by, merge: args.merge };
    if args.order.dry_run {
        let flight = client.flight(args.flight.as_str())?;
        let path = format!("/api/v1/flights/{}/approve", flight.summary.id);
        return rehearse(app, &plan(&flight, &request), &path, &request);
    }
    let ordered = client.approve(args.flight.as_str(), &request)?;
    let place = args.environment.as_ref().map_or_else(String::new, |name| format!(" for {name}"));
    let what = format!("flight {}{place}, by {}", ordered.flight.short(), request.by);
    let exit = tell(app, if args.merge { "Merged" } else { "Approved" }, &what, &ordered)?;
    follow(app, &ordered);
    Ok(exit)
}

fn let_past(app: &App, args: &ApproveArgs, (hold, reason): (&str, &str)) -> Result<Exit, Report> {
    let client = app.client()?;
    let by = app.by(args.order.by.as_deref())?;
    let (environment, reason) = (args.environment.clone(), reason.to_owned());
    let request = OverrideRequest { environment, hold: hold.to_owned(), by, reason };
    if args.order.dry_run {
        let id = client.flight(args.flight.as_str())?.summary.id;
        let what = format!("let flight {} past {hold} as {}", id.short(), request.by);
        return rehearse(app, &what, &format!("/api/v1/flights/{id}/override"), &request);
    }
    let ordered = client.override_hold(args.flight.as_str(), &request)?;
    let what = format!("{hold} for flight {}, by {}", ordered.flight.short(), request.by);
    let exit = tell(app, "Overridden", &what, &ordered)?;
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
    let what = if request.merge { "merge" } else { "approve" };
    format!("{what} flight {} as {} for {place}", flight.summary.id.short(), request.by)
}
