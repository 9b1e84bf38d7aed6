//! `prograde action`: what is to be done after incidents.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use prograde_model::incident::{Action, ActionId, ActionKind, ActionOrder, IncidentId, NewAction, Ranked};
use prograde_model::quantity::Period;

use crate::app::App;
use crate::commands::incident::tell;
use crate::commands::order::{OrderArgs, rehearse};
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::{self, Report};
use crate::text::{Cell, Table, count};
use crate::wire::{ActionOrderRequest, ActionRequest};

/// Add and close action items of incidents, and let releases wait for them
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct ActionArgs {
    #[command(subcommand)]
    command: ActionCommand,
}

#[derive(Debug, Subcommand)]
enum ActionCommand {
    Add(AddArgs),
    List(ListArgs),
    Done(DoneArgs),
    Drop(DropArgs),
    Override(OverrideArgs),
    File(FileArgs),
}

/// Add an action item to an incident
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde action add INC-1 --title 'test with locks' --owner Bob --due 2026-03-01 --kind prevent
  prograde action add INC-1 --title 'test with locks' --owner Bob --due 2026-03-01 --kind prevent --gate

With `--gate`, releases of the incident's service wait at its environment until the item is done, dropped or overridden;
commits that say that they mend something pass.")]
struct AddArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    incident: IncidentId,
    /// What is to be done
    #[arg(long, value_name = "TEXT")]
    title: String,
    /// Who sees to it
    #[arg(long, value_name = "NAME")]
    owner: String,
    /// By when, such as 2026-03-01
    #[arg(long, value_name = "DATE")]
    due: Date,
    /// What it does: prevent (does not come again), detect (is seen sooner) or mitigate (hurts less)
    #[arg(long, value_name = "KIND")]
    kind: ActionKind,
    /// Let releases of the service wait for it
    #[arg(long)]
    gate: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// List action items that are open
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde action list
  prograde action list --ranked
  prograde action list --all --json

With `--ranked` the one that would have saved most comes first: the pages of its incident times how often the same
service was hurt in the same environment, then the minutes of harm, counted alike.")]
struct ListArgs {
    /// Those that are done or dropped as well
    #[arg(long)]
    all: bool,
    /// The one first that would have saved most, rather than the one that is due first
    #[arg(long)]
    ranked: bool,
}

/// Say that an action item is done
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde action done ACT-1 --note 'commit 3f2a91bc'")]
struct DoneArgs {
    /// The action item
    #[arg(value_name = "ACTION")]
    id: ActionId,
    /// Where that can be seen, or what was done
    #[arg(long, value_name = "TEXT")]
    note: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Say that an action item is not going to be done
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde action drop ACT-1 --reason 'the queue is gone'")]
struct DropArgs {
    /// The action item
    #[arg(value_name = "ACTION")]
    id: ActionId,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Let releases go on for a while although an action item is not done
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde action override ACT-1 --for 4h --reason 'the customer waits for it'

`prograde approve FLIGHT --override action/ACT-1` lets a single flight pass instead.")]
struct OverrideArgs {
    /// The action item
    #[arg(value_name = "ACTION")]
    id: ActionId,
    /// For how long, up to seven days
    #[arg(long = "for", default_value = "24h", value_name = "TIME")]
    period: Period,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    order: OrderArgs,
}

/// Open a ticket for an action item in GitHub, GitLab or Jira
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde action file ACT-1
  prograde action file ACT-1 --tracker ops

The server opens it once, by its file of trackers (`prograde serve --trackers`); `prograde action list` shows where it is, or what went wrong.
Trackers that are `automatic` open tickets without this.")]
struct FileArgs {
    /// The action item
    #[arg(value_name = "ACTION")]
    id: ActionId,
    /// In which tracker, where not in that of the incident's service
    #[arg(long, value_name = "NAME")]
    tracker: Option<String>,
    #[command(flatten)]
    order: OrderArgs,
}

/// Runs `prograde action`.
pub(crate) fn run(app: &App, args: &ActionArgs) -> Result<Exit, Report> {
    match &args.command {
        ActionCommand::Add(args) => add(app, args),
        ActionCommand::List(args) => list(app, args),
        ActionCommand::Done(args) => {
            let wanted = ActionOrder::Done { note: args.note.clone() };
            order(app, args.id, wanted, &args.order, ("close", "Done"))
        }
        ActionCommand::Drop(args) => {
            let wanted = ActionOrder::Drop { reason: args.reason.clone() };
            order(app, args.id, wanted, &args.order, ("drop", "Dropped"))
        }
        ActionCommand::File(args) => {
            let wanted = ActionOrder::File { tracker: args.tracker.clone() };
            order(app, args.id, wanted, &args.order, ("open a ticket for", "Asked"))
        }
        ActionCommand::Override(args) => {
            let until = app.printer.now().checked_add(args.period.duration());
            let wrong = |_| Report::new(report::ARGUMENT, "`--for` is too long").hint("write up to seven days");
            let wanted = ActionOrder::Override { until: until.map_err(wrong)?, reason: args.reason.clone() };
            order(app, args.id, wanted, &args.order, ("let releases go on without", "Overridden"))
        }
    }
}

fn add(app: &App, args: &AddArgs) -> Result<Exit, Report> {
    let action = NewAction {
        incident: args.incident,
        title: args.title.clone(),
        owner: args.owner.clone(),
        due: args.due,
        kind: args.kind,
        gate: args.gate,
    };
    let request = ActionRequest { action, by: app.by(args.order.by.as_deref())? };
    let what = format!("an action item to {}: {}", args.incident, args.title);
    if args.order.dry_run {
        return rehearse(app, &format!("add {what}"), "/api/v1/actions", &request);
    }
    let ordered = app.client()?.add_action(&request)?;
    if let (false, Some(id)) = (app.printer.style().json, ordered.action) {
        app.printer.line(id)?;
    }
    tell(app, "Added", &what, &ordered)
}

fn order(
    app: &App,
    id: ActionId,
    order: ActionOrder,
    args: &OrderArgs,
    (would, verb): (&str, &str),
) -> Result<Exit, Report> {
    let request = ActionOrderRequest { order, by: app.by(args.by.as_deref())? };
    if args.dry_run {
        return rehearse(app, &format!("{would} {id}"), &format!("/api/v1/actions/{id}/order"), &request);
    }
    let ordered = app.client()?.order_action(id, &request)?;
    tell(app, verb, &format!("{id} of {}", ordered.incident), &ordered)
}

fn list(app: &App, args: &ListArgs) -> Result<Exit, Report> {
    let mut found = app.client()?.actions()?;
    found.retain(|one| args.all || one.action.is_open());
    if !args.ranked {
        found.sort_by_key(|one| (!one.action.is_open(), one.action.due, one.action.id));
    }
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Action items", "there are none");
    } else {
        app.printer.text(table(&found, app.printer.style(), app.printer.now()))?;
    }
    Ok(Exit::Done)
}

fn table(found: &[Ranked], style: Style, now: Timestamp) -> String {
    let mut table = Table::new(&[
        "ACTION", "INCIDENT", "KIND", "OWNER", "DUE", "STATE", "GATE", "TIMES", "PAGES", "MINUTES", "TITLE", "TICKET",
    ]);
    for Ranked { action, incidents, pages, minutes, ticket_problem } in found {
        let state = if action.is_overdue(now) { "overdue" } else { action.state.word() };
        let gate = match (action.gate, action.holds(now)) {
            (false, _) => "-",
            (true, true) => "held",
            (true, false) => "open",
        };
        table.row(vec![
            Cell::new(action.id.to_string()),
            Cell::new(action.incident.to_string()),
            Cell::new(action.kind.word()),
            Cell::free(&action.owner, style),
            Cell::new(action.due.to_string()),
            Cell::new(state).tone(if state == "overdue" { Tone::Bad } else { Tone::Plain }),
            Cell::new(gate).tone(if gate == "held" { Tone::Warning } else { Tone::Plain }),
            Cell::number(count(*incidents)),
            Cell::number(count(*pages)),
            Cell::number(count(*minutes)),
            Cell::free(&action.title, style),
            ticket(action, ticket_problem.as_deref(), style),
        ]);
    }
    table.render(style)
}

/// Where its ticket is, or what went wrong with it.
fn ticket(action: &Action, problem: Option<&str>, style: Style) -> Cell {
    match (problem, &action.filed, &action.asked) {
        (Some(problem), ..) => Cell::free(problem, style).tone(Tone::Bad),
        (None, Some(filed), _) => Cell::new(&filed.url),
        (None, None, Some(_)) if action.is_open() => Cell::new("asked for"),
        (None, None, _) => Cell::new("-"),
    }
}
