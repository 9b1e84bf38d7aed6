//! Content on the disk: `blobs/<algorithm>/<digits>`, the same files that the image layout has.
//!
//! Invariant: a file gets its name only when it is complete, hashed and on the disk. Who names content and who removes it
//! keep out of each other's way by a lock, so that nothing is removed between getting its name and getting its row.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::blob::{DOCUMENT_BYTES_MAX, set_readable};
use crate::error::{SupplyError, io};
use crate::registry::error::RegistryError;
use crate::registry::hash::{Hasher, digest_of};
use crate::registry::name::{Algorithm, ContentDigest};
use crate::scratch::{Scratch, sync_directory};

const READ_BYTES: usize = 1 << 20;

/// The content.
pub(super) struct Files {
    blobs: PathBuf,
    scratch: Scratch,
    naming: RwLock<()>,
}

impl Files {
    pub(super) fn open(layout: &Path) -> Result<Self, SupplyError> {
        let blobs = layout.join("blobs");
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let dir = blobs.join(algorithm.name());
            fs::create_dir_all(&dir).map_err(io("create", &dir))?;
        }
        Ok(Self { blobs, scratch: Scratch::open(layout.join("tmp"))?, naming: RwLock::new(()) })
    }

    pub(super) fn folder(&self, algorithm: Algorithm) -> PathBuf {
        self.blobs.join(algorithm.name())
    }

    pub(super) fn path(&self, digest: &ContentDigest) -> PathBuf {
        self.folder(digest.algorithm()).join(digest.hex())
    }

    /// Held from before content gets its name until its row is written.
    pub(super) fn naming(&self) -> RwLockReadGuard<'_, ()> {
        self.naming.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while it is decided that content is not needed and while it is removed.
    pub(super) fn removing(&self) -> RwLockWriteGuard<'_, ()> {
        self.naming.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a complete file the name of its digest. Also over one that is there already: what was written now is right,
    /// and that one may have rotted.
    pub(super) fn name(&self, file: &File, path: &Path, digest: &ContentDigest) -> Result<(), SupplyError> {
        let to = self.path(digest);
        file.sync_all().map_err(io("sync", path))?;
        set_readable(file, path)?;
        fs::rename(path, &to).map_err(io("create", &to))?;
        sync_directory(&self.folder(digest.algorithm()))
    }

    /// Stores a document.
    pub(super) fn put(&self, digest: &ContentDigest, bytes: &[u8]) -> Result<(), SupplyError> {
        let mut file = self.scratch.file()?;
        let to = self.path(digest);
        file.write_all(bytes).map_err(io("write", &to))?;
        file.as_file().sync_all().map_err(io("sync", &to))?;
        set_readable(file.as_file(), &to)?;
        file.persist(&to).map_err(|error| io("create", &to)(error.error))?;
        sync_directory(&self.folder(digest.algorithm()))
    }

    /// A file, with its size, or nothing where there is none.
    pub(super) fn find(&self, digest: &ContentDigest) -> Result<Option<(File, u64)>, SupplyError> {
        let path = self.path(digest);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io("open", &path))?,
        };
        let size = file.metadata().map_err(io("examine", &path))?.len();
        Ok(Some((file, size)))
    }

    /// A whole document, its digest checked.
    pub(super) fn document(&self, digest: &ContentDigest) -> Result<Vec<u8>, RegistryError> {
        self.content(digest, DOCUMENT_BYTES_MAX)
    }

    /// The same of anything of at most so many bytes.
    pub(super) fn content(&self, digest: &ContentDigest, bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
        let path = self.path(digest);
        let (file, _) = self.find(digest)?.ok_or_else(|| RegistryError::BlobUnknown { digest: digest.clone() })?;
        let mut bytes = Vec::new();
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).map_err(io("read", &path))?;
        if bytes.len() as u64 > bytes_max {
            let limit = format!("{bytes_max} bytes");
            return Err(SupplyError::TooLarge { what: format!("the document {digest}"), limit }.into());
        }
        let found = digest_of(digest.algorithm(), &bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            let why = format!("its content is {found}: push it again");
            Err(SupplyError::InvalidLayout { path, why }.into())
        }
    }
}

/// Hashes a file from its start.
pub(super) fn hash_file(file: &mut File, path: &Path, algorithm: Algorithm) -> Result<ContentDigest, SupplyError> {
    use std::io::Seek as _;
    file.rewind().map_err(io("read", path))?;
    let (mut hasher, mut buffer) = (Hasher::new(algorithm), vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer).map_err(io("read", path))? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
