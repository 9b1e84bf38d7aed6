//! The client's body on its way to a replica: taken piece by piece as the replica takes it, never stored.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use hyper::body::{Body, Incoming};
use tokio::time::{Duration, Sleep, sleep};

use super::encode::Framing;

/// The client's body.
pub(super) struct Upload {
    incoming: Incoming,
    /// For a client that waits for `100 Continue`: until when it is kept waiting for the replica's word.
    held: Option<Pin<Box<Sleep>>>,
    /// Whether the replica could take more and the client sends nothing.
    pub(super) waiting: bool,
}

/// A piece of a body, on its way in either direction.
pub(super) enum Piece {
    Data(Bytes),
    /// The last piece.
    Trailers(HeaderMap),
}

impl Upload {
    /// A request's body; `None` for one without. With `wait`, it is not asked for before the replica says
    /// `100 Continue` or that time is over.
    pub(super) fn of(incoming: Incoming, wait: Option<Duration>) -> Option<Box<Self>> {
        if incoming.is_end_stream() {
            return None;
        }
        let held = wait.map(|wait| Box::pin(sleep(wait)));
        Some(Box::new(Self { incoming, held, waiting: false }))
    }

    /// How it is to be framed: as it came.
    pub(super) fn framing(&self) -> Framing {
        if self.incoming.size_hint().exact().is_some() { Framing::Length } else { Framing::Chunked }
    }

    /// The replica has said something before its answer.
    pub(super) fn allow(&mut self, status: StatusCode) {
        if status == StatusCode::CONTINUE {
            self.held = None;
        }
    }

    /// The next piece, or its end.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, hyper::Error>>> {
        if let Some(held) = &mut self.held {
            ready!(held.as_mut().poll(cx));
            self.held = None;
        }
        loop {
            let polled = Pin::new(&mut self.incoming).poll_frame(cx);
            self.waiting = polled.is_pending();
            let Some(frame) = ready!(polled) else { return Poll::Ready(None) };
            let piece = match frame?.into_data() {
                Ok(data) => Piece::Data(data),
                Err(frame) => match frame.into_trailers() {
                    Ok(trailers) => Piece::Trailers(trailers),
                    Err(_) => continue,
                },
            };
            return Poll::Ready(Some(Ok(piece)));
        }
    }
}
