//! Where a path inside of an unpacked image really is.
//!
//! Invariant: what is found is inside of the root; a link that leads out is refused, not followed. This holds as long
//! as nobody else changes the tree, which lies in a private directory while it is unpacked.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use crate::error::{SupplyError, cut, io};

/// As many links as Linux follows (`path_resolution(7)`).
const LINKS_MAX: usize = 40;
/// Linux' `PATH_MAX`: no path, and no chain of links, may be longer.
const PATH_BYTES_MAX: usize = 4096;

/// Why a path can't be used, for the entry that named it.
pub(crate) fn refused(path: &Path, why: &'static str) -> SupplyError {
    SupplyError::UnsafeEntry { path: cut(&path.to_string_lossy(), 200), why }
}

/// The parts of a path that must stay below where it starts: relative, without `..`.
pub(crate) fn parts(path: &Path, depth_max: usize) -> Result<Vec<OsString>, SupplyError> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::CurDir => {}
            Component::ParentDir => return Err(refused(path, "it holds `..`")),
            Component::RootDir | Component::Prefix(_) => return Err(refused(path, "it is absolute")),
        }
    }
    if parts.len() > depth_max || path.as_os_str().len() > PATH_BYTES_MAX {
        return Err(refused(path, "it is too long or too deep"));
    }
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(refused(path, "it holds a zero byte"));
    }
    Ok(parts)
}

/// Where the directory with these parts is, below `root`: links on the way are followed. Parts that do not exist are
/// taken as they are.
pub(crate) fn locate(root: &Path, entry: &Path, parts: &[OsString]) -> Result<Vec<OsString>, SupplyError> {
    let mut waiting: VecDeque<OsString> = parts.iter().cloned().collect();
    let mut found: Vec<OsString> = Vec::new();
    let (mut links, mut bytes) = (0, 0);
    while let Some(part) = waiting.pop_front() {
        if part == ".." {
            found.pop().ok_or_else(|| refused(entry, "a symbolic link leads out of the image"))?;
            continue;
        }
        found.push(part);
        let path = join(root, &found);
        let Some(target) = link_target(&path)? else { continue };
        (links, bytes) = (links + 1, bytes + target.as_os_str().len());
        if links > LINKS_MAX || bytes > PATH_BYTES_MAX {
            return Err(refused(entry, "it leads through too many symbolic links"));
        }
        found.pop();
        for component in target.components().rev() {
            match component {
                Component::Normal(part) => waiting.push_front(part.to_owned()),
                Component::ParentDir => waiting.push_front("..".into()),
                Component::CurDir => {}
                Component::RootDir | Component::Prefix(_) => {
                    return Err(refused(entry, "a symbolic link leads out of the image"));
                }
            }
        }
    }
    Ok(found)
}

/// What a link points to, or nothing where there is no link.
fn link_target(path: &Path) -> Result<Option<PathBuf>, SupplyError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::read_link(path).map(Some).map_err(io("read the link", path)),
        Ok(_) => Ok(None),
        // Below a file there is nothing either; who creates something there gets that error.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(io("examine", path)(error)),
    }
}

/// The path on this machine.
pub(crate) fn join(root: &Path, parts: &[OsString]) -> PathBuf {
    let mut path = root.to_owned();
    path.extend(parts);
    path
}

/// An absolute target, which means one from the image's root, as one that is relative to a link in the directory with
/// these parts. A process that is not confined to the image then stays in it all the same.
pub(crate) fn relative_target(directory: &[OsString], target: &Path) -> PathBuf {
    if !target.is_absolute() {
        return target.to_owned();
    }
    let mut relative: PathBuf = directory.iter().map(|_| "..").collect();
    relative.extend(target.components().filter(|c| !matches!(c, Component::RootDir | Component::Prefix(_))));
    if relative.as_os_str().is_empty() { ".".into() } else { relative }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        for (target, link) in [
            ("usr/lib", "lib"),
            ("../usr", "usr/self"),
            ("..", "up"),
            ("/etc", "absolute"),
            ("usr/lib/../../..", "sly"),
            ("round", "round"),
            ("..", "usr/top"),
            ("usr/top/..", "twice"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let found = |path: &str| {
            let path = Path::new(path);
            locate(root, path, &parts(path, 128).unwrap()).map(|parts| join(Path::new(""), &parts))
        };
        assert_eq!(found("lib/x/y").unwrap(), Path::new("usr/lib/x/y"));
        assert_eq!(found("usr/self/lib").unwrap(), Path::new("usr/lib"));
        assert_eq!(found("usr/top/lib").unwrap(), Path::new("usr/lib"));
        for bad in ["up/etc", "absolute/passwd", "sly", "round/x", "twice"] {
            assert!(matches!(found(bad), Err(SupplyError::UnsafeEntry { .. })), "{bad}");
        }
    }

    #[test]
    fn absolute_targets_become_relative() {
        let directory: Vec<OsString> = ["usr", "bin"].map(OsString::from).into();
        assert_eq!(relative_target(&directory, Path::new("/lib/x")), Path::new("../../lib/x"));
        assert_eq!(relative_target(&directory, Path::new("/")), Path::new("../.."));
        assert_eq!(relative_target(&[], Path::new("/")), Path::new("."));
        assert_eq!(relative_target(&directory, Path::new("../x")), Path::new("../x"));
    }
}
