//! Dockerfiles, by way of a builder that is installed.

use std::path::Path;

use prograde_supply::image::{DockerfileBuild, LayerUse, Source, View, read_archive};
use prograde_supply::{Descriptor, Layout, Platform};
use serde_json::json;

use super::{BuildArgs, Built};
use crate::app::App;
use crate::commands::image::tell;
use crate::report::{self, Report};

/// Builds it and takes what came out into the layout.
pub(super) fn build(app: &App, args: &BuildArgs, file: &Path, layout: &Layout) -> Result<Built, Report> {
    if !file.is_file() {
        return Err(Report::new(tell::UNBUILDABLE, format!("there is no Dockerfile at {}", file.display())));
    }
    let dir = tempfile::tempdir()
        .map_err(|error| Report::new(report::FILE, "there is no place for temporary files").because(&error))?;
    let archive = dir.path().join("image.tar");
    let build = DockerfileBuild {
        dockerfile: file.to_owned(),
        context: args.dir.clone(),
        platforms: args.platform.iter().map(Platform::name).collect(),
        build_args: args.arguments.clone(),
        target: args.target.clone(),
        builder: args.builder.clone(),
    };
    let builder = build.run(&archive).map_err(|error| tell::builder(&error))?;
    let found = read_archive(&archive, layout).map_err(|error| tell::supply(&error))?;
    let [root] = found.as_slice() else {
        return Err(Report::new(tell::NO_IMAGE, format!("{builder} made {} images, expected one", found.len())));
    };
    let mut descriptor = root.clone();
    descriptor.annotations.clear();
    let viewed = Source::Layout(layout.clone()).view(root).map_err(|error| tell::image(&error))?;
    let images = viewed.images.iter().map(layers).collect();
    app.printer.note("Took", format_args!("the image that {builder} made"));
    let name =
        args.dir.canonicalize().ok().and_then(|dir| dir.file_name().map(|name| name.to_string_lossy().into_owned()));
    let parameters = json!({
        "dockerfile": file.file_name().map(|name| name.to_string_lossy()),
        "builder": builder,
        "target": args.target,
        "platforms": build.platforms,
        // The names alone: values may be secrets.
        "arguments": args.arguments.iter().filter_map(|text| text.split('=').next()).collect::<Vec<_>>(),
    });
    let name = super::recipes::tag_name(&name.unwrap_or_default());
    Ok(Built {
        descriptor,
        images,
        name: format!("{name}:latest"),
        programs: vec![archive],
        parameters,
        materials: Vec::new(),
        _kept: Some(dir),
    })
}

fn layers(image: &View) -> (Descriptor, Vec<LayerUse>) {
    let mut descriptor = image.descriptor.clone();
    descriptor.platform = image.platform();
    let layer = |layer: &Descriptor| LayerUse {
        name: "dockerfile".to_owned(),
        digest: layer.digest.clone(),
        size: layer.size,
        reused: false,
    };
    (descriptor, image.layers.iter().map(layer).collect())
}
