//! One connection to a replica, driven by whoever waits for its answer.
//!
//! There is no task, channel or copy of the request between a client's connection and the replica's: the client's task
//! writes the head from where it was parsed into, and reads the answer itself. That keeps a request on one thread with
//! two wake-ups, lets it be written again elsewhere when nothing came of it, and tells exactly whether a byte was sent
//! or received. A request that is given up takes its connection with it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, timeout};
use tokio_util::io::poll_read_buf;

use super::decode::{self, BodyDecoder, DecodeError, Decoded, Head};
use super::endpoint::Endpoint;
use super::outgoing::{Outgoing, SendError};
use super::upload::Piece;

/// Least room for a read, and most.
const READ_ROOM_MIN: usize = 8 * 1024;
const READ_ROOM_MAX: usize = 64 * 1024;

/// Informational answers before the final one: more is a replica gone wild.
const INFORMATIONAL_MAX: u32 = 16;

/// Why a request got no answer on a connection, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExchangeError {
    /// Not a byte was written: nobody has seen the request.
    #[error("the connection was closed already")]
    Unsent(#[source] io::Error),
    /// The connection ended before the first byte of an answer.
    #[error("the connection ended without an answer")]
    Silent,
    /// The client broke off its body.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// What came is no answer.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The connection broke in the middle of the answer.
    #[error("the connection broke within the answer")]
    Broken(#[source] io::Error),
}

/// An open connection, and the exchange on it.
pub(super) struct Upstream {
    stream: TcpStream,
    /// Read, but not understood yet.
    read: BytesMut,
    read_room: usize,
    /// The request's, which decides whether the answer has a body.
    method: Method,
    /// When the last piece of a request that has been sent was there.
    request_moved: Instant,
    /// The request until all of it is sent, or no more can be.
    outgoing: Option<Outgoing>,
    body: BodyDecoder,
    header_bytes_max: usize,
    /// Whether anything was read in this exchange.
    received: bool,
    /// Whether the connection can carry another request after this exchange.
    persistent: bool,
    /// The endpoint's epoch when the connection was opened.
    pub(super) epoch: u64,
    /// How long the replica said that it keeps an idle connection.
    pub(super) keep_alive: Option<Duration>,
}

impl Upstream {
    /// Opens a connection within `limit`.
    pub(super) async fn connect(
        endpoint: Arc<Endpoint>,
        limit: Duration,
        header_bytes_max: usize,
    ) -> io::Result<Box<Self>> {
        let epoch = endpoint.idle_epoch();
        let stream = timeout(limit, TcpStream::connect(endpoint.address())).await??;
        stream.set_nodelay(true)?;
        Ok(Box::new(Self {
            stream,
            read: BytesMut::with_capacity(READ_ROOM_MIN),
            read_room: READ_ROOM_MIN,
            method: Method::GET,
            request_moved: Instant::now(),
            outgoing: None,
            body: BodyDecoder::Done,
            header_bytes_max,
            received: false,
            persistent: true,
            epoch,
            keep_alive: None,
        }))
    }

    /// Starts an exchange; only on a connection that [`Upstream::is_idle`].
    pub(super) fn begin(&mut self, request: Outgoing) {
        self.method.clone_from(&request.method);
        self.outgoing = Some(request);
        self.received = false;
    }

    /// The request, to be sent elsewhere after [`ExchangeError::Unsent`].
    pub(super) fn take_request(&mut self) -> Option<Outgoing> {
        self.outgoing.take()
    }

    /// Since when nothing more of the request has come, and whether it is the client that is waited for.
    pub(super) fn waiting(&self) -> (Instant, bool) {
        match &self.outgoing {
            None => (self.request_moved, false),
            Some(outgoing) => (outgoing.moved, outgoing.upload.as_ref().is_some_and(|upload| upload.waiting)),
        }
    }

    /// Sends the request and reads the answer's head.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<Head>, ExchangeError>> {
        let mut informational = 0;
        loop {
            self.send(cx)?;
            while let Some(head) = self.next_head()? {
                if !is_interim(&head) {
                    self.body = head.body;
                    self.persistent &= head.persistent;
                    self.keep_alive = head.keep_alive_s.map(Duration::from_secs);
                    return Poll::Ready(Ok(Box::new(head)));
                }
                informational += 1;
                if informational > INFORMATIONAL_MAX {
                    return Poll::Ready(Err(DecodeError::HeadTooLarge.into()));
                }
                if let Some(upload) = self.outgoing.as_mut().and_then(|outgoing| outgoing.upload.as_mut()) {
                    upload.allow(head.status);
                    self.send(cx)?;
                }
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) if self.received => return Poll::Ready(Err(DecodeError::Eof.into())),
                Err(error) if self.received => return Poll::Ready(Err(ExchangeError::Broken(error))),
                Ok(0) | Err(_) => return Poll::Ready(Err(ExchangeError::Silent)),
                Ok(_) => self.received = true,
            }
        }
    }

    /// Reads on in the answer's body, and goes on sending the request's.
    pub(super) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, ExchangeError>>> {
        if self.send(cx).is_err() {
            // The answer is what counts now, and that is not the client's; the connection is not used again.
            self.persistent = false;
        }
        loop {
            match self.body.decode(&mut self.read, self.header_bytes_max)? {
                Decoded::Data(data) => return Poll::Ready(Some(Ok(Piece::Data(data)))),
                Decoded::Trailers(trailers) => return Poll::Ready(Some(Ok(Piece::Trailers(trailers)))),
                Decoded::End => return Poll::Ready(None),
                Decoded::More => {}
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => self.body.end()?,
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(ExchangeError::Broken(error)))),
            }
        }
    }

    /// How long the rest of the answer's body is, where that is known.
    pub(super) fn body_left(&self) -> Option<u64> {
        self.body.exact()
    }

    /// Whether the exchange is over on both sides and the connection can carry another.
    pub(super) fn is_idle(&self) -> bool {
        self.persistent && self.body == BodyDecoder::Done && self.read.is_empty() && self.outgoing.is_none()
    }

    /// Whether the replica has closed an idle connection, or says something that nobody asked for, as far as the event
    /// loop has seen: this costs a system call only where there is something to read.
    pub(super) fn is_closed(&self) -> bool {
        let seen = self.stream.try_read(&mut [0]);
        !seen.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// After a `101 Switching Protocols`: the stream, and what was already read of the new protocol.
    pub(super) fn into_upgraded(self) -> (TcpStream, Bytes) {
        (self.stream, self.read.freeze())
    }

    /// Sends what can be sent of the request. A connection that takes no more is an error only before the first byte:
    /// a replica may answer and close before it has read all, and that answer is still to be read.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), ExchangeError> {
        let Some(outgoing) = &mut self.outgoing else { return Ok(()) };
        match outgoing.poll_send(&mut self.stream, cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(())) => {
                self.request_moved = outgoing.moved;
                self.outgoing = None;
            }
            Poll::Ready(Err(SendError::Client(error))) => return Err(ExchangeError::Client(error)),
            Poll::Ready(Err(SendError::Connection(error))) if !outgoing.sent => {
                return Err(ExchangeError::Unsent(error));
            }
            Poll::Ready(Err(SendError::Connection(_))) => {
                self.request_moved = outgoing.moved;
                self.outgoing = None;
                self.persistent = false;
            }
        }
        Ok(())
    }

    fn next_head(&mut self) -> Result<Option<Head>, DecodeError> {
        if self.read.is_empty() {
            return Ok(None);
        }
        decode::head(&mut self.read, &self.method, self.header_bytes_max)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < self.read_room / 4 {
            self.read.reserve(self.read_room);
        }
        let room = self.read.capacity() - self.read.len();
        let polled = poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read);
        if matches!(polled, Poll::Ready(Ok(count)) if count == room) {
            self.read_room = READ_ROOM_MAX.min(self.read_room * 2);
        }
        polled
    }
}

/// Whether another head follows (RFC 9110, section 15.2); after a 101 none does.
fn is_interim(head: &Head) -> bool {
    head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS
}
