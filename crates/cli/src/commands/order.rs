//! What orders have in common, the two that take a release back, `prograde abort` and `prograde rollback`, and `prograde scale`.

use clap::Args;
use prograde_model::ids::{EnvironmentName, FlightId, ServiceName};
use serde::Serialize;
use serde_json::json;

use crate::app::App;
use crate::args::FlightRef;
use crate::client::Client;
use crate::exit::Exit;
use crate::report::Report;
use crate::wire::{AbortRequest, Ordered, RollbackRequest, ScaleRequest};

/// Who orders, and whether it is meant.
#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// Who gives the order; by default the user that Git knows, or the system's
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// Say what would be ordered, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// End a flight where it is; a release that is rolling out is taken back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde abort 3f2a91bc --reason 'wrong branch'
  prograde abort 3f2a91bc --reason 'wrong branch' --dry-run")]
pub(crate) struct AbortArgs {
    /// The flight's id, or its first four or more digits
    #[arg(value_name = "FLIGHT")]
    flight: FlightRef,
    /// Why; kept in the journal and told to the author
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Take a release out of an environment and let the one before serve again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde rollback pad --environment production --reason 'orders are lost'
  prograde rollback pad --environment production --to 3f2a91bc --reason 'orders are lost'
  prograde rollback pad --environment production --past-point-of-no-return --reason 'the old release reads the new tables'")]
pub(crate) struct RollbackArgs {
    /// The service
    service: ServiceName,
    /// The environment
    #[arg(long, short, value_name = "NAME")]
    environment: EnvironmentName,
    /// The flight to go back to; by default the one before
    #[arg(long, value_name = "FLIGHT")]
    to: Option<FlightRef>,
    /// Go back even though a migration that can't be undone has been run since
    #[arg(long)]
    past_point_of_no_return: bool,
    /// Why; kept in the journal and told to the author
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Give the version that serves another number of replicas, at once; the next release has as many as Git says
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde scale pad --environment production --replicas 6 --reason INC-1
  prograde scale pad --environment production --replicas 6 --reason INC-1 --dry-run

Where the version is scaled by a HorizontalPodAutoscaler, the number must lie within its limits, and the autoscaler may change it again.")]
pub(crate) struct ScaleArgs {
    /// The service
    service: ServiceName,
    /// The environment
    #[arg(long, short, value_name = "NAME")]
    environment: EnvironmentName,
    /// How many replicas
    #[arg(long, value_name = "N")]
    replicas: u32,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Says what would be asked of the server, without asking.
pub(crate) fn rehearse(app: &App, what: &str, path: &str, request: &impl Serialize) -> Result<Exit, Report> {
    if app.printer.style().json {
        app.printer.json(&json!({"dry_run": true, "would": what, "post": path, "body": request}))?;
    } else {
        app.printer.line(format_args!("would {what}"))?;
    }
    Ok(Exit::Done)
}

/// Says what an order did.
pub(crate) fn tell(app: &App, verb: &str, what: &str, ordered: &Ordered) -> Result<Exit, Report> {
    if app.printer.style().json {
        app.printer.json(ordered)?;
        return Ok(Exit::Done);
    }
    app.printer.note(verb, format_args!("{what} ({})", ordered.events.join(", ")));
    Ok(Exit::Done)
}

/// Says how to follow what an order set off.
pub(crate) fn follow(app: &App, ordered: &Ordered) {
    app.printer.next(format_args!("prograde flight watch {}", ordered.flight.short()));
}

/// The whole id of a flight that may be abbreviated.
pub(crate) fn whole_id(client: &Client, flight: &FlightRef) -> Result<FlightId, Report> {
    match flight.as_str().parse() {
        Ok(id) => Ok(id),
        Err(_) => Ok(client.flight(flight.as_str())?.summary.id),
    }
}

/// `prograde abort`.
pub(crate) fn abort(app: &App, args: &AbortArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let request = AbortRequest { by: app.by(args.order.by.as_deref())?, reason: args.reason.clone() };
    if args.order.dry_run {
        let flight = client.flight(args.flight.as_str())?.summary;
        let what = format!("abort flight {} of {}, which is {}", flight.id.short(), flight.service, flight.stage);
        return rehearse(app, &what, &format!("/api/v1/flights/{}/abort", flight.id), &request);
    }
    let ordered = client.abort(args.flight.as_str(), &request)?;
    let exit = tell(app, "Aborted", &format!("flight {}", ordered.flight.short()), &ordered)?;
    follow(app, &ordered);
    Ok(exit)
}

/// `prograde rollback`.
pub(crate) fn rollback(app: &App, args: &RollbackArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let to = args.to.as_ref().map(|to| whole_id(&client, to)).transpose()?;
    let request = RollbackRequest {
        environment: args.environment.clone(),
        to,
        by: app.by(args.order.by.as_deref())?,
        reason: args.reason.clone(),
        past_point_of_no_return: args.past_point_of_no_return,
    };
    let place = format!("{} in {}", args.service, args.environment);
    if args.order.dry_run {
        let back =
            request.to.as_ref().map_or_else(|| "the flight before".to_owned(), |to| format!("flight {}", to.short()));
        let what = format!("roll back {place} to {back}");
        return rehearse(app, &what, &format!("/api/v1/services/{}/rollback", args.service), &request);
    }
    let ordered = client.rollback(&args.service, &request)?;
    let exit = tell(app, "Rolling back", &format!("{place}, from flight {}", ordered.flight.short()), &ordered)?;
    follow(app, &ordered);
    Ok(exit)
}

/// `prograde scale`.
pub(crate) fn scale(app: &App, args: &ScaleArgs) -> Result<Exit, Report> {
    let request = ScaleRequest {
        environment: args.environment.clone(),
        replicas: args.replicas,
        by: app.by(args.order.by.as_deref())?,
        reason: args.reason.clone(),
    };
    let what = format!("{} in {} to {} replicas", args.service, args.environment, args.replicas);
    if args.order.dry_run {
        let path = format!("/api/v1/services/{}/scale", args.service);
        return rehearse(app, &format!("scale {what}"), &path, &request);
    }
    let ordered = app.client()?.scale(&args.service, &request)?;
    tell(app, "Scaling", &what, &ordered)
}
