//! What a million series take in memory, in a process of its own.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, ensure};
use prograde_observe::tsdb::{Database, Options};
use prograde_observe::{Append as _, Incoming};
use serde_json::{Value, json};

use super::data::INTERVAL_MS;
use super::{count, now_ms, targets};
use crate::table::Row;

const SERIES: usize = 1_000_000;
/// Ten minutes.
const SCRAPES: i64 = 40;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

pub(super) fn measure() -> anyhow::Result<Vec<Row>> {
    let output = Command::new(std::env::current_exe()?).arg("hold").output()?;
    ensure!(output.status.success(), "holding a million series failed: {}", String::from_utf8_lossy(&output.stderr));
    let held: Value = serde_json::from_slice(&output.stdout)?;
    let of = |name: &str| held.get(name).and_then(Value::as_f64).with_context(|| format!("no {name}"));
    let name = format!("memory of {} series with 10 minutes of samples", of("series")?);
    Ok(vec![
        Row::below(&name, of("held")? / GIB, "GiB", 3.0, "under 3"),
        Row::below("the same with 3 hours of samples, calculated", of("three_hours")? / GIB, "GiB", 3.0, "under 3"),
    ])
}

/// Takes in the samples and tells what they take.
pub(crate) fn hold() -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let begin_ms = now_ms();
    let mut targets = targets(SERIES);
    // There is room for as many as come.
    let options = Options { series_max: 2 * SERIES, ..Options::new(folder.path(), begin_ms) };
    let before = resident()?;
    let database = Database::open(options)?;
    for scrape in 0..SCRAPES {
        for target in &mut targets {
            let timestamp = begin_ms + target.scrape(scrape);
            let batch: Vec<Incoming<'_>> =
                target.samples(timestamp).map(|(labels, sample)| Incoming { labels, sample }).collect();
            let appended = database.append(&batch)?;
            ensure!(appended.kept == batch.len(), "{appended:?}");
        }
    }
    let stats = database.stats()?;
    let held = resident()? - before;
    let series = count(stats.head_series)?;
    // Three hours are in memory at most; what more samples take is known from those that are there.
    let per_sample = count(stats.head_bytes / 1024)? * 1024.0 / count(stats.head_samples)?;
    let missing = series * f64::from(u32::try_from(3 * 3_600_000 / INTERVAL_MS - SCRAPES)?);
    Ok(json!({"series": series, "held": held, "three_hours": held + per_sample * missing}))
}

/// What this process has in memory, in bytes.
fn resident() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? * 1024.0)
}
