//! A step's log: a plain file, one line after an RFC 3339 time each, written as the lines arrive.
//!
//! Invariant: what is masked never reaches the file, and the file never grows past its limit.

use std::collections::VecDeque;
use std::path::Path;

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use super::Clock;
use super::commands::{Command, Commands};
use super::masks::{Masks, STARS};

/// The longest line that is kept, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// How many of the last lines are remembered for the report of a failure.
const TAIL_LINES: usize = 50;

/// The longest of them, in characters.
const TAIL_CHARS_MAX: usize = 2000;

/// The most outputs that a step may set by command.
const OUTPUTS_MAX: usize = 1000;

/// The log of one step.
pub(crate) struct StepLog {
    file: File,
    clock: Clock,
    masks: Masks,
    commands: Commands,
    line: Vec<u8>,
    line_cut: bool,
    bytes_left: u64,
    bytes_max: u64,
    is_full: bool,
    tail: VecDeque<String>,
    /// What `::set-output` set.
    pub(crate) outputs: Vec<(String, String)>,
    /// A command that GitHub turned off, used all the same: the step fails.
    pub(crate) disabled: Option<String>,
}

impl StepLog {
    /// Makes the file.
    pub(crate) async fn create(path: &Path, bytes_max: u64, clock: Clock, masks: Masks) -> std::io::Result<Self> {
        Ok(Self {
            file: File::create(path).await?,
            clock,
            masks,
            commands: Commands::default(),
            line: Vec::new(),
            line_cut: false,
            bytes_left: bytes_max,
            bytes_max,
            is_full: false,
            tail: VecDeque::new(),
            outputs: Vec::new(),
            disabled: None,
        })
    }

    /// Takes output as it comes; whole lines are written, the rest waits for its end.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut ready = String::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.push(line);
            self.end_line(&mut ready);
            rest = after.get(1..).unwrap_or_default();
        }
        self.push(rest);
        self.flush(&ready).await
    }

    /// Ends the line that was begun.
    pub(crate) async fn finish(&mut self) -> std::io::Result<()> {
        let mut ready = String::new();
        if !self.line.is_empty() {
            self.end_line(&mut ready);
        }
        self.flush(&ready).await
    }

    /// Writes a line of our own.
    pub(crate) async fn say(&mut self, text: &str) -> std::io::Result<()> {
        self.finish().await?;
        self.write(format!("{text}\n").as_bytes()).await
    }

    /// The last lines, as they were written.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.line_cut |= bytes.len() > room;
    }

    fn end_line(&mut self, ready: &mut String) {
        let bytes = std::mem::take(&mut self.line);
        let cut = std::mem::take(&mut self.line_cut);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.strip_suffix('\r').unwrap_or(&text);
        let shown = match self.commands.read(text) {
            Some(Command::AddMask(secret)) => {
                self.masks.add(&secret);
                format!("::add-mask::{STARS}")
            }
            Some(Command::SetOutput { name, value }) => {
                if self.outputs.len() < OUTPUTS_MAX {
                    self.outputs.push((name, value));
                }
                self.masks.hide(text)
            }
            Some(Command::Disabled(name)) => {
                self.disabled.get_or_insert(name);
                self.masks.hide(text)
            }
            Some(Command::Stop(_) | Command::Resume | Command::Shown) | None if cut => {
                format!("{} [the rest of the line is cut]", self.masks.hide_cut(text))
            }
            Some(Command::Stop(_) | Command::Resume | Command::Shown) | None => self.masks.hide(text),
        };
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(shown.chars().take(TAIL_CHARS_MAX).collect());
        self.append(&shown, ready);
    }

    fn append(&mut self, text: &str, ready: &mut String) {
        if self.is_full {
            return;
        }
        let line = format!("{:.3} {text}\n", (self.clock)());
        let length = line.len() as u64;
        if length > self.bytes_left {
            self.is_full = true;
            let last = format!("the rest is cut: the log has reached {} bytes", self.bytes_max);
            ready.extend([format!("{:.3} {last}\n", (self.clock)())]);
        } else {
            self.bytes_left -= length;
            ready.push_str(&line);
        }
    }

    async fn flush(&mut self, ready: &str) -> std::io::Result<()> {
        if !ready.is_empty() {
            self.file.write_all(ready.as_bytes()).await?;
            self.file.flush().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    async fn written(bytes_max: u64, chunks: &[&[u8]]) -> (String, StepLog) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let clock: Clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
        let mut log = StepLog::create(&path, bytes_max, clock, Masks::default()).await.unwrap();
        for chunk in chunks {
            log.write(chunk).await.unwrap();
        }
        log.finish().await.unwrap();
        (std::fs::read_to_string(&path).unwrap().replace("1970-01-01T00:00:00.000Z ", "T "), log)
    }

    #[tokio::test]
    async fn lines_are_put_together_and_stamped() {
        let (text, log) = written(1000, &[b"on", b"e\r\ntwo\n\nth", b"ree \xff"]).await;
        assert_eq!(text, "T one\nT two\nT \nT three \u{fffd}\n");
        assert_eq!(log.tail().len(), 4);
    }

    #[tokio::test]
    async fn a_mask_holds_from_its_own_line_on_however_it_arrives() {
        let (text, _) = written(1000, &[b"::add-ma", b"sk::hun", b"ter2\nx hun", b"ter2 y\n"]).await;
        assert_eq!(text, "T ::add-mask::***\nT x *** y\n");
    }

    #[tokio::test]
    async fn the_log_is_cut_at_its_limit_and_still_listens() {
        let (text, log) = written(60, &[b"one\n", &b"x".repeat(100), b"\n::set-output name=a::1\n"]).await;
        assert_eq!(text, "T one\nT the rest is cut: the log has reached 60 bytes\n");
        assert_eq!(log.outputs, [("a".to_owned(), "1".to_owned())]);
    }

    #[tokio::test]
    async fn an_endless_line_is_cut_without_showing_half_a_secret() {
        let mut line = b"::add-mask::topsecret\n".to_vec();
        line.extend(b"x".repeat(LINE_BYTES_MAX - 3));
        line.extend(b"topsecret and more\nnext\n");
        let (text, _) = written(1_000_000, &[&line]).await;
        assert!(!text.contains("xtop") && text.contains("[the rest of the line is cut]\nT next\n"));
    }
}
