//! The files of the repository around a directory, read when rendering asks for them. Invariant: what lies outside of
//! the repository is not read, whatever links and paths say.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prograde_gitops::git::RemoteBases;
use prograde_gitops::helm::Helm;
use prograde_kustomize::helm::Charts;
use prograde_kustomize::{Files, Link, Remotes};

use super::index::Seen;
use crate::app::App;
use crate::commands::asking::Asking;

/// How large one file may be, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// How many files of a directory are looked at, and how deep it may be.
const FILES_MAX: usize = 200_000;
const DEPTH_MAX: usize = 32;
/// How many bytes of files are remembered.
const REMEMBERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is in a file.
type Content = Arc<[u8]>;

/// A part of the disk: a Git repository, or all of it where there is none. It is as it was when something was asked for first:
/// many that include a base see the same of it, and it is read once.
pub(crate) struct Disk {
    root: PathBuf,
    known: Mutex<Known>,
    /// Where bases of other repositories come from.
    bases: Option<RemoteBases>,
    /// Who renders charts.
    helm: Option<Helm>,
}

/// What was found out.
#[derive(Default)]
struct Known {
    /// The files that were read, as they were then.
    seen: BTreeMap<String, Seen>,
    /// What is in them, or that they are not there.
    contents: HashMap<String, Option<Content>>,
    /// How many bytes that is.
    bytes: usize,
    /// Paths that are no links.
    plain: HashSet<String>,
}

impl Disk {
    /// The repository that a directory is in.
    pub(crate) fn around(dir: &Path) -> Self {
        let repository = dir.ancestors().find(|above| above.join(".git").exists());
        let root = repository.or_else(|| dir.ancestors().last()).unwrap_or(dir);
        Self { root: root.to_path_buf(), known: Mutex::default(), bases: None, helm: None }
    }

    /// A directory, and nothing around it.
    pub(crate) fn at(dir: &Path) -> Self {
        Self { root: dir.to_path_buf(), known: Mutex::default(), bases: None, helm: None }
    }

    /// Bases and charts are asked for as a command line says.
    pub(crate) fn asking(self, asking: &Asking, app: &App) -> Self {
        Self { bases: asking.bases(app), helm: asking.helm(app), ..self }
    }

    /// Where paths begin.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The files that were read so far.
    pub(super) fn seen(&self) -> BTreeMap<String, Seen> {
        self.known().seen.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a file; `None` where there is none.
    fn look_into(&self, path: &str) -> Result<Option<(Seen, Content)>, String> {
        let file = match fs::File::open(self.root.join(path)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        if metadata.is_dir() {
            return Ok(None);
        }
        if !metadata.is_file() {
            return Err("it is not a plain file".into());
        }
        // With room for all of it, it is read at once.
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(FILE_BYTES_MAX)).unwrap_or(0) + 1);
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
        }
        Ok(Some((Seen::new(&metadata, &bytes), bytes.into())))
    }

    /// A file's path as the reader can open it from where they are. What lies in another repository is named by its address.
    pub(crate) fn shown(&self, file: &str) -> String {
        if file.contains("//") {
            return file.to_owned();
        }
        let here = std::env::current_dir().ok().and_then(|here| fs::canonicalize(here).ok());
        let full = self.root.join(file);
        let short = here.and_then(|here| full.strip_prefix(here).ok().map(Path::to_path_buf));
        short.unwrap_or(full).display().to_string()
    }

    /// A path as seen from the root; `None` outside of it.
    pub(crate) fn relative(&self, path: &Path) -> Option<String> {
        path.strip_prefix(&self.root).ok()?.to_str().map(str::to_owned)
    }
}

/// A path without `.` and `..`, as far as its text tells.
fn normal(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                result.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => result.push(part),
        }
    }
    result
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Option<Arc<[u8]>>, String> {
        if let Some(content) = self.known().contents.get(path) {
            return Ok(content.clone());
        }
        let (seen, content) = self.look_into(path)?.unzip();
        let mut known = self.known();
        if let Some(seen) = seen {
            known.seen.insert(path.to_owned(), seen);
        }
        let bytes = known.bytes.saturating_add(content.as_ref().map_or(0, |content| content.len()));
        if bytes <= REMEMBERED_BYTES_MAX {
            known.bytes = bytes;
            known.contents.insert(path.to_owned(), content.clone());
        }
        Ok(content)
    }

    fn is_directory(&self, path: &str) -> bool {
        self.root.join(path).is_dir()
    }

    fn link(&self, path: &str) -> Link {
        for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
            let (part, rest) = path.split_at(end);
            if self.known().plain.contains(part) {
                continue;
            }
            let at = self.root.join(part);
            let Ok(target) = fs::read_link(&at) else {
                self.known().plain.insert(part.to_owned());
                continue;
            };
            let next = normal(&at.with_file_name("").join(target).join(rest.trim_start_matches('/')));
            return self.relative(&next).map_or_else(|| Link::Outside(path.to_owned()), Link::To);
        }
        Link::None
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join(dir)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).take(200).collect();
        names.sort();
        names.truncate(12);
        names
    }

    fn paths(&self, dir: &str) -> Result<Vec<String>, String> {
        let (mut found, mut open) = (Vec::new(), vec![(self.root.join(dir), 0)]);
        while let Some((dir, depth)) = open.pop() {
            for entry in fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?.flatten() {
                let kind = entry.file_type().map_err(|error| error.to_string())?;
                if !kind.is_dir() {
                    found.extend(self.relative(&entry.path()));
                } else if entry.file_name() != ".git" && depth < DEPTH_MAX {
                    open.push((entry.path(), depth + 1));
                }
                if found.len() > FILES_MAX {
                    return Err(format!("{} has more than {FILES_MAX} files", self.root.join(dir).display()));
                }
            }
        }
        Ok(found)
    }

    fn remotes(&self) -> Option<&dyn Remotes> {
        self.bases.as_ref().map(|bases| bases as &dyn Remotes)
    }

    fn charts(&self) -> Option<&dyn Charts> {
        self.helm.as_ref().map(|helm| helm as &dyn Charts)
    }
}
