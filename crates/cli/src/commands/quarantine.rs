//! `prograde quarantine`: the digests that failed and may not enter again.

use clap::{Args, Subcommand};
use prograde_model::ids::{Digest, EnvironmentName, ServiceName};

use crate::app::App;
use crate::client::Client;
use crate::commands::order::{OrderArgs, rehearse, tell};
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::{self, Report};
use crate::text::{Cell, Table, when};
use crate::wire::{LiftRequest, QuarantineView};

/// Show and lift quarantines: images that failed in an environment and may not enter it again
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct QuarantineArgs {
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List the images in quarantine
    #[command(after_help = "Examples:\n  prograde quarantine list\n  prograde quarantine list --json")]
    List,
    Lift(LiftArgs),
}

/// Let an image into an environment again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde quarantine lift 2c26b46b68ff -s pad -e production --reason 'not at fault'")]
struct LiftArgs {
    /// The image's digest, or the first twelve or more digits of one in quarantine
    digest: String,
    /// The service
    #[arg(long, short, value_name = "NAME")]
    service: ServiceName,
    /// The environment
    #[arg(long, short, value_name = "NAME")]
    environment: EnvironmentName,
    /// Why; kept in the journal
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Runs `prograde quarantine`.
pub(crate) fn run(app: &App, args: &QuarantineArgs) -> Result<Exit, Report> {
    match &args.command {
        QuarantineCommand::List => list(app),
        QuarantineCommand::Lift(args) => lift(app, args),
    }
}

fn list(app: &App) -> Result<Exit, Report> {
    let found = app.client()?.quarantine()?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Quarantine", "is empty");
    } else {
        app.printer.text(table(&found, app.printer.style(), app.printer.now()))?;
        app.printer.next("prograde quarantine lift DIGEST --service NAME --environment NAME --reason TEXT");
    }
    Ok(Exit::Done)
}

/// Quarantines as a table; short digests on a terminal, whole ones elsewhere.
pub(crate) fn table(found: &[QuarantineView], style: Style, now: jiff::Timestamp) -> String {
    let mut table = Table::new(&["SERVICE", "ENVIRONMENT", "IMAGE", "FLIGHT", "SINCE", "REASON"]);
    for view in found {
        let digest = if style.terminal { view.digest.short() } else { view.digest.as_str() };
        table.row(vec![
            Cell::new(view.service.as_str()),
            Cell::new(view.environment.as_str()),
            Cell::new(digest).tone(Tone::Bad),
            Cell::new(view.flight.short()),
            Cell::new(when(&view.since, now, style)),
            Cell::free(&view.reason, style),
        ]);
    }
    table.render(style)
}

fn lift(app: &App, args: &LiftArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let request = LiftRequest {
        service: args.service.clone(),
        environment: args.environment.clone(),
        digest: digest(&client, args)?,
        by: app.by(args.order.by.as_deref())?,
        reason: args.reason.clone(),
    };
    let what = format!("image {} of {} in {}", request.digest.short(), request.service, request.environment);
    if args.order.dry_run {
        let what = format!("lift the quarantine of {what}");
        return rehearse(app, &what, "/api/v1/quarantine/lift", &request);
    }
    let ordered = client.lift(&request)?;
    tell(app, "Lifted", &format!("the quarantine of {what}"), &ordered)
}

/// The digest that is meant: the whole one, or the only one in quarantine there that begins so.
fn digest(client: &Client, args: &LiftArgs) -> Result<Digest, Report> {
    if let Ok(digest) = args.digest.parse() {
        return Ok(digest);
    }
    let begin = args.digest.strip_prefix("sha256:").unwrap_or(&args.digest);
    let wrong = |what: &str| {
        Report::new(report::ARGUMENT, format!("{:?} {what}", args.digest))
            .hint("`prograde quarantine list` shows the digests")
    };
    if begin.len() < 12 {
        return Err(wrong("is not a digest, nor the first twelve or more digits of one"));
    }
    let held = client.quarantine()?;
    let mut meant = held
        .into_iter()
        .filter(|view| view.service == args.service && view.environment == args.environment)
        .filter(|view| view.digest.hex().starts_with(begin));
    match (meant.next(), meant.next()) {
        (Some(one), None) => Ok(one.digest),
        (None, _) => Err(wrong(&format!("is not in quarantine for {} in {}", args.service, args.environment))),
        (Some(_), Some(_)) => Err(wrong("is the beginning of more than one digest; write more of it")),
    }
}
