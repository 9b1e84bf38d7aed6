//! Records in files of the log: framed so that one that was not written to its end, or was changed since, is noticed, and so
//! that the next one after it can be found.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | `f0 50 57 0a` |
//! | 4 | how many bytes the record has, the lowest first |
//! | 4 | CRC-32C (RFC 3720, appendix B.4) of those four bytes and of the record, the lowest first |
//! | | the record |
//!
//! A file begins with six letters that say what it is, and with its format's number in two bytes, the lowest first.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::tsdb::error::DatabaseError;

/// How every record begins.
const MARK: [u8; 4] = [0xf0, b'P', b'W', b'\n'];
/// Mark, length and checksum.
const FRAME_BYTES: usize = 12;
/// The first bytes of a file.
pub(in crate::tsdb) const HEADER_BYTES: u64 = 8;
/// The format that is written. Format 1 has no histograms.
pub(in crate::tsdb) const FORMAT: u16 = 2;
/// The longest record: a bound on what is read into memory at once.
pub(in crate::tsdb) const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How much is searched at a time for the next record.
const SEARCH_BYTES: usize = 64 * 1024;

/// What a file is, by its first six letters.
pub(in crate::tsdb) const SEGMENT: [u8; 6] = *b"PGWAL\n";
/// The same of a checkpoint.
pub(in crate::tsdb) const CHECKPOINT: [u8; 6] = *b"PGCKP\n";

/// The first bytes of a file of the log.
pub(in crate::tsdb) fn header(letters: [u8; 6]) -> Vec<u8> {
    [&letters[..], &FORMAT.to_le_bytes()].concat()
}

/// True if a file of the log has the format that is written, so that records may be added to it.
pub(in crate::tsdb) fn is_latest_format(path: &Path, letters: [u8; 6]) -> Result<bool, DatabaseError> {
    let file = File::open(path).map_err(DatabaseError::io("open", path))?;
    let header = header(letters);
    let mut found = vec![0; header.len()];
    match file.read_exact_at(&mut found, 0) {
        Ok(()) => Ok(found == header),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(DatabaseError::io("read", path)(error)),
    }
}

/// Adds a record, which `write` appends to the bytes before it.
pub(in crate::tsdb) fn put(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; 8]);
    write(out);
    let length = u32::try_from(out.len() - begin - FRAME_BYTES).unwrap_or(u32::MAX).to_le_bytes();
    let record = out.get(begin + FRAME_BYTES..).unwrap_or_default();
    let sum = crc32c::crc32c_append(crc32c::crc32c(&length), record).to_le_bytes();
    let blank = out.iter_mut().skip(begin + MARK.len());
    blank.zip(length.iter().chain(&sum)).for_each(|(to, from)| *to = *from);
}

/// What comes next in a file.
pub(in crate::tsdb) enum Next<'a> {
    Record {
        offset: u64,
        record: &'a [u8],
    },
    End,
    /// No intact record begins here.
    Broken {
        offset: u64,
        reason: &'static str,
    },
}

/// The records of a file, one after the other.
pub(in crate::tsdb) struct Frames {
    file: File,
    path: PathBuf,
    length: u64,
    offset: u64,
    record: Vec<u8>,
}

impl Frames {
    /// Opens a file of the log. `None` if it is too short to say what it is.
    pub(in crate::tsdb) fn open(path: &Path, letters: [u8; 6]) -> Result<Option<Self>, DatabaseError> {
        let file = File::open(path).map_err(DatabaseError::io("open", path))?;
        let length = file.metadata().map_err(DatabaseError::io("read", path))?.len();
        if length < HEADER_BYTES {
            return Ok(None);
        }
        let mut header = [0; 8];
        file.read_exact_at(&mut header, 0).map_err(DatabaseError::io("read", path))?;
        let [found @ .., low, high] = header;
        if found != letters {
            let reason = "it does not begin as such a file does";
            return Err(DatabaseError::Damaged { path: path.to_owned(), offset: 0, reason });
        }
        match u16::from_le_bytes([low, high]) {
            1..=FORMAT => {}
            0 => {
                let reason = "there is no format 0";
                return Err(DatabaseError::Damaged { path: path.to_owned(), offset: 6, reason });
            }
            found => return Err(DatabaseError::NewerFormat { path: path.to_owned(), found, known: FORMAT }),
        }
        Ok(Some(Self { file, path: path.to_owned(), length, offset: HEADER_BYTES, record: Vec::new() }))
    }

    pub(in crate::tsdb) fn length(&self) -> u64 {
        self.length
    }

    /// The next record.
    pub(in crate::tsdb) fn next(&mut self) -> Result<Next<'_>, DatabaseError> {
        let offset = self.offset;
        if offset == self.length {
            return Ok(Next::End);
        }
        match self.read(offset)? {
            Ok(()) => {
                self.offset += (FRAME_BYTES + self.record.len()) as u64;
                Ok(Next::Record { offset, record: &self.record })
            }
            Err(reason) => Ok(Next::Broken { offset, reason }),
        }
    }

    /// Reads what is at an offset, or says why that is no record.
    fn read(&mut self, offset: u64) -> Result<Result<(), &'static str>, DatabaseError> {
        let left = self.length - offset;
        if left < FRAME_BYTES as u64 {
            return Ok(Err("a record ends early"));
        }
        let mut frame = [0; FRAME_BYTES];
        self.read_at(&mut frame, offset)?;
        let [a, b, c, d, l0, l1, l2, l3, s0, s1, s2, s3] = frame;
        if [a, b, c, d] != MARK {
            return Ok(Err("no record begins here"));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if bytes > RECORD_BYTES_MAX {
            return Ok(Err("a record says that it is longer than any is"));
        }
        if u64::from(length) > left - FRAME_BYTES as u64 {
            return Ok(Err("a record ends early"));
        }
        let mut record = std::mem::take(&mut self.record);
        record.resize(bytes, 0);
        self.read_at(&mut record, offset + FRAME_BYTES as u64)?;
        self.record = record;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&[l0, l1, l2, l3]), &self.record);
        if sum != u32::from_le_bytes([s0, s1, s2, s3]) {
            return Ok(Err("a record does not match its checksum"));
        }
        Ok(Ok(()))
    }

    /// Goes on at the first intact record behind the broken one; false if there is none.
    pub(in crate::tsdb) fn skip_broken(&mut self) -> Result<bool, DatabaseError> {
        let mut from = self.offset + 1;
        let mut window = vec![0; SEARCH_BYTES];
        while from < self.length {
            let count = usize::try_from(self.length - from).unwrap_or(SEARCH_BYTES).min(SEARCH_BYTES);
            window.truncate(count);
            self.read_at(&mut window, from)?;
            for (at, bytes) in window.windows(MARK.len()).enumerate() {
                let offset = from + at as u64;
                if bytes == MARK && self.read(offset)?.is_ok() {
                    self.offset = offset;
                    return Ok(true);
                }
            }
            if count < SEARCH_BYTES {
                break;
            }
            // A mark may lie across the end of the window.
            from += (SEARCH_BYTES - MARK.len() + 1) as u64;
        }
        Ok(false)
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), DatabaseError> {
        self.file.read_exact_at(bytes, offset).map_err(DatabaseError::io("read", &self.path))
    }
}
