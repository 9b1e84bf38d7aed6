//! `prograde image diff`.

use clap::Args;
use prograde_supply::image::{Change, Difference, Node, Source, View, differences};
use prograde_supply::{Limits, Platform};
use serde_json::json;

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::image::place::Place;
use crate::commands::image::{tell, transfer};
use crate::exit::Exit;
use crate::printer::{Tone, one_line};
use crate::report::Report;
use crate::text::{bytes, counted};

/// Show what files, settings and layers two images differ in
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde image diff ghcr.io/me/pad:v1 ghcr.io/me/pad:v2
  prograde image diff ghcr.io/me/pad:v1 .prograde/images:pad:latest --json

Of images for several platforms, those of --platform are compared, by default linux on this machine's processor.
The exit code is 0 whether they differ or not.")]
pub(crate) struct DiffArgs {
    /// The image before
    #[arg(value_name = "BEFORE")]
    before: String,
    /// The image after
    #[arg(value_name = "AFTER")]
    after: String,
    /// The platform to compare
    #[arg(long, value_name = "PLATFORM", value_parser = transfer::platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    access: Access,
}

/// Compares.
pub(crate) fn run(app: &App, args: &DiffArgs) -> Result<Exit, Report> {
    let (before, after) = (Place::of(&args.before)?, Place::of(&args.after)?);
    let references: Vec<_> = before.reference().into_iter().chain(after.reference()).collect();
    let client = args.access.client(app, &references)?;
    let (before, after) = (before.open(&client)?, after.open(&client)?);
    let pick = |source: &Source, root| -> Result<View, Report> {
        let viewed = source.view(root).map_err(|error| tell::image(&error))?;
        chosen(viewed.images, args.platform.as_ref())
    };
    let (old, new) = (pick(&before.source, &before.root)?, pick(&after.source, &after.root)?);
    let found = differences((&before.source, &old), (&after.source, &new), &Limits::default())
        .map_err(|error| tell::image(&error))?;
    if app.printer.style().json {
        app.printer.json(&json!({ "before": old.digest(), "after": new.digest(), "difference": found }))?;
    } else {
        show(app, &found)?;
    }
    Ok(Exit::Done)
}

/// The image that is meant: the only one, or that of a platform.
fn chosen(mut images: Vec<View>, wanted: Option<&Platform>) -> Result<View, Report> {
    let has: Vec<String> = images.iter().filter_map(View::platform).map(|platform| platform.name()).collect();
    let missing = |what: String| {
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        Report::new(tell::MISSING, format!("there is no image for {what}: there are {has}"))
            .hint("name one with `--platform`")
    };
    if wanted.is_none() && images.len() == 1 {
        return images.pop().ok_or_else(|| missing("any platform".to_owned()));
    }
    let wanted = wanted.cloned().unwrap_or_else(Platform::host);
    let found = images.into_iter().find(|image| image.platform().is_some_and(|platform| wanted.fits(&platform)));
    found.ok_or_else(|| missing(wanted.name()))
}

fn show(app: &App, found: &Difference) -> Result<(), Report> {
    let colour = app.printer.style().colour;
    for change in &found.files {
        let (mark, tone) = match (&change.before, &change.after) {
            (None, _) => ("+", Tone::Good),
            (_, None) => ("-", Tone::Bad),
            _ => ("~", Tone::Warning),
        };
        let line = one_line(&format!("{} {}", change.path, how(change)));
        app.printer.line(format_args!("{} {line}", tone.paint(mark, colour)))?;
    }
    for setting in &found.settings {
        let line = one_line(&format!("{}: {} -> {}", setting.name, setting.before, setting.after));
        app.printer.line(format_args!("{} {line}", Tone::Warning.paint("~", colour)))?;
    }
    if found.is_empty() {
        app.printer.note("Same", "both images hold and say the same");
        return Ok(());
    }
    let layers = |list: &[prograde_model::Digest], word: &str| format!("{} {word}", list.len());
    app.printer.line(format_args!(
        "layers: {}, {}, {}; {} to fetch for whoever has the first",
        layers(&found.layers_shared, "shared"),
        layers(&found.layers_removed, "gone"),
        layers(&found.layers_added, "new"),
        bytes(found.bytes_to_fetch)
    ))?;
    app.printer.note("Compared", counted(found.files.len() as u64, "path"));
    Ok(())
}

/// What is different about a path.
fn how(change: &Change) -> String {
    let whole = |node: &Node| {
        let target = node.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
        format!("({}, {:04o}, {}{target})", node.kind, node.mode, bytes(node.size))
    };
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return change.before.as_ref().or(change.after.as_ref()).map(whole).unwrap_or_default();
    };
    let mut said = Vec::new();
    if before.kind != after.kind {
        said.push(format!("{} -> {}", before.kind, after.kind));
    }
    if before.mode != after.mode {
        said.push(format!("{:04o} -> {:04o}", before.mode, after.mode));
    }
    if before.owner != after.owner {
        said.push(format!("owner {}:{} -> {}:{}", before.owner.0, before.owner.1, after.owner.0, after.owner.1));
    }
    if before.size != after.size {
        said.push(format!("{} -> {}", bytes(before.size), bytes(after.size)));
    } else if before.digest != after.digest {
        said.push("other content".to_owned());
    }
    if before.target != after.target {
        said.push(format!("leads to {}", after.target.as_deref().unwrap_or("nothing")));
    }
    format!("({})", said.join(", "))
}
