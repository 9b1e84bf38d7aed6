//! Uploads that are under way: one file each in `uploads/`, which becomes a blob by one rename.
//!
//! Invariant: what an upload counts as received is in its file and in its hash, whenever its client goes away. A restart
//! finds the files again; an upload that nobody went on with for long enough is removed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use crate::error::{SupplyError, io};
use crate::registry::error::RegistryError;
use crate::registry::files::hash_file;
use crate::registry::hash::Hasher;
use crate::registry::name::{Algorithm, ContentDigest, RepositoryName};
use crate::scratch::modified;

/// How long a request waits for another one that writes to the same upload.
const TURN_WAIT: Duration = Duration::from_secs(10);
const ID_BYTES: usize = 16;

/// All of them.
pub(super) struct Uploads {
    dir: PathBuf,
    max: usize,
    open: Mutex<BTreeMap<String, Upload>>,
}

/// One of them. Clones are the same upload.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) id: String,
    path: PathBuf,
    writer: Arc<tokio::sync::Mutex<Writer>>,
}

/// The right to write to an upload.
pub(super) type Turn = OwnedMutexGuard<Writer>;

/// The file of an upload.
pub(super) struct Writer {
    path: PathBuf,
    file: Option<File>,
    received: u64,
    /// What was received, hashed; none where that was before a restart.
    hasher: Option<Hasher>,
    ended: bool,
}

impl Uploads {
    /// Opens the folder, and finds what was under way when the last process ended.
    pub(super) fn open(dir: PathBuf, max: usize) -> Result<Self, SupplyError> {
        fs::create_dir_all(&dir).map_err(io("create", &dir))?;
        let mut open = BTreeMap::new();
        for entry in fs::read_dir(&dir).map_err(io("list", &dir))? {
            let entry = entry.map_err(io("list", &dir))?;
            let received = entry.metadata().map_err(io("examine", &entry.path()))?.len();
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let Some((id, _)) = name.split_once('.') else { continue };
            let upload = Upload::new(id.to_owned(), entry.path(), None, received, None);
            open.insert(name, upload);
        }
        Ok(Self { dir, max, open: Mutex::new(open) })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Upload>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one. Blocks for as long as making a file takes.
    pub(super) fn begin(&self, repository: &RepositoryName, algorithm: Algorithm) -> Result<Upload, RegistryError> {
        let mut random = [0; ID_BYTES];
        getrandom::fill(&mut random)
            .map_err(|error| io("read random bytes for", &self.dir)(io::Error::other(error.to_string())))?;
        let id = uuid(random);
        let name = file_name(&id, repository);
        let path = self.dir.join(&name);
        let mut all = self.all();
        if all.len() >= self.max {
            let why = format!("{} uploads are under way, and more are not allowed: finish or cancel some", self.max);
            return Err(RegistryError::TooManyRequests { why });
        }
        let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(io("create", &path))?;
        let upload = Upload::new(id, path, Some(file), 0, Some(Hasher::new(algorithm)));
        all.insert(name, upload.clone());
        Ok(upload)
    }

    /// The upload with an id, if it is one to this repository.
    pub(super) fn find(&self, repository: &RepositoryName, id: &str) -> Result<Upload, RegistryError> {
        self.all().get(&file_name(id, repository)).cloned().ok_or(RegistryError::UploadUnknown)
    }

    /// Forgets one that has ended, and removes its file if it is still there.
    pub(super) fn end(&self, turn: &mut Writer) -> Result<(), SupplyError> {
        turn.ended = true;
        turn.file = None;
        if let Some(name) = turn.path.file_name().and_then(|name| name.to_str()) {
            self.all().remove(name);
        }
        match fs::remove_file(&turn.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("remove", &turn.path)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Removes those that nobody has written to since `before`; gives how many.
    pub(super) fn expire(&self, before: Timestamp) -> Result<u64, SupplyError> {
        let all: Vec<Upload> = self.all().values().cloned().collect();
        let mut expired = 0;
        for upload in all {
            // Somebody who is at it keeps it.
            let Ok(mut turn) = upload.writer.try_lock() else { continue };
            if !turn.ended && modified(&upload.path)?.is_none_or(|at| at < before) {
                self.end(&mut turn)?;
                expired += 1;
            }
        }
        Ok(expired)
    }
}

/// A file's name holds whom the upload is for, so that it is found again after a restart, and by nobody else.
fn file_name(id: &str, repository: &RepositoryName) -> String {
    let hash = hex::encode(Sha256::digest(repository.as_str().as_bytes()));
    format!("{id}.{}", hash.get(..32).unwrap_or(&hash))
}

/// A random UUID (RFC 9562, section 5.4).
fn uuid(random: [u8; ID_BYTES]) -> String {
    let bits = u128::from_be_bytes(random) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let digits = format!("{bits:032x}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

impl Upload {
    fn new(id: String, path: PathBuf, file: Option<File>, received: u64, hasher: Option<Hasher>) -> Self {
        let writer = Writer { path: path.clone(), file, received, hasher, ended: false };
        Self { id, path, writer: Arc::new(tokio::sync::Mutex::new(writer)) }
    }

    /// Waits until nobody else writes to it.
    pub(super) async fn turn(&self) -> Result<Turn, RegistryError> {
        let waited = timeout(TURN_WAIT, Arc::clone(&self.writer).lock_owned()).await;
        let turn = waited.map_err(|_| RegistryError::TooManyRequests {
            why: "another request writes to this upload: wait for its end, or cancel it".to_owned(),
        })?;
        if turn.ended { Err(RegistryError::UploadUnknown) } else { Ok(turn) }
    }
}

impl Writer {
    /// Bytes that have been received.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    fn file(&mut self) -> Result<&mut File, SupplyError> {
        if self.file.is_none() {
            let mut file = File::options().read(true).write(true).open(&self.path).map_err(io("open", &self.path))?;
            file.seek(SeekFrom::Start(self.received)).map_err(io("open", &self.path))?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or(SupplyError::Stopped)
    }

    /// Adds bytes at the end: all of them, or none where that fails.
    pub(super) fn append(&mut self, parts: &[Bytes]) -> Result<(), SupplyError> {
        let (before, path) = (self.received, self.path.clone());
        let file = self.file()?;
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        if let Err(error) = written {
            let undone = file.set_len(before).and_then(|()| file.seek(SeekFrom::Start(before)));
            // What can't be undone is not counted: the next part overwrites it, and the digest is that of the file.
            if undone.is_err() {
                self.file = None;
                self.hasher = None;
            }
            return Err(io("write", &path)(error));
        }
        for part in parts {
            if let Some(hasher) = &mut self.hasher {
                hasher.update(part);
            }
            self.received += part.len() as u64;
        }
        Ok(())
    }

    /// Takes back what was added after so many bytes.
    pub(super) fn cut(&mut self, to: u64) -> Result<(), SupplyError> {
        let path = self.path.clone();
        let file = self.file()?;
        file.set_len(to).and_then(|()| file.seek(SeekFrom::Start(to))).map_err(io("cut", &path))?;
        self.received = to;
        // A hash can't be taken back, but begun again.
        self.hasher = self.hasher.take().filter(|_| to == 0).map(|hasher| Hasher::new(hasher.algorithm()));
        Ok(())
    }

    /// Takes the algorithm with which the whole will be named, if nothing was hashed with another.
    pub(super) fn expect(&mut self, algorithm: Algorithm) {
        if self.received == 0 {
            self.hasher = Some(Hasher::new(algorithm));
        }
    }

    /// The digest of what was received, and the file that holds it.
    pub(super) fn complete(&mut self, algorithm: Algorithm) -> Result<(ContentDigest, &File, &Path), SupplyError> {
        let hasher = self.hasher.take().filter(|hasher| hasher.algorithm() == algorithm);
        let (received, path) = (self.received, self.path.clone());
        let file = self.file()?;
        let digest = if let Some(hasher) = hasher {
            hasher.finish()
        } else {
            file.set_len(received).map_err(io("cut", &path))?;
            hash_file(file, &path, algorithm)?
        };
        let file = self.file.as_ref().ok_or(SupplyError::Stopped)?;
        Ok((digest, file, &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_is_found_after_a_restart_by_its_own_repository() {
        let dir = tempfile::tempdir().unwrap();
        let (pad, other) = (RepositoryName::new("pad").unwrap(), RepositoryName::new("other").unwrap());
        let uploads = Uploads::open(dir.path().to_owned(), 2).unwrap();
        let first = uploads.begin(&pad, Algorithm::Sha256).unwrap();
        first.turn().await.unwrap().append(&[Bytes::from_static(b"he"), Bytes::from_static(b"llo")]).unwrap();
        drop(uploads);
        let uploads = Uploads::open(dir.path().to_owned(), 2).unwrap();
        assert!(matches!(uploads.find(&other, &first.id), Err(RegistryError::UploadUnknown)));
        let again = uploads.find(&pad, &first.id).unwrap();
        let mut turn = again.turn().await.unwrap();
        assert_eq!(turn.received(), 5);
        turn.append(&[Bytes::from_static(b"!")]).unwrap();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let (digest, ..) = turn.complete(algorithm).unwrap();
            assert_eq!(digest, crate::registry::hash::digest_of(algorithm, b"hello!"));
        }
        uploads.end(&mut turn).unwrap();
        drop(turn);
        assert!(again.turn().await.is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn they_are_bounded_and_expire() {
        let dir = tempfile::tempdir().unwrap();
        let pad = RepositoryName::new("pad").unwrap();
        let uploads = Uploads::open(dir.path().to_owned(), 2).unwrap();
        let (busy, _idle) =
            (uploads.begin(&pad, Algorithm::Sha256).unwrap(), uploads.begin(&pad, Algorithm::Sha256).unwrap());
        assert!(matches!(uploads.begin(&pad, Algorithm::Sha256), Err(RegistryError::TooManyRequests { .. })));
        assert_eq!(uploads.expire(Timestamp::UNIX_EPOCH).unwrap(), 0);
        let turn = busy.turn().await.unwrap();
        assert_eq!(uploads.expire(Timestamp::MAX).unwrap(), 1, "not the one that is written to");
        drop(turn);
        assert!(uploads.find(&pad, &busy.id).is_ok());
    }

    #[test]
    fn ids_are_uuids() {
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
