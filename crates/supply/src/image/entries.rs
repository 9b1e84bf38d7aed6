//! The files of one layer, gathered from this machine and written as an archive whose bytes follow from them alone:
//! sorted, owner 0:0, time 0, modes 0755 or 0644.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use tar::{Builder, EntryType, Header};

use crate::error::{SupplyError, cut, io};
use crate::executable::{self, HEAD_BYTES};
use crate::limits::Limits;

/// Directories that may be nested.
const DEPTH_MAX: usize = 64;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    Directory,
    File { source: PathBuf, size: u64 },
    Bytes(Vec<u8>),
    Link(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    body: Body,
}

/// One layer of an image that is made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    name: String,
    entries: BTreeMap<String, Entry>,
}

impl Layer {
    /// An empty one; the name stands in the image's history.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), entries: BTreeMap::new() }
    }

    /// What it is called in the image's history.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the image's path is a file here that may be executed.
    pub fn is_program(&self, path: &str) -> bool {
        let entry = path.strip_prefix('/').and_then(|path| self.entries.get(path));
        entry.is_some_and(|entry| matches!(entry.body, Body::File { .. } | Body::Bytes(_)) && entry.mode & 0o111 != 0)
    }

    /// Adds a file, or a link as a link, at the image's path `to`. A program is executable whatever its mode here, which
    /// artifacts of a pipeline have lost.
    pub fn add_file(&mut self, source: &Path, to: &str, is_program: bool) -> Result<(), SupplyError> {
        let metadata = examined(source)?;
        if !metadata.is_file() {
            return Err(SupplyError::NotAFile { path: source.to_owned() });
        }
        let mode = if is_program { 0o755 } else { plain_mode(&metadata) };
        self.insert(to, Entry { mode, body: Body::File { source: source.to_owned(), size: metadata.len() } })
    }

    /// Adds a file with this content.
    pub fn add_bytes(&mut self, to: &str, mode: u32, bytes: &[u8]) -> Result<(), SupplyError> {
        self.insert(to, Entry { mode, body: Body::Bytes(bytes.to_owned()) })
    }

    /// Adds an empty directory.
    pub fn add_directory(&mut self, to: &str, mode: u32) -> Result<(), SupplyError> {
        self.insert(to, Entry { mode, body: Body::Directory })
    }

    /// Adds a directory with all that is in it, but what `leave_out` names by the path below it. Links stay links;
    /// devices, pipes and sockets are refused.
    pub fn add_tree(
        &mut self,
        source: &Path,
        to: &str,
        leave_out: &dyn Fn(&str) -> bool,
        limits: &Limits,
    ) -> Result<(), SupplyError> {
        if !examined(source)?.is_dir() {
            return Err(SupplyError::InvalidSpec { field: source.display().to_string(), why: "is not a directory" });
        }
        let to = to.trim_end_matches('/');
        if !to.is_empty() {
            self.add_directory(to, 0o755)?;
        }
        let mut waiting = vec![(source.to_owned(), String::new(), 0)];
        let mut left = limits.entries_max;
        while let Some((directory, below, depth)) = waiting.pop() {
            for child in fs::read_dir(&directory).map_err(io("list", &directory))? {
                let child = child.map_err(io("list", &directory))?.path();
                let name = child.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
                    SupplyError::InvalidSpec { field: child.display().to_string(), why: "has a name that is not UTF-8" }
                })?;
                let path = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
                if leave_out(&path) {
                    continue;
                }
                left = left.checked_sub(1).filter(|_| depth < DEPTH_MAX).ok_or_else(|| SupplyError::TooLarge {
                    what: source.display().to_string(),
                    limit: format!("{} files, {DEPTH_MAX} directories deep", limits.entries_max),
                })?;
                let metadata = examined(&child)?;
                self.add_child(&child, &format!("{to}/{path}"), &metadata)?;
                if metadata.is_dir() {
                    waiting.push((child, path, depth + 1));
                }
            }
        }
        Ok(())
    }

    fn add_child(&mut self, child: &Path, to: &str, metadata: &Metadata) -> Result<(), SupplyError> {
        if metadata.is_dir() {
            return self.add_directory(to, 0o755);
        }
        if metadata.is_symlink() {
            let target = fs::read_link(child).map_err(io("read the link", child))?;
            let target = target.to_str().ok_or_else(|| SupplyError::InvalidSpec {
                field: child.display().to_string(),
                why: "leads to a name that is not UTF-8",
            })?;
            return self.insert(to, Entry { mode: 0o777, body: Body::Link(target.to_owned()) });
        }
        self.add_file(child, to, false)
    }

    fn insert(&mut self, to: &str, entry: Entry) -> Result<(), SupplyError> {
        let invalid = |why| SupplyError::InvalidSpec { field: cut(to, 200), why };
        let path = to.strip_prefix('/').ok_or_else(|| invalid("is not absolute"))?;
        if path.split('/').any(|part| part.is_empty() || part == "." || part == ".." || part.contains('\0')) {
            return Err(invalid("is not a plain path"));
        }
        // layer.md, section "Whiteouts": such a name would delete a file.
        if path.split('/').any(|part| part.starts_with(".wh.")) {
            return Err(invalid("holds a name that starts with `.wh.`"));
        }
        for (end, _) in path.match_indices('/') {
            let parent = path.get(..end).unwrap_or_default();
            let above = self.entries.entry(parent.to_owned()).or_insert(Entry { mode: 0o755, body: Body::Directory });
            if above.body != Body::Directory {
                return Err(invalid("is below something that is not a directory"));
            }
        }
        match (self.entries.get(path).map(|there| &there.body), &entry.body) {
            (None, _) | (Some(Body::Directory), Body::Directory) => {}
            (Some(_), _) => return Err(invalid("is named twice, or is also a directory")),
        }
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Writes the archive.
    pub(super) fn write(&self, out: &mut impl Write) -> Result<(), SupplyError> {
        let at = Path::new("a layer");
        let mut archive = Builder::new(out);
        for (path, entry) in &self.entries {
            let mut header = Header::new_gnu();
            header.set_mode(entry.mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            let written = match &entry.body {
                Body::Directory => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, format!("{path}/"), io::empty())
                }
                Body::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    archive.append_link(&mut header, path, target)
                }
                Body::Bytes(bytes) => {
                    header.set_size(bytes.len() as u64);
                    archive.append_data(&mut header, path, bytes.as_slice())
                }
                Body::File { source, size } => {
                    header.set_size(*size);
                    let mut exact = Exact { file: opened(source)?, left: *size, source, changed: false };
                    let written = archive.append_data(&mut header, path, &mut exact);
                    if exact.changed || exact.left > 0 {
                        return Err(SupplyError::Changed { path: source.clone() });
                    }
                    written
                }
            };
            written.map_err(io("write", at))?;
        }
        archive.into_inner().and_then(Write::flush).map_err(io("write", at))
    }

    /// The architecture that its programs are for, where they are machine code.
    pub fn architecture(&self) -> Result<Option<&'static str>, SupplyError> {
        for entry in self.entries.values().filter(|entry| entry.mode & 0o111 != 0) {
            if let Body::File { source, .. } = &entry.body
                && let Some(architecture) = architecture_of(source)?
            {
                return Ok(Some(architecture));
            }
        }
        Ok(None)
    }
}

/// The architecture that a program is for, in OCI's words; nothing where it is no ELF program.
pub fn architecture_of(program: &Path) -> Result<Option<&'static str>, SupplyError> {
    let mut head = [0; HEAD_BYTES];
    let mut filled = 0;
    let mut file = opened(program)?;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest).map_err(io("read", program))? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(executable::architecture(head.get(..filled).unwrap_or_default()))
}

/// A file that has to have the length that its header says.
struct Exact<'a> {
    file: File,
    left: u64,
    source: &'a Path,
    changed: bool,
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) if read > 0 || left == 0 || buffer.is_empty() => self.left = left,
            _ => {
                self.changed = true;
                return Err(io::Error::other(format!("{} changed", self.source.display())));
            }
        }
        Ok(read)
    }
}

fn examined(source: &Path) -> Result<Metadata, SupplyError> {
    match fs::symlink_metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(SupplyError::MissingFile { path: source.to_owned() })
        }
        found => found.map_err(io("examine", source)),
    }
}

/// Opens a regular file; a link that has come into its place is not followed, a pipe not waited for.
fn opened(source: &Path) -> Result<File, SupplyError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened = File::options().read(true).custom_flags(flags).open(source);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SupplyError::MissingFile { path: source.to_owned() });
        }
        opened => opened.map_err(io("open", source))?,
    };
    if file.metadata().map_err(io("examine", source))?.is_file() {
        Ok(file)
    } else {
        Err(SupplyError::NotAFile { path: source.to_owned() })
    }
}

/// Executable or not: all else is the builder's own umask.
fn plain_mode(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layer: &Layer) -> Vec<u8> {
        let mut out = Vec::new();
        layer.write(&mut out).unwrap();
        out
    }

    #[test]
    fn a_tree_is_packed_the_same_whatever_its_modes_and_times() {
        use std::os::unix::fs::PermissionsExt as _;
        let pack = |mode: u32, order: [&str; 3]| {
            let dir = tempfile::tempdir().unwrap();
            let long = "l".repeat(150);
            fs::create_dir_all(dir.path().join("sub/deep")).unwrap();
            for name in order {
                fs::write(dir.path().join("sub").join(name), name).unwrap();
                fs::set_permissions(dir.path().join("sub").join(name), fs::Permissions::from_mode(mode)).unwrap();
            }
            fs::write(dir.path().join("sub/deep").join(&long), "").unwrap();
            std::os::unix::fs::symlink("sub/a", dir.path().join("link")).unwrap();
            let mut layer = Layer::new("tree");
            layer.add_tree(dir.path(), "/app/", &|path| path == "sub/left-out", &Limits::default()).unwrap();
            written(&layer)
        };
        let one = pack(0o600, ["a", "b", "left-out"]);
        assert!(one == pack(0o664, ["left-out", "b", "a"]));
        let mut archive = tar::Archive::new(one.as_slice());
        let paths: Vec<String> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(paths[..5], ["app/", "app/link", "app/sub/", "app/sub/a", "app/sub/b"]);
        assert_eq!(paths.len(), 7);
    }

    #[test]
    fn what_can_not_be_packed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        fs::write(&file, "x").unwrap();
        let mut layer = Layer::new("x");
        layer.add_file(&file, "/a/f", false).unwrap();
        for to in ["a", "/", "/a/../b", "/a//b", "/.wh.a", "/a/f", "/a/f/b", "/a"] {
            assert!(layer.add_file(&file, to, false).is_err(), "{to}");
        }
        assert!(matches!(layer.add_file(dir.path(), "/d", false), Err(SupplyError::NotAFile { .. })));
        assert!(matches!(layer.add_file(&dir.path().join("no"), "/n", false), Err(SupplyError::MissingFile { .. })));
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        assert!(layer.add_tree(dir.path(), "/t", &|_| false, &Limits::default()).is_err());
        fs::write(&file, "longer").unwrap();
        assert!(matches!(layer.write(&mut Vec::new()), Err(SupplyError::Changed { .. })));
        fs::write(&file, "").unwrap();
        assert!(matches!(layer.write(&mut Vec::new()), Err(SupplyError::Changed { .. })));
    }
}
