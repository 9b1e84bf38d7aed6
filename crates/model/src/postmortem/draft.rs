//! A draft of a post-mortem, from the record: what is known is filled in, what people have to think about is asked.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use crate::incident::{Action, Change, Changes, Entry, Incident, Kind, Way, What};
use crate::runtime::Counters;

/// What a draft is made from.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// The incident.
    pub incident: &'a Incident,
    /// The change that was taken back, if one was.
    pub culprit: Option<&'a Change>,
    /// What happened.
    pub timeline: &'a [Entry],
    /// What is to be done.
    pub actions: &'a [Action],
    /// When it is drafted.
    pub now: Timestamp,
}

/// The change that was taken back to end an incident: the one that was ordered back by its name, else the last release that
/// was taken back there since users were hurt.
pub fn culprit<'a>(changes: &'a Changes, incident: &Incident) -> Option<&'a Change> {
    if let Some(mitigation) = incident.mitigation.as_ref().filter(|mitigation| mitigation.failed.is_none())
        && let Way::Rollback { service, environment, flight } = &mitigation.way
    {
        let target = crate::ids::Target { environment: environment.clone(), service: service.clone() };
        return changes.of(flight, &target);
    }
    let until = incident.resolved.as_ref().map(|(at, _)| *at);
    let came_back = |change: &&Change| {
        let at = change.steps.first().map(|(at, _)| *at);
        let within = at.is_some_and(|at| at >= incident.since && until.is_none_or(|until| at <= until));
        change.target == incident.target && within && matches!(change.what, What::Return { .. })
    };
    match &changes.all().iter().rev().find(came_back)?.what {
        What::Return { flight, .. } => changes.of(flight, &incident.target),
        What::Release { .. } | What::Flag { .. } => None,
    }
}

/// The draft, in Markdown.
pub fn draft(of: Draft<'_>) -> String {
    let incident = of.incident;
    let mut text = format!("# {}: {}\n\n", incident.id, inline(&incident.title));
    head(&mut text, incident);
    text.push_str("## Summary\n\n<!-- Two or three sentences for somebody who was not there: what users saw, why, and what ended it. -->\n\n");
    impact(&mut text, of);
    text.push_str("## Timeline\n\n| When (UTC) | What |\n|---|---|\n");
    for entry in of.timeline {
        let by = entry.by.as_ref().filter(|_| entry.kind == Kind::Note).map_or(String::new(), |by| format!(" ({by})"));
        line(&mut text, format_args!("| {} | {}{} |", moment(entry.at), inline(&entry.text), inline(&by)));
    }
    cause(&mut text, of);
    for (heading, prompt) in [
        (
            "Contributing factors",
            "What made this possible, beside the cause: what was hard to see, what looked right, what was missing. One a line.",
        ),
        ("What went well", "What kept it from being worse or longer, and should stay."),
        ("Where luck helped", "What kept it from being worse, and can't be counted on the next time."),
    ] {
        line(&mut text, format_args!("## {heading}\n\n<!-- {prompt} -->\n\n- \n"));
    }
    actions(&mut text, of);
    text
}

/// Writing to a text can't fail.
fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _never = writeln!(text, "{what}");
}

fn head(text: &mut String, incident: &Incident) {
    let mut row = |name: &str, value: String| line(text, format_args!("- {name}: {value}"));
    row("Severity", incident.severity.to_string());
    row("Service", format!("{} in {}", incident.target.service, incident.target.environment));
    row("Users were hurt from", moment(incident.since));
    row("Declared", moment(incident.declared_at));
    let after = |at: Option<Timestamp>, within: Option<SignedDuration>| match (at, within) {
        (Some(at), Some(within)) => format!("{}, after {}", moment(at), lasted(within)),
        (None, _) | (_, None) => "not yet".to_owned(),
    };
    row("Acknowledged", after(incident.acknowledged_at, incident.acknowledged_within()));
    row("Mitigated", after(incident.mitigated_at, incident.mitigated_within()));
    row("Resolved", after(incident.resolved.as_ref().map(|(at, _)| *at), incident.resolved_within()));
    for (role, person) in &incident.roles {
        row(&format!("Role {role}"), inline(person));
    }
    for link in &incident.links {
        row("See", inline(&link.to_string()));
    }
    text.push('\n');
}

fn impact(text: &mut String, of: Draft<'_>) {
    text.push_str("## Impact\n\n");
    let minutes = of.incident.minutes(of.now);
    let still = if of.incident.mitigated_at.is_none() { " so far" } else { "" };
    let s = if minutes == 1 { "" } else { "s" };
    line(text, format_args!("- Users were hurt for {minutes} minute{s}{still}."));
    if let Some(change) = of.culprit {
        line(text, format_args!("- What was taken back has answered {}.", requests(change.requests)));
        if change.beside.requests > 0 {
            let beside = requests(change.beside);
            line(text, format_args!("- What served beside it, while it was judged last, has answered {beside}."));
        }
    }
    let alerts = of.timeline.iter().filter(|entry| entry.kind == Kind::Alert).count();
    let pages = of.timeline.iter().filter(|entry| entry.kind == Kind::Page).count();
    line(text, format_args!("- The timeline has {alerts} entries about alerts and {pages} about pages."));
    text.push_str("\n<!-- What that meant: who could not do what, which data was lost or late, what it cost. -->\n\n");
}

fn requests(counters: Counters) -> String {
    let Counters { requests, failures, .. } = counters;
    let permille = u128::from(failures) * 1_000 / u128::from(requests.max(1));
    format!("{requests} requests, of which {failures} failed ({}.{}%)", permille / 10, permille % 10)
}

fn cause(text: &mut String, of: Draft<'_>) {
    text.push_str("\n## Cause\n\n");
    if let Some(Change { what: What::Release { flight, commit, subject, replaces, .. }, target, .. }) = of.culprit {
        let subject = inline(subject);
        line(
            text,
            format_args!("Flight `{flight}` brought commit `{commit}` ({subject}) to {target}; it was taken back."),
        );
        if let Some((_, before)) = replaces {
            line(text, format_args!("\nWhat it changed: `git diff {before}..{commit}`."));
        }
    } else {
        line(
            text,
            format_args!(
                "No release was taken back: `prograde incident suspects {}` lists what changed before.",
                of.incident.id
            ),
        );
    }
    if let Some(cause) = &of.incident.cause {
        line(text, format_args!("\n{}", inline(cause)));
    }
    text.push_str("\n<!-- How that led to what users saw, step by step, and why nothing stopped it before. -->\n\n");
}

fn actions(text: &mut String, of: Draft<'_>) {
    text.push_str("## Action items\n\n");
    if of.actions.is_empty() {
        let id = of.incident.id;
        line(
            text,
            format_args!(
                "<!-- prograde action add {id} --title TEXT --owner NAME --due DATE --kind prevent|detect|mitigate -->"
            ),
        );
        return;
    }
    text.push_str("| Item | What | Kind | Owner | Due | State |\n|---|---|---|---|---|---|\n");
    for action in of.actions {
        let Action { id, title, owner, due, kind, state, .. } = action;
        let (title, owner) = (inline(title), inline(owner));
        line(text, format_args!("| {id} | {title} | {kind} | {owner} | {due} | {} |", state.word()));
    }
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time as people read it, in its two largest units.
fn lasted(within: SignedDuration) -> String {
    let seconds = within.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// What people wrote, in one line of Markdown that can't begin anything of its own.
fn inline(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => shown.push_str("&lt;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' => shown.extend(['\\', c]),
            c if c.is_control() => shown.push(' '),
            c => shown.push(c),
        }
    }
    shown
}
