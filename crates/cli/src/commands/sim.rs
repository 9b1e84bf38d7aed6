//! `prograde sim`: the simulator, for whoever wants to know what their settings do before production tells them.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use prograde_control::config;
use prograde_sim::{Kind, Line, Run, Scenario, Settings, Sweep, SweepError, Tally, run as fly, sweep};
use serde_json::json;
use tokio::time::Instant;

use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Printer, Tone, cleaned};
use crate::report::{self, Report};
use crate::text::{count, counted, share, span_ms};

/// How large a `prograde.yaml` may be, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Fly releases in a simulated world, faults and all, and check every promise
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde sim --seeds 10000
  prograde sim --config prograde.yaml --rate 20
  prograde sim --seed 42 --story

A seed decides everything: the same seed gives the same story. The exit code is 1 if a promise was broken.")]
pub(crate) struct SimArgs {
    /// How many seeds to run
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    from: u64,
    /// Run this seed alone
    #[arg(long, value_name = "SEED", conflicts_with_all = ["seeds", "from"])]
    seed: Option<u64>,
    /// Tell the seed's story although it breaks nothing
    #[arg(long, requires = "seed")]
    story: bool,
    /// Take environments, steps and analysis from this file; by default each seed draws them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many requests arrive a second; by default that is drawn and changes
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// How many seeds to run at a time; by default one for each processor
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

/// Runs the seeds.
pub(crate) fn run(app: &App, args: &SimArgs) -> Result<Exit, Report> {
    let settings = Settings { config: args.config.as_deref().map(read).transpose()?, rate: args.rate };
    match args.seed {
        Some(seed) => one(app, args, seed, &settings),
        None => many(app, args, &settings),
    }
}

fn one(app: &App, args: &SimArgs, seed: u64, settings: &Settings) -> Result<Exit, Report> {
    let scenario = Scenario::draw(seed, settings).map_err(|error| failed(args, SweepError::Settings(error)))?;
    let run = fly(&scenario, true).map_err(|error| failed(args, SweepError::System(error)))?;
    let printer = &app.printer;
    if printer.style().json {
        printer.json(&run)?;
    } else {
        if args.story || !run.broken.is_empty() {
            tell(printer, args, &run, &scenario)?;
        }
        printer.text(summary(&run.tally))?;
    }
    verdict(printer, 1, u64::from(!run.broken.is_empty()), seed)
}

fn many(app: &App, args: &SimArgs, settings: &Settings) -> Result<Exit, Report> {
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let begin = Instant::now();
    // Ctrl-C ends the process, and with it the threads: nothing outlives a run.
    let never = AtomicBool::new(false);
    let swept = sweep(args.from, args.seeds, settings, threads, &never).map_err(|error| failed(args, error))?;
    let took_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let printer = &app.printer;
    if printer.style().json {
        printer.json(&json!({"took_ms": took_ms, "sweep": swept}))?;
    } else {
        show(printer, args, settings, &swept)?;
        let world = span_ms(swept.tally.world_ms);
        printer.note("Simulated", format_args!("{} of the world's time in {}", world, span_ms(took_ms)));
    }
    verdict(printer, swept.seeds, swept.failed, swept.failures.first().map_or(0, |run| run.seed))
}

/// The first failing story, the other failing seeds, and what came of all.
fn show(printer: &Printer, args: &SimArgs, settings: &Settings, swept: &Sweep) -> Result<(), Report> {
    if let Some(first) = swept.failures.first() {
        let scenario =
            Scenario::draw(first.seed, settings).map_err(|error| failed(args, SweepError::Settings(error)))?;
        tell(printer, args, first, &scenario)?;
    }
    for run in swept.failures.iter().skip(1) {
        let broken = run.broken.first().map(ToString::to_string).unwrap_or_default();
        printer.line(format_args!("seed {} broke too: {}", run.seed, cleaned(&broken)))?;
    }
    printer.text(summary(&swept.tally))
}

fn tell(printer: &Printer, args: &SimArgs, run: &Run, scenario: &Scenario) -> Result<(), Report> {
    printer.line(format_args!("seed {}", run.seed))?;
    if args.config.is_none() {
        printer.line(&scenario.config)?;
    }
    for line in &run.story {
        printer.line(Tone::paint(tone(line), &cleaned(&line.to_string()), printer.style().colour))?;
    }
    printer.line(format_args!("\nreplay it with: {}\n", replay(args, run.seed)))
}

/// The command that tells a seed's story again.
fn replay(args: &SimArgs, seed: u64) -> String {
    let mut command = format!("prograde sim --seed {seed} --story");
    if let Some(config) = &args.config {
        command.extend([" --config ", &config.display().to_string()]);
    }
    if let Some(rate) = args.rate {
        command.extend([" --rate ", &rate.to_string()]);
    }
    command
}

fn tone(line: &Line) -> Tone {
    match line.kind {
        Kind::Broken => Tone::Bad,
        Kind::Fault => Tone::Warning,
        Kind::Person | Kind::Fact => Tone::Plain,
        Kind::World | Kind::Runtime | Kind::Git => Tone::Dim,
    }
}

/// What came of the flights. Judgments are counted where the runtime showed nothing but what was.
fn summary(tally: &Tally) -> String {
    let of = |part: u64, whole: u64| share(part, whole).map_or_else(String::new, |share| format!(" ({share})"));
    let mean = tally.bad_harmed.checked_div(tally.bad_judged).unwrap_or(0);
    let lines = [
        ("flights", count(tally.flights)),
        ("  landed", format!("{}{}", count(tally.landed), of(tally.landed, tally.flights))),
        ("good releases judged", count(tally.good_judged)),
        (
            "  taken back by the judge",
            format!("{}{}", count(tally.good_failed), of(tally.good_failed, tally.good_judged)),
        ),
        (
            "  taken back for too few requests",
            format!("{}{}", count(tally.good_unjudged), of(tally.good_unjudged, tally.good_judged)),
        ),
        ("bad releases judged", count(tally.bad_judged)),
        ("  let through", format!("{}{}", count(tally.bad_promoted), of(tally.bad_promoted, tally.bad_judged))),
        ("  requests that failed, each", count(mean)),
        ("lives of the process", count(tally.lives)),
    ];
    lines.map(|(name, value)| format!("{name:<36}{value}\n")).concat()
}

fn verdict(printer: &Printer, seeds: u64, failed: u64, first: u64) -> Result<Exit, Report> {
    if failed == 0 {
        printer.note("Kept", format_args!("every promise in {}", counted(seeds, "seed")));
        return Ok(Exit::Done);
    }
    let what = format!("{} of {} broke a promise, the first is {first}", counted(failed, "seed"), count(seeds));
    let hint =
        format!("this is a defect of prograde: report it with the output of `prograde sim --seed {first} --story`");
    Err(Report::new(report::SIM, what).exit(Exit::Refused).hint(hint))
}

fn read(path: &Path) -> Result<String, Report> {
    let size = std::fs::metadata(path).map_err(|error| Report::file("read", path, &error))?.len();
    if size > CONFIG_BYTES_MAX {
        let what = format!("{} has {size} bytes, at most {CONFIG_BYTES_MAX} can be read", path.display());
        return Err(Report::new(report::FILE, what));
    }
    std::fs::read_to_string(path).map_err(|error| Report::file("read", path, &error))
}

fn failed(args: &SimArgs, error: SweepError) -> Report {
    match error {
        SweepError::Settings(diagnostics) => {
            let shown = args.config.as_deref().unwrap_or(Path::new(config::FILE)).display();
            let mut report = Report::new(report::CHECK, format!("{shown} can't be used"));
            report.causes = diagnostics.0.iter().map(ToString::to_string).collect();
            report.hint("`prograde check` says more about the whole repository")
        }
        SweepError::System(error) => Report::new(report::SYSTEM, "the system gives no timers").because(&error),
    }
}
