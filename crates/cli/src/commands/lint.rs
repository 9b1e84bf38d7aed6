//! `prograde lint`: whether configuration is where it belongs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use prograde_control::config;
use prograde_gitops::placement::{Directory, misplaced};
use prograde_kustomize::Renderer;
use prograde_model::Diagnostic;
use serde_json::json;

use super::asking::Asking;
use super::check::tree;
use super::render::disk::Disk;
use super::render::{all, folder, located};
use crate::app::App;
use crate::exit::Exit;
use crate::printer::{Tone, cleaned};
use crate::report::{self, Report};
use crate::text::counted;

/// Say what configuration is in the wrong place
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prograde lint
  prograde lint deploy --json

What differs between environments belongs in their overlays, what differs between users in a flag, and what is secret in a
reference. Every kustomization below the directory is rendered; directories for environments are known by their usual names, such
as `staging`, and by prograde.yaml. An object's annotation `allow.prograde.dev/CODE` with a reason lets a finding of it pass. The
exit code is 1 if anything is in the wrong place, and 2 if something can't be rendered.")]
pub(crate) struct LintArgs {
    /// The repository, or a folder of it
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    asking: Asking,
}

/// Looks through a directory.
pub(crate) fn run(app: &App, args: &LintArgs) -> Result<Exit, Report> {
    let dir = folder(&args.dir)?;
    let disk = Disk::around(&dir).asking(&args.asking, app);
    let roots = all::find(&dir, None, &disk)?.roots;
    if roots.is_empty() {
        return Err(Report::new(report::FILE, format!("{} has no kustomization", args.dir.display())).hint(
            "name the folder with your manifests; a directory without kustomization.yaml is not looked through",
        ));
    }
    let environments = declared(&dir)?;
    let found = misplaced(&rendered(&disk, &roots)?, &environments);
    if app.printer.style().json {
        app.printer.json(&json!({"findings": found}))?;
    } else {
        let colour = app.printer.style().colour;
        for finding in &found {
            let finding = Diagnostic { file: disk.shown(&finding.file), ..finding.clone() };
            let word = Tone::Warning.paint("misplaced", colour);
            app.printer.line(format_args!("{word}: {}", cleaned(&finding.to_string())))?;
        }
    }
    let looked = counted(roots.len() as u64, "kustomization");
    if found.is_empty() {
        app.printer.note("Good", format_args!("{looked}, nothing in the wrong place"));
        return Ok(Exit::Done);
    }
    let what = format!("{} in the wrong place in {looked}", counted(found.len() as u64, "value"));
    Err(Report::new(report::MISPLACED, what).exit(Exit::Refused).hint("`prograde explain CODE` says more about each"))
}

/// The environments that prograde.yaml names; none where there is no such file.
fn declared(dir: &Path) -> Result<BTreeSet<String>, Report> {
    if !dir.join(config::FILE).exists() {
        return Ok(BTreeSet::new());
    }
    let service = tree::text(dir, config::FILE).and_then(|text| config::read(&text)).map_err(|problem| {
        Report::new(report::FILE, problem.to_string()).hint("`prograde check` shows everything that is wrong there")
    })?;
    Ok(service.environments.iter().map(|environment| environment.name.to_string()).collect())
}

/// What every directory becomes. One that can't stand by itself, such as a component, has to be included by another.
fn rendered(disk: &Disk, roots: &BTreeMap<String, String>) -> Result<Vec<Directory>, Report> {
    let renderer = Renderer::new(disk);
    let (mut all, mut failed) = (Vec::with_capacity(roots.len()), Vec::new());
    for dir in roots.keys() {
        let rendering = match renderer.render(dir) {
            Ok(rendering) => rendering,
            Err(problem) => {
                failed.push((dir, problem));
                continue;
            }
        };
        let is_other = |(other, file): &(&String, &String)| *other != dir && rendering.reads.files.contains(*file);
        let includes = roots.iter().filter(is_other).map(|(other, _)| other.clone()).collect();
        all.push(Directory { dir: dir.clone(), objects: rendering.resources, includes });
    }
    let is_included = |dir: &String| all.iter().any(|one| one.includes.contains(dir));
    match failed.iter().find(|(dir, _)| !is_included(dir)) {
        Some((_, problem)) => Err(located(problem, disk)),
        None => Ok(all),
    }
}
