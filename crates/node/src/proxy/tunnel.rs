//! Connections that left HTTP behind by `101 Switching Protocols` (RFC 9110, section 7.8), such as `WebSocket`s: bytes
//! are passed both ways until both sides have ended or neither has said anything for too long.
//!
//! The request counts as answered when the protocols are switched; the replica counts as busy until the tunnel's end.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use super::exchange::Exchange;
use super::upstream::Upstream;

/// How long the client's connection may take to pass on the 101.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a tunnel between a client that is about to get its 101 and the replica that gave it.
pub(super) fn open(upstream: Box<Upstream>, exchange: Exchange, on_upgrade: OnUpgrade) {
    let worker = Rc::clone(&exchange.client.worker);
    worker.tasks.spawn_local(async move {
        if let Err(error) = run(&exchange, upstream, on_upgrade).await {
            tracing::debug!(endpoint = %exchange.lease.endpoint.address(), %error, "tunnel broke off");
        }
    });
}

async fn run(exchange: &Exchange, upstream: Box<Upstream>, on_upgrade: OnUpgrade) -> io::Result<()> {
    let (replica, early) = upstream.into_upgraded();
    let upgraded = timeout(SWITCH_TIMEOUT, on_upgrade).await?.map_err(io::Error::other)?;
    let moved = Cell::new(Instant::now());
    let mut replica = Watched { stream: replica, moved: &moved };
    let mut upgraded = Watched { stream: TokioIo::new(upgraded), moved: &moved };
    let limit = exchange.client.worker.options.tunnel_idle_timeout;
    let copy = async {
        upgraded.write_all(&early).await?;
        copy_bidirectional(&mut upgraded, &mut replica).await
    };
    tokio::select! {
        copied = copy => copied.map(|_| ()),
        () = silence(&moved, limit) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Waits until nothing has moved for `limit`.
async fn silence(moved: &Cell<Instant>, limit: Duration) {
    loop {
        let due = moved.get() + limit;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

/// A stream that notes when it last moved.
struct Watched<'a, S> {
    stream: S,
    moved: &'a Cell<Instant>,
}

impl<S> Watched<'_, S> {
    fn note<T>(&self, polled: Poll<T>) -> Poll<T> {
        if polled.is_ready() {
            self.moved.set(Instant::now());
        }
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(polled)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
