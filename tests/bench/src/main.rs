//! Measures what the product promises, on the real binary and the real journal. Every measurement prints a table and
//! writes `target/bench/<name>.json`: an array of `{name, value, unit, peer, peer_value, ratio, goal, met}`.

mod flags;
mod flight;
mod gitops;
mod harness;
mod journal;
mod judge;
mod load;
mod memory;
mod operate;
mod supply;
mod table;

use std::path::PathBuf;

use clap::Parser;

/// The one of the product, as it is part of what is measured.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What to measure.
#[derive(Debug, Parser)]
enum Bench {
    /// Journal appends per second.
    Journal(Place),
    /// How well canaries are judged, beside other rules.
    Judge(Judging),
    /// How long a feature flag takes to evaluate.
    Flags(Place),
    /// Time series, queries, rules and alerts, beside Prometheus and Alertmanager.
    Operate(Operating),
    /// Takes in a million series and tells what they take: a part of `operate`, in a process of its own.
    #[command(hide = true)]
    Hold,
    /// Images and the registry, beside buildah, skopeo and Debian's registry.
    Supply(Supplying),
    /// Rendering, beside Kustomize.
    Gitops(Rendering),
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

/// What is measured of operating.
#[derive(Debug, clap::Args)]
struct Operating {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    extent: operate::Extent,
}

/// What is measured of images.
#[derive(Debug, clap::Args)]
struct Supplying {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    extent: supply::Extent,
}

/// What is measured of rendering.
#[derive(Debug, clap::Args)]
struct Rendering {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    extent: gitops::Extent,
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
        Bench::Operate(operating) => {
            table::publish("operate", &operating.place.out, &operate::measure(&operating.extent)?)
        }
        Bench::Supply(supplying) => {
            table::publish("supply", &supplying.place.out, &supply::measure(&supplying.extent)?)
        }
        Bench::Gitops(rendering) => {
            table::publish("gitops", &rendering.place.out, &gitops::measure(&rendering.extent)?)
        }
        Bench::Hold => table::print(&operate::hold()?),
        Bench::Flight(binaries) => {
            let mut rows = flight::measure(&binaries)?;
            rows.push(memory::measure(&binaries)?);
            table::publish("flight", &binaries.place.out, &rows)
        }
    }
}
