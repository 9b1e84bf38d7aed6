//! `prograde db`: the local database of known vulnerabilities.

mod fetch;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use prograde_scan::db::{Builder, Database, read_source};
use serde_json::json;

use crate::app::App;
use crate::args::Global;
use crate::commands::scan::tell;
use crate::exit::Exit;
use crate::report::Report;
use crate::text::{Cell, Table, bytes, count, counted, when};

/// How old a database may be before a warning says so, in days.
pub(crate) const AGE_DAYS_MAX: i64 = 7;

/// The file in the data directory.
const FILE: &str = "vulnerabilities.db";

/// Keep the local database of known vulnerabilities
#[derive(Debug, Args)]
pub(crate) struct DbArgs {
    #[command(subcommand)]
    command: DbCommand,
}

/// What can be done with the database.
#[derive(Debug, Subcommand)]
enum DbCommand {
    Update(UpdateArgs),
    Show(ShowArgs),
}

/// Make the database anew, from OSV's dumps or the RustSec database
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde db update
  prograde db update --ecosystem npm --ecosystem PyPI
  prograde db update --from osv/npm/all.zip --from advisory-db/

A source is a zip archive, a directory or a file of JSON as OSV exports it, or the RustSec database as a directory
or a tar archive; it may be an address. The new database takes the old one's place when it is complete.")]
struct UpdateArgs {
    /// A file, directory or address with advisories; by default OSV's dumps
    #[arg(long, value_name = "FILE|DIR|URL")]
    from: Vec<String>,
    /// Which of OSV's ecosystems to fetch; by default all whose packages can be read
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    ecosystem: Vec<String>,
    /// The database to write; by default the one in the data directory
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

/// Show what is in the database and how old it is
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  prograde db show --json

Every block of the database is read and checked.")]
struct ShowArgs {
    /// The database; by default the one in the data directory
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
}

/// The database that is meant.
pub(crate) fn path(global: &Global, named: Option<&PathBuf>) -> Result<PathBuf, Report> {
    match named {
        Some(path) => Ok(path.clone()),
        None => Ok(global.data_dir()?.join(FILE)),
    }
}

/// How old a database is, in whole days; none where it does not say when it was made.
pub(crate) fn age_days(database: &Database, now: Timestamp) -> Option<i64> {
    let made: Timestamp = database.header.created.parse().ok()?;
    Some(now.duration_since(made).as_hours() / 24)
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &DbArgs) -> Result<Exit, Report> {
    match &args.command {
        DbCommand::Update(args) => update(app, args),
        DbCommand::Show(args) => show(app, args),
    }
}

fn update(app: &App, args: &UpdateArgs) -> Result<Exit, Report> {
    let target = path(&app.global, args.db.as_ref())?;
    let mut builder = Builder::default();
    let sources = if args.from.is_empty() { fetch::dumps(&args.ecosystem)? } else { args.from.clone() };
    for source in &sources {
        if source.starts_with("https://") || source.starts_with("http://") {
            app.printer.note("Fetching", source);
            let fetched = fetch::get(source)?;
            read_source(fetched.path(), &mut builder).map_err(|mut error| {
                error.file.clone_from(source);
                tell::refused(error)
            })?;
            builder.rename_source(source);
        } else {
            read_source(std::path::Path::new(source), &mut builder).map_err(tell::refused)?;
        }
    }
    tell::notes(app, &builder.notes);
    let (advisories, unreadable, git) = (builder.advisories(), builder.unreadable(), builder.git_ranges());
    let file = builder.finish(&format!("{:.0}", app.printer.now()));
    let size = file.len() as u64;
    tell::replace_file(&target, &file)?;
    if app.printer.style().json {
        app.printer.json(&json!({"db": target, "advisories": advisories, "unreadable": unreadable, "git_ranges": git, "bytes": size}))?;
    }
    app.printer.note(
        "Wrote",
        format_args!(
            "{} with {}, {}",
            target.display(),
            counted(advisories, "advisory").replace("advisorys", "advisories"),
            bytes(size)
        ),
    );
    if unreadable > 0 {
        app.printer.warning(format_args!("{} could not be read and are left out", counted(unreadable as u64, "file")));
    }
    if git > 0 {
        app.printer.note(
            "Left out",
            format_args!("{} of Git commits, about which versions say nothing", counted(git as u64, "range")),
        );
    }
    Ok(Exit::Done)
}

fn show(app: &App, args: &ShowArgs) -> Result<Exit, Report> {
    let path = path(&app.global, args.db.as_ref())?;
    let database = Database::open(&path).map_err(tell::refused)?;
    let size = database.verify().map_err(tell::refused)?;
    let now = app.printer.now();
    let age = age_days(&database, now);
    let header = &database.header;
    if app.printer.style().json {
        let value = json!({
            "db": path, "created": header.created, "age_days": age, "old": age.is_none_or(|age| age > AGE_DAYS_MAX), "bytes": size,
            "packages": database.packages(), "ecosystems": header.ecosystems, "sources": header.sources,
        });
        app.printer.json(&value)?;
        return Ok(Exit::Done);
    }
    let style = app.printer.style();
    app.printer.line(format_args!(
        "{}, made {}, {}, every block checked",
        path.display(),
        when(&header.created, now, style),
        bytes(size)
    ))?;
    let mut table = Table::new(&["ECOSYSTEM", "ADVISORIES"]);
    for (name, advisories) in &header.ecosystems {
        table.row(vec![Cell::new(name), Cell::number(count(*advisories))]);
    }
    app.printer.text(table.render(style))?;
    let mut table = Table::new(&["SOURCE", "ADVISORIES", "WITHDRAWN", "NEWEST"]);
    for source in &header.sources {
        let newest = source.newest.as_deref().map(|newest| when(newest, now, style)).unwrap_or_default();
        table.row(vec![
            Cell::new(&source.name),
            Cell::number(count(source.advisories)),
            Cell::number(count(source.withdrawn)),
            Cell::new(newest),
        ]);
    }
    app.printer.text(table.render(style))?;
    warn_of_age(app, &database);
    Ok(Exit::Done)
}

/// Says that a database is old.
pub(crate) fn warn_of_age(app: &App, database: &Database) {
    match age_days(database, app.printer.now()) {
        Some(age) if age > AGE_DAYS_MAX => app.printer.warning(format_args!(
            "the database of vulnerabilities is {} old [{}]: run `prograde db update`",
            counted(age.unsigned_abs(), "day"),
            prograde_scan::codes::DATABASE_OLD
        )),
        Some(_) => {}
        None => app.printer.warning(format_args!(
            "the database of vulnerabilities does not say when it was made [{}]: run `prograde db update`",
            prograde_scan::codes::DATABASE_OLD
        )),
    }
}
