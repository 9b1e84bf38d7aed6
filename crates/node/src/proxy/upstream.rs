//! One connection to a replica, driven by whoever waits for its answer.
//!
//! hyper's client is made of two halves, a handle and a connection that a task of its own drives. Here both stay
//! together and the request's task drives the connection itself: a request costs no hand-over between tasks, and a
//! request that is given up takes its connection with it.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio::time::{Duration, timeout};

use super::body::RequestBody;
use super::endpoint::Endpoint;

/// What came of a request on one connection.
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// An open connection.
pub(super) struct Upstream {
    sender: SendRequest<RequestBody>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<TcpStream>, RequestBody>>,
    ended: bool,
    /// The endpoint's epoch when the connection was opened.
    pub(super) epoch: u64,
    /// How long the replica said that it keeps an idle connection.
    pub(super) keep_alive: Option<Duration>,
}

impl Upstream {
    /// Opens a connection within `limit`.
    pub(super) async fn connect(builder: &Builder, endpoint: &Endpoint, limit: Duration) -> io::Result<Box<Self>> {
        let epoch = endpoint.idle_epoch();
        let stream = timeout(limit, TcpStream::connect(endpoint.address())).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Box::new(Self { sender, connection: Some(connection), ended: false, epoch, keep_alive: None }))
    }

    /// Lets the connection read and write what it can. Its errors reach the request it carries, or concern nobody.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.ended {
            return;
        }
        if let Some(connection) = &mut self.connection {
            self.ended = Pin::new(connection).poll(cx).is_ready();
        }
    }

    /// Whether the connection is over: nothing more can come of it.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether another request can be sent.
    pub(super) fn is_reusable(&self) -> bool {
        !self.ended && self.sender.is_ready()
    }

    /// Sends a request and waits for the answer's head; `give_up` is asked whenever there is nothing to do.
    ///
    /// Cancelling it leaves the connection unusable: drop it.
    pub(super) async fn send<G>(
        &mut self,
        request: Request<RequestBody>,
        mut give_up: impl FnMut(&mut Context<'_>) -> Poll<G>,
    ) -> Result<Sent, G> {
        // Everything that can complete `answer` happens inside `drive`, on this task: it needs no waker and, as it
        // would use that waker to come back when tokio's budget is spent, no budget.
        let mut answer = pin!(unconstrained(self.sender.try_send_request(request)));
        let (connection, ended) = (&mut self.connection, &mut self.ended);
        std::future::poll_fn(|cx| {
            if let (Some(connection), false) = (connection.as_mut(), *ended) {
                *ended = Pin::new(connection).poll(cx).is_ready();
            }
            let mut unwoken = Context::from_waker(Waker::noop());
            if let Poll::Ready(sent) = answer.as_mut().poll(&mut unwoken) {
                return Poll::Ready(Ok(sent));
            }
            if *ended {
                // Dropping the connection gives back the request that it never looked at.
                *connection = None;
                return answer.as_mut().poll(&mut unwoken).map(Ok);
            }
            give_up(cx).map(Err)
        })
        .await
    }

    /// After a `101 Switching Protocols`: the stream, and what was already read of the new protocol.
    pub(super) async fn into_upgraded(mut self) -> Option<(TcpStream, Bytes)> {
        std::future::poll_fn(|cx| {
            self.drive(cx);
            if self.ended || self.connection.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let parts = self.connection?.into_parts();
        Some((parts.io.into_inner(), parts.read_buf))
    }
}
