//! What an image should hold, and whether that makes sense.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::document::{Execution, annotation};
use crate::error::{SupplyError, cut};

/// One file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// Where it is on this machine: a regular file; a link is not followed.
    pub source: PathBuf,
    /// Where it goes in the image: absolute, at most about 250 bytes.
    pub path: String,
    /// Its permission bits there, such as `0o755`.
    pub mode: u32,
}

/// A whole image. Its architecture and operating system are this machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// The files; directories above them are made.
    pub files: Vec<ImageFile>,
    /// The command; its first word is the path of one of the files.
    pub entrypoint: Vec<String>,
    /// Arguments that a workload may replace.
    pub cmd: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// User and group, as numbers or names.
    pub user: String,
    /// The working directory, absolute; empty leaves it to the runtime.
    pub working_dir: String,
    /// Labels. Those whose key is one of [`annotation`] become annotations of the manifest too.
    pub labels: BTreeMap<String, String>,
    /// The commit's time, so that a second build of it gives the same digest.
    pub created: Timestamp,
}

impl ImageSpec {
    /// User and group of a program that asks for none: the usual "nonroot".
    pub const USER: &str = "65532:65532";

    /// An image that starts `program`, found on this machine at `source`, as [`ImageSpec::USER`].
    pub fn of_program(source: PathBuf, program: &str, created: Timestamp) -> Self {
        Self {
            files: vec![ImageFile { source, path: program.to_owned(), mode: 0o755 }],
            entrypoint: vec![program.to_owned()],
            cmd: Vec::new(),
            env: BTreeMap::new(),
            user: Self::USER.to_owned(),
            working_dir: String::new(),
            labels: BTreeMap::new(),
            created,
        }
    }

    /// The annotations of the manifest.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let labels = self.labels.iter().filter(|(key, _)| key.starts_with(annotation::PREFIX));
        let mut annotations: BTreeMap<String, String> = labels.map(|(k, v)| (k.clone(), v.clone())).collect();
        annotations.insert(annotation::CREATED.to_owned(), self.created.to_string());
        annotations
    }

    /// The part of the configuration that says how to start it.
    pub(crate) fn execution(&self) -> Execution {
        let some = |words: &Vec<String>| (!words.is_empty()).then(|| words.clone());
        let env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Execution {
            user: (!self.user.is_empty()).then(|| self.user.clone()),
            env: some(&env),
            entrypoint: some(&self.entrypoint),
            cmd: some(&self.cmd),
            working_dir: (!self.working_dir.is_empty()).then(|| self.working_dir.clone()),
            labels: (!self.labels.is_empty()).then(|| self.labels.clone()),
        }
    }

    /// The layer's entries by path without the leading `/`, directories before what is in them.
    pub(crate) fn tree(&self) -> Result<BTreeMap<&str, Node<'_>>, SupplyError> {
        let mut tree = BTreeMap::new();
        for file in &self.files {
            if file.mode & !0o777 != 0 {
                return Err(invalid(&file.path, "has more than permission bits in its mode"));
            }
            let path = checked(&file.path)?;
            add_parents(&mut tree, path)?;
            if tree.insert(path, Node::File { source: &file.source, mode: file.mode }).is_some() {
                return Err(invalid(&file.path, "is named twice, or is also a directory"));
            }
        }
        if !self.working_dir.is_empty() && self.working_dir != "/" {
            let path = checked(&self.working_dir)?;
            add_parents(&mut tree, path)?;
            add_directory(&mut tree, path)?;
        }
        self.check_start(&tree)?;
        Ok(tree)
    }

    fn check_start(&self, tree: &BTreeMap<&str, Node<'_>>) -> Result<(), SupplyError> {
        let program = self.entrypoint.first().ok_or_else(|| invalid("the entrypoint", "is empty"))?;
        match program.strip_prefix('/').and_then(|path| tree.get(path)) {
            Some(Node::File { mode, .. }) if mode & 0o111 != 0 => {}
            Some(Node::File { source, .. }) => {
                let why = "its mode in the image lets nobody execute it";
                return Err(SupplyError::NotExecutable { path: (*source).to_owned(), why });
            }
            Some(Node::Directory) | None => {
                return Err(invalid(&format!("the entrypoint {program}"), "is not one of its files"));
            }
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(invalid(&format!("the environment variable {name}"), "can't be set"));
            }
        }
        Ok(())
    }
}

/// One entry of the layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node<'a> {
    /// A directory, mode 0755.
    Directory,
    /// A file with its content on this machine.
    File { source: &'a Path, mode: u32 },
}

fn invalid(field: &str, why: &'static str) -> SupplyError {
    SupplyError::InvalidSpec { field: cut(field, 200), why }
}

/// The path without its leading `/`, if it is absolute, plain, and means nothing special in a layer.
fn checked(path: &str) -> Result<&str, SupplyError> {
    let relative = path.strip_prefix('/').ok_or_else(|| invalid(path, "is not absolute"))?;
    if relative.split('/').any(|part| part.is_empty() || part == "." || part == ".." || part.contains('\0')) {
        return Err(invalid(path, "is not a plain path"));
    }
    // layer.md, section "Whiteouts": such a name would delete a file.
    if relative.split('/').any(|part| part.starts_with(".wh.")) {
        return Err(invalid(path, "holds a name that starts with `.wh.`"));
    }
    Ok(relative)
}

fn add_parents<'a>(tree: &mut BTreeMap<&'a str, Node<'a>>, path: &'a str) -> Result<(), SupplyError> {
    for (end, _) in path.match_indices('/') {
        add_directory(tree, path.get(..end).unwrap_or(path))?;
    }
    Ok(())
}

fn add_directory<'a>(tree: &mut BTreeMap<&'a str, Node<'a>>, path: &'a str) -> Result<(), SupplyError> {
    match tree.insert(path, Node::Directory) {
        None | Some(Node::Directory) => Ok(()),
        Some(Node::File { .. }) => Err(invalid(&format!("/{path}"), "is both a file and a directory")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(paths: &[&str]) -> ImageSpec {
        let mut spec = ImageSpec::of_program("pad".into(), "/app/pad", Timestamp::UNIX_EPOCH);
        spec.files.extend(paths.iter().map(|path| ImageFile { source: "x".into(), path: (*path).into(), mode: 0o644 }));
        spec
    }

    #[test]
    fn parents_come_first_and_once() {
        let mut spec = spec(&["/app/etc/a", "/app/etc/b", "/z"]);
        spec.working_dir = "/app/work".into();
        let tree = spec.tree().unwrap();
        let paths: Vec<&str> = tree.keys().copied().collect();
        assert_eq!(paths, ["app", "app/etc", "app/etc/a", "app/etc/b", "app/pad", "app/work", "z"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for path in ["", "/", "relative", "/a/../b", "/./a", "/a//b", "/a/", "/a\0", "/app/.wh.pad", "/app/pad", "/app"]
        {
            let error = spec(&[path]).tree().unwrap_err();
            assert!(matches!(error, SupplyError::InvalidSpec { .. }), "{path}: {error}");
        }
        assert!(spec(&["/app/pad/below"]).tree().is_err());
        let mut setuid = spec(&[]);
        setuid.files[0].mode = 0o4755;
        assert!(setuid.tree().is_err());
        let mut elsewhere = spec(&[]);
        elsewhere.entrypoint = vec!["/bin/sh".into()];
        let message = elsewhere.tree().unwrap_err().to_string();
        assert_eq!(message, "the image can't be made: the entrypoint /bin/sh is not one of its files");
        let mut plain = spec(&[]);
        plain.files[0].mode = 0o644;
        assert!(matches!(plain.tree(), Err(SupplyError::NotExecutable { .. })));
        let mut env = spec(&[]);
        env.env.insert("A=B".into(), "c".into());
        assert!(env.tree().is_err());
    }
}
