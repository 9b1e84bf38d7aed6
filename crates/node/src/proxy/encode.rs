//! Writing a request's body to a replica, in the framing that its head announced (RFC 9112, section 6).

use std::io::Write;

use bytes::Bytes;
use http::HeaderMap;

use super::headers::field;

/// Pieces of a body up to this size are written together with what is before them.
const COPY_MAX: usize = 16 * 1024;

/// How a request's body is told apart from what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// No body. `Content-Length: 0` stays where the client said it.
    None,
    /// By `Content-Length`, which hyper has checked on the way in.
    Length,
    /// By the chunked coding.
    Chunked,
}

/// What is to be written next: small pieces gathered, then perhaps a large one as it is.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) gathered: Vec<u8>,
    pub(super) large: Bytes,
}

impl Outbox {
    /// Whether all has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.large.is_empty()
    }

    /// Whether another piece can be added.
    pub(super) fn has_room(&self) -> bool {
        self.large.is_empty() && self.gathered.len() < COPY_MAX
    }

    /// A piece of the body.
    pub(super) fn data(&mut self, data: Bytes, framing: Framing) {
        if data.is_empty() {
            // An empty chunk would be the last one.
            return;
        }
        let chunked = framing == Framing::Chunked;
        if chunked {
            // Writing to memory does not fail.
            let _ = write!(self.gathered, "{:x}\r\n", data.len());
        }
        if data.len() <= COPY_MAX || chunked {
            self.gathered.extend_from_slice(&data);
        } else {
            self.large = data;
        }
        if chunked {
            self.gathered.extend_from_slice(b"\r\n");
        }
    }

    /// The body's end.
    pub(super) fn end(&mut self, trailers: Option<&HeaderMap>, framing: Framing) {
        if framing != Framing::Chunked {
            return;
        }
        self.gathered.extend_from_slice(b"0\r\n");
        for (name, value) in trailers.into_iter().flatten() {
            field(&mut self.gathered, name.as_str(), value.as_bytes());
        }
        self.gathered.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn chunks_are_written_with_their_sizes_and_trailers() {
        let mut outbox = Outbox::default();
        outbox.data(Bytes::from_static(b"hello world!"), Framing::Chunked);
        outbox.data(Bytes::new(), Framing::Chunked);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        outbox.end(Some(&trailers), Framing::Chunked);
        assert_eq!(outbox.gathered, b"c\r\nhello world!\r\n0\r\nx-sum: 1\r\n\r\n");
    }

    #[test]
    fn a_large_piece_is_not_copied() {
        let mut outbox = Outbox::default();
        let large = Bytes::from(vec![b'x'; COPY_MAX + 1]);
        outbox.data(large.clone(), Framing::Length);
        outbox.end(None, Framing::Length);
        assert!(outbox.gathered.is_empty() && outbox.large == large && !outbox.has_room());
    }
}
