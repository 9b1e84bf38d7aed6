//! One client's connection: what its requests have in common, and its end.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Sleep, sleep};

use super::forward::forward;
use super::headers::Origin;
use super::listener::Door;
use super::route::RouteView;
use super::worker::Worker;

/// A connection that a listener accepted, on its way to a worker.
pub(super) struct Accepted {
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) door: Arc<Door>,
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) open: Open,
}

/// Counts a connection as open at its worker until dropped.
pub(super) struct Open(Arc<AtomicUsize>);

impl Open {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the requests of one connection share. Lives as long as the connection, or the tunnel that it became.
pub(super) struct Client {
    pub(super) worker: Rc<Worker>,
    pub(super) view: RouteView,
    pub(super) origin: Origin,
    _permit: OwnedSemaphorePermit,
    _open: Open,
}

/// Serves a connection until it ends, or its listener is gone and the request on it, if any, is done.
pub(super) async fn serve(worker: Rc<Worker>, accepted: Accepted) {
    let Accepted { stream, peer, door, permit, open } = accepted;
    let stream = match stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream)) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "connection was lost before it was served");
            return;
        }
    };
    let io = ClientIo::new(stream, worker.options.client_write_timeout);
    let client = Rc::new(Client {
        worker: Rc::clone(&worker),
        view: RouteView::new(Arc::clone(&door.route)),
        origin: Origin::new(peer, door.address),
        _permit: permit,
        _open: open,
    });
    let service = service_fn(move |request| {
        let client = Rc::clone(&client);
        async move { Ok::<_, Infallible>(forward(client, request).await) }
    });
    let mut connection = pin!(worker.server.serve_connection(io, service).with_upgrades());
    let mut closed = pin!(door.shutting().cancelled());
    let mut registered = false;
    let mut draining = false;
    let ended = std::future::poll_fn(|cx| {
        // A task's waker stays the same, so a wake-up is asked for once; from then on the flag is enough.
        if !draining && (!registered || door.is_shut()) {
            registered = true;
            if closed.as_mut().poll(cx).is_ready() {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%peer, %error, "client's connection broke off");
    }
}

/// A client's stream that fails when the client takes nothing for too long.
struct ClientIo {
    stream: TokioIo<TcpStream>,
    limit: Duration,
    /// There is one while the client lets us wait.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl ClientIo {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream: TokioIo::new(stream), limit, stalled: None }
    }

    fn bounded<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.limit)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(polled, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded(polled, cx)
    }
}
