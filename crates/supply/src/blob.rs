//! Blobs under their digests (OCI image specification, image-layout.md, section "Blobs").
//!
//! Invariant: a file gets its digest's name only when it is complete and on the disk, so a crash leaves no wrong one.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use prograde_model::Digest;
use sha2::{Digest as _, Sha256};

use crate::document::Descriptor;
use crate::error::{SupplyError, io};
use crate::scratch::{Scratch, sync_directory};

/// The largest manifest or configuration that is read (OCI distribution specification, "Pushing Manifests": 4 MiB).
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;

/// Passes bytes on, hashing and counting them.
pub(crate) struct Hashing<T> {
    inner: T,
    hasher: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    /// The digest of what has passed, how many bytes that was, and what they passed to or came from.
    pub(crate) fn finish(self) -> Result<(Digest, u64, T), SupplyError> {
        let digest = format!("sha256:{}", hex::encode(self.hasher.finalize())).parse()?;
        Ok((digest, self.bytes, self.inner))
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.passed(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.passed(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// The blobs of one layout.
#[derive(Debug)]
pub(crate) struct Blobs {
    dir: PathBuf,
    scratch: Scratch,
}

impl Blobs {
    pub(crate) fn open(layout: &Path) -> Result<Self, SupplyError> {
        let dir = layout.join("blobs").join("sha256");
        fs::create_dir_all(&dir).map_err(io("create", &dir))?;
        Ok(Self { dir, scratch: Scratch::open(layout.join("tmp"))? })
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Stores what `write` writes; gives its digest, its size and what `write` gave.
    pub(crate) fn put<T>(
        &self,
        write: impl FnOnce(&mut Hashing<&mut File>) -> Result<T, SupplyError>,
    ) -> Result<(Digest, u64, T), SupplyError> {
        let mut file = self.scratch.file()?;
        let mut hashing = Hashing::new(file.as_file_mut());
        let result = write(&mut hashing)?;
        let (digest, bytes, _) = hashing.finish()?;
        let path = self.path(&digest);
        file.as_file().sync_all().map_err(io("sync", &path))?;
        set_readable(file.as_file(), &path)?;
        // Also over a blob that is already there: what was written now is right, and that one may have rotted.
        file.persist(&path).map_err(|error| io("create", &path)(error.error))?;
        sync_directory(&self.dir)?;
        Ok((digest, bytes, result))
    }

    /// Stores these bytes.
    pub(crate) fn put_bytes(&self, bytes: &[u8]) -> Result<(Digest, u64), SupplyError> {
        let (digest, size, ()) = self.put(|out| out.write_all(bytes).map_err(io("write a blob to", &self.dir)))?;
        Ok((digest, size))
    }

    /// A blob that has the size and digest that were promised, open at its start.
    pub(crate) fn open_verified(&self, promised: &Descriptor) -> Result<File, SupplyError> {
        let file = self.open_blob(&promised.digest)?;
        let path = self.path(&promised.digest);
        let size = file.metadata().map_err(io("examine", &path))?.len();
        if size != promised.size {
            let found = format!("{size} bytes long instead of {}", promised.size);
            return Err(SupplyError::Corrupt { digest: promised.digest.clone(), found });
        }
        self.verified(&promised.digest, file)
    }

    /// A whole manifest or configuration, its digest checked.
    pub(crate) fn read_document(&self, digest: &Digest) -> Result<Vec<u8>, SupplyError> {
        let path = self.path(digest);
        let file = self.open_blob(digest)?;
        if file.metadata().map_err(io("examine", &path))?.len() > DOCUMENT_BYTES_MAX {
            let limit = format!("{DOCUMENT_BYTES_MAX} bytes");
            return Err(SupplyError::TooLarge { what: format!("the document {digest}"), limit });
        }
        let (mut bytes, mut hashing) = (Vec::new(), Hashing::new(file.take(DOCUMENT_BYTES_MAX)));
        hashing.read_to_end(&mut bytes).map_err(io("read", &path))?;
        check(digest, hashing.finish()?.0)?;
        Ok(bytes)
    }

    fn verified(&self, digest: &Digest, file: File) -> Result<File, SupplyError> {
        let path = self.path(digest);
        let mut hashing = Hashing::new(file);
        io::copy(&mut hashing, &mut io::sink()).map_err(io("read", &path))?;
        let (found, _, mut file) = hashing.finish()?;
        check(digest, found)?;
        file.rewind().map_err(io("read", &path))?;
        Ok(file)
    }

    fn open_blob(&self, digest: &Digest) -> Result<File, SupplyError> {
        let path = self.path(digest);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(SupplyError::MissingBlob { digest: digest.clone() })
            }
            opened => opened.map_err(io("open", &path)),
        }
    }

    /// Whether a blob of this size is there; its content is not looked at.
    pub(crate) fn has(&self, promised: &Descriptor) -> bool {
        self.path(&promised.digest)
            .metadata()
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == promised.size)
    }

    /// Gives a complete and checked file its digest's name.
    pub(crate) fn adopt(&self, file: &File, at: &Path, digest: &Digest) -> Result<(), SupplyError> {
        let path = self.path(digest);
        file.sync_all().map_err(io("sync", at))?;
        set_readable(file, at)?;
        fs::rename(at, &path).map_err(io("create", &path))?;
        sync_directory(&self.dir)
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.hex())
    }
}

/// Temporary files are private; what is stored is for other tools to read.
pub(crate) fn set_readable(file: &File, path: &Path) -> Result<(), SupplyError> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(io("set the mode of", path))
}

/// Whether the content is the one that was promised.
pub(crate) fn check(promised: &Digest, found: Digest) -> Result<(), SupplyError> {
    if *promised == found {
        Ok(())
    } else {
        Err(SupplyError::Corrupt { digest: promised.clone(), found: found.into() })
    }
}
