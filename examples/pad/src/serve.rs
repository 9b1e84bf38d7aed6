//! The process's life: listen, be ready, drain on a signal, end within a bound.

use std::io;
use std::pin::pin;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::health::Health;
use crate::log::{self, Level};
use crate::routes;
use crate::settings::Settings;

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every request in flight was answered.
    Drained,
    /// Some were cut off when the time for them was over.
    CutOff,
}

/// Listens where the settings say and serves until SIGTERM or SIGINT.
pub async fn run(settings: &Settings) -> io::Result<Ended> {
    // Before listening: from the first answer on, a signal must find its handler.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(settings.address).await?;
    let address = listener.local_addr()?.to_string();
    log::line(
        Level::Info,
        "listening",
        json!({ "address": address, "version": crate::VERSION, "source": crate::SOURCE }),
    );
    serve(listener, settings, async move { stop(&mut terminate, &mut interrupt).await }).await
}

async fn stop(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Serves until `stop` ends, then drains: `/readyz` says no at once, new requests are still accepted for the drain
/// time (who sends them needs a moment to hear), then requests in flight have the shutdown time to end.
pub async fn serve(listener: TcpListener, settings: &Settings, stop: impl Future<Output = ()>) -> io::Result<Ended> {
    let health = Health::default();
    let (close, closed) = tokio::sync::oneshot::channel::<()>();
    let server = axum::serve(listener, routes::router(settings, health.clone()));
    let mut server = pin!(server.with_graceful_shutdown(async move { drop(closed.await) }).into_future());
    health.started();
    tokio::select! {
        ended = &mut server => return ended.map(|()| Ended::Drained),
        () = stop => {}
    }
    health.draining();
    log::line(Level::Info, "draining", json!({}));
    tokio::select! {
        ended = &mut server => return ended.map(|()| Ended::Drained),
        () = tokio::time::sleep(settings.drain) => {}
    }
    drop(close);
    if let Ok(ended) = tokio::time::timeout(settings.shutdown, server).await {
        log::line(Level::Info, "stopped", json!({}));
        return ended.map(|()| Ended::Drained);
    }
    log::line(Level::Warn, "stopped with requests in flight", json!({ "after_s": settings.shutdown.as_secs_f64() }));
    Ok(Ended::CutOff)
}
