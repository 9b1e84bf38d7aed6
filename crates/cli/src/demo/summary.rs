//! The end: what happened when, how long each stage took, who served how many requests, and who was harmed.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use prograde_model::event::Event;
use prograde_model::rollout::RolloutEvent;
use serde_json::{Value, json};

use super::chapter::Chapter;
use super::display::whole_ms;
use super::expectations::Expectation;
use super::record::{Flown, PRODUCTION, Record, TEST};
use super::tally::Count;
use crate::printer::{Style, Tone, one_line};
use crate::sentence;
use crate::text::{Cell, Table, count, failures, span_ms};

/// The stages whose times the server tells.
const STAGES: [&str; 4] = ["read", "build", "image", TEST];
/// The steps of production.
const STEPS: [(u32, &str); 3] = [(0, "1%"), (1, "10%"), (2, "100%")];

/// All of it for people.
pub(crate) fn text(record: &Record, expectations: &[Expectation], took: Duration, style: Style) -> String {
    let heading = |text: &str| Tone::Strong.paint(text, style.colour);
    let parts = [
        format!("{}\n{}", heading("Timeline"), timeline(record, style)),
        format!("{}\n{}", heading("Stages"), stages(record).render(style)),
        format!("{}\n{}", heading("Requests in production"), requests(record).render(style)),
        users(record),
        format!("{}\n{}", heading("Expectations"), verdicts(expectations, style)),
        format!("The demo took {}.\n", span_ms(whole_ms(took))),
    ];
    parts.join("\n")
}

/// The journal's facts in order, in words.
fn timeline(record: &Record, style: Style) -> String {
    let Some(begin) = record.moments.first().map(|moment| moment.at) else { return "nothing happened\n".to_owned() };
    let mut text = String::new();
    for moment in record.moments.iter().filter(|moment| moment.is_news()) {
        let after = span_ms(whole_ms(between(begin, moment.at)));
        let name = record.chapter_of(&moment.flight).map(Chapter::name);
        let name = name.unwrap_or(moment.flight.short());
        let (tone, words) = sentence::event(&moment.view);
        let _infallible = writeln!(text, "{after:>8}  {name:<8}  {}", tone.paint(&words, style.colour));
    }
    text
}

/// How long each stage of each flight took.
fn stages(record: &Record) -> Table {
    let mut header = vec!["FLIGHT", "COMMIT", "READ", "BUILD", "IMAGE", "TEST"];
    header.extend(STEPS.map(|(_, title)| title));
    header.extend(["IN ALL", "END"]);
    let mut table = Table::new(&header);
    for (chapter, flown) in &record.flown {
        let told = |ms: Option<u64>| Cell::number(ms.map_or_else(|| "-".to_owned(), span_ms));
        let mut row = vec![Cell::new(chapter.name()), Cell::new(flown.view.summary.commit.short())];
        row.extend(STAGES.map(|stage| told(flown.view.stage_ms.get(stage).copied())));
        row.extend(STEPS.map(|(step, _)| told(step_time(flown, step).map(whole_ms))));
        row.push(told(whole_time(flown).map(whole_ms)));
        row.push(Cell::new(flown.view.summary.stage.replace('_', " ")));
        table.row(row);
    }
    table
}

/// From the moment in which a step of production has its traffic to the one in which it is judged.
fn step_time(flown: &Flown, wanted: u32) -> Option<Duration> {
    let mut entered = None;
    for moment in &flown.moments {
        let Event::Rollout { place, event } = &moment.event else { continue };
        if place.environment.as_str() != PRODUCTION {
            continue;
        }
        if let RolloutEvent::StepEntered { step, .. } = event {
            entered = (*step == wanted).then_some(moment.at);
        }
        let ends = match event {
            RolloutEvent::StepPassed { .. } | RolloutEvent::Failed { .. } => true,
            RolloutEvent::Started(_)
            | RolloutEvent::StepEntered { .. }
            | RolloutEvent::Marked { .. }
            | RolloutEvent::StepHeld { .. }
            | RolloutEvent::Promoted { .. }
            | RolloutEvent::Watched { .. }
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
fn requests(record: &Record) -> Table {
    let mut table = Table::new(&["VERSION", "SERVED", "FAILED", "ANSWERS TO USERS", "FAILURES SEEN"]);
    for chapter in Chapter::ALL {
        let flight = record.flown.get(&chapter).map(|flown| &flown.view.summary.id);
        let counted = flight.and_then(|id| record.counters.get(id)).copied().unwrap_or_default();
        let seen = record.users.version(chapter.name());
        let numbers = [counted.requests, counted.failures, seen.requests, seen.failures];
        let cells = numbers.map(|number| Cell::number(count(number)));
        table.row([Cell::new(chapter.name())].into_iter().chain(cells).collect());
    }
    let Count { requests, failures } = record.users.unknown;
    let unknown = ["-".to_owned(), "-".to_owned(), count(requests), count(failures)].map(Cell::number);
    table.row([Cell::new("no version")].into_iter().chain(unknown).collect());
    table
}

/// Failures that users saw while a bad commit flew.
fn harmed(record: &Record) -> u64 {
    let bad = record.flown.iter().filter(|(chapter, _)| chapter.is_bad());
    bad.map(|(_, flown)| flown.users.all.failures).sum()
}

/// What users went through, in a few sentences.
fn users(record: &Record) -> String {
    let all = record.users.all;
    let ms = |percent| record.latency.quantile(percent).unwrap_or_default().as_secs_f64() * 1000.0;
    let mut text = format!(
        "Users sent {} requests, {} failed. Half were answered within {:.1} ms, 99% within {:.1} ms, all within {:.1} ms.\n",
        count(all.requests),
        failures(all.failures, all.requests),
        ms(50),
        ms(99),
        record.latency.max().as_secs_f64() * 1000.0
    );
    let bad = record.flown.iter().filter(|(chapter, _)| chapter.is_bad());
    let each: Vec<String> = bad
        .map(|(chapter, flown)| format!("{} by the {} one", count(flown.users.all.failures), chapter.name()))
        .collect();
    if !each.is_empty() {
        let _infallible = writeln!(text, "Bad commits harmed {} of them: {}.", count(harmed(record)), each.join(", "));
    }
    text
}

/// One line for each expectation.
pub(crate) fn verdicts(expectations: &[Expectation], style: Style) -> String {
    let mut text = String::new();
    for Expectation { name, met, detail } in expectations {
        let (tone, word) = if *met { (Tone::Good, "ok") } else { (Tone::Bad, "FAILED") };
        let word = tone.paint(&format!("{word:>8}"), style.colour);
        let _infallible = writeln!(text, "{word}  {name}: {}", one_line(detail));
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
        "served": record.counters.get(&flown.view.summary.id),
        "users": record.users.version(chapter.name()),
        "harmed": flown.users.all.failures,
    })
}

fn micros(duration: Option<Duration>) -> Option<u64> {
    duration.and_then(|duration| u64::try_from(duration.as_micros()).ok())
}

#[cfg(test)]
mod tests {
    use super::super::expectations;
    use super::super::testing::story;
    use super::*;

    fn of(record: &Record) -> Vec<Expectation> {
        let flights = Chapter::ALL.into_iter().flat_map(|chapter| expectations::of_chapter(chapter, record));
        flights.chain(expectations::of_all(record)).collect()
    }

    #[test]
    fn the_end_tells_stages_requests_and_harm() {
        let record = story();
        let style = Style::default();
        insta::assert_snapshot!(stages(&record).render(style), @r"
        FLIGHT    COMMIT    READ  BUILD  IMAGE  TEST    1%   10%  100%  IN ALL  END
        first     11111111  62ms  11.8s  300ms  1.2s     -     -     -    3.0s  landed
        good      22222222  62ms  11.8s  300ms  1.2s  1.0s  1.0s  1.0s    9.0s  landed
        failing   33333333  62ms  11.8s  300ms  1.2s  1.0s     -     -    5.0s  rolled back
        crashing  44444444  62ms  11.8s  300ms  1.2s     -     -     -    3.0s  rolled back
        ");
        insta::assert_snapshot!(requests(&record).render(style), @r"
        VERSION     SERVED  FAILED  ANSWERS TO USERS  FAILURES SEEN
        first       10,000       0            10,000              0
        good        18,000       0            18,000              0
        failing         12       3                12              3
        crashing         0       0                 0              0
        no version       -       -                 0              0
        ");
        insta::assert_snapshot!(users(&record), @r"
        Users sent 28,012 requests, 3 (<0.1%) failed. Half were answered within 0.0 ms, 99% within 0.0 ms, all within 0.0 ms.
        Bad commits harmed 3 of them: 3 by the failing one, 0 by the crashing one.
        ");
    }

    #[test]
    fn the_timeline_names_the_flight_of_each_fact() {
        let mut record = story();
        record.flown.remove(&Chapter::Crashing);
        let text = timeline(&record, Style::default());
        let line =
            |part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_default().trim_start().to_owned();
        insta::assert_snapshot!(line("step 3 passed"), @"37.0s  good      production: step 3 passed: 2,000 requests, 0 failed");
        insta::assert_snapshot!(line("3 restarts"), @"1m 31s  44444444  test: taken back: its replicas crash: 3 restarts (exit status 101)");
        assert_eq!(timeline(&Record::default(), Style::default()), "nothing happened\n");
    }

    #[test]
    fn an_expectation_that_is_not_met_stands_out_also_without_colour() {
        let not_met = Expectation { name: "it lands", met: false, detail: "it is\nrejected".into() };
        assert_eq!(verdicts(std::slice::from_ref(&not_met), Style::default()), "  FAILED  it lands: it is rejected\n");
        let json = as_json(&story(), &[not_met], Duration::from_secs(80));
        assert_eq!((&json["met"], &json["duration_ms"]), (&json!(false), &json!(80_000)));
    }

    #[test]
    fn programs_read_the_same_numbers() {
        let record = story();
        let json = as_json(&record, &of(&record), Duration::from_secs(80));
        assert_eq!(json["met"], json!(true));
        assert_eq!(json["users"]["harmed_by_bad_commits"], json!(3));
        assert_eq!(json["flights"][2]["name"], json!("failing"));
        assert_eq!(json["flights"][2]["step_ms"], json!({"1%": 1000, "10%": null, "100%": null}));
        assert_eq!(json["flights"][1]["step_ms"], json!({"1%": 1000, "10%": 1000, "100%": 1000}));
    }
}
