//! `prograde postmortem`: what was learned from an incident, without blame.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use prograde_model::Diagnostic;
use prograde_model::incident::{IncidentId, Limit};
use prograde_model::postmortem::lint;

use crate::app::App;
use crate::commands::incident::tell;
use crate::commands::order::{OrderArgs, rehearse};
use crate::exit::Exit;
use crate::printer::cleaned;
use crate::report::{self, Report};
use crate::text::counted;
use crate::wire::PostmortemRequest;

/// Draft, check and publish post-mortems
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct PostmortemArgs {
    #[command(subcommand)]
    command: PostmortemCommand,
}

#[derive(Debug, Subcommand)]
enum PostmortemCommand {
    Draft(DraftArgs),
    Lint(LintArgs),
    Publish(PublishArgs),
}

/// Print a draft made from what is recorded; the published post-mortem, once there is one
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  prograde postmortem draft INC-1 --out postmortem.md\n  prograde postmortem draft INC-1"
)]
struct DraftArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    incident: IncidentId,
    /// The file to write, which must not be there; printed by default
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Find sentences that blame people
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde postmortem lint postmortem.md
  prograde postmortem lint postmortem.md --incident INC-1 --name 'Ann Example'

The exit code is 1 if there are any. With `--incident`, names of the people who had to do with it are known.")]
struct LintArgs {
    /// The post-mortem, in Markdown
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The incident, to ask the server who had to do with it
    #[arg(long, value_name = "INCIDENT")]
    incident: Option<IncidentId>,
    /// A person's name
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
}

/// Record a post-mortem and close the review of its incident
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde postmortem publish INC-1 postmortem.md

The text is kept in the journal with its SHA-256. One that blames people is refused unless `--as-it-is` is given.")]
struct PublishArgs {
    /// The incident
    #[arg(value_name = "INCIDENT")]
    incident: IncidentId,
    /// The post-mortem, in Markdown
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Publish it whatever `prograde postmortem lint` finds
    #[arg(long)]
    as_it_is: bool,
    #[command(flatten)]
    order: OrderArgs,
}

/// Runs `prograde postmortem`.
pub(crate) fn run(app: &App, args: &PostmortemArgs) -> Result<Exit, Report> {
    match &args.command {
        PostmortemCommand::Draft(args) => draft(app, args),
        PostmortemCommand::Lint(args) => {
            let known = args.incident.map(|id| people(app, id)).transpose()?.unwrap_or_default();
            let names = known.into_iter().chain(args.names.iter().cloned()).collect();
            check(app, &args.file, &read(&args.file)?, &names)
        }
        PostmortemCommand::Publish(args) => publish(app, args),
    }
}

fn people(app: &App, id: IncidentId) -> Result<BTreeSet<String>, Report> {
    Ok(app.client()?.postmortem(id)?.people.into_iter().collect())
}

fn draft(app: &App, args: &DraftArgs) -> Result<Exit, Report> {
    let view = app.client()?.postmortem(args.incident)?;
    if let Some(file) = &args.out {
        let write = |file: &Path| {
            let mut out = fs::File::options().write(true).create_new(true).open(file)?;
            std::io::Write::write_all(&mut out, view.text.as_bytes())
        };
        write(file).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                Report::new(report::EXISTS, format!("{} is there already", file.display()))
                    .hint("name another one with `--out FILE`")
            } else {
                Report::file("write", file, &error)
            }
        })?;
        app.printer.note("Written", file.display());
        app.printer.next(format_args!("prograde postmortem lint {} --incident {}", file.display(), args.incident));
    }
    if app.printer.style().json {
        app.printer.json(&view)?;
    } else if args.out.is_none() {
        app.printer.output(&view.text)?;
    }
    Ok(Exit::Done)
}

/// A post-mortem's text; one that is too large to be published is not read.
fn read(file: &Path) -> Result<String, Report> {
    let size = fs::metadata(file).map_err(|error| Report::file("read", file, &error))?.len();
    if size > Limit::POSTMORTEM as u64 {
        let message =
            format!("{} has {size} bytes, more than the {} of a post-mortem", file.display(), Limit::POSTMORTEM);
        return Err(Report::new("PG0702", message).hint("link to what is longer"));
    }
    fs::read_to_string(file).map_err(|error| Report::file("read", file, &error))
}

fn found(file: &Path, text: &str, names: &BTreeSet<String>) -> Vec<Diagnostic> {
    lint(&file.display().to_string(), text, names)
}

fn check(app: &App, file: &Path, text: &str, names: &BTreeSet<String>) -> Result<Exit, Report> {
    let found = found(file, text, names);
    if app.printer.style().json {
        app.printer.json(&found)?;
    } else if found.is_empty() {
        app.printer.note("Good", format_args!("{} blames nobody by its form", file.display()));
    } else {
        for one in &found {
            app.printer.line(cleaned(&one.to_string()))?;
        }
        app.printer.hint(&format!("{} to write anew", counted(found.len() as u64, "sentence")));
    }
    Ok(if found.is_empty() { Exit::Done } else { Exit::Refused })
}

fn publish(app: &App, args: &PublishArgs) -> Result<Exit, Report> {
    let text = read(&args.file)?;
    let request = PostmortemRequest { text, by: app.by(args.order.by.as_deref())? };
    if !args.as_it_is {
        let found = found(&args.file, &request.text, &people(app, args.incident)?);
        if let Some(first) = found.first() {
            let message = format!("the post-mortem blames people: {first}");
            let hint = format!(
                "`prograde postmortem lint {} --incident {}` shows {}; `--as-it-is` publishes it all the same",
                args.file.display(),
                args.incident,
                counted(found.len() as u64, "finding")
            );
            return Err(Report::new(prograde_model::postmortem::CODE, message).exit(Exit::Refused).hint(hint));
        }
    }
    if args.order.dry_run {
        let path = format!("/api/v1/incidents/{}/postmortem", args.incident);
        return rehearse(app, &format!("publish the post-mortem of {}", args.incident), &path, &request);
    }
    let ordered = app.client()?.publish(args.incident, &request)?;
    tell(app, "Published", &format!("the post-mortem of {}", args.incident), &ordered)
}
