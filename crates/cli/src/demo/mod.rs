//! `prograde demo`: a service is flown four times on this machine, well and badly, while users keep on asking it.
//!
//! Nothing is played: it starts this very program as a server, pushes to it with Git, sends real requests, and ends
//! with a failure if anything did not happen as the product promises. Whatever comes between, no process and, unless
//! asked for, no file stays behind.

mod chapter;
mod display;
mod expectations;
mod feed;
mod incident;
mod latency;
mod load;
mod mailbox;
mod orphans;
mod pad;
mod record;
mod repository;
mod server;
mod story;
mod summary;
mod tally;
#[cfg(test)]
mod testing;
mod tools;

use std::ffi::OsString;
use std::fs::Permissions;
use std::io::IsTerminal as _;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use prograde_model::quantity::Period;
use serde_json::json;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use self::chapter::Chapter;
use self::display::Display;
use self::expectations::Expectation;
use self::feed::Feed;
use self::mailbox::Mailbox;
use self::record::Record;
use self::repository::{Remote, Repository};
use self::server::{Server, ServerSetup};
use self::story::{Scene, Settings, Story, git_report};
use self::tally::Tallies;
use crate::client::{Client, Token};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::{self, Report};
use crate::text::span_ms;

/// See it work on this machine, under traffic: commits that fly well and badly, or an incident from symptom to lesson
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// What is shown: commits that are rolled out, well and badly; or an incident, from the first symptom to the next release
    #[arg(value_enum, default_value_t = Shown::Rollout, value_name = "STORY")]
    story: Shown,
    /// Users' requests in a second
    #[arg(long, value_name = "N", default_value = "500", value_parser = clap::value_parser!(u32).range(100..=10_000))]
    rate: u32,
    /// How long each step of production is watched at least
    #[arg(long, value_name = "TIME", default_value = "4s")]
    bake: Period,
    /// How long each of the four flights may take
    #[arg(long, value_name = "TIME", default_value = "3m")]
    timeout: Period,
    /// Keep the demo's directory, to look around in it afterwards
    #[arg(long)]
    keep: bool,
    /// Where compiled dependencies are kept from one demo to the next; by default `prograde` in the user's caches
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Where users' caches are kept (XDG Base Directory Specification)
    #[arg(long, env = "XDG_CACHE_HOME", hide = true, value_name = "DIR")]
    xdg_cache_home: Option<OsString>,
    /// The user's own directory
    #[arg(long, env = "HOME", hide = true, value_name = "DIR")]
    user_home: Option<OsString>,
}

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Shown {
    /// Four commits, of which two are bad
    Rollout,
    /// A release that turns bad once it has all traffic
    Incident,
}

/// What came of it.
enum Told {
    Rollout(Box<Record>, Vec<Expectation>),
    Incident(Vec<Expectation>),
}

impl DemoArgs {
    fn settings(&self) -> Settings {
        let timeout = self.timeout.duration().unsigned_abs();
        Settings { rate: NonZeroU32::new(self.rate).unwrap_or(NonZeroU32::MIN), bake: self.bake, timeout }
    }

    /// The cache's directory; below the demo's own when there is no place that outlives it.
    fn cache_dir(&self, dir: &Path) -> PathBuf {
        let absolute = |value: Option<&OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
        let user_cache = absolute(self.xdg_cache_home.as_ref())
            .or_else(|| absolute(self.user_home.as_ref()).map(|home| home.join(".cache")));
        let default = || user_cache.map_or_else(|| dir.join("cache"), |base| base.join("prograde"));
        self.cache_dir.clone().unwrap_or_else(default)
    }
}

/// Runs the demonstration on the multi-threaded runtime. Handles Ctrl-C itself, so that nothing is left behind.
pub(crate) async fn run(args: DemoArgs, printer: &Printer) -> Result<Exit, Report> {
    let began = Instant::now();
    let mut dir = tempfile::Builder::new();
    let dir = dir.prefix("prograde-demo-").permissions(Permissions::from_mode(0o700)).tempdir();
    let dir = dir.map_err(|error| Report::new(report::SYSTEM, "can't make a temporary directory").because(&error))?;
    let mut server = None;
    let told = tokio::select! {
        told = show(&args, printer, dir.path(), &mut server) => told,
        stopped = stop_signal() => Err(stopped),
    };
    let told = match (told, server.as_mut().and_then(Server::ended)) {
        (Err(report), Some(ended)) if report.exit != Exit::Cancelled => {
            Err(Report::new(report::DEMO, ended.to_string()).because(&CausedBy(report.summary)))
        }
        (told, _) => told,
    };
    if let Some(server) = server {
        let left = server.stop().await;
        if left > 0 {
            printer.warning(format!("{left} processes could not be ended"));
        }
    }
    clean_up(dir, args.keep, printer)?;
    match told? {
        Told::Rollout(record, expectations) => conclude(printer, &record, &expectations, began.elapsed()),
        Told::Incident(expectations) => {
            let took = display::whole_ms(began.elapsed());
            if printer.style().json {
                let data = incident::as_json(&expectations, took);
                printer.json_line(&json!({"type": "demo.summary", "data": data}))?;
            } else {
                let verdicts = summary::verdicts(&expectations, printer.style());
                printer.text(format!("\n{verdicts}The demo took {}.\n", span_ms(took)))?;
            }
            judged(&expectations)
        }
    }
}

/// What a failure looked like from here, where its cause is elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct CausedBy(String);

/// Ends when the user or the system wants the demo to.
async fn stop_signal() -> Report {
    let deaf = |error: std::io::Error| Report::new(report::SYSTEM, "signals can't be heard").because(&error);
    let (mut interrupt, mut terminate) =
        match signal(SignalKind::interrupt()).and_then(|i| Ok((i, signal(SignalKind::terminate())?))) {
            Ok(signals) => signals,
            Err(error) => return deaf(error),
        };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Report::cancelled()
}

/// Shows what was asked for.
async fn show(args: &DemoArgs, printer: &Printer, dir: &Path, slot: &mut Option<Server>) -> Result<Told, Report> {
    match args.story {
        Shown::Rollout => {
            let (record, expectations) = perform(args, printer, dir, slot).await?;
            Ok(Told::Rollout(Box::new(record), expectations))
        }
        Shown::Incident => {
            tools::look_for_all().await?;
            let program = this_program()?;
            let cache_dir = args.cache_dir(dir);
            let setup = |webhook, more| ServerSetup { program, dir: dir.to_owned(), cache_dir, webhook, more };
            incident::tell(setup, args.settings(), printer, dir, slot).await.map(Told::Incident)
        }
    }
}

fn this_program() -> Result<PathBuf, Report> {
    std::env::current_exe().map_err(|error| Report::new(report::SYSTEM, "this program can't be found").because(&error))
}

/// Sets the scene and tells the story. The server stays in `slot`, also when this is cancelled.
async fn perform(
    args: &DemoArgs,
    printer: &Printer,
    dir: &Path,
    slot: &mut Option<Server>,
) -> Result<(Record, Vec<Expectation>), Report> {
    tools::look_for_all().await?;
    let display = Display::new(printer, std::io::stderr().is_terminal());
    let mailbox = Mailbox::open().await;
    let mailbox = mailbox.map_err(|error| Report::new(report::SYSTEM, "can't listen on 127.0.0.1").because(&error))?;
    let program = this_program()?;
    let (webhook, more) = (mailbox.url(), Vec::new());
    let setup = ServerSetup { program, dir: dir.to_owned(), cache_dir: args.cache_dir(dir), webhook, more };
    let server = Server::start(setup).await;
    let server = server.map_err(|error| Report::new(report::DEMO, error.to_string()).caused_by(&error))?;
    let server = slot.insert(server);
    announce(args, printer, dir, server)?;
    let scene = scene(dir, server, mailbox).await?;
    Story::new(scene, args.settings(), printer, display).tell().await
}

fn announce(args: &DemoArgs, printer: &Printer, dir: &Path, server: &Server) -> Result<(), Report> {
    if printer.style().json {
        let data = json!({"directory": dir, "server": server.url(), "rate": args.rate, "bake": args.bake});
        return printer.json_line(&json!({"type": "demo.started", "data": data}));
    }
    printer.note("Started", format!("a server at {} in {}", server.url(), dir.display()));
    Ok(())
}

async fn scene(dir: &Path, server: &Server, mailbox: Mailbox) -> Result<Scene, Report> {
    let token = Token::new(server.token());
    let token = token.ok_or_else(|| Report::new(report::NO_TOKEN, "the server's token can't be used"))?;
    let client = Client::new(server.url(), token);
    let remote =
        |name: &str| Remote { url: format!("{}/git/{name}.git", server.url()), token: server.token().to_owned() };
    let repository = Repository::create(&dir.join("pad"), &remote("pad")).await;
    let deployments = Repository::create(&dir.join("deployments"), &remote("deployments")).await;
    let tallies = Arc::new(Tallies::new(Chapter::markers()));
    let feed = Feed::follow(client.clone());
    Ok(Scene {
        client,
        mailbox,
        tallies,
        repository: repository.map_err(|error| git_report(&error))?,
        deployments: deployments.map_err(|error| git_report(&error))?,
        feed,
    })
}

/// Removes the demo's directory, or says how to look around in it.
fn clean_up(dir: TempDir, keep: bool, printer: &Printer) -> Result<(), Report> {
    if !keep {
        let path = dir.path().to_owned();
        return dir.close().map_err(|error| Report::file("remove", &path, &error));
    }
    let path = dir.keep();
    printer.note("Kept", path.display());
    let data = path.join("data");
    printer.next(format!("`prograde serve --data-dir {}`, and beside it", data.display()));
    printer.next(format!("`prograde status --data-dir {0}` or `prograde flight list --data-dir {0}`", data.display()));
    Ok(())
}

/// Says how it went.
fn conclude(printer: &Printer, record: &Record, expectations: &[Expectation], took: Duration) -> Result<Exit, Report> {
    if printer.style().json {
        let data = summary::as_json(record, expectations, took);
        printer.json_line(&json!({"type": "demo.summary", "data": data}))?;
    } else {
        printer.text(summary::text(record, expectations, took, printer.style()))?;
    }
    judged(expectations)
}

/// A failure if anything did not happen as it was expected.
fn judged(expectations: &[Expectation]) -> Result<Exit, Report> {
    let failed = expectations.iter().filter(|expectation| !expectation.met).count();
    if failed == 0 {
        return Ok(Exit::Done);
    }
    let report = Report::new(report::DEMO, format!("{failed} of {} expectations were not met", expectations.len()));
    Err(report.hint("`prograde demo --keep` leaves everything there, with the server's output in `server.log`"))
}
