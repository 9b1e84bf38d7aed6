//! An answer of one JSON document a line, read as it comes. Empty lines keep the connection alive and mean nothing.

use std::io::{self, BufRead, BufReader, Read};
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::report::{self, Report};

/// How long a line may be, in bytes.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// What came next.
#[derive(Debug, PartialEq)]
pub(crate) enum Next<T> {
    /// A document.
    Item(T),
    /// Nothing, for as long as the caller allowed. The stream is over; ask again after what was seen last.
    Silence,
    /// Nothing, and nothing will.
    End,
}

/// The documents of an answer.
pub(crate) struct Lines<T> {
    reader: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Lines<T> {
    pub(crate) fn new(reader: impl Read + Send + 'static) -> Self {
        Self { reader: BufReader::new(Box::new(reader)), line: Vec::new(), item: PhantomData }
    }

    /// Waits for the next document.
    pub(crate) fn next(&mut self) -> Result<Next<T>, Report> {
        loop {
            self.line.clear();
            let mut bounded = (&mut self.reader).take(LINE_BYTES_MAX);
            match bounded.read_until(b'\n', &mut self.line) {
                Ok(0) => return Ok(Next::End),
                Ok(_) => {}
                Err(error) if is_silence(&error) => return Ok(Next::Silence),
                Err(error) => return Err(broken("the server's stream broke off").because(&error)),
            }
            let line = self.line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            return match serde_json::from_slice(line) {
                Ok(item) => Ok(Next::Item(item)),
                Err(error) => Err(broken("a line of the server's stream is not what was expected").because(&error)),
            };
        }
    }

    /// Calls `each` with every document until the stream ends or is silent for too long.
    pub(crate) fn for_each(mut self, mut each: impl FnMut(T) -> Result<(), Report>) -> Result<(), Report> {
        loop {
            match self.next()? {
                Next::Item(item) => each(item)?,
                Next::End => return Ok(()),
                Next::Silence => return Err(broken("the server was silent in the middle of its answer")),
            }
        }
    }
}

fn broken(what: &str) -> Report {
    Report::new(report::STRANGE_ANSWER, what)
        .hint("the server may have been stopped: `prograde status` shows whether it runs")
}

fn is_silence(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    matches!(inner, Some(ureq::Error::Timeout(_)))
        || matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_one_a_line() {
        let mut lines = Lines::<u32>::new(&b"1\n\n\r\n2\n3"[..]);
        let read: Vec<_> = std::iter::repeat_with(|| lines.next().unwrap()).take(4).collect();
        assert_eq!(read, [Next::Item(1), Next::Item(2), Next::Item(3), Next::End]);
    }

    #[test]
    fn a_broken_or_endless_line_is_an_error() {
        assert!(Lines::<u32>::new(&b"{\n"[..]).next().is_err());
        assert!(Lines::<u32>::new(io::repeat(b'1')).next().is_err());
    }

    #[test]
    fn silence_is_told_apart_from_a_failure() {
        struct Failing(Option<io::Error>);
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(self.0.take().unwrap_or_else(|| io::ErrorKind::Other.into()))
            }
        }
        let timeout = io::Error::other(ureq::Error::Timeout(ureq::Timeout::RecvBody));
        assert_eq!(Lines::<u32>::new(Failing(Some(timeout))).next().unwrap(), Next::Silence);
        assert!(Lines::<u32>::new(Failing(None)).next().is_err());
    }
}
