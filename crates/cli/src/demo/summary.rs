//! The end: what happened when, how long each stage took, who served how many requests, and who was harmed.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use prograde_model::event::Event;
use prograde_model::rollout::RolloutEvent;
use serde_json::{Value, json};

use super::chapter::Chapter;
use super::display::percent;
use super::expectations::Expectation;
use super::narration;
use super::record::{Flown, PRODUCTION, Record, TEST};
use super::tally::Count;
use crate::printer::one_line;

/// The stages whose times are told, in order, and what they are called.
const STAGES: [(&str, &str); 4] = [("read", "read"), ("build", "build"), ("image", "image"), (TEST, TEST)];
/// The steps of production.
const STEPS: [(u32, &str); 3] = [(0, "1%"), (1, "10%"), (2, "100%")];

/// The journal's facts in order, in words.
pub(crate) fn timeline(record: &Record) -> String {
    let Some(begin) = record.moments.first().map(|moment| moment.at) else { return String::new() };
    let mut text = String::new();
    for moment in &record.moments {
        let Some((verb, words)) = narration::words(&moment.event) else { continue };
        let after = narration::seconds(between(begin, moment.at));
        let name = record.chapter_of(&moment.flight).map(Chapter::name);
        let name = name.unwrap_or(moment.flight.short());
        let _infallible = writeln!(text, "{after:>8}  {name:<8}  {verb:>11} {}", one_line(&words));
    }
    text
}

/// How long each stage of each flight took.
pub(crate) fn stages(record: &Record) -> String {
    let mut rows = vec![vec!["flight".to_owned(), "commit".to_owned()]];
    if let Some(head) = rows.first_mut() {
        head.extend(STAGES.map(|(_, title)| title.to_owned()));
        head.extend(STEPS.map(|(_, title)| title.to_owned()));
        head.extend(["in all".to_owned(), "ended".to_owned()]);
    }
    for (chapter, flown) in &record.flown {
        let mut row = vec![chapter.name().to_owned(), flown.view.summary.commit.short().to_owned()];
        let told =
            |ms: Option<&u64>| ms.map_or_else(|| "-".to_owned(), |ms| narration::seconds(Duration::from_millis(*ms)));
        row.extend(STAGES.map(|(stage, _)| told(flown.view.stage_ms.get(stage))));
        row.extend(STEPS.map(|(step, _)| step_time(flown, step).map_or_else(|| "-".to_owned(), narration::seconds)));
        row.push(whole_time(flown).map_or_else(|| "-".to_owned(), narration::seconds));
        row.push(flown.view.summary.stage.replace('_', " "));
        rows.push(row);
    }
    table(&rows)
}

/// From the moment in which a step of production has its traffic to the one in which it is judged.
fn step_time(flown: &Flown, wanted: u32) -> Option<Duration> {
    let mut entered = None;
    for moment in &flown.moments {
        let Event::Rollout { environment, event } = &moment.event else { continue };
        if environment.as_str() != PRODUCTION {
            continue;
        }
        if let RolloutEvent::StepEntered { step, .. } = event
            && *step == wanted
        {
            entered = Some(moment.at);
        }
        let ends = match event {
            RolloutEvent::StepPassed { step, .. } => *step == wanted,
            RolloutEvent::Failed { .. } => true,
            RolloutEvent::Started(_)
            | RolloutEvent::StepEntered { .. }
            | RolloutEvent::StepHeld { .. }
            | RolloutEvent::Promoted { .. }
            | RolloutEvent::Withdrawn { .. } => false,
        };
        if let (true, Some(from)) = (ends, entered) {
            return Some(between(from, moment.at));
        }
    }
    None
}

fn whole_time(flown: &Flown) -> Option<Duration> {
    let ended = flown.moments.iter().find(|moment| matches!(moment.event, Event::Ended { .. }))?;
    Some(between(flown.moments.first()?.at, ended.at))
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// Requests by version, as the server counted them in production and as users saw them.
pub(crate) fn requests(record: &Record) -> String {
    let head = ["version", "served", "failed", "users' answers", "users' failures"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for chapter in Chapter::ALL {
        let flight = record.flown.get(&chapter).map(|flown| &flown.view.summary.id);
        let counted = flight.and_then(|id| record.counters.get(id)).copied().unwrap_or_default();
        let seen = record.users.version(chapter.name());
        let mut row = vec![chapter.name().to_owned()];
        row.extend([counted.requests, counted.failures, seen.requests, seen.failures].map(|n| n.to_string()));
        rows.push(row);
    }
    let Count { requests, failures } = record.users.unknown;
    rows.push(["no version", "", "", &requests.to_string(), &failures.to_string()].map(str::to_owned).to_vec());
    table(&rows)
}

/// Failures that users saw while a bad commit flew.
pub(crate) fn harmed(record: &Record) -> u64 {
    let bad = record.flown.iter().filter(|(chapter, _)| chapter.is_bad());
    bad.map(|(_, flown)| flown.users.all.failures).sum()
}

/// What users went through, in a few sentences.
pub(crate) fn users(record: &Record) -> String {
    let all = record.users.all;
    let ms = |percent| record.latency.quantile(percent).unwrap_or_default().as_secs_f64() * 1000.0;
    let mut text = format!(
        "Users sent {} requests, {} failed ({}). Half were answered within {:.1} ms, 99% within {:.1} ms, all within {:.1} ms.",
        all.requests,
        all.failures,
        percent(all),
        ms(50),
        ms(99),
        record.latency.max().as_secs_f64() * 1000.0
    );
    let bad = record.flown.iter().filter(|(chapter, _)| chapter.is_bad());
    let each: Vec<String> =
        bad.map(|(chapter, flown)| format!("{} by the {} one", flown.users.all.failures, chapter.name())).collect();
    if !each.is_empty() {
        let _infallible = write!(text, "\nThe bad commits harmed {} requests: {}.", harmed(record), each.join(", "));
    }
    text
}

/// One line for each expectation.
pub(crate) fn verdicts(expectations: &[Expectation]) -> String {
    let mut text = String::new();
    for Expectation { name, met, detail } in expectations {
        let word = if *met { "ok" } else { "FAILED" };
        let _infallible = writeln!(text, "{word:>8}  {name}: {}", one_line(detail));
    }
    text
}

/// All of it for programs.
pub(crate) fn as_json(record: &Record, expectations: &[Expectation], took: Duration) -> Value {
    let flights: Vec<Value> =
        record.flown.iter().map(|(chapter, flown)| flight_json(*chapter, flown, record)).collect();
    json!({
        "met": expectations.iter().all(|expectation| expectation.met),
        "duration_ms": whole_ms(took),
        "flights": flights,
        "users": {
            "requests": record.users.all.requests,
            "failures": record.users.all.failures,
            "harmed_by_bad_commits": harmed(record),
            "latency_us_p50": micros(record.latency.quantile(50)),
            "latency_us_p99": micros(record.latency.quantile(99)),
            "latency_us_max": micros(Some(record.latency.max())),
        },
    })
}

fn flight_json(chapter: Chapter, flown: &Flown, record: &Record) -> Value {
    let steps = STEPS.map(|(step, name)| (name.to_owned(), json!(step_time(flown, step).map(whole_ms))));
    json!({
        "name": chapter.name(),
        "flight": flown.view.summary.id,
        "commit": flown.view.summary.commit,
        "stage": flown.view.summary.stage,
        "stage_ms": flown.view.stage_ms,
        "step_ms": Value::Object(steps.into_iter().collect()),
        "duration_ms": whole_time(flown).map(whole_ms),
        "counted": record.counters.get(&flown.view.summary.id),
        "users": record.users.version(chapter.name()),
        "harmed": flown.users.all.failures,
    })
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Option<Duration>) -> Option<u64> {
    duration.and_then(|duration| u64::try_from(duration.as_micros()).ok())
}

/// Columns as wide as their widest cell, the first one aligned to the left and all others to the right.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
