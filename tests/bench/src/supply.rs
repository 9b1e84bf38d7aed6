//! The supply chain beside other people's tools, in the same run and in turn: images built, pushed and built again, the
//! registry of the real binary beside Debian's `docker-registry`, scans beside gitleaks, policies beside Kyverno's program.

mod image;
mod peer;
mod policy;
mod registry;
mod scan;
mod secrets;

use std::path::PathBuf;
use std::process::Command;

use anyhow::ensure;

use crate::table::Row;

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Extent {
    /// The `prograde` binary.
    #[arg(long)]
    prograde: PathBuf,
    /// Nothing but these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// The size of the large blob in MiB.
    #[arg(long, default_value_t = 1024)]
    blob_mib: u64,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Kyverno's own program, to be measured beside us.
    #[arg(long)]
    kyverno: Option<PathBuf>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Image,
    Registry,
    Scan,
    Secrets,
    Policy,
}

const PARTS: [Part; 5] = [Part::Image, Part::Registry, Part::Scan, Part::Secrets, Part::Policy];

pub(crate) fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for part in PARTS.into_iter().filter(|part| extent.only.is_empty() || extent.only.contains(part)) {
        rows.extend(match part {
            Part::Image => image::measure(&extent.prograde)?,
            Part::Registry => registry::measure(extent)?,
            Part::Scan => scan::measure(&extent.prograde)?,
            Part::Secrets => secrets::measure(&extent.prograde)?,
            Part::Policy => policy::measure(&extent.prograde, extent.kyverno.as_deref())?,
        });
    }
    Ok(rows)
}

/// Runs a command that has to succeed.
fn run_for(command: &mut Command) -> anyhow::Result<()> {
    let out = command.output()?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(())
}
