//! The file that a process writes its output to, read behind it.
//!
//! The process has the file open for appending, so it outlives this server and needs no reader. What has been read is
//! given back to the disk by punching a hole: unlike cutting the file, that can't lose what is written meanwhile. Where
//! the file system can't, the file is cut once it has been read to its end.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use super::line::LINE_BYTES_MAX;

/// Read at once.
const CHUNK_BYTES: usize = 256 * 1024;
/// Read before the next replica gets its turn.
const TURN_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Given back to the disk at once.
const HOLE_BYTES_MIN: u64 = 1024 * 1024;

/// One output of one replica.
#[derive(Debug)]
pub(crate) struct Spool {
    file: File,
    /// Where reading goes on, kept in a file beside it.
    mark: File,
    offset: u64,
    marked: u64,
    punched: u64,
    /// More unread than this is skipped.
    backlog_bytes_max: u64,
}

/// A file for a process to append its output to.
pub(crate) fn writer(dir: &Path, name: &str) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path(dir, name))
}

fn path(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

impl Spool {
    /// Goes on reading `name` in `dir` where the last reader stopped.
    pub(crate) fn open(dir: &Path, name: &str, backlog_bytes_max: u64) -> io::Result<Self> {
        let open = |path: PathBuf| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
        };
        let (file, mark) = (open(path(dir, name))?, open(dir.join(format!("{name}.offset")))?);
        let mut bytes = [0; 8];
        // A mark that is not whole is that of a file not read yet.
        let offset = mark.read_exact_at(&mut bytes, 0).map_or(0, |()| u64::from_le_bytes(bytes));
        Ok(Self { file, mark, offset, marked: offset, punched: 0, backlog_bytes_max })
    }

    /// Reads whole lines, or with `ended` also the last one without an end. Returns whether more is waiting.
    pub(crate) fn read(&mut self, ended: bool, mut line: impl FnMut(&str)) -> io::Result<bool> {
        let size = self.file.metadata()?.size();
        if size < self.offset {
            // The process cut its own output.
            self.offset = 0;
            self.punched = 0;
        }
        if size - self.offset > self.backlog_bytes_max {
            let skipped = size - self.offset;
            self.offset = size;
            line(&format!("[{skipped} bytes of output were skipped: written faster than they can be kept]"));
        }
        let turn_end = size.min(self.offset.saturating_add(TURN_BYTES_MAX));
        let mut buffer = vec![0; CHUNK_BYTES.min(usize::try_from(turn_end - self.offset).unwrap_or(CHUNK_BYTES))];
        while self.offset < turn_end {
            let length = self.file.read_at(&mut buffer, self.offset)?;
            let chunk = buffer.get(..length).unwrap_or_default();
            let at_end = self.offset + length as u64 >= size;
            let taken = lines(chunk, ended && at_end, &mut line);
            if taken == 0 {
                break;
            }
            self.offset += taken as u64;
        }
        self.give_back(size)?;
        if self.offset != self.marked {
            self.mark.write_all_at(&self.offset.to_le_bytes(), 0)?;
            self.marked = self.offset;
        }
        Ok(self.offset < size && turn_end < size)
    }

    fn give_back(&mut self, size: u64) -> io::Result<()> {
        if self.offset - self.punched < HOLE_BYTES_MIN {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, 0, self.offset) {
            Ok(()) => self.punched = self.offset,
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) if self.offset == size => {
                self.file.set_len(0)?;
                self.offset = 0;
            }
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Hands out the lines of `chunk` and returns how many bytes they were. An unfinished line is handed out when it is too
/// long to wait for its end, or when nothing more will come.
fn lines(chunk: &[u8], ended: bool, line: &mut impl FnMut(&str)) -> usize {
    let mut taken = 0;
    let mut hand_out = |bytes: &[u8], end: usize| {
        let text = bytes.strip_suffix(b"\r").filter(|_| end > 0).unwrap_or(bytes);
        line(&String::from_utf8_lossy(text));
        taken += bytes.len() + end;
    };
    let mut rest = chunk;
    while !rest.is_empty() {
        let window = rest.get(..=LINE_BYTES_MAX).unwrap_or(rest);
        if let Some(length) = window.iter().position(|byte| *byte == b'\n') {
            let (bytes, tail) = rest.split_at(length);
            hand_out(bytes, 1);
            rest = tail.get(1..).unwrap_or_default();
        } else if rest.len() > LINE_BYTES_MAX {
            let (bytes, tail) = rest.split_at(piece(rest));
            hand_out(bytes, 0);
            rest = tail;
        } else {
            if ended {
                hand_out(rest, 0);
            }
            break;
        }
    }
    taken
}

/// How much of a line that is too long makes its next piece: not within a UTF-8 character.
fn piece(bytes: &[u8]) -> usize {
    let is_start = |at: usize| bytes.get(at).is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000);
    (LINE_BYTES_MAX - 3..=LINE_BYTES_MAX).rev().find(|at| is_start(*at)).unwrap_or(LINE_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(spool: &mut Spool, ended: bool) -> Vec<String> {
        let mut lines = Vec::new();
        while spool.read(ended, |line| lines.push(line.to_owned())).unwrap() {}
        lines
    }

    #[test]
    fn lines_are_read_once_whole_and_over_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = writer(dir.path(), "stdout").unwrap();
        let mut spool = Spool::open(dir.path(), "stdout", 1 << 20).unwrap();
        output.write_all(b"one\ntwo\r\n\nhal").unwrap();
        assert_eq!(read(&mut spool, false), ["one", "two", ""]);
        output.write_all(b"f\nbad \xff\nlast").unwrap();
        let mut spool = Spool::open(dir.path(), "stdout", 1 << 20).unwrap();
        assert_eq!(read(&mut spool, false), ["half", "bad \u{fffd}"]);
        assert_eq!(read(&mut spool, true), ["last"]);
        assert_eq!(read(&mut spool, true), [""; 0]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_split_no_character() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = writer(dir.path(), "stdout").unwrap();
        let text = format!("x{}", "é".repeat(20_000));
        writeln!(output, "{text}").unwrap();
        let mut spool = Spool::open(dir.path(), "stdout", 1 << 20).unwrap();
        let pieces = read(&mut spool, false);
        assert!(pieces.len() == 3 && pieces.iter().all(|piece| piece.len() <= LINE_BYTES_MAX));
        assert_eq!(pieces.concat(), text);
    }

    #[test]
    fn what_was_read_is_given_back_and_a_flood_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = writer(dir.path(), "stdout").unwrap();
        let mut spool = Spool::open(dir.path(), "stdout", 8 << 20).unwrap();
        let block = "0123456789abcde\n".repeat(1 << 16);
        for _ in 0..6 {
            output.write_all(block.as_bytes()).unwrap();
        }
        assert_eq!(read(&mut spool, false).len(), 6 << 16);
        assert!(output.metadata().unwrap().blocks() * 512 < 2 << 20, "the disk has it back");
        for _ in 0..9 {
            output.write_all(block.as_bytes()).unwrap();
        }
        output.write_all(b"after\n").unwrap();
        let lines = read(&mut spool, false);
        assert!(lines.len() == 1 && lines[0].contains("bytes of output were skipped"), "{}", lines.len());
        output.write_all(b"again\n").unwrap();
        assert_eq!(read(&mut spool, false), ["again"]);
    }

    #[test]
    fn an_output_cut_by_its_process_is_read_from_its_start() {
        let dir = tempfile::tempdir().unwrap();
        let mut output = writer(dir.path(), "stdout").unwrap();
        let mut spool = Spool::open(dir.path(), "stdout", 1 << 20).unwrap();
        output.write_all(b"long enough\n").unwrap();
        assert_eq!(read(&mut spool, false).len(), 1);
        output.set_len(0).unwrap();
        output.write_all(b"new\n").unwrap();
        assert_eq!(read(&mut spool, false), ["new"]);
        std::fs::write(dir.path().join("stdout.offset"), u64::MAX.to_le_bytes()).unwrap();
        output.write_all(b"x\n").unwrap();
        let mut hostile = Spool::open(dir.path(), "stdout", 1 << 20).unwrap();
        assert_eq!(read(&mut hostile, false), ["new", "x"], "a mark beyond the end starts anew");
    }
}
