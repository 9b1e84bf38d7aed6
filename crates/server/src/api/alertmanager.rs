//! Alertmanager's HTTP API v2 below `/alertmanager`, so that `amtool`, Grafana and any Prometheus work with that as the
//! address of the server.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use prograde_notify::api::{BODY_BYTES_MAX, Request};

use super::{Context, Failure};

/// The routes, to be guarded as all others are.
pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/alertmanager/api/v2/{*path}", any(answer))
        .route("/alertmanager/-/reload", post(reload).put(reload))
        .route("/alertmanager/-/healthy", get(|| async { "healthy" }))
        .route("/alertmanager/-/ready", get(|| async { "ready" }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

fn not_handled() -> Failure {
    Failure::not_found("alerts are not handled: start the server with `--alertmanager-config`")
}

/// `-/reload`: reads `alertmanager.yml` and `oncall.yaml` again.
async fn reload(State(context): State<Context>) -> Result<(), Failure> {
    let handled = context.handled.as_ref().ok_or_else(not_handled)?;
    let reloaded = handled.reload().await;
    reloaded.map_err(|error| {
        let message = format!("nothing has changed, because of\n{error}");
        Failure::new(StatusCode::BAD_REQUEST, error.code(), message, error.hint())
    })
}

async fn answer(
    State(context): State<Context>,
    method: Method,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    body: Bytes,
) -> Response {
    let Some(alerts) = context.alerts() else {
        return not_handled().into_response();
    };
    let query = match serde_urlencoded::from_str::<Vec<(String, String)>>(&query.unwrap_or_default()) {
        Ok(query) => query,
        Err(error) => return Failure::bad_request(format!("the parameters can't be read: {error}")).into_response(),
    };
    let path = format!("/{path}");
    let request = Request { method: method.as_str(), path: &path, query: &query, body: &body };
    let answer = alerts.answer(&request).await;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match answer.body {
        Some(body) => (status, axum::Json(body)).into_response(),
        None => status.into_response(),
    }
}
