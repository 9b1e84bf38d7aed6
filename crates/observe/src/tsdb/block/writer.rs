//! Writing a block: one pass over its series, sorted by their labels.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{Directory, Extent, Name};
use super::{END, FORMAT, LETTERS, SERIES_PER_PAGE, TEXTS_PER_PAGE, VALUES_PER_PAGE};
use crate::labels::Labels;
use crate::tsdb::chunk::{Chunk, put_count};
use crate::tsdb::codec::{put_bytes, put_number, put_signed};
use crate::tsdb::disk::Disk;
use crate::tsdb::error::DatabaseError;

/// How many bytes are gathered before they are written.
const BUFFER_BYTES: usize = 1024 * 1024;

/// All names and values of labels that a block will have, each known by its place in their order.
#[derive(Debug, Default)]
pub(in crate::tsdb) struct Texts {
    sorted: Vec<Arc<str>>,
    places: HashMap<Arc<str>, u32>,
}

impl FromIterator<Arc<str>> for Texts {
    fn from_iter<I: IntoIterator<Item = Arc<str>>>(texts: I) -> Self {
        let mut places: HashMap<Arc<str>, u32> = texts.into_iter().map(|text| (text, 0)).collect();
        let mut sorted: Vec<Arc<str>> = places.keys().cloned().collect();
        sorted.sort_unstable();
        for (place, text) in (0..).zip(&sorted) {
            places.insert(Arc::clone(text), place);
        }
        Self { sorted, places }
    }
}

/// A block that is being written. It counts once it is finished.
pub(in crate::tsdb) struct BlockWriter<'a> {
    disk: &'a Disk,
    temporary: PathBuf,
    file: File,
    /// What is not in the file yet, and where it will be.
    buffer: Vec<u8>,
    offset: u64,
    texts: Texts,
    directory: Directory,
    page: Vec<u8>,
    postings: BTreeMap<(u32, u32), Vec<u32>>,
}

impl<'a> BlockWriter<'a> {
    /// Begins one whose labels are all made of these texts.
    pub(in crate::tsdb) fn begin(disk: &'a Disk, folder: &Path, texts: Texts) -> Result<Self, DatabaseError> {
        let temporary = folder.join("block.tmp");
        if temporary.exists() {
            disk.remove(&temporary)?;
        }
        let file = disk.create(&temporary)?;
        let buffer = [&LETTERS[..], &FORMAT.to_le_bytes()].concat();
        let (directory, page, postings) = (Directory::default(), Vec::new(), BTreeMap::new());
        Ok(Self { disk, temporary, file, buffer, offset: 0, texts, directory, page, postings })
    }

    /// Adds a series, whose labels come after those of all before, with its chunks in order, at least one.
    pub(in crate::tsdb) fn add(&mut self, labels: &Labels, chunks: &[Chunk]) -> Result<(), DatabaseError> {
        let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(()) };
        let id = self.directory.summary.series;
        put_number(&mut self.page, labels.iter().count() as u64);
        for label in labels.iter() {
            let place = |text: &Arc<str>| self.texts.places.get(text).copied().unwrap_or_default();
            let (name, value) = (place(&label.name), place(&label.value));
            put_number(&mut self.page, u64::from(name));
            put_number(&mut self.page, u64::from(value));
            self.postings.entry((name, value)).or_default().push(id);
        }
        put_number(&mut self.page, self.offset + self.buffer.len() as u64);
        put_number(&mut self.page, chunks.len() as u64);
        let mut time = 0_i64;
        for chunk in chunks {
            put_signed(&mut self.page, chunk.first_ms.wrapping_sub(time));
            put_number(&mut self.page, chunk.last_ms.wrapping_sub(chunk.first_ms).cast_unsigned());
            put_count(&mut self.page, chunk.count, chunk.kind);
            put_number(&mut self.page, chunk.bytes.len() as u64);
            time = chunk.last_ms;
            self.put_page(&chunk.bytes)?;
        }
        self.count(first.first_ms, last.last_ms, chunks);
        if usize::try_from(self.directory.summary.series).unwrap_or(0).is_multiple_of(SERIES_PER_PAGE) {
            self.end_series_page()?;
        }
        Ok(())
    }

    fn count(&mut self, first_ms: i64, last_ms: i64, chunks: &[Chunk]) {
        let summary = &mut self.directory.summary;
        let is_first = summary.series == 0;
        summary.first_ms = if is_first { first_ms } else { summary.first_ms.min(first_ms) };
        summary.last_ms = if is_first { last_ms } else { summary.last_ms.max(last_ms) };
        summary.series += 1;
        summary.chunks += chunks.len() as u64;
        summary.samples += chunks.iter().map(|chunk| u64::from(chunk.count)).sum::<u64>();
    }

    /// Writes the index, and makes the block count, under its final name.
    pub(in crate::tsdb) fn finish(
        mut self,
        path: &Path,
        (from_ms, until_ms): (i64, i64),
        replaces: Vec<u64>,
    ) -> Result<(), DatabaseError> {
        if !self.page.is_empty() {
            self.end_series_page()?;
        }
        self.put_texts()?;
        self.put_names()?;
        let summary = &mut self.directory.summary;
        (summary.from_ms, summary.until_ms, summary.replaces) = (from_ms, until_ms, replaces);
        let directory = self.put_page(&self.directory.to_bytes())?;
        let place = [directory.offset.to_le_bytes(), u64::from(directory.length).to_le_bytes()].concat();
        self.buffer.extend_from_slice(&place);
        self.buffer.extend_from_slice(&crc32c::crc32c(&place).to_le_bytes());
        self.buffer.extend_from_slice(&END);
        self.write_buffer()?;
        self.disk.sync(&self.file, &self.temporary)?;
        self.disk.rename(&self.temporary, path)?;
        self.disk.sync_folder(path.parent().unwrap_or(path))
    }

    fn end_series_page(&mut self) -> Result<(), DatabaseError> {
        let page = std::mem::take(&mut self.page);
        let extent = self.put_page(&page)?;
        self.directory.series.push(extent);
        Ok(())
    }

    fn put_texts(&mut self) -> Result<(), DatabaseError> {
        let sorted = std::mem::take(&mut self.texts.sorted);
        for texts in sorted.chunks(TEXTS_PER_PAGE) {
            let mut page = Vec::new();
            for text in texts {
                put_bytes(&mut page, text.as_bytes());
            }
            let extent = self.put_page(&page)?;
            self.directory.texts.push(extent);
        }
        self.texts.sorted = sorted;
        Ok(())
    }

    /// Writes which series have which values. Texts are numbered in their order, so that names and values come sorted.
    fn put_names(&mut self) -> Result<(), DatabaseError> {
        let mut listed: Vec<(u32, Vec<(u32, Extent)>)> = Vec::new();
        for ((name, value), ids) in std::mem::take(&mut self.postings) {
            let mut page = Vec::new();
            put_number(&mut page, ids.len() as u64);
            let mut before = 0;
            for id in ids {
                put_number(&mut page, u64::from(id - before));
                before = id;
            }
            let extent = self.put_page(&page)?;
            match listed.last_mut() {
                Some((last, values)) if *last == name => values.push((value, extent)),
                Some(_) | None => listed.push((name, vec![(value, extent)])),
            }
        }
        for (name, values) in listed {
            let mut pages = Vec::new();
            for some in values.chunks(VALUES_PER_PAGE) {
                let mut page = Vec::new();
                for (value, extent) in some {
                    put_bytes(&mut page, self.text(*value).as_bytes());
                    extent.put(&mut page);
                }
                let first = some.first().map(|(value, _)| self.text(*value)).unwrap_or_default();
                pages.push((first, self.put_page(&page)?));
            }
            let text = self.text(name);
            self.directory.names.push(Name { text, value_count: values.len(), pages });
        }
        Ok(())
    }

    fn text(&self, place: u32) -> Arc<str> {
        usize::try_from(place).ok().and_then(|place| self.texts.sorted.get(place)).cloned().unwrap_or_default()
    }

    /// Adds a page with its checksum.
    fn put_page(&mut self, content: &[u8]) -> Result<Extent, DatabaseError> {
        let offset = self.offset + self.buffer.len() as u64;
        let length = u32::try_from(content.len()).map_err(|_| DatabaseError::Io {
            doing: "write a page of more than 4 GiB to",
            path: self.temporary.clone(),
            source: std::io::ErrorKind::FileTooLarge.into(),
        })?;
        self.buffer.extend_from_slice(content);
        self.buffer.extend_from_slice(&crc32c::crc32c(content).to_le_bytes());
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_buffer()?;
        }
        Ok(Extent { offset, length })
    }

    fn write_buffer(&mut self) -> Result<(), DatabaseError> {
        self.disk.write(&self.file, &self.temporary, &self.buffer)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
