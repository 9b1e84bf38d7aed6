//! How a database is opened.

use std::path::PathBuf;

/// When what was appended is on the disk and not only with the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After each [`super::Database::maintain`]: what was appended since then is there after the process was killed, but may
    /// be lost with the machine's power.
    #[default]
    Process,
    /// Before an append returns. Appends that wait at the same time wait for the same flush.
    Power,
}

/// How a database is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds it, which is made if it is not there. One database at a time has it open.
    pub path: PathBuf,
    /// The time of opening.
    pub now_ms: i64,
    /// For how long samples are kept. They are deleted block by block.
    pub retention_ms: i64,
    /// The time that the first block of any sample covers; two hours. It must stay the same over a database's life.
    pub block_ms: i64,
    /// How far ahead of the time that the database was told last a sample may be. It was told when it was opened and at each
    /// [`super::Database::maintain`], which must come much more often than this.
    pub ahead_ms_max: i64,
    /// How many series may be in memory at once: those that had samples in about the last three hours.
    pub series_max: usize,
    /// How many samples one selection may give.
    pub select_samples_max: u64,
    /// When what was appended is on the disk.
    pub durability: Durability,
    /// Skips what is damaged in the log, and sets damaged blocks aside as `*.damaged`, instead of refusing to open, and says so
    /// in [`super::Recovery`]. What was skipped in the log is gone afterwards.
    pub repair: bool,
}

impl Options {
    /// A folder, the time, and what Prometheus does by default: 15 days, blocks of two hours.
    pub fn new(path: impl Into<PathBuf>, now_ms: i64) -> Self {
        const HOUR_MS: i64 = 3_600_000;
        Self {
            path: path.into(),
            now_ms,
            retention_ms: 15 * 24 * HOUR_MS,
            block_ms: 2 * HOUR_MS,
            ahead_ms_max: HOUR_MS,
            series_max: 1_000_000,
            select_samples_max: 50_000_000,
            durability: Durability::default(),
            repair: false,
        }
    }
}
