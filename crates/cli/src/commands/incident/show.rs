//! What is shown of incidents.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use prograde_model::incident::{Entry, IncidentId, Kind, Month, Origin, Severity, Suspect};

use super::{ListArgs, SuspectsArgs, TrendArgs};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone, cleaned, one_line};
use crate::report::{self, Report};
use crate::text::{Cell, Table, count, exact, span_ms, when};
use crate::wire::IncidentView;

pub(super) fn list(app: &App, args: &ListArgs) -> Result<Exit, Report> {
    let mut query = Vec::new();
    query.extend(args.all.then_some(("all", "true")));
    query.extend(args.service.as_ref().map(|service| ("service", service.as_str())));
    let found = app.client()?.incidents(&query)?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Incidents", if args.all { "there were none" } else { "none is open" });
    } else {
        app.printer.text(table(&found, app.printer.style(), app.printer.now()))?;
    }
    Ok(Exit::Done)
}

fn table(found: &[IncidentView], style: Style, now: Timestamp) -> String {
    let mut table =
        Table::new(&["INCIDENT", "SEVERITY", "STAGE", "SERVICE", "ENVIRONMENT", "SINCE", "HURT FOR", "TITLE"]);
    for view in found {
        let stage = match view.merged_into {
            Some(into) => format!("merged into {into}"),
            None if view.open && view.mitigated_at.is_some() => format!("{}, mitigated", view.stage),
            None => view.stage.to_string(),
        };
        table.row(vec![
            Cell::new(view.id.to_string()),
            Cell::new(view.severity.word()).tone(severity(view.severity)),
            Cell::new(stage),
            Cell::new(view.service.as_str()),
            Cell::new(view.environment.as_str()),
            Cell::new(when(&view.since, now, style)),
            Cell::new(view.mitigated_within_s.map_or("-".to_owned(), span)),
            Cell::free(&view.title, style),
        ]);
    }
    table.render(style)
}

fn severity(severity: Severity) -> Tone {
    match severity {
        Severity::Sev1 | Severity::Sev2 => Tone::Bad,
        Severity::Sev3 => Tone::Warning,
        Severity::Sev4 => Tone::Plain,
    }
}

/// Seconds as people read them.
fn span(seconds: i64) -> String {
    span_ms(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000))
}

pub(super) fn show(app: &App, id: IncidentId) -> Result<Exit, Report> {
    let view = app.client()?.incident(id)?;
    if app.printer.style().json {
        app.printer.json(&view)?;
        return Ok(Exit::Done);
    }
    app.printer.text(page(&view, app.printer.style(), app.printer.now()))?;
    match view.suspect.as_ref().and_then(|suspect| suspect.mitigation.as_ref()) {
        Some(_) if view.mitigated_at.is_some() => {}
        Some(command) if command.contains(" rollback ") => {
            app.printer.next(format_args!("prograde incident mitigate {id} --rollback"));
        }
        _ if view.open => app.printer.next(format_args!("prograde incident ways {id}")),
        Some(_) | None => {}
    }
    Ok(Exit::Done)
}

/// An incident, a line for each thing that is known.
fn page(view: &IncidentView, style: Style, now: Timestamp) -> String {
    let mut lines = vec![format!(
        "{} {} {}",
        Tone::Strong.paint(&view.id.to_string(), style.colour),
        severity(view.severity).paint(view.severity.word(), style.colour),
        one_line(&view.title)
    )];
    let mut line = |name: &str, value: String| lines.push(format!("{name:<14}{}", one_line(&value)));
    line("hurt", format!("{} in {}, since {}", view.service, view.environment, when(&view.since, now, style)));
    line("stage", view.stage.to_string());
    let by = match &view.origin {
        Origin::Person { by } => by.clone(),
        Origin::Page { page } => format!("page {page}"),
        Origin::Judge { flight } => format!("the judge, after flight {}", flight.short()),
    };
    line("declared", format!("{} by {by}", when(&view.declared_at, now, style)));
    if let Some(within) = view.acknowledged_within_s {
        line("acknowledged", format!("within {}", span(within)));
    }
    for (role, person) in &view.roles {
        line(role, person.clone());
    }
    let optional = |name: &'static str, value: &Option<String>| value.clone().map(|value| (name, value));
    for (name, value) in
        [optional("channel", &view.channel), optional("mitigation", &view.mitigation)].into_iter().flatten()
    {
        line(name, value);
    }
    if !view.stakeholders.is_empty() {
        line("stakeholders", view.stakeholders.join(", "));
    }
    for link in &view.links {
        line("see", link.clone());
    }
    if let (Some(at), Some(within)) = (&view.mitigated_at, view.mitigated_within_s) {
        line("mitigated", format!("{}, users were hurt for {}", when(at, now, style), span(within)));
    }
    if let (Some(at), Some(by)) = (&view.resolved_at, &view.resolved_by) {
        line("resolved", format!("{} by {by}", when(at, now, style)));
    }
    if let Some((name, cause)) = optional("cause", &view.cause) {
        line(name, cause);
    }
    if let Some(into) = view.merged_into {
        line("merged into", into.to_string());
    }
    if view.public {
        line("public", "on the status page".to_owned());
    }
    if let Some(sha256) = &view.postmortem {
        line("post-mortem", format!("published, sha256 {}", sha256.get(..12).unwrap_or(sha256)));
    }
    for action in &view.actions {
        line(
            "action",
            format!("{} {}, {}, due {}: {}", action.id, action.state.word(), action.owner, action.due, action.title),
        );
    }
    if let Some(suspect) = &view.suspect {
        lines.push(String::new());
        lines.extend(suspicion(suspect, 1, style));
    }
    lines.join("\n") + "\n"
}

/// A suspect in a few lines.
fn suspicion(suspect: &Suspect, rank: usize, style: Style) -> Vec<String> {
    let commit = suspect.commit.as_ref().map(|commit| format!(" commit {}", commit.short())).unwrap_or_default();
    let state =
        if suspect.in_force { Tone::Bad.paint("in force", style.colour) } else { "no longer in force".to_owned() };
    let mut lines = vec![format!(
        "{rank}. {} of {} flight {}{commit} by {}, {} before, {state}",
        suspect.kind,
        suspect.service,
        suspect.flight.short(),
        one_line(&suspect.author),
        span(i64::try_from(suspect.before_s).unwrap_or(i64::MAX)),
    )];
    let mut line = |name: &str, text: &str| lines.push(format!("   {name:<9}{}", one_line(text)));
    line("what", &suspect.what);
    if ["release", "config"].contains(&suspect.kind.as_str()) {
        let steps: Vec<String> =
            suspect.steps.iter().map(|step| format!("{}% {}", step.percent, exact(step.at))).collect();
        line("traffic", &steps.join(", "));
    }
    if let Some(diff) = &suspect.diff {
        line("diff", diff);
    }
    if let Some(command) = &suspect.mitigation {
        line("mitigate", command);
    }
    if let Some(why) = &suspect.no_way {
        line("no way", why);
    }
    lines
}

pub(super) fn suspects(app: &App, args: &SuspectsArgs) -> Result<Exit, Report> {
    let found = app.client()?.suspects(args.id, args.hours)?;
    if app.printer.style().json {
        app.printer.json(&found)?;
        return Ok(Exit::Done);
    }
    if found.is_empty() {
        app.printer.note("Suspects", format_args!("nothing is known to have changed in {} hours before", args.hours));
    }
    for (suspect, rank) in found.iter().zip(1..) {
        app.printer.line(suspicion(suspect, rank, app.printer.style()).join("\n"))?;
    }
    Ok(Exit::Done)
}

pub(super) fn ways(app: &App, id: IncidentId) -> Result<Exit, Report> {
    let found = app.client()?.ways(id)?;
    let style = app.printer.style();
    if style.json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Ways", "none is known: nothing was changed of late, and nothing serves that could be scaled");
    } else {
        let mut table = Table::new(&["HELPED", "COMMAND", "WHY"]);
        for offer in &found {
            let helped = if offer.helped == 0 { "-".to_owned() } else { count(offer.helped.into()) };
            table.row(vec![Cell::number(helped), Cell::new(one_line(&offer.command)), Cell::free(&offer.why, style)]);
        }
        app.printer.text(table.render(style))?;
    }
    Ok(Exit::Done)
}

pub(super) fn timeline(app: &App, id: IncidentId) -> Result<Exit, Report> {
    let found = app.client()?.timeline(id)?;
    if app.printer.style().json {
        app.printer.json(&found)?;
        return Ok(Exit::Done);
    }
    let kind = |kind: Kind| match kind {
        Kind::Flight => "flight",
        Kind::Alert => "alert",
        Kind::Page => "page",
        Kind::Runbook => "runbook",
        Kind::Incident => "incident",
        Kind::Note => "note",
    };
    for Entry { at, kind: of, text, by, .. } in &found {
        let by = by.as_ref().map(|by| format!(" [{}]", one_line(by))).unwrap_or_default();
        let text = cleaned(text).replace('\n', "\n                                    ");
        app.printer.line(format_args!("{}  {:<8}  {text}{by}", exact(*at), kind(*of)))?;
    }
    Ok(Exit::Done)
}

pub(super) fn trend(app: &App, args: &TrendArgs) -> Result<Exit, Report> {
    let since = args.since.at(app.printer.now(), &TimeZone::UTC);
    let wrong = || Report::new(report::ARGUMENT, "`--since` lies before all time").hint("write a later one");
    let found = app.client()?.trend(&since.ok_or_else(wrong)?.to_string(), &args.time_zone)?;
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else {
        app.printer.text(months(&found, app.printer.style()))?;
    }
    Ok(Exit::Done)
}

fn months(found: &[Month], style: Style) -> String {
    let mut table =
        Table::new(&["MONTH", "INCIDENTS", "SEVERE", "PAGES", "MINUTES", "MITIGATED WITHIN", "ACTIONS", "DONE"]);
    for month in found {
        let within = month.mitigated_within_s.map_or("-".to_owned(), |seconds| span_ms(seconds.saturating_mul(1_000)));
        table.row(vec![
            Cell::new(&month.month),
            Cell::number(count(month.incidents)),
            Cell::number(count(month.severe)),
            Cell::number(count(month.pages)),
            Cell::number(count(month.minutes)),
            Cell::number(within),
            Cell::number(count(month.actions)),
            Cell::number(count(month.actions_done)),
        ]);
    }
    table.render(style)
}
