//! The embedded store of time series, as Prometheus' clients ask for it: its HTTP API below `/prometheus`, so that Grafana
//! and promtool work with that as the address of the server.
//!
//! Source: Prometheus documentation, "HTTP API" (2.42).

mod answer;
mod encode;
mod forward;
mod parameters;
mod queries;
mod series;
mod states;
mod status;
mod write;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Router};
use prograde_observe::otlp;

use super::Context;

/// Where the API stands.
const PREFIX: &str = "/prometheus";
/// The largest form, in bytes: a query of the largest size, with every byte escaped.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// The largest body with samples, as it comes; unpacked, each protocol has a limit of its own.
const WRITE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the server itself knows, for a Prometheus that scrapes it.
pub(super) async fn own(State(context): State<Context>) -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, crate::metrics::exposition(&context.control))
}

/// The routes, to be guarded as all others are; where another server is asked, it answers.
pub(super) fn router(is_elsewhere: bool) -> Router<Context> {
    if is_elsewhere {
        return forward::router(PREFIX).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    }
    let api = Router::new()
        .route("/api/v1/query", get(queries::instant).post(queries::instant))
        .route("/api/v1/query_range", get(queries::range).post(queries::range))
        .route("/api/v1/query_exemplars", get(queries::exemplars).post(queries::exemplars))
        .route("/api/v1/series", get(series::series).post(series::series))
        .route("/api/v1/labels", get(series::labels).post(series::labels))
        .route("/api/v1/label/{name}/values", get(series::values))
        .route("/api/v1/metadata", get(states::metadata))
        .route("/api/v1/targets", get(states::targets))
        .route("/api/v1/rules", get(states::rules))
        .route("/api/v1/alerts", get(states::alerts))
        .route("/-/reload", post(states::reload).put(states::reload))
        .route("/api/v1/status/buildinfo", get(status::build))
        .route("/api/v1/status/tsdb", get(status::database))
        .route("/-/healthy", get(|| async { "healthy" }))
        .route("/-/ready", get(|| async { "ready" }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    let taken = Router::new()
        .route("/api/v1/write", post(write::remote))
        .route("/api/v1/otlp/v1/metrics", post(write::otlp))
        .layer(Extension(Arc::new(otlp::Receiver::default())))
        .layer(DefaultBodyLimit::max(WRITE_BYTES_MAX));
    Router::new().nest(PREFIX, api.merge(taken))
}
