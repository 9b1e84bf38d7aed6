//! Connections: TLS, and HTTP/1.1 on it. Everything that a caller can hold open is bounded.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answers::Answers;
use super::tls::Identity;

/// How many connections are open at once. Kubernetes opens one for each question that it asks at the same time.
const CONNECTIONS_MAX: usize = 256;
/// How long it may take until it is known who is who.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long a connection may lie idle, or take for the head of a request.
const HEADERS_MAX: Duration = Duration::from_secs(30);
/// The most that is kept of a head, in bytes.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// How long answers that are under way may take when the server stops.
const GRACE: Duration = Duration::from_secs(5);
/// How long nobody is let in after that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until it is told to stop, and ends when the last of them has.
pub(super) async fn run(
    listener: TcpListener,
    identity: Arc<Identity>,
    answers: Arc<Answers>,
    stop: CancellationToken,
) {
    let open = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    while let Some(Ok(slot)) = stop.run_until_cancelled(Arc::clone(&open).acquire_owned()).await {
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { break };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("a connection at admission could not be taken: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (identity, answers, stop) = (Arc::clone(&identity), Arc::clone(&answers), stop.clone());
        tasks.spawn(async move {
            connection(stream, &identity, answers, stop).await;
            drop(slot);
        });
    }
    tasks.close();
    if timeout(GRACE, tasks.wait()).await.is_err() {
        tracing::warn!("questions at admission were broken off: the server stops");
    }
}

async fn connection(stream: TcpStream, identity: &Identity, answers: Arc<Answers>, stop: CancellationToken) {
    let _slow = stream.set_nodelay(true);
    let acceptor = TlsAcceptor::from(identity.now());
    let stream = match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!("a caller at admission is not spoken to: {error}"),
        Err(_) => return tracing::debug!("a caller at admission did not say who it is in time"),
    };
    let service = service_fn(move |request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection at admission ended badly: {error}");
    }
}
