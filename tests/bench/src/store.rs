//! The embedded store of time series: how much it takes in, how little it needs, and how fast it answers beside Prometheus.

mod data;
mod peer;
#[path = "../../../crates/observe/tests/observe/remote_write.rs"]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "shared with tests")]
mod remote_write;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use prograde_observe::evaluate::{Options as Query, range};
use prograde_observe::tsdb::{Database, Options};
use prograde_observe::{Append as _, Incoming, Labels, Sample, Series, promql};
use serde_json::Value;
use tokio::time::Instant;

use crate::table::{Row, median};
use data::{BEGIN_MS, INTERVAL_MS, SERIES_PER_TARGET, Target};
use peer::Prometheus;

const HOUR_MS: i64 = 3_600_000;
const RUNS: usize = 3;

/// What a dashboard asks, of 1,000 series over a day.
const QUERIES: [(&str, &str); 4] = [
    ("rates by job", "sum by (job) (rate(http_requests_total[5m]))"),
    ("99th percentile", "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))"),
    ("the ten busiest", "topk(10, sum by (instance) (rate(http_request_duration_seconds_bucket{le=\"+Inf\"}[5m])))"),
    ("rates over an hour", "sum by (path) (rate(http_request_duration_seconds_bucket[1h]))"),
];

/// What is measured.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Extent {
    /// Also how much memory a million series take.
    #[arg(long)]
    million: bool,
}

pub(crate) fn measure(extent: Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![ingest(1)?, ingest(2)?];
    rows.extend(day()?);
    if extent.million {
        rows.extend(million()?);
    }
    Ok(rows)
}

fn targets(series: usize) -> Vec<Target> {
    (0..).take(series / SERIES_PER_TARGET).map(Target::new).collect()
}

fn per_second(count: usize, seconds: f64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?) / seconds)
}

fn count(count: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}

/// Samples a second, log included, of targets that are scraped in turn by so many threads.
fn ingest(threads: usize) -> anyhow::Result<Row> {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let folder = tempfile::tempdir()?;
        let database = Database::open(Options::new(folder.path(), BEGIN_MS))?;
        let mut targets = targets(100_000);
        // Made before, since it is not what is measured.
        let scrapes: Vec<Vec<Vec<f64>>> = targets
            .iter_mut()
            .map(|target| {
                let scrape = |count| {
                    target.scrape(count);
                    target.series.iter().map(|(_, value)| *value).collect()
                };
                (0..20).map(scrape).collect()
            })
            .collect();
        let begin = Instant::now();
        let share = targets.len().div_ceil(threads);
        let appended: anyhow::Result<usize> = std::thread::scope(|scope| {
            let database = &database;
            let parts = targets.chunks(share).zip(scrapes.chunks(share));
            let running: Vec<_> =
                parts.map(|(targets, scrapes)| scope.spawn(move || feed(database, targets, scrapes))).collect();
            running.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a writer failed"))?).sum()
        });
        runs.push(per_second(appended?, begin.elapsed().as_secs_f64())?);
    }
    let value = median(runs);
    let name = format!("samples taken in, 100,000 series, {threads} at once");
    Ok(Row::plain(&name, value, "samples/s").judged("500,000", value >= 500_000.0))
}

fn feed(database: &Database, targets: &[Target], scrapes: &[Vec<Vec<f64>>]) -> anyhow::Result<usize> {
    let mut kept = 0;
    for (step, timestamp) in (0..20).zip((BEGIN_MS..).step_by(15_000)) {
        for (target, scrapes) in targets.iter().zip(scrapes) {
            let values = scrapes.get(step).context("a scrape is missing")?;
            let batch: Vec<Incoming<'_>> = target
                .series
                .iter()
                .zip(values)
                .map(|((labels, _), value)| Incoming { labels, sample: Sample { timestamp, value: *value } })
                .collect();
            kept += database.append(&batch)?.kept;
        }
    }
    Ok(kept)
}

/// A day of 1,000 series, in the store and in Prometheus.
fn day() -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let database = Database::open(Options::new(folder.path(), BEGIN_MS))?;
    let prometheus = Prometheus::start()?;
    load(&database, prometheus.as_ref())?;
    let stats = database.stats()?;
    let bytes = count(stats.block_bytes)? / count(stats.block_samples)?;
    let mut rows = vec![Row::plain("bytes a sample in blocks", bytes, "bytes").judged("at most 2", bytes <= 2.0)];
    for (name, query) in QUERIES {
        rows.push(ask(&database, prometheus.as_ref(), name, query)?);
    }
    Ok(rows)
}

/// Gives both the same samples, ten minutes at a time.
fn load(database: &Database, prometheus: Option<&Prometheus>) -> anyhow::Result<()> {
    let mut targets = targets(1000);
    for begin in (0..24 * HOUR_MS / INTERVAL_MS).step_by(40) {
        let mut gathered: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
        for scrape in begin..begin + 40 {
            for target in &mut targets {
                let timestamp = target.scrape(scrape);
                let batch: Vec<Incoming<'_>> =
                    target.samples(timestamp).map(|(labels, sample)| Incoming { labels, sample }).collect();
                let appended = database.append(&batch)?;
                ensure!(appended.kept == batch.len(), "{appended:?}");
                for Incoming { labels, sample } in batch {
                    gathered.entry(labels.clone()).or_default().push(sample);
                }
            }
        }
        let series: Vec<Series> = gathered.into_iter().map(|(labels, samples)| Series { labels, samples }).collect();
        if let Some(prometheus) = prometheus {
            prometheus.write(&series)?;
        }
        database.maintain(BEGIN_MS + (begin + 40) * INTERVAL_MS)?;
    }
    Ok(())
}

/// A range query over the day with a value each minute.
fn ask(database: &Database, prometheus: Option<&Prometheus>, name: &str, query: &str) -> anyhow::Result<Row> {
    let (start_ms, end_ms, step_ms) = (BEGIN_MS, BEGIN_MS + 24 * HOUR_MS, 60_000);
    let expression = promql::parse(query)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let begin = Instant::now();
        let answer = range(&expression, database, start_ms, end_ms, step_ms, &Query::default())?;
        ours.push(begin.elapsed().as_secs_f64() * 1000.0);
        if let Some(prometheus) = prometheus {
            let begin = Instant::now();
            let body = prometheus.query(query, start_ms, end_ms, step_ms)?;
            theirs.push(begin.elapsed().as_secs_f64() * 1000.0);
            same(&answer, &body).with_context(|| query.to_owned())?;
        }
    }
    let row = Row::plain(&format!("query over 24 h: {name}"), median(ours), "ms");
    Ok(if theirs.is_empty() { row } else { row.beside("prometheus 2.42, with HTTP and JSON", median(theirs)) })
}

/// Compares answers to a relative error of a billionth: sums are added up in another order.
fn same(ours: &[Series], body: &Value) -> anyhow::Result<()> {
    let result = body.pointer("/data/result").and_then(Value::as_array).context("no result")?;
    ensure!(!ours.is_empty() && result.len() == ours.len(), "{} series here, {} there", ours.len(), result.len());
    let mut theirs: BTreeMap<Labels, &Vec<Value>> = BTreeMap::new();
    for series in result {
        let labels = series.get("metric").and_then(Value::as_object).context("no labels")?;
        let labels = labels.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default())).collect();
        theirs.insert(labels, series.get("values").and_then(Value::as_array).context("no values")?);
    }
    for Series { labels, samples } in ours {
        let values = theirs.get(labels).with_context(|| format!("{labels} is not there"))?;
        ensure!(values.len() == samples.len(), "{labels}: {} values here, {} there", samples.len(), values.len());
        for (sample, pair) in samples.iter().zip(values.iter()) {
            let seconds = pair.get(0).and_then(Value::as_f64).context("no time")?;
            let value: f64 = pair.get(1).and_then(Value::as_str).context("no value")?.parse()?;
            #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 are counted exactly")]
            let time = (seconds * 1000.0 - sample.timestamp as f64).abs() < 0.5;
            let close = (value - sample.value).abs() <= 1e-9 * value.abs().max(sample.value.abs());
            ensure!(
                time && (close || (value.is_nan() && sample.value.is_nan())),
                "{labels}: {sample:?} here, {pair} there"
            );
        }
    }
    Ok(())
}

/// What a million series take in memory, each with ten minutes of samples.
fn million() -> anyhow::Result<Vec<Row>> {
    const SCRAPES: i64 = 40;
    let folder = tempfile::tempdir()?;
    let mut targets = targets(1_000_000);
    let before = resident()?;
    let database = Database::open(Options::new(folder.path(), BEGIN_MS))?;
    for scrape in 0..SCRAPES {
        for target in &mut targets {
            let timestamp = target.scrape(scrape);
            let batch: Vec<Incoming<'_>> =
                target.samples(timestamp).map(|(labels, sample)| Incoming { labels, sample }).collect();
            database.append(&batch)?;
        }
    }
    let stats = database.stats()?;
    let held = resident()? - before;
    let series = count(stats.head_series)?;
    // Three hours are in memory at most; what more samples take is known from those that are there.
    let per_sample = count(stats.head_bytes / 1024)? * 1024.0 / count(stats.head_samples)?;
    let three_hours = held + per_sample * series * f64::from(u32::try_from(3 * HOUR_MS / INTERVAL_MS - SCRAPES)?);
    let gib = f64::from(1 << 30);
    Ok(vec![
        Row::below(&format!("{series} series, 10 minutes of samples, resident"), held / gib, "GiB", 3.0, "under 3"),
        Row::below("the same with 3 hours at 15 s, calculated", three_hours / gib, "GiB", 3.0, "under 3"),
    ])
}

fn resident() -> anyhow::Result<f64> {
    let status = fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? * 1024.0)
}
