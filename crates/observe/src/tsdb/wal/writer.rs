//! The end of the log that is written to.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::frame::{self, HEADER_BYTES, SEGMENT};
use super::segment_path;
use crate::tsdb::disk::Disk;
use crate::tsdb::error::DatabaseError;

/// How long a file of the log gets before the next one is begun.
const SEGMENT_BYTES: u64 = 128 * 1024 * 1024;

/// The log's last file.
///
/// A file is on the disk before the next one is begun, so that what a lost power supply takes is at the end of the last one.
#[derive(Debug)]
pub(in crate::tsdb) struct Writer {
    disk: Disk,
    folder: PathBuf,
    number: u64,
    file: Arc<File>,
    length: u64,
    /// How many bytes were ever written, in all files. Never 0, so that the first flush is done whatever was there before.
    position: u64,
    /// A write failed in a way that leaves the file's end unknown.
    failed: bool,
    /// Nothing was written to the file but its beginning.
    blank: bool,
}

/// What has to be on the disk so that everything written so far is.
#[derive(Debug, Clone)]
pub(in crate::tsdb) struct Mark {
    pub(in crate::tsdb) file: Arc<File>,
    pub(in crate::tsdb) path: PathBuf,
    pub(in crate::tsdb) position: u64,
}

impl Writer {
    /// Begins a file.
    pub(in crate::tsdb) fn create(disk: Disk, folder: &Path, number: u64) -> Result<Self, DatabaseError> {
        let file = Arc::new(begin(&disk, folder, number)?);
        Ok(Self {
            disk,
            folder: folder.to_owned(),
            number,
            file,
            length: HEADER_BYTES,
            position: 1,
            failed: false,
            blank: true,
        })
    }

    /// Goes on with a file that has this length.
    pub(in crate::tsdb) fn resume(disk: Disk, folder: &Path, number: u64, length: u64) -> Result<Self, DatabaseError> {
        let path = segment_path(folder, number);
        let opened = File::options().read(true).append(true).open(&path);
        let file = Arc::new(opened.map_err(DatabaseError::io("open", &path))?);
        Ok(Self { disk, folder: folder.to_owned(), number, file, length, position: 1, failed: false, blank: false })
    }

    /// Writes records. Once this has returned they outlive the process; [`Mark`] says what makes them outlive the machine's
    /// power. After an error nothing of them is in the log.
    pub(in crate::tsdb) fn write(&mut self, records: &[u8]) -> Result<(), DatabaseError> {
        if self.failed {
            return Err(DatabaseError::LogFailed { path: self.folder.clone() });
        }
        if self.length >= SEGMENT_BYTES {
            self.rotate()?;
        }
        self.blank = false;
        let path = segment_path(&self.folder, self.number);
        if let Err(error) = self.disk.write(&self.file, &path, records) {
            // Half a record may be there: with it, whatever follows could not be read.
            self.failed = self.disk.set_length(&self.file, &path, self.length).is_err();
            return Err(error);
        }
        self.length += records.len() as u64;
        self.position += records.len() as u64;
        Ok(())
    }

    pub(in crate::tsdb) fn mark(&self) -> Mark {
        let path = segment_path(&self.folder, self.number);
        Mark { file: Arc::clone(&self.file), path, position: self.position }
    }

    /// Takes nothing in any more until the next file is begun: what was written may not be there.
    pub(in crate::tsdb) fn fail(&mut self) {
        self.failed = true;
    }

    pub(in crate::tsdb) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Begins the next file, unless this one is blank, and gives the number of the one before it.
    pub(in crate::tsdb) fn rotate(&mut self) -> Result<u64, DatabaseError> {
        if self.blank {
            return Ok(self.number - 1);
        }
        if !self.failed {
            self.disk.sync(&self.file, &segment_path(&self.folder, self.number)).inspect_err(|_| self.failed = true)?;
        }
        let next = begin(&self.disk, &self.folder, self.number + 1)?;
        self.number += 1;
        self.file = Arc::new(next);
        self.length = HEADER_BYTES;
        self.blank = true;
        Ok(self.number - 1)
    }

    /// Takes writes again: everything before this file has been replaced.
    pub(in crate::tsdb) fn heal(&mut self) {
        self.failed = false;
    }
}

fn begin(disk: &Disk, folder: &Path, number: u64) -> Result<File, DatabaseError> {
    let path = segment_path(folder, number);
    let file = match disk.create(&path) {
        Ok(file) => file,
        // Left by an attempt that failed: nothing was ever written to it but its beginning.
        Err(DatabaseError::Io { source, .. })
            if source.kind() == std::io::ErrorKind::AlreadyExists && !holds_records(&path)? =>
        {
            disk.remove(&path)?;
            disk.create(&path)?
        }
        Err(error) => return Err(error),
    };
    disk.write(&file, &path, &frame::header(SEGMENT))?;
    disk.sync_folder(folder)?;
    // From here on, writes go to the end, wherever a failed one was cut.
    File::options().read(true).append(true).open(&path).map_err(DatabaseError::io("open", &path))
}

fn holds_records(path: &Path) -> Result<bool, DatabaseError> {
    let file = File::open(path).map_err(DatabaseError::io("open", path))?;
    let mut one = [0];
    Ok(file.read_at(&mut one, HEADER_BYTES).map_err(DatabaseError::io("read", path))? > 0)
}
