//! The database as its users see it.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use super::appender::{Appender, Arriving};
use super::block::Block;
use super::blocks::{self, Blocks};
use super::disk::Disk;
use super::error::DatabaseError;
use super::head::Head;
use super::options::{Durability, Options};
use super::wal;
use super::wal::replay::{Recovery, Replay, Replayed};
use super::wal::writer::Mark;
use super::{lock, read, write};
use crate::append::{Append, Appended, Incoming, IncomingHistogram};
use crate::store::StoreError;

/// Time series in a folder. All of it is synchronous, and may be called from several threads at once.
///
/// Locks are taken in the order of the fields.
#[derive(Debug)]
pub struct Database {
    pub(super) options: Options,
    pub(super) disk: Disk,
    /// Held while blocks are made and deleted.
    pub(super) maintenance: Mutex<()>,
    /// Up to where the log is on the disk, as in [`Mark::position`]. Held while it is flushed.
    synced: Mutex<u64>,
    pub(super) appender: Mutex<Appender>,
    pub(super) head: RwLock<Head>,
    blocks: RwLock<Blocks>,
    recovery: Recovery,
    /// Keeps others out as long as it is open.
    _lock: File,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Series in memory.
    pub head_series: u64,
    /// Chunks in memory.
    pub head_chunks: u64,
    /// Samples in memory.
    pub head_samples: u64,
    /// Bytes that the samples in memory take there, without their labels.
    pub head_bytes: u64,
    /// Bytes of the log and its checkpoint.
    pub log_bytes: u64,
    /// Blocks on the disk.
    pub blocks: u64,
    /// Samples in them.
    pub block_samples: u64,
    /// Chunks in them.
    pub block_chunks: u64,
    /// Their bytes.
    pub block_bytes: u64,
    /// When the earliest sample is.
    pub oldest_ms: Option<i64>,
    /// When the latest sample is.
    pub newest_ms: Option<i64>,
}

impl Database {
    /// Opens a database, or makes it, and reads its log.
    pub fn open(options: Options) -> Result<Self, DatabaseError> {
        Self::open_on(Disk::default(), options)
    }

    pub(super) fn open_on(disk: Disk, mut options: Options) -> Result<Self, DatabaseError> {
        options.block_ms = options.block_ms.max(1);
        let log_folder = options.path.join("wal");
        let blocks_folder = options.path.join("blocks");
        disk.create_folder(&log_folder)?;
        disk.create_folder(&blocks_folder)?;
        let file = lock_folder(&options.path)?;
        let mut losses = Vec::new();
        let blocks = blocks::open_all(&disk, &blocks_folder, options.repair, &mut losses)?;
        let cut_until_ms = blocks::end(&blocks);
        let replay = Replay::new(&disk, &log_folder, cut_until_ms, options.block_ms, options.repair);
        let Replayed { head, next_id, writer, mut recovery } = replay.run()?;
        recovery.skipped.append(&mut losses);
        let appender = Appender::new(&head, next_id, writer, cut_until_ms, options.series_max);
        let now_ms = options.now_ms;
        let this = Self {
            options,
            disk,
            maintenance: Mutex::new(()),
            synced: Mutex::new(0),
            appender: Mutex::new(appender),
            head: RwLock::new(head),
            blocks: RwLock::new(blocks.into()),
            recovery,
            _lock: file,
        };
        this.set_time(now_ms);
        if !this.recovery.skipped.is_empty() {
            // What is damaged must not be met again.
            this.checkpoint()?;
        }
        Ok(this)
    }

    /// What was found in the log when it was opened.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Waits until all that was written to the log before is on the disk.
    pub(super) fn sync(&self, mark: &Mark) -> Result<(), DatabaseError> {
        let mut synced = lock(&self.synced);
        if *synced >= mark.position {
            return Ok(());
        }
        // Others have written meanwhile, and wait for this lock: one flush is for all of them.
        let Mark { file, path, position } = lock(&self.appender).log.mark();
        if let Err(error) = self.disk.sync(&file, &path) {
            // The system may have dropped what it could not write, and would say next time that all is well.
            lock(&self.appender).log.fail();
            return Err(error);
        }
        *synced = position;
        Ok(())
    }

    /// How much there is.
    pub fn stats(&self) -> Result<Stats, DatabaseError> {
        let log_bytes = wal::sizes(&self.log_folder())?.sum();
        let (series, sizes, bytes, times) = {
            let head = read(&self.head);
            (head.series_count(), head.sizes(), head.bytes_held(), head.times())
        };
        let blocks = self.blocks();
        let summaries = || blocks.iter().map(|block| block.summary());
        let first = summaries().map(|summary| summary.first_ms).min();
        let last = summaries().map(|summary| summary.last_ms).max();
        Ok(Stats {
            head_series: series as u64,
            head_chunks: sizes.chunks,
            head_samples: sizes.samples,
            head_bytes: bytes,
            log_bytes,
            blocks: blocks.len() as u64,
            block_samples: summaries().map(|summary| summary.samples).sum(),
            block_chunks: summaries().map(|summary| summary.chunks).sum(),
            block_bytes: blocks.iter().map(|block| block.length()).sum(),
            oldest_ms: first.into_iter().chain(times.map(|(oldest, _)| oldest)).min(),
            newest_ms: last.max(times.map(|(_, newest)| newest)),
        })
    }

    /// All blocks, by their time.
    pub(super) fn blocks(&self) -> Blocks {
        Arc::clone(&read(&self.blocks))
    }

    pub(super) fn set_blocks(&self, mut all: Vec<Arc<Block>>) {
        blocks::sort(&mut all);
        *write(&self.blocks) = all.into();
    }

    pub(super) fn blocks_folder(&self) -> PathBuf {
        self.options.path.join("blocks")
    }

    pub(super) fn log_folder(&self) -> PathBuf {
        self.options.path.join("wal")
    }
}

impl Database {
    fn take_in(&self, batch: &[impl Arriving]) -> Result<Appended, StoreError> {
        let (appended, mark) = lock(&self.appender).append(batch, &self.head).map_err(StoreError::new)?;
        match self.options.durability {
            Durability::Process => {}
            Durability::Power => self.sync(&mark).map_err(StoreError::new)?,
        }
        Ok(appended)
    }
}

impl Append for Database {
    fn append(&self, batch: &[Incoming<'_>]) -> Result<Appended, StoreError> {
        self.take_in(batch)
    }

    fn append_histograms(&self, batch: &[IncomingHistogram<'_>]) -> Result<Appended, StoreError> {
        self.take_in(batch)
    }
}

/// Keeps others out of the folder until the file is closed.
fn lock_folder(folder: &Path) -> Result<File, DatabaseError> {
    let path = folder.join("lock");
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(DatabaseError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse { path: folder.to_owned() }),
        Err(TryLockError::Error(error)) => Err(DatabaseError::io("lock", &path)(error)),
    }
}
