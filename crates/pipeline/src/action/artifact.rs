//! `actions/upload-artifact` and `actions/download-artifact`: files that one job leaves for others of its workflow.
//!
//! An artifact lies in `artifacts/<workflow>/<name>/`. It appears there whole or not at all. Which job left it is kept
//! beside, in `artifact-owners/`, so that what an interrupted job left can be taken away before the job runs again.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tokio_util::sync::CancellationToken;

use super::{Done, flag, given};
use crate::files::{FilesError, Search, find, make_directory, normal};
use crate::pattern::{Dialect, Pattern};
use crate::plan::JobId;

/// Why an artifact could not be left or fetched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("{0:?} can't be the name of an artifact: it has a character that file names can't have, or is too long")]
    Name(String),
    #[error("there is an artifact called {0:?} already; give it another name, or set `overwrite: true`")]
    Exists(String),
    #[error("there is no artifact called {0:?}")]
    Missing(String),
    #[error("no files were found at {0:?}")]
    NoFiles(String),
    #[error("the input `{0}` is {1:?}, and can only be `true` or `false`")]
    Flag(&'static str, String),
}

/// How large artifacts may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArtifactLimits {
    /// The most bytes in one artifact.
    pub bytes_max: u64,
    /// The most files in one artifact.
    pub files_max: usize,
}

/// Where a job's artifacts go and come from.
pub(crate) struct Store<'a> {
    /// The run's directory.
    pub(crate) directory: &'a Path,
    /// The job.
    pub(crate) job: &'a JobId,
    /// The job's workspace, its real path.
    pub(crate) workspace: &'a Path,
    /// The job's directory for temporary files, its real path.
    pub(crate) temp: &'a Path,
    /// How large an artifact may be.
    pub(crate) limits: ArtifactLimits,
    /// Ends the work early.
    pub(crate) stop: &'a CancellationToken,
}

/// One artifact of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The file name of the workflow that left it.
    pub workflow: String,
    /// Its name.
    pub name: String,
    /// Where its files are.
    pub path: PathBuf,
}

/// The artifacts in a run's directory, sorted.
pub fn artifacts(directory: &Path) -> io::Result<Vec<Artifact>> {
    let mut found = Vec::new();
    for workflow in names(&directory.join("artifacts"))? {
        for name in names(&directory.join("artifacts").join(&workflow))? {
            let path = directory.join("artifacts").join(&workflow).join(&name);
            found.push(Artifact { workflow: workflow.clone(), name, path });
        }
    }
    Ok(found)
}

/// Removes the artifacts in the directory of a run that has ended, if they were left before a time. Whether there were any.
pub fn remove_artifacts(directory: &Path, before: SystemTime) -> io::Result<bool> {
    let artifacts = directory.join("artifacts");
    match fs::metadata(&artifacts).and_then(|found| found.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(left) if left >= before => return Ok(false),
        Ok(_) => {}
    }
    remove_directory(&directory.join("artifact-owners"))?;
    remove_directory(&artifacts)?;
    Ok(true)
}

/// Takes away what jobs left that are to run (again).
pub(crate) fn remove_of_unfinished(directory: &Path, is_finished: &dyn Fn(&JobId) -> bool) -> io::Result<()> {
    let owners = directory.join("artifact-owners");
    for workflow in names(&owners)? {
        for name in names(&owners.join(&workflow))? {
            let owner = owners.join(&workflow).join(&name);
            if !is_finished(&JobId::from(fs::read_to_string(&owner)?)) {
                remove_directory(&directory.join("artifacts").join(&workflow).join(&name))?;
                fs::remove_file(&owner)?;
            }
        }
    }
    Ok(())
}

/// Removes a directory and all in it; one that is not there is fine.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names in a directory, sorted; none where there is no directory.
fn names(path: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn check_name(name: &str) -> Result<(), ArtifactError> {
    let forbidden = |c: char| c.is_control() || matches!(c, '"' | ':' | '<' | '>' | '|' | '*' | '?' | '\\' | '/');
    if name.is_empty() || name == "." || name == ".." || name.len() > 200 || name.contains(forbidden) {
        return Err(ArtifactError::Name(name.chars().take(100).collect()));
    }
    Ok(())
}

fn flag_of(inputs: &[(String, String)], name: &'static str) -> Result<bool, ArtifactError> {
    flag(inputs, name).ok_or_else(|| ArtifactError::Flag(name, given(inputs, name).unwrap_or_default().to_owned()))
}

impl Store<'_> {
    fn files_of(&self, name: &str) -> PathBuf {
        self.directory.join("artifacts").join(self.job.workflow()).join(name)
    }

    fn owner_of(&self, name: &str) -> PathBuf {
        self.directory.join("artifact-owners").join(self.job.workflow()).join(name)
    }

    /// `actions/upload-artifact`.
    pub(crate) fn upload(&self, inputs: &[(String, String)]) -> Result<Done, ArtifactError> {
        let name = given(inputs, "name").unwrap_or("artifact");
        check_name(name)?;
        let path = given(inputs, "path").unwrap_or_default();
        let lines = path.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let searches = lines.map(|line| Search::new(line, self.workspace)).collect::<Result<Vec<_>, _>>()?;
        let within = [self.workspace.to_owned(), self.temp.to_owned()];
        let files = find(&searches, &within, flag_of(inputs, "include-hidden-files")?, self.stop)?;
        if files.is_empty() {
            return match given(inputs, "if-no-files-found") {
                Some("error") => Err(ArtifactError::NoFiles(path.to_owned())),
                Some("ignore") => Ok(Done::default()),
                _ => {
                    let line = format!("::warning::No files were found at {path:?}. No artifact is left.");
                    Ok(Done { lines: vec![line], outputs: Vec::new() })
                }
            };
        }
        let root = root_of(&searches, &files);
        let staging = self.directory.join("artifact-staging").join(self.job.directory());
        let copied = self.copy_all(&files, &root, &staging).and_then(|bytes| {
            self.publish(name, &staging, flag_of(inputs, "overwrite")?)?;
            Ok(bytes)
        });
        let removed = remove_directory(&staging).map_err(|error| FilesError::io(&staging, error));
        let bytes = copied?;
        removed?;
        let line = format!("Left the artifact {name:?}: {} files, {bytes} bytes", files.len());
        Ok(Done { lines: vec![line], outputs: Vec::new() })
    }

    fn copy_all(&self, files: &[PathBuf], root: &Path, into: &Path) -> Result<u64, ArtifactError> {
        if files.len() > self.limits.files_max {
            return Err(FilesError::TooManyFiles(self.limits.files_max).into());
        }
        remove_directory(into).map_err(|error| FilesError::io(into, error))?;
        fs::create_dir_all(into).map_err(|error| FilesError::io(into, error))?;
        let mut bytes = 0;
        for file in files {
            let relative = file.strip_prefix(root).unwrap_or(file);
            let to = into.join(relative.strip_prefix("/").unwrap_or(relative));
            bytes += self.copy(file, &to, into, self.limits.bytes_max - bytes)?;
        }
        Ok(bytes)
    }

    /// Copies one file to a place below `base`, which no link may lead out of.
    fn copy(&self, from: &Path, to: &Path, base: &Path, bytes_left: u64) -> Result<u64, ArtifactError> {
        if self.stop.is_cancelled() {
            return Err(FilesError::Stopped.into());
        }
        make_directory(to.parent().unwrap_or(base), base)?;
        match fs::remove_file(to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(FilesError::io(to, error).into()),
            _ => {}
        }
        let read = |error| FilesError::io(from, error);
        let write = |error| FilesError::io(to, error);
        let source = fs::File::open(from).map_err(read)?;
        let mut target = fs::OpenOptions::new().write(true).create_new(true).open(to).map_err(write)?;
        let permissions = source.metadata().map_err(read)?.permissions();
        let copied = io::copy(&mut source.take(bytes_left.saturating_add(1)), &mut target).map_err(write)?;
        if copied > bytes_left {
            return Err(FilesError::TooLarge(self.limits.bytes_max).into());
        }
        target.set_permissions(permissions).map_err(write)?;
        Ok(copied)
    }

    /// Makes the staged files the artifact. The owner's file, made by one job alone, decides who was first.
    fn publish(&self, name: &str, staging: &Path, overwrite: bool) -> Result<(), ArtifactError> {
        let (files, owner) = (self.files_of(name), self.owner_of(name));
        for path in [&files, &owner] {
            let parent = path.parent().unwrap_or(path);
            fs::create_dir_all(parent).map_err(|error| FilesError::io(parent, error))?;
        }
        if overwrite {
            remove_directory(&files).map_err(|error| FilesError::io(&files, error))?;
            match fs::remove_file(&owner) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(FilesError::io(&owner, error).into());
                }
                _ => {}
            }
        }
        match fs::OpenOptions::new().write(true).create_new(true).open(&owner) {
            Ok(mut file) => io::Write::write_all(&mut file, self.job.as_str().as_bytes())
                .map_err(|error| FilesError::io(&owner, error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(ArtifactError::Exists(name.to_owned()));
            }
            Err(error) => return Err(FilesError::io(&owner, error).into()),
        }
        fs::rename(staging, &files).map_err(|error| FilesError::io(&files, error))?;
        Ok(())
    }

    /// `actions/download-artifact`.
    pub(crate) fn download(&self, inputs: &[(String, String)]) -> Result<Done, ArtifactError> {
        let into = self.destination(given(inputs, "path").unwrap_or("."))?;
        let merge = flag_of(inputs, "merge-multiple")?;
        let all = self.directory.join("artifacts").join(self.job.workflow());
        let known = names(&all).map_err(|error| FilesError::io(&all, error))?;
        let (wanted, flat) = match (given(inputs, "name"), given(inputs, "pattern")) {
            (Some(name), _) if known.iter().any(|own| own == name) => (vec![name.to_owned()], true),
            (Some(name), _) => return Err(ArtifactError::Missing(name.to_owned())),
            (None, Some(pattern)) => {
                let pattern = Pattern::new(pattern, Dialect::Path)
                    .map_err(|error| FilesError::Pattern { pattern: pattern.to_owned(), error })?;
                (known.into_iter().filter(|name| pattern.matches(name)).collect(), merge)
            }
            (None, None) => (known, merge),
        };
        let mut lines = Vec::new();
        for name in &wanted {
            let to = if flat { into.clone() } else { into.join(name) };
            let count = self.fetch(&all.join(name), &to)?;
            lines.push(format!("Fetched the artifact {name:?}: {count} files"));
        }
        if wanted.is_empty() {
            lines.push("::warning::There are no artifacts to fetch.".to_owned());
        }
        let outputs = vec![("download-path".to_owned(), into.display().to_string())];
        Ok(Done { outputs, lines })
    }

    fn fetch(&self, artifact: &Path, to: &Path) -> Result<usize, ArtifactError> {
        let artifact = fs::canonicalize(artifact).map_err(|error| FilesError::io(artifact, error))?;
        let everything = Search::new(".", &artifact)?;
        let files = find(&[everything], std::slice::from_ref(&artifact), true, self.stop)?;
        for file in &files {
            let relative = file.strip_prefix(&artifact).unwrap_or(file);
            self.copy(file, &to.join(relative), to, self.limits.bytes_max)?;
        }
        Ok(files.len())
    }

    /// Where a download goes: within the workspace or the directory for temporary files.
    fn destination(&self, path: &str) -> Result<PathBuf, ArtifactError> {
        let escapes = || FilesError::Escapes(path.to_owned());
        let into = normal(&self.workspace.join(path)).ok_or_else(escapes)?;
        let base = [self.workspace, self.temp].into_iter().find(|own| into.starts_with(own)).ok_or_else(escapes)?;
        make_directory(&into, base)?;
        Ok(into)
    }
}

/// What the paths inside an artifact are relative to: the deepest directory that all searches share.
fn root_of(searches: &[Search], files: &[PathBuf]) -> PathBuf {
    let mut roots = searches.iter().filter(|search| !search.negated).map(|search| search.root.as_path());
    let Some(first) = roots.next() else { return PathBuf::from("/") };
    let mut root = first.to_owned();
    for other in roots {
        while !other.starts_with(&root) && root.pop() {}
    }
    if files.contains(&root) {
        root.pop();
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Fixture {
        _directory: tempfile::TempDir,
        root: PathBuf,
        job: JobId,
        stop: CancellationToken,
    }

    impl Fixture {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let root = fs::canonicalize(directory.path()).unwrap();
            for path in ["workspace/dist/sub", "temp"] {
                fs::create_dir_all(root.join(path)).unwrap();
            }
            fs::write(root.join("workspace/dist/sub/app"), "binary").unwrap();
            fs::write(root.join("workspace/notes.txt"), "notes").unwrap();
            let job = JobId::from("ci.yml/build".to_owned());
            Self { _directory: directory, root, job, stop: CancellationToken::new() }
        }

        fn run(&self, upload: bool, inputs: &[(&str, &str)]) -> Result<Done, String> {
            let (workspace, temp) = (self.root.join("workspace"), self.root.join("temp"));
            let store = Store {
                directory: &self.root,
                job: &self.job,
                workspace: &workspace,
                temp: &temp,
                limits: ArtifactLimits { bytes_max: 100, files_max: 10 },
                stop: &self.stop,
            };
            let inputs: Vec<_> = inputs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            if upload { store.upload(&inputs) } else { store.download(&inputs) }.map_err(|error| error.to_string())
        }

        fn upload(&self, inputs: &[(&str, &str)]) -> Result<Done, String> {
            self.run(true, inputs)
        }

        fn download(&self, inputs: &[(&str, &str)]) -> Result<Done, String> {
            self.run(false, inputs)
        }

        fn read(&self, path: &str) -> Option<String> {
            fs::read_to_string(self.root.join(path)).ok()
        }
    }

    #[test]
    fn files_go_in_and_come_out_as_they_were() {
        let at = Fixture::new();
        at.upload(&[("name", "app"), ("path", "dist")]).unwrap();
        at.upload(&[("name", "both"), ("path", "dist\nnotes.txt")]).unwrap();
        at.upload(&[("name", "one"), ("path", "notes.txt")]).unwrap();
        assert_eq!(at.read("artifacts/ci.yml/app/sub/app").as_deref(), Some("binary"));
        assert_eq!(at.read("artifacts/ci.yml/both/dist/sub/app").as_deref(), Some("binary"));
        assert_eq!(at.read("artifacts/ci.yml/one/notes.txt").as_deref(), Some("notes"));
        at.download(&[("name", "app"), ("path", "in")]).unwrap();
        assert_eq!(at.read("workspace/in/sub/app").as_deref(), Some("binary"));
        at.download(&[("path", "all")]).unwrap();
        assert_eq!(at.read("workspace/all/one/notes.txt").as_deref(), Some("notes"));
        at.download(&[("path", "flat"), ("pattern", "o*"), ("merge-multiple", "true")]).unwrap();
        assert_eq!(at.read("workspace/flat/notes.txt").as_deref(), Some("notes"));
        let found: Vec<_> = artifacts(&at.root).unwrap().into_iter().map(|artifact| artifact.name).collect();
        assert_eq!(found, ["app", "both", "one"]);
    }

    #[test]
    fn a_name_is_taken_once_unless_overwritten() {
        let at = Fixture::new();
        at.upload(&[("path", "notes.txt")]).unwrap();
        assert!(at.upload(&[("path", "dist")]).unwrap_err().contains("already"));
        at.upload(&[("path", "dist"), ("overwrite", "true")]).unwrap();
        assert_eq!(at.read("artifacts/ci.yml/artifact/sub/app").as_deref(), Some("binary"));
        assert_eq!(at.read("artifacts/ci.yml/artifact/notes.txt"), None);
        remove_of_unfinished(&at.root, &|_| true).unwrap();
        assert_eq!(artifacts(&at.root).unwrap().len(), 1);
        remove_of_unfinished(&at.root, &|_| false).unwrap();
        assert_eq!(artifacts(&at.root).unwrap(), []);
        at.upload(&[("path", "notes.txt")]).unwrap();
    }

    #[test]
    fn nothing_leaves_or_enters_by_way_of_paths_names_or_links() {
        let at = Fixture::new();
        for path in ["../temp/../../x", "/etc/passwd", "dist/../../jobs"] {
            assert!(at.upload(&[("path", path)]).unwrap_err().contains("leads out"), "{path}");
            assert!(at.download(&[("path", path)]).unwrap_err().contains("leads out"), "{path}");
        }
        for name in ["../x", "a/b", "..", "a\0b", &"n".repeat(300)] {
            assert!(at.upload(&[("name", name), ("path", "dist")]).is_err(), "{name}");
            assert!(at.download(&[("name", name)]).unwrap_err().contains("no artifact"), "{name}");
        }
        at.upload(&[("name", "app"), ("path", "dist")]).unwrap();
        symlink(&at.root, at.root.join("workspace/out")).unwrap();
        assert!(at.download(&[("name", "app"), ("path", "out/sub")]).unwrap_err().contains("is a link"));
        assert!(!at.root.join("sub").exists());
        fs::create_dir(at.root.join("workspace/in")).unwrap();
        symlink(&at.root, at.root.join("workspace/in/sub")).unwrap();
        assert!(at.download(&[("name", "app"), ("path", "in")]).unwrap_err().contains("is a link"));
        symlink("/etc/passwd", at.root.join("workspace/dist/passwd")).unwrap();
        assert!(at.upload(&[("name", "leak"), ("path", "dist")]).unwrap_err().contains("is a link"));
        assert_eq!(artifacts(&at.root).unwrap().len(), 1);
    }

    #[test]
    fn too_much_is_refused_and_nothing_is_left_of_it() {
        let at = Fixture::new();
        fs::write(at.root.join("workspace/dist/large"), vec![0; 101]).unwrap();
        assert!(at.upload(&[("path", "dist")]).unwrap_err().contains("more than 100 bytes"));
        for number in 0..11 {
            fs::write(at.root.join(format!("workspace/f{number}")), "").unwrap();
        }
        assert!(at.upload(&[("path", "f*")]).unwrap_err().contains("more than 10 files"));
        at.stop.cancel();
        assert!(at.upload(&[("path", "notes.txt")]).unwrap_err().contains("stopped"));
        assert_eq!(artifacts(&at.root).unwrap(), []);
    }

    #[test]
    fn no_files_are_an_error_only_where_asked() {
        let at = Fixture::new();
        assert!(at.upload(&[("path", "none"), ("if-no-files-found", "error")]).is_err());
        assert!(at.upload(&[("path", "none"), ("if-no-files-found", "ignore")]).unwrap().lines.is_empty());
        assert!(at.upload(&[("path", "none")]).unwrap().lines[0].starts_with("::warning::"));
        assert!(at.upload(&[("path", "dist"), ("overwrite", "maybe")]).unwrap_err().contains("overwrite"));
    }
}
