//! What is ordered about an incident.

use jiff::tz::TimeZone;
use prograde_model::incident::{IncidentId, Link, Order, Suspect, Way};

use super::{
    DeclareArgs, DescribeArgs, LinkArgs, MergeArgs, MitigateArgs, NoteArgs, OrderedArgs, PublishArgs, ReopenArgs,
    ResolveArgs, RoleArgs, SeverityArgs, StageArgs,
};
use crate::app::App;
use crate::commands::order::{OrderArgs, rehearse, whole_id};
use crate::exit::Exit;
use crate::moment::Moment;
use crate::report::{self, Report};
use crate::wire::{DeclareRequest, IncidentOrdered, IncidentRequest, MitigateRequest, Wanted};

/// Says what an order did.
pub(crate) fn tell(app: &App, verb: &str, what: &str, ordered: &IncidentOrdered) -> Result<Exit, Report> {
    if app.printer.style().json {
        app.printer.json(ordered)?;
    } else {
        app.printer.note(verb, format_args!("{what} ({})", ordered.events.join(", ")));
    }
    Ok(Exit::Done)
}

/// A moment as the API takes it.
fn moment(app: &App, moment: Option<Moment>) -> Result<Option<jiff::Timestamp>, Report> {
    let Some(moment) = moment else { return Ok(None) };
    let at = moment.at(app.printer.now(), &TimeZone::UTC);
    let wrong = || Report::new(report::ARGUMENT, "that lies before all time").hint("write a later time");
    at.map(Some).ok_or_else(wrong)
}

pub(super) fn declare(app: &App, args: &DeclareArgs) -> Result<Exit, Report> {
    let request = DeclareRequest {
        title: args.title.clone(),
        severity: args.severity,
        service: args.service.clone(),
        environment: args.environment.clone(),
        since: moment(app, args.since)?.map(|at| at.to_string()),
        by: app.by(args.order.by.as_deref())?,
    };
    let what = format!("{} of {} in {}: {}", args.severity, args.service, args.environment, args.title);
    if args.order.dry_run {
        return rehearse(app, &format!("declare {what}"), "/api/v1/incidents", &request);
    }
    let ordered = app.client()?.declare(&request)?;
    if !app.printer.style().json {
        app.printer.line(ordered.incident)?;
    }
    let exit = tell(app, "Declared", &format!("{}, {what}", ordered.incident), &ordered)?;
    app.printer.next(format_args!("prograde incident show {}", ordered.incident));
    Ok(exit)
}

/// Orders something of an incident.
fn order(
    app: &App,
    id: IncidentId,
    order: Order,
    args: &OrderArgs,
    (would, verb, what): (&str, &str, &str),
) -> Result<Exit, Report> {
    let request = IncidentRequest { order, by: app.by(args.by.as_deref())? };
    if args.dry_run {
        return rehearse(app, &format!("{would} {id}{what}"), &format!("/api/v1/incidents/{id}/order"), &request);
    }
    let ordered = app.client()?.order_incident(id, &request)?;
    tell(app, verb, &format!("{id}{what}"), &ordered)
}

pub(super) fn mitigate(app: &App, args: &MitigateArgs) -> Result<Exit, Report> {
    if let Some(how) = &args.how {
        let wanted = Order::Mitigated { how: how.clone() };
        return order(app, args.id, wanted, &args.order, ("record the end of the harm of", "Mitigated", ""));
    }
    let client = app.client()?;
    let (way, doing) = match (&args.flag, args.scale) {
        (Some(flag), _) => (Wanted::Flag { flag: flag.clone() }, "Taking back"),
        (None, Some(replicas)) => (Wanted::Scale { replicas }, "Scaling"),
        (None, None) => {
            let flight = args.flight.as_ref().map(|flight| whole_id(&client, flight)).transpose()?;
            (Wanted::Rollback { flight: flight.map(|flight| flight.to_string()) }, "Rolling back")
        }
    };
    let request = MitigateRequest { way, by: app.by(args.order.by.as_deref())? };
    if args.order.dry_run {
        let found = client.suspects(args.id, u16::MAX)?;
        let what = rehearsed(&request.way, &found);
        return rehearse(app, &what, &format!("/api/v1/incidents/{}/mitigate", args.id), &request);
    }
    let ordered = client.mitigate(args.id, &request)?;
    let flight = ordered.flight.as_ref().map_or("", |flight| flight.short());
    let what = match &request.way {
        Wanted::Rollback { .. } => format!("flight {flight}, to end {}", args.id),
        Wanted::Flag { flag } => format!("the change of flag {flag}, to end {}", args.id),
        Wanted::Scale { replicas } => format!("to {replicas} replicas, to end {}", args.id),
    };
    let exit = tell(app, doing, &what, &ordered)?;
    match request.way {
        Wanted::Rollback { .. } => app.printer.next(format_args!("prograde flight watch {flight}")),
        // Only people see whether it has helped.
        Wanted::Flag { .. } | Wanted::Scale { .. } => {
            app.printer
                .next(format_args!("prograde incident mitigate {} --how TEXT, once users are hurt no more", args.id));
        }
    }
    Ok(exit)
}

/// What would be done.
fn rehearsed(wanted: &Wanted, suspects: &[Suspect]) -> String {
    let fits = |suspect: &&Suspect| {
        suspect.in_force
            && match (wanted, &suspect.way) {
                (Wanted::Rollback { flight: None }, Some(Way::Rollback { .. })) => true,
                (Wanted::Rollback { flight: Some(wanted) }, Some(Way::Rollback { flight, .. })) => {
                    wanted == flight.as_str()
                }
                (Wanted::Flag { flag: wanted }, Some(Way::Flag { flag, .. })) => wanted == flag,
                (Wanted::Rollback { .. } | Wanted::Flag { .. } | Wanted::Scale { .. }, _) => false,
            }
    };
    if let Wanted::Scale { replicas } = wanted {
        return format!("scale to {replicas} replicas");
    }
    let command = suspects.iter().find(fits).and_then(|suspect| suspect.mitigation.clone());
    command.map_or_else(|| "find nothing to take back".to_owned(), |way| format!("run: {way}"))
}

pub(super) fn note(app: &App, args: &NoteArgs) -> Result<Exit, Report> {
    let wanted = Order::Note { text: args.text.clone(), about: moment(app, args.about)? };
    order(app, args.id, wanted, &args.order, ("write down a note of", "Noted", ""))
}

pub(super) fn role(app: &App, args: &RoleArgs) -> Result<Exit, Report> {
    let wanted = Order::Role { role: args.role, person: args.person.clone() };
    let what = format!(": {} is {}", args.person, args.role);
    order(app, args.id, wanted, &args.order, ("give a role of", "Assigned", &what))
}

pub(super) fn severity(app: &App, args: &SeverityArgs) -> Result<Exit, Report> {
    let wanted = Order::Severity { to: args.severity, reason: args.reason.clone() };
    order(app, args.id, wanted, &args.order, ("change the severity of", "Changed", &format!(" to {}", args.severity)))
}

pub(super) fn stage(app: &App, args: &StageArgs) -> Result<Exit, Report> {
    let wanted = Order::Stage { to: args.stage };
    order(app, args.id, wanted, &args.order, ("go on with", "Changed", &format!(" to {}", args.stage)))
}

pub(super) fn link(app: &App, args: &LinkArgs) -> Result<Exit, Report> {
    let flight = args.flight.as_ref().map(|flight| whole_id(&app.client()?, flight)).transpose()?.map(Link::Flight);
    let alerts = || args.alerts.clone().map(Link::AlertGroup);
    let page = || args.page.clone().map(Link::Page);
    let link = flight.or_else(alerts).or_else(page).unwrap_or_else(|| Link::Url(args.url.clone().unwrap_or_default()));
    let what = format!(" to {link}");
    order(app, args.id, Order::Link { link }, &args.order, ("link", "Linked", &what))
}

pub(super) fn describe(app: &App, args: &DescribeArgs) -> Result<Exit, Report> {
    let wanted = Order::Describe {
        title: args.title.clone(),
        channel: args.channel.clone(),
        stakeholders: (!args.stakeholders.is_empty()).then(|| args.stakeholders.clone()),
    };
    order(app, args.id, wanted, &args.order, ("describe", "Described", ""))
}

pub(super) fn publish(app: &App, args: &PublishArgs) -> Result<Exit, Report> {
    let wanted = Order::Publish { message: args.message.clone() };
    order(app, args.id, wanted, &args.order, ("publish a message about", "Published", ""))
}

pub(super) fn unpublish(app: &App, args: &OrderedArgs) -> Result<Exit, Report> {
    order(app, args.id, Order::Unpublish {}, &args.order, ("take off the status page", "Unpublished", ""))
}

pub(super) fn resolve(app: &App, args: &ResolveArgs) -> Result<Exit, Report> {
    let wanted = Order::Resolve { cause: args.cause.clone() };
    let exit = order(app, args.id, wanted, &args.order, ("resolve", "Resolved", ""))?;
    app.printer.next(format_args!("prograde postmortem draft {} --out postmortem.md", args.id));
    Ok(exit)
}

pub(super) fn reopen(app: &App, args: &ReopenArgs) -> Result<Exit, Report> {
    order(app, args.id, Order::Reopen { reason: args.reason.clone() }, &args.order, ("reopen", "Reopened", ""))
}

pub(super) fn merge(app: &App, args: &MergeArgs) -> Result<Exit, Report> {
    let what = format!(" into {}", args.into);
    order(app, args.id, Order::Merge { into: args.into }, &args.order, ("merge", "Merged", &what))
}
