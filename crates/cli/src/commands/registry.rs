//! `prograde registry`: the images that flights built and that people pushed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use prograde_control::{Clock as _, SystemClock};
use prograde_model::quantity::Period;
use prograde_supply::Layout;
use prograde_supply::registry::{
    self, AdmitAll, Anonymous, Hooks, OneToken, Reference, Registry, RegistryError, RepositoryName, Settings,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::args::Global;
use crate::client::registry::texts;
use crate::commands::serve::{LogFormat, Signals, log, not_started};
use crate::exit::Exit;
use crate::printer::Printer;
use crate::report::{self, Report};
use crate::text::{bytes, counted};

/// How long requests may take to end when the registry stops.
const END_WAIT: Duration = Duration::from_secs(10);
/// The registry can't be opened.
const OPEN: &str = "PG0750";

/// Show and tidy the registry: the images that flights built and that people pushed
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct RegistryArgs {
    #[command(subcommand)]
    command: RegistryCommand,
}

#[derive(Debug, Subcommand)]
enum RegistryCommand {
    /// List the repositories
    #[command(after_help = "Examples:\n  prograde registry list\n  prograde registry list --json")]
    List,
    Tags(TagsArgs),
    Delete(DeleteArgs),
    Gc(GcArgs),
    Serve(ServeArgs),
}

/// List the tags of a repository
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  prograde registry tags pad\n  prograde registry tags team/tools --json")]
struct TagsArgs {
    /// The repository: a flight's images are in the one with the service's name
    #[arg(value_name = "REPOSITORY")]
    repository: String,
}

/// Delete a tag, or an image with all its tags
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde registry delete team/tools:old
  prograde registry delete team/tools@sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae

Images of flights are kept, as they may have to be rolled back to. Blobs go with the next
`prograde registry gc`.")]
struct DeleteArgs {
    /// What goes: REPOSITORY:TAG, or REPOSITORY@DIGEST
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Tell what would go, and delete nothing
    #[arg(long)]
    dry_run: bool,
}

/// Collect garbage: remove blobs that no image needs
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde registry gc --dry-run
  prograde registry gc --untagged --grace 168h

Pushes may go on meanwhile: what was pushed or asked for within the grace period stays.")]
struct GcArgs {
    /// What is younger stays, as somebody may be pushing what needs it
    #[arg(long, default_value = "24h", value_name = "TIME")]
    grace: Period,
    /// Also delete images that have no tag and are part of no other
    #[arg(long)]
    untagged: bool,
    /// Tell what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Serve a registry alone, without the rest of the server
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde registry serve --dir /var/lib/registry
  prograde registry serve --dir ./registry --listen 127.0.0.1:5000 --anonymous-pull

The token that clients show as their password is in the file `token` of the folder, made at
the first start. The server of `prograde serve` has its registry at /v2/ already.")]
struct ServeArgs {
    /// Where everything is kept: an OCI image layout
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where the registry is served; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:5000", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Let everybody pull, without the token
    #[arg(long)]
    anonymous_pull: bool,
    /// Tags that match this can't be moved or deleted once they are set, such as `v[0-9.]+`
    #[arg(long, value_name = "REGEX")]
    immutable_tags: Option<String>,
    /// The largest blob, in bytes [default: 64 GiB]
    #[arg(long, value_name = "BYTES")]
    blob_bytes_max: Option<u64>,
    /// How the log on stderr is written: lines for people, or one JSON object a line
    #[arg(long, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    log_format: LogFormat,
}

impl RegistryArgs {
    /// Whether it runs until it is told to stop.
    pub(crate) fn serves(&self) -> bool {
        matches!(self.command, RegistryCommand::Serve(_))
    }
}

/// Runs `prograde registry`, unless it serves.
pub(crate) fn run(app: &App, args: &RegistryArgs) -> Result<Exit, Report> {
    match &args.command {
        RegistryCommand::List => list(app, "/v2/_catalog", "repositories", "no repository"),
        RegistryCommand::Tags(args) => {
            let name = RepositoryName::new(&args.repository).map_err(|error| wrong(&error))?;
            list(app, &format!("/v2/{name}/tags/list"), "tags", "no tag")
        }
        RegistryCommand::Delete(args) => delete(app, args),
        RegistryCommand::Gc(args) => collect(app, args),
        RegistryCommand::Serve(_) => app.runtime.block_on(serve(args, &app.global, &app.printer)),
    }
}

fn wrong(error: &RegistryError) -> Report {
    Report::new(report::ARGUMENT, error.to_string()).hint("`prograde registry list` shows the repositories")
}

/// Prints a list, part by part, as it comes.
fn list(app: &App, path: &str, key: &str, none: &str) -> Result<Exit, Report> {
    let client = app.client()?;
    let json = app.printer.style().json;
    let (mut next, mut all, mut empty) = (Some(path.to_owned()), Vec::new(), true);
    while let Some(path) = next {
        let (document, following): (Value, _) = client.registry_part(&path)?;
        next = following;
        for name in texts(&document, key) {
            empty = false;
            if json {
                all.push(name);
            } else {
                app.printer.line(name)?;
            }
        }
    }
    if json {
        app.printer.json(&all)?;
    } else if empty {
        app.printer.note("Registry", format_args!("has {none} there"));
    }
    Ok(Exit::Done)
}

/// Repository and tag or digest.
fn image(text: &str) -> Result<(RepositoryName, Reference), Report> {
    let (name, reference) = text.split_once('@').or_else(|| text.rsplit_once(':')).ok_or_else(|| {
        Report::new(report::ARGUMENT, format!("{text:?} names no image"))
            .hint("write it as REPOSITORY:TAG or REPOSITORY@DIGEST")
    })?;
    let name = RepositoryName::new(name).map_err(|error| wrong(&error))?;
    Ok((name, Reference::new(reference).map_err(|error| wrong(&error))?))
}

fn delete(app: &App, args: &DeleteArgs) -> Result<Exit, Report> {
    let (name, reference) = image(&args.image)?;
    let client = app.client()?;
    if !args.dry_run {
        client.registry_delete(name.as_str(), &reference.to_string())?;
    }
    if app.printer.style().json {
        let done = json!({ "repository": name.as_str(), "reference": reference.to_string(), "dry_run": args.dry_run });
        app.printer.json(&done)?;
    } else {
        let verb = if args.dry_run { "Would delete" } else { "Deleted" };
        app.printer.note(verb, &args.image);
        app.printer.next("prograde registry gc");
    }
    Ok(Exit::Done)
}

fn collect(app: &App, args: &GcArgs) -> Result<Exit, Report> {
    let grace = args.grace.duration().unsigned_abs().as_secs();
    let query = [
        ("grace-seconds", grace.to_string()),
        ("untagged", args.untagged.to_string()),
        ("dry-run", args.dry_run.to_string()),
    ];
    let collected = app.client()?.registry_collect(&query)?;
    if app.printer.style().json {
        app.printer.json(&collected)?;
        return Ok(Exit::Done);
    }
    let verb = if args.dry_run { "Would remove" } else { "Removed" };
    app.printer.line(format_args!(
        "{verb} {} ({}), {} and {} from repositories, {}",
        counted(collected.files, "file"),
        bytes(collected.bytes),
        counted(collected.blobs, "blob"),
        counted(collected.manifests, "manifest"),
        counted(collected.uploads, "given-up upload"),
    ))?;
    Ok(Exit::Done)
}

/// Runs `prograde registry serve` until Ctrl-C or SIGTERM.
pub(crate) async fn serve(args: &RegistryArgs, global: &Global, printer: &Printer) -> Result<Exit, Report> {
    let RegistryCommand::Serve(args) = &args.command else { return Ok(Exit::Done) };
    log(args.log_format, global, printer);
    let mut signals = Signals::new()?;
    let registry = open(args)?;
    let (token, token_file) = token(&args.dir)?;
    let anonymous = if args.anonymous_pull { Anonymous::Pull } else { Anonymous::Nothing };
    let hooks = Hooks { authorize: Arc::new(OneToken::new(&token, anonymous)), admission: Arc::new(AdmitAll) };
    let listening = |error: &std::io::Error| {
        Report::new(OPEN, format!("can't listen on {}", args.listen))
            .because(error)
            .hint("name another address with `--listen`; port 0 takes a free one")
    };
    let listener = TcpListener::bind(args.listen).await.map_err(|error| listening(&error))?;
    let address = listener.local_addr().map_err(|error| listening(&error))?;
    announce(printer, address, &token_file, &args.dir)?;
    let stop = CancellationToken::new();
    let serving = axum::serve(listener, registry::router(registry, hooks));
    let serving = serving.with_graceful_shutdown(stop.clone().cancelled_owned());
    let told = async {
        signals.end().await;
        stop.cancel();
        // A second signal does not wait for requests that are under way, nor does the first one for ever.
        tokio::time::timeout(END_WAIT, signals.end()).await.ok();
    };
    tokio::select! {
        ended = serving => {
            ended.map_err(|error| Report::new(report::SYSTEM, "the registry ended badly").because(&error))?;
        }
        () = told => {}
    }
    printer.note("Stopped", args.dir.display());
    Ok(Exit::Done)
}

fn open(args: &ServeArgs) -> Result<Registry, Report> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Report::new(OPEN, error.to_string())
            .caused_by(error)
            .hint("`prograde explain PG0750` tells what can be in the way")
    };
    let layout = Layout::open(&args.dir).map_err(|error| failed(&error))?;
    let mut settings = Settings::new(Arc::new(|| SystemClock.now()));
    settings.immutable_tags.clone_from(&args.immutable_tags);
    settings.blob_bytes_max = args.blob_bytes_max.unwrap_or(settings.blob_bytes_max);
    Registry::open(layout, settings).map_err(|error| failed(&error))
}

/// The token in the folder, made where there is none.
fn token(dir: &Path) -> Result<(String, PathBuf), Report> {
    let path = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).join("token");
    let token = prograde_server::token(&path).map_err(|error| not_started(&error))?;
    Ok((token, path))
}

fn announce(printer: &Printer, address: SocketAddr, token_file: &Path, dir: &Path) -> Result<(), Report> {
    let url = format!("http://{address}");
    if printer.style().json {
        return printer.json_line(&json!({ "url": url, "token_file": token_file, "dir": dir }));
    }
    printer.note("Listening", &url);
    printer.note("Data", dir.display());
    printer.note("Token", token_file.display());
    Ok(())
}
