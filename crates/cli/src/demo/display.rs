//! What is shown while the demo runs: a line for each fact, and below them, on a terminal only, what is going on now.
//!
//! Invariant: what is redrawn goes to a terminal alone, and nothing of it stays behind.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::chapter::Chapter;
use super::expectations::Expectation;
use super::feed::Moment;
use super::record::PRODUCTION;
use super::tally::{Count, Tallies};
use crate::printer::{Printer, one_line};
use crate::sentence;
use crate::text::{count, failures, span_ms};
use crate::wire::{FlightView, Status, TargetView};

/// Writes facts, and keeps the present below them.
pub(crate) struct Display<'a> {
    printer: &'a Printer,
    began: Instant,
    is_live: bool,
    drawn: usize,
    users: Pace,
}

/// What is going on.
pub(crate) struct Present<'a> {
    /// Since when the commit flies.
    pub(crate) since: Instant,
    /// Its flight, once it has one.
    pub(crate) flight: Option<&'a FlightView>,
    /// What runs.
    pub(crate) status: &'a Status,
    /// What the versions are called.
    pub(crate) name_of: &'a dyn Fn(&prograde_model::ids::FlightId) -> String,
    /// What users see.
    pub(crate) tallies: &'a Tallies,
}

/// How fast requests come.
struct Pace {
    at: Instant,
    requests: u64,
    per_s: f64,
}

impl<'a> Display<'a> {
    /// A display; `is_live` says that stderr is a terminal.
    pub(crate) fn new(printer: &'a Printer, is_live: bool) -> Self {
        let is_live = is_live && !printer.style().json && !printer.style().quiet;
        let began = Instant::now();
        Self { printer, began, is_live, drawn: 0, users: Pace { at: began, requests: 0, per_s: 0.0 } }
    }

    /// Whether the present is shown.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, verb: &str, text: &str) {
        self.clear();
        self.printer.note(verb, one_line(text));
    }

    /// A fact, at the time at which it became known. One that only matters with the next is left out.
    pub(crate) fn fact(&mut self, moment: &Moment) {
        if moment.is_news() {
            let (tone, text) = sentence::event(&moment.view);
            self.clear();
            let text = tone.paint(&text, self.printer.style().colour_errors);
            self.printer.note(&span_ms(whole_ms(self.began.elapsed())), text);
        }
    }

    /// An expectation, and whether it was met.
    pub(crate) fn verdict(&mut self, expectation: &Expectation) {
        let Expectation { name, met, detail } = expectation;
        let text = format!("{name}: {}", one_line(detail));
        self.clear();
        if *met { self.printer.note("ok", text) } else { self.printer.warning(format!("not so: {text}")) }
    }

    /// A heading that stays.
    pub(crate) fn head(&mut self, chapter: Chapter) {
        if self.is_live {
            self.clear();
            self.printer.draw("\n");
        }
        let number = format!("{} of {}: {:?}", chapter.number(), Chapter::ALL.len(), chapter.message());
        self.say("Flight", &number);
    }

    /// Shows the present instead of what was shown of it before.
    pub(crate) fn show(&mut self, present: &Present<'_>) {
        if !self.is_live {
            return;
        }
        let pace = self.users.now(present.tallies.tally().all);
        let lines = lines(present, pace);
        self.printer.draw(&frame(&lines, self.drawn));
        self.drawn = lines.len();
    }

    /// Takes the present away.
    pub(crate) fn clear(&mut self) {
        if self.drawn > 0 {
            self.printer.draw(&frame(&[], self.drawn));
            self.drawn = 0;
        }
    }
}

impl Drop for Display<'_> {
    /// Also when the demo is stopped half-way.
    fn drop(&mut self) {
        self.clear();
    }
}

impl Pace {
    /// Requests in a second, over the last half second or more.
    fn now(&mut self, count: Count) -> f64 {
        let passed = self.at.elapsed();
        if passed >= Duration::from_millis(500) {
            let requests = u32::try_from(count.requests.saturating_sub(self.requests)).unwrap_or(u32::MAX);
            self.per_s = f64::from(requests) / passed.as_secs_f64();
            (self.at, self.requests) = (Instant::now(), count.requests);
        }
        self.per_s
    }
}

/// Goes up over what was drawn, erases it and draws anew (ECMA-48). Lines are cut at the terminal's edge and not
/// wrapped, so that their number is known.
fn frame(lines: &[String], drawn: usize) -> String {
    let mut text = if drawn > 0 { format!("\x1b[{drawn}A\r\x1b[J") } else { String::new() };
    text.push_str("\x1b[?7l");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("\x1b[?7h");
    text
}

fn lines(present: &Present<'_>, pace: f64) -> Vec<String> {
    let since = span_ms(whole_ms(present.since.elapsed()));
    let mut lines = vec![format!("{:>12} {}", since, stage(present.flight))];
    let production = present.status.targets.iter().find(|t| t.environment.as_str() == PRODUCTION);
    if let Some(production) = production {
        lines.push(format!("{:>12} {}", "traffic", traffic(production, present.name_of)));
    }
    let all = present.tallies.tally().all;
    if all.requests > 0 {
        lines.push(format!("{:>12} {}", "users", users(all, pace, present.tallies)));
    }
    lines.iter().map(|line| one_line(line)).collect()
}

fn stage(flight: Option<&FlightView>) -> String {
    let Some(flight) = flight else { return "pushing".to_owned() };
    let summary = &flight.summary;
    let mut text = summary.stage.clone();
    let Some(environment) = &summary.environment else {
        return if summary.detail.is_empty() { text } else { format!("{text}: {}", summary.detail) };
    };
    let _infallible = write!(text, " in {environment}");
    let entry = flight.environments.iter().find(|entry| entry.environment == *environment);
    match entry.and_then(|entry| Some((entry, entry.verdict.as_ref()?, entry.step?))) {
        Some((entry, verdict, (step, steps))) => {
            format!("{text}, step {} of {steps}: {}", step + 1, sentence::opinion(verdict, &entry.metrics))
        }
        None => format!("{text}: {}", summary.detail),
    }
}

fn traffic(target: &TargetView, name_of: &dyn Fn(&prograde_model::ids::FlightId) -> String) -> String {
    let shares = target.versions.iter().map(|version| {
        let waiting = version.waiting.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        format!("{} {}%{waiting}", name_of(&version.flight), version.weight)
    });
    shares.collect::<Vec<_>>().join(", ")
}

fn users(all: Count, pace: f64, tallies: &Tallies) -> String {
    let latency = tallies.latency();
    let quantile = |percent| latency.quantile(percent).unwrap_or_default().as_secs_f64() * 1000.0;
    format!(
        "{pace:.0} requests/s, {} of {} failed, half answered within {:.1} ms, 99% within {:.1} ms",
        failures(all.failures, all.requests),
        count(all.requests),
        quantile(50),
        quantile(99)
    )
}

/// Whole milliseconds.
pub(crate) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::printer::Style;
    use crate::printer::testing::printed;

    #[test]
    fn a_frame_takes_the_place_of_the_one_before() {
        assert_eq!(frame(&["a".into()], 0), "\x1b[?7la\n\x1b[?7h");
        assert_eq!(frame(&["a".into(), "b".into()], 1), "\x1b[1A\r\x1b[J\x1b[?7la\nb\n\x1b[?7h");
    }

    fn status() -> Status {
        let version = |flight: &str, weight: u8, waiting: Option<&str>| {
            json!({"flight": flight.repeat(32), "commit": "c".repeat(40), "weight": weight, "replicas": 2, "ready": 2,
                "restarts": 0, "waiting": waiting, "counters": {"requests": 0, "failures": 0, "latency_us_sum": 0}})
        };
        let target = json!({"service": "pad", "environment": "production", "addresses": [], "trouble": null,
            "versions": [version("a", 99, None), version("b", 1, Some("waiting for the readiness probe"))]});
        let status = json!({"version": "0", "sequence": 1, "targets": [target], "active": [], "quarantines": []});
        serde_json::from_value(status).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_present_says_what_is_waited_for_and_who_gets_traffic() {
        let tallies = Tallies::new(Vec::new());
        tallies.count(&super::super::tally::Answer::Missing(super::super::tally::Failure::Late), Duration::ZERO);
        let name_of = |id: &prograde_model::ids::FlightId| id.short().to_owned();
        let status = status();
        let present =
            Present { since: Instant::now(), flight: None, status: &status, name_of: &name_of, tallies: &tallies };
        insta::assert_snapshot!(lines(&present, 499.6).join("\n"), @r"
                 0ms pushing
             traffic aaaaaaaa 99%, bbbbbbbb 1% (waiting for the readiness probe)
               users 500 requests/s, 1 (100.0%) of 1 failed, half answered within 0.0 ms, 99% within 0.0 ms
        ");
    }

    #[tokio::test]
    async fn nothing_is_redrawn_where_there_is_no_terminal() {
        let (out, err) = printed(Style::default(), |printer| {
            let mut display = Display::new(printer, false);
            let (tallies, status) = (Tallies::new(Vec::new()), status());
            let name_of = |id: &prograde_model::ids::FlightId| id.short().to_owned();
            let since = Instant::now();
            let present = Present { since, flight: None, status: &status, name_of: &name_of, tallies: &tallies };
            display.show(&present);
            display.say("Pushed", "a\x1b[2Jb");
            display.show(&present);
            display.clear();
            Ok(())
        });
        assert_eq!((out.as_str(), err.as_str()), ("", "      Pushed a\u{fffd}[2Jb\n"));
    }
}
