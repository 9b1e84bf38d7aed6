//! Where the files of applications come from: this repository, and checkouts of others.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::sync::Arc;

use clap::Args;
use prograde_apps::repository::{self, Texts, address_key as key};
use prograde_apps::{Cluster, Objects, Repositories, World};
use prograde_gitops::helm::Helm;
use prograde_kustomize::helm::Charts;
use prograde_kustomize::{Files, Link, Remotes};

use crate::app::App;
use crate::commands::asking::Asking;
use crate::commands::render::disk::Disk;
use crate::report::{self, Report};

/// Flags of every command that reads applications.
#[derive(Debug, Args)]
#[command(next_help_heading = "Source options")]
pub(crate) struct Surroundings {
    /// Where another repository is checked out; may be given several times. This repository's own addresses are known
    #[arg(long = "repo", value_name = "URL=DIR")]
    repositories: Vec<Mapping>,
    #[command(flatten)]
    asking: Asking,
    /// A file with the Secrets of the clusters that Argo CD knows, for cluster generators; may be given several times
    #[arg(long, value_name = "FILE")]
    clusters: Vec<PathBuf>,
}

/// A repository's address and a directory.
#[derive(Debug, Clone)]
struct Mapping {
    url: String,
    dir: PathBuf,
}

impl FromStr for Mapping {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.rsplit_once('=') {
            Some((url, dir)) if !url.is_empty() && !dir.is_empty() => {
                Ok(Self { url: key(url), dir: PathBuf::from(dir) })
            }
            _ => Err("expected URL=DIR, such as https://git.example/team/app=../app"),
        }
    }
}

/// A repository on the disk.
pub(crate) struct Checkout {
    disk: Disk,
    /// What is there, in order, once it was asked for.
    paths: OnceCell<Result<Vec<String>, String>>,
}

impl Checkout {
    /// The repository that a directory is in; the directory itself where it is in none.
    pub(crate) fn around(dir: &Path) -> Self {
        Self::on(Self::disk_around(dir))
    }

    fn disk_around(dir: &Path) -> Disk {
        Disk::at(dir.ancestors().find(|above| above.join(".git").exists()).unwrap_or(dir))
    }

    fn on(disk: Disk) -> Self {
        Self { disk, paths: OnceCell::new() }
    }

    /// Where paths begin.
    pub(crate) fn root(&self) -> &Path {
        self.disk.root()
    }

    fn git(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        if !self.root().join(".git").exists() {
            return None;
        }
        let output = Command::new("git")
            .args(["-c", "core.fsmonitor=false"])
            .args(arguments)
            .current_dir(self.root())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
    }

    /// The addresses of its remotes.
    fn addresses(&self) -> Vec<String> {
        let listed = self.git(&["config", "--get-regexp", r"^remote\..*\.url$"]).unwrap_or_default();
        let text = String::from_utf8_lossy(&listed).into_owned();
        text.lines().filter_map(|line| line.split_once(' ')).map(|(_, url)| key(url)).collect()
    }
}

impl Files for Checkout {
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>, String> {
        self.disk.read(path)
    }

    fn is_directory(&self, path: &str) -> bool {
        self.disk.is_directory(path)
    }

    fn link(&self, path: &str) -> Link {
        self.disk.link(path)
    }

    fn names(&self, dir: &str) -> Vec<String> {
        self.disk.names(dir)
    }

    fn paths(&self, dir: &str) -> Result<Vec<String>, String> {
        let all = self.paths.get_or_init(|| self.listed()).as_ref().map_err(String::clone)?;
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let from = all.partition_point(|path| *path < prefix);
        let below = all.iter().skip(from).take_while(|path| path.starts_with(&prefix));
        Ok(below.cloned().collect())
    }

    fn remotes(&self) -> Option<&dyn Remotes> {
        self.disk.remotes()
    }

    fn charts(&self) -> Option<&dyn Charts> {
        self.disk.charts()
    }
}

impl Checkout {
    fn listed(&self) -> Result<Vec<String>, String> {
        // What is new counts, what Git ignores does not.
        let listed = self.git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
        let mut paths = match listed {
            None => self.disk.paths("")?,
            Some(listed) => {
                let text = String::from_utf8_lossy(&listed).into_owned();
                let present = |path: &&str| !path.is_empty() && self.root().join(path).symlink_metadata().is_ok();
                text.split('\0').filter(present).map(str::to_owned).collect()
            }
        };
        paths.sort();
        paths.dedup();
        Ok(paths)
    }
}

/// The repositories that are here.
pub(crate) struct Checkouts {
    own: Checkout,
    addresses: Vec<String>,
    others: Vec<(String, Checkout)>,
    helm: Option<Helm>,
}

impl Repositories for Checkouts {
    fn find(&self, url: &str) -> Option<&dyn Files> {
        let url = key(url);
        if let Some((_, checkout)) = self.others.iter().find(|(known, _)| *known == url) {
            return Some(checkout);
        }
        // A repository that says no address of its own stands for any.
        let is_own = self.addresses.is_empty() || self.addresses.contains(&url);
        is_own.then_some(&self.own as &dyn Files)
    }

    fn charts(&self) -> Option<&dyn Charts> {
        self.helm.as_ref().map(|helm| helm as &dyn Charts)
    }
}

/// What was read: objects, and all that generators ask.
pub(crate) struct Read {
    /// The objects of the files.
    pub(crate) objects: Objects,
    /// The repositories.
    pub(crate) checkouts: Checkouts,
    clusters: Option<Vec<Cluster>>,
}

impl Read {
    /// What generators ask.
    pub(crate) fn world(&self) -> World<'_> {
        World { repositories: &self.checkouts, clusters: self.clusters.as_deref() }
    }
}

/// Reads a file, or all files of a directory that have objects of Argo CD or Flux.
pub(crate) fn read(app: &App, path: &Path, surroundings: &Surroundings) -> Result<Read, Report> {
    let full = fs::canonicalize(path).map_err(|error| Report::file("read", path, &error))?;
    let asking = &surroundings.asking;
    let own = Checkout::disk_around(if full.is_dir() { &full } else { full.parent().unwrap_or(&full) });
    let own = Checkout::on(own.asking(asking, app));
    let mut objects = Objects::default();
    for (file, text) in texts(app, path, &full, &own)? {
        prograde_apps::read(&file, &text, &mut objects);
    }
    let mut clusters = std::mem::take(&mut objects.clusters);
    for file in &surroundings.clusters {
        let text = fs::read_to_string(file).map_err(|error| Report::file("read", file, &error))?;
        let mut more = Objects::default();
        prograde_apps::read(&file.display().to_string(), &text, &mut more);
        objects.problems.append(&mut more.problems);
        clusters.append(&mut more.clusters);
    }
    let known = !surroundings.clusters.is_empty() || !clusters.is_empty();
    let others = surroundings.repositories.iter().map(|mapping| {
        let dir = fs::canonicalize(&mapping.dir).ok().filter(|dir| dir.is_dir()).ok_or_else(|| {
            Report::new(report::FILE, format!("{} is not a folder", mapping.dir.display()))
                .hint("write `--repo URL=DIR` with the folder of a checkout")
        })?;
        Ok((mapping.url.clone(), Checkout::on(Disk::at(&dir).asking(asking, app))))
    });
    let others = others.collect::<Result<_, Report>>()?;
    let checkouts = Checkouts { addresses: own.addresses(), own, others, helm: asking.helm(app) };
    Ok(Read { objects, checkouts, clusters: known.then_some(clusters) })
}

/// The texts of a file, or of the YAML files below a directory, by the names that the reader knows them by.
pub(crate) fn texts(app: &App, path: &Path, full: &Path, own: &Checkout) -> Result<Vec<(String, String)>, Report> {
    if !full.is_dir() {
        let text = fs::read_to_string(full).map_err(|error| Report::file("read", path, &error))?;
        return Ok(vec![(path.display().to_string(), text)]);
    }
    let inner = full.strip_prefix(own.root()).unwrap_or(Path::new(""));
    let inner = inner.to_str().ok_or_else(|| Report::new(report::FILE, format!("{} is not UTF-8", inner.display())))?;
    let Texts { found, left_out } = repository::texts(own, inner).map_err(|why| Report::new(report::FILE, why))?;
    let shown = |file: &str| {
        let shown = if path == Path::new(".") { PathBuf::from(file) } else { path.join(file) };
        shown.display().to_string()
    };
    for why in left_out {
        app.printer.warning(shown(&why));
    }
    Ok(found.into_iter().map(|(file, text)| (shown(&file), text)).collect())
}
