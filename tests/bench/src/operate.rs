//! Operating: time series, queries, rules and alerts in the real server, beside Debian's Prometheus and Alertmanager.

mod alerts;
mod api;
mod data;
mod ingest;
mod memory;
mod page;
mod peer;
mod queries;
#[path = "../../../crates/observe/tests/observe/remote_write.rs"]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "shared with tests")]
mod remote_write;
mod site;

use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;

use crate::table::Row;
use data::{SERIES_PER_TARGET, Target};

pub(crate) use memory::hold;

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// The `prograde` binary.
    #[arg(long)]
    prograde: PathBuf,
    /// Nothing but these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Ingest,
    Memory,
    Queries,
    Page,
    Alerts,
}

const PARTS: [Part; 5] = [Part::Ingest, Part::Memory, Part::Queries, Part::Page, Part::Alerts];

pub(crate) fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for part in PARTS.into_iter().filter(|part| extent.only.is_empty() || extent.only.contains(part)) {
        rows.extend(match part {
            Part::Ingest => ingest::measure(&extent.prograde)?,
            Part::Memory => memory::measure()?,
            Part::Queries => queries::measure(&extent.prograde)?,
            Part::Page => page::measure(&extent.prograde)?,
            Part::Alerts => alerts::measure(&extent.prograde)?,
        });
    }
    Ok(rows)
}

/// The server as a command.
fn serve(prograde: &Path) -> Command {
    let mut command = Command::new(prograde);
    command.arg("serve");
    command
}

/// Targets with about so many series.
fn targets(series: usize) -> Vec<Target> {
    (0..).take(series.div_ceil(SERIES_PER_TARGET)).map(Target::new).collect()
}

#[expect(clippy::disallowed_methods, reason = "the servers that are measured go by the time of day")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn now_ms() -> i64 {
    now().as_millisecond()
}

fn per_second(count: usize, seconds: f64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?) / seconds)
}

fn count(count: u64) -> anyhow::Result<f64> {
    Ok(f64::from(u32::try_from(count)?))
}
