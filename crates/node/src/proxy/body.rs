//! An answer's body on its way to the client, never stored beyond the piece in hand.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Duration, Sleep, sleep};

use super::client::Busy;
use super::exchange::Exchange;
use super::upload::Piece;
use super::upstream::{ExchangeError, Upstream};

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The replica broke off.
    #[error("the replica's answer broke off")]
    Replica(#[source] ExchangeError),
    /// The replica stopped sending.
    #[error("the replica sent nothing for {} s", .0.as_secs())]
    Stalled(Duration),
}

/// An answer's body.
pub(super) struct ResponseBody {
    content: Content,
    /// The client's connection is not idle before this is dropped.
    _busy: Busy,
}

enum Content {
    /// The proxy's own, or none.
    Fixed(Option<Bytes>),
    /// A replica's.
    Stream(Stream),
}

/// A replica's body with all that must live as long as it does.
struct Stream {
    /// Given back to the pool at the body's end.
    upstream: Option<Box<Upstream>>,
    exchange: Exchange,
    /// Made when the replica first lets us wait.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Why there is no more, to be told to the client by breaking off.
    failed: Option<BodyError>,
}

impl ResponseBody {
    /// The proxy's own, or none.
    pub(super) fn fixed(content: Option<Bytes>, busy: Busy) -> Self {
        Self { content: Content::Fixed(content), _busy: busy }
    }

    /// The body of an answer whose head has been read.
    pub(super) fn stream(upstream: Box<Upstream>, exchange: Exchange, busy: Busy) -> Self {
        let mut stream = Stream { upstream: Some(upstream), exchange, stalled: None, failed: None };
        if stream.left() == Some(0) {
            stream.finish();
            return Self::fixed(None, busy);
        }
        Self { content: Content::Stream(stream), _busy: busy }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl Stream {
    /// How long the rest is, where that is known.
    fn left(&self) -> Option<u64> {
        self.upstream.as_ref().map_or(Some(0), |upstream| upstream.body_left())
    }

    fn finish(&mut self) {
        let now = self.exchange.finish();
        if let Some(upstream) = self.upstream.take() {
            self.exchange.client.worker.keep(&self.exchange.lease.endpoint, upstream, now);
        }
    }

    /// The error is told at the next poll only, as hyper first sends on what it was given when there is nothing more.
    fn fail(&mut self, error: BodyError, cx: &mut Context<'_>) -> Polled {
        self.exchange.fail();
        self.upstream = None;
        tracing::debug!(endpoint = %self.exchange.lease.endpoint.address(), %error, "answer broke off");
        self.failed = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(upstream) = &mut self.upstream else { return Poll::Ready(self.failed.take().map(Err)) };
        let Poll::Ready(piece) = upstream.poll_body(cx) else {
            let limit = self.exchange.client.worker.options.response_idle_timeout;
            let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
            if stalled.as_mut().poll(cx).is_ready() {
                return self.fail(BodyError::Stalled(limit), cx);
            }
            return Poll::Pending;
        };
        self.stalled = None;
        match piece {
            Some(Ok(Piece::Data(data))) => {
                if self.left() == Some(0) {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Ok(Piece::Trailers(trailers))) => {
                self.finish();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            None => {
                self.finish();
                Poll::Ready(None)
            }
            Some(Err(error)) => self.fail(BodyError::Replica(error), cx),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match &mut self.content {
            Content::Fixed(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Fixed(bytes) => bytes.is_none(),
            Content::Stream(stream) => stream.upstream.is_none() && stream.failed.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Fixed(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Content::Stream(stream) => stream.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
