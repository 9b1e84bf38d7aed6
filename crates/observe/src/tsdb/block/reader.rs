//! A block's file, and the pages in it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::{Directory, Extent, Summary};
use super::{END, FOOTER_BYTES, FORMAT, HEADER_BYTES, LETTERS, SUM_BYTES};
use crate::tsdb::codec::Reader;
use crate::tsdb::error::DatabaseError;

/// A block, open for reading.
#[derive(Debug)]
pub(in crate::tsdb) struct Block {
    number: u64,
    path: PathBuf,
    file: File,
    length: u64,
    pub(super) directory: Directory,
}

impl Block {
    /// Opens a block and reads where everything is.
    pub(in crate::tsdb) fn open(number: u64, path: &Path) -> Result<Self, DatabaseError> {
        let file = File::open(path).map_err(DatabaseError::io("open", path))?;
        let length = file.metadata().map_err(DatabaseError::io("read", path))?.len();
        let mut this = Self { number, path: path.to_owned(), file, length, directory: Directory::default() };
        if length < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            return Err(this.damaged(0, "it is shorter than any block"));
        }
        this.check_header()?;
        let place = this.read_footer()?;
        let bytes = this.page(place)?;
        this.directory =
            Directory::read(&bytes).ok_or_else(|| this.damaged(place.offset, "the directory can't be read"))?;
        Ok(this)
    }

    fn check_header(&self) -> Result<(), DatabaseError> {
        let mut header = [0; HEADER_BYTES];
        self.read_at(&mut header, 0)?;
        let [letters @ .., low, high] = header;
        if letters != LETTERS {
            return Err(self.damaged(0, "it does not begin as a block does"));
        }
        match u16::from_le_bytes([low, high]) {
            1..=FORMAT => Ok(()),
            0 => Err(self.damaged(6, "there is no format 0")),
            found => Err(DatabaseError::NewerFormat { path: self.path.clone(), found, known: FORMAT }),
        }
    }

    /// Where the directory is.
    fn read_footer(&self) -> Result<Extent, DatabaseError> {
        let offset = self.length - FOOTER_BYTES as u64;
        let mut footer = [0; FOOTER_BYTES];
        self.read_at(&mut footer, offset)?;
        let (place, rest) = footer.split_at(16);
        let mut rest = Reader::new(rest);
        if rest.u32() != Some(crc32c::crc32c(place)) || rest.array() != Some(END) {
            return Err(self.damaged(offset, "it does not end as a block does"));
        }
        let mut place = Reader::new(place);
        let (directory, length) = (place.u64(), place.u64().and_then(|length| u32::try_from(length).ok()));
        let extent = directory.zip(length).map(|(offset, length)| Extent { offset, length });
        extent.ok_or_else(|| self.damaged(offset, "it does not say where its directory is"))
    }

    pub(in crate::tsdb) fn number(&self) -> u64 {
        self.number
    }

    pub(in crate::tsdb) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::tsdb) fn length(&self) -> u64 {
        self.length
    }

    pub(in crate::tsdb) fn summary(&self) -> &Summary {
        &self.directory.summary
    }

    /// True if it has samples in a time.
    pub(in crate::tsdb) fn overlaps(&self, from_ms: i64, to_ms: i64) -> bool {
        self.summary().first_ms <= to_ms && self.summary().last_ms >= from_ms
    }

    /// A page's content, whose checksum holds.
    pub(super) fn page(&self, extent: Extent) -> Result<Vec<u8>, DatabaseError> {
        let mut bytes = self.bytes(extent.offset, u64::from(extent.length) + SUM_BYTES as u64)?;
        let content = self.checked(extent.offset, &bytes)?.len();
        bytes.truncate(content);
        Ok(bytes)
    }

    /// Bytes of the file. What lies past its end is never given room.
    pub(super) fn bytes(&self, offset: u64, length: u64) -> Result<Vec<u8>, DatabaseError> {
        let fits = offset.checked_add(length).is_some_and(|end| end <= self.length);
        let Some(length) = usize::try_from(length).ok().filter(|_| fits) else {
            return Err(self.damaged(offset, "it says that there is something past its end"));
        };
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    /// The content of a page with its checksum.
    pub(super) fn checked<'a>(&self, offset: u64, page: &'a [u8]) -> Result<&'a [u8], DatabaseError> {
        match page.split_last_chunk::<SUM_BYTES>() {
            Some((content, sum)) if crc32c::crc32c(content) == u32::from_le_bytes(*sum) => Ok(content),
            Some(_) | None => Err(self.damaged(offset, "a page does not match its checksum")),
        }
    }

    pub(super) fn damaged(&self, offset: u64, reason: &'static str) -> DatabaseError {
        DatabaseError::Damaged { path: self.path.clone(), offset, reason }
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DatabaseError> {
        self.file.read_exact_at(bytes, offset).map_err(DatabaseError::io("read", &self.path))
    }

    /// All texts, sorted.
    pub(in crate::tsdb) fn texts(&self) -> Result<Vec<Arc<str>>, DatabaseError> {
        let mut all = Vec::new();
        for page in &self.directory.texts {
            all.extend(self.text_page(*page)?);
        }
        Ok(all)
    }

    /// The texts of a page.
    pub(super) fn text_page(&self, extent: Extent) -> Result<Vec<Arc<str>>, DatabaseError> {
        let bytes = self.page(extent)?;
        let mut reader = Reader::new(&bytes);
        let mut texts = Vec::new();
        while !reader.is_empty() {
            let text = reader.text().ok_or_else(|| self.damaged(extent.offset, "a text can't be read"))?;
            texts.push(text.into());
        }
        Ok(texts)
    }
}
