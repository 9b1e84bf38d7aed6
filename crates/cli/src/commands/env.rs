//! `prograde env`: which release is where, service by service.

use clap::Args;
use jiff::Timestamp;
use prograde_model::ids::ServiceName;
use prograde_server::api::environments::{PlaceView, ReleaseView, ServiceView};

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone};
use crate::report::{self, Report};
use crate::text::{Cell, Table, counted, when};

/// Show which release is where, and what is on its way
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde env
  prograde env pad
  prograde env --json | jq '.[].environments[] | select(.behind > 0)'

BEHIND counts the releases that serve, or served, in the first environment and not yet here.")]
pub(crate) struct EnvArgs {
    /// Only this service
    #[arg(value_name = "SERVICE")]
    service: Option<ServiceName>,
}

/// Prints them.
pub(crate) fn run(app: &App, args: &EnvArgs) -> Result<Exit, Report> {
    let services = app.client()?.environments(args.service.as_ref())?;
    if let (Some(service), true) = (&args.service, services.is_empty()) {
        let what = format!("no service {service} has flown yet");
        return Err(Report::new(report::ARGUMENT, what).hint("`prograde env` shows all that have"));
    }
    if app.printer.style().json {
        app.printer.json(&services)?;
        return Ok(Exit::Done);
    }
    if services.is_empty() {
        app.printer.note("Nothing", "has flown yet");
        return Ok(Exit::Done);
    }
    app.printer.text(render(&services, app.printer.style(), app.printer.now()))?;
    Ok(Exit::Done)
}

fn render(services: &[ServiceView], style: Style, now: Timestamp) -> String {
    let mut table =
        Table::new(&["SERVICE", "ENVIRONMENT", "COMMIT", "SERVES SINCE", "SUBJECT", "BEHIND", "ON ITS WAY"]);
    for service in services {
        for (line, place) in service.environments.iter().enumerate() {
            let name = if line == 0 { service.service.as_str() } else { "" };
            let mut row = vec![Cell::new(name), Cell::new(place.environment.as_str())];
            row.extend(serving(place.serves.as_ref(), style, now));
            let behind = if place.behind == 0 { String::new() } else { place.behind.to_string() };
            row.push(Cell::number(behind));
            row.push(coming(place, style));
            table.row(row);
        }
    }
    table.render(style)
}

fn serving(release: Option<&ReleaseView>, style: Style, now: Timestamp) -> [Cell; 3] {
    let Some(release) = release else { return [Cell::new("-").tone(Tone::Dim), Cell::new(""), Cell::new("")] };
    let since = release.since.as_ref().map(|since| when(since, now, style)).unwrap_or_default();
    [Cell::new(release.commit.short()), Cell::new(since), Cell::free(&release.subject, style)]
}

fn coming(place: &PlaceView, style: Style) -> Cell {
    let mut parts = Vec::new();
    if let Some(release) = &place.comes {
        let detail = if place.detail.is_empty() { String::new() } else { format!(": {}", place.detail) };
        parts.push(format!("{}{detail}", release.commit.short()));
    }
    if place.quarantined > 0 {
        parts.push(format!("{} in quarantine", counted(place.quarantined as u64, "image")));
    }
    Cell::free(parts.join("; "), style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn services() -> Vec<ServiceView> {
        let release = |letter: &str, since: Option<&str>| {
            serde_json::json!({"flight": letter.repeat(32), "commit": letter.repeat(40), "subject": "Point the antenna",
                "author": "Ada Example", "since": since})
        };
        serde_json::from_value(serde_json::json!([{"service": "pad", "environments": [
            {"environment": "test", "serves": release("a", Some("2026-02-01T11:00:00Z")), "behind": 0, "comes": null, "detail": "", "quarantined": 0},
            {"environment": "production", "serves": release("b", Some("2026-01-30T12:00:00Z")), "behind": 2,
                "comes": release("a", None), "detail": "1 of 2 approvals", "quarantined": 1},
            {"environment": "islands", "serves": null, "behind": 3, "comes": null, "detail": "", "quarantined": 0},
        ]}]))
        .unwrap()
    }

    #[test]
    fn a_person_sees_at_a_glance_what_is_where() {
        let now = "2026-02-01T12:00:00Z".parse().unwrap();
        insta::assert_snapshot!("env_terminal", render(&services(), fixtures::TERMINAL, now));
        insta::assert_snapshot!("env_piped", render(&services(), Style::default(), now));
    }
}
