//! A request on its way out: what of it is written next, wherever that will be written to.
//!
//! It does not belong to a connection. As long as not a byte of it has been written, it can be given to another one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http::Method;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::encode::{Framing, Outbox};
use super::upload::{Piece, Upload};

/// Why not all of a request was sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// The client broke off its body.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// The connection takes no more.
    #[error("the connection takes no more")]
    Connection(#[source] io::Error),
}

/// A request: its head, and its body as it arrives.
pub(super) struct Outgoing {
    outbox: Outbox,
    framing: Framing,
    /// The body until its end.
    pub(super) upload: Option<Box<Upload>>,
    /// Decides whether the answer has a body.
    pub(super) method: Method,
    /// Whether any of it has been written.
    pub(super) sent: bool,
    /// When the last piece of it was there to be written.
    pub(super) moved: Instant,
}

impl Outgoing {
    /// A request of which nothing has been written.
    pub(super) fn new(head: Vec<u8>, method: Method, upload: Option<Box<Upload>>, now: Instant) -> Self {
        let framing = upload.as_ref().map_or(Framing::None, |upload| upload.framing());
        let outbox = Outbox { gathered: head, ..Outbox::default() };
        Self { outbox, framing, upload, method, sent: false, moved: now }
    }

    /// Whether all of it has been written.
    pub(super) fn is_done(&self) -> bool {
        self.upload.is_none() && self.outbox.is_empty()
    }

    /// Writes what there is; ready when all of it is written.
    pub(super) fn poll_send(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        while !self.is_done() {
            let waiting = self.gather(cx).map_err(SendError::Client)?.is_pending();
            if self.outbox.is_empty() && waiting {
                return Poll::Pending;
            }
            ready!(self.poll_write(stream, cx)).map_err(SendError::Connection)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outbox.is_empty() {
            let Outbox { gathered, large } = &mut self.outbox;
            let next = if gathered.is_empty() { &**large } else { &**gathered };
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, next))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent = true;
            if gathered.is_empty() {
                large.advance(count);
            } else {
                gathered.drain(..count);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes as much of the client's body as is there and has room. Ready when there is no room or no more to come.
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        while let Some(upload) = self.upload.as_mut().filter(|_| self.outbox.has_room()) {
            let piece = ready!(upload.poll_piece(cx)).transpose()?;
            self.moved = Instant::now();
            match piece {
                Some(Piece::Data(data)) => self.outbox.data(data, self.framing),
                Some(Piece::Trailers(trailers)) => {
                    self.outbox.end(Some(&trailers), self.framing);
                    self.upload = None;
                }
                None => {
                    self.outbox.end(None, self.framing);
                    self.upload = None;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
