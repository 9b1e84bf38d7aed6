//! What is done from time to time: flushing the log, cutting blocks, putting them together, and deleting what is too old.

use std::sync::Arc;

use super::block::{Block, BlockWriter, Texts};
use super::blocks;
use super::database::Database;
use super::error::DatabaseError;
use super::wal::{self, checkpoint::Checkpoint};
use super::{lock, read, write};
use crate::labels::Labels;

/// How many series are looked at without letting appends go on.
const SERIES_AT_ONCE: usize = 1024;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// How many blocks were made of what was in memory.
    pub blocks_cut: usize,
    /// How many times blocks were put together.
    pub blocks_joined: usize,
    /// How many blocks were deleted because all of their samples were too old.
    pub blocks_deleted: usize,
    /// Whether a checkpoint has taken the log's place.
    pub checkpoint: bool,
}

impl Database {
    /// Does what is due: to be called with the time every few seconds, from a thread that may wait for the disk. It takes
    /// seconds when a block is due, during which samples are taken in and queries answered.
    ///
    /// Flushes the log; writes a block of each time that is over by half of its length; puts blocks together into ones of up
    /// to a tenth of the retention; deletes those whose samples are all too old, which is told by the latest sample or by the
    /// time, whichever is earlier, so that a clock that runs ahead deletes nothing; and writes the log anew where it failed
    /// or is long. After an error everything that was there still is, and the next call tries again.
    pub fn maintain(&self, now_ms: i64) -> Result<Maintained, DatabaseError> {
        let _one_at_a_time = lock(&self.maintenance);
        self.set_time(now_ms);
        let mut maintained = Maintained::default();
        let (mark, failed) = {
            let appender = lock(&self.appender);
            (appender.log.mark(), appender.log.has_failed())
        };
        if !failed {
            self.sync(&mark)?;
        }
        while let Some(until_ms) = self.due_until(now_ms) {
            self.cut(until_ms)?;
            maintained.blocks_cut += 1;
        }
        if failed || maintained.blocks_cut > 0 || wal::sizes(&self.log_folder())?.is_long() {
            self.checkpoint()?;
            maintained.checkpoint = true;
        }
        maintained.blocks_deleted = self.delete_old(now_ms)?;
        while self.compact()? {
            maintained.blocks_joined += 1;
        }
        Ok(maintained)
    }

    /// Sets the bounds of what is taken in.
    pub(super) fn set_time(&self, now_ms: i64) {
        let mut appender = lock(&self.appender);
        appender.ceiling_ms = now_ms.saturating_add(self.options.ahead_ms_max);
        appender.kept_from_ms = now_ms.saturating_sub(self.options.retention_ms);
    }

    /// When the time of the next block ends, if it is over for long enough that what belongs into it has come.
    fn due_until(&self, now_ms: i64) -> Option<i64> {
        let (oldest_ms, _) = read(&self.head).times()?;
        let until_ms = super::head::window_end(oldest_ms, self.options.block_ms);
        (until_ms.saturating_add(self.options.block_ms / 2) <= now_ms).then_some(until_ms)
    }

    /// Makes a block of what is in memory before a time, and forgets it there.
    fn cut(&self, until_ms: i64) -> Result<(), DatabaseError> {
        {
            // From here on nothing is added before that time. It is no later than what was there, so that a clock that ran
            // ahead keeps nothing out once it is right again.
            let mut appender = lock(&self.appender);
            appender.cut_until_ms = appender.cut_until_ms.max(until_ms);
        }
        let last_ms = until_ms.saturating_sub(1);
        let mut series: Vec<(Labels, u32)> = {
            let head = read(&self.head);
            let of = |id: u32| Some((head.get(id)?.labels().clone(), id));
            head.matching(&[], i64::MIN, last_ms)?.into_iter().filter_map(of).collect()
        };
        series.sort_unstable();
        let texts = series.iter().flat_map(|(labels, _)| labels.iter());
        let texts: Texts = texts.flat_map(|label| [Arc::clone(&label.name), Arc::clone(&label.value)]).collect();
        let folder = self.blocks_folder();
        let mut writer = BlockWriter::begin(&self.disk, &folder, texts)?;
        for some in series.chunks(SERIES_AT_ONCE) {
            let chunks: Vec<_> = {
                let head = read(&self.head);
                let of =
                    |(labels, id): &(Labels, u32)| (labels.clone(), head.get(*id).map(|s| s.chunks(i64::MIN, last_ms)));
                some.iter().map(of).collect()
            };
            for (labels, chunks) in chunks {
                writer.add(&labels, &chunks.unwrap_or_default())?;
            }
        }
        let all = self.blocks();
        let number = blocks::next_number(&all);
        let path = blocks::path(&folder, number);
        writer.finish(&path, (until_ms.saturating_sub(self.options.block_ms), until_ms), Vec::new())?;
        let block = Arc::new(Block::open(number, &path)?);
        self.set_blocks(all.iter().cloned().chain([block]).collect());
        self.forget_before(until_ms);
        Ok(())
    }

    /// Forgets in memory what is before a time.
    fn forget_before(&self, until_ms: i64) {
        let ids = read(&self.head).ids();
        for some in ids.chunks(SERIES_AT_ONCE) {
            write(&self.head).truncate(some, until_ms);
        }
        let mut appender = lock(&self.appender);
        let gone = write(&self.head).remove_empty();
        appender.forget(&gone);
    }

    /// Deletes the blocks whose samples are all too old.
    fn delete_old(&self, now_ms: i64) -> Result<usize, DatabaseError> {
        let all = self.blocks();
        let in_blocks = all.iter().map(|block| block.summary().last_ms).max();
        let in_head = read(&self.head).times().map(|(_, newest)| newest);
        let Some(newest_ms) = in_blocks.max(in_head) else { return Ok(0) };
        let keep_from_ms = newest_ms.min(now_ms).saturating_sub(self.options.retention_ms);
        let (gone, kept): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|block| block.summary().last_ms < keep_from_ms);
        if gone.is_empty() {
            return Ok(0);
        }
        self.set_blocks(kept);
        for block in &gone {
            self.disk.remove(block.path())?;
        }
        Ok(gone.len())
    }

    /// Writes all that is in memory to a file that takes the log's place.
    pub(super) fn checkpoint(&self) -> Result<(), DatabaseError> {
        let replaced = lock(&self.appender).log.rotate()?;
        let folder = self.log_folder();
        let mut checkpoint = Checkpoint::begin(&self.disk, &folder, replaced)?;
        let ids = read(&self.head).ids();
        for some in ids.chunks(SERIES_AT_ONCE) {
            let series: Vec<_> = {
                let head = read(&self.head);
                let known = some.iter().filter_map(|id| Some((*id, head.get(*id)?)));
                known.map(|(id, series)| (id, series.labels().clone(), series.chunks(i64::MIN, i64::MAX))).collect()
            };
            for (id, labels, chunks) in series {
                checkpoint.add(id, &labels, &chunks)?;
            }
        }
        let next_id = lock(&self.appender).next_id();
        checkpoint.finish(next_id)?;
        lock(&self.appender).log.heal();
        Ok(())
    }
}
