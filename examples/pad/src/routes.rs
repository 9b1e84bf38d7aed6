//! The endpoints. What each one answers is described in `openapi.json`; a test holds the two together.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::greeting::GREETING;
use crate::health::Health;
use crate::metrics::{self, Metrics};
use crate::redact;
use crate::settings::Settings;
use crate::telemetry;

/// The description of this API, OpenAPI 3.1.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Routes that are asked all the time; successes are not logged, and faults never touch them.
pub const QUIET_ROUTES: [&str; 6] = ["/healthz", "/livez", "/readyz", "/startupz", "/metrics", "/version"];

/// The longest that `/delay/{seconds}` waits.
const DELAY_MAX_S: f64 = 60.0;

/// What handlers share.
#[derive(Debug, Clone)]
struct App {
    health: Health,
    metrics: Metrics,
    commit: Option<String>,
}

/// All endpoints under these settings.
pub fn router(settings: &Settings, health: Health) -> Router {
    let app = App { health, metrics: Metrics::new(), commit: settings.commit.clone() };
    let quiet = Router::new()
        .route("/healthz", get(started))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .route("/metrics", get(scrape))
        .route("/version", get(version));
    let ordinary = Router::new()
        .route("/", get(home))
        .route("/env", get(environment))
        .route("/headers", get(headers))
        .route("/panic", get(panics))
        .route("/delay/{seconds}", get(delay))
        .route("/status/{code}", get(status))
        .route("/openapi.json", get(openapi))
        .route("/docs", get(docs))
        .route_layer(middleware::from_fn_with_state(settings.faults, inject));
    quiet
        .merge(ordinary)
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "no such page; see /docs") })
        .method_not_allowed_fallback(|| async { problem(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD") })
        .layer(middleware::from_fn_with_state(app.metrics.clone(), telemetry::around))
        .with_state(app)
}

/// An answer that says what went wrong.
pub fn problem(status: StatusCode, message: &str) -> impl IntoResponse + use<> {
    (status, Json(json!({ "error": message })))
}

async fn inject(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    if let Some(latency) = faults.draw_latency() {
        tokio::time::sleep(latency).await;
    }
    if faults.draw_error() {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "a fault was injected").into_response();
    }
    next.run(request).await
}

async fn home() -> Json<Value> {
    Json(json!({ "greeting": GREETING, "version": crate::VERSION, "docs": "/docs" }))
}

async fn live() -> &'static str {
    "alive\n"
}

async fn started(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.health.is_started() {
        (StatusCode::OK, "started\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}

async fn ready(State(app): State<App>) -> (StatusCode, &'static str) {
    if app.health.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

async fn scrape(State(app): State<App>) -> Response {
    match app.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()).into_response(),
    }
}

async fn version(State(app): State<App>) -> Json<Value> {
    Json(json!({ "name": "pad", "version": crate::VERSION, "source": crate::SOURCE, "commit": app.commit }))
}

async fn environment() -> Json<Value> {
    let variables: BTreeMap<String, Value> = std::env::vars_os()
        .map(|(name, value)| {
            let (name, value) = (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned());
            let shown = redact::shown(&name, &value).into();
            (name, shown)
        })
        .collect();
    Json(json!(variables))
}

async fn headers(headers: HeaderMap) -> Json<Value> {
    let mut shown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        shown.entry(name.as_str()).or_default().push(redact::shown(name.as_str(), &value).to_owned());
    }
    Json(json!(shown))
}

async fn panics() -> StatusCode {
    panic!("/panic was asked for")
}

async fn delay(Path(seconds): Path<String>) -> Response {
    let Some(seconds) = seconds.parse().ok().filter(|s| (0.0..=DELAY_MAX_S).contains(s)) else {
        return problem(StatusCode::BAD_REQUEST, "expected seconds from 0 to 60").into_response();
    };
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    Json(json!({ "delayed_s": seconds })).into_response()
}

async fn status(Path(code): Path<String>) -> Response {
    let code = code.parse().ok().filter(|code| (200..=599).contains(code));
    let Some(status) = code.and_then(|code| StatusCode::from_u16(code).ok()) else {
        return problem(StatusCode::BAD_REQUEST, "expected a status from 200 to 599").into_response();
    };
    // RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5: these have no content.
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED) {
        return status.into_response();
    }
    (status, Json(json!({ "status": status.as_u16(), "reason": status.canonical_reason() }))).into_response()
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn docs() -> impl IntoResponse {
    let policy = "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, policy)];
    (headers, include_str!("docs.html"))
}
