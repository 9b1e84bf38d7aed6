//! Writes one layer (OCI image specification, layer.md) so that the same files give the same bytes: entries sorted,
//! owner 0:0, time 0, plain ustar headers, and a gzip header without name or time.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use prograde_model::Digest;
use rustix::fs::OFlags;
use tar::{EntryType, Header};

use crate::blob::Hashing;
use crate::error::{SupplyError, io};
use crate::executable::{self, HEAD_BYTES};
use crate::spec::{ImageSpec, Node};

/// Part of the format: another level would give other digests.
const LEVEL: Compression = Compression::new(6);
const BLOCK: usize = 512;
const BUFFER_BYTES: usize = 64 << 10;

/// Writes the image's layer to `out`, which is at `at` for messages; gives the digest of the uncompressed layer.
pub(crate) fn write(spec: &ImageSpec, bytes_max: u64, out: impl Write, at: &Path) -> Result<Digest, SupplyError> {
    let program = spec.entrypoint.first().and_then(|program| program.strip_prefix('/'));
    // 255 is "unknown" (RFC 1952, section 2.3.1), so the machine that builds does not show.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(out, LEVEL);
    let mut layer = Layer { out: Hashing::new(gzip), at, left: bytes_max, bytes_max };
    for (path, node) in spec.tree()? {
        match node {
            Node::Directory => layer.header(&format!("{path}/"), EntryType::Directory, 0o755, 0)?,
            Node::File { source, mode } => layer.file(path, source, mode, Some(path) == program)?,
        }
    }
    // POSIX pax, "ustar Interchange Format": two blocks of zeros end the archive.
    layer.bytes(&[0; 2 * BLOCK])?;
    let (diff_id, _, gzip) = layer.out.finish()?;
    gzip.finish().map_err(io("write a layer to", at))?;
    Ok(diff_id)
}

struct Layer<'a, W: Write> {
    out: Hashing<W>,
    at: &'a Path,
    left: u64,
    bytes_max: u64,
}

impl<W: Write> Layer<'_, W> {
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), SupplyError> {
        self.out.write_all(bytes).map_err(io("write a layer to", self.at))
    }

    fn header(&mut self, path: &str, kind: EntryType, mode: u32, size: u64) -> Result<(), SupplyError> {
        let mut header = Header::new_ustar();
        let too_long = |_| SupplyError::InvalidSpec { field: format!("/{path}"), why: "is too long a path" };
        header.set_path(path).map_err(too_long)?;
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.bytes(header.as_bytes())
    }

    fn file(&mut self, path: &str, source: &Path, mode: u32, is_program: bool) -> Result<(), SupplyError> {
        let (mut file, size) = open(source)?;
        self.left = self.left.checked_sub(size).ok_or_else(|| SupplyError::TooLarge {
            what: source.display().to_string(),
            limit: format!("{} bytes", self.bytes_max),
        })?;
        self.header(path, EntryType::Regular, mode, size)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut copied = 0;
        loop {
            let read = read_full(&mut file, &mut buffer).map_err(io("read", source))?;
            let part = buffer.get(..read).unwrap_or_default();
            if copied == 0 && is_program {
                executable::check(source, part.get(..HEAD_BYTES).unwrap_or(part))?;
            }
            copied += part.len() as u64;
            if part.is_empty() || copied > size {
                break;
            }
            self.bytes(part)?;
        }
        if copied != size {
            return Err(SupplyError::Changed { path: source.to_owned() });
        }
        let padding = usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap_or_default();
        self.bytes([0; BLOCK].get(..padding).unwrap_or_default())
    }
}

/// Fills the buffer unless the file ends before.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Opens a regular file that is not empty. An artifact may hold anything: a link is not followed, a pipe not waited for.
fn open(source: &Path) -> Result<(File, u64), SupplyError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    match fs::symlink_metadata(source) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(SupplyError::NotAFile { path: source.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(SupplyError::MissingFile { path: source.to_owned() });
        }
        Err(error) => return Err(io("examine", source)(error)),
    }
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(source).map_err(io("open", source))?;
    let metadata = file.metadata().map_err(io("examine", source))?;
    if !metadata.is_file() {
        return Err(SupplyError::NotAFile { path: source.to_owned() });
    }
    match metadata.len() {
        0 => Err(SupplyError::EmptyFile { path: source.to_owned() }),
        size => Ok((file, size)),
    }
}
