//! `prograde image push` and `prograde image pull`.

use std::path::PathBuf;

use clap::Args;
use prograde_supply::client::Reference;
use prograde_supply::image::{self, Source, Transferred, platform_of, write_archive};
use prograde_supply::{Layout, Platform};
use serde_json::json;

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::image::meter::Meter;
use crate::commands::image::place::Place;
use crate::commands::image::tell;
use crate::exit::Exit;
use crate::report::{self, Report};
use crate::text::{bytes, counted};

/// Send an image from a layout, an archive or a registry to a registry
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde image push .prograde/images:pad:latest ghcr.io/me/pad:v1
  prograde image push image.tar localhost:5000/pad:v1

What the registry has already is not sent. The tag comes last, so that nobody finds half an image.")]
pub(crate) struct PushArgs {
    /// The image: `DIR:TAG`, an archive or a reference
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Where it goes
    #[arg(value_name = "REFERENCE", value_parser = reference)]
    to: Reference,
    #[command(flatten)]
    access: Access,
}

/// Fetch an image from a registry into a layout or an archive
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde image pull debian:12 --layout images
  prograde image pull ghcr.io/me/pad:v1 --platform linux/amd64 --output pad.tar && docker load -i pad.tar

Blobs are fetched several at a time and checked; one that broke off is continued by the next attempt.")]
pub(crate) struct PullArgs {
    /// The image
    #[arg(value_name = "REFERENCE", value_parser = reference)]
    image: Reference,
    /// The layout that it goes into
    #[arg(long, value_name = "DIR", default_value = super::build::LAYOUT)]
    layout: PathBuf,
    /// Write an OCI archive as well, which `docker load` reads
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only the image of this platform, such as linux/arm64; by default all
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    access: Access,
}

/// A reference as an argument.
pub(crate) fn reference(text: &str) -> Result<Reference, String> {
    text.parse().map_err(|error: prograde_supply::client::RegistryError| error.to_string())
}

/// A platform as an argument.
pub(crate) fn platform(text: &str) -> Result<Platform, String> {
    platform_of(text).ok_or_else(|| "expected `OS/ARCHITECTURE`, such as linux/amd64".to_owned())
}

/// Sends.
pub(crate) fn push(app: &App, args: &PushArgs) -> Result<Exit, Report> {
    let place = Place::of(&args.image)?;
    let from = place.reference();
    let client = args.access.client(app, &from.into_iter().chain([&args.to]).collect::<Vec<_>>())?;
    if args.to.tag().is_none() && args.to.digest().is_none() {
        return Err(Report::new(report::ARGUMENT, "the image needs a tag to be found under"));
    }
    let meter = Meter::new(app, "Pushing");
    // From one registry to another it goes through this machine.
    let temporary = tempfile::tempdir()
        .map_err(|error| Report::new(report::FILE, "there is no place for temporary files").because(&error))?;
    let opened = place.open(&client)?;
    let (layout, root) = match &opened.source {
        Source::Layout(layout) => (layout.clone(), opened.root.clone()),
        Source::Registry(..) => {
            let layout = Layout::open(&temporary.path().join("layout")).map_err(|error| tell::supply(&error))?;
            let named = from.map(|from| from.repository().at(&opened.root.digest));
            let named = named.ok_or_else(|| Report::new(tell::NO_IMAGE, "the image has no name"))?;
            image::pull(&client, &named, None, &layout, &|progress| meter.tell(progress))
                .map_err(|error| tell::image(&error))?;
            (layout, opened.root.clone())
        }
    };
    let mount: Vec<_> = from.map(|from| from.repository().clone()).into_iter().collect();
    let sent = image::push(&client, &layout, &root, &args.to, &mount, &|progress| meter.tell(progress))
        .map_err(|error| tell::image(&error))?;
    drop(meter);
    told(app, "Pushed", &args.to, &sent, &json!({}))
}

/// Fetches.
pub(crate) fn pull(app: &App, args: &PullArgs) -> Result<Exit, Report> {
    let client = args.access.client(app, &[&args.image])?;
    let layout = super::build::open_layout(&args.layout)?;
    let meter = Meter::new(app, "Pulling");
    let pulled = image::pull(&client, &args.image, args.platform.as_ref(), &layout, &|progress| meter.tell(progress))
        .map_err(|error| tell::image(&error))?;
    drop(meter);
    let name = args.image.to_string();
    app.runtime
        .block_on(layout.tag_descriptor(pulled.descriptor.clone(), &name))
        .map_err(|error| tell::supply(&error))?;
    if let Some(file) = &args.output {
        write_archive(&layout, &pulled.descriptor, &name, file).map_err(|error| tell::image(&error))?;
        app.printer.note("Wrote", file.display());
    }
    let place = json!({ "layout": args.layout, "output": args.output });
    told(app, "Pulled", &args.image, &pulled, &place)
}

fn told(
    app: &App,
    verb: &str,
    reference: &Reference,
    moved: &Transferred,
    more: &serde_json::Value,
) -> Result<Exit, Report> {
    let what = format!("{} ({})", counted(moved.moved, "blob"), bytes(moved.bytes));
    app.printer.note(verb, format_args!("{reference}: {what} moved, {} there already", moved.present));
    if app.printer.style().json {
        let mut document = json!({
            "reference": reference.to_string(),
            "digest": moved.descriptor.digest,
            "media_type": moved.descriptor.media_type,
            "blobs_moved": moved.moved,
            "blobs_present": moved.present,
            "bytes_moved": moved.bytes,
        });
        if let (Some(document), Some(more)) = (document.as_object_mut(), more.as_object()) {
            document.extend(more.clone());
        }
        app.printer.json(&document)?;
    } else {
        app.printer.line(&moved.descriptor.digest)?;
    }
    Ok(Exit::Done)
}
