//! `prograde journal`: checks the record of everything that happened, and takes it elsewhere.

use clap::{Args, Subcommand};
use prograde_journal::{Journal, JournalError};
use prograde_server::export::Exporter;

use crate::app::App;
use crate::exit::Exit;
use crate::report::Report;
use crate::text::counted;
use crate::wire::VerifyView;

/// How many events are read at once.
const CHUNK: usize = 500;
/// The `source` of exported events: the same as the server's.
const SOURCE: &str = "/prograde";

/// Check or export the journal, the hash-chained record of everything that happened
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Check every event against its hash, from the first to the last
    #[command(after_help = "\
Examples:
  prograde journal verify
  prograde journal verify --offline --data-dir /var/lib/prograde

The exit code is 1 if the journal was altered or damaged.")]
    Verify(SourceArgs),
    /// Print all events as CloudEvents, one a line, named as CDEvents where it has a name for them
    #[command(after_help = "\
Examples:
  prograde journal export > journal.ndjson
  prograde journal export --offline | jq -r .type | sort | uniq -c")]
    Export(SourceArgs),
}

#[derive(Debug, Args)]
struct SourceArgs {
    /// Read the file in the data directory instead of asking the server
    #[arg(long, conflicts_with_all = ["server"])]
    offline: bool,
}

/// Runs `prograde journal`.
pub(crate) fn run(app: &App, args: &JournalArgs) -> Result<Exit, Report> {
    match &args.command {
        JournalCommand::Verify(source) => verify(app, source),
        JournalCommand::Export(source) => export(app, source),
    }
}

fn verify(app: &App, source: &SourceArgs) -> Result<Exit, Report> {
    let view = if source.offline {
        let journal = open(app)?;
        let report = app.runtime.block_on(journal.verify()).map_err(|error| failed(&error))?;
        VerifyView { events: report.events, head_hash: report.head_hash }
    } else {
        app.client()?.verify()?
    };
    if app.printer.style().json {
        app.printer.json(&view)?;
    } else {
        app.printer.line(format_args!(
            "good: {}, the last with hash {}",
            counted(view.events, "event"),
            view.head_hash
        ))?;
    }
    Ok(Exit::Done)
}

fn export(app: &App, source: &SourceArgs) -> Result<Exit, Report> {
    if !source.offline {
        app.client()?.export()?.for_each(|event| app.printer.json_line(&event))?;
        return Ok(Exit::Done);
    }
    let journal = open(app)?;
    let mut exporter = Exporter::new(SOURCE);
    let mut after = 0;
    loop {
        let events = app.runtime.block_on(journal.read_after(after, CHUNK)).map_err(|error| failed(&error))?;
        let Some(last) = events.last() else { return Ok(Exit::Done) };
        after = last.sequence;
        for event in &events {
            app.printer.json_line(&exporter.cloud_event(event))?;
        }
    }
}

fn open(app: &App) -> Result<Journal, Report> {
    Journal::open_read_only(&app.global.data_dir()?.join("journal.db")).map_err(|error| failed(&error))
}

/// The codes are the server's: the same trouble has the same page.
pub(super) fn failed(error: &JournalError) -> Report {
    let altered = matches!(error, JournalError::Broken { .. } | JournalError::Corrupt { .. });
    let (code, exit, hint) = if altered {
        ("PG0305", Exit::Refused, "keep the file, put a backup in its place, and find out who wrote to it")
    } else {
        ("PG0303", Exit::Mistake, "name the server's data directory with `--data-dir DIR`")
    };
    Report::new(code, error.to_string()).caused_by(error).exit(exit).hint(hint)
}
