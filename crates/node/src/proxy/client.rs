//! One client's connection: what its requests have in common, and its end.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Duration, Instant, Sleep, sleep};

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
    /// When the connection became idle; `None` while a request is on it.
    idle_since: Cell<Option<Instant>>,
    /// The last time that anybody looked at the clock.
    now: Cell<Instant>,
    alarm: RefCell<Alarm>,
    _permit: OwnedSemaphorePermit,
    _open: Open,
}

impl Client {
    /// The time, noted for those to whom a little too early is good enough.
    pub(super) fn look_at_clock(&self) -> Instant {
        let now = Instant::now();
        self.now.set(now);
        now
    }

    /// Marks the connection as busy until the answer is dropped.
    pub(super) fn busy(self: &Rc<Self>) -> Busy {
        self.idle_since.set(None);
        Busy(Rc::clone(self))
    }

    /// Ready when `due` has passed. Only one thing may wait at a time: an idle connection for its end, or else a
    /// request for its answer.
    pub(super) fn poll_alarm(&self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.borrow_mut().poll(due, cx)
    }
}

/// A request is on the connection.
pub(super) struct Busy(Rc<Client>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.idle_since.set(Some(self.0.now.get()));
    }
}

/// One timer for all the waits of a connection. It is not set back when a wait ends, as nearly all do long before they
/// are due, but set forward when it goes off too early: then a request costs no work on timers at all.
struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    fn poll(&mut self, due: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.sleep.deadline() > due {
            self.sleep.as_mut().reset(due);
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if Instant::now() >= due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(due);
        }
    }
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
    let now = Instant::now();
    let io = ClientIo::new(stream, worker.options.client_write_timeout);
    let blocked = Arc::clone(&io.blocked);
    let client = Rc::new(Client {
        worker: Rc::clone(&worker),
        view: RouteView::new(Arc::clone(&door.route)),
        origin: Origin::new(peer, door.address),
        idle_since: Cell::new(Some(now)),
        now: Cell::new(now),
        alarm: RefCell::new(Alarm { sleep: Box::pin(sleep(worker.options.client_header_timeout)) }),
        _permit: permit,
        _open: open,
    });
    let service = service_fn(|request| {
        let client = Rc::clone(&client);
        async move { Ok::<_, Infallible>(forward(client, request).await) }
    });
    let mut connection = pin!(worker.server.serve_connection(io, service).with_upgrades());
    let mut shutting = pin!(door.shutting().cancelled());
    let mut registered = false;
    let mut draining = false;
    let ended = std::future::poll_fn(|cx| {
        // A task's waker stays the same, so a wake-up is asked for once; from then on the flag is enough.
        if !draining && (!registered || door.is_shut()) {
            registered = true;
            if shutting.as_mut().poll(cx).is_ready() {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        while let Some(since) = client.idle_since.get() {
            ready!(client.poll_alarm(since + worker.options.client_header_timeout, cx));
            if !blocked.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            // The last answer is still on its way to a client that takes it slowly, which `ClientIo` watches.
            client.idle_since.set(Some(client.look_at_clock()));
        }
        Poll::Pending
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
    /// Whether there is one.
    blocked: Arc<AtomicBool>,
}

impl ClientIo {
    fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream: TokioIo::new(stream), limit, stalled: None, blocked: Arc::default() }
    }

    fn bounded<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            if self.stalled.take().is_some() {
                self.blocked.store(false, Ordering::Relaxed);
            }
            return polled;
        }
        self.blocked.store(true, Ordering::Relaxed);
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
