//! Measures what the product promises, on the real binary and the real journal. Every measurement prints a table and
//! writes `target/bench/<name>.json`: an array of `{name, value, unit, peer, peer_value, ratio, goal, met}`.

mod flags;
mod flight;
mod harness;
mod journal;
mod judge;
mod load;
mod memory;
mod store;
mod table;

use std::path::PathBuf;

use clap::Parser;

/// What to measure.
#[derive(Debug, Parser)]
enum Bench {
    /// Journal appends per second.
    Journal(Place),
    /// How well canaries are judged, beside other rules.
    Judge(Judging),
    /// How long a feature flag takes to evaluate.
    Flags(Place),
    /// The store of time series: what it takes in, what it needs, and how fast it answers.
    Store(Storing),
    /// What control adds to a flight, and what a bad commit harms.
    Flight(Binaries),
}

/// Where results go.
#[derive(Debug, clap::Args)]
struct Place {
    /// The folder for the JSON file.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// What the store is asked to do.
#[derive(Debug, clap::Args)]
struct Storing {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    extent: store::Extent,
}

/// How canaries are judged.
#[derive(Debug, clap::Args)]
struct Judging {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    runs: judge::Runs,
    /// A folder for plots of the results.
    #[arg(long)]
    plots: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, clap::Args)]
struct Binaries {
    #[command(flatten)]
    place: Place,
    /// The `prograde` binary.
    #[arg(long)]
    prograde: PathBuf,
    /// A built `examples/pad`.
    #[arg(long)]
    pad: PathBuf,
    /// The folder `examples/pad`.
    #[arg(long, default_value = "examples/pad")]
    example: PathBuf,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
}

fn main() -> anyhow::Result<()> {
    match Bench::parse() {
        Bench::Journal(place) => table::publish("journal", &place.out, &journal::measure()?),
        Bench::Judge(judging) => {
            table::publish("judge", &judging.place.out, &judge::run(judging.runs, judging.plots.as_deref())?)
        }
        Bench::Flags(place) => table::publish("flags", &place.out, &flags::measure()?),
        Bench::Store(storing) => table::publish("store", &storing.place.out, &store::measure(storing.extent)?),
        Bench::Flight(binaries) => {
            let mut rows = flight::measure(&binaries)?;
            rows.push(memory::measure(&binaries)?);
            table::publish("flight", &binaries.place.out, &rows)
        }
    }
}
