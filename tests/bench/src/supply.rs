//! Images: built, pushed and built again beside other people's tools, and the registry of the real binary beside Debian's
//! `docker-registry`, in the same run and in turn.

mod image;
mod peer;
mod registry;

use std::path::PathBuf;

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
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Image,
    Registry,
}

const PARTS: [Part; 2] = [Part::Image, Part::Registry];

pub(crate) fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for part in PARTS.into_iter().filter(|part| extent.only.is_empty() || extent.only.contains(part)) {
        rows.extend(match part {
            Part::Image => image::measure(&extent.prograde)?,
            Part::Registry => registry::measure(extent)?,
        });
    }
    Ok(rows)
}
