//! A place for what is not finished, swept after a crash.
//!
//! Everyone who uses the directory holds its lock shared. Whoever opens it and gets the lock alone knows that what lies
//! there belongs to nobody, and removes it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::{NamedTempFile, TempDir};

use crate::error::{SupplyError, io};

const LOCK: &str = "lock";
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// The directory, locked against sweeping as long as this lives.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: PathBuf,
    _shared: File,
}

impl Scratch {
    /// Opens or makes it, and sweeps it if nobody else has it open.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, SupplyError> {
        fs::create_dir_all(&dir).map_err(io("create", &dir))?;
        let path = dir.join(LOCK);
        let lock = lock_file(&path)?;
        match lock.try_lock() {
            Ok(()) => {
                sweep(&dir)?;
                lock.unlock().map_err(io("unlock", &path))?;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
        }
        // Only a sweep keeps others out, and a sweep is short.
        for _ in 0..TRIES {
            match lock.try_lock_shared() {
                Ok(()) => return Ok(Self { dir, _shared: lock }),
                Err(TryLockError::WouldBlock) => std::thread::park_timeout(PAUSE),
                Err(TryLockError::Error(error)) => return Err(io("lock", &path)(error)),
            }
        }
        Err(SupplyError::Busy { path })
    }

    /// A new file, removed unless it is renamed to where it belongs.
    pub(crate) fn file(&self) -> Result<NamedTempFile, SupplyError> {
        NamedTempFile::new_in(&self.dir).map_err(io("create a file in", &self.dir))
    }

    /// A new directory that only its owner can enter, removed unless it is renamed.
    pub(crate) fn directory(&self) -> Result<TempDir, SupplyError> {
        TempDir::new_in(&self.dir).map_err(io("create a directory in", &self.dir))
    }
}

/// Opens or makes a file to lock; its content is never touched.
pub(crate) fn lock_file(path: &Path) -> Result<File, SupplyError> {
    File::options().create(true).truncate(false).write(true).open(path).map_err(io("open", path))
}

fn sweep(dir: &Path) -> Result<(), SupplyError> {
    for entry in fs::read_dir(dir).map_err(io("list", dir))? {
        let entry = entry.map_err(io("list", dir))?;
        if entry.file_name() == LOCK {
            continue;
        }
        let path = entry.path();
        let is_dir = entry.file_type().map_err(io("examine", &path))?.is_dir();
        let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(io("remove", &path))?;
    }
    Ok(())
}

/// When a file was last written; nothing where there is none.
pub(crate) fn modified(path: &Path) -> Result<Option<Timestamp>, SupplyError> {
    let modified = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        found => found.and_then(|found| found.modified()).map_err(io("examine", path))?,
    };
    // A time that can't be told is long ago: the file is none of ours, or the clock was wrong.
    Ok(Some(Timestamp::try_from(modified).unwrap_or(Timestamp::UNIX_EPOCH)))
}

/// Makes a rename into this directory last (fsync(2)).
pub(crate) fn sync_directory(dir: &Path) -> Result<(), SupplyError> {
    File::open(dir).and_then(|handle| handle.sync_all()).map_err(io("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_are_swept_only_when_nobody_is_at_work() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dead")).unwrap();
        fs::write(dir.path().join("dead/blob"), "half").unwrap();
        fs::write(dir.path().join("half"), "half").unwrap();
        let first = Scratch::open(dir.path().to_owned()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "only the lock is left");

        let at_work = first.file().unwrap();
        let second = Scratch::open(dir.path().to_owned()).unwrap();
        assert!(at_work.path().exists(), "the first one's file is not swept by the second");
        drop((first, second));
        std::mem::forget(at_work);
        drop(Scratch::open(dir.path().to_owned()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
