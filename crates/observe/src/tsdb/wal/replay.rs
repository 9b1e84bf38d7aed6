//! Reading the log when the database is opened.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::frame::{self, CHECKPOINT, Frames, HEADER_BYTES, Next, SEGMENT};
use super::record::{self, NewSeries, Record};
use super::writer::Writer;
use super::{CHECKPOINT_EXTENSION, EXTENSION, checkpoint_path, segment_path};
use crate::histogram::HistogramSample;
use crate::labels::Labels;
use crate::sample::Sample;
use crate::tsdb::chunk::Chunk;
use crate::tsdb::disk::{self, Disk};
use crate::tsdb::error::DatabaseError;
use crate::tsdb::head::{ById, Head};

/// How many losses are told one by one.
const LOSSES_MAX: usize = 100;

/// A part of the log that can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// The file.
    pub path: PathBuf,
    /// Where the part begins.
    pub offset: u64,
    /// What does not fit there.
    pub reason: &'static str,
}

/// What was found when the database was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The end of the log, where it was not written to its end when the process or the machine stopped, and was cut. What
    /// an append had returned for is not in it, but for a loss of power under [`super::super::Durability::Process`].
    pub torn: Option<Loss>,
    /// What was skipped because of [`super::super::Options::repair`].
    pub skipped: Vec<Loss>,
    /// Samples without their series, which was in a part that was skipped.
    pub orphans: u64,
    /// Samples that were read.
    pub samples: u64,
}

/// The log as it is read.
pub(in crate::tsdb) struct Replay<'a> {
    disk: &'a Disk,
    folder: &'a Path,
    /// Samples before this are in blocks.
    floor_ms: i64,
    repair: bool,
    head: Head,
    by_labels: HashMap<Labels, u32>,
    /// Series that have come up again under another number.
    aliases: ById<u32>,
    latest: ById<i64>,
    next_id: u32,
    recovery: Recovery,
}

/// Where a sample belongs.
enum Place {
    /// To the series of this number.
    New(u32),
    /// Nowhere: it is in memory or in a block.
    Known,
    /// Nowhere: its series is not known.
    Orphan,
}

/// What the log held.
pub(in crate::tsdb) struct Replayed {
    pub(in crate::tsdb) head: Head,
    pub(in crate::tsdb) next_id: u32,
    pub(in crate::tsdb) writer: Writer,
    pub(in crate::tsdb) recovery: Recovery,
}

impl<'a> Replay<'a> {
    pub(in crate::tsdb) fn new(disk: &'a Disk, folder: &'a Path, floor_ms: i64, block_ms: i64, repair: bool) -> Self {
        Self {
            disk,
            folder,
            floor_ms,
            repair,
            head: Head::new(block_ms),
            by_labels: HashMap::new(),
            aliases: ById::default(),
            latest: ById::default(),
            next_id: 0,
            recovery: Recovery::default(),
        }
    }

    /// Reads all of it, cuts a torn end, and goes on where it ends.
    pub(in crate::tsdb) fn run(mut self) -> Result<Replayed, DatabaseError> {
        let checkpoint = disk::numbered(self.folder, CHECKPOINT_EXTENSION)?.last().copied();
        if let Some(number) = checkpoint {
            super::checkpoint::remove_replaced(self.disk, self.folder, number)?;
            self.read_checkpoint(&checkpoint_path(self.folder, number))?;
        }
        let segments = disk::numbered(self.folder, EXTENSION)?;
        self.check_gaps(checkpoint, &segments)?;
        let used = segments.iter().rposition(|number| holds_records(&segment_path(self.folder, *number)));
        let mut end = None;
        for (index, number) in segments.iter().enumerate() {
            let path = segment_path(self.folder, *number);
            let length = self.read_segment(&path, used <= Some(index))?;
            end = Some((*number, length, frame::is_latest_format(&path, SEGMENT)?));
        }
        let disk = self.disk.clone();
        let writer = match end {
            Some((number, length, true)) if length >= HEADER_BYTES => {
                Writer::resume(disk, self.folder, number, length)?
            }
            // Written by an earlier release, which would take what is added now for damage.
            Some((number, length, false)) if length >= HEADER_BYTES => Writer::create(disk, self.folder, number + 1)?,
            Some((number, _, _)) => {
                self.disk.remove(&segment_path(self.folder, number))?;
                Writer::create(disk, self.folder, number)?
            }
            None => Writer::create(disk, self.folder, checkpoint.map_or(1, |number| number + 1))?,
        };
        self.drop_empty()?;
        Ok(Replayed { head: self.head, next_id: self.next_id, writer, recovery: self.recovery })
    }

    /// A file that is missing between others was taken away by somebody.
    fn check_gaps(&mut self, checkpoint: Option<u64>, segments: &[u64]) -> Result<(), DatabaseError> {
        let first = segments.first().copied().unwrap_or(1);
        let expected = checkpoint.map_or(first, |number| number + 1)..;
        for (expected, found) in expected.zip(segments) {
            if expected != *found {
                let path = segment_path(self.folder, expected);
                return self.skip_or_refuse(path, 0, "the file is missing");
            }
        }
        Ok(())
    }

    fn skip_or_refuse(&mut self, path: PathBuf, offset: u64, reason: &'static str) -> Result<(), DatabaseError> {
        if !self.repair {
            return Err(DatabaseError::Damaged { path, offset, reason });
        }
        if self.recovery.skipped.len() < LOSSES_MAX {
            self.recovery.skipped.push(Loss { path, offset, reason });
        }
        Ok(())
    }

    fn read_checkpoint(&mut self, path: &Path) -> Result<(), DatabaseError> {
        let mut frames = match Frames::open(path, CHECKPOINT) {
            Ok(Some(frames)) => frames,
            Ok(None) => return self.skip_or_refuse(path.to_owned(), 0, "it ends early"),
            Err(DatabaseError::Damaged { path, offset, reason }) => return self.skip_or_refuse(path, offset, reason),
            Err(other) => return Err(other),
        };
        let mut ended = false;
        loop {
            let broken = match frames.next()? {
                Next::End if ended => return Ok(()),
                Next::End => (frames.length(), "the checkpoint ends early"),
                Next::Record { offset, record } => match record::read(record) {
                    Some(Record::Chunks { series, chunks }) => {
                        self.take_chunks(series, chunks);
                        continue;
                    }
                    Some(Record::End { next_id }) => {
                        self.next_id = self.next_id.max(next_id);
                        ended = true;
                        continue;
                    }
                    Some(Record::Series(_) | Record::Samples(_) | Record::Histograms(_)) | None => {
                        (offset, "a record is of no known kind")
                    }
                },
                Next::Broken { offset, reason } => (offset, reason),
            };
            self.skip_or_refuse(path.to_owned(), broken.0, broken.1)?;
            if !frames.skip_broken()? {
                return Ok(());
            }
        }
    }

    /// Reads a file of the log, and says how long it is then.
    fn read_segment(&mut self, path: &Path, is_last: bool) -> Result<u64, DatabaseError> {
        let mut frames = match Frames::open(path, SEGMENT) {
            Ok(Some(frames)) => frames,
            // The process ended before the file's first bytes were written.
            Ok(None) if is_last => return Ok(0),
            Ok(None) => return self.skip_or_refuse(path.to_owned(), 0, "it ends early").map(|()| 0),
            Err(DatabaseError::Damaged { path, offset, reason }) => {
                self.skip_or_refuse(path.clone(), offset, reason)?;
                return self.set_aside(&path);
            }
            Err(other) => return Err(other),
        };
        loop {
            let (offset, reason) = match frames.next()? {
                Next::End => return Ok(frames.length()),
                Next::Record { offset, record } => match record::read(record).map(|record| self.take(record)) {
                    Some(true) => continue,
                    Some(false) => (offset, "a sample's series is not known"),
                    None => (offset, "a record is of no known kind"),
                },
                Next::Broken { offset, reason } => {
                    if !frames.skip_broken()? {
                        return self.end_at(path, offset, reason, is_last, frames.length());
                    }
                    (offset, reason)
                }
            };
            self.skip_or_refuse(path.to_owned(), offset, reason)?;
        }
    }

    /// The rest of a file can't be read: its torn end if nothing comes after it.
    fn end_at(
        &mut self,
        path: &Path,
        offset: u64,
        reason: &'static str,
        is_last: bool,
        length: u64,
    ) -> Result<u64, DatabaseError> {
        if !is_last {
            return self.skip_or_refuse(path.to_owned(), offset, reason).map(|()| length);
        }
        let file = File::options().write(true).open(path).map_err(DatabaseError::io("open", path))?;
        self.disk.set_length(&file, path, offset)?;
        self.disk.sync(&file, path)?;
        self.recovery.torn = Some(Loss { path: path.to_owned(), offset, reason });
        Ok(offset)
    }

    /// Keeps a file that is not the log's under another name, and says that nothing of it is left.
    fn set_aside(&self, path: &Path) -> Result<u64, DatabaseError> {
        self.disk.rename(path, &path.with_extension("damaged"))?;
        self.disk.create(path).and_then(|file| self.disk.write(&file, path, &frame::header(SEGMENT)))?;
        Ok(HEADER_BYTES)
    }

    /// Takes a record in; false if it can't be one of a sound log.
    fn take(&mut self, record: Record) -> bool {
        match record {
            Record::Series(series) => {
                for one in series {
                    self.take_series(one);
                }
                true
            }
            Record::Samples(samples) => {
                let orphans = samples.iter().filter(|(id, sample)| !self.take_sample(*id, *sample)).count();
                self.recovery.orphans += orphans as u64;
                orphans == 0
            }
            Record::Histograms(samples) => {
                let mut orphans = 0;
                for (id, sample) in samples {
                    orphans += usize::from(!self.take_histogram(id, sample));
                }
                self.recovery.orphans += orphans as u64;
                orphans == 0
            }
            Record::Chunks { .. } | Record::End { .. } => false,
        }
    }

    /// The number under which a series is kept.
    fn take_series(&mut self, NewSeries { id, labels }: NewSeries) -> u32 {
        self.next_id = self.next_id.max(id.saturating_add(1));
        if let Some(known) = self.by_labels.get(&labels) {
            if *known != id {
                self.aliases.insert(id, *known);
            }
            return *known;
        }
        self.by_labels.insert(labels.clone(), id);
        self.head.create(id, labels);
        id
    }

    /// False if the series is not known.
    fn take_sample(&mut self, id: u32, sample: Sample) -> bool {
        match self.wanted(id, sample.timestamp) {
            Place::New(id) => self.head.push(id, sample),
            Place::Known => {}
            Place::Orphan => return false,
        }
        true
    }

    /// False if the series is not known.
    fn take_histogram(&mut self, id: u32, sample: HistogramSample) -> bool {
        match self.wanted(id, sample.timestamp) {
            Place::New(id) => self.head.push_histogram(id, sample),
            Place::Known => {}
            Place::Orphan => return false,
        }
        true
    }

    /// Where a sample of a series belongs. It counts as taken if it is new.
    fn wanted(&mut self, id: u32, timestamp: i64) -> Place {
        let id = self.aliases.get(&id).copied().unwrap_or(id);
        if self.head.get(id).is_none() {
            self.next_id = self.next_id.max(id.saturating_add(1));
            return Place::Orphan;
        }
        let is_new = self.latest.get(&id).is_none_or(|latest| timestamp > *latest);
        if !is_new || timestamp < self.floor_ms {
            return Place::Known;
        }
        self.latest.insert(id, timestamp);
        self.recovery.samples += 1;
        Place::New(id)
    }

    fn take_chunks(&mut self, series: NewSeries, chunks: Vec<Chunk>) {
        let id = self.take_series(series);
        for chunk in chunks {
            let is_new = self.latest.get(&id).is_none_or(|latest| chunk.first_ms > *latest);
            if is_new && chunk.first_ms >= self.floor_ms {
                self.latest.insert(id, chunk.last_ms);
                self.recovery.samples += u64::from(chunk.count);
                self.head.restore(id, chunk);
            }
        }
    }

    /// Takes away the series whose samples are all in blocks.
    fn drop_empty(&mut self) -> Result<(), DatabaseError> {
        drop(self.head.remove_empty());
        for id in self.head.ids() {
            if self.head.reopen(id).is_none() {
                // Its checksum held when it was read.
                let path = self.folder.to_owned();
                return Err(DatabaseError::Damaged {
                    path,
                    offset: 0,
                    reason: "a checkpoint's chunk can't be decoded",
                });
            }
        }
        Ok(())
    }
}

fn holds_records(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.len() > HEADER_BYTES)
}
