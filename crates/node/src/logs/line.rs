//! One line of a replica's output, as it is kept: `<time> <replica> <revision> <stream> <text>`.

use std::fmt;

use jiff::Timestamp;
use prograde_model::FlightId;

/// Longer lines are cut into pieces of this length, as container runtimes do.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024;

/// Which of a process's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    /// Its name, which is also that of the file that the process writes to.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line that a replica wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When the node read it: at most a moment after it was written, or the node's start when it was not running.
    pub at: Timestamp,
    /// The replica's name.
    pub replica: String,
    /// Its version.
    pub revision: FlightId,
    /// Which output.
    pub stream: LogStream,
    /// The text without its line end; what is not UTF-8 is replaced. Lines of more than 16 KiB come in pieces.
    pub line: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} {}", self.at, self.replica, self.revision, self.stream.as_str(), self.line)
    }
}

impl LogLine {
    /// Reads a line as [`fmt::Display`] wrote it, without its line end.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(5, ' ');
        let at = fields.next()?.parse().ok()?;
        let replica = fields.next()?.to_owned();
        let revision = fields.next()?.parse().ok()?;
        let stream = match fields.next()? {
            "stdout" => LogStream::Stdout,
            "stderr" => LogStream::Stderr,
            _ => return None,
        };
        Some(Self { at, replica, revision, stream, line: fields.next()?.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_and_nothing_else_is() {
        let revision: FlightId = "a".repeat(32).parse().unwrap();
        let at = "2026-01-02T03:04:05.000000006Z".parse().unwrap();
        for text in ["", " two  spaces ", "plain"] {
            let line = LogLine {
                at,
                replica: "pad-1".into(),
                revision: revision.clone(),
                stream: LogStream::Stderr,
                line: text.into(),
            };
            assert_eq!(LogLine::parse(&line.to_string()).unwrap(), line);
        }
        for text in ["", "x", "2026-01-02T03:04:05Z pad-1 short stdout x", "2026-01-02T03:04:05Z pad-1"] {
            assert_eq!(LogLine::parse(text), None);
        }
    }
}
