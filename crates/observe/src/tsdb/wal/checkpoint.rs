//! A checkpoint: all series in memory with their chunks, in one file that takes the place of the log's files up to its number.
//!
//! It is made while samples come in: it may hold some that the following files of the log hold as well. Whoever reads them
//! leaves out what a series has already.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::frame::{self, CHECKPOINT};
use super::record::{CHUNK_BYTES_PER_RECORD, put_chunks, put_end};
use super::{CHECKPOINT_EXTENSION, EXTENSION, checkpoint_path, segment_path};
use crate::labels::Labels;
use crate::tsdb::chunk::Chunk;
use crate::tsdb::disk::{self, Disk};
use crate::tsdb::error::DatabaseError;

/// How many bytes are gathered before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;

/// A checkpoint that is being written. It counts once it is finished.
pub(in crate::tsdb) struct Checkpoint<'a> {
    disk: &'a Disk,
    folder: &'a Path,
    number: u64,
    temporary: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl<'a> Checkpoint<'a> {
    /// Begins one that will stand for the log's files up to this number.
    pub(in crate::tsdb) fn begin(disk: &'a Disk, folder: &'a Path, number: u64) -> Result<Self, DatabaseError> {
        let temporary = folder.join("checkpoint.tmp");
        if temporary.exists() {
            disk.remove(&temporary)?;
        }
        let file = disk.create(&temporary)?;
        let buffer = frame::header(CHECKPOINT);
        Ok(Self { disk, folder, number, temporary, file, buffer })
    }

    pub(in crate::tsdb) fn add(&mut self, id: u32, labels: &Labels, chunks: &[Chunk]) -> Result<(), DatabaseError> {
        let mut rest = chunks;
        while !rest.is_empty() {
            let mut left = CHUNK_BYTES_PER_RECORD;
            let fits = |chunk: &&Chunk| left.checked_sub(chunk.bytes.len() + 40).map(|less| left = less).is_some();
            // Each fits by itself.
            let count = rest.iter().take_while(fits).count().max(1);
            let (part, after) = rest.split_at(count);
            put_chunks(&mut self.buffer, id, labels, part);
            rest = after;
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.disk.write(&self.file, &self.temporary, &self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Makes it count, then takes away what it replaces.
    pub(in crate::tsdb) fn finish(mut self, next_id: u32) -> Result<(), DatabaseError> {
        put_end(&mut self.buffer, next_id);
        self.disk.write(&self.file, &self.temporary, &self.buffer)?;
        self.disk.sync(&self.file, &self.temporary)?;
        self.disk.rename(&self.temporary, &checkpoint_path(self.folder, self.number))?;
        self.disk.sync_folder(self.folder)?;
        remove_replaced(self.disk, self.folder, self.number)
    }
}

/// Takes away what the checkpoint of a number replaces.
pub(in crate::tsdb) fn remove_replaced(disk: &Disk, folder: &Path, number: u64) -> Result<(), DatabaseError> {
    for earlier in disk::numbered(folder, CHECKPOINT_EXTENSION)?.into_iter().filter(|earlier| *earlier < number) {
        disk.remove(&checkpoint_path(folder, earlier))?;
    }
    for segment in disk::numbered(folder, EXTENSION)?.into_iter().filter(|segment| *segment <= number) {
        disk.remove(&segment_path(folder, segment))?;
    }
    Ok(())
}
