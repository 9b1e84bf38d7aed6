//! What is done from time to time: flushing the log, cutting blocks, and deleting what is too old.

use super::database::Database;
use super::error::DatabaseError;
use super::wal::{self, checkpoint::Checkpoint};
use super::{lock, read};

/// How many series are looked at without letting appends go on.
pub(super) const SERIES_AT_ONCE: usize = 1024;
/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Whether a checkpoint has taken the log's place.
    pub checkpoint: bool,
}

impl Database {
    /// Does what is due: to be called with the time every few seconds or minutes, from one thread. It takes seconds when a
    /// block is due, during which samples are taken in and queries answered.
    ///
    /// Flushes the log; writes it anew where it failed or is long.
    pub fn maintain(&self, now_ms: i64) -> Result<Maintained, DatabaseError> {
        let _one_at_a_time = lock(&self.maintenance);
        self.set_time(now_ms);
        let mut maintained = Maintained::default();
        let (mark, failed) = {
            let appender = lock(&self.appender);
            (appender.log.mark(), appender.log.has_failed())
        };
        if failed || wal::sizes(&self.log_folder())?.is_long() {
            self.checkpoint()?;
            maintained.checkpoint = true;
        } else {
            self.sync(&mark)?;
        }
        Ok(maintained)
    }

    /// Sets the bounds of what is taken in.
    pub(super) fn set_time(&self, now_ms: i64) {
        let mut appender = lock(&self.appender);
        appender.ceiling_ms = now_ms.saturating_add(self.options.ahead_ms_max);
        appender.floor_ms = now_ms.saturating_sub(self.options.retention_ms);
    }

    /// Writes all that is in memory to a file that takes the log's place.
    pub(super) fn checkpoint(&self) -> Result<(), DatabaseError> {
        let replaced = {
            let mut appender = lock(&self.appender);
            let replaced = appender.log.number();
            appender.log.rotate()?;
            replaced
        };
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
