//! What happens around every request: its span, its log line, its metrics, and an answer even when a handler panics.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use serde_json::json;
use tokio::time::Instant;

use crate::log::{self, Level};
use crate::metrics::Metrics;
use crate::routes::{QUIET_ROUTES, problem};
use crate::trace::{Span, TRACEPARENT};

/// The middleware; the outermost one.
pub async fn around(State(metrics): State<Metrics>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let in_flight = metrics.begin();
    let span = Span::of_request(request.headers().get(TRACEPARENT).and_then(|v| v.to_str().ok()));
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    request.extensions_mut().insert(span);

    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response =
        handled.unwrap_or_else(|_| problem(StatusCode::INTERNAL_SERVER_ERROR, "the handler panicked").into_response());

    if let Ok(value) = HeaderValue::from_str(&span.to_string()) {
        response.headers_mut().insert(TRACEPARENT, value);
    }
    let (status, took) = (response.status(), begun.elapsed());
    metrics.answered(&method, &route, status.as_u16(), took);
    drop(in_flight);
    // Probes and scrapes come every second from everywhere and say nothing, unless they fail.
    let quiet = QUIET_ROUTES.contains(&route.as_str());
    if !quiet || !status.is_success() {
        let level = match (status.is_server_error(), quiet) {
            (false, _) => Level::Info,
            (true, true) => Level::Warn,
            (true, false) => Level::Error,
        };
        let fields = json!({
            "method": method,
            // Without the query, which may hold secrets.
            "path": path,
            "route": route,
            "status": status.as_u16(),
            "duration_ms": took.as_micros() / 1000,
            "trace_id": format!("{:032x}", span.trace_id),
            "span_id": format!("{:016x}", span.span_id),
            "parent_span_id": span.parent_id.map(|id| format!("{id:016x}")),
        });
        log::line(level, "request", fields);
    }
    response
}
