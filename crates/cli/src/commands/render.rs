//! `prograde render`: what a kustomization becomes, as `kustomize build` prints it, without running anything.

pub(super) mod all;
pub(crate) mod disk;
mod index;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use prograde_kustomize::{
    Files, KUSTOMIZATION_FILES, Options, Renderer, Rendering, Replaced, Resource, file_name, join, stand_in,
};
use prograde_model::Diagnostics;
use prograde_resource::Object;
use serde_json::Value as Json;

use crate::app::App;
use crate::commands::asking::Asking;
use crate::exit::Exit;
use crate::report::{self, Report};
use disk::Disk;

/// Render a kustomization as `kustomize build` does, a chart, or a directory of plain objects
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde render deploy/overlays/production
  prograde render deploy/overlays/production --output manifests.yaml
  prograde render . --json | jq -r '.[].kind'
  prograde render deploy --all --output rendered

The text is the one that `kustomize build` 5.8 prints, byte for byte. Files are read from the kustomizations' own
directories, and bases from anywhere in the same Git repository. Bases of other repositories are fetched by `git`, with your
own access, where `?ref=` names a commit's whole id, and kept. Helm charts are rendered by Helm 3, where --helm lets it run.
No other program is run and nothing else is asked: programs as plugins and files by their address are refused. With --all and --output only what depends on a change
since the last time is rendered again. The exit code is 2 if a kustomization can't be rendered; what was written of it before
then stays.")]
pub(crate) struct RenderArgs {
    /// The directory with the kustomization, the chart or the objects
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// Write to a file, or one file for each object into a directory that is there; with --all a file for each kustomization
    /// into a directory
    #[arg(short, long, value_name = "FILE|DIR")]
    output: Option<PathBuf>,
    /// Render every kustomization below the directory that no other one includes
    #[arg(long)]
    all: bool,
    /// Remove the files of kustomizations that are gone
    #[arg(long, requires_all = ["all", "output"])]
    prune: bool,
    #[command(flatten)]
    asking: Asking,
    #[command(flatten)]
    build: BuildArgs,
}

/// What `kustomize build` takes as well, spelled as there.
#[derive(Debug, Args)]
struct BuildArgs {
    /// Where a kustomization's files may lie: below its own directory, or anywhere in the same Git repository
    #[arg(long, value_name = "RULE", default_value = "LoadRestrictionsRootOnly")]
    load_restrictor: LoadRestrictor,
    /// The order of objects where a kustomization has no `sortOptions`: by kind, or as they come
    #[arg(long, value_name = "ORDER", default_value = "legacy")]
    reorder: Reorder,
    /// Label objects as managed by Kustomize, as `buildMetadata: [managedByLabel]` does
    #[arg(long)]
    enable_managedby_label: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LoadRestrictor {
    #[value(name = "LoadRestrictionsRootOnly")]
    RootOnly,
    #[value(name = "LoadRestrictionsNone")]
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Reorder {
    Legacy,
    None,
}

impl BuildArgs {
    fn options(&self) -> Options {
        Options {
            reads_whole_tree: self.load_restrictor == LoadRestrictor::None,
            keeps_order: self.reorder == Reorder::None,
            labels_managed_by: self.enable_managedby_label,
            keeps_texts: false,
        }
    }
}

/// Renders a directory.
pub(crate) fn run(app: &App, args: &RenderArgs) -> Result<Exit, Report> {
    if args.all {
        let dir = folder(&args.dir)?;
        return all::run(
            app,
            &all::Asked {
                dir: &dir,
                output: args.output.as_deref(),
                prune: args.prune,
                asking: &args.asking,
                options: args.build.options(),
            },
        );
    }
    let (rendering, disk) = rendered(app, &args.dir, &args.asking, args.build.options())?;
    if app.printer.style().json && args.output.is_none() {
        let objects = rendering.to_json().map_err(|problem| located(&problem, &disk))?;
        app.printer.json(&Json::Array(objects))?;
        return Ok(Exit::Done);
    }
    let text = rendering.to_yaml().map_err(|problem| located(&problem, &disk))?;
    match &args.output {
        None => app.printer.text(&text)?,
        Some(output) if output.is_dir() => write_each(output, &rendering, &disk)?,
        Some(output) => write(output, &text)?,
    }
    Ok(Exit::Done)
}

pub(super) fn folder(dir: &Path) -> Result<PathBuf, Report> {
    fs::canonicalize(dir).ok().filter(|dir| dir.is_dir()).ok_or_else(|| {
        Report::new(report::FILE, format!("{} is not a folder", dir.display()))
            .hint("name the folder with kustomization.yaml in it")
    })
}

fn rendered(app: &App, dir: &Path, asking: &Asking, options: Options) -> Result<(Rendering, Disk), Report> {
    let dir = folder(dir)?;
    let disk = Disk::around(&dir).asking(asking, app);
    let inner = disk.relative(&dir).unwrap_or_default();
    let files = match stand_in_of(&dir)? {
        None => None,
        Some(text) => {
            let path = join(&inner, KUSTOMIZATION_FILES[0]).unwrap_or_default();
            Some(Replaced { files: &disk, path, content: text.into_bytes().into() })
        }
    };
    let options = Options { keeps_texts: files.is_some(), ..options };
    let files = files.as_ref().map_or(&disk as &dyn Files, |files| files as &dyn Files);
    let rendering = Renderer::with(files, options).render(&inner).map_err(|problem| located(&problem, &disk))?;
    for warning in &rendering.warnings {
        app.printer.warning(warning);
    }
    Ok((rendering, disk))
}

/// What a directory that has no kustomization stands for.
fn stand_in_of(dir: &Path) -> Result<Option<String>, Report> {
    let entries = fs::read_dir(dir).map_err(|error| Report::file("read", dir, &error))?;
    let names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let release = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    Ok(stand_in(names.iter().map(String::as_str), release))
}

/// The objects of a kustomization with their places.
pub(crate) fn objects(app: &App, dir: &Path, namespace: &str) -> Result<Vec<Object>, Report> {
    let (rendering, disk) = rendered(app, dir, &Asking::default(), Options::default())?;
    let mut objects = Vec::with_capacity(rendering.resources.len());
    for resource in &rendering.resources {
        let json = resource.to_json().map_err(|problem| located(&problem.into(), &disk))?;
        let object = Object::new(json, namespace).map_err(|why| {
            let found = resource.place().diagnostic(prograde_resource::codes::NOT_AN_OBJECT, why.to_string(), "");
            located(&found.into(), &disk)
        })?;
        objects.push(Object { place: Some(resource.place().clone()), ..object });
    }
    Ok(objects)
}

/// The first finding, with a path that the reader can open from where they are.
pub(super) fn located(problem: &Diagnostics, disk: &Disk) -> Report {
    let Some(found) = problem.0.first() else {
        return Report::new(report::FILE, "the kustomization can't be rendered");
    };
    let file = disk.shown(&found.file);
    let shown = match (found.line, found.column) {
        (0, _) => file,
        (line, 0) => format!("{file}:{line}"),
        (line, column) => format!("{file}:{line}:{column}"),
    };
    Report::new(&found.code, format!("{shown}: {}", found.message)).hint(found.hint.as_str())
}

fn write(path: &Path, text: &str) -> Result<(), Report> {
    fs::write(path, text).map_err(|error| Report::file("write", path, &error))
}

/// One file for each object, named by its API, kind and name as `kustomize build -o DIR` does; in front stands the
/// namespace where there are several.
fn write_each(dir: &Path, rendering: &Rendering, disk: &Disk) -> Result<(), Report> {
    let namespaces: BTreeSet<String> = rendering.resources.iter().filter_map(Resource::effective_namespace).collect();
    for resource in &rendering.resources {
        let gvk = resource.gvk();
        let namespace = resource.effective_namespace().filter(|_| namespaces.len() > 1).unwrap_or_default();
        let name = file_name(&[&namespace, &gvk.group, &gvk.version, &gvk.kind, resource.name()]);
        let json = resource.to_json().map_err(|problem| located(&problem.into(), disk))?;
        write(&dir.join(format!("{name}.yaml")), &prograde_kustomize::yaml(&json))?;
    }
    Ok(())
}
