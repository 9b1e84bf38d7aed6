//! Reading a replica's answer (RFC 9112): its head, and where its body ends. Strict, as the answer goes on to somebody
//! else: what could be understood in two ways is an error, not a guess.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::ext::ReasonPhrase;

use super::headers::{is_passed_on, tokens};

/// Headers an answer, or its trailer section, may have.
const HEADERS_MAX: usize = 100;

/// Bytes of a chunk's size line with its extensions (RFC 9112, section 7.1.1).
const CHUNK_LINE_MAX: usize = 4096;

/// Why what a replica sent is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// Not HTTP/1.
    #[error("the answer's head is malformed: {0}")]
    Head(httparse::Error),
    /// Longer than the limit, or with more than 100 headers.
    #[error("the answer's head is too large")]
    HeadTooLarge,
    /// `Content-Length` and `Transfer-Encoding` leave open where the body ends.
    #[error("the answer's length is ambiguous")]
    Length,
    /// The chunked coding is broken.
    #[error("the answer's chunks are malformed")]
    Chunk,
    /// The connection ended first.
    #[error("the answer ended too early")]
    Eof,
}

/// An answer's head, as it can be passed on.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// Where it is not the usual one.
    pub(super) reason: Option<ReasonPhrase>,
    /// Without those that concern only this connection.
    pub(super) headers: HeaderMap,
    pub(super) body: BodyDecoder,
    /// Whether the connection can carry another request after this (RFC 9112, section 9.3).
    pub(super) persistent: bool,
    /// The seconds for which the replica says it keeps an idle connection (RFC 2068, section 19.7.1.1).
    pub(super) keep_alive_s: Option<u64>,
    /// The protocol that a 101 changes to.
    pub(super) upgrade: Option<HeaderValue>,
}

/// Takes a head off the front of `read`, or nothing where it is not complete.
pub(super) fn head(read: &mut BytesMut, asked: &Method, bytes_max: usize) -> Result<Option<Head>, DecodeError> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut parsed, read, &mut headers) {
        Ok(httparse::Status::Complete(length)) if length <= bytes_max => length,
        Ok(httparse::Status::Partial) if read.len() < bytes_max => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(DecodeError::HeadTooLarge),
        Err(error) => return Err(DecodeError::Head(error)),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(DecodeError::Head(httparse::Error::Status))?;
    let reason = parsed.reason.filter(|reason| !reason.is_empty() && Some(*reason) != status.canonical_reason());
    let reason = reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes().to_vec()).ok());
    let is_http_11 = parsed.version == Some(1);
    // Where the headers are, as the buffer can't be cut while they borrow it.
    let start = read.as_ptr().addr();
    let mut places = [const { (0..0, 0..0) }; HEADERS_MAX];
    let count = parsed.headers.len();
    for (place, header) in places.iter_mut().zip(parsed.headers) {
        let of = |part: &[u8]| part.as_ptr().addr() - start..part.as_ptr().addr() - start + part.len();
        *place = (of(header.name.as_bytes()), of(header.value));
    }
    let bytes = read.split_to(length).freeze();
    let mut fields = Fields::new(count);
    for (name, value) in places.into_iter().take(count) {
        let name = bytes.get(name).and_then(|name| HeaderName::from_bytes(name).ok());
        let value = HeaderValue::from_maybe_shared(bytes.slice(value)).ok();
        let (Some(name), Some(value)) = (name, value) else {
            return Err(DecodeError::Head(httparse::Error::HeaderValue));
        };
        fields.add(name, value)?;
    }
    fields.head(status, reason, asked, is_http_11).map(Some)
}

/// An answer's headers, with what they say about the message and its connection set apart.
#[derive(Default)]
struct Fields {
    map: HeaderMap,
    length: Option<u64>,
    /// `Transfer-Encoding`: whether it is `chunked` and nothing else.
    chunked: Option<bool>,
    close: bool,
    keep_alive: bool,
    keep_alive_s: Option<u64>,
    upgrade: Option<HeaderValue>,
    /// The headers that `Connection` names.
    named: Vec<HeaderName>,
}

impl Fields {
    fn new(count: usize) -> Self {
        // Room for the date, which hyper adds.
        Self { map: HeaderMap::with_capacity(count + 1), ..Self::default() }
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), DecodeError> {
        let bytes = value.as_bytes();
        match name.as_str() {
            "connection" => {
                for token in tokens(bytes) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                    self.named.extend(HeaderName::from_bytes(token).ok().filter(|name| is_passed_on(name.as_str())));
                }
            }
            "keep-alive" => self.keep_alive_s = tokens(bytes).find_map(timeout),
            "upgrade" => self.upgrade = Some(value),
            "transfer-encoding" => {
                self.chunked = Some(self.chunked.is_none() && bytes.trim_ascii().eq_ignore_ascii_case(b"chunked"));
            }
            "content-length" => {
                // All fields, and all elements of each, must agree (RFC 9110, section 8.6).
                for number in bytes.split(|b| *b == b',').map(<[u8]>::trim_ascii).map(decimal) {
                    let number = number.filter(|number| self.length.is_none_or(|length| length == *number));
                    self.length = Some(number.ok_or(DecodeError::Length)?);
                }
                self.map.insert(name, value);
            }
            other if is_passed_on(other) => {
                self.map.append(name, value);
            }
            _ => {}
        }
        Ok(())
    }

    fn head(
        mut self,
        status: StatusCode,
        reason: Option<ReasonPhrase>,
        asked: &Method,
        is_http_11: bool,
    ) -> Result<Head, DecodeError> {
        for name in &self.named {
            self.map.remove(name);
        }
        let body = self.body(status, asked, is_http_11)?;
        let persistent = !self.close && (is_http_11 || self.keep_alive) && body != BodyDecoder::UntilClose;
        let Self { map: headers, keep_alive_s, upgrade, .. } = self;
        Ok(Head { status, reason, headers, body, persistent, keep_alive_s, upgrade })
    }

    /// RFC 9112, section 6.3.
    fn body(&self, status: StatusCode, asked: &Method, is_http_11: bool) -> Result<BodyDecoder, DecodeError> {
        let bodyless = status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        match (self.chunked, self.length) {
            _ if bodyless || *asked == Method::HEAD => Ok(BodyDecoder::Done),
            (None, None) => Ok(BodyDecoder::UntilClose),
            (None, Some(0)) => Ok(BodyDecoder::Done),
            (None, Some(length)) => Ok(BodyDecoder::Length(length)),
            // Nothing else was offered in `TE`, so nothing else may be used.
            (Some(true), None) if is_http_11 => Ok(BodyDecoder::Chunked(Chunked::Size)),
            (Some(_), _) => Err(DecodeError::Length),
        }
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

fn timeout(token: &[u8]) -> Option<u64> {
    decimal(token.strip_prefix(b"timeout=")?)
}

/// What is still to come of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyDecoder {
    /// Nothing.
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks and trailers.
    Chunked(Chunked),
    /// All until the connection ends.
    UntilClose,
}

/// Where in the chunked coding (RFC 9112, section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunked {
    /// Before a chunk's size.
    Size,
    /// So many bytes before a chunk's end.
    Data(u64),
    /// Before the line end that follows a chunk's bytes.
    DataEnd,
    /// After the last chunk.
    Trailers,
}

/// One step of reading a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// Some of the body.
    Data(Bytes),
    /// Its trailers, and its end.
    Trailers(HeaderMap),
    /// Its end.
    End,
    /// More must be read first.
    More,
}

impl BodyDecoder {
    /// Takes the next piece off the front of `read`.
    pub(super) fn decode(&mut self, read: &mut BytesMut, trailer_bytes_max: usize) -> Result<Decoded, DecodeError> {
        match self {
            Self::Done => Ok(Decoded::End),
            Self::UntilClose => Ok(if read.is_empty() { Decoded::More } else { Decoded::Data(read.split().freeze()) }),
            Self::Length(left) => {
                let Some(data) = take(read, left) else { return Ok(Decoded::More) };
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Decoded::Data(data))
            }
            Self::Chunked(state) => {
                let decoded = state.decode(read, trailer_bytes_max)?;
                if matches!(decoded, Decoded::End | Decoded::Trailers(_)) {
                    *self = Self::Done;
                }
                Ok(decoded)
            }
        }
    }

    /// The connection ended: whether that is the body's end.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        match self {
            Self::Done | Self::UntilClose => {
                *self = Self::Done;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(DecodeError::Eof),
        }
    }

    /// How long the rest is, where that is known.
    pub(super) fn exact(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

impl Chunked {
    fn decode(&mut self, read: &mut BytesMut, trailer_bytes_max: usize) -> Result<Decoded, DecodeError> {
        loop {
            match self {
                Self::Size => match httparse::parse_chunk_size(read).map_err(|_| DecodeError::Chunk)? {
                    httparse::Status::Complete((line, size)) if line <= CHUNK_LINE_MAX => {
                        read.advance(line);
                        *self = if size == 0 { Self::Trailers } else { Self::Data(size) };
                    }
                    httparse::Status::Partial if read.len() < CHUNK_LINE_MAX => return Ok(Decoded::More),
                    httparse::Status::Complete(_) | httparse::Status::Partial => return Err(DecodeError::Chunk),
                },
                Self::Data(left) => {
                    let Some(data) = take(read, left) else { return Ok(Decoded::More) };
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Decoded::Data(data));
                }
                Self::DataEnd => match read.get(..2) {
                    Some(b"\r\n") => {
                        read.advance(2);
                        *self = Self::Size;
                    }
                    Some(_) => return Err(DecodeError::Chunk),
                    None => return Ok(Decoded::More),
                },
                Self::Trailers => return trailers(read, trailer_bytes_max),
            }
        }
    }
}

/// At most `left` bytes, which are then taken from it; `None` where there are none to take.
fn take(read: &mut BytesMut, left: &mut u64) -> Option<Bytes> {
    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
    *left -= u64::try_from(count).unwrap_or(*left);
    (count > 0).then(|| read.split_to(count).freeze())
}

fn trailers(read: &mut BytesMut, bytes_max: usize) -> Result<Decoded, DecodeError> {
    if read.starts_with(b"\r\n") {
        read.advance(2);
        return Ok(Decoded::End);
    }
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let (length, map) = match httparse::parse_headers(read, &mut fields).map_err(|_| DecodeError::Chunk)? {
        httparse::Status::Complete((length, fields)) if length <= bytes_max => {
            let mut map = HeaderMap::with_capacity(fields.len());
            for field in fields {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| DecodeError::Chunk)?;
                map.append(name, HeaderValue::from_bytes(field.value).map_err(|_| DecodeError::Chunk)?);
            }
            (length, map)
        }
        httparse::Status::Partial if read.len() < bytes_max => return Ok(Decoded::More),
        httparse::Status::Complete(_) | httparse::Status::Partial => return Err(DecodeError::Chunk),
    };
    read.advance(length);
    Ok(Decoded::Trailers(map))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
