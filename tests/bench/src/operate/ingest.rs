//! How many samples a second are taken in, their log written.

use std::path::Path;

use anyhow::Context as _;
use prograde_observe::tsdb::{Database, Options};
use prograde_observe::{Append as _, Incoming, Sample, Series};
use tokio::time::Instant;

use super::api::Api;
use super::data::{INTERVAL_MS, Target};
use super::peer::{PROMETHEUS, Peer};
use super::{now_ms, per_second, remote_write, serve, targets};
use crate::harness::Server;
use crate::table::{Row, median};

const ROUNDS: usize = 3;
const SERIES: usize = 100_000;
/// How many targets write together, as a Prometheus sends some thousand samples at once.
const TARGETS_A_WRITE: usize = 60;

pub(super) fn measure(prograde: &Path) -> anyhow::Result<Vec<Row>> {
    Ok(vec![appended(1)?, appended(2)?, written(prograde)?])
}

/// Into the store itself, of targets that are scraped in turn by so many threads.
fn appended(threads: usize) -> anyhow::Result<Row> {
    const SCRAPES: usize = 20;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir()?;
        let begin_ms = now_ms();
        let database = Database::open(Options::new(folder.path(), begin_ms))?;
        let mut targets = targets(SERIES);
        // Made before, since it is not what is measured.
        let scrapes: Vec<Vec<Vec<f64>>> = targets
            .iter_mut()
            .map(|target| {
                let scrape = |count| {
                    target.scrape(count);
                    target.series.iter().map(|(_, value)| *value).collect()
                };
                (0..).take(SCRAPES).map(scrape).collect()
            })
            .collect();
        let begun = Instant::now();
        let share = targets.len().div_ceil(threads);
        let appended: anyhow::Result<usize> = std::thread::scope(|scope| {
            let database = &database;
            let parts = targets.chunks(share).zip(scrapes.chunks(share));
            let running: Vec<_> = parts
                .map(|(targets, scrapes)| scope.spawn(move || feed(database, begin_ms, targets, scrapes)))
                .collect();
            running.into_iter().map(|one| one.join().map_err(|_| anyhow::anyhow!("a writer failed"))?).sum()
        });
        rounds.push(per_second(appended?, begun.elapsed().as_secs_f64())?);
    }
    let value = median(rounds);
    let name = format!("taken in by the store, 100,000 series, {threads} at once");
    Ok(Row::plain(&name, value, "samples/s").judged("at least 500,000", value >= 500_000.0))
}

fn feed(database: &Database, begin_ms: i64, targets: &[Target], scrapes: &[Vec<Vec<f64>>]) -> anyhow::Result<usize> {
    let mut kept = 0;
    let count = scrapes.first().map_or(0, Vec::len);
    for (step, timestamp) in (0..count).zip((begin_ms..).step_by(15_000)) {
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

/// Over HTTP by Prometheus' remote write, into the server and into Prometheus in turn, two at once.
fn written(prograde: &Path) -> anyhow::Result<Row> {
    const SCRAPES: i64 = 10;
    let begin_ms = now_ms() - (SCRAPES + 1) * INTERVAL_MS;
    let mut targets = targets(SERIES);
    let samples = targets.iter().map(|target| target.series.len()).sum::<usize>() * usize::try_from(SCRAPES)?;
    let mut lanes = [Vec::new(), Vec::new()];
    for scrape in 0..SCRAPES {
        for (place, together) in targets.chunks_mut(TARGETS_A_WRITE).enumerate() {
            // A series stays in one lane, so that its samples come in order.
            if let Some(lane) = lanes.get_mut(place % 2) {
                lane.push(body(together, begin_ms, scrape));
            }
        }
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let server = Server::start_in(tempfile::tempdir()?, serve(prograde))?;
        ours.push(per_second(samples, send(&prometheus_api(&server), &lanes)?)?);
        let prometheus = Peer::prometheus("scrape_configs: []\n", "")?;
        theirs.push(per_second(samples, send(&prometheus.api, &lanes)?)?);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let row = Row::plain("taken in over HTTP, remote write, 2 at once", ours, "samples/s");
    Ok(row.beside(PROMETHEUS, theirs).judged("at least theirs", ours >= theirs))
}

/// Where the server answers as Prometheus does.
pub(super) fn prometheus_api(server: &Server) -> Api {
    Api::new(format!("{}/prometheus", server.url()), Some(server.token().to_owned()))
}

fn body(targets: &mut [Target], begin_ms: i64, scrape: i64) -> Vec<u8> {
    let mut all = Vec::new();
    for target in targets {
        let timestamp = begin_ms + target.scrape(scrape);
        let of =
            |(labels, sample): (&prograde_observe::Labels, Sample)| Series::of_floats(labels.clone(), vec![sample]);
        all.extend(target.samples(timestamp).map(of));
    }
    remote_write::request(&all)
}

/// How many seconds it takes to write all.
fn send(api: &Api, lanes: &[Vec<Vec<u8>>]) -> anyhow::Result<f64> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let lane = |bodies| move || bodies_written(api, bodies);
        let running: Vec<_> = lanes.iter().map(|bodies| scope.spawn(lane(bodies))).collect();
        running.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("a writer failed"))?)
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

fn bodies_written(api: &Api, bodies: &[Vec<u8>]) -> anyhow::Result<()> {
    bodies.iter().try_for_each(|body| api.write(body))
}
