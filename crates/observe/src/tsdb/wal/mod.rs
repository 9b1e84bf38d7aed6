//! The log: what was appended and is not in a block yet, as files of records that are read when the database is opened.
//!
//! The folder `wal` holds files `<number>.wal`, of which the last is written to, and at most one `<number>.checkpoint`, which
//! stands for all of them up to its number.

pub(super) mod checkpoint;
mod frame;
pub(super) mod record;
pub(super) mod replay;
pub(super) mod writer;

use std::path::{Path, PathBuf};

use super::disk;
use super::error::DatabaseError;

/// The extension of the log's files.
const EXTENSION: &str = "wal";
/// The extension of checkpoints.
const CHECKPOINT_EXTENSION: &str = "checkpoint";

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(disk::name(number, EXTENSION))
}

fn checkpoint_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(disk::name(number, CHECKPOINT_EXTENSION))
}

/// How long the log gets at least before a checkpoint takes its place, so that opening does not take long.
const LOG_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// How many bytes the log has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogSizes {
    segments: u64,
    checkpoints: u64,
}

impl LogSizes {
    pub(super) fn sum(self) -> u64 {
        self.segments + self.checkpoints
    }

    /// True if it pays to write a checkpoint, which will likely be as long as the last one.
    pub(super) fn is_long(self) -> bool {
        self.segments > LOG_BYTES_MAX.max(self.checkpoints)
    }
}

/// How many bytes the log has now.
pub(super) fn sizes(folder: &Path) -> Result<LogSizes, DatabaseError> {
    let sum = |extension: &str, path: fn(&Path, u64) -> PathBuf| -> Result<u64, DatabaseError> {
        let mut bytes = 0;
        for number in disk::numbered(folder, extension)? {
            let path = path(folder, number);
            match path.metadata() {
                Ok(metadata) => bytes += metadata.len(),
                // A checkpoint has taken its place meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(DatabaseError::io("read", &path)(error)),
            }
        }
        Ok(bytes)
    };
    let segments = sum(EXTENSION, segment_path)?;
    Ok(LogSizes { segments, checkpoints: sum(CHECKPOINT_EXTENSION, checkpoint_path)? })
}
