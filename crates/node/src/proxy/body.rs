//! The two bodies of a request on its way through: the client's, as the replica gets it, and the replica's, as the
//! client gets it. Neither is ever buffered beyond the frame in hand.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Duration, Instant, Sleep, sleep};

use super::exchange::Exchange;
use super::upstream::Upstream;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The client broke off, or sent what is no body.
    #[error("the client's body broke off")]
    Client(#[source] hyper::Error),
    /// The replica broke off.
    #[error("the replica's answer broke off")]
    Replica(#[source] Option<hyper::Error>),
    /// The replica stopped sending.
    #[error("the replica sent nothing for {} s", .0.as_secs())]
    Stalled(Duration),
}

/// How far the client's body has come; shared with the wait for the answer, which must know whose turn it is.
#[derive(Debug)]
pub(super) struct Upload {
    /// When the last frame was taken, or the end was seen.
    pub(super) moved: Cell<Instant>,
    /// Whether the replica could take more and the client sends nothing.
    pub(super) waiting: Cell<bool>,
    /// Whether the client broke off.
    pub(super) broken: Cell<bool>,
}

impl Upload {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self { moved: Cell::new(Instant::now()), waiting: Cell::new(false), broken: Cell::new(false) })
    }
}

/// Holds back a body until the replica says `100 Continue`, or for so long.
pub(super) struct Gate {
    pub(super) open: Arc<AtomicBool>,
    pub(super) latest: Pin<Box<Sleep>>,
}

/// The client's body as it goes to a replica.
pub(super) enum RequestBody {
    /// None: the request can be made again from its head.
    Empty,
    /// As the client sends it.
    Stream {
        /// The body.
        incoming: Incoming,
        /// Where it is noted how far it has come.
        upload: Rc<Upload>,
        /// For a client that expects `100 Continue`.
        gate: Option<Gate>,
    },
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Self::Stream { incoming, upload, gate } = &mut *self else {
            return Poll::Ready(None);
        };
        if let Some(waiting) = gate {
            // No waker is kept for the replica's word: it is read by the very poll that comes here next.
            if !waiting.open.load(Ordering::Acquire) && waiting.latest.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *gate = None;
            upload.moved.set(Instant::now());
        }
        let polled = Pin::new(incoming).poll_frame(cx);
        upload.waiting.set(polled.is_pending());
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(frame) => {
                upload.moved.set(Instant::now());
                upload.broken.set(matches!(frame, Some(Err(_))));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Client)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream { incoming, .. } => incoming.size_hint(),
        }
    }
}

/// An answer's body as it goes to the client.
pub(super) enum ResponseBody {
    /// The proxy's own, or none.
    Fixed(Option<Bytes>),
    /// A replica's.
    Stream(Stream),
}

/// A replica's body with all that must live as long as it does.
pub(super) struct Stream {
    pub(super) incoming: Incoming,
    /// Driven here until the body's end, then given back to the pool.
    pub(super) upstream: Option<Box<Upstream>>,
    pub(super) exchange: Exchange,
    /// Made when the replica first lets us wait.
    pub(super) stalled: Option<Pin<Box<Sleep>>>,
}

impl Stream {
    /// A replica's body of which the head has been read.
    pub(super) fn begin(incoming: Incoming, upstream: Box<Upstream>, exchange: Exchange) -> ResponseBody {
        let mut stream = Self { incoming, upstream: Some(upstream), exchange, stalled: None };
        if stream.incoming.is_end_stream() {
            stream.finish();
            return ResponseBody::Fixed(None);
        }
        ResponseBody::Stream(stream)
    }

    fn finish(&mut self) {
        self.exchange.finish();
        if let Some(upstream) = self.upstream.take() {
            self.exchange.worker.keep(&self.exchange.lease.endpoint, upstream);
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.exchange.fail();
        self.upstream = None;
        tracing::debug!(endpoint = %self.exchange.lease.endpoint.address(), %error, "answer broke off");
        Poll::Ready(Some(Err(error)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // As in `Upstream::send`: whatever moves the body happens in `drive`, which is given the true waker.
        let mut unwoken = Context::from_waker(Waker::noop());
        let mut polled = Pin::new(&mut self.incoming).poll_frame(&mut unwoken);
        if polled.is_pending() {
            let ended = self.upstream.as_mut().is_none_or(|upstream| {
                upstream.drive(cx);
                upstream.ended()
            });
            polled = Pin::new(&mut self.incoming).poll_frame(&mut unwoken);
            if polled.is_pending() && ended {
                return self.fail(BodyError::Replica(None));
            }
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.stalled = None;
                if self.incoming.is_end_stream() || frame.is_trailers() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => self.fail(BodyError::Replica(Some(error))),
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let limit = self.exchange.worker.options.response_idle_timeout;
                let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
                if stalled.as_mut().poll(cx).is_ready() {
                    return self.fail(BodyError::Stalled(limit));
                }
                Poll::Pending
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Fixed(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Fixed(bytes) => bytes.is_none(),
            Self::Stream(stream) => stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Fixed(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}
