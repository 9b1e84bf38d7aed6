//! The `prograde` binary: reads the command line, runs one command, and ends with an exit status that says how it went.
//!
//! Only [`printer`] writes to the terminal, and only [`args`] reads settings from the environment. Commands block and
//! run off the runtime, which waits for Ctrl-C meanwhile; `serve` and `demo` run on it and wait for signals themselves.

mod app;
mod args;
mod client;
mod commands;
mod demo;
mod exit;
#[cfg(test)]
mod fixtures;
mod moment;
mod pages;
mod printer;
mod report;
mod sentence;
mod tame;
mod text;
mod wire;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use prograde_confine::helper;
use tokio::runtime::{Builder, Runtime};

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::args::{Brief, Cli, Command, Global};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::Report;

/// The allocator that the proxy is measured with (`make bench-proxy`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long what still runs may take to end after the command has.
const END_WAIT: Duration = Duration::from_millis(200);

/// How long commands that we run may take to end when the user stops us, and the record of it.
const CHILDREN_WAIT: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    // Before anything may start a thread: this process forks.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == helper::ARGUMENT) && arguments.next().is_none() {
        return helper::main();
    }
    let cli = Cli::read();
    let printer = Arc::new(Printer::new(cli.global.style()));
    let exit = run(cli, &printer).unwrap_or_else(|report| {
        printer.report(&report);
        report.exit
    });
    exit.into()
}

fn run(cli: Cli, printer: &Arc<Printer>) -> Result<Exit, Report> {
    let Cli { global, command } = cli;
    let serves = match &command {
        Command::Serve(_) | Command::Demo(_) => true,
        Command::Brief(Brief::Registry(args)) => args.serves(),
        Command::Brief(_) => false,
    };
    // What is brief waits here while it runs on another thread, so that this one drives what is asynchronous.
    let mut builder = if serves { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Report::new(report::SYSTEM, "the system gives no threads").because(&error))?;
    let ended = match command {
        Command::Serve(args) => runtime.block_on(commands::serve::run(*args, &global, printer)),
        Command::Demo(args) => runtime.block_on(demo::run(args, printer)),
        Command::Brief(Brief::Registry(args)) if args.serves() => {
            runtime.block_on(commands::registry::serve(&args, &global, printer))
        }
        Command::Brief(command) => until_cancelled(&runtime, command, global, Arc::clone(printer)),
    };
    runtime.shutdown_timeout(END_WAIT);
    ended
}

/// Runs a command that blocks; Ctrl-C ends the waiting for it. No command leaves anything half done: the server
/// carries out an order whole or not at all, and files are written in one go.
fn until_cancelled(runtime: &Runtime, command: Brief, global: Global, printer: Arc<Printer>) -> Result<Exit, Report> {
    let stop = CancellationToken::new();
    let app = App { printer, global, runtime: runtime.handle().clone(), stop: stop.clone() };
    // Commands that it runs are ended, and that is recorded.
    let has_children = matches!(command, Brief::Runbook(_));
    let has_requests = matches!(&command, Brief::App(args) if args.asks_cluster());
    let mut running = runtime.spawn_blocking(move || dispatch(&app, command));
    runtime.block_on(async {
        tokio::select! {
            ended = &mut running => ended.unwrap_or_else(|error| {
                Err(Report::new(report::SYSTEM, "the command broke off; this is a defect of prograde").because(&error))
            }),
            _ = tokio::signal::ctrl_c() => {
                stop.cancel();
                if (has_children || has_requests) && tokio::time::timeout(CHILDREN_WAIT, running).await.is_err() {
                    tracing::warn!("what was running has not ended yet");
                }
                Err(Report::cancelled())
            }
        }
    })
}

fn dispatch(app: &App, command: Brief) -> Result<Exit, Report> {
    match command {
        Brief::Status(_) => commands::status::run(app),
        Brief::Env(args) => commands::env::run(app, &args),
        Brief::Diff(args) => commands::diff::run(app, &args),
        Brief::Release(args) => commands::release::run(app, &args),
        Brief::Flight(args) => commands::flight::run(app, &args),
        Brief::Approve(args) => commands::approve::run(app, &args),
        Brief::Abort(args) => commands::order::abort(app, &args),
        Brief::Rollback(args) => commands::order::rollback(app, &args),
        Brief::Logs(args) => commands::logs::run(app, &args),
        Brief::Quarantine(args) => commands::quarantine::run(app, &args),
        Brief::Upstream(args) => commands::upstream::run(app, &args),
        Brief::Verdict(args) => commands::verdict::run(app, &args),
        Brief::Flag(args) => commands::flag::run(app, &args),
        Brief::Dora(args) => commands::dora::run(app, &args),
        Brief::Scale(args) => commands::order::scale(app, &args),
        Brief::Query(args) => commands::query::run(app, &args),
        Brief::Budget(args) => commands::budget::run(app, &args),
        Brief::Node(args) => commands::node::run(app, &args),
        Brief::Objectives(args) => commands::objectives::run(app, &args),
        Brief::Toil(args) => commands::toil::run(app, &args),
        Brief::Oncall(args) => commands::oncall::run(app, &args),
        Brief::Page(args) => commands::page::run(app, &args),
        Brief::Incident(args) => commands::incident::run(app, &args),
        Brief::Postmortem(args) => commands::postmortem::run(app, &args),
        Brief::Action(args) => commands::action::run(app, &args),
        Brief::StatusPage(args) => commands::status_page::run(app, &args),
        Brief::Journal(args) => commands::journal::run(app, &args),
        Brief::Registry(args) => commands::registry::run(app, &args),
        Brief::Init(args) => commands::init::run(app, &args),
        Brief::Check(args) => commands::check::run(app, &args),
        Brief::Lint(args) => commands::lint::run(app, &args),
        Brief::Runbook(args) => commands::runbook::run(app, &args),
        Brief::Render(args) => commands::render::run(app, &args),
        Brief::App(args) => commands::applications::run(app, &args),
        Brief::Policy(args) => commands::policy::run(app, &args),
        Brief::Health(args) => commands::health::run(app, &args),
        Brief::Drift(args) => commands::drift::run(app, &args),
        Brief::Rules(args) => commands::rules::run(app, &args),
        Brief::Alerts(args) => commands::alerts::run(app, &args),
        Brief::Image(args) => commands::image::run(app, &args),
        Brief::Sbom(args) => commands::sbom::run(app, &args),
        Brief::Scan(args) => commands::scan::run(app, &args),
        Brief::Db(args) => commands::db::run(app, &args),
        Brief::Key(args) => commands::key::run(app, &args),
        Brief::Sign(args) => commands::sign::run(app, &args),
        Brief::Attest(args) => commands::attest::run(app, &args),
        Brief::Verify(args) => commands::verify::run(app, &args),
        Brief::VerifyAttestation(args) => commands::verify::run_attestation(app, &args),
        Brief::Sim(args) => commands::sim::run(app, &args),
        Brief::Schema(_) => commands::generate::schema(app),
        Brief::Explain(args) => commands::explain::run(app, &args),
        Brief::Completions(args) => commands::generate::completions(app, &args),
        Brief::Man(args) => commands::generate::man(app, &args),
        Brief::Reference(args) => commands::reference::run(app, &args),
    }
}
