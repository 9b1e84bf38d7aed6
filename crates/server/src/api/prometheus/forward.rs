//! Questions passed on to the server that is asked in place of the embedded store.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::answer::Refused;
use super::parameters::Parameters;
use crate::api::Context;
use crate::metrics::QUERY_TIMEOUT;

/// What can be asked.
const QUESTIONS: [&str; 13] = [
    "/api/v1/query",
    "/api/v1/query_range",
    "/api/v1/query_exemplars",
    "/api/v1/series",
    "/api/v1/labels",
    "/api/v1/label/{name}/values",
    "/api/v1/metadata",
    "/api/v1/targets",
    "/api/v1/rules",
    "/api/v1/alerts",
    "/api/v1/status/buildinfo",
    "/api/v1/status/tsdb",
    "/api/v1/status/runtimeinfo",
];

pub(super) fn router(prefix: &str) -> Router<Context> {
    let api = QUESTIONS.iter().fold(Router::new(), |api, path| api.route(path, get(forward).post(forward)));
    Router::new().nest(prefix, api)
}

async fn forward(State(context): State<Context>, uri: Uri, parameters: Parameters) -> Result<Response, Refused> {
    let elsewhere = context.elsewhere.as_ref().ok_or_else(|| Refused::unavailable("there is no other server"))?;
    let timeout = parameters.timeout(QUERY_TIMEOUT)?;
    let answer = elsewhere.forward(uri.path(), parameters.form(), timeout).await;
    let answer = answer.map_err(|error| Refused::unavailable(&format!("the Prometheus that is asked: {error}")))?;
    if answer.status.is_redirection() {
        return Err(Refused::unavailable("the Prometheus that is asked redirects, which is not followed"));
    }
    let status = StatusCode::from_u16(answer.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    Ok((status, [(header::CONTENT_TYPE, "application/json")], answer.body).into_response())
}
