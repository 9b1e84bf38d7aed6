//! The log of one target: numbered files of whole lines, the oldest removed when there are too many bytes.
//!
//! Readers hold a [`Cursor`] and no lock: a segment only grows until the next one begins, and a reader whose segment is
//! gone goes on at the oldest one.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::line::LogLine;
use crate::files::private_dir;

/// The bytes kept are spread over this many files: the most that is lost at a time is one part.
const SEGMENTS: u64 = 4;
/// Read at once by a reader.
const CHUNK_BYTES: usize = 64 * 1024;

/// Appends to a target's log.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    file: File,
    number: u64,
    size: u64,
    segment_bytes_max: u64,
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:012}.log"))
}

/// The numbers of the segments that exist, oldest first.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let number = |name: &str| name.strip_suffix(".log")?.parse().ok();
    let mut found: Vec<u64> = entries.flatten().filter_map(|entry| number(entry.file_name().to_str()?)).collect();
    found.sort_unstable();
    Ok(found)
}

impl Segments {
    /// Goes on where the last writer stopped, after ending a line that it left torn.
    pub(crate) fn open(dir: &Path, bytes_max: u64) -> io::Result<Self> {
        private_dir(dir)?;
        let number = numbers(dir)?.pop().unwrap_or(1);
        let mut file = begin(dir, number)?;
        let mut size = file.metadata()?.len();
        let mut last = [b'\n'];
        if size > 0 {
            file.read_exact_at(&mut last, size - 1)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
            size += 1;
        }
        Ok(Self { dir: dir.to_owned(), file, number, size, segment_bytes_max: (bytes_max / SEGMENTS).max(1) })
    }

    /// Appends whole lines.
    pub(crate) fn append(&mut self, lines: &str) -> io::Result<()> {
        if self.size > 0 && self.size + lines.len() as u64 > self.segment_bytes_max {
            self.file = begin(&self.dir, self.number + 1)?;
            self.number += 1;
            self.size = 0;
            self.remove_old()?;
        }
        self.file.write_all(lines.as_bytes())?;
        self.size += lines.len() as u64;
        Ok(())
    }

    fn remove_old(&mut self) -> io::Result<()> {
        for number in numbers(&self.dir)? {
            if number.saturating_add(SEGMENTS) <= self.number {
                fs::remove_file(path(&self.dir, number))?;
            }
        }
        Ok(())
    }
}

fn begin(dir: &Path, number: u64) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path(dir, number))
}

/// Where a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cursor {
    segment: u64,
    offset: u64,
}

/// Reads a target's log forward. Touches the disk.
#[derive(Debug)]
pub(crate) struct Reader {
    dir: PathBuf,
    at: Cursor,
    /// The segment being read: stays readable also when it is removed.
    file: Option<File>,
}

impl Reader {
    /// Reads from `at`; the default is the oldest line.
    pub(crate) fn new(dir: &Path, at: Cursor) -> Self {
        Self { dir: dir.to_owned(), at, file: None }
    }

    /// Where the reader is.
    pub(crate) fn cursor(&self) -> Cursor {
        self.at
    }

    /// The next lines, each with the position after it; none when there are no more for now. A line that can't be read
    /// is passed over.
    pub(crate) fn next(&mut self) -> io::Result<Vec<(Cursor, LogLine)>> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            self.open()?;
            let Some(file) = &self.file else { return Ok(Vec::new()) };
            let length = file.read_at(&mut buffer, self.at.offset)?;
            let chunk = buffer.get(..length).unwrap_or_default();
            let whole = chunk.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            if whole == 0 {
                // A segment that is not the last one never grows: what is left of it is torn.
                if !self.advance()? {
                    return Ok(Vec::new());
                }
                continue;
            }
            let mut lines = Vec::new();
            for text in chunk.get(..whole).unwrap_or_default().split_inclusive(|byte| *byte == b'\n') {
                self.at.offset += text.len() as u64;
                let text = String::from_utf8_lossy(text);
                lines.extend(LogLine::parse(text.trim_end_matches('\n')).map(|line| (self.at, line)));
            }
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
    }

    /// Opens the segment to read, unless one is open or there is none yet.
    fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let Some(number) = numbers(&self.dir)?.into_iter().find(|number| *number >= self.at.segment) else {
            return Ok(());
        };
        if number > self.at.segment {
            self.at = Cursor { segment: number, offset: 0 };
        }
        match File::open(path(&self.dir, number)) {
            Ok(file) => self.file = Some(file),
            // Removed in between: the log moves on faster than it is read, the next call finds a younger one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Goes to the next segment, if there is one and nothing was added to this one before it began.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(next) = numbers(&self.dir)?.into_iter().find(|number| *number > self.at.segment) else {
            return Ok(false);
        };
        let size = self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|meta| meta.len()))?;
        let mut tail = vec![0; CHUNK_BYTES];
        let length = match &self.file {
            Some(file) if size > self.at.offset => file.read_at(&mut tail, self.at.offset)?,
            Some(_) | None => 0,
        };
        if !tail.get(..length).unwrap_or_default().contains(&b'\n') {
            self.at = Cursor { segment: next, offset: 0 };
            self.file = None;
        }
        Ok(true)
    }

    /// The end of what is there now.
    pub(crate) fn end(dir: &Path) -> io::Result<Cursor> {
        let Some(segment) = numbers(dir)?.pop() else { return Ok(Cursor::default()) };
        match fs::metadata(path(dir, segment)) {
            Ok(meta) => Ok(Cursor { segment, offset: meta.len() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Cursor { segment, offset: 0 }),
            Err(error) => Err(error),
        }
    }

    /// Where the last `count` lines before `end` begin, of those that are `wanted`.
    pub(crate) fn tail(dir: &Path, end: Cursor, count: usize, wanted: impl Fn(&LogLine) -> bool) -> io::Result<Cursor> {
        let mut reader = Self::new(dir, Cursor::default());
        let mut starts = VecDeque::new();
        let mut start = Cursor::default();
        loop {
            let lines = reader.next()?;
            if lines.is_empty() || count == 0 {
                return Ok(starts.front().copied().unwrap_or(end));
            }
            for (after, line) in lines {
                if after > end {
                    return Ok(starts.front().copied().unwrap_or(end));
                }
                if wanted(&line) {
                    starts.push_back(start);
                    if starts.len() > count {
                        starts.pop_front();
                    }
                }
                start = after;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::line::LogStream;

    fn line(text: &str, revision: char) -> LogLine {
        let revision = revision.to_string().repeat(32).parse().unwrap();
        let at = jiff::Timestamp::UNIX_EPOCH;
        LogLine { at, replica: "pad-1".into(), revision, stream: LogStream::Stdout, line: text.into() }
    }

    fn append(segments: &mut Segments, texts: std::ops::Range<usize>) {
        for n in texts {
            segments.append(&format!("{}\n", line(&format!("{n:010}"), if n % 2 == 0 { 'a' } else { 'b' }))).unwrap();
        }
    }

    fn rest(reader: &mut Reader) -> Vec<usize> {
        let mut all = Vec::new();
        loop {
            let lines = reader.next().unwrap();
            if lines.is_empty() {
                return all;
            }
            all.extend(lines.into_iter().map(|(_, line)| line.line.parse::<usize>().unwrap()));
        }
    }

    #[test]
    fn a_reader_follows_over_segments_and_restarts_without_loss() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path(), 4 * 5000).unwrap();
        let mut reader = Reader::new(dir.path(), Cursor::default());
        let mut seen = Vec::new();
        for n in 0..300 {
            append(&mut segments, n..n + 1);
            if n % 7 == 0 {
                seen.extend(rest(&mut reader));
            }
            if n % 50 == 49 {
                segments = Segments::open(dir.path(), 4 * 5000).unwrap();
            }
        }
        seen.extend(rest(&mut reader));
        assert_eq!(seen, (0..300).collect::<Vec<_>>());
    }

    #[test]
    fn bytes_are_bounded_and_a_reader_left_behind_goes_on_at_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path(), 4000).unwrap();
        append(&mut segments, 0..1);
        let mut reader = Reader::new(dir.path(), Cursor::default());
        assert_eq!(rest(&mut reader), [0]);
        append(&mut segments, 1..1000);
        let kept: u64 = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert!(kept <= 4000, "{kept}");
        let seen = rest(&mut reader);
        assert_eq!(*seen.last().unwrap(), 999);
        assert!(seen.len() > 20 && seen.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count() <= 1, "{seen:?}");
    }

    #[test]
    fn the_tail_counts_only_lines_that_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Reader::end(dir.path()).unwrap(), Cursor::default());
        let mut segments = Segments::open(dir.path(), 1 << 20).unwrap();
        append(&mut segments, 0..100);
        let end = Reader::end(dir.path()).unwrap();
        let tail = |count| {
            let start = Reader::tail(dir.path(), end, count, |line| line.revision.as_str().starts_with('a')).unwrap();
            rest(&mut Reader::new(dir.path(), start)).into_iter().filter(|n| n % 2 == 0).collect::<Vec<_>>()
        };
        assert_eq!(tail(3), [94, 96, 98]);
        assert_eq!(tail(1000).len(), 50);
        assert_eq!(tail(0), [0; 0]);
        append(&mut segments, 100..102);
        let start = Reader::tail(dir.path(), end, 1, |_| true).unwrap();
        assert_eq!(rest(&mut Reader::new(dir.path(), start)), [99, 100, 101], "counted before the end that was given");
    }

    #[test]
    fn torn_and_foreign_content_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut segments = Segments::open(dir.path(), 1 << 20).unwrap();
        append(&mut segments, 0..1);
        segments.append("garbage\n\u{0}\n2026").unwrap();
        let mut segments = Segments::open(dir.path(), 1 << 20).unwrap();
        fs::write(dir.path().join("note.log"), "x").unwrap();
        append(&mut segments, 1..2);
        assert_eq!(rest(&mut Reader::new(dir.path(), Cursor::default())), [0, 1]);
    }
}
