//! `prograde image build`.

mod dockerfile;
mod recipes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args};
use jiff::Timestamp;
use prograde_supply::client::{Client, Reference};
use prograde_supply::image::{self, LayerUse};
use prograde_supply::{Descriptor, Layout, Platform};
use serde_json::{Value, json};

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::image::attach::{self, Made};
use crate::commands::image::meter::Meter;
use crate::commands::image::{tell, transfer};
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::text::{Cell, Table, bytes};

/// Where images are kept unless it is said: beside what they are made from, and out of Git's sight.
pub(crate) const LAYOUT: &str = ".prograde/images";
/// Who builds, unless it is said.
const BUILDER_ID: &str = "urn:prograde:cli";

/// Build an image from a program and files, or from a Dockerfile
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde image build
  prograde image build --binary target/release/pad --tag ghcr.io/me/pad:v1 --push
  prograde image build --binary out/pad-{arch} --platform linux/amd64,linux/arm64 --base minimal
  prograde image build --binary app --base debian:12-slim --dir static:/srv/static --entrypoint /app/app --cmd serve
  prograde image build --dockerfile Dockerfile --tag localhost:5000/pad:v1 --push

Without --binary, --file and --dir the image is the one that prograde.yaml declares, with the program that the
workflow uploads. The same files and settings give the same digest; times come from SOURCE_DATE_EPOCH or are 1970.
Nothing but a Dockerfile needs another program.")]
pub(crate) struct BuildArgs {
    /// The repository with prograde.yaml, or the context of the Dockerfile
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// The program that the image starts; goes to /app/NAME. `{arch}` and `{os}` stand for the platform's
    #[arg(long, value_name = "FILE")]
    binary: Option<String>,
    /// Another file, and where it goes in the image
    #[arg(long = "file", value_name = "FILE:PATH")]
    files: Vec<String>,
    /// A directory with all that is in it, and where it goes in the image
    #[arg(long = "dir", value_name = "DIR:PATH")]
    dirs: Vec<String>,
    /// What the image is laid on: scratch (nothing), minimal (certificates, time zones, a user without rights), or another image
    /// [default: what prograde.yaml says, or scratch]
    #[arg(long, value_name = "scratch|minimal|REFERENCE")]
    base: Option<String>,
    /// The user and group that it runs as; by default 65532:65532, or the base's
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// An environment variable
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// A label; those of org.opencontainers.image become annotations too
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// A word of the command, once for each; by default the program
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// A word of the command's arguments, once for each
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    cmd: Vec<String>,
    /// The working directory
    #[arg(long, value_name = "PATH")]
    workdir: Option<String>,
    /// What it runs on; several make a list with an image for each. By default what the program is for
    #[arg(long, value_delimiter = ',', value_name = "OS/ARCHITECTURE", value_parser = transfer::platform)]
    platform: Vec<Platform>,
    /// The service of a group in prograde.yaml
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// What the image is called
    #[arg(long, short, value_name = "REFERENCE", value_parser = transfer::reference)]
    tag: Option<Reference>,
    /// Send it to the registry that its name says
    #[arg(long, requires = "tag")]
    push: bool,
    /// The layout that it is stored in
    #[arg(long, default_value = LAYOUT, value_name = "DIR")]
    layout: PathBuf,
    /// Attach a bill of materials when it is pushed
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    sbom: bool,
    /// Attach how it was made when it is pushed
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    provenance: bool,
    /// Who builds, as provenance says it
    #[arg(long, default_value = BUILDER_ID, value_name = "URI")]
    builder_id: String,
    /// Build this Dockerfile, with the first builder that is installed: buildx, buildctl, buildah, docker
    #[arg(long, value_name = "FILE", conflicts_with_all = ["binary", "files", "dirs", "base", "user", "env", "label", "entrypoint", "cmd", "workdir", "service"])]
    dockerfile: Option<PathBuf>,
    /// The builder of the Dockerfile
    #[arg(long, requires = "dockerfile", value_name = "NAME")]
    builder: Option<String>,
    /// An argument of the Dockerfile
    #[arg(long = "build-arg", requires = "dockerfile", value_name = "NAME=VALUE")]
    arguments: Vec<String>,
    /// The stage of the Dockerfile to stop at
    #[arg(long, requires = "dockerfile", value_name = "STAGE")]
    target: Option<String>,
    /// When the image is said to be made, in seconds since 1970 (reproducible-builds.org)
    #[arg(long, env = "SOURCE_DATE_EPOCH", hide = true, value_name = "SECONDS")]
    source_date_epoch: Option<i64>,
    #[command(flatten)]
    access: Access,
}

/// An image that was built, and what is to be said of it.
struct Built {
    descriptor: Descriptor,
    images: Vec<(Descriptor, Vec<LayerUse>)>,
    /// What it is called where no `--tag` says it.
    name: String,
    /// Where what it is made of is found.
    programs: Vec<PathBuf>,
    /// What was asked for, for the provenance.
    parameters: Value,
    materials: Vec<(String, String)>,
    /// What must live until all is sent.
    _kept: Option<tempfile::TempDir>,
}

/// Builds.
pub(crate) fn run(app: &App, args: &BuildArgs) -> Result<Exit, Report> {
    let layout = open_layout(&args.layout)?;
    let wanted = recipes::wanted(args)?;
    let references: Vec<&Reference> = args.tag.iter().chain(&wanted.reference).collect();
    let client = args.access.client(app, &references)?;
    let built = match &args.dockerfile {
        Some(file) => dockerfile::build(app, args, file, &layout)?,
        None => recipes::build(app, args, &wanted, &client, &layout)?,
    };
    let name = args.tag.as_ref().map_or_else(|| built.name.clone(), ToString::to_string);
    let tagged = app.runtime.block_on(layout.tag_descriptor(built.descriptor.clone(), &name));
    tagged.map_err(|error| tell::supply(&error))?;
    app.printer.note("Built", format_args!("{name} in {}", args.layout.display()));
    let pushed = match args.tag.as_ref().filter(|_| args.push) {
        Some(reference) => Some(push(app, args, &client, &layout, &built, reference, wanted.reference.as_ref())?),
        None => None,
    };
    if app.printer.style().json {
        app.printer.json(&document(args, &built, &name, pushed.as_ref()))?;
        return Ok(Exit::Done);
    }
    show_layers(app, &built.images);
    app.printer.line(&built.descriptor.digest)?;
    if pushed.is_none() {
        app.printer.next(format_args!("`prograde image push {}:{name} REFERENCE`", args.layout.display()));
    }
    Ok(Exit::Done)
}

/// Opens a layout; one that is made here is kept out of Git.
pub(crate) fn open_layout(dir: &Path) -> Result<Layout, Report> {
    let is_new = !dir.exists();
    let layout = Layout::open(dir).map_err(|error| tell::supply(&error))?;
    let ignore = dir.join(".gitignore");
    if is_new {
        std::fs::write(&ignore, "*\n").map_err(|error| Report::file("write", &ignore, &error))?;
    }
    Ok(layout)
}

impl BuildArgs {
    fn created(&self) -> Result<Option<Timestamp>, Report> {
        let wrong = |error: jiff::Error| Report::new(report::ARGUMENT, "SOURCE_DATE_EPOCH is no time").because(&error);
        self.source_date_epoch.map(Timestamp::from_second).transpose().map_err(wrong)
    }
}

/// `NAME=VALUE` arguments.
fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Report> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Report::new(report::ARGUMENT, format!("`{flag} {text}` is not NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

/// Sends the image, then what belongs to it.
fn push(
    app: &App,
    args: &BuildArgs,
    client: &Client,
    layout: &Layout,
    built: &Built,
    reference: &Reference,
    base: Option<&Reference>,
) -> Result<Value, Report> {
    let meter = Meter::new(app, "Pushing");
    let mount: Vec<_> = base.map(|base| base.repository().clone()).into_iter().collect();
    let sent = image::push(client, layout, &built.descriptor, reference, &mount, &|progress| meter.tell(progress));
    let sent = sent.map_err(|error| tell::image(&error))?;
    drop(meter);
    app.printer
        .note("Pushed", format_args!("{reference}: {} sent, {} blobs there already", bytes(sent.bytes), sent.present));
    let created = args.created()?;
    let mut artifacts = Vec::new();
    if args.sbom {
        artifacts.extend(attach::bill(app, reference, &built.programs, &args.dir, created)?);
    }
    if args.provenance {
        let made = Made {
            parameters: built.parameters.clone(),
            materials: built.materials.clone(),
            sources: &args.dir,
            builder: &args.builder_id,
            created,
        };
        artifacts.push(attach::provenance(reference, &built.descriptor, &made)?);
    }
    let mut attached = Vec::new();
    for artifact in &artifacts {
        let one = client.push_referrer(reference.repository(), &built.descriptor, artifact);
        let one = one.map_err(|error| tell::registry(&error))?;
        app.printer.note("Attached", &artifact.artifact_type);
        attached.push(json!({ "artifact_type": artifact.artifact_type, "digest": one.digest, "size": one.size }));
    }
    Ok(json!({
        "reference": reference.to_string(),
        "blobs_sent": sent.moved,
        "blobs_present": sent.present,
        "bytes_sent": sent.bytes,
        "attached": attached,
    }))
}

fn document(args: &BuildArgs, built: &Built, name: &str, pushed: Option<&Value>) -> Value {
    let image = |(descriptor, layers): &(Descriptor, Vec<LayerUse>)| {
        json!({
            "digest": descriptor.digest,
            "platform": descriptor.platform.as_ref().map(Platform::name),
            "layers": layers,
        })
    };
    json!({
        "digest": built.descriptor.digest,
        "media_type": built.descriptor.media_type,
        "name": name,
        "layout": args.layout,
        "images": built.images.iter().map(image).collect::<Vec<_>>(),
        "pushed": pushed,
    })
}

fn show_layers(app: &App, images: &[(Descriptor, Vec<LayerUse>)]) {
    let mut table = Table::new(&["PLATFORM", "LAYER", "SIZE", "DIGEST", ""]);
    for (descriptor, layers) in images {
        let platform = descriptor.platform.as_ref().map(Platform::name).unwrap_or_default();
        for layer in layers {
            table.row(vec![
                Cell::new(&platform),
                Cell::new(&layer.name),
                Cell::number(bytes(layer.size)),
                Cell::new(layer.digest.short()),
                Cell::new(if layer.reused { "reused" } else { "new" }),
            ]);
        }
    }
    let rendered = table.render(app.printer.style());
    app.printer.hint(rendered.trim_end());
}
