//! The `prograde` binary: reads the command line, runs one command, and ends with an exit status that says how it went.
//!
//! Only [`printer`] writes to the terminal, and only [`args`] reads the environment.

mod args;
mod client;
mod commands;
mod demo;
mod exit;
mod printer;
mod report;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::Report;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.global.style());
    run(cli, &printer)
        .unwrap_or_else(|report| {
            printer.report(&report);
            report.exit
        })
        .into()
}

fn run(cli: Cli, printer: &Printer) -> Result<Exit, Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Report::new(report::SYSTEM, "the system gives no threads").because(&error))?;
    match cli.command {
        Command::Serve(_) => Ok(Exit::Done),
        Command::Demo(args) => runtime.block_on(demo::run(args, printer)),
    }
}
