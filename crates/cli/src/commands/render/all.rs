//! Renders every kustomization below a directory that no other one includes: each into a file of its own, and again only
//! those that depend on what has changed since.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use prograde_kustomize::{Files, KUSTOMIZATION_FILES, Options, Reads, Renderer};
use prograde_model::Diagnostics;
use serde::Serialize;
use serde_json::{Value, json};

use super::disk::Disk;
use super::index::{Index, Look, Rendered};
use super::located;
use crate::app::App;
use crate::commands::asking::Asking;
use crate::exit::Exit;
use crate::report::{self, Report};

/// How deep kustomizations are looked for.
const DEPTH_MAX: usize = 64;
/// How many are rendered at most.
const ROOTS_MAX: usize = 100_000;

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) dir: &'a Path,
    pub(super) output: Option<&'a Path>,
    pub(super) prune: bool,
    pub(super) asking: &'a Asking,
    pub(super) options: Options,
}

/// One that was rendered now.
struct Done {
    text: String,
    objects: usize,
    warnings: Vec<String>,
    reads: Reads,
}

type Outcome = Result<Done, Diagnostics>;

/// Renders them all, and says how each went. Where one can't be rendered, what was written of it before stays.
pub(super) fn run(app: &App, asked: &Asked<'_>) -> Result<Exit, Report> {
    let disk = Disk::around(asked.dir).asking(asked.asking, app);
    let output = asked.output.map(make).transpose()?;
    let place = |dir: &str| output.as_ref().map(|output| output.join(name(dir, asked.dir, &disk)));
    // What there is, and what of it is as it was: both ask the disk about every file, at the same time.
    let (found, before) = std::thread::scope(|scope| {
        let before = scope.spawn(|| before(output.as_deref(), asked.options, &place, disk.root()));
        (find(asked.dir, output.as_deref(), &disk), before.join())
    });
    let (found, (mut index, mut fresh)) = (found?, before.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    index.retain_without(&mut fresh, |path| found.has(path).unwrap_or_else(|| disk.root().join(path).exists()));
    let roots = found.roots;
    index.keep(|dir| roots.contains_key(dir));
    let stale: Vec<&str> = roots.keys().map(String::as_str).filter(|dir| !fresh.contains(*dir)).collect();
    for dir in &stale {
        index.forget(dir);
    }
    let mut outcomes = render(&disk, asked.options, &stale);
    take_in(&mut index, &outcomes, &disk);
    // One that others included before may stand by itself now.
    let tops = tops(&index, &roots);
    let bare = |dir: &&str| output.is_some() && index.rendered.get(*dir).is_some_and(|one| one.output.is_none());
    let more: Vec<&str> = tops.iter().copied().filter(|dir| !outcomes.contains_key(*dir)).filter(bare).collect();
    let more = render(&disk, asked.options, &more);
    take_in(&mut index, &more, &disk);
    outcomes.extend(more);

    let mut told = Told::default();
    let rows: Vec<(&str, Option<PathBuf>, Option<&Outcome>)> =
        tops.iter().map(|dir| (*dir, place(dir), outcomes.get(*dir))).collect();
    for (row, written) in rows.iter().zip(write_all(&rows)) {
        let (dir, path, outcome) = row;
        told.add(app, (dir, *outcome), &mut index, (path.as_deref(), written?), &disk)?;
    }
    for dir in std::mem::take(&mut index.gone) {
        let Some(path) = place(&dir).filter(|path| path.exists()) else { continue };
        if asked.prune {
            fs::remove_file(&path).map_err(|error| Report::file("remove", &path, &error))?;
            app.printer.note("Removed", path.display());
        } else {
            app.printer.warning(format_args!("{} is of a kustomization that is gone", path.display()));
            app.printer.hint("`--prune` removes it");
            index.gone.insert(dir);
        }
    }
    if let Some(output) = &output {
        index.write(output).map_err(|error| Report::file("write", &output.join(super::index::FILE), &error))?;
    }
    told.end(app, roots.is_empty(), asked.dir)
}

/// What was rendered before, and the directories of which every file is as it was then.
fn before(
    output: Option<&Path>,
    options: Options,
    place: &(impl Fn(&str) -> Option<PathBuf> + Sync),
    root: &Path,
) -> (Index, BTreeSet<String>) {
    let mut index = output.map_or_else(Index::default, |output| Index::read(output, options));
    let mut fresh = index.unchanged(root);
    let is_as_written = |dir: &str, one: &Rendered| match (&one.output, place(dir)) {
        (Some(look), Some(path)) => Look::at(&path).as_ref() == Some(look),
        (_, _) => true,
    };
    fresh.retain(|dir| index.rendered.get(dir).is_some_and(|one| is_as_written(dir, one)));
    (index, fresh)
}

fn make(output: &Path) -> Result<PathBuf, Report> {
    let made = fs::create_dir_all(output).and_then(|()| fs::canonicalize(output));
    made.map_err(|error| Report::file("make", output, &error).hint("`--output` names a directory for all files"))
}

/// What was found below a directory; paths are seen from the disk's root.
#[derive(Default)]
pub(crate) struct Found {
    /// The directories with a kustomization, each with the file's path.
    pub(crate) roots: BTreeMap<String, String>,
    /// The kustomization files of each directory that was looked into.
    listed: HashMap<String, Vec<&'static str>>,
}

impl Found {
    /// Whether there is a file, as far as that was seen.
    fn has(&self, path: &str) -> Option<bool> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let files = self.listed.get(dir).filter(|_| KUSTOMIZATION_FILES.contains(&name))?;
        Some(files.contains(&name))
    }
}

/// Looks for kustomizations.
pub(crate) fn find(dir: &Path, output: Option<&Path>, disk: &Disk) -> Result<Found, Report> {
    let mut found = Found::default();
    let mut next = vec![(dir.to_path_buf(), 0)];
    while let Some((dir, depth)) = next.pop() {
        if depth > DEPTH_MAX || Some(dir.as_path()) == output {
            continue;
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&dir).map_err(|error| Report::file("read", &dir, &error))? {
            let entry = entry.map_err(|error| Report::file("read", &dir, &error))?;
            let kind = entry.file_type().map_err(|error| Report::file("read", &entry.path(), &error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if kind.is_dir() && !name.starts_with('.') {
                next.push((entry.path(), depth + 1));
            } else {
                files.extend(KUSTOMIZATION_FILES.iter().find(|known| **known == name));
            }
        }
        let Some(path) = disk.relative(&dir) else { continue };
        if let Some(file) = KUSTOMIZATION_FILES.iter().find(|name| files.contains(*name)) {
            let full = if path.is_empty() { (*file).to_owned() } else { format!("{path}/{file}") };
            found.roots.insert(path.clone(), full);
        }
        found.listed.insert(path, files);
        if found.roots.len() > ROOTS_MAX {
            return Err(Report::new(report::FILE, format!("there are more than {ROOTS_MAX} kustomizations"))
                .hint("name a directory with fewer of them"));
        }
    }
    Ok(found)
}

/// The file for a directory: where it lies below the one that was asked for.
fn name(dir: &str, asked: &Path, disk: &Disk) -> String {
    let above = disk.relative(asked).unwrap_or_default();
    let below = dir.strip_prefix(&above).unwrap_or(dir).trim_start_matches('/');
    if below.is_empty() { "_root.yaml".to_owned() } else { format!("{below}.yaml") }
}

/// Renders directories.
fn render<'d>(disk: &Disk, options: Options, dirs: &[&'d str]) -> BTreeMap<&'d str, Outcome> {
    let worker = || {
        let renderer = Renderer::with(disk as &dyn Files, options);
        move |dir: &&str| one(&renderer, dir)
    };
    dirs.iter().copied().zip(each(dirs, worker)).collect()
}

/// Works through items on all processors; the answers are in their order.
fn each<I: Sync, O: Send, W: FnMut(&I) -> O>(items: &[I], worker: impl Fn() -> W + Sync) -> Vec<O> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut work = worker();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let answer = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(at, answer);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn one(renderer: &Renderer<'_>, dir: &str) -> Outcome {
    let rendering = renderer.render(dir)?;
    let text = rendering.to_yaml()?;
    Ok(Done { text, objects: rendering.resources.len(), warnings: rendering.warnings, reads: rendering.reads })
}

fn take_in(index: &mut Index, outcomes: &BTreeMap<&str, Outcome>, disk: &Disk) {
    let seen = disk.seen();
    for (dir, outcome) in outcomes {
        if let Ok(done) = outcome {
            let rendered = Rendered::new(done.objects, done.warnings.clone(), done.reads.program);
            index.add(dir, &done.reads, &seen, rendered);
        }
    }
}

/// Those that no other one includes.
fn tops<'r>(index: &Index, roots: &'r BTreeMap<String, String>) -> Vec<&'r str> {
    let all = || roots.iter().map(|(dir, file)| (dir.as_str(), file.as_str()));
    let included = index.included(all());
    all().map(|(dir, _)| dir).filter(|dir| !included.contains(dir)).collect()
}

/// What became of one of them.
#[derive(Debug, Serialize)]
struct Row {
    dir: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

/// What is said of all of them.
#[derive(Default)]
struct Told {
    rows: Vec<Row>,
    written: usize,
    unchanged: usize,
    failed: usize,
}

impl Told {
    fn add(
        &mut self,
        app: &App,
        (dir, outcome): (&str, Option<&Outcome>),
        index: &mut Index,
        (path, written): (Option<&Path>, bool),
        disk: &Disk,
    ) -> Result<(), Report> {
        let shown = if dir.is_empty() { "." } else { dir }.to_owned();
        let output = path.map(|path| path.display().to_string());
        let mut row = Row { dir: shown, state: "unchanged", output, objects: None, error: None };
        match outcome {
            Some(Err(problem)) => {
                let report = located(problem, disk);
                app.printer.report(&report);
                row.error = Some(json!({ "code": report.code, "message": report.summary }));
                row.state = "failed";
            }
            Some(Ok(done)) => {
                for warning in &done.warnings {
                    app.printer.warning(warning);
                }
                index.written(dir, path.and_then(Look::at));
                row.state = if written { "rendered" } else { "unchanged" };
            }
            None => {}
        }
        match row.state {
            "failed" => self.failed += 1,
            "rendered" => self.written += 1,
            _ => self.unchanged += 1,
        }
        let objects = index.rendered.get(dir).map_or(0, |one| one.objects);
        row.objects = row.error.is_none().then_some(objects);
        if !app.printer.style().json && row.state == "rendered" {
            app.printer.line(format_args!(
                "{}: {objects} {}",
                row.dir,
                if objects == 1 { "object" } else { "objects" }
            ))?;
        }
        self.rows.push(row);
        Ok(())
    }

    fn end(self, app: &App, is_empty: bool, dir: &Path) -> Result<Exit, Report> {
        if is_empty {
            return Err(Report::new(report::FILE, format!("{} has no kustomization", dir.display()))
                .hint("name a directory with files kustomization.yaml below it"));
        }
        if app.printer.style().json {
            app.printer.json(&self.rows)?;
        }
        let Self { written, unchanged, failed, .. } = self;
        app.printer.note("Rendered", format_args!("{written}, {unchanged} unchanged, {failed} failed"));
        Ok(if failed == 0 { Exit::Done } else { Exit::Mistake })
    }
}

/// Writes what was rendered; whether each file had to be written. What goes to no file counts as written.
fn write_all(rows: &[(&str, Option<PathBuf>, Option<&Outcome>)]) -> Vec<Result<bool, Report>> {
    each(rows, || {
        |(_, path, outcome)| match (path, outcome) {
            (Some(path), Some(Ok(done))) => write(path, &done.text),
            (None, Some(Ok(_))) => Ok(true),
            (_, Some(Err(_)) | None) => Ok(false),
        }
    })
}

/// Whether a file had to be written.
fn write(path: &Path, text: &str) -> Result<bool, Report> {
    if fs::read(path).is_ok_and(|before| before == text.as_bytes()) {
        return Ok(false);
    }
    let failed = |error: std::io::Error| Report::file("write", path, &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(true)
}
