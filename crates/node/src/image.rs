//! An image's unpacked root file system, and paths inside it.
//!
//! Invariant: [`resolve`] never returns a path outside of the root, whatever `..` and symbolic links say. Links are
//! followed as a process with that root would follow them: absolute ones start at the root again.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// As many links as Linux follows (`MAXSYMLINKS`, `path_resolution(7)`).
const LINKS_MAX: usize = 40;
/// Linux' `PATH_MAX`.
const COMPONENTS_MAX: usize = 4096;

/// An image on disk and the part of its configuration that starting a process needs (OCI image specification,
/// config.md, section "Properties").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRoot {
    /// The unpacked root file system. Shared by replicas; nothing here writes into it.
    pub path: PathBuf,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`: arguments of the entrypoint, or the whole command when there is none.
    pub cmd: Vec<String>,
    /// `Env`, each `NAME=value`.
    pub env: Vec<String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `User`: who a container is whose manifest does not say.
    pub user: Option<String>,
}

/// Where `inside` is on this machine. `inside` is a path in the image, taken from its root whether absolute or not.
///
/// Fails with `NotFound` when a part is missing, and with `ELOOP` after 40 links.
pub(crate) fn resolve(root: &Path, inside: &Path) -> io::Result<PathBuf> {
    let root = fs::canonicalize(root)?;
    let mut waiting: VecDeque<OsString> = VecDeque::new();
    let mut found: Vec<OsString> = Vec::new();
    let mut links = 0;
    queue(&mut waiting, inside);
    while let Some(part) = waiting.pop_front() {
        if part == ".." {
            found.pop();
            continue;
        }
        let path = joined(&root, &found).join(&part);
        if !fs::symlink_metadata(&path)?.is_symlink() {
            found.push(part);
            continue;
        }
        links += 1;
        if links > LINKS_MAX || waiting.len() > COMPONENTS_MAX {
            return Err(rustix::io::Errno::LOOP.into());
        }
        let link = fs::read_link(&path)?;
        if link.is_absolute() {
            found.clear();
        }
        queue(&mut waiting, &link);
    }
    Ok(joined(&root, &found))
}

/// Puts the parts of `path` in front of what is still to be walked.
fn queue(waiting: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(part) => waiting.push_front(part.to_owned()),
            Component::ParentDir => waiting.push_front(OsString::from("..")),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
}

fn joined(root: &Path, parts: &[OsString]) -> PathBuf {
    let mut path = root.to_owned();
    path.extend(parts);
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn no_path_leads_out_of_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, "").unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/app"), "").unwrap();
        let real = fs::canonicalize(&root).unwrap();
        symlink("/bin/app", root.join("absolute")).unwrap();
        symlink("bin/../bin/app", root.join("relative")).unwrap();
        symlink("../../../../bin", root.join("up")).unwrap();
        symlink(&outside, root.join("escape")).unwrap();
        symlink("../outside", root.join("climb")).unwrap();
        symlink("loop", root.join("loop")).unwrap();

        for inside in ["/bin/app", "bin/app", "../../bin/app", "/absolute", "/relative", "/up/app", "/./bin//app"] {
            assert_eq!(resolve(&root, Path::new(inside)).unwrap(), real.join("bin/app"), "{inside}");
        }
        for inside in ["../outside", "/escape", "/climb", "../../bin/sh", "/etc/passwd"] {
            assert_eq!(resolve(&root, Path::new(inside)).unwrap_err().kind(), io::ErrorKind::NotFound, "{inside}");
        }
        assert!(resolve(&root, Path::new("/loop")).is_err());
        assert!(resolve(&root, Path::new("/bin/app/below")).is_err(), "a file is not a directory");
        assert_eq!(resolve(&root, Path::new("/")).unwrap(), real);
    }
}
