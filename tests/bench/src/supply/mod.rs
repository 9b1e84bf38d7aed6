//! Images: built, pushed and built again, beside other people's tools and on their registry.

mod image;

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
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Image,
}

const PARTS: [Part; 1] = [Part::Image];

pub(crate) fn measure(extent: &Extent) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for part in PARTS.into_iter().filter(|part| extent.only.is_empty() || extent.only.contains(part)) {
        rows.extend(match part {
            Part::Image => image::measure(&extent.prograde)?,
        });
    }
    Ok(rows)
}
