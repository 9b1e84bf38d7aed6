//! Unpacks an image: all layers into a private directory, checked as a whole, then named by one rename.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use prograde_model::Digest;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use tempfile::TempDir;

use crate::apply::{self, Failed};
use crate::blob::{Blobs, Hashing, check};
use crate::document::{Config, Descriptor, LAYER_GZIP, Manifest};
use crate::error::{SupplyError, blocking, io};
use crate::limits::{Bounded, Limits, Spent};
use crate::locate::{locate, parts};
use crate::scratch::{Scratch, modified, sync_directory};

/// An image on the disk, and what starting a process from it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedImage {
    /// The root of its files. Shared by all who unpack the image there: to be read, not written.
    pub root: PathBuf,
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`: arguments of the entrypoint, or the whole command when there is none.
    pub cmd: Vec<String>,
    /// `Env`, each `NAME=value`.
    pub env: Vec<String>,
    /// `WorkingDir`.
    pub working_dir: Option<String>,
    /// `User`.
    pub user: Option<String>,
}

/// Unpacks into `<into>/<hex digits>` unless that is already there.
pub(crate) fn unpack(
    blobs: &Blobs,
    limits: Limits,
    digest: &Digest,
    manifest: &Manifest,
    config: Config,
    into: &Path,
) -> Result<UnpackedImage, SupplyError> {
    let root = into.join(digest.hex());
    if root.try_exists().map_err(io("examine", &root))? {
        ask(&root)?;
    } else {
        let scratch = Scratch::open(into.join(".tmp"))?;
        let tree = scratch.directory()?;
        let mut spent = Spent::default();
        for (layer, diff_id) in manifest.layers.iter().zip(&config.rootfs.diff_ids) {
            unpack_layer(blobs, limits, layer, diff_id, tree.path(), &mut spent)?;
        }
        finish(tree.path(), Path::new(""), limits.depth_max)?;
        publish(tree.path(), &root)?;
        sync_directory(into)?;
    }
    let execution = config.execution;
    Ok(UnpackedImage {
        root,
        entrypoint: execution.entrypoint.unwrap_or_default(),
        cmd: execution.cmd.unwrap_or_default(),
        env: execution.env.unwrap_or_default(),
        working_dir: execution.working_dir.filter(|dir| !dir.is_empty()),
        user: execution.user.filter(|user| !user.is_empty()),
    })
}

/// Notes that the image is asked for now.
fn ask(root: &Path) -> Result<(), SupplyError> {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    utimensat(CWD, root, &times, AtFlags::empty()).map_err(|error| io("set the time of", root)(error.into()))
}

/// Unpacked images that were taken from where they lay. They are removed in the end, also after a crash.
#[derive(Debug)]
pub struct Aside {
    images: Vec<Digest>,
    trees: TempDir,
    _scratch: Scratch,
}

impl Aside {
    /// Removes them, which may take a while. Which ones they were.
    pub async fn remove(self) -> Result<Vec<Digest>, SupplyError> {
        blocking(move || {
            let path = self.trees.path().to_owned();
            self.trees.close().map_err(io("remove", &path))?;
            Ok(self.images)
        })
        .await
    }
}

/// Takes away what was asked for last before a time and is not in use.
pub(crate) fn set_aside(into: &Path, used: &BTreeSet<Digest>, before: Timestamp) -> Result<Aside, SupplyError> {
    let scratch = Scratch::open(into.join(".tmp"))?;
    let (trees, mut images) = (scratch.directory()?, Vec::new());
    for entry in fs::read_dir(into).map_err(io("list", into))? {
        let entry = entry.map_err(io("list", into))?;
        let name = entry.file_name();
        let Some(Ok(image)) = name.to_str().map(|name| format!("sha256:{name}").parse::<Digest>()) else { continue };
        let asked = modified(&entry.path())?;
        if used.contains(&image) || asked.is_none_or(|asked| asked >= before) {
            continue;
        }
        fs::rename(entry.path(), trees.path().join(&name)).map_err(io("rename", &entry.path()))?;
        images.push(image);
    }
    Ok(Aside { images, trees, _scratch: scratch })
}

/// Gives the finished tree its name. Another who was faster has made the same tree.
fn publish(tree: &Path, root: &Path) -> Result<(), SupplyError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(tree, fs::Permissions::from_mode(0o755)).map_err(io("set the mode of", tree))?;
    match fs::rename(tree, root) {
        Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => Ok(()),
        renamed => renamed.map_err(io("create", root)),
    }
}

fn unpack_layer(
    blobs: &Blobs,
    limits: Limits,
    layer: &Descriptor,
    diff_id: &Digest,
    tree: &Path,
    spent: &mut Spent,
) -> Result<(), SupplyError> {
    // The blob is hashed before a byte of it is trusted to the decoder, and its content once more on the way.
    let file = io::BufReader::new(blobs.open_verified(layer)?);
    let content: Box<dyn Read> =
        if layer.media_type == LAYER_GZIP { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let bounded = Bounded::new(content, limits, layer.size, *spent);
    let progress = bounded.progress();
    let broken =
        |source| progress.error().unwrap_or_else(|| SupplyError::BrokenLayer { digest: layer.digest.clone(), source });
    let mut rest = match apply::apply(tree, Hashing::new(bounded), &progress, &limits, spent) {
        Ok(rest) => rest,
        Err(Failed::Archive(source)) => return Err(broken(source)),
        Err(Failed::Entry(error)) => return Err(error),
    };
    // What comes after the end of the archive is part of the digest too.
    io::copy(&mut rest, &mut io::sink()).map_err(broken)?;
    let (found, bytes, _) = rest.finish()?;
    spent.bytes += bytes;
    check(diff_id, found)
}

/// Refuses a tree with a link that leads out of it, also by way of other links; and makes its directories last, as its
/// files do already. Not file system wide (syncfs(2)): that would wait for whatever else the machine writes.
fn finish(root: &Path, directory: &Path, depth_max: usize) -> Result<(), SupplyError> {
    let at = root.join(directory);
    for child in fs::read_dir(&at).map_err(io("list", &at))? {
        let child = child.map_err(io("list", &at))?;
        let path = directory.join(child.file_name());
        let kind = child.file_type().map_err(io("examine", &at))?;
        if kind.is_symlink() {
            locate(root, &path, &parts(&path, depth_max)?)?;
        } else if kind.is_dir() {
            finish(root, &path, depth_max)?;
        }
    }
    sync_directory(&at)
}
