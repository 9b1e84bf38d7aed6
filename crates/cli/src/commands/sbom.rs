//! `prograde sbom`: what a thing is made of, as a bill of materials, and what changed between two.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use prograde_scan::package::Inventory;
use prograde_scan::sbom::{self, About, Change};
use prograde_scan::target;
use prograde_scan::walk::Ignored;

use crate::app::App;
use crate::commands::scan::tell;
use crate::exit::Exit;
use crate::printer::Tone;
use crate::report::{self, Report};
use crate::text::counted;

/// List what a directory, lock file, program or image is made of
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  prograde sbom > bom.json
  prograde sbom image.tar --format spdx --out bom.spdx.json
  prograde sbom target/release/app
  prograde sbom diff old.json new.json

Read are lock files of Cargo, npm, Yarn, pnpm, pip, Poetry, uv, PDM, Pipenv, Go, Maven, Gradle and Bundler,
programs built with `cargo auditable`, and images with Debian's or Alpine's packages (an OCI layout as a
directory or an archive, or what `docker save` writes). The same content gives the same bytes: without
--created or SOURCE_DATE_EPOCH a document carries no time of its own."
)]
pub(crate) struct SbomArgs {
    #[command(subcommand)]
    command: Option<SbomCommand>,
    /// What to list
    #[arg(default_value = ".", value_name = "PATH|IMAGE")]
    target: PathBuf,
    /// The document's format
    #[arg(long, value_enum, default_value_t = Format::Cyclonedx, value_name = "FORMAT")]
    format: Format,
    /// A file to write, in place of stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// List what files name that Git ignores as well
    #[arg(long)]
    no_ignore: bool,
    /// The name of what is described; by default that of the project or of the path
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The version of what is described; by default that of the project
    #[arg(long = "release-version", value_name = "VERSION")]
    version: Option<String>,
    /// When the document is said to be made, RFC 3339
    #[arg(long, value_name = "TIME")]
    created: Option<Timestamp>,
    /// The same in seconds since 1970 (reproducible-builds.org)
    #[arg(long, env = "SOURCE_DATE_EPOCH", hide = true, value_name = "SECONDS")]
    source_date_epoch: Option<i64>,
}

/// What else can be done with bills of materials.
#[derive(Debug, Subcommand)]
enum SbomCommand {
    Diff(DiffArgs),
}

/// Show what was added, removed and changed between two bills of materials, lock files or images
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  prograde sbom diff v1.2.0.json v1.3.0.json --json")]
struct DiffArgs {
    /// What was before
    #[arg(value_name = "BEFORE")]
    before: PathBuf,
    /// What is now
    #[arg(value_name = "AFTER")]
    after: PathBuf,
}

/// A format of documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// CycloneDX 1.6, JSON
    Cyclonedx,
    /// SPDX 2.3, JSON
    Spdx,
    /// SPDX 3.0, JSON-LD
    Spdx3,
}

/// Carries out the command.
pub(crate) fn run(app: &App, args: &SbomArgs) -> Result<Exit, Report> {
    if let Some(SbomCommand::Diff(args)) = &args.command {
        return diff(app, args);
    }
    let ignored = if args.no_ignore { Ignored::LookedAt } else { Ignored::LeftOut };
    let inventory = target::inventory(&args.target, ignored).map_err(tell::refused)?;
    let about = about(args, &inventory)?;
    let document = match args.format {
        Format::Cyclonedx => sbom::cyclonedx(&inventory, &about),
        Format::Spdx => sbom::spdx2(&inventory, &about),
        Format::Spdx3 => sbom::spdx3(&inventory, &about),
    };
    match &args.out {
        Some(path) => tell::write_file(path, &document)?,
        None => app.printer.json(&document)?,
    }
    tell::notes(app, &inventory.notes);
    tell::errors(app, &inventory.errors);
    let what = counted(inventory.packages.len() as u64, "package");
    app.printer.note(
        "Listed",
        format_args!("{what} of {} from {}", about.name, counted(inventory.files.len() as u64, "file")),
    );
    if inventory.errors.is_empty() {
        return Ok(Exit::Done);
    }
    let what =
        format!("{} could not be read, so the list is not complete", counted(inventory.errors.len() as u64, "file"));
    Err(Report::new(prograde_scan::codes::LOCK_FORM, what))
}

fn about(args: &SbomArgs, inventory: &Inventory) -> Result<About, Report> {
    let epoch = args.source_date_epoch.map(Timestamp::from_second).transpose();
    let epoch = epoch.map_err(|error| Report::new(report::ARGUMENT, "SOURCE_DATE_EPOCH is no time").because(&error))?;
    let created = args.created.or(epoch).map(|time| format!("{time:.0}"));
    let root = match inventory.roots.as_slice() {
        [root] => Some(root),
        _ => None,
    };
    let said = root.and_then(|root| root.name.clone());
    let name = args.name.clone().or(said).unwrap_or_else(|| name_of(&args.target));
    let version = args.version.clone().or_else(|| root.and_then(|root| root.version.clone()));
    Ok(About { name, version, created, tool_version: env!("CARGO_PKG_VERSION").to_owned() })
}

/// The last part of a path, also of `.`.
fn name_of(path: &Path) -> String {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    full.file_name().map_or_else(|| "root".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn diff(app: &App, args: &DiffArgs) -> Result<Exit, Report> {
    let read = |path: &Path| target::inventory(path, Ignored::LeftOut).map_err(tell::refused);
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let found = sbom::diff(&before, &after);
    if app.printer.style().json {
        app.printer.json(&found)?;
        return Ok(Exit::Done);
    }
    let colour = app.printer.style().colour;
    let lists = [
        ("added", Tone::Good, &found.added),
        ("removed", Tone::Bad, &found.removed),
        ("changed", Tone::Warning, &found.changed),
        ("licence", Tone::Warning, &found.licences),
    ];
    for (word, tone, changes) in lists {
        for change in changes {
            let line = format!("{} {} {}", change.ecosystem, change.name, versions(change));
            app.printer.line(format_args!(
                "{} {}",
                tone.paint(&format!("{word:<8}"), colour),
                crate::printer::one_line(&line)
            ))?;
        }
    }
    if found.is_empty() {
        app.printer.note("Same", "nothing was added, removed or changed");
    }
    Ok(Exit::Done)
}

fn versions(change: &Change) -> String {
    let (before, after) = (change.before.join(", "), change.after.join(", "));
    match (before.is_empty(), after.is_empty()) {
        (true, _) => after,
        (_, true) => before,
        (false, false) => format!("{before} -> {after}"),
    }
}
