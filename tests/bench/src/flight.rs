//! What control adds to a flight, and how many requests a bad commit harms.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::Value;

use crate::Binaries;
use crate::harness::{Repository, Server};
use crate::load::Load;
use crate::table::{Row, median};

/// Requests a second while flights go on.
const RATE: u32 = 200;

pub(crate) fn measure(binaries: &Binaries) -> anyhow::Result<Vec<Row>> {
    let server = Server::start(binaries)?;
    let repository = Repository::create(&server, &binaries.example, "meter", "1s")?;
    landed(&server.ended("meter", &repository.push("first")?)?)?;
    let url = server.address("meter")?;
    let mut overheads = Vec::new();
    let mut harmed = Vec::new();
    for run in 0..binaries.runs {
        let load = Load::start(&url, RATE * 5);
        let flight = server.ended("meter", &repository.push(&format!("good {run}"))?)?;
        let failed = load.stop();
        landed(&flight)?;
        ensure!(failed == 0, "{failed} requests failed during a good rollout");
        overheads.push(overhead_ms(&flight)?);

        repository.set_error_share("0.2")?;
        let load = Load::start(&url, RATE);
        let flight = server.ended("meter", &repository.push(&format!("bad {run}"))?)?;
        harmed.push(f64::from(u32::try_from(load.stop())?));
        ensure!(text(&flight, "stage") == "rolled_back", "the bad commit was not rolled back: {flight}");
        repository.restore()?;
    }
    Ok(vec![
        Row::below(
            "flight, push received to 100%, less build and bake",
            median(overheads),
            "ms",
            1_000.0,
            "under 1000",
        ),
        Row::below(
            "failed requests of a bad commit: 200/s, 1%, 20% errors",
            median(harmed),
            "requests",
            60.0,
            "under 60",
        ),
    ])
}

fn landed(flight: &Value) -> anyhow::Result<()> {
    ensure!(
        text(flight, "stage") == "landed",
        "the flight did not land: {} {}",
        text(flight, "stage"),
        text(flight, "detail")
    );
    Ok(())
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// From the first event to the last promotion, less what jobs and steps took by themselves.
fn overhead_ms(flight: &Value) -> anyhow::Result<f64> {
    let events = flight.get("events").and_then(Value::as_array).context("the flight has no events")?;
    let at = |event: &Value| -> anyhow::Result<Timestamp> { Ok(text(event, "at").parse()?) };
    let of_type = |name: &'static str| events.iter().filter(move |e| text(e, "type") == name);
    let first = at(events.first().context("no event")?)?;
    let last = at(of_type("rollout.promoted").next_back().context("nothing was promoted")?)?;
    let mut own = last.duration_since(first);
    for (begin, end) in
        [("pipeline.job_started", "pipeline.job_finished"), ("rollout.step_entered", "rollout.step_passed")]
    {
        for (begin, end) in of_type(begin).zip(of_type(end)) {
            own -= at(end)?.duration_since(at(begin)?);
        }
    }
    Ok(own.as_secs_f64() * 1_000.0)
}
