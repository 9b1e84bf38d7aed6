//! `prograde image inspect`.

use clap::Args;
use prograde_supply::Descriptor;
use prograde_supply::image::{Source, View};
use serde_json::{Value, json};

use crate::app::App;
use crate::commands::image::access::Access;
use crate::commands::image::{place, tell};
use crate::exit::Exit;
use crate::printer::one_line;
use crate::report::Report;
use crate::text::{Cell, Table, bytes};

/// Show an image's platforms, configuration, layers, annotations and what belongs to it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde image inspect ghcr.io/me/pad:v1
  prograde image inspect .prograde/images:pad:latest
  prograde image inspect image.tar --json

A layout that holds several images needs a tag: `DIR:TAG`. Layers are not fetched.")]
pub(crate) struct InspectArgs {
    /// A reference, a layout or an archive
    #[arg(value_name = "IMAGE")]
    image: String,
    #[command(flatten)]
    access: Access,
}

/// Shows it.
pub(crate) fn run(app: &App, args: &InspectArgs) -> Result<Exit, Report> {
    let opened = place::open(app, &args.access, &args.image)?;
    let viewed = opened.source.view(&opened.root).map_err(|error| tell::image(&error))?;
    let referrers = match &opened.source {
        Source::Registry(client, repository) => {
            client.referrers(repository, &opened.root.digest, None).map_err(|error| tell::registry(&error))?
        }
        Source::Layout(_) => Vec::new(),
    };
    if app.printer.style().json {
        let images: Vec<Value> = viewed.images.iter().map(document).collect();
        app.printer.json(&json!({
            "digest": viewed.root.digest,
            "media_type": viewed.root.media_type,
            "size": viewed.size(),
            "images": images,
            "referrers": referrers,
        }))?;
        return Ok(Exit::Done);
    }
    app.printer.line(format_args!("digest      {}", viewed.root.digest))?;
    app.printer.line(format_args!("media type  {}", one_line(&viewed.root.media_type)))?;
    app.printer.line(format_args!("size        {}", bytes(viewed.size())))?;
    for image in &viewed.images {
        app.printer.line("")?;
        show(app, image)?;
    }
    show_referrers(app, &referrers)?;
    Ok(Exit::Done)
}

fn document(image: &View) -> Value {
    json!({
        "digest": image.digest(),
        "platform": image.platform().map(|platform| platform.name()),
        "artifact_type": image.artifact_type,
        "config": image.config,
        "layers": image.layers,
        "annotations": image.annotations,
    })
}

fn show(app: &App, image: &View) -> Result<(), Report> {
    let line = |name: &str, text: &str| app.printer.line(format_args!("{name:<11} {}", one_line(text)));
    let platform = image.platform().map_or_else(|| "unknown".to_owned(), |platform| platform.name());
    line("platform", &platform)?;
    line("manifest", image.digest().as_str())?;
    line("config", image.config_descriptor.digest.as_str())?;
    if let Some(created) = image.config.get("created").and_then(Value::as_str) {
        line("created", created)?;
    }
    let execution = image.config.get("config");
    let words = |key: &str| execution.and_then(|config| config.get(key)).filter(|value| !value.is_null()).cloned();
    for (name, key) in [("user", "User"), ("workdir", "WorkingDir")] {
        if let Some(text) = words(key).as_ref().and_then(Value::as_str).filter(|text| !text.is_empty()) {
            line(name, text)?;
        }
    }
    for (name, key) in [("entrypoint", "Entrypoint"), ("cmd", "Cmd")] {
        if let Some(value) = words(key) {
            line(name, &value.to_string())?;
        }
    }
    for entry in words("Env").as_ref().and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        line("env", entry)?;
    }
    let labels = words("Labels");
    for (key, value) in labels.as_ref().and_then(Value::as_object).into_iter().flatten() {
        line("label", &format!("{key}={}", value.as_str().unwrap_or_default()))?;
    }
    for (key, value) in &image.annotations {
        line("annotation", &format!("{key}={value}"))?;
    }
    let mut table = Table::new(&["LAYER", "SIZE", "MEDIA TYPE"]);
    for layer in &image.layers {
        table.row(vec![
            Cell::new(layer.digest.as_str()),
            Cell::number(bytes(layer.size)),
            Cell::new(&layer.media_type),
        ]);
    }
    app.printer.text(table.render(app.printer.style()))
}

fn show_referrers(app: &App, referrers: &[Descriptor]) -> Result<(), Report> {
    if referrers.is_empty() {
        return Ok(());
    }
    app.printer.line("")?;
    let mut table = Table::new(&["REFERRER", "SIZE", "TYPE"]);
    for one in referrers {
        let kind = one.artifact_type.as_deref().unwrap_or("unknown");
        table.row(vec![Cell::new(one.digest.as_str()), Cell::number(bytes(one.size)), Cell::new(kind)]);
    }
    app.printer.text(table.render(app.printer.style()))
}
