//! What dashboards ask, of a day of a thousand series each: the server and Prometheus in turn over HTTP, of the same samples,
//! with the same answers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use prograde_observe::tsdb::{Database, Options, Stats};
use prograde_observe::{Append as _, Incoming, Labels, Sample, Series};
use serde_json::Value;
use tokio::time::Instant;

use super::api::Api;
use super::data::INTERVAL_MS;
use super::ingest::prometheus_api;
use super::peer::{PROMETHEUS, Peer};
use super::{count, now_ms, remote_write, serve, targets};
use crate::harness::{Server, pause};
use crate::table::{Row, median};

const HOUR_MS: i64 = 3_600_000;
const ROUNDS: usize = 5;
/// Of these a thousand are a histogram's buckets, and a thousand gauges.
const SERIES: usize = 28 * super::SERIES_PER_TARGET;

/// What is asked, how many hours back, and how many seconds the steps are apart; no hours are now.
const QUERIES: [(&str, &str, i64, i64); 12] = [
    ("rates", "sum by (job, path) (rate(http_request_duration_seconds_bucket[5m]))", 24, 60),
    (
        "quantiles",
        "histogram_quantile(0.99, sum by (le, job) (rate(http_request_duration_seconds_bucket[5m])))",
        24,
        60,
    ),
    ("topk", "topk(10, rate(http_request_duration_seconds_bucket[5m]))", 24, 300),
    ("rates over 1 h", "sum by (path) (rate(http_request_duration_seconds_bucket[1h]))", 24, 60),
    ("averages over 1 h", "sum by (job) (avg_over_time(worker_memory_bytes[1h]))", 24, 60),
    ("largest over 1 h", "max by (job) (max_over_time(worker_memory_bytes[1h]))", 24, 60),
    ("sums over 1 h", "sum by (job) (sum_over_time(worker_memory_bytes[1h]))", 24, 60),
    ("sum by", "sum by (job) (worker_memory_bytes)", 24, 60),
    ("each series", "worker_memory_bytes", 24, 300),
    ("all rates of 1 h", "rate(http_request_duration_seconds_bucket[5m])", 1, 15),
    ("rates of 1 h", "sum by (job, path) (rate(http_request_duration_seconds_bucket[5m]))", 1, 15),
    ("topk now", "topk(10, sum by (instance) (rate(http_request_duration_seconds_bucket[5m])))", 0, 60),
];

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    // Both ends of the day are whole minutes, and the latest is over.
    let begin_ms = (now_ms() - 24 * HOUR_MS - 60_000) / 60_000 * 60_000;
    let folder = tempfile::tempdir()?;
    let prometheus = Peer::prometheus("scrape_configs: []\n", "")?;
    let stats = load(&folder.path().join("data/metrics"), &prometheus.api, begin_ms)?;
    let ours = count(stats.block_bytes)? / count(stats.block_samples)?;
    let row = Row::plain("a sample in blocks on the disk", ours, "bytes").beside(PROMETHEUS, in_blocks(&prometheus)?);
    let mut rows = vec![row.judged("at most 2", ours <= 2.0)];
    let server = Server::start_in(folder, serve(prograde))?;
    let both = [prometheus_api(&server), prometheus.api.clone()];
    for (name, query, hours, step_s) in QUERIES {
        let end_ms = begin_ms + 24 * HOUR_MS;
        let ask = Ask { query, start_ms: end_ms - hours * HOUR_MS, end_ms, step_ms: step_s * 1000 };
        let [ours, theirs] = compare(&both, &ask).with_context(|| query.to_owned())?;
        let name = match hours {
            0 => format!("query: {name}"),
            hours => format!("query: {name}, {hours} h by {step_s} s"),
        };
        rows.push(Row::plain(&name, ours, "ms").beside(PROMETHEUS, theirs).judged("at most theirs", ours <= theirs));
    }
    Ok(rows)
}

/// Gives both the same samples, ten minutes at a time.
fn load(folder: &Path, prometheus: &Api, begin_ms: i64) -> anyhow::Result<Stats> {
    let database = Database::open(Options::new(folder, begin_ms))?;
    let mut targets = targets(SERIES);
    for begin in (0..24 * HOUR_MS / INTERVAL_MS).step_by(40) {
        let mut gathered: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
        for scrape in begin..begin + 40 {
            for target in &mut targets {
                let timestamp = begin_ms + target.scrape(scrape);
                let batch: Vec<Incoming<'_>> =
                    target.samples(timestamp).map(|(labels, sample)| Incoming { labels, sample }).collect();
                let appended = database.append(&batch)?;
                ensure!(appended.kept == batch.len(), "{appended:?}");
                for Incoming { labels, sample } in batch {
                    gathered.entry(labels.clone()).or_default().push(sample);
                }
            }
        }
        let series: Vec<Series> =
            gathered.into_iter().map(|(labels, samples)| Series::of_floats(labels, samples)).collect();
        prometheus.write(&remote_write::request(&series))?;
        database.maintain(begin_ms + (begin + 40) * INTERVAL_MS)?;
    }
    Ok(database.stats()?)
}

/// How many bytes a sample takes in Prometheus' blocks, once it has made all that are due.
fn in_blocks(prometheus: &Peer) -> anyhow::Result<f64> {
    for _ in 0..600 {
        let status = prometheus.api.get_json("/api/v1/status/tsdb")?;
        let time = |name: &str| status.pointer(&format!("/data/headStats/{name}")).and_then(Value::as_i64);
        let (first, last) = time("minTime").zip(time("maxTime")).context("no times of the head")?;
        if last - first <= 3 * HOUR_MS {
            break;
        }
        pause(Duration::from_millis(100));
    }
    let (mut bytes, mut samples) = (0, 0);
    for entry in fs::read_dir(prometheus.data())? {
        let block = entry?.path();
        let Ok(text) = fs::read_to_string(block.join("meta.json")) else { continue };
        let meta: Value = serde_json::from_str(&text)?;
        samples += meta.pointer("/stats/numSamples").and_then(Value::as_u64).context("no number of samples")?;
        bytes += fs::metadata(block.join("index"))?.len();
        for chunks in fs::read_dir(block.join("chunks"))? {
            bytes += chunks?.metadata()?.len();
        }
    }
    ensure!(samples > 0, "prometheus has made no blocks");
    Ok(count(bytes)? / count(samples)?)
}

/// A question.
struct Ask {
    query: &'static str,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
}

impl Ask {
    fn of(&self, api: &Api) -> anyhow::Result<Vec<u8>> {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let query = ("query", self.query.to_owned());
        if self.start_ms == self.end_ms {
            return api.post_form("/api/v1/query", &[query, ("time", seconds(self.end_ms))]);
        }
        let (start, end) = (("start", seconds(self.start_ms)), ("end", seconds(self.end_ms)));
        api.post_form("/api/v1/query_range", &[query, start, end, ("step", seconds(self.step_ms))])
    }
}

/// How many milliseconds each takes, who have to answer the same.
fn compare(both: &[Api; 2], ask: &Ask) -> anyhow::Result<[f64; 2]> {
    let answers = [ask.of(&both[0])?, ask.of(&both[1])?];
    let [ours, theirs] = answers.each_ref().map(|body| serde_json::from_slice(body));
    same(&ours?, &theirs?)?;
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (api, took) in both.iter().zip(&mut took) {
            let begun = Instant::now();
            ask.of(api)?;
            took.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(took.map(median))
}

type Points = Vec<(f64, f64)>;

/// Compares answers to a relative error of a billionth of a thousandth: series are added up in another order.
fn same(ours: &Value, theirs: &Value) -> anyhow::Result<()> {
    let (ours, theirs) = (read(ours)?, read(theirs)?);
    ensure!(!ours.is_empty() && ours.len() == theirs.len(), "{} series here, {} there", ours.len(), theirs.len());
    for (labels, ours) in &ours {
        let theirs = theirs.get(labels).with_context(|| format!("{labels} is not there"))?;
        ensure!(ours.len() == theirs.len(), "{labels}: {} values here, {} there", ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            let time = (ours.0 - theirs.0).abs() < 0.000_5;
            let close = (ours.1 - theirs.1).abs() <= 1e-12 * ours.1.abs().max(theirs.1.abs());
            let same = time && (close || (ours.1.is_nan() && theirs.1.is_nan()));
            ensure!(same, "{labels}: {ours:?} here, {theirs:?} there");
        }
    }
    Ok(())
}

/// The points of each series.
fn read(body: &Value) -> anyhow::Result<BTreeMap<Labels, Points>> {
    let result = body.pointer("/data/result").and_then(Value::as_array).context("no result")?;
    let mut found = BTreeMap::new();
    for series in result {
        let labels = series.get("metric").and_then(Value::as_object).context("no labels")?;
        let labels = labels.iter().map(|(name, value)| (name, value.as_str().unwrap_or_default())).collect();
        let points = match series.get("values").and_then(Value::as_array) {
            Some(values) => values.iter().map(point).collect::<anyhow::Result<_>>()?,
            None => vec![point(series.get("value").context("no value")?)?],
        };
        found.insert(labels, points);
    }
    Ok(found)
}

fn point(pair: &Value) -> anyhow::Result<(f64, f64)> {
    let seconds = pair.get(0).and_then(Value::as_f64).context("no time")?;
    Ok((seconds, pair.get(1).and_then(Value::as_str).context("no value")?.parse()?))
}
