//! `prograde flight show`: all of a flight on one page.

use jiff::Timestamp;
use prograde_model::Diagnostic;
use prograde_model::event::{Event, Outcome, Place, VERSION};

use super::{ShowArgs, ended, list, wait};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Style, Tone, cleaned, one_line};
use crate::report::{self, Report};
use crate::sentence;
use crate::text::{Cell, Table, since, span_ms, when};
use crate::wire::{EntryView, FlightView, JobView};

/// Prints a flight, once it has ended if that is asked for.
pub(crate) fn run(app: &App, args: &ShowArgs) -> Result<Exit, Report> {
    let client = app.client()?;
    let id = args.flight.as_str();
    let view = if args.wait { wait::until_ended(&client, id, args.timeout)? } else { client.flight(id)? };
    if app.printer.style().json {
        app.printer.json(&view)?;
    } else {
        app.printer.text(render(&view, app.printer.style(), app.printer.now()))?;
        for hint in next_steps(&view) {
            app.printer.next(hint);
        }
    }
    if !args.wait {
        return Ok(Exit::Done);
    }
    if view.summary.ended_at.is_none() {
        let what = format!("flight {} has not ended within {}", view.summary.id.short(), args.timeout);
        let hint = format!("`prograde flight watch {}` follows it", view.summary.id.short());
        return Err(Report::new(report::PENDING, what).exit(Exit::Pending).hint(hint));
    }
    Ok(ended(&view.summary))
}

/// The page.
pub(crate) fn render(view: &FlightView, style: Style, now: Timestamp) -> String {
    let mut sections = vec![head(view, style, now), stages(view, style)];
    let failures = failures(view, style);
    if !failures.is_empty() {
        sections.push(failures);
    }
    if !view.events.is_empty() {
        sections.push(timeline(view, style));
    }
    sections.join("\n")
}

fn head(view: &FlightView, style: Style, now: Timestamp) -> String {
    let flight = &view.summary;
    let stage = list::tone(&flight.stage).paint(&list::stage(flight), style.colour);
    let detail = if flight.detail.is_empty() { String::new() } else { format!(": {}", one_line(&flight.detail)) };
    let ended = flight.ended_at.as_ref().map(|at| format!(", ended {}", when(at, now, style))).unwrap_or_default();
    let mut fields = vec![
        ("Flight", flight.id.to_string()),
        ("Service", flight.service.to_string()),
        ("Commit", format!("{} {}", flight.commit, one_line(&flight.subject))),
        ("Author", one_line(&flight.author)),
        ("Stage", format!("{stage}{detail}")),
        ("Opened", format!("{}{ended}", when(&flight.opened_at, now, style))),
    ];
    fields.extend(view.digest.as_ref().map(|digest| ("Image", digest.to_string())));
    fields.extend(view.digests.iter().map(|(service, digest)| ("Image", format!("{digest} of {service}"))));
    fields.extend(view.scan.as_ref().map(|scan| ("Scan", sentence::scanned(scan))));
    fields.extend((!view.policies.is_empty()).then(|| ("Policies", sentence::answered(&view.policies))));
    let notes = view.scan.iter().flat_map(|scan| &scan.notes);
    fields.extend(notes.map(|note| ("Notice", one_line(note))));
    fields.extend(view.notices.iter().map(|notice| ("Notice", one_line(notice))));
    let mut text = String::new();
    for (name, value) in fields {
        text.extend([format!("{} {value}\n", Tone::Strong.paint(&format!("{name:<8}"), style.colour))]);
    }
    text
}

fn stages(view: &FlightView, style: Style) -> String {
    let mut table = Table::new(&["STAGE", "TOOK", "STATE"]);
    let took = |name: &str| Cell::number(view.stage_ms.get(name).map_or_else(String::new, |ms| span_ms(*ms)));
    for name in ["read", "build", "image"] {
        let done = view.stage_ms.contains_key(name);
        if done || (name == "build" && !view.jobs.is_empty()) {
            table.row(vec![Cell::new(name), took(name), Cell::new(if done { "done" } else { "running" })]);
        }
        if name == "build" {
            view.jobs.iter().for_each(|job| table.row(job_row(job)));
        }
    }
    for entry in &view.environments {
        let name = place(entry);
        table.row(vec![Cell::new(&name), took(&name), Cell::new(entry_state(entry)).tone(entry_tone(entry))]);
    }
    table.render(style)
}

/// An environment, with the service where several fly together.
fn place(entry: &EntryView) -> String {
    Place { environment: entry.environment.clone(), service: entry.service.clone() }.to_string()
}

fn job_row(job: &JobView) -> Vec<Cell> {
    let tone = match job.state.as_str() {
        "success" => Tone::Good,
        "failure" => Tone::Bad,
        "cancelled" => Tone::Warning,
        _ => Tone::Plain,
    };
    let took = job.duration_ms.map_or_else(String::new, span_ms);
    vec![Cell::new(format!("  {}", job.job)), Cell::number(took), Cell::new(&job.state).tone(tone)]
}

fn entry_tone(entry: &EntryView) -> Tone {
    match entry.standing.as_str() {
        _ if entry.failure.is_some() => Tone::Bad,
        "settled" | "unchanged" => Tone::Good,
        "outside" if entry.missing.is_empty() => Tone::Dim,
        "outside" => Tone::Warning,
        _ => Tone::Plain,
    }
}

/// Where a flight stands in an environment, in a sentence.
pub(crate) fn entry_state(entry: &EntryView) -> String {
    let what = match entry.standing.as_str() {
        "outside" if entry.missing.is_empty() => "not entered".to_owned(),
        "outside" => format!("waits at the gate: {}", entry.missing.join(", ")),
        "next" => "waits for its turn".to_owned(),
        "unchanged" => "stays as it was: nothing has changed".to_owned(),
        "entering" => "being written to the deployment repository".to_owned(),
        "migrating" => "committed; its migration runs before its first replica".to_owned(),
        "rolling" => rolling(entry),
        "unchecked" => "serves; its checks are being run".to_owned(),
        "settled" if entry.weight > 0 => "serves".to_owned(),
        "settled" => "served, until a later flight came".to_owned(),
        "kept" => "serves although it failed, past its point of no return".to_owned(),
        "leaving" => "being taken out".to_owned(),
        "unreverted" => "out; being taken out of the deployment repository".to_owned(),
        "gone" => "out".to_owned(),
        other => other.to_owned(),
    };
    let counted =
        if entry.requests.requests > 0 { format!(" ({})", sentence::requests(entry.requests)) } else { String::new() };
    let failed = entry.failure.as_ref().map(|failure| format!("; {failure}")).unwrap_or_default();
    format!("{what}{counted}{failed}")
}

fn rolling(entry: &EntryView) -> String {
    let step = match entry.step {
        Some((step, steps)) => format!("step {} of {steps} with {}% of the traffic", step + 1, entry.weight),
        None => format!("rolling out with {}% of the traffic", entry.weight),
    };
    match &entry.verdict {
        Some(verdict) => format!("{step}: {}", sentence::opinion(verdict, &entry.metrics)),
        None => step,
    }
}

/// Where the flight stands in the environment that it is in now.
pub(crate) fn standing(view: &FlightView) -> Option<String> {
    let here = view.summary.environment.as_ref()?;
    let entries = || view.environments.iter().filter(|entry| entry.environment == *here);
    let at_rest = |entry: &&EntryView| matches!(entry.standing.as_str(), "settled" | "unchanged" | "next" | "gone");
    let entry = entries().find(|entry| !at_rest(entry)).or_else(|| entries().next())?;
    Some(format!("{}: {}", place(entry), entry_state(entry)))
}

fn failures(view: &FlightView, style: Style) -> String {
    let mut text = String::new();
    for job in &view.jobs {
        if let Some(detail) = &job.detail {
            text.extend([format!("{} failed:\n", Tone::Bad.paint(&one_line(&job.job), style.colour))]);
            indent(detail, &mut text);
        }
    }
    for diagnostic in refused(view) {
        indent(&diagnostic.to_string(), &mut text);
    }
    text
}

fn indent(detail: &str, text: &mut String) {
    for line in cleaned(detail).lines() {
        text.extend([format!("  {line}\n")]);
    }
}

/// What was wrong with the commit's files, if that ended the flight.
fn refused(view: &FlightView) -> Vec<Diagnostic> {
    let ended = view.events.iter().rev().find(|event| event.event_type == "flight.ended");
    match ended.map(|event| Event::decode(&event.event_type, VERSION, event.data.clone())) {
        Some(Ok(Event::Ended { outcome: Outcome::Refused { diagnostics } })) => diagnostics,
        Some(_) | None => Vec::new(),
    }
}

fn timeline(view: &FlightView, style: Style) -> String {
    let mut table = Table::new(&["TIME", "WHAT HAPPENED"]);
    for event in view.events.iter().filter(|event| !sentence::is_detail(event)) {
        let (tone, text) = sentence::event(event);
        let at = since(&event.at, &view.summary.opened_at, style);
        table.row(vec![Cell::new(at).tone(Tone::Dim), Cell::new(text).tone(tone)]);
    }
    table.render(style)
}

/// What the reader can do now.
pub(crate) fn next_steps(view: &FlightView) -> Vec<String> {
    let (id, flight) = (view.summary.id.short(), &view.summary);
    let mut steps = Vec::new();
    for entry in &view.environments {
        if entry.missing.iter().any(|what| what.contains("approval")) {
            steps.push(format!("prograde approve {id} --environment {}", entry.environment));
        }
        if let Some(branch) = entry.proposal.as_ref().filter(|_| entry.missing.len() == 1) {
            steps.push(format!("git push origin origin/{branch}:main, in a clone of the deployment repository"));
            steps.push(format!("prograde approve {id} --environment {} --merge", entry.environment));
        }
        for hold in &entry.holds {
            let place = &entry.environment;
            steps.push(format!("prograde approve {id} --environment {place} --override {} --reason TEXT", hold.id));
        }
    }
    match flight.stage.as_str() {
        "rejected" => steps.push(format!("prograde flight log {id}")),
        "refused" => steps.push("prograde check, in the service's repository".to_owned()),
        "rolled_back" => {
            // Of a group the last one that came was the first to go.
            let left =
                |entry: &&EntryView| entry.failure.is_some() && Some(&entry.environment) == flight.environment.as_ref();
            let entry = view.environments.iter().rev().find(left);
            let service = entry.and_then(|entry| entry.service.as_ref()).unwrap_or(&flight.service);
            let place = flight.environment.as_ref().map_or_else(String::new, |name| format!(" --environment {name}"));
            steps.push(format!("prograde logs {service}{place} --flight {id}"));
        }
        "kept" => {
            let place = flight.environment.as_ref().map_or_else(String::new, |name| format!(" --environment {name}"));
            steps.push(format!(
                "push a commit that mends it, or prograde rollback {}{place} --past-point-of-no-return",
                flight.service
            ));
        }
        "stopped" => steps.push("prograde quarantine list".to_owned()),
        _ if flight.ended_at.is_none() && steps.is_empty() => steps.push(format!("prograde flight watch {id}")),
        _ => {}
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn page(view: &FlightView, style: Style) -> String {
        let page = render(view, style, "2026-02-01T12:00:00Z".parse().unwrap());
        assert!(!page.contains('\x1b') && !page.contains('\x07'));
        format!("{page}\nnext: {}\n", next_steps(view).join("; "))
    }

    #[test]
    fn what_is_proposed_is_merged_with_git() {
        let page = page(&fixtures::proposed(), fixtures::TERMINAL);
        assert!(page.contains("waits at the gate: waits for proposals/production/pad to be merged"), "{page}");
        let next = "next: git push origin origin/proposals/production/pad:main, in a clone of the deployment repository; \
                    prograde approve ";
        assert!(page.contains(next) && page.ends_with("--environment production --merge\n"), "{page}");
    }

    #[test]
    fn a_rollout_says_what_its_step_still_needs() {
        insta::assert_snapshot!("show_rolling", page(&fixtures::rolling(), fixtures::TERMINAL));
        insta::assert_snapshot!("show_rolling_piped", page(&fixtures::rolling(), Style::default()));
    }

    #[test]
    fn what_waits_or_failed_says_what_to_do() {
        insta::assert_snapshot!("show_waiting", page(&fixtures::waiting(), fixtures::TERMINAL));
        insta::assert_snapshot!("show_rolled_back", page(&fixtures::rolled_back(), fixtures::TERMINAL));
        insta::assert_snapshot!("show_refused", page(&fixtures::refused(), fixtures::TERMINAL));
        insta::assert_snapshot!("show_rejected", page(&fixtures::rejected(), fixtures::TERMINAL));
    }

    #[test]
    fn after_a_group_went_back_the_next_step_names_the_service_that_failed() {
        let mut view = fixtures::rolled_back();
        let failed = view.environments.iter().position(|entry| entry.failure.is_some()).unwrap();
        let mut web = view.environments[failed].clone();
        view.environments[failed].service = Some("orders".parse().unwrap());
        web.service = Some("web".parse().unwrap());
        view.environments.push(web);
        let steps = next_steps(&view);
        assert!(steps.iter().any(|step| step.starts_with("prograde logs web ")), "{steps:?}");
    }

    #[test]
    fn where_a_flight_stands_is_one_sentence() {
        let standing = standing(&fixtures::rolling()).unwrap();
        assert_eq!(
            standing,
            "production: step 1 of 3 with 1% of the traffic: needs 43 more requests, in about 20 s (57 requests, 0 failed)"
        );
    }
}
