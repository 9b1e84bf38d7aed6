//! Applies one layer to a tree (OCI image specification, layer.md): its entries in order, then none of the lower layers'
//! entries that it has whited out.
//!
//! Invariant: nothing outside of the root is read, written, linked to or removed, whatever the archive says.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::error::{SupplyError, io};
use crate::limits::{Limits, Progress, Spent};
use crate::locate::{join, locate, parts, refused, relative_target};

/// The largest extension header that is read. Two long paths and a few attributes need far less.
const EXTENSION_BYTES_MAX: u64 = 64 << 10;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// What AUFS left behind in old layers; means nothing here.
const AUFS: &[u8] = b".wh..wh.";
const BUFFER_BYTES: usize = 64 << 10;

/// Why a layer was not applied: the archive can't be read, or what it says can't be done.
pub(crate) enum Failed {
    /// Reading the archive.
    Archive(io::Error),
    /// Anything else.
    Entry(SupplyError),
}

impl From<SupplyError> for Failed {
    fn from(error: SupplyError) -> Self {
        Self::Entry(error)
    }
}

/// Applies the layer that `archive` holds to the tree at `root`; gives the reader back, behind the archive's end.
/// `progress` says how much of it has been read.
pub(crate) fn apply<R: Read>(
    root: &Path,
    archive: R,
    progress: &Progress,
    limits: &Limits,
    spent: &mut Spent,
) -> Result<R, Failed> {
    let mut archive = Archive::new(archive);
    let mut layer = Layer { root, limits, added: HashSet::new() };
    let mut named = Named::default();
    let mut content_end = None;
    // Raw: extension headers are read here, as the library would take them at any size into memory.
    for entry in archive.entries().map_err(Failed::Archive)?.raw(true) {
        let mut entry = match entry {
            Ok(entry) => entry,
            // Some tools (umoci) leave out what fills up the last block; what matters is there, and the digest holds.
            Err(_) if Some(progress.read()) == content_end => break,
            Err(error) => return Err(Failed::Archive(error)),
        };
        content_end = Some(entry.raw_file_position().saturating_add(entry.size()));
        spent.entries += 1;
        if spent.entries > limits.entries_max {
            let limit = format!("{} entries", limits.entries_max);
            return Err(SupplyError::TooLarge { what: "the image".to_owned(), limit }.into());
        }
        if !named.take(&mut entry)? {
            let Named { path, link } = std::mem::take(&mut named);
            let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
            let link = link.or_else(|| entry.link_name_bytes().map(std::borrow::Cow::into_owned));
            layer.entry(&mut entry, &bytes_path(path), link.map(bytes_path))?;
        }
    }
    Ok(archive.into_inner())
}

fn bytes_path(bytes: Vec<u8>) -> PathBuf {
    OsString::from_vec(bytes).into()
}

/// The names that extension headers give to the entry after them.
#[derive(Default)]
struct Named {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl Named {
    /// Takes an extension header; false where the entry is none.
    #[expect(clippy::wildcard_enum_match_arm, reason = "another crate's list of every kind there is")]
    fn take<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<bool, Failed> {
        match entry.header().entry_type() {
            EntryType::GNULongName => self.path = Some(until_zero(extension(entry)?)),
            EntryType::GNULongLink => self.link = Some(until_zero(extension(entry)?)),
            EntryType::XHeader => self.pax(&extension(entry)?)?,
            // Holds for the whole archive; `git archive` puts the commit there.
            EntryType::XGlobalHeader => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The keywords of POSIX pax, section "pax Extended Header". Attributes are dropped, as owners are.
    fn pax(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        for extension in PaxExtensions::new(bytes) {
            let extension = extension.map_err(Failed::Archive)?;
            match extension.key_bytes() {
                b"path" => self.path = Some(extension.value_bytes().to_owned()),
                b"linkpath" => self.link = Some(extension.value_bytes().to_owned()),
                key if key == b"size" || key.starts_with(b"GNU.sparse") => {
                    let path = bytes_path(self.path.take().unwrap_or_default());
                    return Err(refused(&path, "it is sparse or larger than a plain header can say").into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

fn extension<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    entry.take(EXTENSION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Failed::Archive)?;
    if bytes.len() as u64 > EXTENSION_BYTES_MAX {
        let limit = format!("{EXTENSION_BYTES_MAX} bytes");
        return Err(SupplyError::TooLarge { what: "an extension header of a layer".to_owned(), limit }.into());
    }
    Ok(bytes)
}

struct Layer<'a> {
    root: &'a Path,
    limits: &'a Limits,
    /// Where this layer has put something: its own whiteouts do not hide that.
    added: HashSet<PathBuf>,
}

impl Layer<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "another crate's list of every kind there is")]
    fn entry<R: Read>(&mut self, entry: &mut Entry<'_, R>, path: &Path, link: Option<PathBuf>) -> Result<(), Failed> {
        let kind = entry.header().entry_type();
        // The root itself; tools write it as `./` or `/`.
        if kind.is_dir() && [Path::new("."), Path::new("/")].contains(&path) {
            return Ok(());
        }
        let mut parts = parts(path, self.limits.depth_max)?;
        let name = parts.pop().ok_or_else(|| refused(path, "it has no name"))?;
        let parent = locate(self.root, path, &parts)?;
        if parent.len() >= self.limits.depth_max {
            return Err(refused(path, "it is too long or too deep").into());
        }
        if name.as_bytes().starts_with(WHITEOUT) {
            return Ok(self.whiteout(path, &parent, &name)?);
        }
        let directory = self.directory(path, &parent)?;
        let (at, mode) = (directory.join(&name), entry.header().mode().map_err(Failed::Archive)?);
        make_room(&at, kind)?;
        match kind {
            EntryType::Regular | EntryType::Continuous => write_file(entry, &at, mode)?,
            EntryType::Directory => make_directory(&at, mode)?,
            EntryType::Symlink => {
                let target = link.filter(|target| !target.as_os_str().is_empty());
                let target = target.ok_or_else(|| refused(path, "the link has no target"))?;
                let target = relative_target(&parent, &target);
                std::os::unix::fs::symlink(&target, &at).map_err(io("create the link", &at))?;
            }
            EntryType::Link => self.hard_link(path, &at, &link.unwrap_or_default())?,
            EntryType::Block | EntryType::Char | EntryType::Fifo => {
                return Err(refused(path, "devices and pipes are not allowed").into());
            }
            _ => return Err(refused(path, "it is of an unknown kind").into()),
        }
        self.added.insert(at);
        Ok(())
    }

    /// The directory with these parts on this machine, made where it is missing.
    fn directory(&self, entry: &Path, parts: &[OsString]) -> Result<PathBuf, SupplyError> {
        let mut path = self.root.to_owned();
        for part in parts {
            path.push(part);
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(refused(entry, "it is below something that is not a directory")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => make_directory(&path, 0o755)?,
                Err(error) => return Err(io("examine", &path)(error)),
            }
        }
        Ok(path)
    }

    fn hard_link(&self, entry: &Path, at: &Path, target: &Path) -> Result<(), SupplyError> {
        // Tools write hard links' targets with and without a leading slash; both mean the image's root.
        let target = target.strip_prefix("/").unwrap_or(target);
        let mut parts = parts(target, self.limits.depth_max)?;
        let name = parts.pop().ok_or_else(|| refused(entry, "the link has no target"))?;
        let source = join(self.root, &locate(self.root, entry, &parts)?).join(name);
        let is_file = fs::symlink_metadata(&source).is_ok_and(|metadata| metadata.is_file());
        if !is_file {
            return Err(refused(entry, "it is a hard link to what is not a file of the image"));
        }
        // linkat(2) without flags does not follow links; the parents were located above.
        fs::hard_link(&source, at).map_err(io("create the link", at))
    }

    fn whiteout(&self, entry: &Path, parent: &[OsString], name: &OsStr) -> Result<(), SupplyError> {
        let directory = join(self.root, parent);
        let name = name.as_bytes();
        if name == OPAQUE {
            return self.hide_children(&directory);
        }
        if name.starts_with(AUFS) {
            return Ok(());
        }
        match name.get(WHITEOUT.len()..).unwrap_or_default() {
            b"" | b"." | b".." => Err(refused(entry, "it hides nothing that can be hidden")),
            hidden => self.hide(&directory.join(OsStr::from_bytes(hidden))),
        }
    }

    /// Removes what lower layers put here. Not deeper than `depth_max`, as nothing was made deeper.
    fn hide(&self, at: &Path) -> Result<(), SupplyError> {
        let metadata = match fs::symlink_metadata(at) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            metadata => metadata.map_err(io("examine", at))?,
        };
        if metadata.is_dir() {
            self.hide_children(at)?;
        }
        if self.added.contains(at) {
            return Ok(());
        }
        if !metadata.is_dir() {
            return fs::remove_file(at).map_err(io("remove", at));
        }
        match fs::remove_dir(at) {
            // This layer has put something below it.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed.map_err(io("remove", at)),
        }
    }

    fn hide_children(&self, directory: &Path) -> Result<(), SupplyError> {
        match fs::read_dir(directory) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
            entries => {
                for child in entries.map_err(io("list", directory))? {
                    self.hide(&child.map_err(io("list", directory))?.path())?;
                }
                Ok(())
            }
        }
    }
}

/// Removes what is in the place of a new entry; a directory may stay for a directory.
fn make_room(at: &Path, kind: EntryType) -> Result<(), SupplyError> {
    match fs::symlink_metadata(at) {
        Ok(metadata) if metadata.is_dir() && kind.is_dir() => Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(at).map_err(io("remove", at)),
        Ok(_) => fs::remove_file(at).map_err(io("remove", at)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io("examine", at)(error)),
    }
}

/// Permission bits without setuid, setgid and sticky; the owner can always remove what was unpacked.
fn make_directory(at: &Path, mode: u32) -> Result<(), SupplyError> {
    match fs::create_dir(at) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => created.map_err(io("create", at))?,
    }
    fs::set_permissions(at, Permissions::from_mode(mode & 0o777 | 0o700)).map_err(io("set the mode of", at))
}

fn write_file<R: Read>(entry: &mut Entry<'_, R>, at: &Path, mode: u32) -> Result<(), Failed> {
    let mut file: File = File::options().write(true).create_new(true).mode(0o600).open(at).map_err(io("create", at))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = entry.header().entry_size().map_err(Failed::Archive)?;
    while left > 0 {
        let read = entry.read(&mut buffer).map_err(Failed::Archive)?;
        if read == 0 {
            return Err(Failed::Archive(io::ErrorKind::UnexpectedEof.into()));
        }
        file.write_all(buffer.get(..read).unwrap_or_default()).map_err(io("write", at))?;
        left = left.saturating_sub(read as u64);
    }
    file.set_permissions(Permissions::from_mode(mode & 0o777 | 0o400)).map_err(io("set the mode of", at))?;
    file.sync_all().map_err(io("sync", at))?;
    Ok(())
}
